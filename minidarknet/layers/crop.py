"""Crop: cut a window out of the picture. In training at a random place, maybe mirrored; when predicting, the centre.

    4x4 to 2x2:   . . . .
                  . a b .        then 0..1 becomes -1..1 (2 * x - 1), unless noadjust=1
                  . c d .
                  . . . .

The oldest Darknet networks begin with it. Source: Darknet, crop_layer.c.

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
class CropOptions(LayerOptions):
    crop_height: int = option(1, "height of the window", minimum=1, maximum=MAXIMUM_ELEMENTS)
    crop_width: int = option(1, "width of the window", minimum=1, maximum=MAXIMUM_ELEMENTS)
    noadjust: bool = option(False, "leave the numbers as they are")
    flip: bool = option(False, "mirror half of the pictures in training")
    angle: float = option(0.0, "largest rotation in training, in degrees (Darknet: on a GPU only)")
    saturation: float = option(1.0, "largest factor on the saturation in training (Darknet: on a GPU only)")
    exposure: float = option(1.0, "largest factor on the brightness in training (Darknet: on a GPU only)")
    shift: float = option(0.0, "largest shift of a colour in training (Darknet: on a GPU only)")


class Crop(Layer):
    """The `[crop]` section."""

    kind = "crop"
    Options = CropOptions

    def infer(self, *in_shapes: Shape) -> Shape:
        (shape,) = in_shapes
        self.need_image(shape)
        height, width = self.options.crop_height, self.options.crop_width
        if height > shape.height or width > shape.width:
            raise self.error(f"cannot cut {width} x {height} (width x height) out of {shape}")
        return Shape(shape.channels, height, width)

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        output = self.output[: len(x)]
        output[:] = self.cut(x, run)
        if not self.options.noadjust:
            output *= np.float32(2)
            output -= np.float32(1)
        return output

    def cut(self, pictures: Array, run: Run) -> Array:
        """What is cut out of pictures, as a view; in training at one random place for the whole batch."""
        height, width = self.out_shape.height, self.out_shape.width
        high, wide = self.in_shape.height - height, self.in_shape.width - width
        top, left, mirrored = high // 2, wide // 2, False
        if run.training:
            generator = np.random.default_rng((run.seed, self.index))
            top, left = int(generator.integers(high + 1)), int(generator.integers(wide + 1))
            mirrored = bool(self.options.flip) and bool(generator.integers(2))
        window = pictures[:, :, top : top + height, left : left + width]
        return window[..., ::-1] if mirrored else window

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        (grad_input,) = grad_inputs
        if grad_input is not None:
            grad_input[:] = 0
            self.cut(grad_input, run)[:] = grad_output if self.options.noadjust else 2 * grad_output

    def table_row(self) -> str:
        i, o = self.in_shape, self.out_shape
        return f"Crop Layer: {i.height} x {i.width} -> {o.height} x {o.width} x {o.channels} image"
