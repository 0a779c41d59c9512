"""What share of the processor's multiply-adds does each convolution reach, when it computes its weights' gradient?

    python -m benchmarks.weight_gradients                     the four systems, 16 images a step
    python -m benchmarks.weight_gradients --networks tiny

Each layer is timed twice: in the midst of a training step, when its numbers come from the memory, and called again and
again with the same numbers, which are in the caches then. Operations are those of the definition, so that Winograd's
way may come out above the peak.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

import numba
import numpy as np

from benchmarks import machine
from benchmarks.figures import flat, quartiles, table
from benchmarks.options import add_common, names
from benchmarks.processes import REPOSITORY
from benchmarks.results import write
from benchmarks.rounds import say
from minidarknet.benchmark import measure_machine
from minidarknet.layers.base import Layer
from minidarknet.learning import Learner
from minidarknet.network import Network

NETWORKS = ("tiny", "darknet", "alexnet", "squeezenet")
IMAGES = 16
#: What a layer shall reach, if its input has at least so many channels.
BAR, CHANNELS = 0.65, 16
#: Steps of a round, and how often a layer is called again in each, of which the first calls do not count.
STEPS, CALLS, WARM = 3, 8, 3


@dataclass
class Row:
    """One layer: seconds of each round."""

    layer: Layer
    method: str
    step: list[list[float]] = field(default_factory=list)
    repeated: list[list[float]] = field(default_factory=list)

    def share(self, rounds: list[list[float]], peaks: list[float]) -> float:
        """Of the peak, in the middle of all rounds."""
        flops = IMAGES * self.layer.flops()
        return median(flops / median(times) / peak for times, peak in zip(rounds, peaks, strict=True))

    @property
    def counts(self) -> bool:
        return self.layer.in_shape.channels >= CHANNELS


def watch(network: Network) -> tuple[list[Row], Callable[[bool], None]]:
    """A row for each convolution, and what begins a round: with repeated calls, or without."""
    rows: list[Row] = []
    again = False

    def begin(repeat: bool) -> None:
        nonlocal again
        again = repeat
        for row in rows:
            (row.repeated if repeat else row.step).append([])

    def timed(row: Row, run: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            for number in range(CALLS if again else 1):
                start = perf_counter()
                run(*arguments)
                if not again:
                    row.step[-1].append(perf_counter() - start)
                elif number >= WARM:
                    row.repeated[-1].append(perf_counter() - start)

        return call

    for layer in network.layers:
        if layer.kind == "convolutional":
            gradient = layer.weight_gradient  # type: ignore[attr-defined]  # a convolutional layer has one
            rows.append(Row(layer, type(gradient).__name__.removesuffix("Gradient").lower()))
            gradient.run = timed(rows[-1], gradient.run)
    return rows, begin


def measure(name: str, rounds: int, threads: int) -> tuple[list[Row], list[float]]:
    """The rows of a network, and the peak in each round, in operations a second."""
    network = Network.from_cfg(REPOSITORY / f"cfg/{name}.cfg")
    network.initialize(seed=1)
    rows, begin = watch(network)
    learner = Learner(network, IMAGES)
    x = np.random.default_rng(0).random((IMAGES, *network.input_shape.array_shape), np.float32)
    truth = np.eye(network.output_shape.size, dtype=np.float32)[np.arange(IMAGES)]
    begin(False)
    learner.step(x, truth)
    for row in rows:
        row.step.clear()  # kernels were compiled or loaded
    peaks = []
    for number in range(rounds):
        say(f"  round {number + 1} of {rounds}")
        for repeat in (False, True):
            begin(repeat)
            for _ in range(STEPS):
                learner.step(x, truth)
        peaks.append(measure_machine(threads).flops)
    return rows, peaks


def lines(rows: list[Row], peaks: list[float]) -> list[list[str]]:
    """The printed table."""
    cells = [["layer", "", "method", "ms in a step", "quartiles", "of the peak", "repeated", "of the peak"]]
    for row in rows:
        source, options = row.layer.in_shape, row.layer.options
        size = f"{options.size}x{options.size}"
        what = f"{source.channels} of {source.height}x{source.width} to {row.layer.out_shape.channels}, {size}"
        low, middle, high = (1000 * seconds for seconds in quartiles(flat(row.step)))
        _, again, _ = (1000 * seconds for seconds in quartiles(flat(row.repeated)))
        shares = [f"{100 * row.share(times, peaks):.0f} %" for times in (row.step, row.repeated)]
        spread = f"{low:.3f} .. {high:.3f}"
        cells.append(
            [str(row.layer.index), what, row.method, f"{middle:.3f}", spread, shares[0], f"{again:.3f}", shares[1]]
        )
    return cells


def verdict(rows: list[Row], peaks: list[float]) -> str:
    """Which layers with enough channels stay below the bar."""
    counted = [row for row in rows if row.counts]
    words = []
    for title, times in (("in a step", "step"), ("repeated", "repeated")):
        low = [str(row.layer.index) for row in counted if row.share(getattr(row, times), peaks) < BAR]
        words.append(f"{title}: {len(low)}" + (f" ({', '.join(low)})" if low else ""))
    return f"below {100 * BAR:.0f} %, of the {len(counted)} with {CHANNELS} or more channels: " + "; ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.weight_gradients", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--networks", type=names(NETWORKS), default=list(NETWORKS), help=",".join(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5, help="5")
    add_common(parser, quick="1 round: only to see whether everything works")
    chosen = parser.parse_args()
    numba.set_num_threads(chosen.threads)
    facts, rounds = machine.describe(chosen.threads), 1 if chosen.quick else chosen.rounds
    print(f"{machine.in_words(facts)}\nmethod: {IMAGES} images, {rounds} rounds of {STEPS} steps, the median\n")
    results = []
    for name in chosen.networks:
        say(name)
        rows, peaks = measure(name, rounds, chosen.threads)
        print(f"{name}; peak {median(peaks) / 1e9:.1f} GFLOP/s\n{table(lines(rows, peaks), left=(1, 2))}")
        print(f"{verdict(rows, peaks)}\n", flush=True)
        layers = [
            {"layer": row.layer.index, "method": row.method, "step": row.step, "repeated": row.repeated} for row in rows
        ]
        results.append({"network": name, "peaks": peaks, "layers": layers})
    write(chosen.output, "weight_gradients", {"machine": facts, "results": results})


if __name__ == "__main__":
    main()
