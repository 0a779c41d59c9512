"""Sums of outer products, with the tile: what the way back of a connected layer is made of.

    output [p, i]  =  sum over k of  factors[k, p] * rows[k, i]

Each k adds the product of a column and a row, and the rows are as they lie in memory, so that 32 neighbouring i are in
the lanes, and 14 p are the tile's pixels. By the weights, k are the images, p the outputs and i the inputs; by the
input, k are the outputs, p the images and i the inputs again, and rows are the weights themselves.

Where a tile would end outside, it begins earlier instead, and does not write what another one has written.
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
    BLOCK,
    INT64,
    LANES,
    VECTOR,
    address,
    broadcast,
    lanes_below,
    load_masked,
    store_masked,
    zeros,
)
from minidarknet.kernels.tile import WIDE, sum_up

Floats = NDArray[np.float32]


@intrinsic
def put_rows(typing: Any, tile: Any, output: Any, o: Any, step: Any, pixel: Any, lane: Any, adds: Any) -> Any:
    """Write a tile to output[o:], a row for each pixel, `step` numbers apart: from pixel `pixel` and lane `lane` on.

    If `adds`, the sums are added to what is there.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, output_, o_, step_, pixel_, lane_, adds_ = arguments
        first = address(context, builder, signature.args[1], output_, o_)
        zero = ir.Constant(VECTOR, None)
        flag = broadcast(builder, builder.icmp_signed("!=", adds_, adds_.type(0)))
        for p in range(tile.dtype.count):
            with builder.if_then(builder.icmp_signed(">=", INT64(p), pixel_)):
                for v in range(tile.count):
                    place = builder.gep(first, [builder.add(builder.mul(step_, INT64(p)), INT64(v * LANES))])
                    # lanes v * LANES + i >= lane, that is: not below it
                    mask = builder.not_(lanes_below(builder, INT64(v * LANES), lane_))
                    old = builder.select(flag, load_masked(builder, place, builder.and_(mask, flag)), zero)
                    total = builder.fadd(old, builder.extract_value(sums, [v, p]))
                    store_masked(builder, total, place, mask)
        return context.get_dummy_value()

    integer = types.int64
    return types.none(tile, output, integer, integer, integer, integer, types.boolean), generate


@kernel
def outer_products(output: Floats, factors: Floats, rows: Floats, adds: bool, threads: int) -> None:
    """Write into output (outputs, inputs), or add to it, the sum over k of factors (k, outputs) times rows (k, inputs).

    Threads share the inputs.
    """
    (depth, outputs), inputs = factors.shape, rows.shape[1]
    blocks = (inputs + BLOCK - 1) // BLOCK
    flat, weights, source = output.reshape(-1), rows.reshape(-1), factors.reshape(-1)
    offsets = np.arange(depth) * outputs
    for thread in prange(threads):
        number: Any = np.int64(thread)  # a parallel index is unsigned
        for block in range(number * blocks // threads, (number + 1) * blocks // threads):
            i = min(block * BLOCK, inputs - BLOCK)
            lane = block * BLOCK - i
            if outputs < WIDE or inputs < BLOCK:
                for p in range(outputs):
                    for j in range(block * BLOCK, min(inputs, (block + 1) * BLOCK)):
                        total = flat[p * inputs + j] if adds else np.float32(0)
                        for k in range(depth):
                            total += source[k * outputs + p] * weights[k * inputs + j]
                        flat[p * inputs + j] = total
                continue
            for first in range(0, outputs, WIDE):
                p = min(first, outputs - WIDE)
                tile = sum_up(zeros(2, WIDE), weights, i, source, p, offsets, inputs)
                put_rows(tile, flat, p * inputs + i, inputs, first - p, lane, adds)


def outer_products_naive(output: Floats, factors: Floats, rows: Floats, adds: bool) -> None:
    """The same by definition."""
    if not adds:
        output[:] = 0
    for factor, row in zip(factors, rows, strict=True):
        output += factor[:, None] * row
