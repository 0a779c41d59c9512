"""How a convolutional layer is computed: which kernel, its weights as that kernel reads them, its scratch.

    points      1x1, stride 1, no padding: the image is read as it is
    winograd    3x3, stride 1, no groups, wide enough: fewer multiplications
    direct      everything else

All three are the tile of `kernels/tile.py`. Nothing here is arithmetic; the layer itself is in `convolutional.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from minidarknet.kernels import direct, winograd
from minidarknet.kernels.simd import LANES
from minidarknet.kernels.tile import SLACK, WIDE, pack, pad_biases
from minidarknet.layers.base import Array
from minidarknet.shapes import Shape

#: Winograd pays where a patch's frequencies serve many filters and the filters, which grow by 16/9, many patches.
WINOGRAD_PIXELS, WINOGRAD_CHANNELS = 100, 8


@dataclass(frozen=True)
class Convolver:
    """The geometry of one convolution, and the choice of its kernel."""

    source: Shape
    target: Shape
    size: int
    stride: int
    padding: int
    groups: int

    @property
    def method(self) -> str:
        if (self.stride, self.groups) == (1, 1):
            if (self.size, self.padding) == (1, 0):
                return "points"
            large = self.target.height * self.target.width >= WINOGRAD_PIXELS
            if self.size == 3 and large and self.source.channels >= WINOGRAD_CHANNELS and self.target.channels > LANES:
                return "winograd"
        return "direct"

    @property
    def part(self) -> int:
        """Channels that a filter sees."""
        return self.source.channels // self.groups

    @property
    def row_length(self) -> int:
        """Numbers in a row of the bordered planes: a multiple of the step that it is sorted by."""
        width = self.source.width + 2 * self.padding
        if self.method == "winograd":
            return 2 * (-(-width // 2) + 1)
        return -(-width // self.stride) * self.stride

    def shares(self, batch: int, threads: int) -> int:
        """Into how many parts an image is cut, such that all threads have the same work."""
        return 1 if batch % threads == 0 else threads

    def by_filters(self) -> bool:
        """Whether threads share the filters of an image and not its rows, because the weights are the larger part."""
        weights = self.part * self.size**2 * self.target.channels
        return self.target.height < 8 or weights > 4 * self.source.size

    def border_height(self, shares: int) -> int:
        """Rows of the bordered planes that one share needs."""
        if self.method == "winograd":
            return 2 * -(-((self.target.height + 1) // 2) // shares) + 2
        rows = self.target.height if self.by_filters() else -(-self.target.height // shares)
        return (rows - 1) * self.stride + self.size

    def scratch(self, shares: int) -> int:
        """Numbers of scratch for each thread."""
        if self.method == "points":
            return self.part * WIDE + SLACK
        height = self.border_height(shares)
        if self.method == "winograd":
            return winograd.scratch_size(self.part, height, self.row_length)
        return self.part * height * self.row_length + SLACK

    def workspace_size(self) -> int:
        """Numbers of scratch for all threads, whatever the batch."""
        return numba.config.NUMBA_NUM_THREADS * self.scratch(1)

    def offsets(self, height: int) -> NDArray[np.int64]:
        """Where the number for each k stands, seen from a pixel (see `kernels/tile.py`)."""
        if self.method == "points":
            return np.arange(self.part) * (self.source.height * self.source.width)
        if self.method == "winograd":
            return np.arange(self.part) * winograd.PITCH
        phase = self.row_length // self.stride
        c, ky, kx = np.indices((self.part, self.size, self.size)).reshape(3, -1)
        return np.asarray((c * height + ky) * self.row_length + kx % self.stride * phase + kx // self.stride)

    def pack(self, weights: NDArray[np.floating]) -> Array:
        """Weights (filters, channels / groups, size, size) as (groups, numbers), in the order that the kernel reads."""
        if self.method == "winograd":
            return winograd.pack_winograd(weights)[None]
        depth = self.part * self.size**2
        parts = weights.astype(np.float32).reshape(self.groups, -1, depth)
        return np.stack([pack(part) for part in parts])

    def pad(self, biases: NDArray[np.floating]) -> Array:
        """Biases (filters,) as (groups, filters / groups + BLOCK)."""
        return np.stack([pad_biases(part) for part in biases.astype(np.float32).reshape(self.groups, -1)])

    def __call__(self, output: Array, x: Array, weights: Array, biases: Array, slope: float, workspace: Array) -> None:
        """Convolve x into output, both (batch, channels, height, width), with packed weights and padded biases."""
        batch, threads = len(x), numba.get_num_threads()
        shares = self.shares(batch, threads)
        height = 0 if self.method == "points" else self.border_height(shares)
        size = self.scratch(shares)
        scratch = workspace[: threads * size].reshape(threads, size)
        offsets, tilt = self.offsets(height), np.float32(slope)
        filters, rows, columns = self.target.array_shape
        if self.method == "points":
            flat = output.reshape(batch, filters, rows * columns)
            pixels = x.reshape(batch, self.part, rows * columns)
            direct.convolve_points(flat, pixels, weights[0], biases[0], offsets, tilt, scratch, shares)
        elif self.method == "winograd":
            winograd.winograd(
                output, x, weights[0], biases[0], offsets, tilt, scratch, self.padding, height, self.row_length, shares
            )
        else:
            grouped = output.reshape(batch, self.groups, filters // self.groups, rows, columns)
            images = x.reshape(batch, self.groups, self.part, self.source.height, self.source.width)
            direct.convolve(
                grouped,
                images,
                weights,
                biases,
                offsets,
                tilt,
                scratch,
                self.size,
                self.stride,
                self.padding,
                height,
                self.row_length,
                shares,
                self.by_filters(),
            )
