"""Layers that set a number against others: softmax, batch norm, local response and L2 normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidarknet.explain.inputs import Input
from minidarknet.explain.places import Place
from minidarknet.explain.sums import normalise
from minidarknet.explain.terms import Term, Working, n


def softmax(layer: Any, inputs: list[Input], place: Place) -> Working:
    """The exponentials of its group; the largest score is subtracted first."""
    o, (source,) = layer.options, inputs
    count = source.numbers.size // o.groups
    start = place.channel // count * count
    scores = source.numbers.reshape(-1)[start : start + count].astype(np.float64)
    largest, temperature = float(scores.max()), float(np.float32(o.temperature))
    powers = np.exp((scores - largest) / temperature)
    mine = place.channel - start
    terms = [Term(source.at(start + i), float(scores[i]), 1.0, float(powers[i]), own=i == mine) for i in range(count)]
    working = Working(terms).total("exponentials")
    total, power = working.value, float(powers[mine])
    text = f"exp(({n(scores[mine])} - {n(largest)}) / {n(temperature)})"
    working.then("own exponential", text, power, power)
    return working.then(
        "share", f"{n(power)} / {n(total)}", power / total, (1 + abs(np.log(power or 1))) * power / total
    )


def batchnorm(layer: Any, inputs: list[Input], place: Place) -> Working:
    (source,) = inputs
    scale, mean, variance = (float(p.value[place.channel]) for p in layer.batch_norm)
    working = Working([source.term(source.place(*place.index))]).total("numbers")
    normalise(working, mean, variance)
    x = working.value
    return working.then("scale", f"{n(scale)} * {n(x)}", scale * x, abs(scale) * working.size)


def normalization(layer: Any, inputs: list[Input], place: Place) -> Working:
    """The squares around the channel; the channel number size / 2 is subtracted once, as it never counts."""
    o, (source,) = layer.options, inputs
    channels, before, after = len(source.numbers), (o.size - 1) // 2, o.size // 2
    c, row, column = place.index
    terms = []
    for channel in range(max(0, c - before), min(channels, c + after + 1)):
        there = source.place(channel, row, column)
        value = source.value(there)
        terms.append(Term(there, value, value, value * value, own=channel == c))
    if after < channels:
        there = source.place(after, row, column)
        value = source.value(there)
        terms.append(Term(there, value, -value, -value * value, own=False))
    working = Working(terms).total("squares")
    total, x = working.value, source.value(source.place(*place.index))
    bracket = o.kappa + o.alpha * total
    size = abs(o.kappa) + abs(o.alpha) * working.size
    working.then("bracket", f"{n(o.kappa)} + {n(o.alpha)} * {n(total)}", bracket, size)
    damped = float(x * np.float64(bracket) ** -o.beta)  # NaN for a negative bracket
    # The relative error of the bracket is passed on beta times as large.
    size = abs(damped) * (1 + abs(o.beta) * size / (abs(bracket) or 1))
    return working.then("damped", f"{n(x)} * {n(bracket)} ** {n(-o.beta)}", damped, size)


def l2norm(layer: Any, inputs: list[Input], place: Place) -> Working:
    """The squares of all channels at the same pixel."""
    (source,) = inputs
    terms = []
    for channel in range(len(source.numbers)):
        there = source.place(channel, place.row, place.column)
        value = source.value(there)
        terms.append(Term(there, value, value, value * value, own=channel == place.channel))
    working = Working(terms).total("squares")
    x, total = source.value(source.place(*place.index)), working.value
    length = float(np.sqrt(total))
    working.then("length", f"sqrt({n(total)})", length, length)
    share = float(np.float64(x) / length)  # NaN where all are 0
    return working.then("share", f"{n(x)} / {n(length)}", share, abs(share))
