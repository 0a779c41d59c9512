"""What comes back from normalisations, where a number changes its neighbours' outputs as well as its own."""

from __future__ import annotations

import math

import numpy as np

from minidarknet.explain.places import Place
from minidarknet.explain.readers import BackTerm, Reader
from minidarknet.explain.sums import EPSILON


def batchnorm(reader: Reader, place: Place) -> list[BackTerm]:
    """Its own output, and all others of its channel: through the mean, and through the spread."""
    c = place.channel
    mean, variance = (float(numbers[c]) for numbers in reader.layer.statistics)
    off = reader.source[c].astype(np.float64) - mean
    grad, root = reader.before[c].astype(np.float64), math.sqrt(variance)
    scale = float(reader.layer.batch_norm.scales.value[c]) / (root + EPSILON)
    pull = float((grad * off).sum()) / ((root + EPSILON) * root * (grad.size - 1)) if root > 0 else 0.0
    return [
        reader.term(place.index, scale),
        reader.whole("the channel's mean", float(grad.sum()), -scale / grad.size),
        reader.whole("the channel's spread", pull, -scale * float(off[place.row, place.column])),
    ]


def normalization(reader: Reader, place: Place) -> list[BackTerm]:
    """Its own output, and the brackets of its neighbours; the channel that never counts is subtracted in each."""
    o, (mine, row, column) = reader.layer.options, place.index
    before, after = (o.size - 1) // 2, o.size // 2
    x = reader.source[:, row, column].astype(np.float64)
    terms = []
    for c in range(len(x)):
        squares = float(np.square(x[max(0, c - before) : c + after + 1]).sum())
        squares -= float(x[after] ** 2) if after < len(x) else 0.0
        bracket = np.float64(o.kappa + o.alpha * squares)
        counts = (c - before <= mine <= c + after) - (mine == after)
        factor = -2 * o.alpha * o.beta * x[mine] * x[c] * bracket ** (-o.beta - 1) * counts
        if c == mine:
            factor += bracket**-o.beta
        if c == mine or counts:
            terms.append(reader.term((c, row, column), float(factor)))
    return terms


def l2norm(reader: Reader, place: Place) -> list[BackTerm]:
    """All channels of the pixel: they have the length in common."""
    mine, row, column = place.index
    length = math.sqrt(float(np.square(reader.source[:, row, column].astype(np.float64)).sum()))
    y = reader.output[:, row, column].astype(np.float64)
    return [reader.term((c, row, column), float((c == mine) - y[mine] * y[c]) / length) for c in range(len(y))]
