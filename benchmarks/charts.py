"""Pictures of the results. matplotlib is imported where it is needed: the numbers come without it too."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.figures import flat, quartiles

OURS, THEIRS = "#c44e52", "#8c9bb0"


def peers(report: dict[str, Any]) -> Any:
    """One panel for each network and batch: milliseconds an image of each engine, with the quartiles as whiskers."""
    from matplotlib.figure import Figure

    batches = sorted({result["batch"] for result in report["results"]})
    networks = list(dict.fromkeys(result["network"] for result in report["results"]))
    figure = Figure(figsize=(4.2 * len(networks) + 1, 0.6 + 2.9 * len(batches)), layout="constrained")
    panels = figure.subplots(len(batches), len(networks), squeeze=False)
    for result in report["results"]:
        row, column = batches.index(result["batch"]), networks.index(result["network"])
        _bars(panels[row][column], result, titles=column == 0)
    machine = report["machine"]
    figure.suptitle(f"{machine['processor']}, {machine['threads']} threads, {machine['date']}", fontsize=9)
    return figure


def _bars(panel: Any, result: dict[str, Any], titles: bool) -> None:
    rows = result["rows"]
    times = [[1000 * seconds / result["batch"] for seconds in flat(row["rounds"])] for row in rows]
    middles = [median(values) if values and not row["problem"] else 0 for values, row in zip(times, rows, strict=True)]
    places = range(len(rows))
    colours = [OURS if row["engine"] == "minidarknet" else THEIRS for row in rows]
    panel.barh(places, middles, color=colours)
    for place, row, values in zip(places, rows, times, strict=True):
        if row["problem"]:
            panel.text(0, place, "  " + row["problem"][:40], va="center", fontsize=7, color="0.4")
            continue
        low, middle, high = quartiles(values)
        panel.plot([low, high], [place, place], color="black", linewidth=1)
        times_ours = f"  ({row['ratio']['value']:.2f})" if row["ratio"] else ""
        panel.text(high, place, f"  {middle:.2f}{times_ours}", va="center", fontsize=8)
    panel.set_yticks(places, [row["title"] if titles else "" for row in rows], fontsize=8)
    panel.invert_yaxis()
    panel.set_xlim(0, 1.35 * max([*middles, 1e-9]))
    panel.set_title(f"{result['network']}, batch {result['batch']}: ms an image (ours / theirs)", fontsize=9)
    panel.tick_params(axis="x", labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)


def scaling(report: dict[str, Any]) -> Any:
    """One panel for each network and sweep: the cost at each point, with the quartiles as whiskers."""
    from matplotlib.figure import Figure

    sweeps = list(dict.fromkeys(result["sweep"] for result in report["results"]))
    networks = list(dict.fromkeys(result["network"] for result in report["results"]))
    figure = Figure(figsize=(4.6 * len(sweeps), 0.6 + 3 * len(networks)), layout="constrained")
    panels = figure.subplots(len(networks), len(sweeps), squeeze=False)
    for panel in panels.flat:
        panel.set_visible(False)
    for result in report["results"]:
        panel = panels[networks.index(result["network"])][sweeps.index(result["sweep"])]
        panel.set_visible(True)
        values = [point[result["sweep"]] for point in result["points"]]
        low, middle, high = zip(*(point["cost"] for point in result["points"]), strict=True)
        panel.vlines(values, low, high, color="black", linewidth=1)
        panel.plot(values, middle, marker="o", markersize=4, color=OURS)
        if result["sweep"] == "batch":
            panel.set_xscale("log", base=2)
            panel.xaxis.set_major_formatter("{x:.0f}")
        elif result["sweep"] == "threads":
            panel.set_xticks(values)
        panel.set_ylim(0, 1.15 * max(high))
        panel.set_xlabel(result["sweep"], fontsize=8)
        panel.set_title(f"{result['network']}: {result['unit']}", fontsize=9)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    machine = report["machine"]
    figure.suptitle(f"{machine['processor']}, {machine['threads']} threads, {machine['date']}", fontsize=9)
    return figure


def ladder(report: dict[str, Any]) -> Any:
    """One panel for each layer: GFLOP/s of each rung, on a scale where ten times as much is always as far."""
    from matplotlib.figure import Figure

    results = report["results"]
    figure = Figure(figsize=(8.5, 0.6 + 3 * len(results)), layout="constrained")
    panels = figure.subplots(len(results), 1, squeeze=False)[:, 0]
    for panel, result in zip(panels, results, strict=True):
        speeds = [rung["gflops"] for rung in result["rungs"]]
        places = range(len(speeds))
        panel.barh(places, speeds, color=OURS)
        panel.set_xscale("log")
        panel.set_xlim(min(speeds) / 3, 4 * max([*speeds, report["peak"] or 0]))
        for place, speed in zip(places, speeds, strict=True):
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            panel.annotate(
                f"{speed:.3g}", (speed, place), (5, 0), textcoords="offset points", va="center", fontsize=8, bbox=box
            )
        note = ""
        if report["peak"]:
            panel.axvline(report["peak"], color="black", linewidth=1, linestyle=":", zorder=0.5)
            note = f" (dotted: the peak of multiply-adds, {report['peak']:.0f})"
        panel.set_yticks(places, [rung["title"] for rung in result["rungs"]], fontsize=8)
        panel.invert_yaxis()
        panel.set_title(f"{result['layer']}: GFLOP/s{note}", fontsize=9)
        panel.tick_params(axis="x", labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    machine = report["machine"]
    figure.suptitle(f"{machine['processor']}, {machine['threads']} threads, {machine['date']}", fontsize=9)
    return figure
