"""Convolution: each filter slides over the image and measures how much every window resembles it.

    image 1x4x4          filter 1x3x3           output 1x2x2
    1 0 2 1              1 0 0                   4  0         the top left 4 = 1*1 + 1*1 + 2*1: window times filter,
    0 1 0 2      with    0 1 0          ->       2  4         cell by cell and added up, at each place of the window
    3 1 2 0              0 0 1
    1 0 1 1

    out = (in + 2 * padding - size) / stride + 1        rounded down; `pad=1` means padding = size / 2

Behind the sum come batch norm or a bias, and the activation (see `finish.py`). With groups, the channels and filters
are split into that many parts which do not see each other.

What differs from Darknet: a 1x1 convolution with a stride or a padding reads the right pixels here (Darknet's CPU code
takes the first ones in memory instead). Source: Darknet, convolutional_layer.c.

Lesson: lessons/03_convolution.py
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from minidarknet.cfg import Section
from minidarknet.kernels.activations import ACTIVATIONS, ONE, activate
from minidarknet.kernels.im2col import col2im, im2col
from minidarknet.kernels.normalize import EPSILON
from minidarknet.kernels.product import product
from minidarknet.layers.base import LayerOptions, Place, Run
from minidarknet.layers.convolver import Convolver, choose
from minidarknet.layers.convolver_back import InputGradient
from minidarknet.layers.finish import Finished, declare_batch_norm
from minidarknet.layers.parameter import Array, Initial
from minidarknet.layers.weight_gradient import weight_gradient
from minidarknet.options import option
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape, window_positions


@dataclass(frozen=True)
class ConvolutionalOptions(LayerOptions):
    filters: int = option(1, "number of filters, the output's channels", minimum=1, maximum=MAXIMUM_ELEMENTS)
    size: int = option(1, "side of the filters", minimum=1, maximum=MAXIMUM_ELEMENTS)
    stride: int = option(1, "cells between two windows", minimum=1, maximum=MAXIMUM_ELEMENTS)
    pad: bool = option(False, "pad each side by size / 2; wins over padding")
    padding: int = option(0, "cells of zeros on each side", minimum=0, maximum=MAXIMUM_ELEMENTS)
    groups: int = option(1, "parts that channels and filters are split into", minimum=1, maximum=MAXIMUM_ELEMENTS)
    batch_normalize: bool = option(False, "normalise each output channel")
    activation: str = option("logistic", "function of each output number", choices=ACTIVATIONS)
    flipped: bool = option(False, "the weights file holds these weights transposed")
    binary: bool = option(False, "weights of two values (not supported)")
    xnor: bool = option(False, "weights and inputs of two values (not supported)")
    dot: float = option(0.0, "dot-product penalty (Darknet: on a GPU only)")


class Convolutional(Finished):
    """The `[convolutional]` or `[conv]` section."""

    kind = "convolutional"
    Options = ConvolutionalOptions

    def __init__(self, options: Any = None, index: int = 0, section: Section | None = None) -> None:
        super().__init__(options, index, section)
        self._packs: dict[bool, Any] = {}

    @property
    def padding(self) -> int:
        return self.options.size // 2 if self.options.pad else self.options.padding

    @property
    def can_place(self) -> bool:
        """Whether it can write its outputs into another layer's buffer."""
        return self.slope is not None and not numba.config.DISABLE_JIT

    @property
    def can_pool(self) -> bool:
        """Whether it can write the largest of each 2x2 outputs instead of all."""
        even = self.out_shape.height % 2 == self.out_shape.width % 2 == 0
        return self.can_place and self.convolver.pools and even

    def infer(self, *in_shapes: Shape) -> Shape:
        (shape,) = in_shapes
        self.need_image(shape)
        o = self.options
        for what, count in (("channels of the input", shape.channels), ("filters", o.filters)):
            if count % o.groups:
                raise self.error(f"groups={o.groups} does not divide the {count} {what}", "groups")
        part = shape.channels // o.groups
        self.biases = self.declare("biases", (o.filters,))
        self.batch_norm = declare_batch_norm(self, o.filters) if o.batch_normalize else None
        spread = math.sqrt(2 / (o.size * o.size * part))
        self.weights = self.declare("weights", (o.filters, part, o.size, o.size), Initial(normal=spread))
        height = window_positions(shape.height, o.size, o.stride, 2 * self.padding)
        width = window_positions(shape.width, o.size, o.stride, 2 * self.padding)
        target = Shape(o.filters, height, width)
        self.convolver = choose(shape, target, o.size, o.stride, self.padding, o.groups)
        self.input_gradient, self.weight_gradient = InputGradient(self.convolver), weight_gradient(self.convolver)
        return target

    def refusal(self) -> str:
        kind = "xnor" if self.options.xnor else "binary" if self.options.binary else ""
        return f"{kind}=1 asks for arithmetic with weights of two values, which is not supported" if kind else ""

    def workspace_size(self) -> int:
        return plain_workspace(self.convolver) if numba.config.DISABLE_JIT else self.convolver.workspace_size()

    def backward_workspace_size(self, batch: int) -> int:
        if numba.config.DISABLE_JIT:
            return 2 * plain_workspace(self.convolver)
        return max(self.input_gradient.workspace_size(), self.weight_gradient.workspace_size(batch))

    @property
    def overwrites_in_darknet(self) -> bool:
        return bool(self.options.size == 1)

    def multiply(self, x: Array, run: Run) -> Array:
        products = self.products(len(x), run)
        if numba.config.DISABLE_JIT:
            convolve_plain(products, x, self.weights.value, self.convolver, run.workspace)
        else:
            place = Place(products.reshape(len(x), self.out_shape.size))
            self.convolver.run(place, x, *self._packed(False), ONE, run)
        return products

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        slope, at_once = self.slope, run.folded or (run.training and not self.batch_norm)
        if numba.config.DISABLE_JIT or not at_once:
            self.multiply(x, run)
            return self.finish(len(x), run)
        output = self.output[: len(x)]
        place = run.place or Place(output.reshape(len(x), self.out_shape.size))
        self.convolver.run(place, x, *self._packed(True), ONE if slope is None else slope, run)
        if slope is None:
            activate(output.reshape(-1), output.reshape(-1), ACTIVATIONS[self.activation])
        return output

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        (x,), (grad_input,) = inputs, grad_inputs
        self.finish_back(grad_output, run)
        if numba.config.DISABLE_JIT:
            weights = self.weights
            plain_back(weights.gradient, grad_input, grad_output, x, weights.value, self.convolver, run.workspace)
            return
        self.weight_gradient.run(self.weights.gradient, grad_output, x, run)
        if grad_input is not None:
            self.input_gradient.run(grad_input, grad_output, self.weights.value, run)

    def _packed(self, folded: bool) -> tuple[Array, Array]:
        """The weights as the kernel reads them, and its biases; made anew only when a parameter has changed.

        Folded, batch norm is part of them: scale * (w * x - mean) / deviation + bias is another weight and bias. Else
        the biases are 0, and `finish` does the rest.
        """
        state = (self.convolver.method, *(parameter.version for parameter in self.parameters()))
        known = self._packs.get(folded)
        if known is not None and known[0] == state:
            return known[1]
        weights, biases = self.weights.value, self.biases.value if folded else np.zeros_like(self.biases.value)
        if folded and self.batch_norm:
            scales, mean, variance = (parameter.value.astype(np.float64) for parameter in self.batch_norm)
            factors = scales / (np.sqrt(variance) + EPSILON)
            weights = (weights * factors[:, None, None, None]).astype(np.float32)
            biases = (biases - mean * factors).astype(np.float32)
        packed = self.convolver.pack(weights), self.convolver.pad(biases)
        self._packs[folded] = (state, packed)
        return packed

    def table_row(self) -> str:
        o = self.options
        return (
            f"conv  {o.filters:5d} {o.size:2d} x{o.size:2d} /{o.stride:2d}  {self.in_shape.table_cells()}"
            f"   ->  {self.out_shape.table_cells()}  {self.flops() / 1e9:5.3f} BFLOPs"
        )

    def flops(self) -> int:
        return 2 * self.weights.size * self.out_shape.height * self.out_shape.width

    def window(self) -> tuple[int, int]:
        return self.options.size, self.options.stride


