"""Batch normalisation while training: with the mean and the variance of the batch itself, and back again.

    mean      =  sum of x / N                                N numbers of a channel: batch * cells
    variance  =  sum of (x - mean)^2 / (N - 1)
    y         =  scale * (x - mean) / (sqrt(variance) + epsilon) + bias, then the activation

On the way back, d is the gradient by y before the activation, r = sqrt(variance) and e = 1 / (r + epsilon):

    bias   gets  sum of d
    scale  gets  sum of d * (x - mean) * e
    x      gets  scale * e * [ d  -  sum of d / N  -  (x - mean) * e / (r * (N - 1)) * sum of d * (x - mean) ]

since a number of the batch also moves its mean and its variance. Darknet's own formula takes another epsilon and
another divisor there: s = sqrt(variance + 0.00001) for r and 1 / e, and N for N - 1. It is used where `quirks` is set.

Threads share the planes. Long sums are made of runs of RUN numbers in float32; those of a channel are put together in
one order, in float64. Source: Darknet, batchnorm_layer.c, blas.c.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minidarknet.kernels.jit import kernel, reduction, scalar
from minidarknet.kernels.normalize import EPSILON

Floats = NDArray[np.float32]

#: Numbers of a run: so few that float32 is good enough for their sum, and that they stay in the nearest cache.
RUN = 2048
#: Channels whose runs are put together side by side.
TOGETHER = 16
#: Darknet's epsilon on the way back, inside the root.
EPSILON_BACK = 1e-5
ZERO = np.float32(0)


@reduction
def run_sum(x: Floats) -> np.float32:
    """The sum of a run."""
    total = ZERO
    for i in range(len(x)):  # from 0 on: only then does the compiler know that no index is negative
        total += x[i]
    return total


@reduction
def run_squares(x: Floats, middle: np.float32) -> np.float32:
    """The sum of (x - middle)^2 over a run."""
    total = ZERO
    for i in range(len(x)):
        off = x[i] - middle
        total += off * off
    return total


@kernel
def batch_statistics(mean: Floats, variance: Floats, source: Floats) -> None:
    """Write mean and variance of each channel, (channels,), of source (batch, channels, cells).

    Each run is gone through twice, for its mean and then for the squares about it, while it is in the cache; threads
    share the planes as the convolution before did, so that most of a plane still lies in its thread's cache. Then the
    runs are put together in order, by the formula of Chan, Golub and LeVeque (1979).
    """
    batch, channels, cells = source.shape
    flat, runs = source.reshape(-1), (cells + RUN - 1) // RUN
    means, squares = np.empty((batch, runs, channels), np.float32), np.empty((batch, runs, channels), np.float32)
    for plane in prange(batch * channels):
        b, c = np.int64(plane) // channels, np.int64(plane) % channels  # a parallel index is unsigned
        first, end = np.int64(plane) * cells, (np.int64(plane) + 1) * cells
        for i in range(runs):
            run = flat[first + i * RUN : min(end, first + (i + 1) * RUN)]
            middle = np.float32(np.float64(run_sum(run)) / float(len(run)))
            means[b, i, c], squares[b, i, c] = middle, run_squares(run, middle)
    for number in prange((channels + TOGETHER - 1) // TOGETHER):
        low: Any = np.int64(number) * TOGETHER
        high = min(channels, low + TOGETHER)
        middles, totals, seen = np.zeros(high - low), np.zeros(high - low), 0.0
        for b in range(batch):
            for i in range(runs):
                more, part, around = float(min(RUN, cells - i * RUN)), means[b, i, low:high], squares[b, i, low:high]
                for c in range(len(middles)):
                    off = np.float64(part[c]) - middles[c]
                    totals[c] += np.float64(around[c]) + off * off * seen * more / (seen + more)
                    middles[c] += off * more / (seen + more)
                seen += more
        mean[low:high] = middles
        variance[low:high] = totals / (seen - 1)


@kernel
def normalize_batch(
    output: Floats, source: Floats, scales: Floats, biases: Floats, mean: Floats, variance: Floats, slope: np.float32
) -> None:
    """Normalise source (batch, channels, cells) into output, with the activation x > 0 ? x : slope * x."""
    batch, channels, cells = source.shape
    for plane in prange(batch * channels):
        b, c = np.int64(plane) // channels, np.int64(plane) % channels
        factor, shift = line(scales[c], biases[c], mean[c], variance[c])
        for i in range(cells):
            y = source[b, c, i] * factor + shift
            output[b, c, i] = y if y > ZERO else slope * y


@scalar
def line(scale: np.float32, bias: np.float32, mean: np.float32, variance: np.float32) -> Any:
    """Factor and shift that normalise a channel: y = factor * x + shift."""
    factor = np.float64(scale) / (np.sqrt(np.float64(variance)) + EPSILON)
    return np.float32(factor), np.float32(np.float64(bias) - np.float64(mean) * factor)


@reduction
def run_back(
    grad: Floats, x: Floats, factor: np.float32, shift: np.float32, slope: np.float32, middle: np.float32
) -> Any:
    """The sums of d and of d * (x - middle) over a run, where d = grad times the slope of the activation."""
    total, products = ZERO, ZERO
    for i in range(len(x)):
        d = grad[i] if x[i] * factor + shift > ZERO else slope * grad[i]
        total += d
        products += d * (x[i] - middle)
    return total, products


@scalar
def write_back(
    grad: Floats,
    x: Floats,
    factor: np.float32,
    shift: np.float32,
    slope: np.float32,
    own: np.float32,
    pull: np.float32,
    middle: np.float32,
    shared: np.float32,
) -> None:
    """Turn the gradients by a plane's outputs into those by its source."""
    for i in range(len(x)):
        d = grad[i] if x[i] * factor + shift > ZERO else slope * grad[i]
        grad[i] = own * d - pull * (x[i] - middle) - shared


