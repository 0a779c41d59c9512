"""Does the cost grow as it should? Time against the batch, the input's side and the number of threads.

    python -m benchmarks.scaling                                Tiny Darknet
    python -m benchmarks.scaling --networks tiny,darknet

Each sweep changes one thing, and divides the time by what the work has grown by: that cost should stay where it is, or
fall. A point whose cost lies clearly off the one before is marked: such a step wants an explanation. All points of a
sweep are visited once in each round, so that a slow moment of the machine hits all of them alike.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numba
import numpy as np

from benchmarks import charts, machine
from benchmarks.figures import block_length, flat, quartiles, table
from benchmarks.options import add_common, names
from benchmarks.results import write
from benchmarks.rounds import NETWORKS, Case, say
from benchmarks.worker import timed
from minidarknet.errors import InputError
from minidarknet.memory import mebibytes
from minidarknet.network import Network

BATCHES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 48, 64)
SIDES = tuple(range(112, 449, 16))

#: The cost of each sweep, which should not grow: its unit, and where it is seen.
COSTS = {"batch": "ms an image", "side": "ms a GFLOP", "threads": "ms an image, times threads"}
#: How far a cost may lie off the one before it, relatively, without being marked.
STEP = 0.1


@dataclass
class Point:
    """One place of a sweep; `rounds` has the seconds of each run of a batch."""

    sweep: str
    batch: int
    side: int
    threads: int
    flops: int = 0
    memory: int = 0
    rounds: list[list[float]] = field(default_factory=list)

    @property
    def value(self) -> int:
        return int(getattr(self, self.sweep))

    def costs(self) -> tuple[float, float, float]:
        """Quartiles of the cost, in the unit of its sweep."""
        unit = {"batch": self.batch, "side": self.flops / 1e9, "threads": 1 / self.threads}[self.sweep]
        low, middle, high = quartiles([1000 * seconds / unit for seconds in flat(self.rounds)])
        return low, middle, high


def sweeps(network: Network, threads: int, quick: bool) -> dict[str, list[Point]]:
    """The points to visit. A network that takes pictures of one size only has no sweep over sides."""
    side = network.input_shape.height
    found = {
        "batch": [Point("batch", batch, side, threads) for batch in (BATCHES[:5] if quick else BATCHES)],
        "side": [Point("side", 1, side, threads) for side in (SIDES[::7] if quick else SIDES)],
        "threads": [Point("threads", 1, side, count) for count in range(1, threads + 1)],
    }
    try:
        network.resize(SIDES[0], SIDES[0])
    except InputError as error:
        say(f"no sweep over sides: {error}")
        del found["side"]
    return found


def measure(network: Network, points: list[Point], rounds: int) -> None:
    """Visit all points in every round."""
    generator = np.random.default_rng(0)
    for number in range(rounds):
        say(f"  round {number + 1} of {rounds}")
        for point in points if number % 2 == 0 else reversed(points):
            network.resize(point.side, point.side)
            numba.set_num_threads(point.threads)
            x = generator.random((point.batch, *network.input_shape.array_shape), np.float32)
            point.flops, point.memory = network.flops() * point.batch, sum(network.memory(point.batch).values())
            run = partial(network.forward, x)
            (once,) = timed(run, 1, 1)
            point.rounds.append(timed(run, 1, block_length(once, 0.15, most=20, fewest=2)))


def steps(points: list[Point]) -> list[str]:
    """For each point, what there is to say of its cost beside that of the point before.

    Half of a point's runs lie between its quartiles; where these overlap, the difference may be the machine's.
    """
    remarks = [""]
    for before, point in pairwise(points):
        (low, middle, high), (below, last, above) = point.costs(), before.costs()
        apart = low > above or high < below
        change = middle / last - 1
        remarks.append(f"{change:+.0%}" if apart and abs(change) > STEP else "")
    return remarks


def lines(points: list[Point]) -> list[list[str]]:
    """The printed table of one sweep."""
    sweep = points[0].sweep
    cells = [[sweep, "ms", COSTS[sweep], "quartiles", "GFLOP/s", "memory", f"a step of over {STEP:.0%}"]]
    for point, remark in zip(points, steps(points), strict=True):
        low, middle, high = point.costs()
        seconds = quartiles(flat(point.rounds))[1]
        speed = f"{point.flops / seconds / 1e9:.1f}"
        cost = [f"{middle:.3f}", f"{low:.3f} .. {high:.3f}"]
        cells.append([str(point.value), f"{1000 * seconds:.3f}", *cost, speed, mebibytes(point.memory), remark])
    return cells


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", type=names(NETWORKS), default=["tiny"], help="tiny")
    parser.add_argument("--rounds", type=int, default=6, help="6")
    add_common(parser, quick="few points, 2 rounds: only to see whether everything works")
    return parser.parse_args(arguments)


def main() -> None:
    chosen = options()
    facts = machine.describe(chosen.threads)
    rounds = 2 if chosen.quick else chosen.rounds
    print(f"{machine.in_words(facts)}\nmethod: one process, {rounds} rounds over all points of a sweep\n", flush=True)
    results: list[dict[str, Any]] = []
    for name in chosen.networks:
        network = Network.from_cfg(Case(name, 1, chosen.threads).cfg)
        network.initialize(seed=1)
        for sweep, points in sweeps(network, chosen.threads, chosen.quick).items():
            say(f"{name}, {sweep}")
            measure(network, points, rounds)
            print(f"{name}, {sweep}\n{table(lines(points), left=(6,))}\n", flush=True)
            entries = [{**asdict(point), "cost": point.costs()} for point in points]
            results.append({"network": name, "sweep": sweep, "unit": COSTS[sweep], "points": entries})
    write(chosen.output, "scaling", {"machine": facts, "rounds": rounds, "results": results}, charts.scaling)


if __name__ == "__main__":
    main()
