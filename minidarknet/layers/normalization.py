"""Local response normalization: a number is damped where its neighbours in other channels are large.

    y = x / (kappa + alpha * sum of x^2 over `size` channels around this one) ^ beta

    channels 1 2 3, size 3, kappa = alpha = beta = 1   ->   1 / (1 + 1)   2 / (1 + 1 + 9)   3 / (1 + 9)

What differs from the paper (AlexNet, 2012), because files trained with Darknet depend on it: alpha is not divided by
size, and the channel number size / 2 never counts. Darknet keeps a running sum and forgets to add that channel when it
begins, yet subtracts it later; for every channel this comes to the full sum less that one square. With a large alpha
the bracket can become negative and the result NaN. Source: Darknet, normalization_layer.c.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import prange

from minidarknet.kernels.jit import kernel
from minidarknet.layers.base import Layer, LayerOptions, Run
from minidarknet.layers.parameter import Array
from minidarknet.options import option
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape


@dataclass(frozen=True)
class NormalizationOptions(LayerOptions):
    alpha: float = option(0.0001, "weight of the squares")
    beta: float = option(0.75, "exponent of the bracket")
    kappa: float = option(1.0, "what the bracket is without neighbours")
    size: int = option(5, "channels that count, around each one", minimum=1, maximum=MAXIMUM_ELEMENTS)


@kernel
def normalize_response(
    output: Array, source: Array, size: int, alpha: np.float32, beta: np.float32, kappa: np.float32
) -> None:
    """Write the damped numbers of source (batch, channels, cells) into output of the same shape."""
    batch, channels, cells = source.shape
    before, after = (size - 1) // 2, size // 2
    for plane in prange(batch * channels):
        b, c = np.int64(plane) // channels, np.int64(plane) % channels
        for i in range(cells):
            squares = np.float32(0)
            for neighbour in range(max(0, c - before), min(channels, c + after + 1)):
                squares += source[b, neighbour, i] * source[b, neighbour, i]
            if after < channels:
                squares -= source[b, after, i] * source[b, after, i]
            output[b, c, i] = source[b, c, i] * (kappa + alpha * squares) ** -beta


class Normalization(Layer):
    """The `[normalization]` or `[lrn]` section."""

    kind = "normalization"
    Options = NormalizationOptions

    def infer(self, *in_shapes: Shape) -> Shape:
        (shape,) = in_shapes
        self.need_image(shape)
        return shape

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        output = self.output[: len(x)]
        planes = (len(x), self.in_shape.channels, self.in_shape.height * self.in_shape.width)
        o = self.options
        alpha, beta, kappa = np.float32(o.alpha), np.float32(o.beta), np.float32(o.kappa)
        normalize_response(output.reshape(planes), x.reshape(planes), o.size, alpha, beta, kappa)
        return output

    def table_row(self) -> str:
        i = self.in_shape
        sides = f"{i.width} x {i.height} x {i.channels}"
        return f"Local Response Normalization Layer: {sides} image, {self.options.size} size"
