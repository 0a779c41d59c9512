"""Batch normalisation as a layer of its own: give each channel the mean and the spread that training found best.

    channel 1 2 3 4, rolling mean 2.5, variance 1.25   ->   -1.34 -0.45 0.45 1.34   ->   times its scale

Most networks have it inside their convolutions instead (`batch_normalize=1`). Its biases are always 0, because
Darknet's files have no place for them. Source: Darknet, batchnorm_layer.c.
"""

from __future__ import annotations

from minidarknet.kernels.normalize import normalize
from minidarknet.layers.base import Layer, Run
from minidarknet.layers.finish import declare_batch_norm
from minidarknet.layers.parameter import Array
from minidarknet.shapes import Shape


class Batchnorm(Layer):
    """The `[batchnorm]` section."""

    kind = "batchnorm"

    def infer(self, *in_shapes: Shape) -> Shape:
        (shape,) = in_shapes
        self.need_image(shape)
        self.biases = self.declare("biases", (shape.channels,), stored=False)
        self.batch_norm = declare_batch_norm(self, shape.channels)
        return shape

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        output = self.output[: len(x)]
        planes = (len(x), self.in_shape.channels, self.in_shape.height * self.in_shape.width)
        scales, mean, variance = (parameter.value for parameter in self.batch_norm)
        normalize(output.reshape(planes), x.reshape(planes), scales, self.biases.value, mean, variance)
        return output

    def table_row(self) -> str:
        i = self.in_shape
        return f"Batch Normalization Layer: {i.width} x {i.height} x {i.channels} image"
