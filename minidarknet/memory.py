"""How much memory a network may take: asked before it is taken."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from minidarknet.errors import InputError, UsageError


def memory_limit() -> int:
    """Bytes that a network may take: `MINIDARKNET_MEMORY` (in MiB) where set, else all memory of this machine.

    A container's own bound (cgroup v2) counts as the machine's.
    """
    if wish := os.environ.get("MINIDARKNET_MEMORY", ""):
        try:
            limit = int(float(wish) * 2**20)
        except (ValueError, OverflowError):
            limit = 0
        if limit <= 0:
            raise UsageError(f"MINIDARKNET_MEMORY={wish}: expected a number of MiB above 0, for example 2048")
        return limit
    limits = []
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with contextlib.suppress(OSError, ValueError):  # no cgroup v2, or "max", which is no bound
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits, default=1 << 62)


def mebibytes(size: int) -> str:
    """A size in bytes as people read it: `27.9 MiB`, `15.9 GiB`."""
    return f"{size / 2**20:,.1f} MiB" if size < 2**30 else f"{size / 2**30:,.1f} GiB"


def check_memory(what: str, parts: Mapping[str, int], advice: str) -> None:
    """Raise where the parts, in bytes, are more than there is; the message begins with `what`."""
    limit = memory_limit()
    if sum(parts.values()) > limit:
        sizes = ", ".join(f"{name} {mebibytes(size)}" for name, size in parts.items())
        raise InputError(
            f"{what} {mebibytes(sum(parts.values()))} ({sizes}), more than the {mebibytes(limit)} of this machine; "
            f"{advice}, or set MINIDARKNET_MEMORY (MiB)"
        )


def aligned(size: int) -> int:
    """A number of float32 that fills whole cache lines of 64 bytes, 16 numbers each."""
    return -(-size // 16) * 16


def arrange(sizes: Sequence[int], lives: Sequence[tuple[int, int]]) -> tuple[list[int], int]:
    """Where parts of memory can begin so that no two of them overlap that live at the same time; and the size of all.

    A life is its first and last moment. Each part takes the first gap that is large enough, so that memory that was
    written a moment ago, and is in the caches still, is used again first.

    >>> arrange([10, 10, 5], [(0, 1), (1, 2), (2, 3)])
    ([0, 10, 0], 20)
    """
    starts: list[int] = []
    for size, (birth, death) in zip(sizes, lives, strict=True):
        taken = [
            (start, start + sizes[other])
            for other, start in enumerate(starts)
            if sizes[other] and lives[other][0] <= death and birth <= lives[other][1]
        ]
        place = 0
        for low, high in sorted(taken):
            if place + size <= low:
                break
            place = max(place, high)
        starts.append(place)
    return starts, max((start + size for start, size in zip(starts, sizes, strict=True)), default=0)
