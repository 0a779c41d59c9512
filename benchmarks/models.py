"""What another engine has to know of a network: weights with batch norm folded in, and how far a pool's windows reach.

Folding happens here, in float64, so that no engine is charged for work that another one saves by folding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidarknet.kernels.normalize import EPSILON

Array = NDArray[np.float32]


def folded(layer: Any) -> tuple[Array, Array]:
    """Weights and biases of a convolutional or connected layer, with its batch norm folded into them."""
    weights, biases = layer.weights.value.astype(np.float64), layer.biases.value.astype(np.float64)
    if layer.batch_norm:
        scales, mean, variance = (parameter.value.astype(np.float64) for parameter in layer.batch_norm)
        factors = scales / (np.sqrt(variance) + EPSILON)
        weights *= factors.reshape(-1, *[1] * (weights.ndim - 1))
        biases -= mean * factors
    return weights.astype(np.float32), biases.astype(np.float32)


def pool_pads(layer: Any) -> tuple[int, int, int, int]:
    """Cells outside the picture that a pool's windows reach: top, left, bottom, right."""
    before = layer.padding // 2

    def behind(length: int, positions: int) -> int:
        return max(0, (positions - 1) * layer.options.stride + layer.size - before - length)

    source, target = layer.in_shape, layer.out_shape
    return before, before, behind(source.height, target.height), behind(source.width, target.width)


def unknown(layer: Any, what: str) -> NotImplementedError:
    """The error for a layer that these benchmarks cannot write down for another engine."""
    return NotImplementedError(f"the benchmarks cannot write down layer {layer.index} [{layer.kind}]: {what}")
