"""Where a number stands: `4:7,20,31` is layer 4, channel 7, row 20, column 31; all of them count from 0."""

from __future__ import annotations

import re
from dataclasses import dataclass

from minidarknet.errors import UsageError
from minidarknet.network import Network
from minidarknet.shapes import Shape

#: The layer number of the network's input.
INPUT = -1
FORM = re.compile(r"([0-9]{1,9}):([0-9]{1,9})(?:,([0-9]{1,9}),([0-9]{1,9}))?")


@dataclass(frozen=True, order=True)
class Place:
    """One number of a layer's output, or of the network's input (layer -1)."""

    layer: int
    channel: int
    row: int = 0
    column: int = 0

    def __str__(self) -> str:
        layer = "input" if self.layer == INPUT else self.layer
        return f"{layer}:{self.channel},{self.row},{self.column}"

    @property
    def index(self) -> tuple[int, int, int]:
        """Where it stands in an array (channels, height, width)."""
        return self.channel, self.row, self.column


def read_place(text: str, network: Network) -> Place:
    """The place that a text means, in a network as it is shaped now.

    Raises
    ------
    UsageError
        It has another form, or the network has no such number; the message says what there is.
    """
    found, last = FORM.fullmatch(text), len(network.layers) - 1
    if found is None:
        raise UsageError(
            f"{text}: expected LAYER:CHANNEL,ROW,COLUMN such as 4:7,20,31 (of a vector LAYER:CHANNEL is enough), "
            f"with a layer from 0 to {last}"
        )
    number = int(found[1])
    if number > last:
        raise UsageError(f"{text}: {network.path} has no layer {number}; expected 0 to {last}")
    layer = network.layers[number]
    shape, there = layer.out_shape, f"layer {number} [{layer.kind}] has {ranges(layer.out_shape)}"
    if found[3] is None and (shape.height, shape.width) != (1, 1):
        raise UsageError(f"{text}: names no row and column, and {there}; expected LAYER:CHANNEL,ROW,COLUMN")
    place = Place(number, int(found[2]), int(found[3] or 0), int(found[4] or 0))
    names = ("channel", "row", "column")
    for name, value, length in zip(names, place.index, shape.array_shape, strict=True):
        if value >= length:
            raise UsageError(f"{text}: there is no {name} {value}; {there}")
    return place


def ranges(shape: Shape) -> str:
    """What places a shape has, in words."""
    channels, height, width = (f"0 to {side - 1}" for side in shape.array_shape)
    if (shape.height, shape.width) == (1, 1):
        return f"channels {channels}, and a single row and column"
    return f"channels {channels}, rows {height} and columns {width}"
