"""Winograd's convolution F(4x4, 3x3): a 3x3 filter with 36 multiplications where the definition needs 144.

Sixteen neighbouring outputs (4x4) depend on a patch of 6x6 inputs. Patch and filter are both turned into 36
*frequencies*; there each output frequency is one product, summed over the channels; and the 36 sums are turned into the
sixteen outputs:

    output  =  A' [ sum over channels of (G filter G') * (B' patch B) ] A

In one direction: the filter and the outputs are polynomials, whose product is known once it is known at six points. G
takes the filter's value at each point, A' makes the outputs of the products, and B' (read backwards) is what is between
them. The points are 0, a, -a, b, -b and infinity with a = 3/4 and b = 3/2:

         [ aabb     0  -aa-bb      0  1  0 ]        [ 1   1   1   1   1   0 ]
         [    0  -abb     -bb      a  1  0 ]        [ 0   a  -a   b  -b   0 ]        G: `filter_matrix`
    B' = [    0   abb     -bb     -a  1  0 ]   A' = [ 0  aa  aa  bb  bb   0 ]
         [    0  -aab     -aa      b  1  0 ]        [ 0 aaa -aaa bbb -bbb 1 ]
         [    0   aab     -aa     -b  1  0 ]
         [    0  aabb       0 -aa-bb  0  1 ]

With the points 0, 1, -1, 2, -2 of the paper the rounding error is three to four times as large; with these it is at
most twice that of the direct sum, which has more terms (see docs/decisions/0008).

The filters are turned once, when they are packed. The patches of all images are numbered row by row, and a chunk of
them goes through three steps, whose results stay in the caches:

    turn_patches      image        ->  frequencies [36][channels][patches]
    multiply          frequencies  ->  sums [36][patches][BLOCK], for one block of filters: the same tile as everywhere
    write_squares     sums         ->  bias, activation, output; or, pooled, the largest number of each 2x2

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minidarknet.kernels.frequencies import (
    FREQUENCIES,
    IN,
    OUT,
    PIECE,
    POOLED_PIECE,
    filter_matrix,
    from_frequencies,
    largest_of_squares,
)
from minidarknet.kernels.jit import kernel, scalar
from minidarknet.kernels.patches import FEW, turn_patches, turn_patches_apart
from minidarknet.kernels.simd import BLOCK, LANES, finish, keep, store, zeros
from minidarknet.kernels.tile import MIDDLE, NARROW, WIDE, Floats, Offsets, sum_up, tile_width
from minidarknet.memory import LINE, aligned

#: Channels whose filters are turned at a time.
TOGETHER = 8


def patches_pitch(chunk: int, patch_columns: int) -> int:
    """How far apart the frequencies of two channels are: what lies behind a chunk is room for idle lanes."""
    return -(-chunk // LANES) * LANES if patch_columns <= FEW else chunk + LANES


def frequency_step(channels: int, pitch: int) -> int:
    """How far apart two frequencies are: an odd number of cache lines.

    A patch is written to 36 places so far apart. Were that a multiple of many lines, they would share few of the
    cache's sets, and push each other out.
    """
    return (aligned(channels * pitch) // LINE // 2 * 2 + 1) * LINE


@scalar
def multiply(
    sums: Floats,
    weights: Floats,
    w: int,
    frequencies: Floats,
    offsets: Offsets,
    step: int,
    chunk: int,
    count: int,
    filters: int,
) -> None:
    """For each frequency, sum up the products over the channels: `filters` filters of a block, `count` patches.

    Frequencies are `step` numbers apart; the sums of one take `chunk` patches.
    """
    channels = len(offsets)
    for q in range(FREQUENCIES):
        k, v, m = w + q * channels * BLOCK, q * step, q * chunk * BLOCK
        x = 0
        while x < count:
            width = tile_width(count - x)
            if filters <= LANES:  # a block of one vector: the second would be empty
                width = WIDE
                keep(sum_up(zeros(1, WIDE), weights, k, frequencies, v + x, offsets, BLOCK), sums, m + x * BLOCK)
            elif width == WIDE:
                keep(sum_up(zeros(2, WIDE), weights, k, frequencies, v + x, offsets, BLOCK), sums, m + x * BLOCK)
            elif width == MIDDLE:
                keep(sum_up(zeros(2, MIDDLE), weights, k, frequencies, v + x, offsets, BLOCK), sums, m + x * BLOCK)
            else:
                keep(sum_up(zeros(2, NARROW), weights, k, frequencies, v + x, offsets, BLOCK), sums, m + x * BLOCK)
            x += width


@scalar
def write_squares(
    output: Floats,
    o: int,
    image_step: int,
    sums: Floats,
    first: int,
    count: int,
    chunk: int,
    patch_rows: int,
    patch_columns: int,
    rows: int,
    columns: int,
    biases: Floats,
    f: int,
    filters: int,
    slope: np.float32,
    pooled: bool,
) -> None:
    """Write the outputs of `count` patches for the first `filters` filters of a block.

    Filter i of image b is a plane of rows x columns numbers at output[o + b * image_step + i * plane:].
    """
    plane, step = rows * columns, chunk * BLOCK
    i = 0
    while i < count:
        line, column = (first + i) // patch_columns, (first + i) % patch_columns
        b, row = line // patch_rows, line % patch_rows
        length = min(count - i, patch_columns - column, POOLED_PIECE if pooled else PIECE)
        side = OUT // 2 if pooled else OUT  # of the square that a patch becomes
        for v in range(0, min(filters, BLOCK), LANES):
            m, below = i * BLOCK + v, rows - side * row
            corner = o + b * image_step + v * plane + side * row * columns + side * column
            pixels, more = min(side * length, columns - side * column), filters - v
            if pooled:
                zero = finish(largest_of_squares(sums, m, step, 0), biases, f + v, slope)
                store(zero, output, corner, plane, more, pixels)
                if below > 1:
                    one = finish(largest_of_squares(sums, m, step, 1), biases, f + v, slope)
                    store(one, output, corner + columns, plane, more, pixels)
                continue
            # Rows 0 and 2 share most of their additions, as do 1 and 3.
            zero = finish(from_frequencies(sums, m, step, 0), biases, f + v, slope)
            two = finish(from_frequencies(sums, m, step, 2), biases, f + v, slope)
            store(zero, output, corner, plane, more, pixels)
            if below > 2:
                store(two, output, corner + 2 * columns, plane, more, pixels)
            one = finish(from_frequencies(sums, m, step, 1), biases, f + v, slope)
            three = finish(from_frequencies(sums, m, step, 3), biases, f + v, slope)
            if below > 1:
                store(one, output, corner + columns, plane, more, pixels)
            if below > 3:
                store(three, output, corner + 3 * columns, plane, more, pixels)
        i += length


@kernel
def winograd(
    output: Floats,
    start: int,
    images: Floats,
    weights: Floats,
    biases: Floats,
    offsets: Offsets,
    slope: np.float32,
    scratch: Floats,
    filters: int,
    rows: int,
    columns: int,
    padding: int,
    chunk: int,
    pitch: int,
    step: int,
    by_filters: bool,
    pooled: bool,
) -> None:
    """Convolve images (batch, channels, height, width) with 3x3 filters, stride 1.

    Parameters
    ----------
    output
        (batch, numbers); the planes of an image begin at number `start`.
    rows, columns
        Sides of a plane before pooling.
    scratch
        (threads, numbers): for each thread the sums, and behind them the frequencies, of a chunk: see `scratch_size`.
    chunk
        Patches that are turned before they are multiplied.
    pitch, step
        Of `patches_pitch` and `frequency_step`; offsets are multiples of the pitch.
    by_filters
        Whether each thread takes a share of the filters, or of the patches.
    pooled
        Whether to write the largest of each 2x2 outputs only; rows and columns are even then.
    """
    batch, channels = images.shape[:2]
    threads = len(scratch)
    patch_rows, patch_columns = (rows + OUT - 1) // OUT, (columns + OUT - 1) // OUT
    patches, blocks = batch * patch_rows * patch_columns, (filters + BLOCK - 1) // BLOCK
    out_rows, out_columns = (rows // 2, columns // 2) if pooled else (rows, columns)
    flat = output.reshape(-1)
    for thread in prange(threads):
        number: Any = np.int64(thread)  # a parallel index is unsigned
        sums = scratch[number]
        frequencies = sums[(FREQUENCIES * chunk + WIDE) * BLOCK :]
        corners, masks = np.zeros(chunk + LANES, np.int64), np.zeros((chunk + LANES) * IN, np.int64)
        low, high, begin, end = 0, patches, 0, blocks
        if by_filters:
            begin, end = number * blocks // threads, (number + 1) * blocks // threads
        else:
            runs = (patches + WIDE - 1) // WIDE
            low, high = number * runs // threads * WIDE, min(patches, (number + 1) * runs // threads * WIDE)
        for first in range(low, high, chunk):
            count = min(chunk, high - first)
            if patch_columns <= FEW:
                turn_patches_apart(
                    frequencies, images, first, count, pitch, step, padding, patch_rows, patch_columns, corners, masks
                )
            else:
                turn_patches(frequencies, images, first, count, pitch, step, padding, patch_rows, patch_columns)
            for block in range(begin, end):
                f = block * BLOCK
                multiply(
                    sums, weights, FREQUENCIES * f * channels, frequencies, offsets, step, chunk, count, filters - f
                )
                write_squares(
                    flat,
                    start + f * out_rows * out_columns,
                    output.shape[1],
                    sums,
                    first,
                    count,
                    chunk,
                    patch_rows,
                    patch_columns,
                    out_rows,
                    out_columns,
                    biases,
                    f,
                    filters - f,
                    slope,
                    pooled,
                )


def scratch_size(chunk: int, step: int) -> int:
    """Numbers of scratch for each thread."""
    return (FREQUENCIES * chunk + WIDE) * BLOCK + FREQUENCIES * step + LANES


def pack_winograd(weights: Floats) -> Floats:
    """Filters (filters, channels, 3, 3) as (blocks, frequencies, channels, BLOCK), flat."""
    filters, channels = weights.shape[:2]
    packed = np.empty(-(-filters // BLOCK) * FREQUENCIES * channels * BLOCK, np.float32)
    turn_filters(packed, np.ascontiguousarray(weights, np.float32), filter_matrix())
    return packed


@kernel
def turn_filters(packed: Floats, weights: Floats, g: NDArray[np.float64]) -> None:
    """Write G filter G' of each filter and channel into packed, as `pack_winograd` says; in float64.

    The filters of a block for TOGETHER channels are turned side by side: the innermost loops run over them, and what is
    written lies side by side as well.
    """
    filters, channels = weights.shape[:2]
    groups = (channels + TOGETHER - 1) // TOGETHER
    for task in prange((filters + BLOCK - 1) // BLOCK * groups):
        block, first = np.int64(task) // groups, np.int64(task) % groups * TOGETHER
        count, more = min(BLOCK, filters - block * BLOCK), min(TOGETHER, channels - first)
        cells, half = np.zeros((3, 3, TOGETHER * BLOCK)), np.empty((IN, 3, TOGETHER * BLOCK))
        for lane in range(count):
            for c in range(more):
                for y in range(3):
                    for x in range(3):
                        cells[y, x, c * BLOCK + lane] = weights[block * BLOCK + lane, first + c, y, x]
        for i in range(IN):
            for x in range(3):
                for lane in range(TOGETHER * BLOCK):
                    half[i, x, lane] = (
                        g[i, 0] * cells[0, x, lane] + g[i, 1] * cells[1, x, lane] + g[i, 2] * cells[2, x, lane]
                    )
        for i in range(IN):
            for j in range(IN):
                place = ((block * FREQUENCIES + IN * i + j) * channels + first) * BLOCK
                run = packed[place : place + more * BLOCK]
                for lane in range(len(run)):
                    run[lane] = half[i, 0, lane] * g[j, 0] + half[i, 1, lane] * g[j, 1] + half[i, 2, lane] * g[j, 2]
