"""Activations as steps of an explanation: each with the expression that it is."""

from __future__ import annotations

import numpy as np

from minidarknet.explain.terms import BOUND, Working, n
from minidarknet.trace.verify import curve

#: Plain Python for each activation of x.
EXPRESSIONS = {
    "linear": "{x}",
    "logistic": "1 / (1 + exp(-{x}))",
    "loggy": "2 / (1 + exp(-{x})) - 1",
    "tanh": "tanh({x})",
    "relu": "max(0, {x})",
    "leaky": "{x} if {x} > 0 else 0.1 * {x}",
    "relie": "{x} if {x} > 0 else 0.01 * {x}",
    "ramp": "1.1 * {x} if {x} > 0 else 0.1 * {x}",
    "elu": "{x} if {x} >= 0 else exp({x}) - 1",
    "selu": "1.0507 * {x} if {x} >= 0 else 1.0507 * 1.6732 * (exp({x}) - 1)",
    "plse": "0.01 * ({x} + 4) if {x} < -4 else (0.01 * ({x} - 4) + 1 if {x} > 4 else 0.125 * {x} + 0.5)",
    "hardtan": "min(1, max(-1, {x}))",
    "lhtan": "0.001 * {x} if {x} < 0 else (0.001 * ({x} - 1) + 1 if {x} > 1 else {x})",
    "stair": "floor({x} / 2) + ({x} - floor({x})) * (floor({x}) % 2)",
}


def activate(working: Working, name: str) -> Working:
    """Add an activation as a step; `linear` changes nothing and is left out."""
    if name == "linear":
        return working
    x, reach = working.value, BOUND * working.size
    below, value, above = (float(y) for y in curve(name, np.array([x - reach, x, x + reach])))
    # Rounding of x is passed on as steeply as the curve is here.
    size = abs(value) + abs(above - below) / BOUND
    return working.then(name, EXPRESSIONS[name].format(x=n(x)), value, size)
