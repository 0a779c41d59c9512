"""Layers that mostly hand numbers on: pooling, route, shortcut, upsample, reorg, crop, dropout, and the cost."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidarknet.explain.curves import activate
from minidarknet.explain.inputs import Input
from minidarknet.explain.places import Place
from minidarknet.explain.terms import Term, Working, n
from minidarknet.trace.verify import LOWEST, WAYS


def maxpool(layer: Any, inputs: list[Input], place: Place) -> Working:
    """The largest number of the window; of equal ones the first, row by row."""
    stride, before, (source,) = layer.options.stride, layer.padding // 2, inputs
    channels = range(place.channel, place.channel + 1)
    seen = [*source.window(channels, place.row * stride - before, place.column * stride - before, layer.size)]
    values = [LOWEST if there is None else value for there, value in seen]
    winner = int(np.argmax(values))
    terms = [Term(seen[i][0], value, 1.0, value, own=i == winner) for i, value in enumerate(values)]
    largest = values[winner]
    working = Working(terms, grid=(1, layer.size, layer.size))
    return working.then(f"largest of {len(terms):,}", "", largest, abs(largest))


def avgpool(layer: Any, inputs: list[Input], place: Place) -> Working:
    (source,) = inputs
    _, height, width = source.numbers.shape
    terms = [source.term(source.place(place.channel, *at)) for at in np.ndindex(height, width)]
    working = Working(terms).total("numbers")
    x, count = working.value, height * width
    return working.then("mean", f"{n(x)} / {count}", x / count, working.size / count)


def route(layer: Any, inputs: list[Input], place: Place) -> Working:
    """The number that lies at the same place once all inputs lie one behind the other."""
    index = _index(layer, place)
    for source in inputs:
        if index < source.numbers.size:
            return _single(source, index)
        index -= source.numbers.size
    raise AssertionError("a route's output is as long as its inputs")


def shortcut(layer: Any, inputs: list[Input], place: Place) -> Working:
    o, (own, earlier) = layer.options, inputs
    row, column = place.row // layer.sample, place.column // layer.sample
    there = earlier.place(place.channel, row * layer.stride, column * layer.stride)
    met = place.row % layer.sample == place.column % layer.sample == 0
    mine = own.place(*place.index)
    if met and place.channel < len(earlier.numbers) and earlier.inside(there.row, there.column):
        terms = [own.term(mine, o.alpha), earlier.term(there, o.beta)]
    else:
        terms = [own.term(mine)]  # what is not shared is copied as it is
    return activate(Working(terms).total("products"), o.activation)


def upsample(layer: Any, inputs: list[Input], place: Place) -> Working:
    o, (source,), factor = layer.options, inputs, abs(layer.options.stride)
    if o.stride > 0:
        there = source.place(place.channel, place.row // factor, place.column // factor)
        working = Working([source.term(there)]).total("numbers")
    else:
        top, left = place.row * factor, place.column * factor
        seen = source.window(range(place.channel, place.channel + 1), top, left, factor)
        working = Working([source.term(there) for there, _ in seen if there], grid=(1, factor, factor))
        working.total("numbers")
    if o.scale == 1:
        return working
    x = working.value
    return working.then("scale", f"{n(o.scale)} * {n(x)}", o.scale * x, abs(o.scale) * working.size)


def reorg(layer: Any, inputs: list[Input], place: Place) -> Working:
    """Where the number came from is told by numbers that are their own places."""
    (source,) = inputs
    numbered = np.arange(1, source.numbers.size + 1, dtype=np.float64).reshape(1, *source.numbers.shape)
    moved = WAYS["reorg"](layer, [numbered]).reshape(-1)
    index = int(moved[_index(layer, place)]) - 1
    if index < 0:  # one of the zeros that `extra` appends
        return Working([Term(None, 0.0, 1.0, 0.0)]).total("numbers")
    return _single(source, index)


def crop(layer: Any, inputs: list[Input], place: Place) -> Working:
    """As when predicting: the centre."""
    (source,), out = inputs, layer.out_shape
    _, height, width = source.numbers.shape
    there = source.place(place.channel, place.row + (height - out.height) // 2, place.column + (width - out.width) // 2)
    working = Working([source.term(there)]).total("numbers")
    x = working.value
    return working if layer.options.noadjust else working.then("adjusted", f"2 * {n(x)} - 1", 2 * x - 1, 2 * abs(x) + 1)


def same(layer: Any, inputs: list[Input], place: Place) -> Working:
    """Dropout, when predicting; the first step of an activation and of the logistic layer."""
    return _single(inputs[0], _index(layer, place))


def cost(layer: Any, inputs: list[Input], place: Place) -> Working:
    """Without a truth it is 0, whatever comes in."""
    term = inputs[0].term(inputs[0].at(_index(layer, place)), 0.0)
    return Working([term]).then("no truth, no cost", "0 * " + n(term.value), 0.0, 0.0)


def _index(layer: Any, place: Place) -> int:
    """Where a place lies in the memory of a layer's output."""
    return int(np.ravel_multi_index(place.index, layer.out_shape.array_shape))


def _single(source: Input, index: int) -> Working:
    return Working([source.term(source.at(index))]).total("numbers")