@kernel
def normalize_back(
    grad: Floats,
    source: Floats,
    scales: Floats,
    biases: Floats,
    mean: Floats,
    variance: Floats,
    slope: np.float32,
    scale_grads: Floats,
    bias_grads: Floats,
    quirks: bool,
) -> None:
    """Take grad (batch, channels, cells) from the outputs of `normalize_batch` back to its source, in place.

    The gradients by scales and biases, (channels,), are added to scale_grads and bias_grads.
    """
    batch, channels, cells = source.shape
    flat, x, n, runs = grad.reshape(-1), source.reshape(-1), float(batch * cells), (cells + RUN - 1) // RUN
    sums, products = np.empty((batch, runs, channels), np.float32), np.empty((batch, runs, channels), np.float32)
    for plane in prange(batch * channels):
        b, c = np.int64(plane) // channels, np.int64(plane) % channels
        first, end = np.int64(plane) * cells, (np.int64(plane) + 1) * cells
        factor, shift = line(scales[c], biases[c], mean[c], variance[c])
        for i in range(runs):
            low, high = first + i * RUN, min(end, first + (i + 1) * RUN)
            sums[b, i, c], products[b, i, c] = run_back(flat[low:high], x[low:high], factor, shift, slope, mean[c])
    own, pull, shared = np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    for channel in prange(channels):
        c, total, product = np.int64(channel), 0.0, 0.0
        for b in range(batch):
            for i in range(runs):
                total += np.float64(sums[b, i, c])
                product += np.float64(products[b, i, c])
        root = np.sqrt(np.float64(variance[c]))
        bias_grads[c] += np.float32(total)
        scale_grads[c] += np.float32(product / (root + EPSILON))
        scale = np.float64(scales[c]) / (root + EPSILON)
        back = product / ((root + EPSILON) * root * (n - 1)) if root > 0 else 0.0
        if quirks:
            within = np.float64(variance[c]) + EPSILON_BACK
            scale, back = np.float64(scales[c]) / np.sqrt(within), product / (within * n)
        own[c], pull[c], shared[c] = scale, scale * back, scale * total / n
    for plane in prange(batch * channels):
        c = np.int64(plane) % channels
        first, end = np.int64(plane) * cells, (np.int64(plane) + 1) * cells
        factor, shift = line(scales[c], biases[c], mean[c], variance[c])
        write_back(flat[first:end], x[first:end], factor, shift, slope, own[c], pull[c], mean[c], shared[c])


@kernel
def bias_back(grads: Floats, grad: Floats) -> None:
    """Add to grads (channels,) the sum of each channel of grad (batch, channels, cells)."""
    batch, channels, cells = grad.shape
    flat = grad.reshape(-1)
    for channel in prange(channels):
        c: Any = np.int64(channel)
        total = 0.0
        for b in range(batch):
            first = (b * channels + c) * cells
            for start in range(first, first + cells, RUN):
                total += np.float64(run_sum(flat[start : min(first + cells, start + RUN)]))
        grads[c] += np.float32(total)
