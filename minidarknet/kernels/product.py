"""The matrix product that a convolution comes down to once its windows are laid out as columns (see `im2col.py`).

This is the plain way: what runs where kernels are not compiled, and what the fast ones (`tile.py`) are checked against.
It sums in the order of the definition, but walks through memory such that vector units and caches help:

    output (m x n)  =  a (m x k)  @  b (k x n)

           n: one strip of 256 columns          - a strip of b stays in the second-level cache
        +--------------------+                  - the innermost loop runs along n, so that it is vectorised and no
    k   |  4 rows of b       |                    sum is reordered: the bits do not depend on the machine's width
        +--------------------+                  - four rows of b are added at a time, so that each number of the
    m   |  1 row of output   |                    output is loaded and stored once for four multiply-adds
        +--------------------+
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minidarknet.kernels.jit import kernel

#: Columns of a strip: 256 of them times a thousand rows of b are 1 MiB, the size of a second-level cache.
STRIP = 256


@kernel
def product(
    output: NDArray[np.float32], a: NDArray[np.float32], b: NDArray[np.float32], m: int, n: int, k: int
) -> None:
    """Write a (m, k) @ b (k, n) into output (m, n). Each strip of the output has one writer."""
    strips = (n + STRIP - 1) // STRIP
    rows = (m + 7) // 8
    for task in prange(strips * rows):
        # A parallel index is unsigned, and unsigned minus signed is a float: make it a plain number first.
        number: Any = np.int64(task)
        strip, row = number % strips, number // strips
        left, right = strip * STRIP, min(n, strip * STRIP + STRIP)
        for i in range(row * 8, min(m, row * 8 + 8)):
            for j in range(left, right):
                output[i, j] = np.float32(0)
            whole = k - k % 4
            for p in range(0, whole, 4):
                a0, a1, a2, a3 = a[i, p], a[i, p + 1], a[i, p + 2], a[i, p + 3]
                for j in range(left, right):
                    total = output[i, j] + a0 * b[p, j]
                    total += a1 * b[p + 1, j]
                    total += a2 * b[p + 2, j]
                    output[i, j] = total + a3 * b[p + 3, j]
            for p in range(whole, k):
                for j in range(left, right):
                    output[i, j] += a[i, p] * b[p, j]
