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
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minidarknet.kernels.activations import ACTIVATIONS
from minidarknet.kernels.im2col import im2col
from minidarknet.kernels.product import product
from minidarknet.layers.base import Array, Initial, Layer, LayerOptions, Run
from minidarknet.layers.finish import declare_batch_norm, finish
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


class Convolutional(Layer):
    """The `[convolutional]` or `[conv]` section."""

    kind = "convolutional"
    Options = ConvolutionalOptions

    @property
    def padding(self) -> int:
        return self.options.size // 2 if self.options.pad else self.options.padding

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
        return Shape(o.filters, height, width)

    def refusal(self) -> str:
        kind = "xnor" if self.options.xnor else "binary" if self.options.binary else ""
        return f"{kind}=1 asks for arithmetic with weights of two values, which is not supported" if kind else ""

    def _reads_pixels(self) -> bool:
        """Whether each window is one pixel and each pixel has its window: then the image is its own column matrix."""
        return self.options.size == 1 and self.options.stride == 1 and self.padding == 0

    def workspace_size(self) -> int:
        part = self.in_shape.channels // self.options.groups
        columns = part * self.options.size**2 * self.out_shape.height * self.out_shape.width
        return 0 if self._reads_pixels() else columns

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        o = self.options
        output = self.output[: len(x)]
        rows, part = o.filters // o.groups, self.in_shape.channels // o.groups
        k, n = part * o.size * o.size, self.out_shape.height * self.out_shape.width
        weights = self.weights.value.reshape(o.groups, rows, k)  # one matrix for each group
        images = x.reshape(len(x), o.groups, part, *x.shape[2:])
        products = output.reshape(len(x), o.groups, rows, n)
        for b, g in np.ndindex(len(x), o.groups):
            if self._reads_pixels():
                columns = images[b, g].reshape(k, n)
            else:
                columns = run.workspace[: k * n].reshape(k, n)
                im2col(columns, images[b, g], o.size, o.stride, self.padding, *self.out_shape.array_shape[1:])
            product(products[b, g], weights[g], columns, rows, n, k)
        finish(output, self.biases, self.batch_norm, o.activation)
        return output

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


def convolutional_naive(output: Array, image: Array, weights: Array, stride: int, padding: int, groups: int) -> None:
    """The definition, in seven loops: output (filters, rows, columns) of image (channels, height, width)."""
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
