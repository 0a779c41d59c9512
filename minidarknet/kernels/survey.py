"""One look at an array: its smallest and largest number, sums, zeros, and what is not finite, plane by plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minidarknet.kernels.jit import kernel, reduction, scalar

Floats = NDArray[np.float32]

#: Numbers of a run, whose sum is good enough in float32; see `statistics.py`.
RUN = 2048
ZERO, ONE, LARGEST = np.float32(0), np.float32(1), np.finfo(np.float32).max
#: The places to shift a float32's bits by until only the sign is left, and all bits below it.
SIGN, BELOW_SIGN = np.int32(31), np.int32(0x7FFFFFFF)
#: What `survey` writes of each plane.
LOW, HIGH, SUM, SQUARES, ZEROS, ODD = range(6)


@scalar
def ordered(bits: Any) -> Any:
    """Bits of a float32 as a whole number that is the larger the larger the float is; and back again.

    A positive float's bits are in order already; the more negative a float is, the larger are the bits below its sign,
    which are turned over. The compiler finds smallest and largest *whole* numbers in vector registers, but not those of
    floats, where it must care for NaN: 0.09 against 0.53 ns a number.
    """
    return np.int32(bits ^ ((bits >> SIGN) & BELOW_SIGN))


@scalar
def as_float(number: Any) -> Any:
    """The float32 of an `ordered` number."""
    return np.int32(ordered(number)).view(np.float32)  # Numba had widened it to 64 bits


@reduction
def run_facts(x: Floats) -> Any:
    """Sum, sum of squares, zeros, and the `ordered` smallest and largest number of a run.

    The squares say whether all of it is finite, and not too large; only then do the others mean anything.
    """
    bits = x.view(np.int32)
    total, squares, zeros = ZERO, ZERO, ZERO
    low, high = BELOW_SIGN, ~BELOW_SIGN
    for i in range(len(x)):
        total += x[i]
        squares += x[i] * x[i]
        zeros += ONE if x[i] == ZERO else ZERO
        low, high = np.int32(min(low, ordered(bits[i]))), np.int32(max(high, ordered(bits[i])))
    return total, squares, zeros, low, high


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
            some, some_squares, some_zeros, least_bits, most_bits = run_facts(run)
            zeros += np.float64(some_zeros)
            if some_squares <= LARGEST:  # not so with NaN
                least, most = as_float(least_bits), as_float(most_bits)
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
def sampled_histogram(counts: NDArray[np.int64], source: Floats, step: int, low: float, high: float) -> None:
    """Count every `step`-th number of source (numbers,), where finite, in equal bars from low to high.

    Where these two are the same, all are counted in the middle.
    """
    counts[:] = 0
    bars = len(counts)
    scale = np.float64(bars) / (high - low) if high > low else 0.0
    first = 0.0 if high > low else 0.5 * bars
    for i in range(0, len(source), step):
        if abs(source[i]) <= LARGEST:
            counts[min(int(first + (np.float64(source[i]) - low) * scale), bars - 1)] += 1
