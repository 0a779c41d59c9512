"""One look at an array: its smallest and largest number, sums, zeros, and what is not finite, plane by plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minidarknet.kernels.jit import kernel, reduction

Floats = NDArray[np.float32]

#: Numbers of a run, whose sum is good enough in float32; see `statistics.py`.
RUN = 2048
ZERO, ONE, LARGEST = np.float32(0), np.float32(1), np.finfo(np.float32).max
#: What `survey` writes of each plane.
LOW, HIGH, SUM, SQUARES, ZEROS, ODD = range(6)


@reduction
def run_facts(x: Floats) -> Any:
    """Sum, sum of squares, zeros and finite numbers of a run; what is not finite counts as 0 in the sums."""
    total, squares, zeros, finite = ZERO, ZERO, ZERO, ZERO
    for i in range(len(x)):
        is_finite = ONE if abs(x[i]) <= LARGEST else ZERO
        value = x[i] if is_finite > ZERO else ZERO
        total += value
        squares += value * value
        zeros += ONE if x[i] == ZERO else ZERO
        finite += is_finite
    return total, squares, zeros, finite


@reduction
def run_bounds(x: Floats) -> Any:
    """The smallest and the largest finite number of a run."""
    low, high = LARGEST, -LARGEST
    for i in range(len(x)):
        low = x[i] if (x[i] < low) & (x[i] >= -LARGEST) else low
        high = x[i] if (x[i] > high) & (x[i] <= LARGEST) else high
    return low, high


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
            more, more_squares, more_zeros, more_finite = run_facts(run)
            least, most = run_bounds(run)
            low, high = min(low, least), max(high, most)
            total += np.float64(more)
            squares += np.float64(more_squares)
            zeros += np.float64(more_zeros)
            finite += np.float64(more_finite)
        facts[plane, LOW], facts[plane, HIGH] = low, high
        facts[plane, SUM], facts[plane, SQUARES] = total, squares
        facts[plane, ZEROS], facts[plane, ODD] = zeros, cells - finite
