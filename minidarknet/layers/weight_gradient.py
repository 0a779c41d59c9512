"""The gradient of a convolution by its weights: which kernel, and its scratch.

    points      1x1, stride 1: planes are multiplied as they lie
    winograd    3x3, stride 1, some channels and filters, but not too many: fewer multiplications
    sums        everything else

Neither the choice nor the parts of a sum depend on the number of threads, so neither do the bits. Nothing here is
arithmetic.

Lesson: lessons/03_convolution.py
"""

from __future__ import annotations

from functools import cached_property
from math import gcd

import numba
import numpy as np

from minidarknet.kernels.frequencies import FREQUENCIES, OUT
from minidarknet.kernels.point_sums import MANY, add_point_sums, point_sums
from minidarknet.kernels.simd import BLOCK, LANES
from minidarknet.kernels.tile import SLACK, WIDE
from minidarknet.kernels.weight_sums import add_weight_sums, weight_sums
from minidarknet.kernels.winograd_back import (
    PIECES,
    add_winograd_sums,
    back_matrix,
    frequencies_size,
    line_size,
    winograd_weight_sums,
)
from minidarknet.layers.base import Run
from minidarknet.layers.convolver import Convolver
from minidarknet.layers.parameter import Array
from minidarknet.memory import LINE, aligned

