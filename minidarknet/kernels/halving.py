"""Max pooling with windows of 2x2 or 3x3 every 2 cells, a register of windows at a time.

For each row of a window, two registers take the columns of LANES - 1 windows side by side, and the larger of each
column is kept. Then shuffles sort the columns by their place in a window:

    columns   0 1 2 3 4 5 6 ...        first of each window   0 2 4 ...        third: the first, one lane further
                                       second                 1 3 5 ...
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from minidarknet.kernels.jit import kernel
from minidarknet.kernels.simd import (
    INT64,
    LANES,
    address,
    lanes_below,
    load_masked,
    shuffle,
    store_masked,
    tile_type,
)

Floats = NDArray[np.float32]
LOWEST = float(np.finfo(np.float32).min)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", b, a), b, a)


@intrinsic
def lowest(typing: Any) -> Any:
    """Two registers of the lowest number there is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(signature.return_type), [[[LOWEST] * LANES] * 2])

    return tile_type(1, 2)(), generate


@intrinsic
def raised(typing: Any, columns: Any, source: Any, s: Any, left: Any, width: Any) -> Any:
    """Two registers, raised to the numbers of a row from column `left` on, at source[s:], where those are larger.

    Columns outside 0..width are not read.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        columns_, source_, s_, left_, width_ = arguments
        first = address(context, builder, signature.args[1], source_, s_)
        for half in range(2):
            mask = lanes_below(builder, builder.add(left_, INT64(half * LANES)), width_)
            row = load_masked(builder, builder.gep(first, [INT64(half * LANES)]), mask, LOWEST)
            larger = _larger(builder, builder.extract_value(columns_, [0, half]), row)
            columns_ = builder.insert_value(columns_, larger, [0, half])
        return columns_

    return columns(columns, source, types.int64, types.int64, types.int64), generate


@intrinsic
def put_largest(typing: Any, columns: Any, output: Any, o: Any, count: Any, three: Any) -> Any:
    """Write the largest number of the first `count` windows to output[o:]; they have two columns, or three."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        columns_, output_, o_, count_, three_ = arguments
        a, b = (builder.extract_value(columns_, [0, half]) for half in range(2))
        even, odd = (shuffle(builder, a, b, [2 * lane + x for lane in range(LANES)]) for x in range(2))
        two = _larger(builder, even, odd)
        third = shuffle(builder, even, even, [*range(1, LANES), LANES - 1])
        largest = builder.select(three_, _larger(builder, two, third), two)
        place = address(context, builder, signature.args[1], output_, o_)
        store_masked(builder, largest, place, lanes_below(builder, INT64(0), count_))
        return context.get_dummy_value()

    return types.none(columns, output, types.int64, types.int64, types.boolean), generate


@kernel
def maxpool_halving(output: Floats, source: Floats, size: int, stride: int, offset: int) -> None:
    """As `maxpool` of `layers/maxpool.py`, for a stride of 2 and a size of 2 or 3."""
    planes, height, width = source.shape
    _, rows, columns = output.shape
    flat, numbers = output.reshape(-1), source.reshape(-1)
    for index in prange(planes):
        plane = np.int64(index)  # a parallel index is unsigned
        for y in range(rows):
            top = y * stride - offset
            for x in range(0, columns, LANES - 1):
                left = x * stride - offset
                largest = lowest()
                for row in range(max(top, 0), min(top + size, height)):
                    largest = raised(largest, numbers, (plane * height + row) * width + left, left, width)
                o = (plane * rows + y) * columns + x
                put_largest(largest, flat, o, min(columns - x, LANES - 1), size == 3)


@intrinsic
def give_back(
    typing: Any, grads: Any, source: Any, s: Any, width: Any, output: Any, grad: Any, o: Any, count: Any, right: Any
) -> Any:
    """Write to the two rows of 2x2 squares at grads[s:] the gradients grad[o:], each to the cell that won, and 0 to the
    others.

    source and output are what was pooled and what it became; `count` squares lie side by side, with `right` columns
    that are inside. Where width is 0 there is one row only.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        s_, width_, output_, grad_, o_, count_, right_ = arguments[2:]
        here = lanes_below(builder, INT64(0), count_)
        largest = load_masked(builder, address(context, builder, signature.args[4], output_, o_), here)
        left = load_masked(builder, address(context, builder, signature.args[5], grad_, o_), here)
        zero = ir.Constant(left.type, None)
        first = [address(context, builder, signature.args[i], arguments[i], s_) for i in range(2)]
        for row in range(2):
            inside = (
                right_ if row == 0 else builder.select(builder.icmp_signed(">", width_, INT64(0)), right_, INT64(0))
            )
            masks = [lanes_below(builder, INT64(half * LANES), inside) for half in range(2)]  # of the columns
            to, place = (builder.gep(start, [builder.mul(width_, INT64(row))]) for start in first)
            places = [builder.gep(place, [INT64(half * LANES)]) for half in range(2)]
            # What is outside equals nothing.
            low, high = [load_masked(builder, places[half], masks[half], float("nan")) for half in range(2)]
            cells_given = []
            for x in range(2):
                cells = shuffle(builder, low, high, [2 * lane + x for lane in range(LANES)])
                won = builder.fcmp_ordered("==", cells, largest)
                cells_given.append(builder.select(won, left, zero))
                left = builder.select(won, zero, left)  # of equal cells, only the first gets it
            even, odd = cells_given
            for half in range(2):
                lanes = [half * LANES // 2 + lane // 2 + lane % 2 * LANES for lane in range(LANES)]
                store_masked(
                    builder, shuffle(builder, even, odd, lanes), builder.gep(to, [INT64(half * LANES)]), masks[half]
                )
        return context.get_dummy_value()

    integer = types.int64
    return types.none(grads, source, integer, integer, output, grad, integer, integer, integer), generate


@kernel
def squares_back(grads: Floats, source: Floats, output: Floats, grad: Floats) -> None:
    """As `maxpool_back` of `layers/maxpool.py`, for 2x2 squares; those at an odd side's end have one row or column."""
    planes, rows, columns = output.shape
    height, width = source.shape[1:]
    to, numbers, largest, flat = grads.reshape(-1), source.reshape(-1), output.reshape(-1), grad.reshape(-1)
    for line in prange(planes * rows):
        number = np.int64(line)  # a parallel index is unsigned
        plane, y = number // rows, number % rows
        step = width if 2 * y + 1 < height else 0
        for x in range(0, columns, LANES):
            o, s, count = number * columns + x, (plane * height + 2 * y) * width + 2 * x, min(columns - x, LANES)
            give_back(to, numbers, s, step, largest, flat, o, count, min(2 * count, width - 2 * x))
