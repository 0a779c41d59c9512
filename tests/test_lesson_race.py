"""Lesson 4 finds a race by what the rounds of a loop write: on a busy machine, what they count is often right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import prange

from minidarknet.course.checking import Wrong
from minidarknet.course.lesson04 import one_writer

VALUES = np.random.default_rng(4).integers(0, 4, 100)


def one_array(values, bins, parts):
    counts = np.zeros(bins, np.int64)
    for part in prange(parts):
        for i in range(part, len(values), parts):
            counts[values[i]] += 1
    return counts


def added_up_by_several(values, bins, parts):
    counts, total = np.zeros((parts, bins), np.int64), np.zeros(bins, np.int64)
    for part in prange(parts):
        for value in values[part::parts]:
            counts[part, value] += 1
    for part in prange(parts):
        for value in range(bins):
            total[value] += counts[part, value]
    return total


def rows(values, bins, parts):
    counts = np.empty((parts, bins), np.int64)
    for part in prange(parts):
        counts[part] = 0
        for value in values[part::parts]:
            counts[part, value] += 1
    return counts.sum(axis=0)


def whole_arrays(values, bins, parts):
    total = np.zeros(bins, np.int64)
    for part in prange(parts):
        counts = np.zeros_like(total)
        for value in values[part::parts]:
            counts[value] += 1
        total += counts  # which Numba turns into a sum of its own for each thread
    return total


@pytest.mark.parametrize("answer", [one_array, added_up_by_several])
def test_two_writers_are_a_race(answer: Callable[..., Any]) -> None:
    with pytest.raises(Wrong, match=r"^a race: rounds \d and \d of prange both write to place \[\d\] of one array$"):
        one_writer(answer, VALUES, 4, 5)


@pytest.mark.parametrize("answer", [rows, whole_arrays])
def test_one_writer_is_none(answer: Callable[..., Any]) -> None:
    one_writer(answer, VALUES, 4, 5)
