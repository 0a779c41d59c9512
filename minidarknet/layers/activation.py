"""An activation as a layer of its own: one function of every number.

    leaky:   -2 -1 0 1   ->   -0.2 -0.1 0 1

Which functions there are is in `kernels/activations.py`. Source: Darknet, activation_layer.c.

Lesson: lessons/06_activations.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minidarknet.kernels.activations import ACTIVATIONS, activate, activate_back
from minidarknet.layers.base import Layer, LayerOptions, Run
from minidarknet.layers.parameter import Array
from minidarknet.options import option
from minidarknet.shapes import Shape


@dataclass(frozen=True)
class ActivationOptions(LayerOptions):
    activation: str = option("linear", "function of each number", choices=ACTIVATIONS)


class Activation(Layer):
    """The `[activation]` section."""

    kind = "activation"
    Options = ActivationOptions

    def infer(self, *in_shapes: Shape) -> Shape:
        return in_shapes[0]

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        output = self.output[: len(x)]
        activate(output.reshape(-1), x.reshape(-1), ACTIVATIONS[self.options.activation])
        return output

    @property
    def overwrites_in_darknet(self) -> bool:
        return True

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        (grad_input,) = grad_inputs
        if grad_input is not None:
            grad_input[:] = grad_output
            output = self.output[: len(grad_output)]
            activate_back(grad_input.reshape(-1), output.reshape(-1), ACTIVATIONS[self.options.activation])

    def table_row(self) -> str:
        return f"Activation Layer: {self.in_shape.size} inputs"
