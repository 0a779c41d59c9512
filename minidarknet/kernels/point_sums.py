"""The gradient of a 1x1 convolution by its weights: a dot product of two planes for each filter and channel.

    gradient of weight [f, c]  =  sum over images and pixels of  grad[f, pixel] * image[c, pixel]

With no window to move, both planes run along the pixels as they lie in memory, and the tile of `dots.py` serves: a few
filters for its rows, a few channels for its images. Nothing is turned, unlike in `weight_sums.py`.

Images go through in slabs, some images or a run of pixels of a large one, of a few dozen channels: those stay in the
second-level cache while all filters are multiplied with them. As in `weight_sums.py`, each number has one writer, and
the order of its sum depends on the geometry alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minidarknet.kernels.dots import IMAGES, ROWS, add_products, put_totals
from minidarknet.kernels.jit import kernel, scalar
from minidarknet.kernels.simd import LANES, zeros

Floats = NDArray[np.float32]


@scalar
def add_planes(
    tile: Any,
    totals: Floats,
    o: int,
    filters: int,
    grads: Floats,
    g: int,
    images: Floats,
    s: int,
    steps: Any,
    count: int,
    run: int,
    pixels: int,
) -> None:
    """Add to totals[o:] the dot products of the tile's filters, from grads[g:] on, and channels, from images[s:] on.

    Of the `pixels` pixels of each plane, `run`; `count` images are `steps` numbers apart, in grads and in images.
    """
    whole = run - run % LANES
    for b in range(count):
        i, j = g + b * steps[0], s + b * steps[1]
        for k in range(0, whole, LANES):
            tile = add_products(tile, grads, i + k, pixels, images, j + k, pixels, None)
        if whole < run:
            tile = add_products(tile, grads, i + whole, pixels, images, j + whole, pixels, run - whole)
    put_totals(tile, totals, o, filters, True)


@kernel
def point_sums(
    sums: Floats,
    grads: Floats,
    images: Floats,
    first_filter: int,
    filters: int,
    first_channel: int,
    channels: int,
    block: int,
    slab: int,
    length: int,
    threads: int,
) -> None:
    """Sum up the products of a group's grads (batch, all filters, pixels) and images (batch, all channels, pixels).

    Parameters
    ----------
    sums
        (parts, channels * filters); each part has its share of the images.
    block
        Channels of a slab. Each has one writer in each part.
    slab, length
        Images of a slab, and the pixels of each.
    """
    batch, all_channels, pixels = images.shape
    all_filters, parts, blocks = grads.shape[1], len(sums), (channels + block - 1) // block
    source, flat = images.reshape(-1), grads.reshape(-1)
    steps, pieces = (all_filters * pixels, all_channels * pixels), (pixels + length - 1) // length
    for thread in prange(threads):
        number: Any = np.int64(thread)  # a parallel index is unsigned
        for task in range(number * parts * blocks // threads, (number + 1) * parts * blocks // threads):
            part, begin = task // blocks, task % blocks * block
            end = min(channels, begin + block)
            total = sums[part]
            total[begin * filters : end * filters] = np.float32(0)
            first, last = part * batch // parts, (part + 1) * batch // parts
            for piece in range((last - first + slab - 1) // slab * pieces):
                b, pixel = first + piece // pieces * slab, piece % pieces * length
                count, run = min(slab, last - b), min(length, pixels - pixel)
                f = 0
                while f < filters:
                    rows = ROWS if f + ROWS <= filters else 1
                    g = b * steps[0] + (first_filter + f) * pixels + pixel
                    c = begin
                    while c < end:
                        s, o = b * steps[1] + (first_channel + c) * pixels + pixel, c * filters + f
                        if rows == 1:
                            tile = zeros(1, 1)
                            add_planes(tile, total, o, filters, flat, g, source, s, steps, count, run, pixels)
                            c += 1
                        elif c + IMAGES <= end:
                            wide = zeros(ROWS, IMAGES)
                            add_planes(wide, total, o, filters, flat, g, source, s, steps, count, run, pixels)
                            c += IMAGES
                        elif c + 2 <= end:
                            pair = zeros(ROWS, 2)
                            add_planes(pair, total, o, filters, flat, g, source, s, steps, count, run, pixels)
                            c += 2
                        else:
                            one = zeros(ROWS, 1)
                            add_planes(one, total, o, filters, flat, g, source, s, steps, count, run, pixels)
                            c += 1
                    f += rows


@kernel
def add_point_sums(gradient: Floats, sums: Floats) -> None:
    """Add what `point_sums` has summed up, all parts in order, to gradient (filters, channels)."""
    filters, channels = gradient.shape
    for filter_ in prange(filters):
        f: Any = np.int64(filter_)
        for c in range(channels):
            total = np.float32(0)
            for part in range(len(sums)):
                total += sums[part, c * filters + f]
            gradient[f, c] += total
