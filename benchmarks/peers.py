"""minidarknet beside ONNX Runtime, PyTorch and OpenCV: the same network, weights, input and number of threads.

    python -m benchmarks.peers                                  all four systems, batch 1 and 16
    python -m benchmarks.peers --networks tiny --batches 1 --quick

Timing two engines run by run in turn is unfair to both: the threads of the one that waits spin for a while and rob the
other of its cores. So each engine has a process of its own, and they take turns in blocks of runs with a pause between.
Before that, every engine's output is held against ours; one that answers something else gets no ratio.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import charts, machine
from benchmarks.engines import ENGINES
from benchmarks.figures import Ratio, flat, quartiles, ratio, table
from benchmarks.options import add_common, names, numbers
from benchmarks.results import write
from benchmarks.rounds import NETWORKS, Case, Plan, Row, compare

OURS = "minidarknet"
HEADING = ["engine", "version", "ms an image", "quartiles", "images/s", "ours / theirs", "bar"]

NEVER_SLOWER: dict[str, dict[int, float]] = {name: {1: 1.0, 16: 1.0} for name in NETWORKS}

#: What our time divided by a peer's may be at most: by peer, network and batch.
BARS: dict[str, dict[str, dict[int, float]]] = {
    "onnxruntime": {
        "tiny": {1: 0.85, 16: 0.85},
        "darknet": {1: 0.95, 16: 0.95},
        "squeezenet": {1: 0.95, 16: 0.95},
        "alexnet": {1: 1.05, 16: 1.00},
    },
    "torch-compiled": NEVER_SLOWER,
    "torch-frozen": NEVER_SLOWER,
    "torch-autotuned": NEVER_SLOWER,
}


def ratio_to(rows: list[Row], row: Row) -> Ratio | None:
    """Our time divided by this row's; None where one of the two was not measured to the end."""
    ours = next(other for other in rows if other.engine == OURS)
    return None if row is ours or row.problem or ours.problem else ratio(ours.rounds, row.rounds)


def verdict(case: Case, row: Row, measured: Ratio | None) -> str:
    """Whether the bar is reached; empty where there is none."""
    bar = BARS.get(row.engine, {}).get(case.network, {}).get(case.batch)
    if bar is None or measured is None:
        return ""
    return f"{'reached' if measured.value <= bar else 'missed'} (at most {bar:.2f})"


def line(case: Case, rows: list[Row], row: Row) -> list[str]:
    """One line of the printed table."""
    title = ENGINES[row.engine].title
    if row.problem:
        return [title, row.version, row.problem]
    low, middle, high = (1000 * seconds / case.batch for seconds in quartiles(flat(row.rounds)))
    measured = ratio_to(rows, row)
    times = [f"{middle:.3f}", f"{low:.3f} .. {high:.3f}", f"{1000 / middle:.1f}"]
    return [title, row.version, *times, str(measured or ""), verdict(case, row, measured)]


def entry(case: Case, rows: list[Row]) -> dict[str, Any]:
    """What the results file keeps of one network and batch: every sample, and what follows from them."""
    entries = []
    for row in rows:
        measured = ratio_to(rows, row)
        entries.append({**asdict(row), "title": ENGINES[row.engine].title, "ratio": measured and asdict(measured)})
    return {**asdict(case), "rows": entries}


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    def weights(text: str) -> tuple[str, str]:
        name, _, path = text.partition("=")
        if name not in NETWORKS or not path:
            raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=FILE, for example tiny=tiny.weights")
        return name, str(Path(path).resolve())

    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", type=names(NETWORKS), default=list(NETWORKS), help=",".join(NETWORKS))
    parser.add_argument("--batches", type=numbers, default=[1, 16], help="1,16")
    parser.add_argument("--peers", type=names(ENGINES), default=list(ENGINES), help=",".join(ENGINES))
    parser.add_argument("--rounds", type=int, default=8, help="8")
    parser.add_argument("--weights", type=weights, action="append", default=[], metavar="NAME=FILE", help="not random")
    add_common(parser, quick="2 rounds: only to see whether everything works")
    return parser.parse_args(arguments)


def main() -> None:
    chosen = options()
    engines = [engine for engine in ENGINES if engine == OURS or engine in chosen.peers]
    plan = Plan(rounds=2 if chosen.quick else chosen.rounds)
    facts = machine.describe(chosen.threads)
    print(f"{machine.in_words(facts)}\nmethod: {plan.in_words()}")
    print(
        "ours / theirs: of a round's medians, in the middle (lowest .. highest); below 1, minidarknet is ahead\n",
        flush=True,
    )
    results = []
    for network in chosen.networks:
        for batch in chosen.batches:
            case = Case(network, batch, chosen.threads, dict(chosen.weights).get(network))
            rows = compare(case, engines, plan)
            body = table([HEADING, *(line(case, rows, row) for row in rows)], left=(0, 1, 6))
            print(f"{network}, batch {batch}\n{body}\n", flush=True)
            results.append(entry(case, rows))
    report = {"machine": facts, "method": plan.in_words(), "plan": asdict(plan), "results": results}
    write(chosen.output, "peers", report, charts.peers)


if __name__ == "__main__":
    main()
