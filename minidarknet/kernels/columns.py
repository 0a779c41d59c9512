"""Convolution of small images laid out as columns (see `im2col.py`), with the tile.

A small image has few pixels and often many channels, so that most of what is read are weights. They are read once for
all images: a thread takes a block of filters, and of its weights a slice that stays in the nearest caches, and adds
that slice's products to the tiles of every image, before it goes on to the next slice. Between two slices the tiles are
kept in memory; the order of each sum is that of k all the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from minidarknet.kernels.jit import kernel, scalar
from minidarknet.kernels.simd import BLOCK, finish, keep, recall, store
from minidarknet.kernels.tile import MIDDLE, NARROW, WIDE, Floats, Offsets, sum_up, tile_width

#: Numbers k of a slice: with 512-bit registers its weights take 64 KiB.
SLICE = 512


@scalar
def add_slice(
    tile: Any,
    sums: Floats,
    m: int,
    columns: Floats,
    s: int,
    offsets: Offsets,
    weights: Floats,
    w: int,
    output: Floats,
    o: int,
    plane: int,
    pixels: int,
    biases: Floats,
    f: int,
    filters: int,
    slope: np.float32,
    last: bool,
) -> None:
    """Add a slice's products to a tile; then keep it in the sums, or write it to the output after the last slice."""
    total = sum_up(tile, weights, w, columns, s, offsets, BLOCK)
    if last:
        store(finish(total, biases, f, slope), output, o, plane, filters, pixels)
    else:
        keep(total, sums, m)


@kernel
def convolve_columns(
    output: Floats,
    start: int,
    columns: Floats,
    weights: Floats,
    biases: Floats,
    offsets: Offsets,
    slope: np.float32,
    scratch: Floats,
    filters: int,
    pixels: int,
) -> None:
    """Convolve columns (batch, k * pixels) into output (batch, numbers), from number `start` of each image.

    weights are packed for `filters` filters, biases padded; offsets (k,) are those of a column's rows. scratch
    (threads, numbers) holds for each thread the tiles of one block of filters: batch * `kept_size(pixels)` numbers.
    SLACK numbers behind the columns are read and not used.
    """
    batch, threads, depth = len(columns), len(scratch), len(offsets)
    blocks, kept = (filters + BLOCK - 1) // BLOCK, (pixels + WIDE) * BLOCK
    flat, source = output.reshape(-1), columns.reshape(-1)
    for thread in prange(threads):
        number = np.int64(thread)  # a parallel index is unsigned
        sums = scratch[number]
        for block in range(number * blocks // threads, (number + 1) * blocks // threads):
            f = block * BLOCK
            for first in range(0, depth, SLICE):
                part, w = offsets[first : first + SLICE], f * depth + first * BLOCK
                last = first + SLICE >= depth
                for b in range(batch):
                    x = 0
                    while x < pixels:
                        width = tile_width(pixels - x)
                        left = min(width, pixels - x)
                        m, s = b * kept + x * BLOCK, b * columns.shape[1] + x
                        o = b * output.shape[1] + start + f * pixels + x
                        if width == WIDE:
                            wide = recall(sums, m, 2, WIDE, first == 0)
                            add_slice(
                                wide,
                                sums,
                                m,
                                source,
                                s,
                                part,
                                weights,
                                w,
                                flat,
                                o,
                                pixels,
                                left,
                                biases,
                                f,
                                filters - f,
                                slope,
                                last,
                            )
                        elif width == MIDDLE:
                            middle = recall(sums, m, 2, MIDDLE, first == 0)
                            add_slice(
                                middle,
                                sums,
                                m,
                                source,
                                s,
                                part,
                                weights,
                                w,
                                flat,
                                o,
                                pixels,
                                left,
                                biases,
                                f,
                                filters - f,
                                slope,
                                last,
                            )
                        else:
                            narrow = recall(sums, m, 2, NARROW, first == 0)
                            add_slice(
                                narrow,
                                sums,
                                m,
                                source,
                                s,
                                part,
                                weights,
                                w,
                                flat,
                                o,
                                pixels,
                                left,
                                biases,
                                f,
                                filters - f,
                                slope,
                                last,
                            )
                        x += left


def kept_size(pixels: int) -> int:
    """Numbers of scratch for each image and thread."""
    return (pixels + WIDE) * BLOCK
