"""From seven loops to the tile: one convolution, computed in every way, and what each rung of the ladder gains.

    python -m benchmarks.ladder                                 16 channels of 56x56, 128 filters of 3x3
    python -m benchmarks.ladder --layers 16x56x128,32x28x256    channels x side x filters

The lower rungs stand in this file, in plain sight; the upper ones are the package's own. All must give the same output.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numba
import numpy as np
from numba import njit, prange

from benchmarks import charts, machine
from benchmarks.figures import block_length, flat, quartiles, table
from benchmarks.models import Array
from benchmarks.options import add_common
from benchmarks.results import write
from benchmarks.rounds import say
from benchmarks.worker import timed
from minidarknet.cfg import parse_cfg
from minidarknet.layers.convolutional import convolve_plain
from minidarknet.layers.convolver import Convolver, Direct, Winograd
from minidarknet.network import Network

SIZE = 3
#: Filters and rows of what pure Python computes: a corner, or it would take a minute.
CROP_FILTERS, CROP_ROWS = 4, 6
#: How far two rungs' outputs may lie apart, relative to the largest: Winograd's sums are other sums.
TOLERANCE = 1e-4

# -- the rungs below the package's kernels: the image has a border of zeros already ----------------------------------


def seven_loops(output: Any, image: Any, weights: Any) -> None:
    """The definition, for nested lists as well as for arrays."""
    for b in range(len(output)):
        for f in range(len(output[b])):
            for y in range(len(output[b][f])):
                for x in range(len(output[b][f][y])):
                    total = 0.0
                    for c in range(len(image[b])):
                        for ky in range(len(weights[f][c])):
                            for kx in range(len(weights[f][c][ky])):
                                total += image[b][c][y + ky][x + kx] * weights[f][c][ky][kx]
                    output[b][f][y][x] = total


compiled_loops = njit(seven_loops)


@njit(parallel=True)
def shared_filters(output: Array, image: Array, weights: Array) -> None:
    """The same, with the filters shared among the threads."""
    for b in range(len(output)):
        for f in prange(output.shape[1]):
            for y in range(len(output[b][f])):
                for x in range(len(output[b][f][y])):
                    total = 0.0
                    for c in range(len(image[b])):
                        for ky in range(len(weights[f][c])):
                            for kx in range(len(weights[f][c][ky])):
                                total += image[b][c][y + ky][x + kx] * weights[f][c][ky][kx]
                    output[b][f][y][x] = total


@njit(parallel=True, fastmath={"contract"})
def along_rows(output: Array, image: Array, weights: Array) -> None:
    """The same multiply-adds with x innermost: many numbers of a row at once, each loaded and stored every time."""
    for b in range(len(output)):
        for f in prange(output.shape[1]):
            for y in range(output.shape[2]):
                row = output[b, f, y]
                row[:] = np.float32(0)
                for c in range(image.shape[1]):
                    for ky in range(weights.shape[2]):
                        for kx in range(weights.shape[3]):
                            weight = weights[f, c, ky, kx]
                            for x in range(len(row)):
                                row[x] += weight * image[b, c, y + ky, x + kx]


# -- the ladder ------------------------------------------------------------------------------------------------------


@dataclass
class Rung:
    """One way to compute the layer: `run` does it and returns the output; `flops` are what it computes."""

    title: str
    run: Callable[[], Any]
    flops: int
    crop: bool = False
    rounds: list[list[float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return quartiles(flat(self.rounds))[1]

    @property
    def speed(self) -> float:
        """GFLOP/s."""
        return self.flops / self.seconds / 1e9


def layer(channels: int, side: int, filters: int, method: type[Convolver] | None = None) -> Network:
    """A network of one convolutional layer, computed by one of the package's methods: the one place that forces it."""
    network = Network.from_cfg(
        parse_cfg(
            f"[net]\nchannels={channels}\nheight={side}\nwidth={side}\n"
            f"[convolutional]\nfilters={filters}\nsize={SIZE}\nstride=1\npad=1\nactivation=linear\n"
        )
    )
    network.initialize(seed=1)
    if method:
        (convolution,) = network.layers
        c: Convolver = convolution.convolver  # type: ignore[attr-defined]  # a convolutional layer has one
        convolution.convolver = method(c.source, c.target, c.size, c.stride, c.padding, c.groups)  # type: ignore[attr-defined]  # likewise
    return network


