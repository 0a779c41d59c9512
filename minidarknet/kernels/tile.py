"""The tile: a block of filters for a run of pixels, summed up in registers. Every convolution comes down to it.

A convolution is a sum over k: over all channels c and all cells ky, kx of the window. For each k, a filter has one
weight and a pixel has one number, and they are multiplied and added:

    sum[filter, pixel]  +=  weight[k, filter] * source[pixel + offset[k]]

`offsets[k]` says where, seen from a pixel, the number for k stands: c planes, ky rows and kx cells further. With the
table of offsets made beforehand, one loop over k serves every size of window.

Weights are packed as (blocks, k, filters of the block), so that the loop walks straight through them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minidarknet.kernels.jit import kernel, scalar
from minidarknet.kernels.simd import BLOCK, LANES, PIXELS, accumulate, finish, prefetch, store, zeros

#: Pixels of the three tiles: 14, 8 and 4 with 512-bit registers.
WIDE, MIDDLE, NARROW = PIXELS, PIXELS // 2 + 1, PIXELS // 3
#: How far ahead of a tile its source is fetched into the cache: the memory is asked for the pixels of the second next
#: tile, because the channels lie too far apart for the processor to guess.
AHEAD = 2 * WIDE
#: How far behind the last pixel of a row a tile may read.
SLACK = WIDE + LANES

Floats = NDArray[np.float32]
Offsets = NDArray[np.int64]


@scalar
def sum_up(tile: Any, weights: Floats, w: int, source: Floats, s: int, offsets: Offsets, step: int) -> Any:
    """The tile plus the sum over all k; weights[w:] has `step` filters for each k, source[s:] is the first pixel."""
    for k in range(len(offsets)):
        prefetch(source, s + offsets[k] + AHEAD, 1)
        tile = accumulate(tile, weights, w + k * step, source, s + offsets[k])
    return tile


@scalar
def tile_width(left: int) -> int:
    """Pixels of the next tile, of `left` that are left: wide ones, and for the rest what wastes least."""
    if left <= NARROW:
        return NARROW
    if left <= MIDDLE or WIDE < left <= 2 * MIDDLE:
        return MIDDLE
    return WIDE


@scalar
def sum_row(
    output: Floats,
    o: int,
    plane: int,
    source: Floats,
    s: int,
    pixels: int,
    weights: Floats,
    w: int,
    offsets: Offsets,
    biases: Floats,
    f: int,
    filters: int,
    slope: np.float32,
) -> None:
    """Write a row of `pixels` pixels at output[o:], and those of the block's further filters each a plane further.

    `filters` of the block's filters are written, with biases[f:] and the slope of their activation. The last tile may
    read up to SLACK numbers behind the row.
    """
    x = 0
    while x < pixels:
        width = tile_width(pixels - x)
        left = min(width, pixels - x)
        if filters <= LANES:  # a block of one vector: the second would be empty
            if width == WIDE:
                one = sum_up(zeros(1, WIDE), weights, w, source, s + x, offsets, BLOCK)
                store(finish(one, biases, f, slope), output, o + x, plane, filters, left)
            else:
                left = min(MIDDLE, pixels - x)
                few = sum_up(zeros(1, MIDDLE), weights, w, source, s + x, offsets, BLOCK)
                store(finish(few, biases, f, slope), output, o + x, plane, filters, left)
        elif width == WIDE:
            wide = sum_up(zeros(2, WIDE), weights, w, source, s + x, offsets, BLOCK)
            store(finish(wide, biases, f, slope), output, o + x, plane, filters, left)
        elif width == MIDDLE:
            middle = sum_up(zeros(2, MIDDLE), weights, w, source, s + x, offsets, BLOCK)
            store(finish(middle, biases, f, slope), output, o + x, plane, filters, left)
        else:
            narrow = sum_up(zeros(2, NARROW), weights, w, source, s + x, offsets, BLOCK)
            store(finish(narrow, biases, f, slope), output, o + x, plane, filters, left)
        x += left


def pack(weights: Floats) -> Floats:
    """Weights (filters, k) as (blocks, k, BLOCK), flat; filters that fill the last block up are 0."""
    filters, depth = weights.shape
    packed = np.empty(-(-filters // BLOCK) * depth * BLOCK, np.float32)
    pack_blocks(packed, weights)
    return packed


@kernel
def pack_blocks(packed: Floats, weights: Floats) -> None:
    """Write weights (filters, k) into packed, as `pack` says."""
    filters, depth = weights.shape
    for number in prange((filters + BLOCK - 1) // BLOCK):
        block: Any = np.int64(number)  # a parallel index is unsigned
        count = min(BLOCK, filters - block * BLOCK)
        for k in range(depth):
            place = (block * depth + k) * BLOCK
            for i in range(count):
                packed[place + i] = weights[block * BLOCK + i, k]
            for i in range(count, BLOCK):
                packed[place + i] = np.float32(0)


def pad_biases(biases: Floats) -> Floats:
    """Biases with zeros behind them, as many as the last block may read."""
    return np.concatenate([biases, np.zeros(BLOCK, np.float32)])
