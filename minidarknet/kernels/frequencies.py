"""Into Winograd's frequencies and back, in registers: B' and A' of `winograd.py`, written out as sums.

Each function handles LANES numbers at once. On the way in, the lanes are neighbouring patches: four registers hold the
columns of a row that they share, and shuffles sort them, because a patch begins four columns right of the one before:

    columns  0 1 2 3 4 5 6 7 ...   ->   first column of each patch   0 4 8 ...      fifth: the first, one lane further
                                        second                       1 5 9 ...      sixth: the second, likewise
                                        third, fourth                ...

Where rows are short, the lanes are patches wherever they lie: each row of each is loaded, and a transposition makes
columns of them. On the way out, the lanes are filters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minidarknet.kernels.simd import (
    BLOCK,
    CONTRACT,
    INT64,
    LANES,
    VECTOR,
    address,
    broadcast,
    lanes_below,
    load,
    load_masked,
    put,
    shuffle,
    tile_type,
    transpose,
)

#: Side of a patch's outputs, of a patch, and how many frequencies it has.
OUT, IN, FREQUENCIES = 4, 6, 36
#: The points at which the polynomials behind Winograd's convolution are taken: 0, A, -A, B, -B and infinity.
A, B = 0.75, 1.5
#: Patches whose outputs are written at a time: a whole register of pixels, pooled ones twice as many.
PIECE, POOLED_PIECE = LANES // OUT, 2 * LANES // OUT


def filter_matrix() -> np.ndarray:
    """G: a row for each point p, (1, p, p squared) divided by its distances to the other points; for infinity 0 0 1."""
    points = [0, A, -A, B, -B]
    rows = [[p**i / np.prod([p - q for q in points if q != p]) for i in range(3)] for p in points]
    return np.array([*rows, [0, 0, 1]])


def combine(builder: Any, a: Any, b: Any, factor: float = 1) -> Any:
    """a + factor * b."""
    if factor != 1:
        b = builder.fmul(b, ir.Constant(VECTOR, [factor] * LANES), flags=CONTRACT)
    return builder.fadd(a, b, flags=CONTRACT)


def into(builder: Any, x: list[Any]) -> list[Any]:
    """B' times six registers."""

    def add(a: Any, b: Any, factor: float) -> Any:
        return combine(builder, a, b, factor)

    even_a, odd_a = add(x[4], x[2], -B * B), add(x[3], x[1], -B * B)
    even_b, odd_b = add(x[4], x[2], -A * A), add(x[3], x[1], -A * A)
    return [
        add(add(x[4], x[2], -A * A - B * B), x[0], A * A * B * B),
        add(even_a, odd_a, A),
        add(even_a, odd_a, -A),
        add(even_b, odd_b, B),
        add(even_b, odd_b, -B),
        add(add(x[5], x[3], -A * A - B * B), x[1], A * A * B * B),
    ]


def _out_of(builder: Any, m: list[Any], row: int) -> Any:
    """Row `row` of A' times six registers: m0 + A^row * (m1 +- m2) + B^row * (m3 +- m4), and m5 in the last row."""
    join = builder.fsub if row % 2 else builder.fadd
    pair_a, pair_b = join(m[1], m[2]), join(m[3], m[4])
    if row == 0:
        return builder.fadd(builder.fadd(m[0], pair_a), pair_b)
    start = m[5] if row == OUT - 1 else ir.Constant(VECTOR, None)
    if row == OUT - 1:
        return combine(builder, combine(builder, start, pair_a, A**row), pair_b, B**row)
    scaled = builder.fmul(pair_a, ir.Constant(VECTOR, [A**row] * LANES))
    return combine(builder, scaled, pair_b, B**row)


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
    """Turn LANES - 1 patches side by side into frequencies[v:], all of them `pitch` apart.

    The first patch has its corner at row `top` and column `left` of a plane, `images[s]`; what is outside the plane's
    `height` rows and `width` columns is 0 and not read.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        frequencies_, v_, pitch_, images_, s_, top_, left_, height_, width_ = arguments
        corner = address(context, builder, signature.args[3], images_, s_)
        masks = [lanes_below(builder, builder.add(left_, INT64(part * LANES)), width_) for part in range(OUT)]
        rows = []
        for y in range(IN):
            inside = broadcast(builder, builder.icmp_unsigned("<", builder.add(top_, INT64(y)), height_))
            start = builder.gep(corner, [builder.mul(width_, INT64(y))])
            places = [builder.gep(start, [INT64(part * LANES)]) for part in range(OUT)]
            rows.append([load_masked(builder, places[part], builder.and_(masks[part], inside)) for part in range(OUT)])
        parts = [into(builder, [row[part] for row in rows]) for part in range(OUT)]
        first = address(context, builder, signature.args[0], frequencies_, v_)
        for i in range(IN):
            columns = _every_fourth(builder, [part[i] for part in parts])
            further = [*range(1, LANES), LANES - 1]
            columns += [shuffle(builder, column, column, further) for column in columns[:2]]
            for j, value in enumerate(into(builder, columns)):
                put(builder, value, first, builder.mul(pitch_, INT64(IN * i + j)))
        return context.get_dummy_value()

    integer = types.int64
    places = (integer, integer, images, integer, integer, integer, integer, integer)
    return types.none(frequencies, *places), generate


@intrinsic
def to_frequencies_apart(
    typing: Any,
    frequencies: Any,
    v: Any,
    pitch: Any,
    images: Any,
    s: Any,
    corners: Any,
    masks: Any,
    i: Any,
    width: Any,
) -> Any:
    """Turn LANES patches that may lie anywhere, as `to_frequencies` does neighbours.

    Patch p has its corner at images[s + corners[i + p]]. Of its row y, the columns x are read for which bit x of
    masks[(i + p) * IN + y] is set; the others are 0.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        frequencies_, v_, pitch_, images_, s_, corners_, masks_, i_, width_ = arguments
        plane = address(context, builder, signature.args[3], images_, s_)
        first_corner = address(context, builder, signature.args[5], corners_, i_)
        first_mask = address(context, builder, signature.args[6], masks_, builder.mul(i_, INT64(IN)))
        corners = [builder.load(builder.gep(first_corner, [INT64(p)])) for p in range(LANES)]
        columns: list[list[Any]] = [[] for _ in range(IN)]
        for y in range(IN):
            places = [builder.gep(plane, [builder.add(corner, builder.mul(width_, INT64(y)))]) for corner in corners]
            bits = [builder.load(builder.gep(first_mask, [INT64(IN * p + y)])) for p in range(LANES)]
            row = []
            for x in range(0, IN, LANES):
                loaded = []
                for p in range(LANES):
                    shifted = builder.trunc(builder.lshr(bits[p], INT64(x)), ir.IntType(LANES))
                    mask = builder.bitcast(shifted, ir.VectorType(ir.IntType(1), LANES))
                    loaded.append(load_masked(builder, builder.gep(places[p], [INT64(x)]), mask))
                row += transpose(builder, loaded)
            for x in range(IN):
                columns[x].append(row[x])
        turned = [into(builder, column) for column in columns]
        first = address(context, builder, signature.args[0], frequencies_, v_)
        for q in range(IN):
            for j, value in enumerate(into(builder, [turned[x][q] for x in range(IN)])):
                put(builder, value, first, builder.mul(pitch_, INT64(IN * q + j)))
        return context.get_dummy_value()

    integer = types.int64
    places = (integer, integer, images, integer, corners, masks, integer, integer)
    return types.none(frequencies, *places), generate


