"""Checks of lesson 0: the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidarknet.course.checking import Exercise, expect

HEADING = "layer     filters    size              input                output\n"
TABLE = HEADING + (
    "    0 conv      8  3 x 3 / 1    32 x  32 x   3   ->    32 x  32 x   8  0.000 BFLOPs\n"
    "    1 max          2 x 2 / 2    32 x  32 x   8   ->    16 x  16 x   8\n"
    "    2 conv     64  3 x 3 / 1    16 x  16 x   8   ->    16 x  16 x  64  {} BFLOPs\n"
    "    3 conv     64  3 x 3 / 1    16 x  16 x  64   ->    16 x  16 x  64  {} BFLOPs\n"
    "    4 conv   1000  1 x 1 / 1    16 x  16 x  64   ->    16 x  16 x1000  {} BFLOPs\n"
    "    5 avg                       16 x  16 x1000   ->  1000\n"
)


def operations(answer: Callable[..., Any]) -> None:
    for channels, height, width, filters, size, stride, padding, groups, expected in (
        (1, 4, 4, 1, 3, 1, 0, 1, 72),
        (3, 224, 224, 16, 3, 1, 1, 1, 43_352_064),
        (3, 227, 227, 96, 7, 2, 0, 1, 347_747_904),
        (16, 56, 56, 128, 3, 1, 1, 1, 115_605_504),
        (3, 20, 31, 4, 5, 2, 1, 1, 81_000),
        (8, 10, 6, 12, 3, 1, 1, 4, 25_920),
        (6, 7, 9, 6, 1, 1, 0, 6, 756),
    ):
        what = (
            f"operations(channels={channels}, height={height}, width={width}, filters={filters}, size={size}, "
            f"stride={stride}, padding={padding}, groups={groups})"
        )
        expect(what, answer(channels, height, width, filters, size, stride, padding, groups), expected)


def learned(answer: Callable[..., Any]) -> None:
    for channels, filters, size, batch_norm, expected in (
        (128, 1000, 1, False, 129_000),
        (3, 16, 3, True, 496),
        (16, 128, 3, True, 18_944),
        (3, 96, 7, False, 14_208),
        (5, 1, 1, True, 9),
    ):
        what = f"learned({channels}, {filters}, {size}, {batch_norm})"
        expect(what, answer(channels, filters, size, batch_norm), expected)


def most_expensive(answer: Callable[..., Any]) -> None:
    for figures, expected in (
        (("0.002", "0.019", "0.033"), 4),
        (("0.002", "0.019", "0.019"), 3),
        (("0.104", "0.019", "0.033"), 2),
        (("9.500", "12.000", "0.033"), 3),  # as text, 9.500 would be the larger
    ):
        expect(f"the table with {', '.join(figures)} at layers 2, 3, 4", answer(TABLE.format(*figures)), expected)


EXERCISES = (
    Exercise(
        "0.1",
        "The operations of a convolution",
        operations,
        hint="Count the outputs first; each of them takes size * size products for every channel that its filter sees.",
    ),
    Exercise(
        "0.2",
        "Repair the counter of parameters",
        learned,
        hint="How many weights does one filter have? And which numbers does each filter have for itself?",
        stub_says="learned(3, 16, 3, True)",
    ),
    Exercise(
        "0.3",
        "Read a table",
        most_expensive,
        hint="Split the lines at blanks; the figure stands in front of the last word. Compare numbers, not text.",
    ),
)
