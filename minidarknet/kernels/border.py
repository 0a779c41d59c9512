"""Copy rows of an image into planes with a border of zeros, so that no window has to ask where the image ends.

With a stride of 2, every second pixel of a row belongs to the same place in a window. So the copy also sorts each row
by phase: first the columns 0, 2, 4, ..., then 1, 3, 5, ... Neighbouring pixels of the output then read neighbouring
numbers, whatever the stride.

    row 1 2 3 4 5, padding 1, stride 2        0 1 2 3 4 5 0 (0)   ->   0 2 4 0 | 1 3 5 0
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minidarknet.kernels.jit import scalar


@scalar
def copy_rows(
    border: NDArray[np.float32],
    image: NDArray[np.float32],
    first: int,
    channels: int,
    top: int,
    count: int,
    height: int,
    row_length: int,
    padding: int,
    stride: int,
) -> None:
    """Copy `count` rows from row `top` on of the `channels` channels from `first` on of image (channels, height,
    width).

    Parameters
    ----------
    border
        Flat; planes of `height` rows of `row_length` numbers, a multiple of the stride.
    top
        May be negative, and rows may be beyond the image's end: those are zeros.
    """
    _, image_height, width = image.shape
    part = row_length // stride
    for c in range(channels):
        for i in range(count):
            y = top + i
            start = (c * height + i) * row_length
            if y < 0 or y >= image_height:
                border[start : start + row_length] = np.float32(0)
                continue
            for phase in range(stride):
                to = start + phase * part
                before = max(0, (padding - phase + stride - 1) // stride)  # zeros before the image begins
                behind = min(part, (width + padding - phase + stride - 1) // stride)
                shift = phase - padding
                for j in range(before):
                    border[to + j] = np.float32(0)
                for j in range(before, behind):
                    border[to + j] = image[first + c, y, j * stride + shift]
                for j in range(max(before, behind), part):
                    border[to + j] = np.float32(0)
