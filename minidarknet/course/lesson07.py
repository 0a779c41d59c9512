"""Checks of lesson 7: batch norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidarknet.course.checking import Exercise, expect

EPSILON = 1e-6


def fold(answer: Callable[..., Any]) -> None:
    generator = np.random.default_rng(71)
    for filters, channels, size in ((3, 2, 3), (1, 1, 1), (4, 5, 1)):
        weights = generator.standard_normal((filters, channels, size, size))
        scale, bias, mean, variance = generator.uniform(0.5, 2, (4, filters))
        variance[-1] = 1e-10  # where it matters on which side of the root the epsilon is
        new_weights, new_biases = np.empty_like(weights), np.empty(filters)
        for f in range(filters):
            factor = scale[f] / (np.sqrt(variance[f]) + EPSILON)
            new_weights[f] = factor * weights[f]
            new_biases[f] = bias[f] - factor * mean[f]
        found = answer(weights.copy(), scale.copy(), bias.copy(), mean.copy(), variance.copy())
        what = f"fold with weights of shape {weights.shape}, which is (weights, biases)"
        expect(what, found, (new_weights, new_biases), 1e-6)


def predict(answer: Callable[..., Any]) -> None:
    generator = np.random.default_rng(72)
    for variances in ((1.0, 0.25), (4.0, 1e-9), (0.0, 1e-14)):
        x = generator.standard_normal((3, 2, 4, 5))
        scale, bias, mean = generator.uniform(0.5, 2, (3, 2))
        variance = np.array(variances)
        even = (x - mean[:, None, None]) / (np.sqrt(variance) + EPSILON)[:, None, None]
        expected = scale[:, None, None] * even + bias[:, None, None]
        found = answer(x.copy(), scale.copy(), bias.copy(), mean.copy(), variance.copy())
        largest = float(np.abs(expected).max())
        expect(f"predict with variances {variances}", found, expected, 1e-5 * largest)


def frozen_back(answer: Callable[..., Any]) -> None:
    """Against the definition: scale times x, as all else is constant."""
    generator = np.random.default_rng(73)
    for sides in ((2, 3, 4, 4), (5, 1, 2, 3), (1, 4, 1, 1)):
        d, x = generator.standard_normal((2, *sides))
        scale, mean, variance = generator.uniform(0.5, 2, (3, sides[1]))
        factor = 1 / (np.sqrt(variance) + EPSILON)
        by_x, by_scale = np.empty(sides), np.empty(sides[1])
        for c in range(sides[1]):
            by_x[:, c] = scale[c] * factor[c] * d[:, c]
            by_scale[c] = factor[c] * np.sum(d[:, c] * (x[:, c] - mean[c]))
        expected = (by_x, by_scale, d.sum(axis=(0, 2, 3)))
        found = answer(d.copy(), x.copy(), scale.copy(), mean.copy(), variance.copy())
        expect(f"frozen_back with d of shape {sides}, which is (by x, by scale, by bias)", found, expected, 1e-9)


EXERCISES = (
    Exercise(
        "7.1",
        "Fold",
        fold,
        hint="scale * (w * x - mean) / deviation + bias: collect what multiplies x, and what does not.",
    ),
    Exercise(
        "7.2",
        "Repair a bug",
        predict,
        hint="Where does Darknet add its 0.000001: to the variance, or to its root?",
        stub_says="first differing value",
    ),
    Exercise(
        "7.3",
        "Write a backward",
        frozen_back,
        hint="Moving x no longer moves mean and variance, so only the direct way remains: scale * e * d.",
    ),
)
