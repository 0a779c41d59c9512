"""A connected layer: every output number is a weighted sum of all input numbers.

    x = 1 2 3        weights  1 0 1       y = 4 + 0.5        each row of the weights makes one output
                              0 2 0           4 - 1
                     biases   0.5  -1

Behind the sum come batch norm or a bias, and the activation (see `finish.py`). A picture is read in the order channel,
row, column; so every number of the weights is used once for each image, and with one image the memory's speed is all
that counts (see `kernels/dots.py`). Source: Darknet, connected_layer.c.

Lesson: lessons/10_gradients.py
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from minidarknet.kernels.activations import ACTIVATIONS
from minidarknet.kernels.dots import dots, dots_naive
from minidarknet.kernels.outer import outer_products, outer_products_naive
from minidarknet.layers.base import LayerOptions, Run
from minidarknet.layers.finish import Finished, declare_batch_norm
from minidarknet.layers.parameter import Array, Initial
from minidarknet.options import option
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape


@dataclass(frozen=True)
class ConnectedOptions(LayerOptions):
    output: int = option(1, "number of output numbers", minimum=1, maximum=MAXIMUM_ELEMENTS)
    activation: str = option("logistic", "function of each output number", choices=ACTIVATIONS)
    batch_normalize: bool = option(False, "normalise each output number")


class Connected(Finished):
    """The `[connected]` or `[conn]` section."""

    kind = "connected"
    Options = ConnectedOptions

    def infer(self, *in_shapes: Shape) -> Shape:
        (shape,) = in_shapes
        outputs = self.options.output
        self.biases = self.declare("biases", (outputs,))
        self.weights = self.declare("weights", (outputs, shape.size), Initial(uniform=math.sqrt(2 / shape.size)))
        # In the file these come behind the weights; in a convolutional layer, before them.
        self.batch_norm = declare_batch_norm(self, outputs) if self.options.batch_normalize else None
        return Shape(outputs)

    def multiply(self, x: Array, run: Run) -> Array:
        products = self.products(len(x), run)
        rows, source = products.reshape(len(x), self.options.output), x.reshape(len(x), self.in_shape.size)
        if numba.config.DISABLE_JIT:
            dots_naive(rows, source, self.weights.value)
        else:
            dots(rows, source, self.weights.value, run.threads)
        return products

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        self.multiply(x, run)
        return self.finish(len(x), run)

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        (x,), (grad_input,) = inputs, grad_inputs
        self.finish_back(grad_output, run)
        batch, weights = len(x), self.weights
        grad, source = grad_output.reshape(batch, -1), x.reshape(batch, self.in_shape.size)
        if numba.config.DISABLE_JIT:
            outer_products_naive(weights.gradient, grad, source, True)
        else:
            outer_products(weights.gradient, grad, source, True, run.threads)
        if grad_input is None:
            return
        rows, turned = grad_input.reshape(source.shape), np.ascontiguousarray(grad.T)
        if numba.config.DISABLE_JIT:
            outer_products_naive(rows, turned, weights.value, False)
        else:
            outer_products(rows, turned, weights.value, False, run.threads)

    def table_row(self) -> str:
        return connected_row(self.in_shape.size, self.options.output)

    def flops(self) -> int:
        return 2 * self.in_shape.size * int(self.options.output)

    def window(self) -> None:
        return None


def connected_row(inputs: int, outputs: int) -> str:
    """The table line of a connected layer, which recurrent layers print too."""
    return f"connected                            {inputs:4d}  ->  {outputs:4d}"
