"""What comes back from layers that hand numbers on, and from activations and losses."""

from __future__ import annotations

import numpy as np

from minidarknet.explain.places import Place
from minidarknet.explain.readers import BackTerm, Reader, windows
from minidarknet.kernels.activations import ACTIVATIONS, slope
from minidarknet.layers.base import Run
from minidarknet.layers.cost import MASK
from minidarknet.trace.verify import WAYS


def maxpool(reader: Reader, place: Place) -> list[BackTerm]:
    """Each window that sees the number: all of its gradient where the number has won it, else nothing."""
    layer, stride, before = reader.layer, reader.layer.options.stride, reader.layer.padding // 2
    _, rows, columns = reader.output.shape
    plane, terms = reader.source[place.channel], []
    for y, _ in windows(place.row, layer.size, stride, before, rows):
        for x, _ in windows(place.column, layer.size, stride, before, columns):
            top, left = y * stride - before, x * stride - before
            first_row, first_column = max(top, 0), max(left, 0)
            window = plane[first_row : top + layer.size, first_column : left + layer.size]
            row, column = (int(i) for i in np.unravel_index(int(window.argmax()), window.shape))
            won = (first_row + row, first_column + column) == (place.row, place.column)
            terms.append(reader.term((place.channel, y, x), float(won)))
    return terms


def avgpool(reader: Reader, place: Place) -> list[BackTerm]:
    return [reader.term((place.channel, 0, 0), 1 / reader.source[0].size)]


def route(reader: Reader, place: Place) -> list[BackTerm]:
    """The output that lies where the number has been laid."""
    return [reader.flat(reader.start + reader.index(place))]


def shortcut(reader: Reader, place: Place) -> list[BackTerm]:
    """As the layer's own input, and as the earlier one."""
    layer, o = reader.layer, reader.layer.options
    earlier = layer.earlier_shape
    if reader.position == 0:
        row, column = place.row // layer.sample, place.column // layer.sample
        met = place.row % layer.sample == place.column % layer.sample == 0 and place.channel < earlier.channels
        met = met and row < earlier.height and column < earlier.width
        return [reader.term(place.index, o.alpha if met else 1.0, "sum")]
    if place.row % layer.stride or place.column % layer.stride:
        return []
    row, column = place.row // layer.stride * layer.sample, place.column // layer.stride * layer.sample
    channels, height, width = reader.after.shape
    if place.channel >= channels or row >= height or column >= width:
        return []
    return [reader.term((place.channel, row, column), o.beta, "sum")]


def upsample(reader: Reader, place: Place) -> list[BackTerm]:
    o, factor, (c, row, column) = reader.layer.options, abs(reader.layer.options.stride), place.index
    if o.stride > 0:
        cells = np.ndindex(factor, factor)
        return [reader.term((c, row * factor + y, column * factor + x), o.scale) for y, x in cells]
    _, height, width = reader.before.shape
    inside = row // factor < height and column // factor < width
    return [reader.term((c, row // factor, column // factor), o.scale)] if inside else []


def reorg(reader: Reader, place: Place) -> list[BackTerm]:
    """Where the number went is told by numbers that are their own places."""
    numbered = np.arange(reader.source.size, dtype=np.float64).reshape(1, *reader.source.shape)
    moved = WAYS["reorg"](reader.layer, [numbered + 1]).reshape(-1)
    return [reader.flat(int(np.flatnonzero(moved == reader.index(place) + 1)[0]))]


def crop(reader: Reader, place: Place) -> list[BackTerm]:
    """In training, the window lies where the seed has put it."""
    numbered = np.arange(reader.source.size).reshape(1, *reader.source.shape)
    cut = reader.layer.cut(numbered, Run(np.empty(0, np.float32), training=True)).reshape(-1)
    there = np.flatnonzero(cut == reader.index(place))
    return [reader.flat(int(index), 1 if reader.layer.options.noadjust else 2) for index in there]


def dropout(reader: Reader, place: Place) -> list[BackTerm]:
    """Times the number's factor: 0 where it was dropped."""
    factors = reader.layer.kept[reader.source.size : 2 * reader.source.size]
    return [reader.flat(reader.index(place), factors[reader.index(place)])]


def activation(reader: Reader, place: Place) -> list[BackTerm]:
    y, code = reader.output[place.index], ACTIVATIONS[reader.layer.options.activation]
    return [reader.term(place.index, float(slope(y, code)))]


# -- losses ----------------------------------------------------------------------------------------------------------


def softmax(reader: Reader, place: Place) -> list[BackTerm]:
    """The loss, as p - truth; and what comes back to the probabilities, through the function."""
    o, index = reader.layer.options, reader.index(place)
    p, count = reader.output.reshape(-1).astype(np.float64), reader.output.size // reader.layer.options.groups
    temperature, start, terms = float(np.float32(o.temperature)), index // count * count, []
    if not o.noloss:
        terms.append(reader.whole("loss: p - truth", p[index] - reader.truth[index], 1 / temperature))
    for j in range(start, start + count):
        if reader.before.reshape(-1)[j]:
            terms.append(reader.flat(j, p[index] * ((j == index) - p[j]) / temperature))
    return terms


def logistic(reader: Reader, place: Place) -> list[BackTerm]:
    index = reader.index(place)
    p = float(reader.output.reshape(-1)[index])
    terms = [reader.whole("loss: p - truth", p - float(reader.truth[index]), 1.0)]
    if reader.before.reshape(-1)[index]:
        terms.append(reader.flat(index, p * (1 - p)))
    return terms


def cost(reader: Reader, place: Place) -> list[BackTerm]:
    """How far off the number is; its sign alone where the loss is straight."""
    o, truth = reader.layer.options, float(reader.truth[reader.index(place)])
    off = float(reader.source[place.index]) - truth
    if o.type == "masked" and truth == MASK:
        off = 0.0
    if o.type == "L1" or (o.type == "smooth" and abs(off) >= 1):
        return [reader.whole("loss: sign of number - truth", float(np.sign(off)), o.scale)]
    return [reader.whole("loss: number - truth", off, o.scale)]