def _every_fourth(builder: Any, parts: list[Any]) -> list[Any]:
    """Four registers of columns 0, 1, 2, ... sorted into those of columns 0, 4, 8, ... and 1, 5, 9, ... and so on."""

    def every_second(pair: list[Any], first: int) -> Any:
        return shuffle(builder, pair[0], pair[1], [2 * lane + first for lane in range(LANES)])

    halves = [[every_second(parts[:2], first), every_second(parts[2:], first)] for first in range(2)]
    return [every_second(halves[x % 2], x // 2) for x in range(OUT)]


def _line(builder: Any, first: Any, step: Any, row: int) -> list[Any]:
    """Row `row` of the outputs of a patch, whose sums are `step` numbers apart."""
    column = []
    for j in range(IN):
        sums = [load(builder, builder.gep(first, [builder.mul(step, INT64(IN * i + j))]), 0) for i in range(IN)]
        column.append(_out_of(builder, sums, row))
    return [_out_of(builder, column, x) for x in range(OUT)]


@intrinsic(prefer_literal=True)
def from_frequencies(typing: Any, sums: Any, m: Any, step: Any, row: Any) -> Any:
    """A tile of one vector: of the PIECE patches at sums[m:], row 0, 1, 2 or 3 of their outputs, 4 pixels for each."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums_, m_, step_, _ = arguments
        first = address(context, builder, signature.args[0], sums_, m_)
        tile = ir.Constant(context.get_value_type(signature.return_type), ir.Undefined)
        for p in range(PIECE):
            line = _line(builder, builder.gep(first, [INT64(p * BLOCK)]), step_, row.literal_value)
            for x in range(OUT):
                tile = builder.insert_value(tile, line[x], [0, OUT * p + x])
        return tile

    return tile_type(1, OUT * PIECE)(sums, types.int64, types.int64, row), generate


@intrinsic(prefer_literal=True)
def largest_of_squares(typing: Any, sums: Any, m: Any, step: Any, row: Any) -> Any:
    """A tile of one vector: of the POOLED_PIECE patches at sums[m:], in row 0 or 1 of their squares of 2x2 outputs the
    largest number of each square, two for each patch."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums_, m_, step_, _ = arguments
        first = address(context, builder, signature.args[0], sums_, m_)
        tile = ir.Constant(context.get_value_type(signature.return_type), ir.Undefined)
        for p in range(POOLED_PIECE):
            patch = builder.gep(first, [INT64(p * BLOCK)])
            upper, lower = (_line(builder, patch, step_, 2 * row.literal_value + y) for y in range(2))
            for x in range(2):
                largest, *others = upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1]
                for value in others:
                    largest = builder.select(builder.fcmp_ordered(">", value, largest), value, largest)
                tile = builder.insert_value(tile, largest, [0, 2 * p + x])
        return tile

    return tile_type(1, 2 * POOLED_PIECE)(sums, types.int64, types.int64, row), generate