def convolve_plain(output: Array, x: Array, weights: Array, geometry: Convolver, workspace: Array) -> None:
    """The same as a column matrix and a matrix product: two plain kernels, which also run without a compiler."""
    g, (filters, height, width) = geometry, geometry.target.array_shape
    rows, k, n = filters // g.groups, g.part * g.size**2, height * width
    images = x.reshape(len(x), g.groups, g.part, *x.shape[2:])
    products = output.reshape(len(x), g.groups, rows, n)
    columns = workspace[: k * n].reshape(1, k, n)
    for b, group in np.ndindex(len(x), g.groups):
        im2col(columns, images[b : b + 1, group], g.size, g.stride, g.padding, height, width)
        product(products[b, group], weights.reshape(g.groups, rows, k)[group], columns[0], rows, n, k)


def plain_back(
    gradient: Array,
    grad_input: Array | None,
    grad: Array,
    x: Array,
    weights: Array,
    geometry: Convolver,
    workspace: Array,
) -> None:
    """The way back in plain kernels: add to the weights' gradient, and write grad_input."""
    g, (filters, height, width) = geometry, geometry.target.array_shape
    rows, k, n = filters // g.groups, g.part * g.size**2, height * width
    images, products = x.reshape(len(x), g.groups, g.part, *x.shape[2:]), grad.reshape(len(x), g.groups, rows, n)
    columns, turned = workspace[: k * n].reshape(1, k, n), workspace[k * n : 2 * k * n].reshape(n, k)
    grouped, more = weights.reshape(g.groups, rows, k), np.empty((rows, k), np.float32)
    for b, group in np.ndindex(len(x), g.groups):
        im2col(columns, images[b : b + 1, group], g.size, g.stride, g.padding, height, width)
        turned[:] = columns[0].T
        product(more, products[b, group], turned, rows, k, n)
        gradient.reshape(g.groups, rows, k)[group] += more
        if grad_input is not None:
            product(columns[0], np.ascontiguousarray(grouped[group].T), products[b, group], k, n, rows)
            parts = grad_input.reshape(len(x), g.groups, g.part, *x.shape[2:])
            col2im(parts[b, group], columns[0], g.size, g.stride, g.padding, height, width)


def plain_workspace(geometry: Convolver) -> int:
    """Numbers of workspace that `convolve_plain` uses."""
    return geometry.part * geometry.size**2 * geometry.target.height * geometry.target.width


def convolutional_naive(output: Array, image: Array, weights: Array, stride: int, padding: int, groups: int) -> None:
    """The definition, in six loops: output (filters, rows, columns) of one image (channels, height, width)."""
    filters, rows, columns = output.shape
    _, part, size, _ = weights.shape
    for f in range(filters):
        first = f // (filters // groups) * part  # the first channel that this filter's group sees
        for y in range(rows):
            for x in range(columns):
                total = np.float32(0)
                for c in range(part):
                    for ky in range(size):
                        for kx in range(size):
                            row, column = y * stride + ky - padding, x * stride + kx - padding
                            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                                total += image[first + c, row, column] * weights[f, c, ky, kx]
                output[f, y, x] = total
