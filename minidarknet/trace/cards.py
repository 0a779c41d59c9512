"""The cards of a page: what there is to say and to show of each layer, as plain values for the template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import mul
from typing import Any

import numpy as np

from minidarknet.layers.base import Layer
from minidarknet.layers.parameter import Array
from minidarknet.prediction import Classifier
from minidarknet.trace import sentences
from minidarknet.trace.limits import Speed
from minidarknet.trace.pictures import Map, data_uri, feature_map, filter_picture, grey
from minidarknet.trace.receptive import Field
from minidarknet.trace.records import Stage

#: Feature maps of a layer at the most, and cells of all maps together, of which each takes up to 3 bytes of the page.
MAPS, CELLS = 12, 800_000
#: As many a layer keeps as long as others have more.
FEWEST = 4
#: The longer side of a map, at the most; of a larger one every second, third, ... row and column is shown.
LONGEST = 320
#: Filters that are drawn one by one, at the most, and how many of a larger layer's strongest ones are set out.
FILTERS, STRONGEST = 96, 64
#: Bars of a layer whose channels are single numbers.
BARS = 8


@dataclass(frozen=True)
class Shown:
    """A feature map with its channel, and its strength: the root of the mean of its squares."""

    channel: int
    strength: float
    map: Map


@dataclass(frozen=True)
class Filters:
    """Pictures of a layer's filters: each with its number; or one picture of how strong each is for each channel."""

    words: str
    each: list[tuple[int, str]] = field(default_factory=list)
    norms: str = ""


@dataclass(frozen=True, eq=False)
class Card:
    """All of a layer."""

    layer: Layer
    stages: Sequence[Stage]
    speed: Speed
    field: Field
    sees: str
    maps: list[Shown]
    bars: list[tuple[str, float, float]]
    filters: Filters | None

    @property
    def last(self) -> Stage:
        """The stage that is the layer's output."""
        return self.stages[-1]

    @property
    def title(self) -> str:
        return f"{self.layer.index} {self.layer.kind}"

    @property
    def summary(self) -> str:
        return sentences.summary(self.layer)

    @property
    def arithmetic(self) -> str:
        return sentences.arithmetic(self.layer)

    def field_values(self) -> dict[str, Any]:
        """Where each row and column looks, for the page's program."""
        return {"rows": self.field.rows.tolist(), "columns": self.field.columns.tolist()}


def map_counts(stages: Sequence[Stage]) -> list[int]:
    """How many maps of each of these last stages are shown: the largest ones give way until all fit `CELLS`."""
    counts, sizes = [], []
    for stage in stages:
        _, channels, height, width = stage.shape
        step = -(-max(height, width) // LONGEST)
        cells = -(-height // step) * -(-width // step)
        counts.append(min(channels, MAPS) if cells > 1 else 0)
        sizes.append(cells)
    for fewest in (FEWEST, 1):
        while sum(map(mul, counts, sizes)) > CELLS and max(counts, default=0) > fewest:
            costs = [count * size if count > fewest else 0 for count, size in zip(counts, sizes, strict=True)]
            counts[costs.index(max(costs))] -= 1
    return counts


def strongest(array: Array, count: int) -> list[tuple[int, float]]:
    """The channels of (channels, height, width) with the largest mean square, and the roots of those."""
    finite = np.where(np.isfinite(array), array, 0).astype(np.float64)
    strength = np.sqrt(np.square(finite).mean(axis=(1, 2)))
    order = np.argsort(-strength, kind="stable")[:count]
    return [(int(channel), float(strength[channel])) for channel in order]


def shown_maps(array: Array, count: int) -> list[Shown]:
    """The strongest maps of one picture's (channels, height, width)."""
    return [
        Shown(channel, strength, feature_map(array[channel], LONGEST)) for channel, strength in strongest(array, count)
    ]


def largest_numbers(net: Classifier, array: Array) -> list[tuple[str, float, float]]:
    """Of a vector (channels, 1, 1) the largest numbers: a name, the number, and its share of the largest."""
    numbers = np.nan_to_num(array.reshape(-1).astype(np.float64))
    named = bool(net.names) and len(numbers) == len(net.names)
    order = np.argsort(-numbers, kind="stable")[:BARS]
    top = float(np.abs(numbers[order]).max()) or 1.0
    return [
        (f"{i} {net.names[i]}" if named else f"channel {i}", float(numbers[i]), max(float(numbers[i]) / top, 0.0))
        for i in order
    ]


def filters(layer: Layer) -> Filters | None:
    """The filters of a convolution as pictures; None for other layers."""
    if layer.kind != "convolutional":
        return None
    weights = next(parameter.value for parameter in layer.parameters() if parameter.name == "weights")
    count, part, size, _ = weights.shape
    norms = np.sqrt(np.square(weights.astype(np.float64)).sum(axis=(2, 3)))
    order = np.argsort(-norms.sum(axis=1), kind="stable")
    first = ", ".join(str(i) for i in order[:5])
    if part in (1, 3) and size > 1:
        words = "In the colours that they like" if part == 3 else "Bright where they like light"
        words += ", each scaled on its own"
        if count > FILTERS:
            words += f"; the {FILTERS} strongest of {count:,}"
        each = [(int(i), data_uri(filter_picture(weights[i]))) for i in sorted(order[:FILTERS])]
        return Filters(f"{words}. Strongest: {first}.", each)
    rows = min(count, STRONGEST)
    words = (
        f"How strongly each of {'the' if count == rows else f'the {rows} strongest of'} {count:,} filters (from top to "
        f"bottom) looks at each of {part:,} channels (from left to right): the length of the filter's {size}x{size} "
        f"numbers for it, white for {norms.max():.3g}. The strongest filters: {first}."
    )
    chosen = norms[np.sort(order[:rows])]
    return Filters(words, norms=data_uri(grey(chosen)))


def sees(found: Field, height: int, width: int) -> str:
    """What a number in the middle sees, in words."""
    box = found.middle
    if (box.height, box.width) == (height, width):
        return f"the whole picture, {width} x {height} pixels"
    return f"{box.width} x {box.height} of {width} x {height} pixels"
