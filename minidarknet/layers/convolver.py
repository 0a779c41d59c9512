"""How a convolutional layer is computed: which kernel, its weights as that kernel reads them, its scratch.

    points      1x1, stride 1, no padding: the image is read as it is
    winograd    3x3, stride 1, no groups, not too small, three channels or more: fewer multiplications
    columns     other small images: each window is laid out as a column, and columns are points
    direct      everything else

All four are the tile of `kernels/tile.py`. Nothing here is arithmetic; the layer itself is in `convolutional.py`.
A method never depends on the batch or the number of threads, so neither do the bits of its result.

Lesson: lessons/04_speed_ladder.py
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar

import numba
import numpy as np
from numpy.typing import NDArray

from minidarknet.kernels.columns import convolve_columns, kept_size
from minidarknet.kernels.direct import convolve, convolve_points
from minidarknet.kernels.frequencies import OUT
from minidarknet.kernels.im2col import im2col
from minidarknet.kernels.simd import BLOCK
from minidarknet.kernels.tile import SLACK, WIDE, pack, pad_biases
from minidarknet.kernels.winograd import frequency_step, pack_winograd, patches_pitch, scratch_size, winograd
from minidarknet.layers.base import Place, Run
from minidarknet.layers.parameter import Array
from minidarknet.memory import aligned
from minidarknet.shapes import Shape

#: Fewer single pixels than this are laid out as columns too, because the weights are the larger part: not where one
#: block has all filters, as threads share the blocks.
POINTS_PIXELS = 28
#: Up to so many channels, turning and turning back take longer than the direct sum.
DIRECT_CHANNELS = 2
#: Winograd's filters are four times as large: with fewer pixels, reading them takes longer than the direct sum.
WINOGRAD_PIXELS = 100
#: Between so many channels or filters, and so many products of them, that does not matter: then a patch is enough.
SOME, FEW, PATCH_PIXELS = 16, 256 * 256, 16
#: Up to so many pixels, rows are too short for the tile, and columns small enough to make.
COLUMNS_PIXELS = 400
#: Patches that Winograd turns at a time: two runs of the tile.
CHUNK = 2 * WIDE
#: Numbers that a thread's scratch should not exceed, so that it stays in the second-level cache (of 1 MiB, say).
CACHED = 180_000


class Convolver(ABC):
    """The geometry of one convolution. Subclasses are the methods.

    Parameters
    ----------
    source, target
        One image before and after.
    size, stride, padding, groups
        As in the cfg; padding is per side.
    """

    method: ClassVar[str]
    #: Whether it can write the largest of each 2x2 outputs instead of all four.
    pools: ClassVar[bool] = False

    def __init__(self, source: Shape, target: Shape, size: int, stride: int, padding: int, groups: int) -> None:
        self.source, self.target = source, target
        self.size, self.stride, self.padding, self.groups = size, stride, padding, groups
        self.filters = target.channels // groups  # of a group
        self.part = source.channels // groups  # channels that a filter sees
        self.depth = self.part * size * size  # numbers that a filter sums up
        self.pixels = target.height * target.width

    @abstractmethod
    def workspace_size(self) -> int:
        """Numbers of workspace that `run` uses, whatever the batch."""

    @abstractmethod
    def run(self, place: Place, x: Array, weights: Array, biases: Array, slope: np.float32, run: Run) -> None:
        """Convolve x (batch, channels, height, width) into a place.

        weights and biases come from `pack` and `pad`; slope is that of the activation; run has the workspace.
        """

    def pack(self, weights: NDArray[np.floating]) -> Array:
        """Weights (filters, channels / groups, size, size) as (groups, numbers), in the order that the kernel reads."""
        parts = np.ascontiguousarray(weights, np.float32).reshape(self.groups, -1, self.depth)
        return np.stack([pack(part) for part in parts])

    def pad(self, biases: NDArray[np.floating]) -> Array:
        """Biases (filters,) as (groups, filters / groups + BLOCK)."""
        return np.stack([pad_biases(part) for part in biases.astype(np.float32).reshape(self.groups, -1)])

    def by_filters(self, batch: int, threads: int, run: int) -> bool:
        """Whether threads share the filters and not the pixels: where runs of so many pixels are too few to share."""
        runs, blocks = batch * -(-self.pixels // run), -(-self.filters // BLOCK)
        return blocks >= 2 * threads and runs < 8 * threads and self.depth * self.filters > self.source.size


class Points(Convolver):
    method = "points"

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        return np.arange(self.depth) * self.pixels

    def workspace_size(self) -> int:
        return 0

    def run(self, place: Place, x: Array, weights: Array, biases: Array, slope: np.float32, run: Run) -> None:
        batch = len(x)
        convolve_points(
            place.output,
            place.start,
            x.reshape(batch, self.depth * self.pixels),
            weights[0],
            biases[0],
            self.offsets,
            slope,
            run.threads,
            self.filters,
            self.pixels,
            self.by_filters(batch, run.threads, WIDE),
        )


class Columns(Convolver):
    method = "columns"

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        return np.arange(self.depth) * self.pixels

    @cached_property
    def images(self) -> int:
        """How many images are laid out at a time: few enough for a few MiB."""
        return max(1, 1_000_000 // (self.depth * self.pixels))

    @cached_property
    def columns_size(self) -> int:
        return aligned(self.images * self.depth * self.pixels + SLACK)

    def workspace_size(self) -> int:
        return self.columns_size + int(numba.config.NUMBA_NUM_THREADS) * self.images * kept_size(self.pixels)

    def run(self, place: Place, x: Array, weights: Array, biases: Array, slope: np.float32, run: Run) -> None:
        target, size = self.target, kept_size(self.pixels)
        for first in range(0, len(x), self.images):
            images = x[first : first + self.images]
            batch = len(images)
            columns = run.workspace[: batch * self.depth * self.pixels].reshape(batch, -1)
            scratch = run.workspace[self.columns_size :][: run.threads * batch * size].reshape(run.threads, -1)
            shaped = columns.reshape(batch, self.depth, self.pixels)
            im2col(shaped, images, self.size, self.stride, self.padding, target.height, target.width)
            convolve_columns(
                place.output[first : first + batch],
                place.start,
                columns,
                weights[0],
                biases[0],
                self.offsets,
                slope,
                scratch,
                self.filters,
                self.pixels,
            )


class Winograd(Convolver):
    method = "winograd"
    pools = True

    @cached_property
    def scratch(self) -> int:
        """Numbers of scratch for each thread."""
        return scratch_size(CHUNK, self.step)

    @cached_property
    def pitch(self) -> int:
        """How far apart the frequencies of two channels are."""
        return patches_pitch(CHUNK, -(-self.target.width // OUT))

    @cached_property
    def step(self) -> int:
        """How far apart two frequencies are."""
        return frequency_step(self.part, self.pitch)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        return np.arange(self.part) * self.pitch

    def workspace_size(self) -> int:
        return int(numba.config.NUMBA_NUM_THREADS) * self.scratch

    def pack(self, weights: NDArray[np.floating]) -> Array:
        return pack_winograd(weights)[None]

    def run(self, place: Place, x: Array, weights: Array, biases: Array, slope: np.float32, run: Run) -> None:
        batch, threads, size = len(x), run.threads, self.scratch
        winograd(
            place.output,
            place.start,
            x,
            weights[0],
            biases[0],
            self.offsets,
            slope,
            run.workspace[: threads * size].reshape(threads, size),
            self.filters,
            self.target.height,
            self.target.width,
            self.padding,
            CHUNK,
            self.pitch,
            self.step,
            self.by_filters(batch, threads, 4 * WIDE),
            place.pooled,
        )


class Direct(Convolver):
    method = "direct"

    @cached_property
    def row_length(self) -> int:
        """Numbers in a row of the bordered planes: a multiple of the stride, by which it is sorted."""
        return -(-(self.source.width + 2 * self.padding) // self.stride) * self.stride

    @cached_property
    def border_height(self) -> int:
        """Rows of the bordered planes: enough for a band of output rows that fits into the cache."""
        fitting = (CACHED // (self.part * self.row_length) - self.size) // self.stride + 1
        return (max(1, min(self.target.height, fitting)) - 1) * self.stride + self.size

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        phase = self.row_length // self.stride
        c, ky, kx = np.indices((self.part, self.size, self.size)).reshape(3, -1)
        rows = (c * self.border_height + ky) * self.row_length
        return np.asarray(rows + kx % self.stride * phase + kx // self.stride)

    @cached_property
    def scratch(self) -> int:
        """Numbers of scratch for each thread."""
        return self.part * self.border_height * self.row_length + SLACK

    def workspace_size(self) -> int:
        return int(numba.config.NUMBA_NUM_THREADS) * self.scratch

    def run(self, place: Place, x: Array, weights: Array, biases: Array, slope: np.float32, run: Run) -> None:
        threads = run.threads
        convolve(
            place.output,
            place.start,
            x.reshape(len(x), self.groups, self.part, self.source.height, self.source.width),
            weights,
            biases,
            self.offsets,
            slope,
            run.workspace[: threads * self.scratch].reshape(threads, self.scratch),
            self.filters,
            self.target.height,
            self.target.width,
            self.size,
            self.stride,
            self.padding,
            self.border_height,
            self.row_length,
        )


def choose(source: Shape, target: Shape, size: int, stride: int, padding: int, groups: int) -> Convolver:
    """The convolver for a geometry."""
    pixels = target.height * target.width
    few = min(source.channels, target.channels) >= SOME and source.channels * target.channels <= FEW
    many = source.channels > DIRECT_CHANNELS
    method: type[Convolver] = Direct
    if groups == 1:
        if (size, stride, padding) == (1, 1, 0) and (pixels >= POINTS_PIXELS or target.channels <= BLOCK):
            method = Points
        elif (size, stride) == (3, 1) and many and pixels >= (PATCH_PIXELS if few else WINOGRAD_PIXELS):
            method = Winograd
        elif pixels <= COLUMNS_PIXELS:
            method = Columns
    return method(source, target, size, stride, padding, groups)
