"""The steps of the optimizers, number by number: see `optimizers.py` for what they mean."""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minidarknet.kernels.jit import kernel

Floats = NDArray[np.float32]
ZERO, ONE = np.float32(0), np.float32(1)


@kernel
def sgd_step(
    numbers: Floats, grad: Floats, velocity: Floats, rate: np.float32, pull: np.float32, momentum: np.float32
) -> None:
    """Add rate * velocity to the numbers, (n,), after the gradient and `pull` times the numbers went into it."""
    for i in prange(numbers.size):
        v = momentum * velocity[i] - grad[i] - pull * numbers[i]
        velocity[i] = v
        numbers[i] += rate * v
        grad[i] = ZERO


@kernel
def adam_step(
    numbers: Floats,
    grad: Floats,
    mean: Floats,
    square: Floats,
    share: np.float32,
    decay: np.float32,
    b1: np.float32,
    b2: np.float32,
    rate: np.float32,
    square_share: np.float32,
    eps: np.float32,
) -> None:
    """A step of Adam; `share` is 1 / batch, `rate` has the mean's correction in it, `square_share` is the square's."""
    for i in prange(numbers.size):
        g = share * grad[i] + decay * numbers[i]
        mean[i] = b1 * mean[i] + (ONE - b1) * g
        square[i] = b2 * square[i] + (ONE - b2) * g * g
        numbers[i] -= rate * mean[i] / (np.sqrt(square[i] / square_share) + eps)
        grad[i] = ZERO
