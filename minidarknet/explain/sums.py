"""Weighted sums: convolutional, connected, local and deconvolutional layers, and what comes behind the sum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidarknet.explain.curves import activate
from minidarknet.explain.inputs import Input
from minidarknet.explain.places import Place
from minidarknet.explain.terms import Term, Working, n
from minidarknet.layers.convolver import Winograd

EPSILON = 1e-6
#: How many cells beyond its own window a convolution by Winograd's method looks, as its outputs are made 4x4 at a time;
#: and the share of what these cells could add that its rounding is measured by.
REACH, SHARE = 3, 0.1


def convolutional(layer: Any, inputs: list[Input], place: Place) -> Working:
    """The patch below the filter, times the filter."""
    o, (source,) = layer.options, inputs
    weights = layer.weights.value[place.channel]
    first = place.channel // (o.filters // o.groups) * len(weights)
    channels = range(first, first + len(weights))
    top, left = place.row * o.stride - layer.padding, place.column * o.stride - layer.padding
    seen = source.window(channels, top, left, o.size)
    working = Working(_products(seen, weights.reshape(-1)), grid=(len(weights), o.size, o.size))
    more = _neighbourhood(source, channels, top, left, weights) if isinstance(layer.convolver, Winograd) else 0.0
    working.total("products", SHARE * more)
    return finish(working, layer, place)


def _neighbourhood(source: Input, channels: range, top: int, left: int, weights: Any) -> float:
    """What the sum could be at the most if the window held the largest numbers around it.

    Winograd's method rounds by these, not by the window's own numbers, which may all be 0.
    """
    rows, columns = (slice(max(0, at - REACH), max(0, at + weights.shape[1] + REACH)) for at in (top, left))
    near = np.abs(source.numbers[channels.start : channels.stop, rows, columns]).max(axis=(1, 2), initial=0)
    return float(near.astype(np.float64) @ np.abs(weights.astype(np.float64)).sum(axis=(1, 2)))


def connected(layer: Any, inputs: list[Input], place: Place) -> Working:
    """All numbers, each times its weight."""
    (source,) = inputs
    weights = layer.weights.value[place.channel]
    seen = ((source.at(i), float(value)) for i, value in enumerate(source.numbers.reshape(-1)))
    return finish(Working(_products(seen, weights)).total("products"), layer, place)


def local(layer: Any, inputs: list[Input], place: Place) -> Working:
    """As a convolution, with a filter and a bias for this place alone."""
    o, (source,) = layer.options, inputs
    number = place.row * layer.out_shape.width + place.column
    weights = layer.weights.value[number, place.channel]
    top, left = place.row * o.stride - o.pad, place.column * o.stride - o.pad
    seen = source.window(range(len(weights)), top, left, o.size)
    working = Working(_products(seen, weights.reshape(-1)), grid=(len(weights), o.size, o.size)).total("products")
    return activate(_add(working, layer.biases.value.reshape(o.filters, -1)[place.channel, number]), o.activation)


def deconvolutional(layer: Any, inputs: list[Input], place: Place) -> Working:
    """Every number whose painted window covers this place."""
    o, (source,) = layer.options, inputs
    weights, terms = layer.weights.value, []
    for ky, kx in np.ndindex(o.size, o.size):
        row, column = place.row + layer.padding - ky, place.column + layer.padding - kx
        if row % o.stride or column % o.stride or not source.inside(row // o.stride, column // o.stride):
            continue
        for channel in range(len(weights)):
            there = source.place(channel, row // o.stride, column // o.stride)
            terms.append(source.term(there, weights[channel, place.channel, ky, kx]))
    return finish(Working(terms).total("products"), layer, place)


def _products(seen: Any, weights: Any) -> list[Term]:
    pairs = zip(seen, weights.tolist(), strict=True)
    return [Term(there, value, weight, value * weight) for (there, value), weight in pairs]


def finish(working: Working, layer: Any, place: Place) -> Working:
    """Batch norm or bias, and the activation."""
    bias = layer.biases.value[place.channel]
    if layer.batch_norm:
        scale, mean, variance = (float(p.value[place.channel]) for p in layer.batch_norm)
        normalise(working, mean, variance)
        x = working.value
        scaled = f"{n(scale)} * {n(x)} + {n(bias)}"
        size = abs(scale) * working.size + abs(float(bias))
        working.then("scale and bias", scaled, scale * x + float(bias), size)
    else:
        _add(working, bias)
    return activate(working, layer.activation)


def normalise(working: Working, mean: float, variance: float) -> None:
    """By the rolling mean and variance."""
    spread = math.sqrt(variance) + EPSILON if variance >= 0 else math.nan
    text = f"({n(working.value)} - {n(mean)}) / (sqrt({n(variance)}) + {EPSILON:g})"
    working.then("normalised", text, (working.value - mean) / spread, (working.size + abs(mean)) / spread)


def _add(working: Working, bias: Any) -> Working:
    x, b = working.value, float(bias)
    return working.then("bias", f"{n(x)} + {n(b)}", x + b, working.size + abs(b))
