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
