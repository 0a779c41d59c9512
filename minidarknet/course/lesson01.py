"""Checks of lesson 1: pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidarknet.course.checking import Exercise, expect, fail


def sizes(answer: Callable[..., Any]) -> None:
    for height, width, side, fit, box in (
        (120, 200, 64, (64, 106), (38, 64)),
        (576, 768, 224, (224, 298), (168, 224)),
        (768, 576, 224, (298, 224), (224, 168)),
        (64, 64, 224, (224, 224), (224, 224)),
        (10, 33, 7, (7, 23), (2, 7)),
        (5, 90, 224, (224, 4032), (12, 224)),  # 90 * (224 / 5) is less than 4032
    ):
        what, found = f"sizes({height}, {width}, {side})", answer(height, width, side)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            expect(what, found, (fit, box))
        expect(f"{what}: the (height, width) of fit, the first pair", found[0], fit)
        expect(f"{what}: the (height, width) of the letterbox, the second pair", found[1], box)


def planes_of(answer: Callable[..., Any]) -> None:
    for height, width in ((1, 2), (4, 4), (5, 3)):
        pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)
        expected = np.zeros((3, height, width), np.float32)
        for y, x, c in np.ndindex(height, width, 3):
            expected[c, y, x] = np.float32(pixels[y, x, c]) / np.float32(255)
        # float64 is as good here, and another divisor is not
        expect(f"planes_of bytes of shape {pixels.shape}", answer(pixels.copy()), expected, tolerance=1e-6)


def grey(answer: Callable[..., Any]) -> None:
    colours = {"white": (255, 255, 255), "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
    for (name, colour), expected in zip(colours.items(), (255, 76, 149, 28), strict=True):
        pixels = np.full((2, 3, 3), colour, np.uint8)
        expect(f"grey of {name}", answer(pixels), np.full((2, 3), expected, np.uint8))
    pixels = np.random.default_rng(1).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    expected_grey = np.array([[77 * int(r) + 150 * int(g) + 29 * int(b) >> 8 for r, g, b in row] for row in pixels])
    found = answer(pixels.copy())
    expect("grey of 4x5 colours", found, expected_grey.astype(np.uint8))
    if found.dtype != np.uint8:
        fail(f"grey of 4x5 colours: the numbers are right, but expected bytes (uint8), found {found.dtype}")


EXERCISES = (
    Exercise(
        "1.1",
        "Predict the sizes",
        sizes,
        hint="One way makes the shorter side as long as asked, the other way the longer one; the other side follows.",
    ),
    Exercise(
        "1.2",
        "Repair the planes",
        planes_of,
        hint="`reshape` leaves the numbers in their order. Which function changes the order of the axes?",
        stub_says="first differing value",
    ),
    Exercise(
        "1.3",
        "Grey, without a float",
        grey,
        hint="A product of bytes is cut to a byte: turn them into larger whole numbers first, and back at the end.",
    ),
)
