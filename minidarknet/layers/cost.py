"""The cost: how far the outputs are from the truth, number by number.

    outputs 0.7 0.2 0.1   truth 1 0 0   ->   sse: squared distances 0.09 0.04 0.01, loss 0.14

Without a truth its output is all zeros, and a network's answer is the output of the layer before. `scale` matters to
training only. Source: Darknet, cost_layer.c, blas.c.

Lesson: lessons/08_softmax_and_loss.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minidarknet.layers.base import Layer, LayerOptions, Run
from minidarknet.layers.parameter import Array
from minidarknet.options import option
from minidarknet.shapes import Shape

#: Darknet's mark for "no truth here" in a masked cost.
MASK = np.float32(-1234)
ONE = np.float32(1)


@dataclass(frozen=True)
class CostOptions(LayerOptions):
    type: str = option("sse", "how a distance counts", choices=("sse", "L1", "smooth", "masked", "seg", "wgan"))
    scale: float = option(1.0, "factor on what goes back in training")
    ratio: float = option(0.0, "share of the smallest errors that is dropped (Darknet: on a GPU only)")
    noobj: float = option(1.0, "factor where the truth is 0 (Darknet: on a GPU only)")
    thresh: float = option(0.0, "errors below it are dropped (Darknet: on a GPU only)")


class Cost(Layer):
    """The `[cost]` section."""

    kind = "cost"
    Options = CostOptions

    def infer(self, *in_shapes: Shape) -> Shape:
        return Shape.flat(in_shapes[0].size)

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        output = self.output[: len(x)]
        if run.truth is None:
            output[:] = 0
            self.loss = None
            return output
        self.check_truth(run.truth, len(x))
        output[:] = self._errors(x.reshape(run.truth.shape), run.truth).reshape(output.shape)
        self.loss = float(output.sum(dtype=np.float64))
        return output

    def _errors(self, x: Array, truth: Array) -> Array:
        distance = np.abs(truth - x)
        if self.options.type == "L1":
            return distance
        if self.options.type == "smooth":  # squared near 0, straight beyond 1
            return np.where(distance < 1, distance * distance, 2 * distance - 1)
        if self.options.type == "masked":
            distance = np.where(truth == MASK, np.float32(0), distance)
        return np.asarray(distance * distance)

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        """Half the derivative of a square, as usual: x - truth. Where the loss is straight, its sign.

        Darknet has the wrong sign where `smooth` is straight, and takes a hit of `L1` for a miss by too much.
        """
        (x,), (grad_input,) = inputs, grad_inputs
        if grad_input is None:
            return
        if run.truth is None:
            grad_input[:] = 0
            return
        off = x.reshape(run.truth.shape) - run.truth
        if self.options.type == "masked":
            off[run.truth == MASK] = 0
        elif self.options.type == "L1":
            off = np.where(off >= 0, ONE, -ONE) if run.quirks else np.sign(off)
        elif self.options.type == "smooth":
            straight = -np.sign(off) if run.quirks else np.sign(off)
            off = np.where(np.abs(off) < 1, off, straight)
        grad_input[:] = (np.float32(self.options.scale) * off).reshape(grad_input.shape)

    def table_row(self) -> str:
        return f"cost                                           {self.in_shape.size:4d}"

    def window(self) -> None:
        return None
