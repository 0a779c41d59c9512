"""Route: take the outputs of earlier layers and lay them one behind the other, channel after channel.

    layers=-1,2   from layer 2:  [a]    and layer 4:  [c]   ->   [c]
                                 [b]                             [a]      in the order that the cfg names them
                                                                 [b]

Negative numbers count back from this layer, others from the first. Where the pictures have different sizes, the result
is a plain vector that only layers without a window may follow. Source: Darknet, route_layer.c.

Lesson: lessons/14_fire_and_residuals.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minidarknet.cfg import Section
from minidarknet.layers.base import Layer, LayerOptions, Run
from minidarknet.layers.parameter import Array
from minidarknet.options import REQUIRED, option
from minidarknet.shapes import Shape


@dataclass(frozen=True)
class RouteOptions(LayerOptions):
    layers: tuple[int, ...] = option(REQUIRED, "the layers to take; negative counts back from here")


class Route(Layer):
    """The `[route]` section."""

    kind = "route"
    Options = RouteOptions

    def __init__(self, options: Any = None, index: int = 0, section: Section | None = None) -> None:
        super().__init__(options, index, section)
        self.reads = tuple(self.earlier_layer(number, "layers") for number in self.options.layers)

    def infer(self, *in_shapes: Shape) -> Shape:
        first = in_shapes[0]
        if all(s.is_image and (s.height, s.width) == (first.height, first.width) for s in in_shapes):
            return Shape(sum(s.channels for s in in_shapes), first.height, first.width)
        return Shape.flat(sum(s.size for s in in_shapes))

    def allocate(self, batch: int, memory: Array | None = None) -> None:
        super().allocate(0 if len(self.reads) == 1 else batch, memory)

    def output_bytes(self, batch: int) -> int:
        return 0 if len(self.reads) == 1 else super().output_bytes(batch)

    def forward(self, *inputs: Array, run: Run) -> Array:
        if len(inputs) == 1:
            return inputs[0]  # passed on as it is
        output = self.output[: len(inputs[0])]
        flat = output.reshape(len(output), self.out_shape.size)
        start = 0
        for x in inputs:
            size = x.shape[1] * x.shape[2] * x.shape[3]
            flat[:, start : start + size] = x.reshape(len(x), size)
            start += size
        return output

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        flat = grad_output.reshape(len(grad_output), -1)
        start = 0
        for x, grad_input in zip(inputs, grad_inputs, strict=True):
            size = x.shape[1] * x.shape[2] * x.shape[3]
            if grad_input is not None:
                grad_input.reshape(len(x), size)[:] = flat[:, start : start + size]
            start += size

    def table_row(self) -> str:
        return "route  " + " ".join(map(str, self.reads))
