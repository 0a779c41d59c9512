"""`minidarknet bench CFG [WEIGHTS]`: how fast a network is on this machine, layer by layer."""

from __future__ import annotations

import argparse
from math import floor, log10
from typing import TYPE_CHECKING, Any

from minidarknet.cli.summary import positive
from minidarknet.errors import CfgError, UsageError

if TYPE_CHECKING:
    from minidarknet.network import Network

#: Letters of the longest bar.
BAR = 6
EPILOG = """\
columns:
  layer     its number and kind; +1 means that layer 1, a pool, is done at once with it
  ms        of the whole batch, the median of the runs; the slowest layer has the longest bar
  GFLOP/s   operations by Darknet's count, two for each multiply-add
  peak      the share of the multiply-adds that this machine can do, measured by the same command; a
            convolution that needs fewer multiplications than Darknet counts (Winograd's) can pass 100 %
  GB/s      inputs, outputs and parameters of the layer, each once
  memory    the share of the bytes that this machine can read from memory, measured likewise; numbers that
            are still in a cache can pass 100 %
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("cfg", help="a cfg file, or a known network: tiny, darknet, alexnet, squeezenet, digits")
    parser.add_argument("weights", nargs="?", help="its weights (default: random ones, as the speed is the same)")
    parser.add_argument("--size", type=size, metavar="SIDE or WxH", help="resize the input, in pixels")
    add_timing_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print everything for a program to read")


def add_timing_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that `bench` and `compare` share."""
    parser.add_argument("--batch", type=positive, default=1, help="images to run at a time (default 1)")
    parser.add_argument("--threads", type=positive, help="threads to run on (default: one for each processor)")
    parser.add_argument("--runs", type=positive, help="runs of which the median is taken (default: 2 seconds' worth)")


def size(text: str) -> tuple[int, int]:
    """Width and height from `SIDE` or `WIDTHxHEIGHT`, for argparse."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 1 <= int(side) < 2**31 for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r}: expected pixels, as 224 or 320x240 (width x height)")
    return int(sides[0]), int(sides[-1])


def run(options: argparse.Namespace) -> int:
    from minidarknet import benchmark, console, zoo
    from minidarknet.errors import NonFiniteError
    from minidarknet.kernels.threads import threads
    from minidarknet.prediction import load

    benchmark.check_compiled()
    with threads(options.threads) as count, console.compiling_announced():
        random = None if options.weights else benchmark.SEED
        network = load(zoo.find_cfg(options.cfg), options.weights, random_weights=random)
        if options.size:
            resize(network, *options.size)
        x = benchmark.draw_input(network, options.batch)
        if random:
            console.note(f"no weights were given: random ones (seed {random}), on which the speed does not depend")
        console.note("measuring what this machine can do at most ...")
        machine = benchmark.measure_machine(count)
        console.note("running the network ...")
        first = benchmark.run_first(network, x)
        forward = benchmark.time_forward(network, x, options.runs)
        layers = benchmark.time_layers(network, x, options.runs)
        machine = machine.best(benchmark.measure_machine(count))  # again, in case the first was disturbed
        broken = benchmark.first_not_finite(network, x)
    found = benchmark.describe(network, x, machine, first, forward, layers)
    found |= {"weights": options.weights, "finite": broken is None}
    if options.json:
        console.result_json(found)
    else:
        _print(found, str(network.input_shape))
    if broken:
        what = f"{network.path}: layer {broken.index} [{broken.kind}] puts out NaN or infinity"
        raise NonFiniteError(f"{what}; the times above are right, but the answers would not be")
    return 0


def resize(network: Network, width: int, height: int) -> None:
    """Change the network's input, or say why it cannot be changed."""
    what = f"--size {width}x{height}: {network.path} cannot be resized"
    if not network.input_shape.is_image:
        raise UsageError(f"{what}: it takes {network.input_shape}, not images")
    try:
        network.resize(height, width)
    except CfgError as error:
        raise UsageError(f"{what}: {error}") from None


def _print(found: dict[str, Any], shape: str) -> None:
    from minidarknet import console

    machine, forward, first = found["machine"], found["forward"], found["first_run"]
    slowest = max(layer["seconds"]["median"] for layer in found["layers"])
    rows = []
    for layer in found["layers"]:
        seconds = layer["seconds"]["median"]
        rows.append(
            [
                _title(layer),
                _sides(layer["output"]),
                f"{1e3 * seconds:.3f}",
                console.bar(seconds / slowest, BAR),
                _number(layer["gflops"]),
                _percent(layer["peak_share"]),
                console.bar(layer["peak_share"] or 0, BAR),
                _number(layer["gigabytes_per_second"]),
                _percent(layer["memory_share"]),
            ]
        )
    console.table(["layer ", "output ", "ms", "", "GFLOP/s", "peak", "", "GB/s", "memory"], rows)
    console.result("")
    compiled = (
        f"compiled meanwhile: {count_of(len(first['compiled']), 'kernel')}"
        if first["compiled"]
        else "nothing had to be compiled"
    )
    facts = [
        ("network", f"{found['cfg']}, {shape}, {count_of(found['batch'], 'image')} at a time"),
        ("forward", spread_in_words(forward["seconds"])),
        ("images", f"{forward['images_per_second']:.1f} a second"),
        ("first run", f"{first['seconds']:.2f} s, not counted: {compiled}"),
        (
            "this machine",
            f"{machine['gflops']:.0f} GFLOP/s multiply-add, {machine['gigabytes_per_second']:.1f} GB/s from memory, "
            f"{count_of(machine['threads'], 'thread')} with {machine['register_bits']}-bit registers (measured now)",
        ),
    ]
    if forward["gflops"]:
        speed = f"{forward['gflops']:.1f} GFLOP/s, {100 * forward['peak_share']:.0f} % of the peak"
        facts.insert(3, ("speed", speed))
    console.facts(facts)


def spread_in_words(spread: dict[str, Any]) -> str:
    """A median and what it is the median of: `5.01 ms (half of 200 runs 4.98 to 5.10, all 4.90 to 6.31)`."""
    median, lower, upper, low, high = (
        three_digits(1e3 * spread[name]) for name in ("median", "lower", "upper", "minimum", "maximum")
    )
    return f"{median} ms (half of {spread['runs']} runs {lower} to {upper}, all {low} to {high})"


def three_digits(number: float) -> str:
    """A number with three digits, or all of those before the point: 0.0512, 5.12, 512, 51,234."""
    return f"{number:,.{max(0, 2 - floor(log10(number)))}f}"


def count_of(number: int, thing: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _title(layer: dict[str, Any]) -> str:
    """The layer's number and kind, and its window where it has one; `+3` names a pool that is done with it."""
    side, stride = layer["window"] or (1, 1)
    window = f" {side}x{side}" if side > 1 else ""
    pool = "".join(f" +{index}" for index in layer["with"])
    return f"{layer['index']:2d} {layer['kind']}{window}" + (f"/{stride}" if stride > 1 else "") + pool


def _sides(output: dict[str, Any]) -> str:
    return f"{output['width']}x{output['height']}x{output['channels']}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
