"""Checks of lesson 5: pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidarknet.course.checking import Exercise, expect


def pooled(answer: Callable[..., Any]) -> None:
    cases: list[tuple[int, list[tuple[int, int]], int]] = [
        (5, [(2, 2)], 3),
        (28, [(2, 2), (2, 2), (3, 1)], 7),
        (224, [(2, 2)] * 5, 7),
        (13, [(2, 1)], 13),
        (227, [(3, 2), (3, 2), (1, 3)], 19),
        (9, [], 9),
    ]
    for length, pools, expected in cases:
        expect(f"pooled({length}, {pools})", answer(length, pools), expected)


def maxpool_plane(answer: Callable[..., Any]) -> None:
    generator = np.random.default_rng(52)
    for height, width, most in [(2, 2, -1.0), (4, 6, 3.0), (6, 2, -2.0), (8, 8, 9.0)]:
        plane = most - 5 * generator.random((height, width))
        expected = plane.reshape(height // 2, 2, width // 2, 2).max(axis=(1, 3))
        what = f"a {height}x{width} plane with numbers from {most - 5:g} to {most:g}"
        expect(what, answer(plane.copy()), expected)


def average_back(answer: Callable[..., Any]) -> None:
    generator = np.random.default_rng(53)
    for shape, size, stride in [((4, 4), 2, 2), ((5, 7), 3, 2), ((4, 5), 3, 1), ((7, 4), 2, 3), ((3, 3), 1, 1)]:
        rows, columns = ((side - size) // stride + 1 for side in shape)
        grad = generator.standard_normal((rows, columns))
        # Which numbers window (y, x) has seen: those rows that y sees, in those columns that x sees.
        by_rows, by_columns = (
            np.array([[i * stride <= cell < i * stride + size for cell in range(side)] for i in range(count)], float)
            for side, count in zip(shape, (rows, columns), strict=True)
        )
        what = f"a plane {shape[0]}x{shape[1]}, window {size}, stride {stride}"
        expected = by_rows.T @ grad @ by_columns / size**2
        expect(what, answer(shape, grad.copy(), size, stride), expected, 1e-9)


def sees(answer: Callable[..., Any]) -> None:
    cases: list[tuple[list[tuple[int, int]], int]] = [
        ([], 1),
        ([(3, 1)], 3),
        ([(3, 1), (3, 1)], 5),
        ([(3, 1), (2, 2), (3, 1), (2, 2), (3, 1)], 18),
        ([(11, 4), (1, 1), (3, 2), (5, 1)], 51),
    ]
    for layers, expected in cases:
        expect(f"sees({layers})", answer(layers), expected)


EXERCISES = (
    Exercise("5.1", "Predict a shape", pooled, hint="By itself the padding is size - 1, of both ends together."),
    Exercise(
        "5.2",
        "Repair a maximum",
        maxpool_plane,
        hint="What comes out of a window in which all numbers are negative?",
        stub_says="first differing value at (0, 0)",
    ),
    Exercise(
        "5.3",
        "Write a backward",
        average_back,
        hint="Each of a window's size * size numbers gets an equal part; where windows overlap, the parts add up.",
    ),
    Exercise(
        "5.4",
        "How far does a number see?",
        sees,
        hint="Neighbours behind a stride of 2 are 2 cells apart before it, and so are the cells of the next window.",
    ),
)
