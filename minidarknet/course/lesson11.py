"""Checks of lesson 11: SGD."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidarknet.course.checking import Exercise, expect

Vector = NDArray[np.float64]


def largest_rate(answer: Callable[..., Any]) -> None:
    for curvatures, expected in (([1.0, 25.0], 0.08), ([4.0], 0.5), ([1e-3, 0.5, 0.02], 4.0), ([8.0, 2.0, 8.0], 0.25)):
        expect(f"largest_rate({curvatures})", answer(list(curvatures)), expected, 1e-12)


def update(answer: Callable[..., Any]) -> None:
    generator = np.random.default_rng(112)
    for batch in (1, 8, 128):
        weights, buffer, gradient = generator.standard_normal((3, 5))
        rate, momentum, decay = 0.1, 0.9, 0.01
        moved = np.array([-decay * batch * w + b - g for w, b, g in zip(weights, buffer, gradient, strict=True)])
        expected = (weights + rate * moved / batch, momentum * moved)
        found = answer(weights.copy(), buffer.copy(), gradient.copy(), rate, momentum, decay, batch)
        expect(f"update with a batch of {batch}: (weights, buffer)", found, expected, 1e-12)


def rate_of(answer: Callable[..., Any]) -> None:
    for r, p, burn_in, max_batches in ((0.1, 4.0, 100, 1000), (0.5, 1.0, 20, 900), (1.0, 2.0, 0, 10)):
        for n in sorted({1, burn_in - 1, burn_in, burn_in + 1, max_batches // 2, max_batches}):
            if n < 1:
                continue
            share = n / burn_in if n < burn_in else (max_batches - n) / max_batches
            what = f"rate_of({n}, {r}, {p}, {burn_in}, {max_batches})"
            expect(what, answer(n, r, p, burn_in, max_batches), r * share**p, 1e-12)


def nesterov(answer: Callable[..., Any]) -> None:
    """Three steps down a valley, each from where the right one ends; and arrays that must stay as they are."""
    generator = np.random.default_rng(114)
    for rate, momentum in ((0.1, 0.9), (0.02, 0.5), (0.3, 0.0)):
        w, v, curvatures = generator.uniform(0.5, 2, (3, 4))

        def gradient(w: Vector, curvatures: Vector = curvatures) -> Vector:
            return curvatures * w**3

        for step in (1, 2, 3):
            ahead = w + rate * momentum * v
            new_v = momentum * v - curvatures * ahead**3
            expected = (w + rate * new_v, new_v)
            mine, yours = (w.copy(), v.copy()), (w.copy(), v.copy())
            found = answer(*yours, gradient, rate, momentum)
            what = f"nesterov with rate {rate} and momentum {momentum}, step {step}"
            expect(f"{what}: (w, v)", found, expected, 1e-9)
            expect(f"{what}: the arrays w and v that were given", yours, mine)
            w, v = expected


EXERCISES = (
    Exercise(
        "11.1",
        "Predict an explosion",
        largest_rate,
        hint="A step multiplies by 1 - rate * c. When does that become -1, and for which direction first?",
    ),
    Exercise(
        "11.2",
        "Repair the decay",
        update,
        hint="The gradient is a sum over the batch, and the rate is divided by it. What does that leave of the decay?",
        stub_says="update with a batch of 8",
    ),
    Exercise(
        "11.3",
        "A schedule",
        rate_of,
        hint="The number burn_in itself belongs to poly; where burn_in is 0, nothing may be divided by it.",
    ),
    Exercise(
        "11.4",
        "Look ahead",
        nesterov,
        hint="v = momentum * v - gradient(...), then w + rate * v: only what stands in the brackets is new.",
    ),
)
