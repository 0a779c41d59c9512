"""The gradient of a 1x1 convolution by its weights: a dot product of two planes for each filter and channel.

    gradient of weight [f, c]  =  sum over images and pixels of  grad[f, pixel] * image[c, pixel]

With no window to move, both planes run along the pixels as they lie in memory, and the tile of `dots.py` serves.
Nothing need be turned, unlike in `weight_sums.py`. Gradients and images have the same part in it, so they are told
apart by how many there are: of the *many* a block is held in the second-level cache, while the *few* pass.

    few      gradients, or images     4 planes  ->  [ tile ]  [ tile ]  [ tile ]  [ tile ]
    many     images, or gradients                   6 planes  6 planes  6 planes  6 planes     a block of 24

The many come from memory, once, and slower than a tile could multiply them. So while one block is multiplied, the next
is fetched: each tile asks for its share of those planes, and of the next few, a cache line of each at every step.

Pixels go through in slabs: some images, or a run of pixels of a large one. As in `weight_sums.py`, each number has one
writer, and the order of its sum depends on the geometry alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minidarknet.kernels.dots import IMAGES, ROWS, add_products, put_totals
from minidarknet.kernels.jit import kernel, scalar
from minidarknet.kernels.simd import LANES, prefetch, zeros

Floats = NDArray[np.float32]

#: The planes that a tile multiplies: of the few, and of the many.
FEW, MANY = ROWS, IMAGES


@scalar
def multiply_planes(tile: Any, goal: Any, planes: Any, region: Any, ahead: Any) -> None:
    """Write the dot products of a tile's planes to the sums at `goal`, and meanwhile fetch the planes `ahead`.

    Parameters
    ----------
    goal
        Sums, the first one's place, how far it is to those of the next of the many, and whether they are added to.
    planes
        The few, where the tile's first one begins, the many, and where the tile's first one begins.
    region
        Images, and of each plane's `pixels` pixels, `run`; then how far it is to the next image, in few and in many.
    ahead
        Which plane of the few is fetched, which of the many, and whether the one behind the latter is, too.
    """
    (sums, o, step, adds), (few, a, many, b), (images, run, pixels, few_step, many_step) = goal, planes, region
    next_few, next_many, twice = ahead
    whole = run - run % LANES
    for image in range(images):
        i, j = image * few_step, image * many_step
        for k in range(0, whole, LANES):
            prefetch(few, next_few + i + k, 2)
            prefetch(many, next_many + j + k, 2)
            if twice:
                prefetch(many, next_many + j + k + pixels, 2)
            tile = add_products(tile, few, a + i + k, pixels, many, b + j + k, pixels, None)
        if whole < run:
            tile = add_products(tile, few, a + i + whole, pixels, many, b + j + whole, pixels, run - whole)
    put_totals(tile, sums, o, step, adds)


@kernel
def point_sums(
    sums: Floats,
    few: Floats,
    many: Floats,
    first_few: int,
    passing: int,
    first_many: int,
    held: int,
    blocks: int,
    slab: int,
    length: int,
    threads: int,
) -> None:
    """Sum up the products of a group's planes: `passing` of few (batch, all, pixels) and `held` of many, likewise.

    Parameters
    ----------
    sums
        (parts, held * passing); each part has its share of the images.
    blocks
        Blocks of the many. Each has one writer in each part.
    slab, length
        Images of a slab, and the pixels of each.
    """
    batch, all_many, pixels = many.shape
    all_few, parts, tiles = few.shape[1], len(sums), (held + MANY - 1) // MANY
    flat, source, pieces = few.reshape(-1), many.reshape(-1), (pixels + length - 1) // length
    for thread in prange(threads):
        number: Any = np.int64(thread)  # a parallel index is unsigned
        for task in range(number * parts * blocks // threads, (number + 1) * parts * blocks // threads):
            part, block = task // blocks, task % blocks
            begin, end = block * tiles // blocks * MANY, min(held, (block + 1) * tiles // blocks * MANY)
            first, last = part * batch // parts, (part + 1) * batch // parts
            slabs = (last - first + slab - 1) // slab * pieces
            width = (end - begin + MANY - 1) // MANY
            shares = (passing + FEW - 1) // FEW * width  # tiles that share the fetching
            for piece in range(slabs):
                image, pixel = first + piece // pieces * slab, piece % pieces * length
                count, run = min(slab, last - image), min(length, pixels - pixel)
                region = count, run, pixels, all_few * pixels, all_many * pixels
                # The next piece, or the next task's first.
                after, next_pixel = first + (piece + 1) // pieces * slab, (piece + 1) % pieces * length
                next_many = first_many + begin
                if piece + 1 == slabs:
                    after, next_pixel = (task + 1) // blocks * batch // parts, 0
                    next_many = first_many + (task + 1) % blocks * tiles // blocks * MANY
                p, share = 0, 0
                while p < passing:
                    rows = FEW if p + FEW <= passing else 1
                    a = (image * all_few + first_few + p) * pixels + pixel
                    h = begin
                    while h < end:
                        goal = sums[part], h * passing + p, passing, piece > 0
                        planes = flat, a, source, (image * all_many + first_many + h) * pixels + pixel
                        next_few = a + (rows + share % width * FEW // width) * pixels
                        plane = after * all_many + next_many + share * (end - begin) // shares
                        ahead = next_few, plane * pixels + next_pixel, shares < end - begin
                        if rows == 1:
                            multiply_planes(zeros(1, 1), goal, planes, region, ahead)
                            h += 1
                        elif h + MANY <= end:
                            multiply_planes(zeros(FEW, MANY), goal, planes, region, ahead)
                            h += MANY
                        elif h + 2 <= end:
                            multiply_planes(zeros(FEW, 2), goal, planes, region, ahead)
                            h += 2
                        else:
                            multiply_planes(zeros(FEW, 1), goal, planes, region, ahead)
                            h += 1
                        share += 1
                    p += rows


@kernel
def add_point_sums(gradient: Floats, sums: Floats, filter_step: int, channel_step: int) -> None:
    """Add what `point_sums` has summed up, all parts in order, to gradient (filters, channels).

    The sum of filter f and channel c is at f * filter_step + c * channel_step.
    """
    filters, channels = gradient.shape
    for block in prange((filters + LANES - 1) // LANES):
        first: Any = np.int64(block) * LANES
        for c in range(channels):
            for f in range(first, min(filters, first + LANES)):
                total = np.float32(0)
                for part in range(len(sums)):
                    total += sums[part, f * filter_step + c * channel_step]
                gradient[f, c] += total
