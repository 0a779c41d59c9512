"""What comes back to a number from a layer that has read it: the records, and weighted sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidarknet.explain.places import Place
from minidarknet.layers.parameter import Array


@dataclass(frozen=True)
class BackTerm:
    """One thing that adds to a number's gradient.

    Attributes
    ----------
    reader
        The layer that has read the number.
    what
        By what the gradient is: an output, a product (before batch norm and activation), a sum (before an
        activation); or the loss itself, or what the number does through its channel's mean and spread.
    place
        Where that stands in the reader; None for the loss and for a whole channel.
    gradient, factor, product
        The gradient by it, how much it changes with the number, and both multiplied: what is added.
    """

    reader: int
    what: str
    place: Place | None
    gradient: float
    factor: float
    product: float

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        place = None if self.place is None else [self.place.layer, *self.place.index]
        return {**self.__dict__, "place": place}


@dataclass(frozen=True)
class Reader:
    """A layer that has read the number, with its arrays of the pass, (channels, height, width) each.

    Attributes
    ----------
    layer, position, start
        The layer, which of its inputs this is, and how many numbers the inputs before it have.
    source, output
        What it has read there, and put out.
    before, after
        The gradient by its output as it came, and what the layer has made of it: by its products, or its sums.
    truth
        (numbers,), of the losses.
    """

    layer: Any
    position: int
    start: int
    source: Array
    output: Array
    before: Array
    after: Array
    truth: Array

    def term(self, index: tuple[int, int, int], factor: float, after: str = "") -> BackTerm:
        """What one output number adds, or its sum or product where `after` says so."""
        array = self.after if after else self.before
        gradient, factor = float(array[index]), float(factor)
        place = Place(self.layer.index, *(int(i) for i in index))
        return BackTerm(self.layer.index, after or "output", place, gradient, factor, gradient * factor)

    def flat(self, index: int, factor: float = 1.0) -> BackTerm:
        """The same for the output that is the index-th in memory."""
        channel, row, column = np.unravel_index(index, self.before.shape)
        return self.term((int(channel), int(row), int(column)), factor)

    def whole(self, what: str, gradient: float, factor: float) -> BackTerm:
        """What comes back from no single output."""
        return BackTerm(self.layer.index, what, None, float(gradient), float(factor), float(gradient) * float(factor))

    def index(self, place: Place) -> int:
        """Where a place lies in the memory of what was read."""
        return int(np.ravel_multi_index(place.index, self.source.shape))


def windows(at: int, size: int, stride: int, before: int, count: int) -> Iterator[tuple[int, int]]:
    """The windows along one axis that see a cell: the window's number, and which of its cells that is."""
    for cell in range(size):
        start = at + before - cell
        if start >= 0 and start % stride == 0 and start // stride < count:
            yield start // stride, cell


def convolutional(reader: Reader, place: Place) -> list[BackTerm]:
    """Every filter, at every place where it has seen the number."""
    layer, o = reader.layer, reader.layer.options
    weights, filters = layer.weights.value, o.filters // o.groups
    part = weights.shape[1]
    group, channel = place.channel // part, place.channel % part
    _, height, width = reader.after.shape
    return [
        reader.term((f, y, x), weights[f, channel, ky, kx], "product")
        for y, ky in windows(place.row, o.size, o.stride, layer.padding, height)
        for x, kx in windows(place.column, o.size, o.stride, layer.padding, width)
        for f in range(group * filters, (group + 1) * filters)
    ]


def connected(reader: Reader, place: Place) -> list[BackTerm]:
    weights = reader.layer.weights.value[:, reader.index(place)]
    return [reader.term((i, 0, 0), weight, "product") for i, weight in enumerate(weights)]


def local(reader: Reader, place: Place) -> list[BackTerm]:
    """As a convolution, with the filters of each place."""
    o, weights = reader.layer.options, reader.layer.weights.value
    _, height, width = reader.after.shape
    return [
        reader.term((f, y, x), weights[y * width + x, f, place.channel, ky, kx], "sum")
        for y, ky in windows(place.row, o.size, o.stride, o.pad, height)
        for x, kx in windows(place.column, o.size, o.stride, o.pad, width)
        for f in range(o.filters)
    ]


def deconvolutional(reader: Reader, place: Place) -> list[BackTerm]:
    """Everything that the number was painted on."""
    layer, o, terms = reader.layer, reader.layer.options, []
    filters, height, width = reader.after.shape
    for ky, kx in np.ndindex(o.size, o.size):
        y, x = place.row * o.stride - layer.padding + ky, place.column * o.stride - layer.padding + kx
        if 0 <= y < height and 0 <= x < width:
            weights = layer.weights.value[place.channel, :, ky, kx]
            terms += [reader.term((f, y, x), weights[f], "product") for f in range(filters)]
    return terms
