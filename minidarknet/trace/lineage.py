"""Where a number that is not finite comes from: the stage, its parameters, what it has read, and the way there."""

from __future__ import annotations

import math

import numpy as np

from minidarknet.layers.parameter import Array, Parameter
from minidarknet.network import Network
from minidarknet.trace.records import Stage, Trace, first_odd

#: So many of the layers before are shown, the nearest.
SHOWN = 8
#: What the sides of a parameter are, by its name and their number.
SIDES = {("weights", 4): "filter, channel, row, column", ("weights", 2): "output, input"}
LARGEST = float(np.finfo(np.float32).max)


def lineage(network: Network, run: Trace, stage: Stage) -> str:
    """What there is to say of the first stage with numbers that are not finite, line by line.

    Parameters
    ----------
    network
        As it was when the trace was made.
    run
        All stages up to that one.
    stage
        The last of them.
    """
    layer = network.layers[stage.layer]
    first = (
        f"{run.cfg}: {stage.title} has {stage.non_finite:,} of {math.prod(stage.shape):,} numbers that are not finite, "
        f"the first at (image, channel, row, column) {stage.first_non_finite}"
    )
    lines = [f"its {words}" for parameter in layer.parameters() if (words := _what_is_odd(parameter))]
    if not lines and layer.parameters():
        largest = max(layer.parameters(), key=lambda parameter: np.abs(parameter.value).max(initial=0))
        lines.append(
            f"its parameters are all finite, the largest {np.abs(largest.value).max():g} in its {largest.name}; "
            f"beyond {LARGEST:.2g} a number is infinite"
        )
    own = [other for other in run.stages if other.layer == stage.layer and other is not stage]
    if own:
        lines.append(f"its {own[-1].name} were finite, {_range(own[-1])}")
    last = {other.layer: other for other in run.stages if other.layer != stage.layer}
    lines += [f"it reads {_read(run, last, read)}" for read in layer.reads]
    lines += _way(network, run, last, stage.layer)
    lines += _elsewhere(network, stage.layer)
    return "\n  ".join([first, *lines])


def _what_is_odd(parameter: Parameter) -> str:
    """What makes a parameter give NaN; empty where nothing does."""
    value = parameter.value
    bad, what = ~np.isfinite(value), "not finite"
    if not bad.any() and parameter.name == "rolling_variance":
        bad, what = value < 0, "below 0, whose root is NaN"
    if not bad.any():
        return ""
    place = first_odd(np.where(bad, np.nan, 0).astype(np.float32))
    sides = SIDES.get((parameter.name, value.ndim), "channel" if value.ndim == 1 else "place")
    first = f"{value[place]:g} at ({sides}) {place if len(place) > 1 else place[0]}"
    return f"{parameter.name}: {int(bad.sum()):,} of {value.size:,} numbers are {what}, the first {first}"


def _range(stage: Stage) -> str:
    return f"{stage.minimum:g} to {stage.maximum:g}"


def _input(x: Array) -> str:
    return f"the picture, {x.min():g} to {x.max():g}" if np.isfinite(x).all() else "an input that is not finite"


def _read(run: Trace, last: dict[int, Stage], read: int) -> str:
    if read < 0:
        return _input(run.input)
    return f"{last[read].title}, which was finite, {_range(last[read])}"


def _way(network: Network, run: Trace, last: dict[int, Stage], index: int) -> list[str]:
    """The layers that the numbers came through, from the picture on."""
    before: set[int] = set()
    todo = list(network.layers[index].reads)
    while todo:
        read = todo.pop()
        if read >= 0 and read not in before:
            before.add(read)
            todo += network.layers[read].reads
    if not before:
        return []
    near = sorted(before)[-SHOWN:]
    skipped = f" -> {len(before) - len(near)} more" if len(before) > len(near) else ""
    steps = "".join(f" -> {i} {last[i].kind} {_range(last[i])}" for i in near)
    return [f"the way there, all of it finite: {_input(run.input)}{skipped}{steps}"]


def _elsewhere(network: Network, index: int) -> list[str]:
    """Parameters of later layers that are odd too."""
    found = [
        f"the {parameter.name} of layer {layer.index} [{layer.kind}]"
        for layer, parameter in network.parameters()
        if layer.index > index and _what_is_odd(parameter)
    ]
    if not found:
        return []
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return [f"further on are not finite either: {', '.join(found[:SHOWN])}{more}"]