def climb(channels: int, side: int, filters: int) -> list[Rung]:
    """All rungs of one layer, from the lowest."""
    plain, direct, winograd = (layer(channels, side, filters, method) for method in (None, Direct, Winograd))
    convolution: Any = plain.layers[0]
    weights, flops = convolution.weights.value, plain.flops()
    x = np.random.default_rng(0).random((1, channels, side, side), np.float32)
    image = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows, some = min(CROP_ROWS, side), min(CROP_FILTERS, filters)
    corner = [array.tolist() for array in (image[:, :, : rows + 2, : rows + 2], weights[:some])]
    columns = np.empty(channels * SIZE**2 * side**2, np.float32)

    def python() -> list[Any]:
        output = np.zeros((1, some, rows, rows)).tolist()
        seven_loops(output, *corner)
        return output

    def below(function: Callable[..., None]) -> Callable[[], Array]:
        output = np.empty((1, filters, side, side), np.float32)

        def run() -> Array:
            function(output, image, weights)
            return output

        return run

    def by_columns(output: Array, _: Array, weights: Array) -> None:
        convolve_plain(output, x, weights, convolution.convolver, columns)

    crop_flops = 2 * some * rows**2 * channels * SIZE**2
    return [
        Rung(f"seven loops in Python (a corner: {some} filters, {rows}x{rows})", python, crop_flops, crop=True),
        Rung("the same loops, compiled", below(compiled_loops), flops),
        Rung("the filters shared among threads", below(shared_filters), flops),
        Rung("columns and a plain matrix product", below(by_columns), flops),
        Rung("x innermost, without columns", below(along_rows), flops),
        Rung("the register tile", lambda: direct.forward(x), flops),
        Rung("Winograd on the tile", lambda: winograd.forward(x), flops),
    ]


def check(rungs: list[Rung]) -> None:
    """Stop where two rungs do not compute the same."""
    expected = np.array(rungs[1].run())  # the compiled definition
    for rung in rungs:
        output = np.asarray(rung.run())
        wanted = expected[tuple(slice(length) for length in output.shape)]
        off = float(np.abs(output - wanted).max() / np.abs(wanted).max())
        if not off <= TOLERANCE:
            raise SystemExit(f"{rung.title}: off by {off:.1e} of the largest output")


def measure(rungs: list[Rung], rounds: int) -> None:
    """Time all rungs in every round."""
    for number in range(rounds):
        say(f"  round {number + 1} of {rounds}")
        for rung in rungs:
            (once,) = timed(rung.run, 1, 1)
            rung.rounds.append(timed(rung.run, 2, block_length(once, 0.2)))


def peak(threads: int) -> float | None:
    """The most that this machine's multiply-adds reach, GFLOP/s; None where the package does not measure it."""
    try:
        benchmark = import_module("minidarknet.benchmark")
    except ModuleNotFoundError:
        return None
    return float(benchmark.measure_machine(threads).flops) / 1e9


def lines(rungs: list[Rung], top: float | None) -> list[list[str]]:
    """The printed table."""
    cells = [["rung", "ms", "quartiles", "GFLOP/s", "times the one below", "of the peak"]]
    for number, rung in enumerate(rungs):
        low, middle, high = (1000 * seconds for seconds in quartiles(flat(rung.rounds)))
        gain = f"{rung.speed / rungs[number - 1].speed:.1f}" if number else ""
        share = f"{100 * rung.speed / top:.3g} %" if top else ""
        speed = f"{rung.speed:.3g}"
        cells.append([rung.title, f"{middle:.3f}", f"{low:.3f} .. {high:.3f}", speed, gain, share])
    return cells


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    def layers(text: str) -> list[tuple[int, ...]]:
        found = [tuple(int(number) for number in word.split("x") if number.isdigit()) for word in text.split(",")]
        if any(len(numbers) != 3 or min(numbers) < 1 for numbers in found):
            raise argparse.ArgumentTypeError(f"{text!r}: expected CHANNELSxSIDExFILTERS, for example 16x56x128")
        return found

    parser = argparse.ArgumentParser(prog="python -m benchmarks.ladder", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", type=layers, default=[(16, 56, 128)], help="16x56x128")
    parser.add_argument("--rounds", type=int, default=6, help="6")
    add_common(parser, quick="2 rounds: only to see whether everything works")
    return parser.parse_args(arguments)


def main() -> None:
    chosen = options()
    numba.set_num_threads(chosen.threads)
    facts, top = machine.describe(chosen.threads), peak(chosen.threads)
    rounds = 2 if chosen.quick else chosen.rounds
    print(f"{machine.in_words(facts)}\nmethod: one process, {rounds} rounds over all rungs, compiling not counted")
    print(f"peak of multiply-adds: {top:.1f} GFLOP/s, measured\n" if top else "peak of multiply-adds: not measured\n")
    results = []
    for channels, side, filters in chosen.layers:
        title = f"{channels} channels of {side}x{side}, {filters} filters of {SIZE}x{SIZE}"
        say(title)
        rungs = climb(channels, side, filters)
        check(rungs)
        measure(rungs, rounds)
        print(f"{title}\n{table(lines(rungs, top))}\n", flush=True)
        entries = [
            {"title": rung.title, "flops": rung.flops, "gflops": rung.speed, "rounds": rung.rounds} for rung in rungs
        ]
        results.append({"layer": title, "rungs": entries})
    write(chosen.output, "ladder", {"machine": facts, "peak": top, "results": results}, charts.ladder)


if __name__ == "__main__":
    main()
