"""minidarknet beside ONNX Runtime, PyTorch and OpenCV: the same network, weights, input and number of threads.

    python -m benchmarks.peers                                  all four systems, batch 1 and 16
    python -m benchmarks.peers --networks tiny --batches 1 --quick

Timing two engines run by run in turn is unfair to both: the threads of the one that waits spin for a while and rob the
other of its cores. So each engine has a process of its own, and they take turns in blocks of runs with a pause between.
Before that, every engine's output is held against ours; one that answers something else gets no ratio.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.engines import ENGINES
from benchmarks.figures import TOLERANCE, Ratio, blocks, difference, flat, quartiles, ratio, table
from benchmarks.processes import REPOSITORY, Worker, WorkerError
from minidarknet.files import atomic_write
from minidarknet.network import Network

NETWORKS = ("tiny", "darknet", "squeezenet", "alexnet")
OURS = "minidarknet"

#: What our time divided by a peer's may be at most, by network and batch.
BARS: dict[str, dict[str, dict[int, float]]] = {
    "onnxruntime": {
        "tiny": {1: 0.85, 16: 0.85},
        "darknet": {1: 0.95, 16: 0.95},
        "squeezenet": {1: 0.95, 16: 0.95},
        "alexnet": {1: 1.05, 16: 1.00},
    },
    "torch-compiled": {name: {1: 1.0, 16: 1.0} for name in NETWORKS},
    "torch-frozen": {name: {1: 1.0, 16: 1.0} for name in NETWORKS},
}


@dataclass(frozen=True)
class Plan:
    """How the measuring is done."""

    rounds: int = 8
    block_seconds: float = 0.3
    most_runs: int = 20
    warm_up: int = 3
    pause: float = 0.2

    def in_words(self) -> str:
        return (
            f"each engine in a process of its own, one at a time; {self.rounds} rounds of alternating blocks, in "
            f"another order each round; a block has {self.most_runs} runs, fewer where they take over "
            f"{self.block_seconds} s, after {self.warm_up} that are not counted; {self.pause} s pause before each "
            "block; preparing and compiling are not counted"
        )


@dataclass
class Row:
    """What is known of one engine on one network and batch; `rounds` has the seconds of each run of a batch."""

    engine: str
    version: str = ""
    problem: str = ""
    prepared: float = 0.0
    difference: float = 0.0
    rounds: list[list[float]] = field(default_factory=list)


def compare(name: str, batch: int, chosen: list[str], plan: Plan, threads: int, weights: str | None) -> list[Row]:
    """Measure all chosen engines on one network and one batch."""
    workers: dict[str, Worker] = {}
    rows = {engine: Row(engine) for engine in chosen}
    with tempfile.TemporaryDirectory() as folder:
        cfg = str(REPOSITORY / "cfg" / f"{name}.cfg")
        source = Path(folder, "input.npy")
        shape = Network.from_cfg(cfg).input_shape.array_shape
        np.save(source, np.random.default_rng(0).random((batch, *shape), np.float32))
        try:
            expected = np.empty(0)
            runs: dict[str, int] = {}
            for engine in ["reference", *chosen]:
                say(f"{name}, batch {batch}: preparing {engine}")
                target = Path(folder, f"{engine}.npy")
                worker = workers[engine] = Worker(threads)
                job = {"engine": engine, "cfg": cfg, "weights": weights, "input": str(source), "output": str(target)}
                try:
                    answer = worker.ask(**job, threads=threads)
                except WorkerError as error:
                    if engine == "reference":
                        raise
                    rows[engine].problem = str(error)
                    workers.pop(engine).close()
                    continue
                if engine == "reference":
                    expected = np.load(target)
                    workers.pop(engine).close()
                    continue
                row = rows[engine]
                row.version, row.prepared = answer["version"], answer["prepared"]
                row.difference = difference(np.load(target), expected)
                if row.difference > TOLERANCE:
                    row.problem = f"another answer: log-probabilities differ by {row.difference:.1e} of their spread"
                    workers.pop(engine).close()
                    continue
                runs[engine] = blocks(median(answer["seconds"]), plan.block_seconds, plan.most_runs)
            for number in range(plan.rounds):
                say(f"{name}, batch {batch}: round {number + 1} of {plan.rounds}")
                turn = number % len(chosen)
                for engine in chosen[turn:] + chosen[:turn]:
                    if engine not in workers:
                        continue
                    time.sleep(plan.pause)
                    try:
                        answer = workers[engine].ask(warm_up=plan.warm_up, runs=runs[engine])
                        rows[engine].rounds.append(answer["seconds"])
                    except WorkerError as error:
                        rows[engine].problem = str(error)
                        workers.pop(engine).close()
        finally:
            for worker in workers.values():
                worker.close()
    return list(rows.values())


def ratio_to(rows: list[Row], row: Row) -> Ratio | None:
    """Our time divided by this row's; None where one of the two was not measured to the end."""
    ours = next(other for other in rows if other.engine == OURS)
    return None if row is ours or row.problem or ours.problem else ratio(ours.rounds, row.rounds)


