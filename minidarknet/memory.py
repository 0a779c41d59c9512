"""How much memory a network may take: asked before it is taken."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from minidarknet.errors import InputError, UsageError

#: Numbers of float32 in a cache line of 64 bytes.
LINE = 16


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
    """A number of float32 that fills whole cache lines."""
    return -(-size // LINE) * LINE


def arrange(sizes: Sequence[int], lives: Sequence[tuple[int, int]]) -> tuple[list[int], int]:
    """Where parts of memory can begin so that no two of them overlap that live at the same time; and the size of all.

    A life is its first and last moment. Each part takes the first gap that is large enough, so that memory that was
    written a moment ago, and is in the caches still, is used again first.

    >>> arrange([10, 10, 5], [(0, 1), (1, 2), (2, 3)])
    ([0, 10, 0], 20)
    """
    starts: list[int] = []
    for size, life in zip(sizes, lives, strict=True):
        taken = [
            (start, start + sizes[other])
            for other, start in enumerate(starts)
            if sizes[other] and _overlap(lives[other], life)
        ]
        place = 0
        for low, high in sorted(taken):
            if place + size <= low:
                break
            place = max(place, high)
        starts.append(place)
    return starts, max((start + size for start, size in zip(starts, sizes, strict=True)), default=0)


def arrange_centred(sizes: Sequence[int], lives: Sequence[tuple[int, int]]) -> tuple[list[int], int]:
    """The same, with the middle of each part where the middle of those is that had this memory before.

    Parts are batches, the first half of which one thread writes and the second half another one. Were the middles
    apart, threads would write to what lies in each other's caches: slow where these are far apart.

    >>> arrange_centred([64, 64, 32], [(0, 1), (1, 2), (2, 3)])
    ([0, 64, 16], 128)
    """
    rooms: list[list[int]] = []  # the parts that follow each other in the same place
    for part in sorted(range(len(sizes)), key=lambda part: lives[part][0]):
        size = sizes[part]
        if not size:
            continue
        free = [room for room in rooms if not any(_overlap(lives[part], lives[other]) for other in room)]
        new: list[int] = []
        best = min([*free, new], key=lambda room: max(0, size - max((sizes[other] for other in room), default=0)))
        best.append(part)
        if best is new:
            rooms.append(new)
    starts, total = [0] * len(sizes), 0
    for room in rooms:
        largest = aligned(max(sizes[part] for part in room))
        for part in room:
            starts[part] = total + (largest - sizes[part]) // 2 // LINE * LINE
        total += largest
    return starts, total


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two lives have a moment in common."""
    return one[0] <= other[1] and other[0] <= one[1]
