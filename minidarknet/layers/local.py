"""A local layer: a convolution whose filters are different at every place of the window.

    image 1x2x3      filters 1x2x2, one for each place      output 1x1x2
    1 2 3            1 0        0 1                         6  8            6 = 1 + 5, 8 = 3 + 5
    4 5 6            0 1        1 0

    out = (in - size) / stride + 1        without pad
    out = (in - 1) / stride + 1           with pad=1, which also puts one cell of zeros around the image

With pad=1 only size 3 fits together; Darknet computes other sizes all the same, and so does this. The biases are one
for every output number. Source: Darknet, local_layer.c.

Lesson: lessons/03_convolution.py
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import prange

from minidarknet.kernels.activations import ACTIVATIONS, activate, activate_back
from minidarknet.kernels.jit import kernel
from minidarknet.layers.base import Layer, LayerOptions, Run
from minidarknet.layers.parameter import Array, Initial
from minidarknet.options import option
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape, window_positions


@dataclass(frozen=True)
class LocalOptions(LayerOptions):
    filters: int = option(1, "number of filters at each place", minimum=1, maximum=MAXIMUM_ELEMENTS)
    size: int = option(1, "side of the filters", minimum=1, maximum=MAXIMUM_ELEMENTS)
    stride: int = option(1, "cells between two windows", minimum=1, maximum=MAXIMUM_ELEMENTS)
    pad: int = option(0, "cells of zeros on each side", minimum=0, maximum=MAXIMUM_ELEMENTS)
    activation: str = option("logistic", "function of each output number", choices=ACTIVATIONS)


@kernel
def local(output: Array, source: Array, weights: Array, biases: Array, stride: int, padding: int) -> None:
    """Write into output (batch, filters, rows, columns) what weights (places, filters, channels, size, size) see."""
    batch, filters, rows, columns = output.shape
    _, channels, height, width = source.shape
    size = weights.shape[3]
    for plane in prange(batch * filters):
        b, f = np.int64(plane) // filters, np.int64(plane) % filters
        for y in range(rows):
            for x in range(columns):
                place = y * columns + x
                total = biases[f, place]
                for c in range(channels):
                    for ky in range(size):
                        for kx in range(size):
                            row, column = y * stride - padding + ky, x * stride - padding + kx
                            if 0 <= row < height and 0 <= column < width:
                                total += source[b, c, row, column] * weights[place, f, c, ky, kx]
                output[b, f, y, x] = total


@kernel
def local_back(weight_grads: Array, bias_grads: Array, source: Array, grad: Array, stride: int, padding: int) -> None:
    """Add to the gradients by the weights and biases what grad (batch, filters, rows, columns) says."""
    batch, filters, rows, columns = grad.shape
    _, channels, height, width = source.shape
    size = weight_grads.shape[3]
    for number in prange(rows * columns):
        place: Any = np.int64(number)  # a parallel index is unsigned
        y, x = place // columns, place % columns
        for f in range(filters):
            for b in range(batch):
                bias_grads[f, place] += grad[b, f, y, x]
                for c in range(channels):
                    for ky in range(size):
                        for kx in range(size):
                            row, column = y * stride - padding + ky, x * stride - padding + kx
                            if 0 <= row < height and 0 <= column < width:
                                weight_grads[place, f, c, ky, kx] += grad[b, f, y, x] * source[b, c, row, column]


@kernel
def local_source_back(grad_source: Array, weights: Array, grad: Array, stride: int, padding: int) -> None:
    """Write the gradient by the source, (batch, channels, height, width)."""
    batch, filters, rows, columns = grad.shape
    _, channels, height, width = grad_source.shape
    size = weights.shape[3]
    for number in prange(batch * channels):
        plane: Any = np.int64(number)  # a parallel index is unsigned
        b, c = plane // channels, plane % channels
        grad_source[b, c] = np.float32(0)
        for f in range(filters):
            for y in range(rows):
                for x in range(columns):
                    for ky in range(size):
                        for kx in range(size):
                            row, column = y * stride - padding + ky, x * stride - padding + kx
                            if 0 <= row < height and 0 <= column < width:
                                weight = weights[y * columns + x, f, c, ky, kx]
                                grad_source[b, c, row, column] += grad[b, f, y, x] * weight


class Local(Layer):
    """The `[local]` section."""

    kind = "local"
    Options = LocalOptions

    def infer(self, *in_shapes: Shape) -> Shape:
        (shape,) = in_shapes
        self.need_image(shape)
        o = self.options
        reach = 1 if o.pad else o.size
        height = window_positions(shape.height, reach, o.stride, 0)
        width = window_positions(shape.width, reach, o.stride, 0)
        out = Shape(o.filters, height, width)
        self.biases = self.declare("biases", (max(out.size, 0),))
        spread = math.sqrt(2 / (o.size * o.size * shape.channels))
        sides = (max(height * width, 0), o.filters, shape.channels, o.size, o.size)
        self.weights = self.declare("weights", sides, Initial(uniform=spread))
        return out

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        o = self.options
        output = self.output[: len(x)]
        biases = self.biases.value.reshape(o.filters, -1)
        local(output, x, self.weights.value, biases, o.stride, o.pad)
        activate(output.reshape(-1), output.reshape(-1), ACTIVATIONS[o.activation])
        return output

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        (x,), (grad_input,), o = inputs, grad_inputs, self.options
        output = self.output[: len(x)]
        activate_back(grad_output.reshape(-1), output.reshape(-1), ACTIVATIONS[o.activation])
        bias_grads = self.biases.gradient.reshape(o.filters, -1)
        local_back(self.weights.gradient, bias_grads, x, grad_output, o.stride, o.pad)
        if grad_input is not None:
            local_source_back(grad_input, self.weights.value, grad_output, o.stride, o.pad)

    def table_row(self) -> str:
        i, o = self.in_shape, self.out_shape
        return (
            f"Local Layer: {i.height} x {i.width} x {i.channels} image, {self.options.filters} filters"
            f" -> {o.height} x {o.width} x {o.channels} image"
        )

    def window(self) -> tuple[int, int]:
        return self.options.size, self.options.stride
