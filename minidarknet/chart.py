"""The course of a training run as a picture: loss, learning rate and accuracy over the batches. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from minidarknet.errors import UsageError
from minidarknet.files import atomic_write
from minidarknet.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours that people who see few colours can tell apart (Okabe and Ito).
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#767676"
#: Batches that are drawn; of more, every second, third, ... is.
POINTS = 3000


def check_matplotlib() -> None:
    """Raise where the extra that draws is not installed, before anybody waits for its picture."""
    try:
        import matplotlib  # noqa: F401  # only to see whether it is there
    except ImportError:
        raise UsageError("a chart needs matplotlib: pip install 'minidarknet[chart]', or leave --chart out") from None


def draw(metrics: Path, path: Path, title: str) -> None:
    """Draw the records of a `.jsonl` file into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_matplotlib()
    records = list(read_metrics(metrics))
    steps = [record for record in records if record.get("loss") is not None]
    steps = steps[:: -(-len(steps) // POINTS) or 1]
    checks = [record for record in records if "top1" in record]
    figure = Figure(figsize=(8, 8), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    loss, rate, accuracy = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1, 2])
    figure.suptitle(title)

    batches = [record["batch"] for record in steps]
    lone = {"marker": "o", "markersize": 4}  # a line through few points shows them
    loss.plot(batches, [record["loss"] for record in steps], ".", color=GREY, alpha=0.35, markersize=3, label="a batch")
    loss.plot(batches, [record["average_loss"] for record in steps], color=BLUE, label="running")
    found = [record for record in checks if record["valid_loss"] is not None]
    _line(loss, found, "valid_loss", color=ORANGE, label="validation", **lone)
    _scale(loss, [record["average_loss"] for record in steps])
    loss.set_ylabel("loss")
    loss.legend(frameon=False)

    rate.plot(batches, [record["rate"] for record in steps], color=GREEN)
    rate.set_ylabel("rate")
    rate.set_ylim(bottom=0)

    if checks:
        best = max(checks, key=lambda record: record["top1"] or 0)
        _line(accuracy, checks, "top1", color=ORANGE, **lone)
        accuracy.axhline(best["top1"], color=GREY, linewidth=0.8, linestyle=":")
        label = f"best {100 * best['top1']:.2f} %, batch {best['batch']:,}"
        accuracy.text(0.99, 0.04, label, transform=accuracy.transAxes, ha="right", color=GREY)
    else:
        accuracy.text(0.5, 0.5, "no validation yet", transform=accuracy.transAxes, ha="center", color=GREY)
    accuracy.set_ylabel("top-1 (validation)")
    accuracy.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    accuracy.set_xlabel("batch")
    for axes in (loss, rate, accuracy):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def _line(axes: Axes, records: list[dict[str, Any]], key: str, **style: Any) -> None:
    axes.plot([record["batch"] for record in records], [record[key] for record in records], **style)


def _scale(axes: Axes, averages: list[float]) -> None:
    """A logarithmic axis where the loss falls to less than a tenth: the end would be a flat line otherwise."""
    positive = [value for value in averages if value > 0]
    if positive and max(positive) > 10 * min(positive):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        axes.set_ylim(bottom=0)
