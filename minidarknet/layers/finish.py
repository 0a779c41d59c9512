"""What convolutional, deconvolutional and connected layers have in common behind their product.

    product  ->  [ batch norm, or bias ]  ->  activation

Which of the two stands in the middle is the cfg's `batch_normalize`. In training, batch norm takes the mean and the
variance of the batch itself, and the products are kept for the way back.

Lesson: lessons/07_batch_norm.py
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minidarknet.kernels.activations import ACTIVATIONS, HUNDREDTH, LINEAR, ONE, TENTH, activate, activate_back
from minidarknet.kernels.normalize import add_bias, normalize
from minidarknet.kernels.statistics import batch_statistics, bias_back, normalize_back, normalize_batch
from minidarknet.layers.base import Layer, Run
from minidarknet.layers.parameter import Array, Initial, Parameter

# Darknet begins with a rolling variance of 0, so that an untrained network divides by 0.000001 and soon overflows.
# With 1 an untrained network passes its numbers on. A loaded file replaces it either way.
INITIAL_VARIANCE = Initial(constant=1)
#: How much of a rolling average stays when a batch is seen.
KEPT = np.float32(0.99)

#: The slope of each activation of the form x > 0 ? x : slope * x, which kernels apply by themselves.
SLOPES = {"linear": ONE, "relu": np.float32(0), "leaky": TENTH, "relie": HUNDREDTH}


class BatchNorm(NamedTuple):
    """The parameters of a batch normalisation, but for its biases; in the order of the `.weights` file."""

    scales: Parameter
    mean: Parameter
    variance: Parameter


def declare_batch_norm(layer: Layer, channels: int) -> BatchNorm:
    """The scales, rolling mean and rolling variance of a layer."""
    return BatchNorm(
        layer.declare("scales", (channels,), Initial(constant=1)),
        layer.declare("rolling_mean", (channels,), learns=False),
        layer.declare("rolling_variance", (channels,), INITIAL_VARIANCE, learns=False),
    )


def as_planes(array: Array) -> Array:
    """(batch, channels, height, width) as (batch, channels, cells)."""
    batch, channels, height, width = array.shape
    return array.reshape(batch, channels, height * width)


def see_batch(layer: Layer, batch_norm: BatchNorm, planes: Array, mean: Array, variance: Array) -> None:
    """Write the statistics of planes (batch, channels, cells), and move the rolling averages towards them."""
    if planes.shape[0] * planes.shape[2] < 2:
        raise layer.error("batch norm cannot learn from a single number for each channel: take a larger batch")
    batch_statistics(mean, variance, planes)
    for rolling, seen in ((batch_norm.mean, mean), (batch_norm.variance, variance)):
        rolling.array = KEPT * rolling.value + (ONE - KEPT) * seen


class Finished(Layer):
    """A layer that ends in batch norm or bias, and an activation. Subclasses compute the products."""

    biases: Parameter
    weights: Parameter
    batch_norm: BatchNorm | None

    @property
    def activation(self) -> str:
        """The activation's name in the cfg."""
        return str(self.options.activation)

    @property
    def slope(self) -> np.float32 | None:
        """The activation as a slope, where it is x > 0 ? x : slope * x."""
        return SLOPES.get(self.activation)

    def kept_size(self, batch: int) -> int:
        return 2 * self.biases.size + batch * self.out_shape.size if self.batch_norm else 0

    @property
    def statistics(self) -> tuple[Array, Array]:
        """Mean and variance, (channels,), of the last batch in training."""
        channels = self.biases.size
        return self.kept[:channels], self.kept[channels : 2 * channels]

    def products(self, batch: int, run: Run) -> Array:
        """Where to write the products, (batch, channels, height, width)."""
        output = self.output[:batch]
        if not (run.training and self.batch_norm):
            return output
        start = 2 * self.biases.size
        return self.kept[start : start + output.size].reshape(output.shape)

    @abstractmethod
    def multiply(self, x: Array, run: Run) -> Array:
        """Compute the products, (batch, channels, height, width), without bias, batch norm and activation."""

    def stages(self, *inputs: Array, run: Run) -> Iterator[tuple[str, Array]]:
        """The products, then [normalised, and with scale and bias, or with bias], then the activation's output.

        The arrays but the normalised are one buffer, in which each stage takes the place of the last.
        """
        (x,) = inputs
        products = self.multiply(x, run)
        yield "products", products
        norm, planes = self.batch_norm, as_planes(products)
        if norm:
            ones, zeros = np.ones_like(self.biases.value), np.zeros_like(self.biases.value)
            normalized = np.empty_like(products)
            normalize(as_planes(normalized), planes, ones, zeros, norm.mean.value, norm.variance.value)
            yield "normalised", normalized
            normalize(planes, planes, norm.scales.value, self.biases.value, norm.mean.value, norm.variance.value)
            yield "scale and bias", products
        else:
            add_bias(planes, self.biases.value)
            yield "bias", products
        if self.activation != "linear":
            activate(products.reshape(-1), products.reshape(-1), ACTIVATIONS[self.activation])
            yield self.activation, products

    def finish(self, batch: int, run: Run) -> Array:
        """Turn the products into the layer's output."""
        output, code = self.output[:batch], ACTIVATIONS[self.activation]
        planes, norm = as_planes(output), self.batch_norm
        if norm and run.training:
            products, slope = as_planes(self.products(batch, run)), self.slope
            see_batch(self, norm, products, *self.statistics)
            scales, biases = norm.scales.value, self.biases.value
            normalize_batch(planes, products, scales, biases, *self.statistics, ONE if slope is None else slope)
            if slope is not None:
                return output
        elif norm:
            normalize(planes, planes, norm.scales.value, self.biases.value, norm.mean.value, norm.variance.value)
        else:
            add_bias(planes, self.biases.value)
        if code != LINEAR:
            activate(output.reshape(-1), output.reshape(-1), code)
        return output

    def finish_back(self, grad_output: Array, run: Run) -> None:
        """Take the gradient from the output back to the products, in place."""
        batch = len(grad_output)
        planes, slope = as_planes(grad_output), self.slope
        if self.activation != "linear" and not (self.batch_norm and slope is not None):
            code = ACTIVATIONS[self.activation]
            activate_back(grad_output.reshape(-1), self.output[:batch].reshape(-1), code)
        if not self.batch_norm:
            bias_back(self.biases.gradient, planes)
            return
        normalize_back(
            planes,
            as_planes(self.products(batch, run)),
            self.batch_norm.scales.value,
            self.biases.value,
            *self.statistics,
            ONE if slope is None else slope,
            self.batch_norm.scales.gradient,
            self.biases.gradient,
            run.quirks,
        )
