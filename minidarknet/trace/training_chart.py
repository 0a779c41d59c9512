"""The trace of a run as a picture: how large the steps of each layer were, and how many units are dead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minidarknet.chart import GREY, POINTS, check_matplotlib
from minidarknet.files import atomic_write
from minidarknet.trace.training_records import USUAL, read_training_trace

#: Layers that the legend names; of more, those at even distances.
NAMED = 12


def draw(trace: Path, path: Path, title: str) -> None:
    """Draw the records of a `.trace.jsonl` file into a PNG; the first layers are dark, the last ones bright."""
    check_matplotlib()
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    records = list(read_training_trace(trace))
    records = records[:: -(-len(records) // POINTS) or 1]
    batches = [record["batch"] for record in records]
    learning = [layer["layer"] for layer in records[0]["layers"] if layer["norms"]] if records else []
    figure = Figure(figsize=(8, 8), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    ratio, dead = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    figure.suptitle(title)
    colours = colormaps["viridis"]
    every = -(-len(learning) // NAMED) or 1
    lone: dict[str, Any] = {"marker": "o", "markersize": 3} if len(records) < 50 else {}
    for number, index in enumerate(learning):
        layers = [record["layers"][index] for record in records]
        style = {"color": colours(0.92 * number / max(len(learning) - 1, 1)), "linewidth": 1.2, **lone}
        label = f"{index} {layers[0]['kind']}" if number % every == 0 else None
        ratio.plot(batches, [_positive(layer["norms"]["ratio"]) for layer in layers], label=label, **style)
        dead.plot(batches, [100 * _dead(layer) / layer["units"] for layer in layers], **style)
    ratio.axhline(USUAL, color=GREY, linestyle="--", linewidth=1)
    ratio.text(0.005, USUAL, f"{USUAL:g}: usual", transform=ratio.get_yaxis_transform(), color=GREY, va="bottom")
    ratio.set_yscale("log")
    ratio.set_ylabel("length of a step / of the numbers")
    if learning:
        ratio.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    else:
        ratio.text(0.5, 0.5, "no batch was traced yet", transform=ratio.transAxes, ha="center", color=GREY)
    dead.set_ylabel("dead units, % of the layer's")
    dead.set_ylim(-3, 103)
    dead.set_xlabel("batch")
    dead.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (ratio, dead):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def _positive(value: float | None) -> float:
    """What a logarithmic axis can show; a gap else."""
    return value if value else float("nan")


def _dead(layer: dict[str, Any]) -> int:
    return max(layer["same"], layer["unreached"] or 0)
