"""Checks of lesson 3: convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidarknet.course.checking import Exercise, expect, fail


def typed(numbers: Any) -> str:
    """An array as a learner would type it: 2 for 2.0."""
    return f"[{', '.join(map(typed, numbers))}]" if np.ndim(numbers) else f"{numbers:g}"


def predict(answer: Callable[..., Any]) -> None:
    cases: list[tuple[tuple[int, ...], list[tuple[int, ...]], tuple[int, ...]]] = [
        ((3, 32, 48), [(16, 3, 1, 1), (8, 3, 2, 1)], (8, 16, 24)),
        ((3, 227, 227), [(96, 11, 4, 0)], (96, 55, 55)),
        ((1, 7, 10), [(4, 2, 2, 0)], (4, 3, 5)),
        ((5, 4, 9), [], (5, 4, 9)),
        ((2, 6, 6), [(3, 3, 2, 1), (7, 3, 2, 1), (1, 1, 1, 2)], (1, 6, 6)),
    ]
    for shape, layers, expected in cases:
        expect(f"predict({shape}, {layers})", answer(shape, layers), expected)


def border(answer: Callable[..., Any]) -> None:
    generator = np.random.default_rng(32)
    for height, width, size, padding in [(4, 4, 3, 0), (4, 4, 3, 1), (3, 6, 5, 2), (2, 3, 1, 1)]:
        # Whole numbers can be worked out by hand; but not only these are allowed.
        part = 0.5 if size == 1 else 0.0
        image, kernel = (generator.integers(1, 10, shape) + part for shape in ((height, width), (size, size)))
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(image, padding), (size, size))
        expected = np.einsum("yxij,ij->yx", windows, kernel)
        what = f"convolve_plane({typed(image)}, {typed(kernel)}, {padding})"
        expect(what, answer(image.copy(), kernel.copy(), padding), expected, 1e-9)


def line_back(answer: Callable[..., Any]) -> None:
    generator = np.random.default_rng(33)
    for length, size, stride in [(5, 3, 1), (9, 3, 2), (8, 3, 2), (6, 1, 4), (4, 4, 1)]:
        count = (length - size) // stride + 1
        part = 0.5 if length == 4 else 0.0  # whole numbers can be worked out by hand; but not only these are allowed
        x, w, grad = (generator.integers(1, 10, n) + part for n in (length, size, count))
        # Column i of this matrix has the weights where window i sees them: out = x @ seen.
        seen = np.zeros((length, count))
        for i in range(count):
            seen[i * stride : i * stride + size, i] = w
        windows = np.lib.stride_tricks.sliding_window_view(x, size)[::stride]
        found = answer(x.copy(), w.copy(), grad.copy(), stride)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            kind = "None: is there a `return`?" if found is None else type(found).__name__
            fail(f"expected two arrays, the gradients by x and by w; found {kind}")
        what = f"line_back({typed(x)}, {typed(w)}, {typed(grad)}, {stride})"
        expect(f"{what}: the gradient by x", found[0], seen @ grad, 1e-9)
        expect(f"{what}: the gradient by w", found[1], grad @ windows, 1e-9)


EXERCISES = (
    Exercise("3.1", "Predict a shape", predict, hint="Use the size formula for the height and for the width, in turn."),
    Exercise(
        "3.2",
        "Repair the border",
        border,
        hint="A negative index counts from the end: row -1 is the last row, not the border.",
        stub_says="first differing value at (0, 0)",
    ),
    Exercise(
        "3.3",
        "Write a backward",
        line_back,
        hint="Walk through all products x[i * stride + k] * w[k] again; each gives one number to by_x and one to by_w.",
    ),
)
