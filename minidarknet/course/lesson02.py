"""Checks of lesson 2: from a cfg to a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidarknet.course.checking import Exercise, expect, fail


def option(answer: Callable[..., Any]) -> None:
    for line, expected in (
        ("size=3", ("size", "3")),
        (" layers = -1, 8  # a=b", ("layers", "-1,8")),
        ("steps=100,200 ; then=less", ("steps", "100,200")),
        ("\tactivation =\tleaky \r", ("activation", "leaky")),
        ("# size=3", None),
        ("   ", None),
        ("; [maxpool]", None),
    ):
        expect(f"option({line!r})", answer(line), expected)


def source(answer: Callable[..., Any]) -> None:
    for index, number, expected in ((4, -2, 2), (6, 3, 3), (6, -1, 5), (9, 0, 0), (9, -9, 0), (2, 1, 1)):
        try:
            found = answer(index, number)
        except ValueError:
            fail(f"source({index}, {number}): expected {expected}, found a ValueError")
        expect(f"source({index}, {number})", found, expected)
    for index, number in ((4, -5), (4, 4), (4, 7), (0, -1)):
        try:
            found = answer(index, number)
        except ValueError:
            continue
        except Exception as error:
            fail(f"source({index}, {number}): expected a ValueError, found another error, {type(error).__name__}")
        fail(f"source({index}, {number}): expected a ValueError, found {found!r}")


def upsample(answer: Callable[..., Any]) -> None:
    for options, index, before, expected, line in (
        ({"stride": "2"}, 3, (16, 13, 26), (16, 26, 52), "  26 x  13 x  16   ->    52 x  26 x  16"),
        ({}, 0, (1, 4, 5), (1, 8, 10), "   5 x   4 x   1   ->    10 x   8 x   1"),
        ({"stride": "3"}, 1, (1024, 7, 2), (1024, 21, 6), "   2 x   7 x1024   ->     6 x  21 x1024"),
    ):
        shapes = dict.fromkeys(range(-1, index), (99, 99, 99)) | {index - 1: before}
        what = f"upsample({options}, {index}, ...) of shape {before}"
        answered = answer(dict(options), index, shapes)
        if not isinstance(answered, (tuple, list)) or len(answered) != 2 or not isinstance(answered[1], str):
            expect(what, answered, (expected, "the line"))
        expect(f"{what}: the shape", answered[0], expected)
        row = f"upsample           {options.get('stride', '2'):>2}x  {line}"
        if answered[1] != row:
            fail(f"{what}: the line differs\n    expected |{row}|\n    found    |{answered[1]}|")


EXERCISES = (
    Exercise(
        "2.1",
        "Repair the reader",
        option,
        hint="Cut the comment off first; `partition` never fails; `''.join(text.split())` has no blanks.",
        stub_says="too many values to unpack",
    ),
    Exercise(
        "2.2",
        "Whom does it mean?",
        source,
        hint="Work out the layer first, then look whether it is from 0 to index - 1. Is layer 0 negative?",
    ),
    Exercise(
        "2.3",
        "Add a layer",
        upsample,
        hint="`maxpool` above is the most alike. Options are text. f'{word:19}' fills up to 19 places.",
    ),
)
