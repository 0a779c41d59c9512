"""What convolutional, deconvolutional and connected layers have in common behind their product.

    product  ->  [ batch norm, or bias ]  ->  activation

Which of the two stands in the middle is the cfg's `batch_normalize`.
"""

from __future__ import annotations

from minidarknet.kernels.activations import ACTIVATIONS, LINEAR, activate
from minidarknet.kernels.normalize import add_bias, normalize
from minidarknet.layers.base import Layer
from minidarknet.layers.parameter import Array, Initial, Parameter

# Darknet begins with a rolling variance of 0, so that an untrained network divides by 0.000001 and soon overflows.
# With 1 an untrained network passes its numbers on. A loaded file replaces it either way.
INITIAL_VARIANCE = Initial(constant=1)


def declare_batch_norm(layer: Layer, channels: int) -> tuple[Parameter, Parameter, Parameter]:
    """The scales, rolling mean and rolling variance of a layer, declared in the order of the `.weights` file."""
    return (
        layer.declare("scales", (channels,), Initial(constant=1)),
        layer.declare("rolling_mean", (channels,)),
        layer.declare("rolling_variance", (channels,), INITIAL_VARIANCE),
    )


def finish(
    output: Array,
    biases: Parameter,
    batch_norm: tuple[Parameter, Parameter, Parameter] | None,
    activation: str,
) -> None:
    """Turn the products in output (batch, channels, height, width) into the layer's output, in place."""
    batch, channels, height, width = output.shape
    planes = output.reshape(batch, channels, height * width)
    if batch_norm:
        scales, mean, variance = batch_norm
        normalize(planes, planes, scales.value, biases.value, mean.value, variance.value)
    else:
        add_bias(planes, biases.value)
    if ACTIVATIONS[activation] != LINEAR:
        activate(output.reshape(-1), output.reshape(-1), ACTIVATIONS[activation])
