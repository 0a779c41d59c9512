"""Receptive fields: which pixels of the picture a number of a layer was made of.

    picture    . [. . . . .] .      A window of 3 over a window of 3 sees 5 pixels: layer after layer, the first and
    layer 0      . [. . .] .        the last cell of a window are followed back to where their own windows begin and
    layer 1          o              end. Windows are cut off at the borders, as padding shows nothing of the picture.

Rows and columns are followed apart, as windows are rectangles. Where a layer adds or joins two others, the field is the
rectangle around both: a channel that comes from one of them only may have seen less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minidarknet.layers.base import Layer
from minidarknet.layers.convolutional import Convolutional
from minidarknet.layers.crop import Crop
from minidarknet.layers.deconvolutional import Deconvolutional
from minidarknet.layers.local import Local
from minidarknet.layers.maxpool import Maxpool
from minidarknet.layers.reorg import Reorg
from minidarknet.layers.route import Route
from minidarknet.layers.shortcut import Shortcut
from minidarknet.layers.upsample import Upsample
from minidarknet.network import Network
from minidarknet.shapes import Shape

#: (cells, 2): of each, the first and the one behind the last.
Spans = NDArray[np.int64]


@dataclass(frozen=True)
class Box:
    """A part of the picture, in pixels: the first row and column, and the ones behind the last."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return max(self.bottom - self.top, 0)

    @property
    def width(self) -> int:
        return max(self.right - self.left, 0)


@dataclass(frozen=True)
class Field:
    """What each number of a layer sees of the picture: `rows` by its row, `columns` by its column."""

    rows: Spans
    columns: Spans

    def box(self, y: int, x: int) -> Box:
        """What the number in row `y` and column `x` sees, whatever its channel."""
        (top, bottom), (left, right) = self.rows[y], self.columns[x]
        return Box(int(top), int(left), int(bottom), int(right))

    @property
    def middle(self) -> Box:
        """What the number in the middle sees, of which the borders cut off the least."""
        return self.box(len(self.rows) // 2, len(self.columns) // 2)


def receptive_fields(network: Network) -> list[Field]:
    """The field of every layer, for the size of picture that the network has now."""
    both = [_follow(network, axis) for axis in (0, 1)]
    return [Field(rows, columns) for rows, columns in zip(*both, strict=True)]


def _follow(network: Network, axis: int) -> list[Spans]:
    """For each layer the spans of pixels behind its rows (axis 0) or columns (axis 1)."""
    pixels = _sides(network.input_shape)[axis]
    picture = np.stack([np.arange(pixels), np.arange(pixels) + 1], axis=1)
    found: list[Spans] = []
    for layer in network.layers:
        count = _sides(layer.out_shape)[axis]
        spans = np.tile(np.array([[pixels, 0]]), (count, 1))  # nothing: the first behind the last
        for position, read in enumerate(layer.reads):
            shape = network.input_shape if read < 0 else network.layers[read].out_shape
            before = picture if read < 0 else found[read]
            for cell, (first, end) in enumerate(_windows(layer, shape, position, axis)):
                part = before[max(first, 0) : max(end, 0)]
                if len(part):
                    spans[cell, 0] = min(spans[cell, 0], part[:, 0].min())
                    spans[cell, 1] = max(spans[cell, 1], part[:, 1].max())
        found.append(spans)
    return found


def _sides(shape: Shape) -> tuple[int, int]:
    return shape.height, shape.width


def _windows(layer: Layer, shape: Shape, position: int, axis: int) -> Spans:
    """Which cells of an input, of this shape and read in this position, each of the layer's rows or columns sees."""
    inside, outside = _sides(shape)[axis], _sides(layer.out_shape)[axis]
    cells = np.arange(outside)
    everything = _spans(np.zeros_like(cells), np.full_like(cells, inside))
    if isinstance(layer, (Convolutional, Maxpool, Local)):
        size, stride = layer.window()
        first = cells * stride - _before(layer)
        return _spans(first, first + size)
    if isinstance(layer, Deconvolutional):
        size, stride = layer.options.size, layer.options.stride
        return _spans(-((size - 1 - layer.padding - cells) // stride), (cells + layer.padding) // stride + 1)
    if isinstance(layer, Crop):
        first = cells + (inside - outside) // 2
        return _spans(first, first + 1)
    if isinstance(layer, Upsample):
        factor = abs(layer.options.stride)
        if layer.options.stride > 0:
            return _spans(cells // factor, cells // factor + 1)
        return _spans(cells * factor, (cells + 1) * factor)
    if isinstance(layer, Shortcut) and position == 1:
        first = cells // layer.sample * layer.stride
        seen = (cells % layer.sample == 0) & (first < inside)
        return _spans(first, np.where(seen, first + 1, first))
    mixed = isinstance(layer, Reorg) or (isinstance(layer, Route) and not layer.out_shape.is_image)
    if mixed or layer.window() != (1, 1) or inside != outside:
        return everything
    return _spans(cells, cells + 1)


def _before(layer: Layer) -> int:
    """How many cells before the first one the first window begins."""
    if isinstance(layer, Convolutional):
        return layer.padding
    return layer.padding // 2 if isinstance(layer, Maxpool) else int(layer.options.pad)


def _spans(first: Spans, end: Spans) -> Spans:
    return np.stack([first, end], axis=1)
