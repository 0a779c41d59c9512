"""Lay every window of an image out as a column, so that a convolution becomes one matrix product.

    image 1x3x3        window 2x2, every cell        one column for each of the 4 windows
    1 2 3                                            1 2 4 5    top left of each window
    4 5 6              windows: 1 2  2 3  4 5  5 6   2 3 5 6    top right
    7 8 9                       4 5  5 6  7 8  8 9   4 5 7 8    bottom left
                                                     5 6 8 9    bottom right

The filters, one in each row of another matrix, times this one are the output. Source: Darknet, im2col.c.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minidarknet.kernels.jit import kernel


@kernel
def im2col(
    columns: NDArray[np.float32],
    image: NDArray[np.float32],
    size: int,
    stride: int,
    padding: int,
    rows: int,
    row_length: int,
) -> None:
    """Write the windows of image (channels, height, width) into columns (channels * size * size, rows * row_length).

    Cells outside the image, up to `padding` on each side, are 0.
    """
    channels, height, width = image.shape
    for line in prange(channels * size * size):
        k = np.int64(line)  # a parallel index is unsigned, and unsigned with signed would make a float
        c, ky, kx = k // (size * size), k // size % size, k % size
        for y in range(rows):
            row = y * stride - padding + ky
            for x in range(row_length):
                column = x * stride - padding + kx
                inside = 0 <= row < height and 0 <= column < width
                columns[k, y * row_length + x] = image[c, row, column] if inside else np.float32(0)
