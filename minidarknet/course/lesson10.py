"""Checks of lesson 10: gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidarknet.course.checking import Exercise, expect, fail

Vector = NDArray[np.float64]


def by_weights_of(answer: Callable[..., Any]) -> None:
    generator = np.random.default_rng(101)
    for batch, inputs, outputs in ((1, 3, 2), (5, 4, 3), (64, 2, 7)):
        d, x = generator.standard_normal((batch, outputs)), generator.standard_normal((batch, inputs))
        expected = np.zeros((outputs, inputs))
        for b, o, i in np.ndindex(batch, outputs, inputs):
            expected[o, i] += d[b, o] * x[b, i]
        expect(f"by_weights_of with a batch of {batch}", answer(d.copy(), x.copy()), expected, 1e-9)


def shortcut_back(answer: Callable[..., Any]) -> None:
    """Number by number, along both ways."""
    generator = np.random.default_rng(102)
    for batch, size in ((1, 4), (6, 3), (1, 1)):
        d, x = generator.standard_normal((2, batch, size))
        weights = generator.standard_normal((size, size))
        by_weights, by_x = np.zeros_like(weights), d.copy()
        for b, o in np.ndindex(batch, size):
            slope = 1 - np.tanh(float(np.sum(weights[o] * x[b]))) ** 2
            by_weights[o] += d[b, o] * slope * x[b]
            by_x[b] += d[b, o] * slope * weights[o]
        found = answer(d.copy(), x.copy(), weights.copy())
        what = f"shortcut_back with x of shape {x.shape}: (gradient by W, gradient by x)"
        expect(what, found, (by_weights, by_x), 1e-9)


def liar(answer: Callable[..., Any]) -> None:
    def loss(x: Vector) -> float:
        return float(np.sum(np.sin(x) * np.arange(1, len(x) + 1)) + np.prod(np.cos(x)))

    generator = np.random.default_rng(103)
    for size, wrong, share in ((1, 0, 1.1), (5, 4, 0.0), (5, 2, -1.0), (8, 0, 1.01), (6, None, 1.0)):
        x = generator.uniform(0.2, 1.2, size)
        true = np.cos(x) * np.arange(1, size + 1) - np.prod(np.cos(x)) * np.tan(x)
        claimed = true.copy()
        if wrong is not None:
            claimed[wrong] *= share
        what = f"liar with a vector of {size}, where {'none' if wrong is None else f'number {wrong}'} is wrong"
        found = answer(loss, x.copy(), claimed.copy())
        if found is None and wrong is not None:
            fail(f"{what}: found None, but it was claimed as {claimed[wrong]:.6g} and is {true[wrong]:.6g}")
        if isinstance(found, (int, np.integer)) and 0 <= found < size and found != wrong:
            fail(f"{what}: found {found}, but {claimed[found]:.6g}, which was claimed for that one, is right")
        expect(what, found, wrong)


EXERCISES = (
    Exercise(
        "10.1",
        "Repair the gradient by the weights",
        by_weights_of,
        hint="The loss is a sum over the images. What must become of the first image's gradient when the second comes?",
        stub_says="by_weights_of with a batch of 5: first differing value",
    ),
    Exercise(
        "10.2",
        "Write a backward",
        shortcut_back,
        hint="First d through tanh, number by number. Then x gets d itself, and what comes back through the weights.",
    ),
    Exercise(
        "10.3",
        "Find the liar",
        liar,
        hint="Move one number at a time by 0.00001 to both sides, and compare the slope with what is claimed.",
    ),
)
