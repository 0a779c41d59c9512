"""Dropout: in training, each number is dropped with a probability and the others grow by 1 / (1 - p) to make up for it.

    1 2 3 4    with p = 0.5    ->    0 4 0 8   in training        1 2 3 4   when predicting

When predicting it does nothing at all. Source: Darknet, dropout_layer.c.

Lesson: lessons/12_data.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minidarknet.layers.base import Layer, LayerOptions, Run
from minidarknet.layers.parameter import Array
from minidarknet.options import option
from minidarknet.shapes import Shape


@dataclass(frozen=True)
class DropoutOptions(LayerOptions):
    probability: float = option(0.5, "share of the numbers that are dropped in training", minimum=0, maximum=1)


class Dropout(Layer):
    """The `[dropout]` section."""

    kind = "dropout"
    Options = DropoutOptions

    def infer(self, *in_shapes: Shape) -> Shape:
        return in_shapes[0]

    def allocate(self, batch: int, memory: Array | None = None) -> None:
        self.output = np.empty((0, *self.out_shape.array_shape), np.float32)  # it passes its input on

    def output_bytes(self, batch: int) -> int:
        return 0

    def kept_size(self, batch: int) -> int:
        return 2 * batch * self.out_shape.size  # the output, and each number's factor

    def _kept(self, x: Array) -> tuple[Array, Array]:
        return self.kept[: x.size].reshape(x.shape), self.kept[x.size : 2 * x.size].reshape(x.shape)

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        if not run.training:
            return x
        output, factors = self._kept(x)
        probability = np.float32(self.options.probability)
        generator = np.random.default_rng((run.seed, self.index))
        kept = generator.random(x.shape, np.float32) >= probability
        with np.errstate(divide="ignore", invalid="ignore"):  # with probability 1 nothing is kept
            np.multiply(kept, np.float32(1) / (np.float32(1) - probability), out=factors, where=kept)
        factors[~kept] = 0
        np.multiply(x, factors, out=output)
        return output

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        (x,), (grad_input,) = inputs, grad_inputs
        if grad_input is not None and run.training:
            np.multiply(grad_output, self._kept(x)[1], out=grad_input)
        elif grad_input is not None:
            grad_input[:] = grad_output

    def table_row(self) -> str:
        size = self.in_shape.size
        return f"dropout       p = {self.options.probability:.2f}               {size:4d}  ->  {size:4d}"
