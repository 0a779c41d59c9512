"""Which layers hand their work over when a network predicts: the plan that `Network.fused` follows.

Three things need no pass over memory of their own:

    convolution -> maxpool 2x2/2        the convolution writes the largest of each 2x2 outputs at once
    convolutions -> route               each writes into its part of the route's output
    route of one layer                  its input is its output

A convolution may write elsewhere only if nobody else reads its output.
"""

from __future__ import annotations

from dataclasses import dataclass

from minidarknet.layers.base import Layer
from minidarknet.layers.convolutional import Convolutional
from minidarknet.layers.maxpool import Maxpool
from minidarknet.layers.route import Route
from minidarknet.memory import aligned, arrange


@dataclass(frozen=True)
class Step:
    """One step of a prediction.

    Attributes
    ----------
    layers
        The layers that are done in it: one, or a convolution and its pool.
    home
        The layer whose buffer is written; the last of `layers`, or a route further on.
    start
        The first number of each image in that buffer.
    done
        Whether nothing is left to do, as others have written the output already.
    """

    layers: tuple[Layer, ...]
    home: Layer
    start: int = 0
    done: bool = False

    @property
    def pooled(self) -> bool:
        return len(self.layers) > 1


def plan(layers: list[Layer]) -> list[Step]:
    """The steps of a prediction, in order; each layer is in exactly one."""
    readers: list[list[Layer]] = [[] for _ in layers]
    for layer in layers:
        for read in layer.reads:
            if read >= 0:
                readers[read].append(layer)
    steps: list[Step] = []
    joined = {part: start for layer in layers for part, start in _parts(layer, layers, readers).items()}
    for layer in layers:
        if steps and layer in steps[-1].layers:
            continue
        (reader,) = readers[layer.index] if len(readers[layer.index]) == 1 else (None,)
        if layer.index in joined:
            assert reader is not None
            steps.append(Step((layer,), reader, joined[layer.index]))
        elif isinstance(layer, Convolutional) and isinstance(reader, Maxpool) and layer.can_pool and reader.is_halving:
            steps.append(Step((layer, reader), reader))
        else:
            done = isinstance(layer, Route) and all(read in joined for read in layer.reads)
            steps.append(Step((layer,), layer, done=done))
    return steps


def _parts(layer: Layer, layers: list[Layer], readers: list[list[Layer]]) -> dict[int, int]:
    """For a route whose layers can all write into its output: where each of them begins. Else nothing."""
    starts: dict[int, int] = {}
    if not isinstance(layer, Route) or len(layer.reads) < 2:
        return starts
    start = 0
    for read in layer.reads:
        part = layers[read]
        if not isinstance(part, Convolutional) or not part.can_place or len(readers[read]) > 1:
            return {}
        starts[read] = start
        start += part.out_shape.size
    return starts


def lives(steps: list[Step], layers: list[Layer]) -> list[tuple[int, int]]:
    """The first and the last step at which each layer's buffer is needed.

    A layer that passes its input on has none, and its readers read the buffer behind it. What nobody reads is an
    answer, and lives to the end.
    """
    home = {layer.index: step.home.index for step in steps for layer in step.layers}
    first = [len(steps)] * len(layers)
    last = [-1] * len(layers)
    for moment, step in enumerate(steps):
        if step.home is step.layers[0] and step.home.output_bytes(1) == 0 and step.home.reads[0] >= 0:
            home[step.home.index] = home[step.home.reads[0]]
        buffer = home[step.layers[-1].index]
        first[buffer] = min(first[buffer], moment)
        for read in step.layers[0].reads:
            if read >= 0:
                last[home[read]] = moment
    for number, end in enumerate(last):
        if end < 0 or number == home[layers[-1].index]:
            last[number] = len(steps)
    return list(zip(first, last, strict=True))


def arrange_outputs(steps: list[Step], layers: list[Layer], batch: int, shared: bool) -> tuple[list[int], int]:
    """Where the layers' buffers for a batch begin, and the size of all, in numbers; `shared`, one is used again."""
    sizes = [aligned(layer.output_bytes(batch) // 4) for layer in layers]
    return arrange(sizes, lives(steps, layers) if shared else [(0, len(layers))] * len(layers))
