"""What was taken for what: the confusion matrix as a CSV file and as a picture.

A row is a right class, a column an answer: what is right stands on the diagonal.
"""

from __future__ import annotations

import csv
import io
from os import PathLike, fspath
from typing import Any

import numpy as np

from minidarknet.errors import InputError, UsageError
from minidarknet.files import atomic_write
from minidarknet.validation import Validation

#: The most classes whose numbers can be read in the cells, whose names fit beside the rows, and that are drawn at all.
READABLE, NAMED, DRAWN = 20, 100, 2000
#: The file endings that are understood.
ENDINGS = (".csv", ".png")
MISSING = "a picture of the confusion matrix needs matplotlib: pip install 'minidarknet[chart]' (or name a .csv file)"


def check_target(path: str | PathLike[str]) -> None:
    """Raise a `UsageError` where a file is none that can be written, before anybody waits for its contents."""
    if not fspath(path).lower().endswith(ENDINGS):
        raise UsageError(f"{fspath(path)}: expected a file that ends in {' or '.join(ENDINGS)}")
    if fspath(path).lower().endswith(".png"):
        try:
            import matplotlib  # noqa: F401  # only to see whether it is there
        except ImportError:
            raise UsageError(MISSING) from None


def write_confusion(path: str | PathLike[str], seen: Validation) -> None:
    """Write the confusion matrix to a file that ends in .csv or .png."""
    check_target(path)
    (write_csv if fspath(path).lower().endswith(".csv") else draw)(path, seen)


def write_csv(path: str | PathLike[str], seen: Validation) -> None:
    """All classes in their order, one row and one column each; the first row and column are their names."""
    rows: dict[int, dict[int, int]] = {}
    for (truth, answer), times in seen.confusion().items():
        rows.setdefault(truth, {})[answer] = times
    with atomic_write(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        writer = csv.writer(text)
        writer.writerow(["class", *seen.names])
        for number, name in enumerate(seen.names):
            row = rows.get(number, {})
            writer.writerow([name, *(row.get(other, 0) for other in range(len(seen.names)))])
        text.detach()  # writes all that is left, and leaves the file open


def draw(path: str | PathLike[str], seen: Validation) -> None:
    """A PNG: the darker a cell, the larger the share of its row. Classes that never occur are left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pairs = seen.confusion()
    shown = sorted({number for pair in pairs for number in pair})
    if len(shown) > DRAWN:
        raise InputError(
            f"{fspath(path)}: {len(shown):,} classes are too many to draw, the limit is {DRAWN:,}; take .csv"
        )
    place = {number: position for position, number in enumerate(shown)}
    counts = np.zeros((len(shown), len(shown)), np.int64)
    for (truth, answer), times in pairs.items():
        counts[place[truth], place[answer]] = times
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    side = min(max(3.0, 0.45 * len(shown)), 14)  # inches of the square
    figure = Figure(figsize=(side + 3, side + 2.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="share of the class's pictures", shrink=0.8)
    axes.set_xlabel("what the network said")
    axes.set_ylabel("what is right")
    right, count = seen.count_right(), seen.count
    some = f" (of {len(seen.names):,} classes the {len(shown):,} that occur)" if len(shown) < len(seen.names) else ""
    axes.set_title(f"{right:,} of {count:,} right{some}")
    _name(axes, [seen.names[number] for number in shown])
    if len(shown) <= READABLE:
        for (truth, answer), times in pairs.items():
            row, column = place[truth], place[answer]
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{times}", ha="center", va="center", fontsize=8, color=colour)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)


def _name(axes: Any, names: list[str]) -> None:
    """Names along both axes, or none where they would not fit."""
    if len(names) > NAMED:
        axes.set_xticks([])
        axes.set_yticks([])
        return
    short = [name if len(name) <= 24 else name[:23] + "…" for name in names]
    axes.set_xticks(range(len(short)), short, rotation=90 if max(map(len, short)) > 2 else 0, fontsize=8)
    axes.set_yticks(range(len(short)), short, fontsize=8)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)  # a class may be called $100
