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
    channels: int,
    top: int,
    count: int,
    height: int,
    row_length: int,
    padding: int,
    stride: int,
) -> None:
    """Copy `count` rows from row `top` on of image (channels, height, width).

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
            y, start = top + i, (c * height + i) * row_length
            if y < 0 or y >= image_height:
                for j in range(row_length):
                    border[start + j] = np.float32(0)
                continue
            for phase in range(stride):
                line = start + phase * part
                before = max(0, (padding - phase + stride - 1) // stride)  # zeros before the image begins
                behind = max(before, min(part, (width + padding - phase + stride - 1) // stride))
                for j in range(before):
                    border[line + j] = np.float32(0)
                # The image's columns; written out for the usual strides, because a loop with a known one becomes
                # vector instructions.
                line, first = line + before, before * stride + phase - padding
                if stride == 1:
                    for j in range(behind - before):
                        border[line + j] = image[c, y, first + j]
                elif stride == 2:
                    for j in range(behind - before):
                        border[line + j] = image[c, y, first + 2 * j]
                elif stride == 4:
                    for j in range(behind - before):
                        border[line + j] = image[c, y, first + 4 * j]
                else:
                    for j in range(behind - before):
                        border[line + j] = image[c, y, first + stride * j]
                line -= before
                for j in range(behind, part):
                    border[line + j] = np.float32(0)
