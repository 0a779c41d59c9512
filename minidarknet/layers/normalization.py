"""Local response normalization: a number is damped where its neighbours in other channels are large.

    y = x / (kappa + alpha * sum of x^2 over `size` channels around this one) ^ beta

    channels 1 2 3, size 3, kappa = alpha = beta = 1   ->   1 / (1 + 1)   2 / (1 + 1 + 9)   3 / (1 + 9)

What differs from the paper (AlexNet, 2012), because files trained with Darknet depend on it: alpha is not divided by
size, and the channel number size / 2 never counts. Darknet keeps a running sum and forgets to add that channel when it
begins, yet subtracts it later; for every channel this comes to the full sum less that one square. With a large alpha
the bracket can become negative and the result NaN. Source: Darknet, normalization_layer.c.

Lesson: lessons/07_batch_norm.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import prange

from minidarknet.kernels.jit import kernel
from minidarknet.layers.base import Layer, LayerOptions, Run
from minidarknet.layers.finish import as_planes
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


@kernel
def normalize_response_back(
    grad_source: Array,
    source: Array,
    grad: Array,
    size: int,
    alpha: np.float32,
    beta: np.float32,
    kappa: np.float32,
    quirks: bool,
) -> None:
    """Take grad (batch, channels, cells) back to the source. A number counts in its own bracket's product, and in the
    brackets of its neighbours; the channel that never counts is subtracted in every bracket.

    Darknet only does the first of it, an approximation (`quirks`).
    """
    batch, channels, cells = source.shape
    before, after = (size - 1) // 2, size // 2
    for number in prange(batch * cells):
        cell: Any = np.int64(number)  # a parallel index is unsigned
        b, i = cell // cells, cell % cells
        shares = np.empty(channels, np.float32)  # of a number's gradient, by its bracket
        whole = np.float32(0)
        for c in range(channels):
            squares = np.float32(0)
            for neighbour in range(max(0, c - before), min(channels, c + after + 1)):
                squares += source[b, neighbour, i] * source[b, neighbour, i]
            if after < channels:
                squares -= source[b, after, i] * source[b, after, i]
            bracket = kappa + alpha * squares
            grad_source[b, c, i] = grad[b, c, i] * bracket**-beta
            shares[c] = grad[b, c, i] * source[b, c, i] * bracket ** (-beta - np.float32(1))
            whole += shares[c]
        if quirks:
            continue
        for c in range(channels):
            total = -whole if c == after else np.float32(0)
            for neighbour in range(max(0, c - after), min(channels, c + before + 1)):
                total += shares[neighbour]
            grad_source[b, c, i] -= np.float32(2) * alpha * beta * source[b, c, i] * total


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
        normalize_response(as_planes(output), as_planes(x), self.options.size, *self._numbers)
        return output

    @property
    def _numbers(self) -> tuple[np.float32, np.float32, np.float32]:
        o = self.options
        return np.float32(o.alpha), np.float32(o.beta), np.float32(o.kappa)

    @property
    def overwrites_in_darknet(self) -> bool:
        return True

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        (x,), (grad_input,) = inputs, grad_inputs
        if grad_input is not None:
            planes = as_planes(grad_input), as_planes(x), as_planes(grad_output)
            normalize_response_back(*planes, self.options.size, *self._numbers, run.quirks)

    def table_row(self) -> str:
        i = self.in_shape
        sides = f"{i.width} x {i.height} x {i.channels}"
        return f"Local Response Normalization Layer: {sides} image, {self.options.size} size"
