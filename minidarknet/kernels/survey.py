"""One look at an array: its smallest and largest number, sums, zeros, and what is not finite, plane by plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minidarknet.kernels.jit import finite_reduction, kernel, reduction, scalar

Floats = NDArray[np.float32]

#: Numbers of a run, whose sum is good enough in float32; see `statistics.py`.
RUN = 2048
ZERO, ONE, LARGEST = np.float32(0), np.float32(1), np.finfo(np.float32).max
#: What `survey` writes of each plane.
LOW, HIGH, SUM, SQUARES, ZEROS, ODD = range(6)


@reduction
def run_sums(x: Floats) -> Any:
    """Sum, sum of squares and zeros of a run; the squares say whether all of it is finite, and not too large."""
    total, squares, zeros = ZERO, ZERO, ZERO
    for i in range(len(x)):
        total += x[i]
        squares += x[i] * x[i]
        zeros += ONE if x[i] == ZERO else ZERO
    return total, squares, zeros


@finite_reduction
def run_bounds(x: Floats) -> Any:
    """The smallest and the largest number of a run that is finite."""
    low, high = LARGEST, -LARGEST
    for i in range(len(x)):
        low, high = min(low, x[i]), max(high, x[i])
    return low, high


@scalar
def odd_facts(x: Floats) -> Any:
    """Sum, sum of squares, smallest, largest and count of the finite numbers of a run that has others."""
    total, squares, finite = 0.0, 0.0, 0.0
    low, high = LARGEST, -LARGEST
    for value in x:
        if abs(value) <= LARGEST:
            total += np.float64(value)
            squares += np.float64(value) * np.float64(value)
            finite += 1.0
            low, high = min(low, value), max(high, value)
    return total, squares, low, high, finite


@kernel
def survey(facts: NDArray[np.float64], source: Floats) -> None:
    """Write into facts (planes, 6) what there is to say of each row of source (planes, cells)."""
    planes, cells = source.shape
    flat = source.reshape(-1)
    for number in prange(planes):
        plane: Any = np.int64(number)  # a parallel index is unsigned
        low, high = LARGEST, -LARGEST
        total, squares, zeros, finite = 0.0, 0.0, 0.0, 0.0
        for start in range(plane * cells, (plane + 1) * cells, RUN):
            run = flat[start : min((plane + 1) * cells, start + RUN)]
            some, some_squares, some_zeros = run_sums(run)
            zeros += np.float64(some_zeros)
            if some_squares <= LARGEST:  # not so with NaN
                least, most = run_bounds(run)
                total += np.float64(some)
                squares += np.float64(some_squares)
                finite += np.float64(len(run))
            else:
                more, more_squares, least, most, more_finite = odd_facts(run)
                total += more
                squares += more_squares
                finite += more_finite
            low, high = min(low, least), max(high, most)
        facts[plane, LOW], facts[plane, HIGH] = low, high
        facts[plane, SUM], facts[plane, SQUARES] = total, squares
        facts[plane, ZEROS], facts[plane, ODD] = zeros, cells - finite


@scalar
def sampled_histogram(counts: NDArray[np.int64], source: Floats, step: int) -> Any:
    """Count every `step`-th number of source (numbers,), where finite, in equal bars from the smallest to the largest.

    Returns these two; where they are the same, all are counted in the middle.
    """
    low, high = LARGEST, -LARGEST
    for i in range(0, len(source), step):
        if abs(source[i]) <= LARGEST:
            low, high = min(low, source[i]), max(high, source[i])
    counts[:] = 0
    bars = len(counts)
    wide = np.float64(high) - np.float64(low)  # in float32 the distance of two huge numbers would overflow
    for i in range(0, len(source), step):
        if abs(source[i]) <= LARGEST:
            share = (np.float64(source[i]) - np.float64(low)) / wide if wide > 0.0 else 0.5
            counts[min(int(share * bars), bars - 1)] += 1
    return low, high
