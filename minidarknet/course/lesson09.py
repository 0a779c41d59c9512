"""Checks of lesson 9: the weights file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidarknet.course.checking import Exercise, expect


def header_bytes(answer: Callable[..., Any]) -> None:
    for major, minor, expected in (
        (0, 1, 16),
        (0, 2, 20),
        (0, 0, 16),
        (0, 5, 20),
        (1, 0, 20),
        (999, 999, 20),
        (0, 1000, 16),
        (1000, 0, 16),
        (2000, 5, 16),
    ):
        expect(f"header_bytes({major}, {minor})", answer(major, minor), expected)


def convolution_arrays(answer: Callable[..., Any]) -> None:
    for filters, channels, size in ((2, 1, 1), (3, 2, 3), (1, 4, 5)):
        count = filters * (channels * size * size + 4)
        numbers = np.random.default_rng(filters).normal(size=count).astype(np.float32)
        parts = np.split(numbers.copy(), [filters, 2 * filters, 3 * filters, 4 * filters])
        names = ("biases", "scales", "means", "variances", "weights")
        expected = dict(zip(names, parts, strict=True))
        expected["weights"] = expected["weights"].reshape(filters, channels, size, size)
        what = f"convolution_arrays of {count} numbers, {filters} filters, {channels} channels, size {size}"
        expect(what, answer(numbers, filters, channels, size), expected)


def cut_in(answer: Callable[..., Any]) -> None:
    for size, header, counts, expected in (
        (70, 20, [2, 10, 4], 2),
        (84, 20, [2, 10, 4], None),
        (83, 20, [2, 10, 4], 2),
        (68, 20, [2, 10, 4], 2),
        (67, 20, [2, 10, 4], 1),
        (28, 20, [2, 10, 4], 1),
        (27, 20, [2, 10, 4], 0),
        (20, 16, [1, 1], 1),
        (16, 16, [1, 1], 0),
        (500, 16, [1, 1], None),
        (16, 16, [], None),
    ):
        expect(f"cut_in({size}, {header}, {counts})", answer(size, header, list(counts)), expected)


def fold(answer: Callable[..., Any]) -> None:
    for seed, (filters, channels, size) in enumerate(((1, 1, 1), (4, 3, 3), (5, 2, 1))):
        random = np.random.default_rng(seed)
        weights = random.normal(size=(filters, channels, size, size))
        biases, scales, means = random.normal(size=(3, filters))
        variances = random.uniform(0, 2, filters)
        variances[0] = 1e-12  # a root as small as the epsilon shows where that stands
        expected_weights, expected_biases = np.empty_like(weights), np.empty(filters)
        for f in range(filters):
            factor = scales[f] / (variances[f] ** 0.5 + 0.000001)
            expected_weights[f] = weights[f] * factor
            expected_biases[f] = biases[f] - means[f] * factor
        copies = [array.copy() for array in (weights, biases, scales, means, variances)]
        largest = max(float(np.abs(expected_weights).max()), float(np.abs(expected_biases).max()))
        what = f"fold of {filters} filters of {channels}x{size}x{size}"
        expect(what, answer(*copies), (expected_weights, expected_biases), tolerance=1e-9 * largest)


EXERCISES = (
    Exercise(
        "9.1",
        "The length of the header",
        header_bytes,
        hint="Three numbers of 4 bytes, and `seen` with 8 or 4. All three conditions must hold for 8.",
    ),
    Exercise(
        "9.2",
        "Repair the order",
        convolution_arrays,
        hint="That is the order of a connected layer. Where do the weights of a convolution stand?",
        stub_says="for 'scales'",
    ),
    Exercise(
        "9.3",
        "Where does it end?",
        cut_in,
        hint="Add up where each array ends, in bytes, beginning behind the header.",
    ),
    Exercise(
        "9.4",
        "Fold batch norm away",
        fold,
        hint="scale * (w x - mean) / deviation + bias: what stands before x, and what is left without it?",
    ),
)
