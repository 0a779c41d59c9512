"""Into Winograd's frequencies and back, in registers: the additions of B' and A' (see `winograd.py`).

Each function handles LANES numbers at once. On the way in, the lanes are neighbouring patches: two registers hold the
columns of a row that they share, and shuffles sort them, because a patch begins two columns right of the one before:

    columns  0 1 2 3 4 5 6 7 ...   ->   first column of each patch   0 2 4 6 ...      third:  the same, one lane further
                                        second                       1 3 5 7 ...      fourth: likewise

On the way out, the lanes are filters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minidarknet.kernels.simd import (
    BLOCK,
    INT64,
    LANES,
    address,
    broadcast,
    lanes_below,
    load,
    load_masked,
    put,
    shuffle,
    tile_type,
)
from minidarknet.kernels.tile import WIDE

B = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
A = ((1, 1, 1, 0), (0, 1, -1, -1))
G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])

#: Patches whose outputs are written at a time: two pixels for each, in a tile of one vector.
PIECE = WIDE // 2


def _combine(builder: Any, signs: tuple[int, ...], values: list[Any]) -> Any:
    """The sum of the values with their signs, 1, 0 or -1; a positive one comes first."""
    total = None
    for sign, value in sorted(zip(signs, values, strict=True), key=lambda pair: -pair[0]):
        if sign:
            total = value if total is None else (builder.fadd if sign > 0 else builder.fsub)(total, value)
    return total


@intrinsic
def to_frequencies(
    typing: Any,
    frequencies: Any,
    v: Any,
    pitch: Any,
    images: Any,
    s: Any,
    top: Any,
    left: Any,
    height: Any,
    width: Any,
) -> Any:
    """Turn LANES - 1 patches side by side into frequencies[v:], 16 of them `pitch` apart.

    The first patch has its corner at row `top` and column `left` of a plane, `images[s]`; what is outside the plane's
    `height` rows and `width` columns is 0 and not read.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        frequencies_, v_, pitch_, images_, s_, top_, left_, height_, width_ = arguments
        corner = address(context, builder, signature.args[3], images_, s_)
        masks = [lanes_below(builder, builder.add(left_, INT64(half * LANES)), width_) for half in range(2)]
        rows = []
        for y in range(4):
            inside = broadcast(builder, builder.icmp_unsigned("<", builder.add(top_, INT64(y)), height_))
            start = builder.gep(corner, [builder.mul(width_, INT64(y))])
            rows.append(
                [
                    load_masked(builder, builder.gep(start, [INT64(half * LANES)]), builder.and_(masks[half], inside))
                    for half in range(2)
                ]
            )
        first = address(context, builder, signature.args[0], frequencies_, v_)
        for i, signs in enumerate(B):
            a, b = (_combine(builder, signs, [row[half] for row in rows]) for half in range(2))
            columns = [shuffle(builder, a, b, [2 * lane + x for lane in range(LANES)]) for x in range(2)]
            further = [*range(1, LANES), LANES - 1]
            columns += [shuffle(builder, column, column, further) for column in columns]
            for j, column_signs in enumerate(B):
                put(builder, _combine(builder, column_signs, columns), first, builder.mul(pitch_, INT64(4 * i + j)))
        return context.get_dummy_value()

    integer = types.int64
    places = (integer, integer, images, integer, integer, integer, integer, integer)
    return types.none(frequencies, *places), generate


def _square(builder: Any, first: Any, step: Any, rows: list[int]) -> list[list[Any]]:
    """Rows 0 and 1 of the 2x2 outputs of one patch, whose 16 sums are `step` numbers apart."""
    sums = [
        [load(builder, builder.gep(first, [builder.mul(step, INT64(4 * i + j))]), 0) for j in range(4)]
        for i in range(4)
    ]
    square = []
    for row in rows:
        line = [_combine(builder, A[row], [sums[i][j] for i in range(4)]) for j in range(4)]
        square.append([_combine(builder, A[x], line) for x in range(2)])
    return square


@intrinsic(prefer_literal=True)
def from_frequencies(typing: Any, sums: Any, m: Any, step: Any, row: Any) -> Any:
    """A tile of one vector: of the PIECE patches at sums[m:], row 0 or 1 of their outputs, two pixels for each."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums_, m_, step_, _ = arguments
        first = address(context, builder, signature.args[0], sums_, m_)
        tile = ir.Constant(context.get_value_type(signature.return_type), ir.Undefined)
        for p in range(PIECE):
            patch = builder.gep(first, [INT64(p * BLOCK)])
            ((left, right),) = _square(builder, patch, step_, [row.literal_value])
            tile = builder.insert_value(tile, left, [0, 2 * p])
            tile = builder.insert_value(tile, right, [0, 2 * p + 1])
        return tile

    return tile_type(1, 2 * PIECE)(sums, types.int64, types.int64, row), generate


@intrinsic
def largest_of_squares(typing: Any, sums: Any, m: Any, step: Any) -> Any:
    """A tile of one vector: of the WIDE patches at sums[m:], the largest of their four outputs."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums_, m_, step_ = arguments
        first = address(context, builder, signature.args[0], sums_, m_)
        tile = ir.Constant(context.get_value_type(signature.return_type), ir.Undefined)
        for p in range(WIDE):
            patch = builder.gep(first, [INT64(p * BLOCK)])
            (largest, *others), lower = _square(builder, patch, step_, [0, 1])
            for value in others + lower:
                largest = builder.select(builder.fcmp_ordered(">", value, largest), value, largest)
            tile = builder.insert_value(tile, largest, [0, p])
        return tile

    return tile_type(1, WIDE)(sums, types.int64, types.int64), generate
