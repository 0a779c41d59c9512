"""Checks of lesson 12: data and augmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidarknet.course.checking import Exercise, expect, fail


def to_beat(answer: Callable[..., Any]) -> None:
    expect("to_beat of [2, 0, 2, 1]", answer(np.array([2, 0, 2, 1])), 0.5, 1e-12)
    expect("to_beat of [4]", answer(np.array([4])), 1.0, 1e-12)
    labels = np.random.default_rng(121).integers(0, 7, 1000)
    expected = max(int((labels == number).sum()) for number in range(7)) / 1000
    expect("to_beat of 1,000 labels of 7 classes", answer(labels.copy()), expected, 1e-12)


def parts(answer: Callable[..., Any]) -> None:
    for count, copies, share, seed in [(10, 3, 0.2, 0), (25, 4, 0.4, 1), (8, 1, 0.25, 2), (40, 2, 0.5, 3)]:
        call = f"parts({count}, {copies}, {share}, {seed})"
        found = answer(count, copies, share, seed)
        learned, held = _two_lists(call, found)
        expected = [(photograph, copy) for photograph in range(count) for copy in range(copies)]
        if sorted(learned + held) != expected:
            lost, twice = len(set(expected) - {*learned, *held}), len(learned + held) - len({*learned, *held})
            fail(f"{call}: every pair belongs into one of both lists; {lost} are missing, {twice} come more than once")
        if both := {photograph for photograph, _ in learned} & {photograph for photograph, _ in held}:
            fail(f"{call}: photograph {min(both)} has copies in both lists: a leak")
        photographs = {photograph for photograph, _ in held}
        expect(f"photographs in the second list of {call}, those held out", len(photographs), round(share * count))
    each = (_two_lists("parts", answer(30, 2, 0.2, seed))[1] for seed in range(5))
    chosen = {tuple(sorted({photograph for photograph, _ in held})) for held in each}
    if len(chosen) < 2:
        fail("parts(30, 2, 0.2, seed): the same photographs are held out whatever the seed")


def _two_lists(call: str, found: Any) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The two lists of pairs; `Wrong` where they are none."""
    try:
        learned, held = ([(int(photograph), int(copy)) for photograph, copy in part] for part in found)
    except (TypeError, ValueError):
        what = f"two lists of pairs (photograph, copy), as in `return learned, held`; found {type(found).__name__}"
        fail(f"{call}: expected {what}" + (": is there a `return`?" if found is None else ""))
    return learned, held


def look_up_back(answer: Callable[..., Any]) -> None:
    places = [(1.25, 2.5), (0.0, 0.0), (3.0, 1.0), (-0.5, 1.5), (4.75, 3.5), (2.0, -0.25), (9.0, 9.0)]
    for grad, (x, y) in zip((1.0, -2.0, 0.5, 4.0, 1.0, 3.0, 1.0), places, strict=True):
        # Each pixel's share by its distance: 1 on top of it, 0 from a whole pixel on.
        expected = np.array(
            [[grad * max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column)) for column in range(5)] for row in range(4)]
        )
        expect(f"look_up_back({grad}, (4, 5), {x}, {y})", answer(grad, (4, 5), x, y), expected, 1e-12)


EXERCISES = (
    Exercise("12.1", "The accuracy to beat", to_beat, hint="np.bincount counts how often each label occurs"),
    Exercise(
        "12.2",
        "Repair a leak",
        parts,
        hint="choose photographs first, by generator.permutation(count), and then write down the pairs",
        stub_says="a leak",
    ),
    Exercise(
        "12.3",
        "Write the backward of a look-up",
        look_up_back,
        hint="go through the same four pixels; each one's gradient is its share, times grad",
    ),
)
