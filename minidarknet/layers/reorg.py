"""Reorg: trade width and height for channels, without changing a number.

    4x2x2 image               its memory read as 1x4x4       stride=2: each 2x2 block becomes one pixel of 4 channels
    1 2  5 6   9 10  13 14     1  2  3  4                    1 3     2 4     5 7     6 8       that is the top left of
    3 4  7 8  11 12  15 16     5  6  7  8           ->       9 11   10 12   13 15   14 16      each, top right, ...
                               9 10 11 12
                              13 14 15 16                    and these 16 numbers are the output, 16x1x1

One would cut the blocks out of the image itself. Darknet reads the memory of its input as an image of (channels /
stride^2, height * stride, width * stride) first; what YOLOv2 learned depends on it, so it is kept. `reverse` makes the
sides longer instead: for an image of the same shape it moves the same numbers back. `flatten` puts the channels
innermost, `extra` appends zeros. Source: Darknet, reorg_layer.c, blas.c.

Lesson: lessons/01_pictures.py
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
class ReorgOptions(LayerOptions):
    stride: int = option(1, "factor that the sides are divided by", minimum=1, maximum=MAXIMUM_ELEMENTS)
    reverse: bool = option(False, "multiply the sides instead")
    flatten: bool = option(False, "turn channel, row, column into row, column, channel (reverse: back)")
    extra: int = option(0, "zeros to append; the result is a plain vector", minimum=0, maximum=MAXIMUM_ELEMENTS)


class Reorg(Layer):
    """The `[reorg]` section."""

    kind = "reorg"
    Options = ReorgOptions

    def infer(self, *in_shapes: Shape) -> Shape:
        (shape,) = in_shapes
        self.need_image(shape)
        o, square = self.options, self.options.stride**2
        if o.extra:
            return Shape.flat(shape.size + o.extra)
        if (o.reverse or not o.flatten) and shape.channels % square:
            raise self.error(f"needs a number of channels that {square} divides, but its input is {shape}", "stride")
        if o.reverse:
            return Shape(shape.channels // square, shape.height * o.stride, shape.width * o.stride)
        if shape.height % o.stride or shape.width % o.stride:
            raise self.error(f"stride={o.stride} does not divide the sides of {shape}", "stride")
        return Shape(shape.channels * square, shape.height // o.stride, shape.width // o.stride)

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        output = self.output[: len(x)]
        if self.options.extra:
            flat = output.reshape(len(x), self.out_shape.size)
            flat[:, : self.in_shape.size] = x.reshape(len(x), self.in_shape.size)
            flat[:, self.in_shape.size :] = 0
            return output
        sides, order = self._rearranging()
        output[:] = x.reshape(len(x), *sides).transpose(order).reshape(output.shape)
        return output

    def _rearranging(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """As what sides the numbers of an image are read, and the order that these are then put into."""
        o, (channels, height, width) = self.options, self.in_shape.array_shape
        s, part = o.stride, channels // o.stride**2
        if o.flatten:
            return ((height * width, channels) if o.reverse else (channels, height * width)), (0, 2, 1)
        if o.reverse:  # (dy, dx, part, y, x) to (part, y, dy, x, dx)
            return (s, s, part, height, width), (0, 3, 4, 1, 5, 2)
        return (part, height, s, width, s), (0, 3, 5, 1, 2, 4)

    @property
    def overwrites_in_darknet(self) -> bool:
        return True

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        (grad_input,) = grad_inputs
        if grad_input is None:
            return
        if self.options.extra:
            flat = grad_output.reshape(len(grad_output), -1)
            grad_input[:] = flat[:, : self.in_shape.size].reshape(grad_input.shape)
            return
        sides, order = self._rearranging()
        rearranged = grad_output.reshape(len(grad_output), *(sides[axis - 1] for axis in order[1:]))
        grad_input[:] = rearranged.transpose(np.argsort(order)).reshape(grad_input.shape)

    def table_row(self) -> str:
        if self.options.extra:
            return f"reorg              {self.in_shape.size:4d}   ->  {self.out_shape.size:4d}"
        stride = self.options.stride
        return f"reorg              /{stride:2d}  {self.in_shape.table_cells()}   ->  {self.out_shape.table_cells()}"
