"""The way back of a convolution: two more convolutions, for which the same tile serves.

    by the input      every pixel gets, through each window that saw it, the weight that it was seen with: a convolution
                      of the output's gradient with the filters turned about, channels and filters having changed places
    by the weights    every weight gets, from each pixel, what it was multiplied with: a sum over the pixels, see
                      `kernels/weight_sums.py`; for 3x3, its fewer multiplications are in `kernels/winograd_back.py`

    filters turned about:    1 2 3          9 8 7
                             4 5 6    ->    6 5 4        padding  ->  size - 1 - padding
                             7 8 9          3 2 1

Where the windows have a stride, or more padding than size - 1, the output's gradient is first spread over a larger
plane, with zeros between its numbers. Nothing here is arithmetic.

Lesson: lessons/03_convolution.py
"""

from __future__ import annotations

from functools import cached_property

import numba
import numpy as np

from minidarknet.kernels.frequencies import FREQUENCIES, OUT
from minidarknet.kernels.simd import BLOCK, LANES
from minidarknet.kernels.tile import SLACK, WIDE
from minidarknet.kernels.weight_sums import add_weight_sums, weight_sums
from minidarknet.kernels.winograd_back import add_winograd_sums, back_matrix, scratch_size, winograd_weight_sums
from minidarknet.layers.base import Place, Run
from minidarknet.layers.convolver import Convolver, choose
from minidarknet.layers.parameter import Array
from minidarknet.memory import aligned
from minidarknet.shapes import Shape

ONE = np.float32(1)
#: Pixels of a slab, and numbers of its turned image, that the second-level cache should hold.
SLAB_PIXELS, SLAB_NUMBERS = 2048, 128_000
#: Independent sums that there should be, so that this many threads have work; and how many numbers they may take.
TASKS, SUMS = 16, 2_000_000
#: Winograd's sums are four times as many: from so many channels and filters on it pays, up to so many products of them.
SOME, FEW = 16, 256 * 256


class InputGradient:
    """The gradient by a convolution's input.

    Parameters
    ----------
    forward
        The convolution.
    """

    def __init__(self, forward: Convolver) -> None:
        self.geometry = g = forward
        padding = g.size - 1 - g.padding
        self.spreads = g.stride > 1 or padding < 0
        self.wide = Shape(g.target.channels, g.source.height + g.size - 1, g.source.width + g.size - 1)
        source, padding = (self.wide, 0) if self.spreads else (g.target, padding)
        self.convolver = choose(source, g.source, g.size, 1, padding, g.groups)

    def workspace_size(self) -> int:
        return aligned(self.convolver.workspace_size()) + (self.wide.size if self.spreads else 0)

    def turned(self, weights: Array) -> Array:
        """Filters (filters, channels / groups, size, size) turned about: (channels, filters / groups, size, size)."""
        g = self.geometry
        grouped = weights.reshape(g.groups, g.filters, g.part, g.size, g.size)
        turned = grouped.transpose(0, 2, 1, 3, 4)[..., ::-1, ::-1]
        return np.ascontiguousarray(turned).reshape(g.source.channels, g.filters, g.size, g.size)

    def run(self, grad_input: Array, grad: Array, weights: Array, run: Run) -> None:
        """Write the gradient by x into grad_input (batch, channels, height, width)."""
        packed = self.convolver.pack(self.turned(weights))
        biases = self.convolver.pad(np.zeros(self.geometry.source.channels, np.float32))
        numbers = grad_input.reshape(len(grad), self.geometry.source.size)
        if not self.spreads:
            self.convolver.run(Place(numbers), grad, packed, biases, ONE, run)
            return
        start = aligned(self.convolver.workspace_size())
        wide = run.workspace[start : start + self.wide.size].reshape(1, *self.wide.array_shape)
        for b in range(len(grad)):
            spread(wide[0], grad[b], self.geometry.stride, self.geometry.size - 1 - self.geometry.padding)
            self.convolver.run(Place(numbers[b : b + 1]), wide, packed, biases, ONE, run)


