"""What a layer has read: numbers that know where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minidarknet.explain.places import Place
from minidarknet.explain.terms import Term
from minidarknet.layers.parameter import Array


class Input(NamedTuple):
    """The output of an earlier layer, or the network's input (layer -1): (channels, height, width)."""

    layer: int
    numbers: Array

    def place(self, channel: int, row: int, column: int) -> Place:
        return Place(self.layer, channel, row, column)

    def at(self, index: int) -> Place:
        """Where the number stands that is the index-th in memory."""
        return self.place(*(int(i) for i in np.unravel_index(index, self.numbers.shape)))

    def value(self, place: Place) -> float:
        return float(self.numbers[place.index])

    def inside(self, row: int, column: int) -> bool:
        _, height, width = self.numbers.shape
        return 0 <= row < height and 0 <= column < width

    def term(self, place: Place, factor: float = 1.0) -> Term:
        """A number times a factor."""
        value, factor = self.value(place), float(factor)
        return Term(place, value, factor, value * factor)

    def window(self, channels: range, top: int, left: int, size: int) -> Iterator[tuple[Place | None, float]]:
        """Places and numbers of a square window; outside of the picture there is no place, and 0."""
        for channel in channels:
            for row in range(top, top + size):
                for column in range(left, left + size):
                    place = self.place(channel, row, column) if self.inside(row, column) else None
                    yield place, 0.0 if place is None else self.value(place)
