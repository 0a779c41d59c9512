"""From seconds to what is printed: quartiles, ratios with their spread, and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

#: How far apart two answers may be that are called the same. Engines sum in other orders, so the last digits differ.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Ratio:
    """Ours divided by theirs: a ratio of medians for each round, and of those the middle, smallest and largest one."""

    value: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.value:.2f}  ({self.lowest:.2f} .. {self.highest:.2f})"


def ratio(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> Ratio:
    """Compare two engines' seconds round by round, as what slows the machine for a while slows both."""
    rounds = [median(mine) / median(other) for mine, other in zip(ours, theirs, strict=True)]
    return Ratio(median(rounds), min(rounds), max(rounds))


def flat(rounds: Sequence[Sequence[float]]) -> list[float]:
    return [seconds for block in rounds for seconds in block]


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The value that a quarter, a half and three quarters of all stay below."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float(low), float(middle), float(high)


def difference(answer: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of two answers' log-probabilities, relative to how far the expected ones are spread."""
    if answer.shape != expected.shape:
        return float("inf")
    tiny = np.finfo(np.float32).tiny
    logs, wanted = (np.log(np.maximum(p.astype(np.float64), tiny)) for p in (answer, expected))
    largest = float(np.abs(logs - wanted).max() / np.ptp(wanted))
    return largest if np.isfinite(largest) else float("inf")


def block_length(seconds: float, aim: float = 0.3, most: int = 20, fewest: int = 3) -> int:
    """How many runs make a block, when one takes so many seconds."""
    return max(fewest, min(most, round(aim / seconds)))


def table(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Rows as lines with columns one below the other; those named in `left` begin, the others end, at the same place.

    A row that is shorter than the others ends with a remark, which takes no part in the widths.
    """
    full = max(len(row) for row in rows)
    widths = [max((len(row[i]) for row in rows if len(row) == full), default=0) for i in range(full)]
    lines = []
    for row in rows:
        remark = len(row) - 1 if len(row) < full else None
        cells = [
            cell if i == remark else cell.ljust(widths[i]) if i in left else cell.rjust(widths[i])
            for i, cell in enumerate(row)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
