"""How fast a network is on this machine: the whole forward pass, each layer, and the limits that they run against.

    with threads(2):
        x = draw_input(network, batch=1)
        first = run_first(network, x)           compiles or loads kernels, packs weights: told, never counted
        forward = time_forward(network, x)      what a person waits for, once everything is warm
        layers = time_layers(network, x)        where that time goes
        machine = measure_machine(2)            what any code could reach

Times are medians: on a machine that does other things too, a mean is about the other things.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np

from minidarknet.errors import InputError, UsageError
from minidarknet.fusion import Step
from minidarknet.kernels import peak
from minidarknet.kernels.jit import announce_compiling, is_compiled
from minidarknet.layers.base import Layer
from minidarknet.layers.parameter import Array
from minidarknet.memory import mebibytes, memory_limit
from minidarknet.network import Network
from minidarknet.summary import shape_values

#: Where no weights are given, these are drawn; speed does not depend on them.
SEED = 1
#: Runs before the clock counts: the processor reaches its pace, and the caches hold what they will hold.
WARM_RUNS = 3
#: Without a wish, as many runs as fit these seconds, but within these bounds.
SECONDS, FEWEST, MOST = 2.0, 5, 200


@dataclass(frozen=True)
class Spread:
    """How long a thing took, in seconds, over several runs: median, quartiles and extremes."""

    runs: int
    median: float
    lower: float
    upper: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        minimum, lower, median, upper, maximum = (float(q) for q in np.percentile(seconds, (0, 25, 50, 75, 100)))
        return cls(len(seconds), median, lower, upper, minimum, maximum)


@dataclass(frozen=True)
class Machine:
    """What this machine reaches at the most, as measured by `kernels/peak.py`.

    Attributes
    ----------
    threads
        How many worked.
    register_bits
        The width of the registers that kernels use.
    flops
        Operations a second, a multiply-add being two: the best of several runs.
    bandwidth
        Bytes a second that are read from memory: likewise.
    """

    threads: int
    register_bits: int
    flops: float
    bandwidth: float

    def best(self, other: Machine) -> Machine:
        """The better of two measurements: whatever else the machine was doing has only made them worse."""
        flops, bandwidth = max(self.flops, other.flops), max(self.bandwidth, other.bandwidth)
        return Machine(self.threads, self.register_bits, flops, bandwidth)


@dataclass(frozen=True)
class FirstRun:
    """The first forward pass: its seconds, and the names of the kernels that were compiled meanwhile."""

    seconds: float
    compiled: tuple[str, ...]


@dataclass(frozen=True)
class LayerSpeed:
    """The time of one layer, or of a convolution and its pool, for a whole batch.

    flops are its operations by Darknet's count, moved the bytes that it has to move.
    """

    layers: tuple[Layer, ...]
    seconds: Spread
    flops: int
    moved: int


def check_compiled() -> None:
    """Raise where kernels are not compiled: the interpreter's speed would say nothing about them."""
    if not is_compiled():
        raise UsageError("NUMBA_DISABLE_JIT is set, so kernels are interpreted and no time means anything: unset it")


def draw_input(network: Network, batch: int) -> Array:
    """Take the memory for a batch (refused beforehand where there is too little), and draw images at random."""
    network.allocate(batch, shared=True)
    shape = (batch, *network.input_shape.array_shape)
    return np.random.default_rng(SEED).random(shape, np.float32)


def run_first(network: Network, x: Array) -> FirstRun:
    """Run forward once, so that nothing is left to compile, to load or to pack when the clock counts."""
    compiled: list[str] = []
    with announce_compiling(compiled.append):
        start = perf_counter()
        network.forward(x)
        seconds = perf_counter() - start
    return FirstRun(seconds, tuple(compiled))


def time_forward(network: Network, x: Array, runs: int | None = None) -> Spread:
    """The time of `network.forward(x)` once it is warm, over `runs` runs (None: a few seconds' worth)."""
    before = [_seconds(lambda: network.forward(x)) for _ in range(WARM_RUNS)]
    return Spread.of([_seconds(lambda: network.forward(x)) for _ in range(runs or _runs_for(min(before)))])


def time_layers(network: Network, x: Array, runs: int | None = None) -> list[LayerSpeed]:
    """The time of each step of the same pass, over `runs` runs (None: a few seconds' worth)."""
    before = [sum(_seconds_by_step(network, x)) for _ in range(WARM_RUNS)]
    passes = [_seconds_by_step(network, x) for _ in range(runs or _runs_for(min(before)))]
    batch, steps = len(x), [step for step, _ in network.fused(x)]
    return [
        LayerSpeed(
            step.layers,
            Spread.of(seconds),
            batch * sum(layer.flops() for layer in step.layers),
            bytes_moved(network, step, batch),
        )
        for step, seconds in zip(steps, zip(*passes, strict=True), strict=True)
    ]


def bytes_moved(network: Network, step: Step, batch: int) -> int:
    """Bytes that a step has to move at the least: inputs, output and parameters, each once.

    0 where nothing is left to do, or a layer has no output of its own and passes on what it gets.
    """
    first, last = step.layers[0], step.layers[-1]
    if step.done or last.output_bytes(batch) == 0:
        return 0
    sources = [network.input_shape if read < 0 else network.layers[read].out_shape for read in first.reads]
    images = batch * (sum(source.size for source in sources) + last.out_shape.size)
    return 4 * (images + sum(parameter.size for layer in step.layers for parameter in layer.parameters()))


