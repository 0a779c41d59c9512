"""How many threads the kernels use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numba

from minidarknet.errors import UsageError


def thread_count() -> int:
    """How many threads the kernels run on now."""
    return int(numba.get_num_threads())


@contextmanager
def threads(count: int | None = None) -> Iterator[int]:
    """Within the block, kernels run on `count` threads (None: on as many as before); yields how many these are.

    Raises
    ------
    UsageError
        There are fewer: Numba starts as many as this process has processors, or as NUMBA_NUM_THREADS says.
    """
    before, most = numba.get_num_threads(), numba.config.NUMBA_NUM_THREADS
    wanted = before if count is None else count
    if not 1 <= wanted <= most:
        raise UsageError(
            f"{wanted} threads were asked for; expected 1 to {most}, which is how many processors this process has "
            "(or what NUMBA_NUM_THREADS says)"
        )
    numba.set_num_threads(wanted)
    try:
        yield wanted
    finally:
        numba.set_num_threads(before)
