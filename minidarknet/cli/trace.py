"""`minidarknet trace`: watch a picture flow through a network, stage by stage."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minidarknet.cli import trace_files
from minidarknet.cli.classify import WEIGHTS_ENDINGS, split_weights
from minidarknet.cli.trace_break import stop_behind
from minidarknet.errors import InputError, NonFiniteError, UsageError
from minidarknet.preprocess import PREPROCESSES

if TYPE_CHECKING:
    from minidarknet.prediction import Classifier
    from minidarknet.trace import Stage
    from minidarknet.trace.dump import Dump

USAGE = """%(prog)s [options] NAME IMAGE
       %(prog)s [options] CFG WEIGHTS IMAGE
       %(prog)s [options] --verify --darknet FILE.npz CFG WEIGHTS
       %(prog)s diff A.npz B.npz"""
EPILOG = """\
columns:
  ms        the median of a few passes; compiling is not counted
  GFLOP/s   operations of the layer by Darknet's count, in its first stage
  zeros     share of the numbers that are 0
  dead      channels that are the same everywhere
  numbers   a histogram, from the smallest number to the largest

exit codes: 0 ok; 1 a stage is beyond the bound (--verify, diff); 4 numbers that are not finite (--nan)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = USAGE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add = parser.add_argument
    add("network", metavar="NAME or CFG", help="a known network or a cfg file; or the word diff")
    add("files", metavar="WEIGHTS, IMAGE", nargs="*", help="behind a cfg its weights; then one picture")
    add("--names", help="a text file with one class name a line")
    add("--preprocess", choices=PREPROCESSES, default="fit", help="as for classify (default fit)")
    add("--random-weights", type=int, metavar="SEED", help="draw weights at random (to try a cfg)")
    add("--step", action="store_true", help="pause after each layer: Enter goes on, q quits")
    add("--break", dest="behind", metavar="LAYER", type=int, help="open Python's debugger behind a layer")
    add("--nan", action="store_true", help="stop at the first stage with numbers that are not finite")
    add(
        "--zero", metavar="LAYER:CHANNEL", action="append", default=[], help="set a channel's weights to 0, and compare"
    )
    add("--verify", action="store_true", help="every stage once more in float64, and by ONNX Runtime if installed")
    add("--darknet", metavar="FILE.npz", help="for --verify: outputs of the original program, see docs/trace.md")
    add("--bound", type=float, default=1e-5, help="for --verify and diff: the largest share of a stage (default 1e-5)")
    add("--json", action="store_true", help="print all records for a program to read")
    trace_files.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    if options.network == "diff":
        return _diff(options)
    from minidarknet import console
    from minidarknet.images import read_image
    from minidarknet.prediction import load

    trace_files.check(options)
    dump = _dump(options)
    weights, picture = _files(options, dump)
    with console.compiling_announced():
        net = load(
            options.network,
            weights,
            names=options.names,
            preprocess=options.preprocess,
            random_weights=options.random_weights,
            check=not options.nan,  # which is there to find what a check would refuse
        )
        if picture is None:
            assert dump is not None
            assert dump.input is not None
            image = dump.input
        else:
            image = net.prepare(read_image(picture, net.home.channels))[None]
        before = net.rank(net.forward(image)[0].reshape(-1).copy()) if options.zero else []
        for place in options.zero:
            _silence(net, place)
        if options.behind is not None:
            return stop_behind(net, image, options.behind)
        return _trace(net, image, options, before, dump)


def _dump(options: argparse.Namespace) -> Dump | None:
    from minidarknet.trace.dump import read_dump

    if options.darknet and not options.verify:
        raise UsageError("--darknet names something to verify with: add --verify")
    return read_dump(options.darknet) if options.darknet else None


def _files(options: argparse.Namespace, dump: Dump | None) -> tuple[str | None, str | None]:
    """The weights and the picture; no picture where none is named and a dump has its own input."""
    files = options.files
    if len(files) < 2 and dump and dump.input is not None and all(file.endswith(WEIGHTS_ENDINGS) for file in files):
        return (files[0] if files else None), None
    if not files:
        raise UsageError(f"nothing stands behind {options.network}; expected NAME IMAGE, or CFG WEIGHTS IMAGE")
    weights, pictures = split_weights(options)
    if len(pictures) != 1:
        raise UsageError(f"{len(pictures)} pictures were named; expected one to trace")
    return weights, pictures[0]


