"""Average pooling: each channel becomes one number, the mean of its whole plane.

    1 3 2 0
    5 4 1 1                         Whatever the picture's size, what follows always sees one number for each channel:
    0 2 7 8    ->    2.75           this is what lets a network without connected layers take any picture.
    1 0 3 6

Source: Darknet, avgpool_layer.c.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from minidarknet.kernels.jit import kernel
from minidarknet.layers.base import Array, Layer, Run
from minidarknet.shapes import Shape


@kernel
def avgpool(output: Array, source: Array) -> None:
    """Write the mean of each row of source (planes, cells) into output (planes,)."""
    planes, cells = source.shape
    for plane in prange(planes):
        total = np.float32(0)
        for i in range(cells):
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

    def table_row(self) -> str:
        return f"avg                     {self.in_shape.table_cells()}   ->  {self.out_shape.channels:4d}"

    def window(self) -> None:
        return None
