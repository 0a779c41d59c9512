"""Batch normalisation as a layer of its own: give each channel the mean and the spread that training found best.

    channel 1 2 3 4, rolling mean 2.5, variance 1.25   ->   -1.34 -0.45 0.45 1.34   ->   times its scale

Most networks have it inside their convolutions instead (`batch_normalize=1`). Its biases are always 0, because
Darknet's files have no place for them, and are not learned. Source: Darknet, batchnorm_layer.c.

Lesson: lessons/07_batch_norm.py
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidarknet.kernels.activations import ONE
from minidarknet.kernels.normalize import normalize
from minidarknet.kernels.statistics import normalize_back, normalize_batch
from minidarknet.layers.base import Layer, Run
from minidarknet.layers.finish import as_planes, declare_batch_norm, see_batch
from minidarknet.layers.parameter import Array
from minidarknet.shapes import Shape


class Batchnorm(Layer):
    """The `[batchnorm]` section."""

    kind = "batchnorm"

    def infer(self, *in_shapes: Shape) -> Shape:
        (shape,) = in_shapes
        self.need_image(shape)
        self.biases = self.declare("biases", (shape.channels,), stored=False, learns=False)
        self.batch_norm = declare_batch_norm(self, shape.channels)
        return shape

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        output, norm = self.output[: len(x)], self.batch_norm
        planes, source, biases = as_planes(output), as_planes(x), self.biases.value
        if run.training:
            see_batch(self, norm, source, *self.statistics)
            normalize_batch(planes, source, norm.scales.value, biases, *self.statistics, ONE)
        else:
            normalize(planes, source, norm.scales.value, biases, norm.mean.value, norm.variance.value)
        return output

    def kept_size(self, batch: int) -> int:
        return 2 * self.in_shape.channels

    @property
    def statistics(self) -> tuple[Array, Array]:
        """Mean and variance, (channels,), of the last batch in training."""
        channels = self.in_shape.channels
        return self.kept[:channels], self.kept[channels : 2 * channels]

    @property
    def overwrites_in_darknet(self) -> bool:
        return True

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        (x,), (grad_input,) = inputs, grad_inputs
        scales = self.batch_norm.scales
        biases, unused = self.biases.value, np.zeros_like(self.biases.value)
        planes, source, statistics = as_planes(grad_output), as_planes(x), self.statistics
        normalize_back(planes, source, scales.value, biases, *statistics, ONE, scales.gradient, unused, run.quirks)
        if grad_input is not None:
            grad_input[:] = grad_output

    def table_row(self) -> str:
        i = self.in_shape
        return f"Batch Normalization Layer: {i.width} x {i.height} x {i.channels} image"