def _trace(net: Classifier, image: Any, options: argparse.Namespace, before: list[Any], dump: Dump | None) -> int:
    from minidarknet import console
    from minidarknet.cli.trace_verify import as_values, print_verified, verdict, verified
    from minidarknet.trace import Trace
    from minidarknet.trace.files import to_json
    from minidarknet.trace.inputs import odd_range
    from minidarknet.trace.lineage import lineage
    from minidarknet.trace.records import stages

    images = net.as_batch(image) if net.input_shape.array_shape == image.shape[1:] else image
    run = Trace(net.path, images, [])
    if words := odd_range(images):
        console.warning(words)
    shown = _show(stages(net, images, keep=options.verify or trace_files.keeps_arrays(options), runs=3), options)
    for stage in shown:
        run.stages.append(stage)
        if options.nan and stage.non_finite:
            raise NonFiniteError(lineage(net, run, stage))
    trace_files.save(net, run, options)
    whole = bool(run.stages) and run.stages[-1].layer == net.layers[-1].index  # unless stepping was ended
    found = verified(net, run, dump) if options.verify and whole else None
    if options.json:
        console.result(to_json(run, {"verified": as_values(found, options.bound)} if found else {}))
    elif whole:
        console.result("")
        answers = net.forward(images)[0].reshape(-1).copy()
        for number, prediction in enumerate(net.rank(answers)):
            was = f"     before: {before[number].name} {before[number].probability:.6f}" if before else ""
            console.result(f"{prediction.name}: {prediction.probability:.6f}{was}")
    if found is None:
        return 0
    if not options.json:
        print_verified(found)
    return verdict(found, options)


def _show(found: Iterator[Stage], options: argparse.Namespace) -> Iterator[Stage]:
    """Print each stage as it is there, and pause between layers if asked to."""
    from minidarknet import console

    if not options.json:
        console.result(HEADING)
    layer = -1
    for stage in found:
        if options.step and stage.layer != layer and layer >= 0 and not console.go_on():
            return
        layer = stage.layer
        if not options.json:
            console.result(line(stage))
        yield stage


HEADING = (
    f"{'layer':<22}{'stage':<15}{'shape':>13}{'ms':>8}{'GFLOP/s':>9}"
    f"{'min':>9}{'mean':>9}{'max':>9}{'zeros':>7}{'dead':>6}  numbers"
)


def line(stage: Stage) -> str:
    """One row of the table."""
    from minidarknet import console

    first = stage.parameters or stage.flops or stage.bytes
    title = f"{stage.layer:2d} {stage.kind}" if first else ""
    shape = "x".join(str(side) for side in (*stage.shape[2:], stage.shape[1]))
    speed = f"{stage.flops * stage.shape[0] / stage.seconds / 1e9:.1f}" if stage.flops and stage.seconds else ""
    ms = "" if stage.seconds is None else f"{1000 * stage.seconds:.3f}"
    odd = f" {stage.non_finite:,} not finite, first at {stage.first_non_finite}" if stage.non_finite else ""
    bars = (
        console.spark([float(count) for count in stage.histogram]) if stage.minimum < stage.maximum else "all the same"
    )
    return (
        f"{title:<22}{stage.name:<15}{shape:>13}{ms:>8}{speed:>9}{stage.minimum:9.3g}{stage.mean:9.3g}"
        f"{stage.maximum:9.3g}{100 * stage.zeros:6.1f}%{len(stage.dead) or '':>6}  {bars}{odd}"
    )


def _silence(net: Classifier, place: str) -> None:
    """Set the numbers that make a channel to 0, and its bias: what comes out is 0."""
    index, colon, channel = place.partition(":")
    if not (colon and index.isdecimal() and channel.isdecimal() and int(index) < len(net.layers)):
        raise UsageError(f"--zero {place}: expected LAYER:CHANNEL, with a layer from 0 to {len(net.layers) - 1}")
    layer = net.layers[int(index)]
    changed = [p for p in layer.parameters() if p.name in ("weights", "biases", "rolling_mean")]
    if layer.kind not in ("convolutional", "connected") or not changed:
        raise UsageError(f"--zero {place}: layer {index} [{layer.kind}] has no channels of its own to silence")
    if int(channel) >= layer.out_shape.channels:
        raise UsageError(f"--zero {place}: layer {index} has channels 0 to {layer.out_shape.channels - 1}")
    for parameter in changed:
        numbers = parameter.value.copy()
        numbers[int(channel)] = 0
        parameter.array = numbers


def _diff(options: argparse.Namespace) -> int:
    from minidarknet import console
    from minidarknet.trace.diff import differences, first_beyond
    from minidarknet.trace.files import read_npz
    from minidarknet.trace.inputs import odd_range, relation

    if len(options.files) != 2:
        raise UsageError(f"diff compares two traces; found {len(options.files)} files")
    a, b = (read_npz(path) for path in options.files)
    missing = sorted(set(a) ^ set(b))
    if missing:
        raise InputError(f"the traces have other stages: {', '.join(missing[:5])} are only in one of them")
    for path, run in zip(options.files, (a, b), strict=True):
        if "input" in run and (words := odd_range(run["input"])):
            console.warning(f"{path}: {words}")
    found = differences(a, b)
    first = first_beyond(found, options.bound)
    if options.json:
        console.result_json([{"stage": d.name, "absolute": d.absolute, "relative": d.relative} for d in found])
    else:
        console.table(
            ["stage ", "largest difference", "of the largest number"],
            [[d.name, f"{d.absolute:.3g}", f"{d.relative:.3g}"] for d in found],
        )
        parts = f"they part at {first.name}" if first else "they do not part"
        console.note(f"{parts} (by more than {options.bound:g} of the largest number)")
        if words := relation(a["input"], b["input"]) if "input" in a else "":
            console.note(words)
    return 1 if first else 0
