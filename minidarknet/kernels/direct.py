"""Convolution of any size, stride and padding, and of single pixels, with the tile.

The work is cut into items: (image, share of an image). A thread takes a run of items and does all of each: copies the
rows that it needs into its own bordered planes, then sums up. Each output number has one writer and one order of its
sum, so the bits do not depend on the number of threads or images.

A share of an image is a band of rows; where the weights are much larger than the image, it is a share of the filters,
so that each thread reads only its own weights.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from minidarknet.kernels.border import copy_rows
from minidarknet.kernels.jit import kernel
from minidarknet.kernels.tile import BLOCK, WIDE, Floats, Offsets, sum_row


@kernel
def convolve(
    output: Floats,
    images: Floats,
    weights: Floats,
    biases: Floats,
    offsets: Offsets,
    slope: np.float32,
    borders: Floats,
    size: int,
    stride: int,
    padding: int,
    border_height: int,
    row_length: int,
    shares: int,
    by_filters: bool,
) -> None:
    """Convolve images (batch, groups, channels, height, width) into output (batch, groups, filters, rows, columns).

    weights (groups, blocks * k * BLOCK) are packed, biases (groups, filters + BLOCK) padded. borders (threads, numbers)
    holds for each thread channels * border_height * row_length numbers and SLACK.
    """
    batch, groups, filters, rows, columns = output.shape
    channels = images.shape[2]
    threads = len(borders)
    items = batch * shares
    blocks = (filters + BLOCK - 1) // BLOCK
    flat = output.reshape(-1)
    for thread in prange(threads):
        number = np.int64(thread)  # a parallel index is unsigned
        border = borders[number]
        for item in range(number * items // threads, (number + 1) * items // threads):
            b, share = item // shares, item % shares
            low, high, begin, end = 0, rows, 0, blocks
            if by_filters:
                begin, end = share * blocks // shares, (share + 1) * blocks // shares
            else:
                low, high = share * rows // shares, (share + 1) * rows // shares
            for g in range(groups):
                top = low * stride - padding
                count = (high - low - 1) * stride + size
                copy_rows(border, images[b, g], 0, channels, top, count, border_height, row_length, padding, stride)
                for block in range(begin, end):
                    f = block * BLOCK
                    for y in range(low, high):
                        sum_row(
                            flat,
                            (((b * groups + g) * filters + f) * rows + y) * columns,
                            rows * columns,
                            border,
                            (y - low) * stride * row_length,
                            columns,
                            weights[g],
                            f * len(offsets),
                            offsets,
                            biases[g],
                            f,
                            filters - f,
                            slope,
                        )


@kernel
def convolve_points(
    output: Floats,
    images: Floats,
    weights: Floats,
    biases: Floats,
    offsets: Offsets,
    slope: np.float32,
    tails: Floats,
    shares: int,
) -> None:
    """Convolve single pixels: images (batch, channels, pixels) into output (batch, filters, pixels).

    The image serves as it is, as one long row. Only its last pixels, which do not fill a tile, are copied into
    tails (threads, channels * WIDE + SLACK), so that no tile reads behind the image's end.
    """
    batch, filters, pixels = output.shape
    channels = images.shape[1]
    threads = len(tails)
    items = batch * shares
    whole = pixels // WIDE
    flat, source = output.reshape(-1), images.reshape(-1)
    tail_offsets = np.arange(channels) * WIDE
    for thread in prange(threads):
        number = np.int64(thread)
        tail = tails[number]
        for item in range(number * items // threads, (number + 1) * items // threads):
            b, share = item // shares, item % shares
            low, high = share * whole // shares * WIDE, (share + 1) * whole // shares * WIDE
            left = pixels - whole * WIDE if share == shares - 1 else 0
            for c in range(channels):
                for x in range(left):
                    tail[c * WIDE + x] = images[b, c, whole * WIDE + x]
            for f in range(0, filters, BLOCK):
                o, s, w = (b * filters + f) * pixels, b * channels * pixels, f * channels
                count = filters - f
                sum_row(
                    flat, o + low, pixels, source, s + low, high - low, weights, w, offsets, biases, f, count, slope
                )
                sum_row(flat, o + high, pixels, tail, 0, left, weights, w, tail_offsets, biases, f, count, slope)