def spread(wide: Array, grad: Array, stride: int, first: int) -> None:
    """Write the numbers of grad (channels, rows, columns) into planes of zeros, every `stride` cells from `first` on.

    Those that would lie outside have only seen padding.
    """
    wide[:] = 0
    skip = -(-max(0, -first) // stride)  # of negative places
    start = first + skip * stride
    target = wide[:, start::stride, start::stride]
    part = grad[:, skip:, skip:][:, : target.shape[1], : target.shape[2]]
    target[:, : part.shape[1], : part.shape[2]] = part


class WeightGradient:
    """The gradient by a convolution's weights.

    Parameters
    ----------
    forward
        The convolution.
    """

    def __init__(self, forward: Convolver) -> None:
        self.geometry = forward

    @cached_property
    def row_length(self) -> int:
        """Columns of a bordered row that windows see."""
        return (self.geometry.target.width - 1) * self.geometry.stride + self.geometry.size

    @cached_property
    def lines(self) -> int:
        """Lines of pixels in a slab."""
        g = self.geometry
        return max(1, min(SLAB_PIXELS, SLAB_NUMBERS // (g.part * g.stride**2)) // g.target.width)

    @cached_property
    def image_size(self) -> int:
        """Numbers of a slab's turned image: its lines may belong to several images, each with its own border."""
        g = self.geometry
        images = (self.lines - 1) // g.target.height + 2
        high = self.lines * g.stride + images * max(0, g.size - g.stride)
        return aligned(high * self.row_length * g.part + SLACK)

    @cached_property
    def grad_size(self) -> int:
        """Numbers of a block of a slab's turned gradients."""
        return aligned((self.lines * self.geometry.target.width + LANES) * BLOCK)

    @cached_property
    def sums_size(self) -> int:
        """Numbers of the sums of one part."""
        g = self.geometry
        return aligned(-(-g.filters // BLOCK) * g.size * (g.size * g.part + WIDE) * BLOCK)

    def parts(self, batch: int) -> int:
        slabs = max(1, batch * self.geometry.target.height // self.lines)
        return max(1, min(TASKS, slabs, SUMS // self.sums_size))

    def workspace_size(self, batch: int) -> int:
        pixels = aligned(2 * self.lines * self.geometry.target.width)  # places are int64
        threads = int(numba.config.NUMBA_NUM_THREADS)
        return self.parts(batch) * self.sums_size + threads * (self.image_size + self.grad_size + pixels)

    def run(self, gradient: Array, grad: Array, x: Array, run: Run) -> None:
        """Add the gradient to gradient (filters, channels / groups, size, size)."""
        g, batch, threads = self.geometry, len(x), run.threads
        parts, pixels = self.parts(batch), aligned(2 * self.lines * g.target.width)
        blocks = -(-g.filters // BLOCK)
        cuts = np.cumsum([parts * self.sums_size, threads * self.image_size, threads * self.grad_size])
        sums, images, grads, rest = np.split(run.workspace, cuts)
        sums = sums.reshape(parts, self.sums_size)
        for group in range(g.groups):
            weight_sums(
                sums,
                grad.reshape(batch, g.target.channels, g.pixels),
                x,
                group * g.filters,
                g.filters,
                group * g.part,
                g.part,
                g.size,
                g.stride,
                g.padding,
                g.target.height,
                g.target.width,
                self.row_length,
                self.lines,
                min(blocks, -(-TASKS // parts)),
                threads,
                images.reshape(threads, self.image_size),
                grads.reshape(threads, self.grad_size),
                rest[: threads * pixels].reshape(threads, pixels).view(np.int64),
            )
            add_weight_sums(gradient[group * g.filters : (group + 1) * g.filters], sums)


class WinogradGradient:
    """The same for 3x3 filters with stride 1, by `kernels/winograd_back.py`.

    Parameters
    ----------
    forward
        The convolution.
    """

    def __init__(self, forward: Convolver) -> None:
        self.geometry = forward

    @cached_property
    def patches(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return -(-self.geometry.target.height // OUT), -(-self.geometry.target.width // OUT)

    @cached_property
    def lines(self) -> int:
        """Lines of patches in a slab."""
        g = self.geometry
        return max(1, SLAB_NUMBERS // (FREQUENCIES * max(g.part, BLOCK)) // self.patches[1])

    @cached_property
    def sums_size(self) -> int:
        """Numbers of the sums of one part."""
        g = self.geometry
        step = -(-g.part // LANES) * LANES
        return aligned(-(-g.filters // BLOCK) * FREQUENCIES * (step + WIDE) * BLOCK)

    @cached_property
    def scratch(self) -> int:
        """Numbers of scratch for each thread."""
        return aligned(scratch_size(self.geometry.part, self.patches[1], self.lines))

    def parts(self, batch: int) -> int:
        slabs = max(1, batch * self.patches[0] // self.lines)
        return max(1, min(TASKS, slabs, SUMS // self.sums_size))

    def workspace_size(self, batch: int) -> int:
        return self.parts(batch) * self.sums_size + int(numba.config.NUMBA_NUM_THREADS) * self.scratch

    def run(self, gradient: Array, grad: Array, x: Array, run: Run) -> None:
        """Add the gradient to gradient (filters, channels / groups, 3, 3)."""
        g, batch, threads, parts = self.geometry, len(x), run.threads, self.parts(len(x))
        sums, rest = np.split(run.workspace, [parts * self.sums_size])
        sums = sums.reshape(parts, self.sums_size)
        for group in range(g.groups):
            winograd_weight_sums(
                sums,
                grad.reshape(batch, g.target.channels, g.pixels),
                x,
                group * g.filters,
                g.filters,
                group * g.part,
                g.part,
                g.padding,
                g.target.height,
                g.target.width,
                self.lines,
                min(-(-g.filters // BLOCK), -(-TASKS // parts)),
                threads,
                rest[: threads * self.scratch].reshape(threads, self.scratch),
            )
            add_winograd_sums(gradient[group * g.filters : (group + 1) * g.filters], sums, back_matrix())


def weight_gradient(forward: Convolver) -> WeightGradient | WinogradGradient:
    """What computes a convolution's gradient by its weights."""
    g = forward
    few = min(g.part, g.filters) >= SOME and g.part * g.filters <= FEW
    return WinogradGradient(g) if (g.size, g.stride) == (3, 1) and few else WeightGradient(g)