#: Pixels of a slab, and numbers of its image, that the second-level cache should hold.
SLAB_PIXELS, SLAB_NUMBERS = 2048, 2**17
#: Where planes are multiplied as they lie: pixels of a slab, and planes of a block, which the second-level cache holds.
PLANE_PIXELS, HELD = 3136, 24
#: Independent sums that there should be, so that this many threads have work; and how many numbers they may take.
TASKS, SUMS = 16, 2_000_000
#: Patches of a piece's slab: so many that it costs little to take up the sums again.
SLAB_PATCHES = 84
#: Numbers of its frequencies: with these more patches do no harm, and with those there may be no more.
SLAB_FEW, SLAB_MOST = 350_000, 1_000_000
#: With so many frequencies for each sum, it costs little to have the sums twice.
MANY_TIMES = 8
#: Winograd's sums are four times as many: from so many channels and filters on it pays, up to so many products of them.
SOME, FEW = 16, 256 * 256
#: From so many pixels on, the last register of a plane wastes little.
PLANE = 2 * LANES


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
                min(blocks, threads // gcd(parts, threads)),  # so that threads have as much work each
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
    def sums_size(self) -> int:
        """Numbers of the sums."""
        step = -(-self.geometry.part // LANES) * LANES
        return aligned(-(-self.geometry.filters // BLOCK) * FREQUENCIES * (step + WIDE) * BLOCK)

    @cached_property
    def line_size(self) -> int:
        """Numbers of scratch for each thread."""
        return aligned(line_size(self.geometry.part, self.patches[1]))

    def frequencies_size(self, lines: int) -> int:
        """Numbers of the frequencies of so many lines of patches."""
        return aligned(frequencies_size(self.geometry.part, self.geometry.filters, lines * self.patches[1]))

    def parts(self, batch: int) -> int:
        """How many sums of each: a piece has its own where frequencies are many, and sums few for so many."""
        lines = batch * self.patches[0]
        many = self.frequencies_size(lines) >= max(SLAB_MOST, MANY_TIMES * self.sums_size)
        return PIECES if lines >= PIECES and many else 1

    def slab(self, batch: int) -> int:
        """Lines of patches in a piece's slab, which need not be more than there are."""
        one, all_lines = self.frequencies_size(1), -(-batch * self.patches[0] // PIECES)
        enough = max(-(-SLAB_PATCHES // self.patches[1]), SLAB_FEW // one)
        return min(all_lines, max(1, min(enough, SLAB_MOST // one)))

    def workspace_size(self, batch: int) -> int:
        scratch = -(-int(numba.config.NUMBA_NUM_THREADS) // PIECES) * self.line_size
        return PIECES * (self.frequencies_size(self.slab(batch)) + self.sums_size + scratch)

    def run(self, gradient: Array, grad: Array, x: Array, run: Run) -> None:
        """Add the gradient to gradient (filters, channels / groups, 3, 3)."""
        g, batch, lines, parts = self.geometry, len(x), self.slab(len(x)), self.parts(len(x))
        # A piece has its half of the workspace in every layer, so that its threads find there what they wrote.
        half = len(run.workspace) // PIECES // LINE * LINE
        memory = run.workspace[: PIECES * half].reshape(PIECES, half)
        behind = self.frequencies_size(lines)
        for group in range(g.groups):
            winograd_weight_sums(
                memory,
                behind,
                parts,
                grad.reshape(batch, g.target.channels, g.pixels),
                x,
                group * g.filters,
                g.filters,
                group * g.part,
                g.part,
                g.padding,
                g.target.height,
                g.target.width,
                lines,
                behind + self.sums_size,
                self.line_size,
                run.threads,
            )
            part = gradient[group * g.filters : (group + 1) * g.filters]
            add_winograd_sums(part, memory, behind, parts, back_matrix())


class PointGradient:
    """The same for 1x1 filters with stride 1, by `kernels/point_sums.py`.

    Parameters
    ----------
    forward
        The convolution.
    """

    def __init__(self, forward: Convolver) -> None:
        self.geometry = forward

    @cached_property
    def swapped(self) -> bool:
        """Whether the many are the gradients: each of them is read from memory once, and each of the few often."""
        return self.geometry.filters > self.geometry.part

    @cached_property
    def blocks(self) -> int:
        """Blocks of the many: two or more are an even number, which two threads can share."""
        tiles = -(-max(self.geometry.part, self.geometry.filters) // MANY)
        blocks = -(-tiles * MANY // HELD)
        return blocks + blocks % 2 if blocks > 1 else 1

    def parts(self, batch: int) -> int:
        """A power of two, so that many images make equal parts."""
        g = self.geometry
        most = max(1, min(TASKS // self.blocks, batch, SUMS // (g.part * g.filters)))
        return 1 << most.bit_length() - 1

    def workspace_size(self, batch: int) -> int:
        return self.parts(batch) * self.geometry.part * self.geometry.filters

    def run(self, gradient: Array, grad: Array, x: Array, run: Run) -> None:
        """Add the gradient to gradient (filters, channels / groups, 1, 1)."""
        g, batch = self.geometry, len(x)
        parts, size = self.parts(batch), g.part * g.filters
        sums = run.workspace[: parts * size].reshape(parts, size)
        slab, length = max(1, PLANE_PIXELS // g.pixels), min(g.pixels, max(1, PLANE_PIXELS // LANES) * LANES)
        grads, images = grad.reshape(batch, g.target.channels, g.pixels), x.reshape(batch, g.source.channels, g.pixels)
        for group in range(g.groups):
            f, c = group * g.filters, group * g.part
            if self.swapped:
                few, many, steps = (images, c, g.part), (grads, f, g.filters), (g.part, 1)
            else:
                few, many, steps = (grads, f, g.filters), (images, c, g.part), (1, g.filters)
            point_sums(sums, few[0], many[0], *few[1:], *many[1:], self.blocks, slab, length, run.threads)
            add_point_sums(gradient[f : f + g.filters].reshape(g.filters, g.part), sums, *steps)


def weight_gradient(forward: Convolver) -> WeightGradient | WinogradGradient | PointGradient:
    """What computes a convolution's gradient by its weights."""
    g = forward
    if (g.size, g.stride, g.padding) == (1, 1, 0) and g.pixels >= PLANE:
        return PointGradient(g)
    few = min(g.part, g.filters) >= SOME and g.part * g.filters <= FEW
    return WinogradGradient(g) if (g.size, g.stride) == (3, 1) and few else WeightGradient(g)