def verdict(name: str, batch: int, row: Row, measured: Ratio | None) -> str:
    """Whether the bar is reached; empty where there is none."""
    bar = BARS.get(row.engine, {}).get(name, {}).get(batch)
    if bar is None or measured is None:
        return ""
    return f"{'reached' if measured.value <= bar else 'missed'} (at most {bar:.2f})"


def lines(name: str, batch: int, rows: list[Row]) -> list[list[str]]:
    """The printed table of one network and batch."""
    heading = ["engine", "version", "ms an image", "quartiles", "images/s", "ours / theirs", "bar"]
    cells = [heading]
    for row in rows:
        title = ENGINES[row.engine].title
        if row.problem:
            cells.append([title, row.version, row.problem])
            continue
        low, middle, high = (1000 * seconds / batch for seconds in quartiles(flat(row.rounds)))
        measured = ratio_to(rows, row)
        cells.append(
            [
                title,
                row.version,
                f"{middle:.3f}",
                f"{low:.3f} .. {high:.3f}",
                f"{1000 / middle:.1f}",
                str(measured or ""),
                verdict(name, batch, row, measured),
            ]
        )
    return cells


def say(text: str) -> None:
    """Tell on stderr what is going on."""
    print(text, file=sys.stderr, flush=True)


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    def words(text: str) -> list[str]:
        return text.split(",")

    def weights(text: str) -> tuple[str, str]:
        name, _, path = text.partition("=")
        if not path:
            raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=FILE, for example tiny=tiny.weights")
        return name, str(Path(path).resolve())

    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", type=words, default=list(NETWORKS), help="default: " + ",".join(NETWORKS))
    parser.add_argument("--batches", type=words, default=["1", "16"], help="default: 1,16")
    parser.add_argument("--peers", type=words, default=list(ENGINES)[1:], help="default: all: " + ",".join(ENGINES))
    parser.add_argument("--rounds", type=int, default=8, help="default: 8")
    parser.add_argument("--threads", type=int, default=machine.cores(), help="default: all cores")
    parser.add_argument("--quick", action="store_true", help="2 rounds: to see whether everything works")
    parser.add_argument("--weights", type=weights, action="append", default=[], metavar="NAME=FILE", help="not random")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "benchmarks/results", help="folder for the results")
    chosen = parser.parse_args(arguments)
    for what, known in (("networks", NETWORKS), ("peers", ENGINES)):
        for word in getattr(chosen, what):
            if word not in known:
                parser.error(f"--{what} {word}: expected some of {','.join(known)}")
    return chosen


def main() -> None:
    chosen = options()
    engines = [OURS, *(peer for peer in ENGINES if peer in chosen.peers and peer != OURS)]
    plan = Plan(rounds=2 if chosen.quick else chosen.rounds)
    facts = machine.describe(chosen.threads)
    print(machine.in_words(facts))
    print("method: " + plan.in_words())
    print("ours / theirs: of the medians (lowest .. highest of a round); below 1, minidarknet is ahead\n", flush=True)
    results = []
    for name in chosen.networks:
        for batch in map(int, chosen.batches):
            rows = compare(name, batch, engines, plan, chosen.threads, dict(chosen.weights).get(name))
            print(f"{name}, batch {batch}\n{table(lines(name, batch, rows), left=(0, 1, 6))}\n", flush=True)
            results.append(entry(name, batch, rows))
    chosen.output.mkdir(parents=True, exist_ok=True)
    report = {"machine": facts, "method": plan.in_words(), "plan": asdict(plan), "results": results}
    with atomic_write(chosen.output / "peers.json") as file:
        file.write(json.dumps(report, indent=1).encode() + b"\n")
    say(f"written: {chosen.output / 'peers.json'}")


def entry(name: str, batch: int, rows: list[Row]) -> dict[str, Any]:
    """What the results file keeps of one network and batch: every sample, and what follows from them."""
    entries = []
    for row in rows:
        measured = ratio_to(rows, row)
        entries.append({**asdict(row), "ratio": asdict(measured) if measured else None})
    return {"network": name, "batch": batch, "rows": entries}


if __name__ == "__main__":
    main()