def first_not_finite(network: Network, x: Array) -> Layer | None:
    """The first layer that puts out NaN or infinity, or None."""
    return next((step.layers[-1] for step, y in network.fused(x) if not np.isfinite(y).all()), None)


#: Multiply-adds of each register in one run, a few milliseconds' worth, and how many runs there are: the best counts,
#: and the shorter they are, the more likely it is that one of them had the processor for itself.
ROUNDS, PEAK_RUNS = 1 << 20, 80
#: What each thread reads: several times its share of the largest last-level cache. Fewer threads read as much as four.
STREAM_BYTES, STREAM_RUNS = 1 << 26, 20


def measure_machine(threads: int) -> Machine:
    """Measure multiply-adds and memory, `threads` threads at a time; takes less than a second."""
    stream = max(threads, 4) * STREAM_BYTES
    if stream > memory_limit():
        raise InputError(
            f"to measure the memory's bandwidth, {mebibytes(stream)} of it are read, and there are only "
            f"{mebibytes(memory_limit())} (see MINIDARKNET_MEMORY, in MiB)"
        )
    numbers = np.ones((threads, peak.NUMBERS), np.float32)
    half, one = np.float32(0.5), np.float32(1)  # x / 2 + 1 comes to 2 and stays there
    peak.multiply_adds(numbers, 1, half, one)
    arithmetic = min(_seconds(lambda: peak.multiply_adds(numbers, ROUNDS, half, one)) for _ in range(PEAK_RUNS))

    words, sums = np.empty((threads, stream // 8 // threads), np.int64), np.empty(threads, np.int64)
    peak.write_all(words, 1)  # pages that nobody has written are all the same page, and that one is in the cache
    peak.read_all(sums, words)
    reading = min(_seconds(lambda: peak.read_all(sums, words)) for _ in range(STREAM_RUNS))
    return Machine(threads, peak.REGISTER_BITS, threads * ROUNDS * peak.OPERATIONS / arithmetic, words.nbytes / reading)


def run_all_kernels(network: Network) -> None:
    """Run a network once in each way that may take other kernels: layer by layer and fused, one image and two."""
    network.initialize(SEED)
    x = draw_input(network, 2)
    for batch in (1, 2):
        for _ in network.steps(x[:batch]):
            pass
        for _ in network.fused(x[:batch]):
            pass


def run_peak_kernels() -> None:
    """Run the kernels that measure the machine, on next to nothing."""
    peak.multiply_adds(np.ones((1, peak.NUMBERS), np.float32), 1, np.float32(1), np.float32(0))
    words = np.empty((1, 1), np.int64)
    peak.write_all(words, 1)
    peak.read_all(np.empty(1, np.int64), words)


def describe(
    network: Network, x: Array, machine: Machine, first: FirstRun, forward: Spread, layers: Sequence[LayerSpeed]
) -> dict[str, Any]:
    """All that was measured, and the rates and shares that follow, as plain values; None for a rate of nothing."""
    batch = len(x)
    return {
        "cfg": network.path,
        "input": shape_values(network.input_shape),
        "batch": batch,
        "machine": {
            "threads": machine.threads,
            "register_bits": machine.register_bits,
            "gflops": machine.flops / 1e9,
            "gigabytes_per_second": machine.bandwidth / 1e9,
        },
        "first_run": {"seconds": first.seconds, "compiled": list(first.compiled)},
        "forward": {
            "seconds": asdict(forward),
            "images_per_second": batch / forward.median,
            **_rates(batch * network.flops(), forward.median, machine),
        },
        "layers": [
            {
                "index": speed.layers[0].index,
                "kind": speed.layers[0].kind,
                "window": speed.layers[0].window(),
                "with": [layer.index for layer in speed.layers[1:]],
                "output": shape_values(speed.layers[-1].out_shape),
                "seconds": asdict(speed.seconds),
                **_rates(speed.flops, speed.seconds.median, machine),
                "bytes": speed.moved,
                "gigabytes_per_second": speed.moved / speed.seconds.median / 1e9 if speed.moved else None,
                "memory_share": speed.moved / speed.seconds.median / machine.bandwidth if speed.moved else None,
            }
            for speed in layers
        ],
    }


def _rates(flops: int, seconds: float, machine: Machine) -> dict[str, float | int | None]:
    rate = flops / seconds if flops else None
    return {
        "flops": flops,
        "gflops": None if rate is None else rate / 1e9,
        "peak_share": None if rate is None else rate / machine.flops,
    }


#: No time is shorter than this: a clock may stand still while a layer does nothing, and rates divide by times.
SHORTEST = 1e-9


def _seconds(call: Callable[[], Any]) -> float:
    start = perf_counter()
    call()
    return max(perf_counter() - start, SHORTEST)


def _seconds_by_step(network: Network, x: Array) -> list[float]:
    """What passes between the steps of one pass: the network yields after each of them."""
    moments = [perf_counter()]
    for _ in network.fused(x):
        moments.append(perf_counter())
    return [max(after - before, SHORTEST) for before, after in pairwise(moments)]


def _runs_for(seconds: float) -> int:
    return max(FEWEST, min(MOST, round(SECONDS / seconds)))
