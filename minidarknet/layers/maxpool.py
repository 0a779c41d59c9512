"""Max pooling: the largest number of each window.

    1 3 | 2 0                       A window of 2 every 2 cells. Darknet counts its padding in total, not per side,
    5 4 | 1 1        5 2            and by default takes size - 1 cells: an odd side is rounded up, and a window of 2
    ----+----   ->                  every 1 cell keeps the side. Cells outside count as -3.4e38, so they never win;
    0 2 | 7 8        2 8            a window wholly outside gives just that number.
    1 0 | 3 6

    out = (in + padding - size) / stride + 1        windows start at -(padding / 2), both divisions rounded down

Source: Darknet, maxpool_layer.c.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import prange

from minidarknet.kernels.jit import kernel, scalar
from minidarknet.layers.base import Array, Layer, LayerOptions, Run
from minidarknet.options import option
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape, window_positions

LOWEST = np.finfo(np.float32).min


@dataclass(frozen=True)
class MaxpoolOptions(LayerOptions):
    stride: int = option(1, "cells between two windows", minimum=1, maximum=MAXIMUM_ELEMENTS)
    size: int = option(0, "side of the window; 0 is the stride", minimum=0, maximum=MAXIMUM_ELEMENTS)
    padding: int = option(-1, "cells outside, both ends together; -1 is size - 1", minimum=-1, maximum=MAXIMUM_ELEMENTS)


@scalar
def widen(line: Array, row: Array) -> None:
    """Raise each number of a line to that of a row where that is larger."""
    for x in range(len(line)):
        line[x] = row[x] if row[x] > line[x] else line[x]


@scalar
def narrow(target: Array, line: Array, size: int, stride: int) -> None:
    """Write the largest number of each window of a line."""
    columns = len(target)
    # Written out for a stride of 2, because a loop with a known one becomes vector instructions.
    if stride == 2:
        for x in range(columns):
            target[x] = line[2 * x]
        for kx in range(1, size):
            for x in range(columns):
                target[x] = max(target[x], line[2 * x + kx])
        return
    for x in range(columns):
        target[x] = line[stride * x]
    for kx in range(1, size):
        for x in range(columns):
            target[x] = max(target[x], line[stride * x + kx])


@kernel
def maxpool(output: Array, source: Array, size: int, stride: int, offset: int) -> None:
    """Write the largest number of each window of source (planes, height, width) into output (planes, rows, columns).

    The first window begins `offset` cells before the first row and column. First the rows of a window are made one
    line, the largest of each column, with cells outside at both ends; then its windows are searched.
    """
    planes, height, width = source.shape
    _, rows, columns = output.shape
    length = max((columns - 1) * stride + size, offset + width)
    for plane in prange(planes):
        line = np.full(length, LOWEST, np.float32)
        inner = line[offset : offset + width]
        for y in range(rows):
            top = y * stride - offset
            inner[:] = LOWEST
            for ky in range(max(top, 0), min(top + size, height)):
                widen(inner, source[plane, ky])
            narrow(output[plane, y], line, size, stride)


class Maxpool(Layer):
    """The `[maxpool]` or `[max]` section."""

    kind = "maxpool"
    Options = MaxpoolOptions

    @property
    def size(self) -> int:
        return int(self.options.size or self.options.stride)

    @property
    def padding(self) -> int:
        return self.size - 1 if self.options.padding < 0 else int(self.options.padding)

    @property
    def is_halving(self) -> bool:
        """Whether its windows are the 2x2 squares of a plane with even sides."""
        return self.size == self.options.stride == 2 and self.padding <= 1

    def infer(self, *in_shapes: Shape) -> Shape:
        (shape,) = in_shapes
        self.need_image(shape)
        height = window_positions(shape.height, self.size, self.options.stride, self.padding)
        width = window_positions(shape.width, self.size, self.options.stride, self.padding)
        return Shape(shape.channels, height, width)

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        output = self.output[: len(x)]
        planes = len(x) * x.shape[1]
        maxpool(
            output.reshape(planes, *output.shape[2:]),
            x.reshape(planes, *x.shape[2:]),
            self.size,
            self.options.stride,
            self.padding // 2,
        )
        return output

    def table_row(self) -> str:
        return (
            f"max         {self.size:2d} x{self.size:2d} /{self.options.stride:2d}  {self.in_shape.table_cells()}"
            f"   ->  {self.out_shape.table_cells()}"
        )

    def window(self) -> tuple[int, int]:
        return self.size, self.options.stride
