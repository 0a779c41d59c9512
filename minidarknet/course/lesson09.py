"""Checks of lesson 9: the weights file."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from minidarknet.course.checking import Exercise, expect, fail


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
        what, found = f"cut_in({size}, {header}, {counts})", answer(size, header, list(counts))
        if found is None and expected is not None:
            fail(f"{what}: expected {expected}, found None, which says that every array is complete")
        expect(what, found, expected)


def renewed(answer: Callable[..., Any]) -> None:
    for revision, seen, count in ((0, 640, 10), (3, 2_000_000_000, 1), (7, 0, 300)):
        numbers = np.random.default_rng(count).normal(size=count).astype("<f4")
        what = f"renewed of a file with revision {revision}, seen {seen:,} and {count} numbers"
        found = answer(struct.pack("<3ii", 0, 1, revision, seen) + numbers.tobytes())
        if not isinstance(found, bytes):
            kind = "None: is there a `return`?" if found is None else type(found).__name__
            fail(f"{what}: expected bytes, found {kind}")
        if len(found) != 20 + 4 * count:
            expected = f"{20 + 4 * count} bytes, 20 of header and {4 * count} of numbers"
            fail(f"{what}: expected {expected}, found {len(found)}")
        expect(f"{what}: major, minor, revision, seen", struct.unpack_from("<3iq", found), (0, 2, revision, seen))
        expect(f"{what}: the numbers", np.frombuffer(found, "<f4", offset=20), numbers)


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
        "Renew an old file",
        renewed,
        hint="Read the old header with `<3ii`, write the new one with `<3iq`; the numbers begin at byte 16 of `data`.",
    ),
)
