"""A connected layer: every output number is a weighted sum of all input numbers.

    x = 1 2 3        weights  1 0 1       y = 4 + 0.5        each row of the weights makes one output
                              0 2 0           4 - 1
                     biases   0.5  -1

Behind the sum come batch norm or a bias, and the activation (see `finish.py`). A picture is read in the order channel,
row, column. Source: Darknet, connected_layer.c.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import prange

from minidarknet.kernels.activations import ACTIVATIONS
from minidarknet.kernels.jit import kernel
from minidarknet.layers.base import Array, Initial, Layer, LayerOptions, Run
from minidarknet.layers.finish import declare_batch_norm, finish
from minidarknet.options import option
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape


@dataclass(frozen=True)
class ConnectedOptions(LayerOptions):
    output: int = option(1, "number of output numbers", minimum=1, maximum=MAXIMUM_ELEMENTS)
    activation: str = option("logistic", "function of each output number", choices=ACTIVATIONS)
    batch_normalize: bool = option(False, "normalise each output number")


@kernel
def connected(output: Array, source: Array, weights: Array) -> None:
    """Write source (batch, inputs) @ weights (outputs, inputs).T into output (batch, outputs).

    A single running sum would wait for each addition to end before the next begins, so eight run side by side; their
    order is fixed, and so are the bits.
    """
    batch, inputs = source.shape
    whole = inputs - inputs % 8
    for o in prange(weights.shape[0]):
        for b in range(batch):
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = np.float32(0)
            for i in range(0, whole, 8):
                s0 += source[b, i] * weights[o, i]
                s1 += source[b, i + 1] * weights[o, i + 1]
                s2 += source[b, i + 2] * weights[o, i + 2]
                s3 += source[b, i + 3] * weights[o, i + 3]
                s4 += source[b, i + 4] * weights[o, i + 4]
                s5 += source[b, i + 5] * weights[o, i + 5]
                s6 += source[b, i + 6] * weights[o, i + 6]
                s7 += source[b, i + 7] * weights[o, i + 7]
            total = ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7))
            for i in range(whole, inputs):
                total += source[b, i] * weights[o, i]
            output[b, o] = total


class Connected(Layer):
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

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        output = self.output[: len(x)]
        connected(
            output.reshape(len(x), self.options.output), x.reshape(len(x), self.in_shape.size), self.weights.value
        )
        finish(output, self.biases, self.batch_norm, self.options.activation)
        return output

    def table_row(self) -> str:
        return connected_row(self.in_shape.size, self.options.output)

    def flops(self) -> int:
        return 2 * self.in_shape.size * int(self.options.output)

    def window(self) -> None:
        return None


def connected_row(inputs: int, outputs: int) -> str:
    """The table line of a connected layer, which recurrent layers print too."""
    return f"connected                            {inputs:4d}  ->  {outputs:4d}"
