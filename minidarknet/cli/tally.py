"""The table of pictures per class, which `augment` and `train` print before anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minidarknet.data import Tally

#: Classes in the table; of more, those with the most pictures and those with the fewest.
ROWS = 30
#: Letters of the longest bar.
BAR = 20


def print_tally(found: Tally) -> None:
    """Print how many pictures each class has, the accuracy to beat, and a warning for classes without any."""
    from minidarknet import console

    order = sorted(range(len(found.names)), key=lambda number: -found.counts[number])
    most = max(int(found.counts.max(initial=0)), 1)
    half = ROWS // 2
    shown = order if len(order) <= ROWS else [*order[:half], *order[-half:]]
    rows = [[found.names[i], f"{found.counts[i]:,}", console.bar(found.counts[i] / most, BAR)] for i in shown]
    if len(order) > ROWS:
        rows.insert(half, [f"({len(order) - ROWS:,} more)", "", ""])
    console.table(["class ", "pictures", ""], rows)
    console.result("")
    console.facts(
        [
            ("pictures", f"{found.counts.sum():,} of {len(found.names):,} classes"),
            ("to beat", f"{100 * found.majority:.2f} % are right by always saying {found.names[order[0]]!r}"),
        ]
    )
    if found.empty:
        some = ", ".join(found.empty[:5]) + (", ..." if len(found.empty) > 5 else "")
        console.warning(f"{len(found.empty):,} of {len(found.names):,} classes have no picture: {some}")
