"""Darknet's fourteen activations, each a function of one number, and the kernels that apply one to an array and back.

Every layer that ends in an activation uses this page. Source: Darknet, activations.h. They are numbered because a
compiled kernel takes a number, not a name.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minidarknet.kernels.jit import kernel, scalar

LINEAR, LOGISTIC, LOGGY, RELU, ELU, SELU, RELIE, RAMP, LEAKY, TANH, PLSE, STAIR, HARDTAN, LHTAN = range(14)

#: The name in a cfg for each number.
ACTIVATIONS = {
    "linear": LINEAR,
    "logistic": LOGISTIC,
    "loggy": LOGGY,
    "relu": RELU,
    "elu": ELU,
    "selu": SELU,
    "relie": RELIE,
    "ramp": RAMP,
    "leaky": LEAKY,
    "tanh": TANH,
    "plse": PLSE,
    "stair": STAIR,
    "hardtan": HARDTAN,
    "lhtan": LHTAN,
}

ZERO, ONE, TWO, HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
TENTH, HUNDREDTH, THOUSANDTH, EIGHTH, FOUR = (np.float32(v) for v in (0.1, 0.01, 0.001, 0.125, 4))
SELU_SCALE, SELU_ALPHA = np.float32(1.0507), np.float32(1.6732)


@scalar
def activation(x: np.float32, code: int) -> np.float32:
    """The activation numbered `code` at x, in float32."""
    if code == LINEAR:
        return x
    if code == LEAKY:
        return x if x > ZERO else TENTH * x
    if code == RELU:
        return ZERO if x < ZERO else x  # this way round, NaN stays NaN
    if code == LOGISTIC:
        return ONE / (ONE + np.exp(-x))
    if code == LOGGY:  # the logistic curve from -1 to 1
        return TWO / (ONE + np.exp(-x)) - ONE
    if code == ELU:
        return x if x >= ZERO else np.expm1(x)
    if code == SELU:
        return SELU_SCALE * x if x >= ZERO else SELU_SCALE * SELU_ALPHA * np.expm1(x)
    if code == RELIE:
        return x if x > ZERO else HUNDREDTH * x
    if code == RAMP:  # slope 1.1 above 0, 0.1 below
        return x + TENTH * x if x > ZERO else TENTH * x
    if code == TANH:
        return np.tanh(x)
    if code == PLSE:  # a logistic curve made of three lines
        if x < -FOUR:
            return HUNDREDTH * (x + FOUR)
        return HUNDREDTH * (x - FOUR) + ONE if x > FOUR else EIGHTH * x + HALF
    if code == STAIR:  # flat from an even to an odd number, then rising to the next step
        floor = np.floor(x)
        step = np.floor(floor / TWO)
        return step if floor % TWO == ZERO else (x - floor) + step
    if code == HARDTAN:
        return -ONE if x < -ONE else (ONE if x > ONE else x)
    # LHTAN: the line through 0 and 1, nearly flat outside
    return THOUSANDTH * x if x < ZERO else (THOUSANDTH * (x - ONE) + ONE if x > ONE else x)


@scalar
def slope(y: np.float32, code: int) -> np.float32:
    """How steep the activation numbered `code` is where its value is y: all of them can be told from the output."""
    if code == LINEAR:
        return ONE
    if code == LEAKY:
        return ONE if y > ZERO else TENTH
    if code == RELU:
        return ONE if y > ZERO else ZERO
    if code == LOGISTIC:
        return y * (ONE - y)
    if code == LOGGY:
        z = (y + ONE) / TWO
        return TWO * z * (ONE - z)
    if code == ELU:
        return ONE if y >= ZERO else y + ONE
    if code == SELU:
        return SELU_SCALE if y >= ZERO else y + SELU_SCALE * SELU_ALPHA
    if code == RELIE:
        return ONE if y > ZERO else HUNDREDTH
    if code == RAMP:
        return ONE + TENTH if y > ZERO else TENTH
    if code == TANH:
        return ONE - y * y
    if code == PLSE:
        return HUNDREDTH if y < ZERO or y > ONE else EIGHTH
    if code == STAIR:
        return ZERO if y == np.floor(y) else ONE
    if code == HARDTAN:
        return ONE if -ONE < y < ONE else ZERO
    return ONE if ZERO < y < ONE else THOUSANDTH


@kernel
def activate_back(grad: NDArray[np.float32], y: NDArray[np.float32], code: int) -> None:
    """Multiply each number of grad, (n,), by the slope of the activation at its output y, (n,)."""
    if code == LINEAR:
        return
    for i in prange(y.size):
        grad[i] *= slope(y[i], code)


@kernel
def activate(output: NDArray[np.float32], x: NDArray[np.float32], code: int) -> None:
    """Write the activation numbered `code` of every number of x, (n,), into output, (n,); they may be one array."""
    for i in prange(x.size):
        output[i] = activation(x[i], code)
