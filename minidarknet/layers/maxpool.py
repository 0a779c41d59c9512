"""Max pooling: the largest number of each window.

    1 3 | 2 0                       A window of 2 every 2 cells. Darknet counts its padding in total, not per side,
    5 4 | 1 1        5 2            and by default takes size - 1 cells: an odd side is rounded up, and a window of 2
    ----+----   ->                  every 1 cell keeps the side. Cells outside count as -3.4e38, so they never win;
    0 2 | 7 8        2 8            a window wholly outside gives just that number.
    1 0 | 3 6

    out = (in + padding - size) / stride + 1        windows start at -(padding / 2), both divisions rounded down

Source: Darknet, maxpool_layer.c.

Lesson: lessons/05_pooling.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba import prange

from minidarknet.kernels.halving import maxpool_halving, squares_back
from minidarknet.kernels.jit import kernel
from minidarknet.layers.base import Layer, LayerOptions, Run
from minidarknet.layers.parameter import Array
from minidarknet.options import option
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape, window_positions

LOWEST = np.finfo(np.float32).min


@dataclass(frozen=True)
class MaxpoolOptions(LayerOptions):
    stride: int = option(1, "cells between two windows", minimum=1, maximum=MAXIMUM_ELEMENTS)
    size: int = option(0, "side of the window; 0 is the stride", minimum=0, maximum=MAXIMUM_ELEMENTS)
    padding: int = option(-1, "cells outside, both ends together; -1 is size - 1", minimum=-1, maximum=MAXIMUM_ELEMENTS)


@kernel
def maxpool(output: Array, source: Array, size: int, stride: int, offset: int) -> None:
    """Write the largest number of each window of source (planes, height, width) into output (planes, rows, columns).

    The first window begins `offset` cells before the first row and column.
    """
    planes, height, width = source.shape
    _, rows, columns = output.shape
    for plane in prange(planes):
        for y in range(rows):
            row = output[plane, y]
            row[:] = LOWEST
            top = y * stride - offset
            # One cell of the window at a time, along the whole row: such a loop becomes vector instructions.
            for ky in range(max(top, 0), min(top + size, height)):
                for kx in range(size):
                    left = kx - offset
                    first = max(0, (stride - 1 - left) // stride)  # the first window whose cell kx is inside
                    last = min(columns, (width - left + stride - 1) // stride)
                    for x in range(first, last):
                        row[x] = max(row[x], source[plane, ky, x * stride + left])


@kernel
def maxpool_back(
    grad_source: Array, source: Array, output: Array, grad: Array, size: int, stride: int, offset: int
) -> None:
    """Give each number of grad (planes, rows, columns) to the cell that won its window: of equal ones, the first.

    output is what `maxpool` wrote; grad_source and source are (planes, height, width).
    """
    planes, height, width = source.shape
    _, rows, columns = output.shape
    for number in prange(planes):
        plane: Any = np.int64(number)  # a parallel index is unsigned
        grad_source[plane] = np.float32(0)
        for y in range(rows):
            top = y * stride - offset
            for x in range(columns):
                left, largest, found = x * stride - offset, output[plane, y, x], False
                for ky in range(max(0, top), min(top + size, height)):
                    for kx in range(max(0, left), min(left + size, width)):
                        if source[plane, ky, kx] == largest:
                            grad_source[plane, ky, kx] += grad[plane, y, x]
                            found = True
                            break
                    if found:
                        break


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
        """Whether its windows are the 2x2 squares of a plane; at the end of an odd side they are cut."""
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
        # Windows of two or three cells every two have a kernel that handles a register of them at a time.
        usual = self.options.stride == 2 and self.size in (2, 3) and not numba.config.DISABLE_JIT
        method = maxpool_halving if usual else maxpool
        planes_in, planes_out = x.reshape(planes, *x.shape[2:]), output.reshape(planes, *output.shape[2:])
        method(planes_out, planes_in, self.size, self.options.stride, self.padding // 2)
        return output

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        (x,), (grad_input,) = inputs, grad_inputs
        if grad_input is None:
            return
        planes, output = len(x) * x.shape[1], self.output[: len(x)]
        before, after = (planes, *x.shape[2:]), (planes, *output.shape[2:])
        arrays = grad_input.reshape(before), x.reshape(before), output.reshape(after), grad_output.reshape(after)
        covered = all(2 * after >= before for before, after in zip(x.shape[2:], output.shape[2:], strict=True))
        if self.is_halving and covered and not numba.config.DISABLE_JIT:
            squares_back(*arrays)
        else:
            maxpool_back(*arrays, self.size, self.options.stride, self.padding // 2)

    def table_row(self) -> str:
        return (
            f"max         {self.size:2d} x{self.size:2d} /{self.options.stride:2d}  {self.in_shape.table_cells()}"
            f"   ->  {self.out_shape.table_cells()}"
        )

    def window(self) -> tuple[int, int]:
        return self.size, self.options.stride
