"""Batch normalisation with known statistics, and the adding of a bias: what stands behind every product.

    y = scale * (x - mean) / (sqrt(variance) + 0.000001) + bias         one of each per channel

Darknet adds its epsilon outside the root. The four numbers of a channel are first made into a factor and a shift, in
float64: y = factor * x + shift. Source: Darknet, blas.c (normalize_cpu), batchnorm_layer.c.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minidarknet.kernels.jit import kernel

EPSILON = 1e-6


@kernel
def normalize(
    output: NDArray[np.float32],
    source: NDArray[np.float32],
    scales: NDArray[np.float32],
    biases: NDArray[np.float32],
    mean: NDArray[np.float32],
    variance: NDArray[np.float32],
) -> None:
    """Normalise source (batch, channels, cells) into output of the same shape; they may be one array."""
    batch, channels, cells = source.shape
    for plane in prange(batch * channels):
        b, c = np.int64(plane) // channels, np.int64(plane) % channels
        factor = np.float64(scales[c]) / (np.sqrt(np.float64(variance[c])) + EPSILON)
        shift = biases[c] - mean[c] * factor
        for i in range(cells):
            output[b, c, i] = source[b, c, i] * factor + shift


@kernel
def add_bias(output: NDArray[np.float32], biases: NDArray[np.float32]) -> None:
    """Add to every number of output (batch, channels, cells) the bias of its channel."""
    batch, channels, cells = output.shape
    for plane in prange(batch * channels):
        b, c = np.int64(plane) // channels, np.int64(plane) % channels
        for i in range(cells):
            output[b, c, i] += biases[c]
