"""Lay every window of an image out as a column, so that a convolution becomes one matrix product.

    image 1x3x3        window 2x2, every cell        one column for each of the 4 windows
    1 2 3                                            1 2 4 5    top left of each window
    4 5 6              windows: 1 2  2 3  4 5  5 6   2 3 5 6    top right
    7 8 9                       4 5  5 6  7 8  8 9   4 5 7 8    bottom left
                                                     5 6 8 9    bottom right

The filters, one in each row of another matrix, times this one are the output. `col2im` is the way back of a gradient:
each pixel gets the sum of all places that it was copied to. Source: Darknet, im2col.c, col2im.c.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minidarknet.kernels.jit import kernel


@kernel
def im2col(
    columns: NDArray[np.float32],
    images: NDArray[np.float32],
    size: int,
    stride: int,
    padding: int,
    rows: int,
    row_length: int,
) -> None:
    """Write the windows of images (batch, channels, height, width) into columns (batch, channels * size * size,
    rows * row_length).

    Cells outside the image, up to `padding` on each side, are 0.
    """
    batch, channels, height, width = images.shape
    depth = channels * size * size
    for line in prange(batch * depth):
        number = np.int64(line)  # a parallel index is unsigned, and unsigned with signed would make a float
        b, k = number // depth, number % depth
        c, ky, kx = k // (size * size), k // size % size, k % size
        left = kx - padding
        first = min(row_length, max(0, (stride - 1 - left) // stride))  # the first window whose cell kx is inside
        last = max(first, min(row_length, (width - left + stride - 1) // stride))
        for y in range(rows):
            row, place = y * stride - padding + ky, y * row_length
            if row < 0 or row >= height:
                for x in range(row_length):
                    columns[b, k, place + x] = np.float32(0)
                continue
            for x in range(first):
                columns[b, k, place + x] = np.float32(0)
            for x in range(first, last):
                columns[b, k, place + x] = images[b, c, row, x * stride + left]
            for x in range(last, row_length):
                columns[b, k, place + x] = np.float32(0)


@kernel
def col2im(
    image: NDArray[np.float32],
    columns: NDArray[np.float32],
    size: int,
    stride: int,
    padding: int,
    rows: int,
    row_length: int,
) -> None:
    """Write into image (channels, height, width) the sums of columns (channels * size * size, rows * row_length)."""
    channels, height, width = image.shape
    for channel in prange(channels):
        c = np.int64(channel)
        image[c] = np.float32(0)
        for ky in range(size):
            for kx in range(size):
                k = (c * size + ky) * size + kx
                for y in range(rows):
                    row = y * stride - padding + ky
                    for x in range(row_length):
                        column = x * stride - padding + kx
                        if 0 <= row < height and 0 <= column < width:
                            image[c, row, column] += columns[k, y * row_length + x]
