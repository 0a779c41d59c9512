"""Engines take turns on one network and one batch: prepared, held against our answer, timed in alternating blocks."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.figures import TOLERANCE, block_length, difference
from benchmarks.processes import REPOSITORY, Worker, WorkerError
from minidarknet.network import Network

#: The four systems, by the names of their files in cfg/.
NETWORKS = ("tiny", "darknet", "squeezenet", "alexnet")


@dataclass(frozen=True)
class Plan:
    """How the measuring is done."""

    rounds: int = 8
    block_seconds: float = 0.3
    most_runs: int = 30
    warm_up: int = 3
    slow: float = 0.1
    pause: float = 0.2
    #: How far log-probabilities may be apart, as a share of their spread.
    tolerance: float = TOLERANCE

    def runs(self, seconds: float) -> tuple[int, int]:
        """How many runs come before a block and how many are in it, when one takes so many seconds."""
        before = self.warm_up if seconds < self.slow else 1
        return before, block_length(seconds, self.block_seconds, self.most_runs)

    def in_words(self) -> str:
        return (
            f"each engine in a process of its own, one at a time; {self.rounds} rounds of alternating blocks, in "
            f"another order each round; a block has {self.most_runs} runs, fewer where they take over "
            f"{self.block_seconds} s, after {self.warm_up} that are not counted (1 where it takes over {self.slow} s); "
            f"{self.pause} s pause before each block; preparing and compiling are not counted"
        )


@dataclass(frozen=True)
class Case:
    """What is run: a network by its name in cfg/, a batch, threads, and a weights file or None for random ones."""

    network: str
    batch: int
    threads: int
    weights: str | None = None

    @property
    def cfg(self) -> str:
        return str(REPOSITORY / "cfg" / f"{self.network}.cfg")

    def input(self) -> np.ndarray:
        """Random images, (batch, channels, height, width), the same ones each time."""
        shape = Network.from_cfg(self.cfg).input_shape.array_shape
        return np.random.default_rng(0).random((self.batch, *shape), np.float32)


@dataclass
class Row:
    """What is known of one engine: why it was not measured, or the seconds of each run of a batch, round by round."""

    engine: str
    version: str = ""
    problem: str = ""
    prepared: float = 0.0
    difference: float = 0.0
    memory: int = 0
    rounds: list[list[float]] = field(default_factory=list)


def compare(case: Case, engines: list[str], plan: Plan, reference: str = "reference") -> list[Row]:
    """Measure the engines; whatever happens to one of them is in its row, and the others go on.

    Their answers are held against that of the reference.
    """
    rows = [Row(engine) for engine in engines]
    workers: dict[str, Worker] = {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "input.npy"), case.input())
        with Worker(case.threads) as worker:
            expected, _ = prepare(worker, reference, case, folder)
        try:
            for row in rows:
                say(f"{case.network}, batch {case.batch}: preparing {row.engine}")
                workers[row.engine] = Worker(case.threads)
                with problems_in(row):
                    answer, facts = prepare(workers[row.engine], row.engine, case, folder)
                    row.version, row.prepared = facts["version"], facts["prepared"]
                    row.difference = difference(answer, expected)
                    if row.difference > plan.tolerance:
                        raise WorkerError(
                            f"another answer: log-probabilities differ by {row.difference:.1e} of their spread"
                        )
                    row.rounds = [facts["seconds"]]
            take_turns(rows, workers, plan, f"{case.network}, batch {case.batch}")
        finally:
            for worker in workers.values():
                worker.close()
    return rows


def prepare(worker: Worker, engine: str, case: Case, folder: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Make a worker ready: its output for the input in the folder, and what else it says."""
    source, target = Path(folder, "input.npy"), Path(folder, f"{engine}.npy")
    facts = worker.ask(
        engine=engine,
        cfg=case.cfg,
        weights=case.weights,
        input=str(source),
        output=str(target),
        threads=case.threads,
    )
    return np.load(target, allow_pickle=False), facts


def take_turns(rows: list[Row], workers: dict[str, Worker], plan: Plan, what: str) -> None:
    """Fill the rows' rounds. So far they hold a few runs that tell how many make a block."""
    able = [row for row in rows if not row.problem]
    runs = {row.engine: plan.runs(median(row.rounds.pop())) for row in able}
    for number in range(plan.rounds):
        say(f"{what}: round {number + 1} of {plan.rounds}")
        for row in rotated(able, number):
            if not row.problem:
                time.sleep(plan.pause)
                before, counted = runs[row.engine]
                with problems_in(row):
                    answer = workers[row.engine].ask(warm_up=before, runs=counted)
                    row.rounds.append(answer["seconds"])
                    row.memory = answer["memory"]


def rotated(rows: list[Row], number: int) -> list[Row]:
    """The same rows, begun with another one each round: whoever comes first in one round is last in the next."""
    start = number % max(len(rows), 1)
    return rows[start:] + rows[:start]


@contextmanager
def problems_in(row: Row) -> Iterator[None]:
    """Within the block, what goes wrong with an engine becomes a remark in its row."""
    try:
        yield
    except WorkerError as error:
        row.problem = str(error)


def say(text: str) -> None:
    """Tell on stderr what is going on."""
    print(text, file=sys.stderr, flush=True)
