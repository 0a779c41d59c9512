"""Upsample: make a picture larger by repeating each pixel; with a negative stride, smaller by adding pixels up.

    1 2    stride=2    1 1 2 2        1 1 2 2    stride=-2     4  8      sums, not means
    3 4       ->       1 1 2 2        1 1 2 2       ->        12 16
                       3 3 4 4        3 3 4 4
                       3 3 4 4        3 3 4 4

Every number is multiplied by `scale`. Source: Darknet, upsample_layer.c.

Lesson: lessons/05_pooling.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minidarknet.layers.base import Layer, LayerOptions, Run
from minidarknet.layers.parameter import Array
from minidarknet.options import option
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape


@dataclass(frozen=True)
class UpsampleOptions(LayerOptions):
    stride: int = option(
        2, "factor on the sides; negative divides", minimum=-MAXIMUM_ELEMENTS, maximum=MAXIMUM_ELEMENTS
    )
    scale: float = option(1.0, "factor on the numbers")


class Upsample(Layer):
    """The `[upsample]` section."""

    kind = "upsample"
    Options = UpsampleOptions

    def infer(self, *in_shapes: Shape) -> Shape:
        (shape,) = in_shapes
        self.need_image(shape)
        stride = self.options.stride
        if stride == 0:
            raise self.error("stride=0 makes no picture; expected for example 2", "stride")
        if stride > 0:
            return Shape(shape.channels, shape.height * stride, shape.width * stride)
        return Shape(shape.channels, shape.height // -stride, shape.width // -stride)

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        output = self.output[: len(x)]
        factor = abs(self.options.stride)
        height, width = self.out_shape.height, self.out_shape.width
        scale = np.float32(self.options.scale)
        if self.options.stride > 0:
            grid = output.reshape(*x.shape[:3], factor, x.shape[3], factor)
            grid[:] = (scale * x)[:, :, :, None, :, None]
        else:
            whole = x[:, :, : height * factor, : width * factor]
            np.sum(whole.reshape(*x.shape[:2], height, factor, width, factor), axis=(3, 5), out=output)
            output *= scale
        return output

    @property
    def overwrites_in_darknet(self) -> bool:
        return bool(self.options.stride < 0)

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        (grad_input,) = grad_inputs
        if grad_input is None:
            return
        factor, scale = abs(self.options.stride), np.float32(self.options.scale)
        batch, channels = grad_input.shape[:2]
        if self.options.stride > 0:
            blocks = grad_output.reshape(batch, channels, self.in_shape.height, factor, self.in_shape.width, factor)
            np.sum(blocks, axis=(3, 5), out=grad_input)
            grad_input *= scale
            return
        height, width = self.out_shape.height, self.out_shape.width
        grad_input[:] = 0  # rows and columns that fill no block
        repeated = np.repeat(np.repeat(scale * grad_output, factor, axis=2), factor, axis=3)
        grad_input[:, :, : height * factor, : width * factor] = repeated

    def table_row(self) -> str:
        word = "upsample" if self.options.stride > 0 else "downsample"
        stride = abs(self.options.stride)
        return f"{word:<19}{stride:2d}x  {self.in_shape.table_cells()}   ->  {self.out_shape.table_cells()}"
