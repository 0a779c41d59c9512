"""Checks of lesson 8: softmax and loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minidarknet.course.checking import Exercise, expect


def guessed(answer: Callable[..., Any]) -> None:
    for classes in (2, 10, 43, 1000, 21841):
        for batch, rounding in ((1, 0.999999), (64, 1.000001), (100, 1.0)):
            loss = batch * math.log(classes) * rounding
            expect(f"guessed({loss:.3f}, {batch})", answer(loss, batch), classes)


def loss_from_scores(answer: Callable[..., Any]) -> None:
    generator = np.random.default_rng(82)
    for spread in (1.0, 1e3, 1e6):
        scores = spread * generator.standard_normal(7)
        with np.errstate(all="ignore"):
            for right in (0, int(scores.argmax()), int(scores.argmin())):
                above = [float(score - scores[right]) for score in scores]
                expected = max(above) + math.log(math.fsum(math.exp(a - max(above)) for a in above))
                what = (
                    f"loss_from_scores of scores up to {scores.max():.3g}, with {scores[right]:.3g} for the right class"
                )
                expect(what, answer(scores.copy(), right), expected, 1e-12 * max(1.0, spread))


def softmax_back(answer: Callable[..., Any]) -> None:
    """Against the definition, with both loops."""
    generator = np.random.default_rng(83)
    for images, classes in ((3, 4), (1, 2), (5, 1), (2, 30)):
        d, scores = generator.standard_normal((2, images, classes))
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        expected = np.zeros_like(p)
        for image, i, j in np.ndindex(images, classes, classes):
            expected[image, j] += d[image, i] * p[image, i] * ((i == j) - p[image, j])
        expect(f"softmax_back with p of shape {p.shape}", answer(d.copy(), p.copy()), expected, 1e-12)


EXERCISES = (
    Exercise(
        "8.1",
        "Read a first loss",
        guessed,
        hint="The loss of guessing is log(classes) for each image, so exp undoes it.",
    ),
    Exercise(
        "8.2",
        "Repair an overflow",
        loss_from_scores,
        hint="Take the largest score away from all. Then write log(a / b) as log(a) - log(b), and log(exp(z)) as z.",
        stub_says="found inf",
    ),
    Exercise(
        "8.3",
        "Write a backward",
        softmax_back,
        hint="The sum falls apart: where i = j it is d_j * p_j; the rest is p_j times the sum of all d_i * p_i.",
    ),
)
