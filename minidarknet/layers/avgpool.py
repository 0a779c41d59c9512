"""Average pooling: each channel becomes one number, the mean of its whole plane.

    1 3 2 0
    5 4 1 1                         Whatever the picture's size, what follows always sees one number for each channel:
    0 2 7 8    ->    2.75           this is what lets a network without connected layers take any picture.
    1 0 3 6

Source: Darknet, avgpool_layer.c.

Lesson: lessons/05_pooling.py
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import prange

from minidarknet.kernels.jit import kernel
from minidarknet.layers.base import Layer, Run
from minidarknet.layers.parameter import Array
from minidarknet.shapes import Shape


@kernel
def avgpool(output: Array, source: Array) -> None:
    """Write the mean of each row of source (planes, cells) into output (planes,).

    A single running sum would wait for each addition to end before the next begins, so eight run side by side.
    """
    planes, cells = source.shape
    whole = cells - cells % 8
    for plane in prange(planes):
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = np.float32(0)
        for i in range(0, whole, 8):
            s0 += source[plane, i]
            s1 += source[plane, i + 1]
            s2 += source[plane, i + 2]
            s3 += source[plane, i + 3]
            s4 += source[plane, i + 4]
            s5 += source[plane, i + 5]
            s6 += source[plane, i + 6]
            s7 += source[plane, i + 7]
        total = ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7))
        for i in range(whole, cells):
            total += source[plane, i]
        output[plane] = total / np.float32(cells)


class Avgpool(Layer):
    """The `[avgpool]` or `[avg]` section."""

    kind = "avgpool"

    def infer(self, *in_shapes: Shape) -> Shape:
        (shape,) = in_shapes
        self.need_image(shape)
        return Shape(shape.channels)

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        output = self.output[: len(x)]
        avgpool(output.reshape(-1), x.reshape(output.size, self.in_shape.height * self.in_shape.width))
        return output

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        (grad_input,) = grad_inputs
        if grad_input is not None:
            cells = self.in_shape.height * self.in_shape.width
            grad_input[:] = grad_output.reshape(*grad_input.shape[:2], 1, 1) / np.float32(cells)

    def table_row(self) -> str:
        return f"avg                     {self.in_shape.table_cells()}   ->  {self.out_shape.channels:4d}"

    def window(self) -> None:
        return None
