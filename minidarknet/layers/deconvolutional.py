"""Deconvolution, or transposed convolution: every input number paints its filter into the output, times itself.

    image 1x2x2      filter 1x2x2, stride 1       output 1x3x3, where painted windows overlap they add up
    1 2              1 1                          1  3  2
    0 3              0 2                          0  5  7
                                                  0  0  6

    out = (in - 1) * stride + size - 2 * padding

The weights are (channels of the input, filters, size, size). Source: Darknet, deconvolutional_layer.c.

Lesson: lessons/03_convolution.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numba import prange

from minidarknet.kernels.activations import ACTIVATIONS, ONE
from minidarknet.kernels.jit import kernel
from minidarknet.layers.base import LayerOptions, Place, Run
from minidarknet.layers.convolutional import convolve_plain, plain_back, plain_workspace
from minidarknet.layers.convolver import choose
from minidarknet.layers.finish import Finished, declare_batch_norm
from minidarknet.layers.parameter import Array, Initial
from minidarknet.layers.weight_gradient import WeightGradient
from minidarknet.options import option
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape


@dataclass(frozen=True)
class DeconvolutionalOptions(LayerOptions):
    filters: int = option(1, "number of filters, the output's channels", minimum=1, maximum=MAXIMUM_ELEMENTS)
    size: int = option(1, "side of the filters", minimum=1, maximum=MAXIMUM_ELEMENTS)
    stride: int = option(1, "output cells between two painted windows", minimum=1, maximum=MAXIMUM_ELEMENTS)
    pad: bool = option(False, "cut size / 2 cells off each side; wins over padding")
    padding: int = option(0, "cells cut off each side of the output", minimum=0, maximum=MAXIMUM_ELEMENTS)
    batch_normalize: bool = option(False, "normalise each output channel")
    activation: str = option("logistic", "function of each output number", choices=ACTIVATIONS)


@kernel
def deconvolutional(output: Array, source: Array, weights: Array, stride: int, padding: int) -> None:
    """Paint source (batch, channels, height, width) through the weights into output (batch, filters, rows, columns).

    Each output number collects what reaches it, so that it has one writer and always the same order of its sum.
    """
    batch, filters, rows, columns = output.shape
    _, channels, height, width = source.shape
    size = weights.shape[2]
    for plane in prange(batch * filters):
        b, f = np.int64(plane) // filters, np.int64(plane) % filters
        for y in range(rows):
            for x in range(columns):
                total = np.float32(0)
                for ky in range(size):
                    row = y + padding - ky
                    if row < 0 or row % stride or row // stride >= height:
                        continue
                    for kx in range(size):
                        column = x + padding - kx
                        if column < 0 or column % stride or column // stride >= width:
                            continue
                        for c in range(channels):
                            total += source[b, c, row // stride, column // stride] * weights[c, f, ky, kx]
                output[b, f, y, x] = total


class Deconvolutional(Finished):
    """The `[deconvolutional]` or `[deconv]` section."""

    kind = "deconvolutional"
    Options = DeconvolutionalOptions

    @property
    def padding(self) -> int:
        return self.options.size // 2 if self.options.pad else self.options.padding

    def infer(self, *in_shapes: Shape) -> Shape:
        (shape,) = in_shapes
        self.need_image(shape)
        o = self.options
        self.biases = self.declare("biases", (o.filters,))
        self.batch_norm = declare_batch_norm(self, o.filters) if o.batch_normalize else None
        # 0.02 is Darknet's constant, whatever the number of inputs.
        self.weights = self.declare("weights", (shape.channels, o.filters, o.size, o.size), Initial(normal=0.02))
        grow = o.size - 2 * self.padding
        out = Shape(o.filters, (shape.height - 1) * o.stride + grow, (shape.width - 1) * o.stride + grow)
        # The way back is a convolution of the output.
        self.convolver = choose(out, shape, o.size, o.stride, self.padding, 1)
        self.weight_gradient = WeightGradient(self.convolver)
        return out

    def backward_workspace_size(self, batch: int) -> int:
        if numba.config.DISABLE_JIT:
            return 2 * plain_workspace(self.convolver)
        return max(self.convolver.workspace_size(), self.weight_gradient.workspace_size(batch))

    def multiply(self, x: Array, run: Run) -> Array:
        products = self.products(len(x), run)
        deconvolutional(products, x, self.weights.value, self.options.stride, self.padding)
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
        weights, convolver = self.weights, self.convolver
        if numba.config.DISABLE_JIT:
            plain_back(weights.gradient, None, x, grad_output, weights.value, convolver, run.workspace)
        else:
            self.weight_gradient.run(weights.gradient, x, grad_output, run)
        if grad_input is None:
            return
        if numba.config.DISABLE_JIT:
            convolve_plain(grad_input, grad_output, weights.value, convolver, run.workspace)
        else:
            packed, biases = convolver.pack(weights.value), convolver.pad(np.zeros(len(weights.value), np.float32))
            place = Place(grad_input.reshape(len(x), self.in_shape.size))
            convolver.run(place, grad_output, packed, biases, ONE, run)

    def table_row(self) -> str:
        o = self.options
        return (
            f"deconv{o.filters:5d} {o.size:2d} x{o.size:2d} /{o.stride:2d}  {self.in_shape.table_cells()}"
            f"   ->  {self.out_shape.table_cells()}"
        )
