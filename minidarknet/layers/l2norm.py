"""L2 normalisation: at each pixel, divide the channels by their common length.

    channels 3 and 4 of a pixel   ->   0.6 and 0.8        the length is sqrt(3^2 + 4^2) = 5

There is no epsilon: a pixel whose channels are all 0 gives NaN, as in Darknet. Source: Darknet, l2norm_layer.c.

Lesson: lessons/07_batch_norm.py
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import prange

from minidarknet.kernels.jit import kernel
from minidarknet.layers.base import Layer, Run
from minidarknet.layers.parameter import Array
from minidarknet.shapes import Shape


@kernel
def l2norm(output: Array, source: Array) -> None:
    """Write source (batch, channels, cells) into output of the same shape, each cell's channels of length 1."""
    batch, channels, cells = source.shape
    for cell in prange(batch * cells):
        b, i = np.int64(cell) // cells, np.int64(cell) % cells
        squares = np.float32(0)
        for c in range(channels):
            squares += source[b, c, i] * source[b, c, i]
        length = np.sqrt(squares)
        for c in range(channels):
            output[b, c, i] = source[b, c, i] / length


class L2norm(Layer):
    """The `[l2norm]` section."""

    kind = "l2norm"

    def infer(self, *in_shapes: Shape) -> Shape:
        return in_shapes[0]

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        output = self.output[: len(x)]
        planes = (len(x), self.in_shape.channels, self.in_shape.height * self.in_shape.width)
        l2norm(output.reshape(planes), x.reshape(planes))
        return output

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        """Only what is across a pixel's direction changes it. Darknet passes the gradient on as it is."""
        (x,), (grad_input,) = inputs, grad_inputs
        if grad_input is None:
            return
        grad_input[:] = grad_output
        if not run.quirks:
            y = self.output[: len(x)]
            along = (grad_output * y).sum(axis=1, keepdims=True)
            grad_input -= along * y
            grad_input /= np.sqrt(np.square(x).sum(axis=1, keepdims=True))

    def table_row(self) -> str:
        return f"l2norm                                         {self.in_shape.size:4d}"
