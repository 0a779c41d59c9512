"""Convolution by definition, with the tile: of single pixels, and of windows of any size, stride and padding.

The threads share the pixels of all images, or, where the weights are the larger part, the filters, so that each thread
reads only its own weights. Each output number has one writer and one order of its sum, so the bits do not depend on the
number of threads or images.

Both kernels write images of several groups or layers into one buffer: `output` is (batch, numbers), and the planes
that are meant begin at number `start` of each image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from minidarknet.kernels.border import copy_rows
from minidarknet.kernels.jit import kernel
from minidarknet.kernels.simd import BLOCK
from minidarknet.kernels.tile import WIDE, Floats, Offsets, sum_row


@kernel
def convolve_points(
    output: Floats,
    start: int,
    images: Floats,
    weights: Floats,
    biases: Floats,
    offsets: Offsets,
    slope: np.float32,
    threads: int,
    filters: int,
    pixels: int,
    by_filters: bool,
) -> None:
    """Convolve single pixels: images (batch, numbers), in which each channel is one long row of `pixels` pixels.

    weights are packed for `filters` filters, biases padded. A last tile that would end behind the row begins earlier
    instead, and computes some pixels again; only a row shorter than a tile is read beyond its end, by less than WIDE.
    """
    batch, image_step = images.shape
    blocks, tiles = (filters + BLOCK - 1) // BLOCK, (pixels + WIDE - 1) // WIDE
    flat, source = output.reshape(-1), images.reshape(-1)
    for thread in prange(threads):
        number: Any = np.int64(thread)  # a parallel index is unsigned
        low, high, begin, end = 0, batch * tiles, 0, blocks
        if by_filters:
            begin, end = number * blocks // threads, (number + 1) * blocks // threads
        else:
            low, high = number * batch * tiles // threads, (number + 1) * batch * tiles // threads
        for block in range(begin, end):
            f = block * BLOCK
            tile = low
            while tile < high:
                b, first = tile // tiles, tile % tiles * WIDE
                count = min(high - tile, tiles - tile % tiles)  # tiles of this image
                left = min(count * WIDE, pixels - first)
                # Whole tiles, and one that overlaps them backwards.
                whole = left if left < WIDE else left - left % WIDE
                o, s = b * output.shape[1] + start + f * pixels + first, b * image_step + first
                w, more = f * len(offsets), filters - f
                sum_row(flat, o, pixels, source, s, whole, weights, w, offsets, biases, f, more, slope)
                if whole < left:
                    x = left - WIDE
                    sum_row(flat, o + x, pixels, source, s + x, WIDE, weights, w, offsets, biases, f, more, slope)
                tile += count


@kernel
def convolve(
    output: Floats,
    start: int,
    images: Floats,
    weights: Floats,
    biases: Floats,
    offsets: Offsets,
    slope: np.float32,
    borders: Floats,
    filters: int,
    rows: int,
    columns: int,
    size: int,
    stride: int,
    padding: int,
    border_height: int,
    row_length: int,
) -> None:
    """Convolve images (batch, groups, channels, height, width) with `filters` filters for each group.

    weights (groups, blocks * k * BLOCK) are packed, biases (groups, filters + BLOCK) padded. Each thread copies the
    rows that it needs, a band at a time, into its bordered planes: borders (threads, numbers) holds for each thread
    channels * border_height * row_length numbers and SLACK.
    """
    batch, groups, channels = images.shape[:3]
    threads = len(borders)
    band = (border_height - size) // stride + 1  # rows of output that a border is high enough for
    plane = rows * columns
    flat = output.reshape(-1)
    for thread in prange(threads):
        number: Any = np.int64(thread)
        border = borders[number]
        line, end = number * batch * rows // threads, (number + 1) * batch * rows // threads
        while line < end:
            b, low = line // rows, line % rows
            count = min(end - line, rows - low, band)
            for g in range(groups):
                top, height = low * stride - padding, (count - 1) * stride + size
                copy_rows(border, images[b, g], channels, top, height, border_height, row_length, padding, stride)
                for f in range(0, filters, BLOCK):
                    o = b * output.shape[1] + start + (g * filters + f) * plane + low * columns
                    w, more = f * len(offsets), filters - f
                    for y in range(count):
                        s = y * stride * row_length
                        sum_row(
                            flat,
                            o + y * columns,
                            plane,
                            border,
                            s,
                            columns,
                            weights[g],
                            w,
                            offsets,
                            biases[g],
                            f,
                            more,
                            slope,
                        )
            line += count
