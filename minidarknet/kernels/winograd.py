"""Winograd's convolution F(2x2, 3x3): a 3x3 filter with 16 multiplications where the definition needs 36.

Four neighbouring outputs (2x2) depend on a patch of 4x4 inputs. Patch and filter are both turned into 16 *frequencies*,
by additions alone; there each output frequency is one product, summed over the channels; and additions turn the 16 sums
into the four outputs:

    output  =  A' [ sum over channels of (G filter G') * (B' patch B) ] A

         [ 1  0 -1  0 ]          [ 1    0    0  ]
    B' = [ 0  1  1  0 ]     G =  [ 1/2  1/2 1/2 ]     A' = [ 1  1  1  0 ]
         [ 0 -1  1  0 ]          [ 1/2 -1/2 1/2 ]          [ 0  1 -1 -1 ]
         [ 0  1  0 -1 ]          [ 0    0    1  ]

The filters are turned once, when they are packed. For a run of patches, all channels are turned, and then the sums over
the channels are the same tile as everywhere, once for each frequency. The rounding error is even smaller than that of
the direct sum, which has nine times as many terms. Source: Lavin and Gray, Fast Algorithms for Convolutional Neural
Networks, 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from minidarknet.kernels.border import copy_rows
from minidarknet.kernels.jit import kernel, scalar
from minidarknet.kernels.simd import INT64, LANES, PIXELS, VECTOR, address, finish, load, store, tile_type, zeros
from minidarknet.kernels.tile import BLOCK, HALF, WIDE, Floats, Offsets, pack, sum_up

# These are B' and A' of the formula.
B = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
A = ((1, 1, 1, 0), (0, 1, -1, -1))
G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])

#: Numbers between two channels of a frequency: two runs of HALF patches side by side, each written LANES at a time.
PITCH = HALF + LANES
#: Numbers between two frequencies of the sums: a whole tile.
SUMS = 2 * PIXELS * LANES


def _combine(builder: Any, signs: tuple[int, ...], values: list[Any]) -> Any:
    """The sum of the values with their signs, 1, 0 or -1; a positive one comes first."""
    total = None
    for sign, value in sorted(zip(signs, values, strict=True), key=lambda pair: -pair[0]):
        if sign:
            total = value if total is None else (builder.fadd if sign > 0 else builder.fsub)(total, value)
    return total


@intrinsic
def to_frequencies(
    typing: Any, frequencies: Any, v: Any, pitch: Any, source: Any, s: Any, row_length: Any, half: Any
) -> Any:
    """Turn LANES patches, each two columns right of the one before, into frequencies[v:], 16 of them `pitch` apart.

    The first patch begins at source[s:]; a row has its even columns first and the odd ones `half` numbers further.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        frequencies_, v_, pitch_, source_, s_, row_length_, half_ = arguments
        corner = address(context, builder, signature.args[3], source_, s_)
        patch = []
        for y in range(4):
            even = builder.gep(corner, [builder.mul(row_length_, INT64(y))])
            halves = even, builder.gep(even, [half_])
            patch.append([load(builder, halves[x % 2], x // 2) for x in range(4)])
        rows = [[_combine(builder, signs, [patch[y][x] for y in range(4)]) for x in range(4)] for signs in B]
        first = address(context, builder, signature.args[0], frequencies_, v_)
        for i in range(4):
            for j, signs in enumerate(B):
                target = builder.gep(first, [builder.mul(pitch_, INT64(4 * i + j))])
                value = _combine(builder, signs, rows[i])
                builder.store(value, builder.bitcast(target, VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    integer = types.int64
    return types.none(frequencies, integer, integer, source, integer, integer, integer), generate


@intrinsic
def keep(typing: Any, tile: Any, sums: Any, m: Any) -> Any:
    """Write a tile to sums[m:] as it is: for each vector its pixels, LANES filters each."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile_, sums_, m_ = arguments
        first = address(context, builder, signature.args[1], sums_, m_)
        for v in range(tile.count):
            for p in range(tile.dtype.count):
                target = builder.gep(first, [INT64((v * PIXELS + p) * LANES)])
                value = builder.extract_value(tile_, [v, p])
                builder.store(value, builder.bitcast(target, VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.none(tile, sums, types.int64), generate


@intrinsic(prefer_literal=True)
def from_frequencies(typing: Any, sums: Any, m: Any, row: Any, patches: Any) -> Any:
    """A tile of two vectors: of `patches` patches, at sums[m:], row 0 or 1 of their outputs, two pixels for each."""
    signs, count = A[row.literal_value], patches.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = address(context, builder, signature.args[0], arguments[0], arguments[1])
        tile = ir.Constant(context.get_value_type(signature.return_type), ir.Undefined)
        for v in range(2):
            for p in range(count):
                square = [
                    [load(builder, first, (4 * i + j) * SUMS + (v * PIXELS + p) * LANES) for j in range(4)]
                    for i in range(4)
                ]
                line = [_combine(builder, signs, [square[i][j] for i in range(4)]) for j in range(4)]
                for x in range(2):
                    tile = builder.insert_value(tile, _combine(builder, A[x], line), [v, 2 * p + x])
        return tile

    return tile_type(2, 2 * count)(sums, types.int64, row, patches), generate


@scalar
def multiply(
    sums: Floats, weights: Floats, w: int, frequencies: Floats, channels: int, offsets: Offsets, wide: bool
) -> None:
    """For each frequency, sum up the products over the channels, for a block of filters and a run of patches."""
    for q in range(16):
        first, v = w + q * channels * BLOCK, q * channels * PITCH
        if wide:
            keep(sum_up(zeros(2, WIDE), weights, first, frequencies, v, offsets, BLOCK), sums, q * SUMS)
        else:
            keep(sum_up(zeros(2, HALF), weights, first, frequencies, v, offsets, BLOCK), sums, q * SUMS)


@kernel
def winograd(
    output: Floats,
    images: Floats,
    weights: Floats,
    biases: Floats,
    offsets: Offsets,
    slope: np.float32,
    scratch: Floats,
    padding: int,
    border_height: int,
    row_length: int,
    shares: int,
) -> None:
    """Convolve images (batch, channels, height, width) with 3x3 filters, stride 1, into (batch, filters, rows,
    columns).

    A share of an image is a band of patch rows. scratch (threads, numbers) holds for each thread the bordered planes,
    the frequencies of one run of patches, and their sums for one block of filters: see `scratch_size`.
    """
    batch, filters, rows, columns = output.shape
    channels = images.shape[1]
    threads, items = len(scratch), batch * shares
    patch_rows, patches = (rows + 1) // 2, (columns + 1) // 2
    plane = rows * columns
    # Where a row has few patches, two rows make one run.
    together = 2 if patches <= HALF else 1
    flat = output.reshape(-1)
    for thread in prange(threads):
        number = np.int64(thread)  # a parallel index is unsigned
        border = scratch[number]
        sums = border[len(border) - 16 * SUMS :]
        frequencies = border[len(border) - 16 * SUMS - 16 * channels * PITCH - LANES :]
        for item in range(number * items // threads, (number + 1) * items // threads):
            b, share = item // shares, item % shares
            low, high = share * patch_rows // shares, (share + 1) * patch_rows // shares
            count = 2 * (high - low) + 2
            top = 2 * low - padding
            copy_rows(border, images[b], 0, channels, top, count, border_height, row_length, padding, 2)
            for patch_row in range(low, high, together):
                deep = min(together, high - patch_row)
                for x in range(0, patches, WIDE):
                    run = min(WIDE, patches - x)
                    for c in range(channels):
                        for row in range(deep):
                            s = (c * border_height + 2 * (patch_row - low + row)) * row_length + x
                            v = c * PITCH + row * HALF
                            to_frequencies(frequencies, v, channels * PITCH, border, s, row_length, row_length // 2)
                    wide = run > HALF or deep == 2
                    for f in range(0, filters, BLOCK):
                        multiply(sums, weights, 16 * f * channels, frequencies, channels, offsets, wide)
                        for half in range(2 if wide else 1):
                            y = 2 * (patch_row + (half if deep == 2 else 0))
                            left = x + (0 if deep == 2 else half * HALF)
                            pixels = min(2 * HALF, columns - 2 * left)
                            o = (b * filters + f) * plane + y * columns + 2 * left
                            m = half * HALF * LANES
                            upper = finish(from_frequencies(sums, m, 0, HALF), biases, f, slope)
                            store(upper, flat, o, plane, filters - f, pixels)
                            if y + 1 < rows:
                                lower = finish(from_frequencies(sums, m, 1, HALF), biases, f, slope)
                                store(lower, flat, o + columns, plane, filters - f, pixels)


def scratch_size(channels: int, border_height: int, row_length: int) -> int:
    """Numbers of scratch for each thread."""
    return channels * border_height * row_length + 2 * LANES + 16 * channels * PITCH + LANES + 16 * SUMS


def pack_winograd(weights: Floats) -> Floats:
    """Filters (filters, channels, 3, 3) as (blocks, 16 frequencies, channels, BLOCK), flat."""
    filters, channels = weights.shape[:2]
    turned = np.einsum("iy,fcyx,jx->ijfc", G, weights.astype(np.float64), G).astype(np.float32)
    blocks = [
        np.concatenate([pack(frequency) for frequency in turned[:, :, f : f + BLOCK].reshape(16, -1, channels)])
        for f in range(0, filters, BLOCK)
    ]
    return np.concatenate(blocks)
