"""The gradient of a convolution by its weights, with the tile: a sum over all pixels of all images.

    gradient of weight [f, c, ky, kx]  =  sum over pixels of  grad[f, pixel] * image[c, pixel moved by ky, kx]

That is a product like the convolution itself, summed over the pixels instead of the channels. So both factors are
turned: pixels one after the other, and for each of them its channels side by side.

    grad,  filters in the lanes       [pixel][32 filters]            image, with its border       [row][column][channel]

    tile of 32 filters x 14 numbers   sum[filter, j]  +=  grad[pixel, filter] * image[place of the pixel + j]

A row of the window, size * channels numbers, is one run of the turned image. The tile walks along it: first kx = 0 with
all its channels, then kx = 1, and so on. Where a pixel's window begins is in a table of places, which also knows about
strides and the borders between images.

A slab is as many lines of pixels as the caches hold when they are turned. The tiles stay in memory between two slabs.
Each number has one writer: a *part* of the lines, and a *share* of the filters. There are as many parts as the geometry
wants, whatever the threads, and their sums are added up in order: so the bits do not depend on the threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange, types
from numba.extending import intrinsic

from minidarknet.kernels.jit import kernel, scalar
from minidarknet.kernels.simd import (
    BLOCK,
    INT64,
    LANES,
    accumulate,
    address,
    broadcast,
    keep,
    lanes_below,
    load_masked,
    recall,
    store_masked,
    transpose,
)
from minidarknet.kernels.tile import MIDDLE, NARROW, WIDE, Floats, Offsets, tile_width

ZERO = np.float32(0)


@intrinsic
def turn(
    typing: Any, turned: Any, t: Any, pitch: Any, source: Any, s: Any, plane: Any, rows: Any, count: Any, lanes: Any
) -> Any:
    """Write up to LANES rows of up to LANES numbers as columns: number j of row i to turned[t + j * pitch + i].

    Row i is at source[s + i * plane:]. The first `rows` rows of `count` numbers are read, and `lanes` of each column
    are written; a row that is not read is 0.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        turned_, t_, pitch_, source_, s_, plane_, rows_, count_, lanes_ = arguments
        target = address(context, builder, signature.args[0], turned_, t_)
        first = address(context, builder, signature.args[3], source_, s_)
        inside, written = lanes_below(builder, INT64(0), count_), lanes_below(builder, INT64(0), lanes_)
        loaded = []
        for i in range(LANES):
            there = broadcast(builder, builder.icmp_signed("<", INT64(i), rows_))
            place = builder.gep(first, [builder.mul(plane_, INT64(i))])
            loaded.append(load_masked(builder, place, builder.and_(inside, there)))
        for j, column in enumerate(transpose(builder, loaded)):
            with builder.if_then(builder.icmp_signed("<", INT64(j), count_)):
                store_masked(builder, column, builder.gep(target, [builder.mul(pitch_, INT64(j))]), written)
        return context.get_dummy_value()

    integer = types.int64
    places = (integer, integer, source, integer, integer, integer, integer, integer)
    return types.none(turned, *places), generate


@scalar
def turn_plane(
    turned: Floats, t: int, pitch: int, source: Floats, s: int, plane: int, rows: int, count: int, lanes: int
) -> None:
    """The same for any number of rows and numbers; beyond `rows`, as many lanes as `lanes` has are 0."""
    for i in range(0, lanes, LANES):
        for j in range(0, count, LANES):
            turn(
                turned,
                t + j * pitch + i,
                pitch,
                source,
                s + i * plane + j,
                plane,
                rows - i,
                min(LANES, count - j),
                min(LANES, lanes - i),
            )


@scalar
def turn_image(
    turned: Floats,
    t: int,
    source: Floats,
    s: int,
    channels: int,
    height: int,
    width: int,
    top: int,
    count: int,
    padding: int,
    row_length: int,
) -> None:
    """Turn `count` rows of an image at source[s:], from row `top` on, into bordered rows of pixels at turned[t:]."""
    right = min(width, row_length - padding)  # of the columns, those that a window sees
    for i in range(count):
        y, line = top + i, t + i * row_length * channels
        if y < 0 or y >= height:
            turned[line : line + row_length * channels] = ZERO
            continue
        turned[line : line + padding * channels] = ZERO
        turned[line + (padding + right) * channels : line + row_length * channels] = ZERO
    first, last = max(0, -top), min(count, height - top)
    # A few channels at a time, so that the memory has few places to fetch from.
    for c in range(0, channels, LANES):
        lanes = min(LANES, channels - c)
        for i in range(first, last):
            here, there = t + (i * row_length + padding) * channels + c, s + c * height * width + (top + i) * width
            turn_plane(turned, here, channels, source, there, height * width, lanes, right, lanes)


@scalar
def sum_pixels(tile: Any, grad: Floats, g: int, image: Floats, s: int, places: Offsets) -> Any:
    """The tile plus the sum over all pixels k of grad[g + k * BLOCK:] times image[s + places[k]:].

    That is `sum_up` of tile.py, but without fetching ahead: there is no next tile behind the pixels.
    """
    for k in range(len(places)):
        tile = accumulate(tile, grad, g + k * BLOCK, image, s + places[k])
    return tile


@kernel
def weight_sums(
    sums: Floats,
    grads: Floats,
    images: Floats,
    first_filter: int,
    filters: int,
    first_channel: int,
    channels: int,
    size: int,
    stride: int,
    padding: int,
    rows: int,
    columns: int,
    row_length: int,
    lines: int,
    shares: int,
    threads: int,
    turned_images: Floats,
    turned_grads: Floats,
    places: Offsets,
) -> None:
    """Sum up the products of a group's grads (batch, all filters, cells) and images (batch, all channels, height,
    width).

    Parameters
    ----------
    sums
        (parts, numbers): blocks of filters x rows of the window x (size * channels + SLACK) x BLOCK for each part.
    rows, columns
        Sides of the grads' planes.
    row_length
        Columns of a bordered row.
    lines
        Lines of pixels in a slab.
    shares
        How many shares the filters are split into.
    turned_images, turned_grads, places
        Scratch for each of `threads` threads: (threads, numbers); see `slab_sizes`.
    """
    batch, all_channels, height, width = images.shape
    all_filters, cells = grads.shape[1], rows * columns
    parts, blocks, run = len(sums), (filters + BLOCK - 1) // BLOCK, size * channels
    pitch = (run + WIDE) * BLOCK  # between the sums of two rows of the window
    source, flat = images.reshape(-1), grads.reshape(-1)
    for thread in prange(threads):
        number: Any = np.int64(thread)  # a parallel index is unsigned
        image, grad, place = turned_images[number], turned_grads[number], places[number]
        for task in range(number * parts * shares // threads, (number + 1) * parts * shares // threads):
            part, share = task // shares, task % shares
            total = sums[part]
            begin, end = share * blocks // shares, (share + 1) * blocks // shares
            start, last = part * batch * rows // parts, (part + 1) * batch * rows // parts
            line = start
            while line < last:
                count = min(lines, last - line)
                # The image's rows for all lines of the slab, and where each pixel's window begins.
                i, t = 0, 0
                while i < count:
                    b, y = (line + i) // rows, (line + i) % rows
                    more = min(count - i, rows - y)
                    s, high = (b * all_channels + first_channel) * height * width, (more - 1) * stride + size
                    top = y * stride - padding
                    turn_image(image, t, source, s, channels, height, width, top, high, padding, row_length)
                    for j in range(more):
                        for x in range(columns):
                            place[(i + j) * columns + x] = t + (j * row_length + x) * stride * channels
                    t += high * row_length * channels
                    i += more
                pixels = place[: count * columns]
                for block in range(begin, end):
                    f = block * BLOCK
                    i = 0
                    while i < count:
                        b, y = (line + i) // rows, (line + i) % rows
                        more = min(count - i, rows - y)
                        s = (b * all_filters + first_filter + f) * cells + y * columns
                        t = i * columns * BLOCK
                        lanes = LANES if filters - f <= LANES else BLOCK
                        turn_plane(grad, t, BLOCK, flat, s, cells, filters - f, more * columns, lanes)
                        i += more
                    for ky in range(size):
                        m, s = (block * size + ky) * pitch, ky * row_length * channels
                        add_run(total, m, grad, 0, image, s, pixels, run, filters - f, line == start)
                line += count


@scalar
def add_run(
    sums: Floats,
    m: int,
    grad: Floats,
    g: int,
    image: Floats,
    s: int,
    pixels: Offsets,
    run: int,
    filters: int,
    fresh: bool,
) -> None:
    """Add the products of a block of filters and a run of numbers, as a row of the window, to sums[m:].

    If `fresh`, there is nothing to add to yet.
    """
    j = 0
    while j < run:
        width = tile_width(run - j)
        n = m + j * BLOCK
        if filters <= LANES:
            width = WIDE
            keep(sum_pixels(recall(sums, n, 1, WIDE, fresh), grad, g, image, s + j, pixels), sums, n)
        elif width == WIDE:
            keep(sum_pixels(recall(sums, n, 2, WIDE, fresh), grad, g, image, s + j, pixels), sums, n)
        elif width == MIDDLE:
            keep(sum_pixels(recall(sums, n, 2, MIDDLE, fresh), grad, g, image, s + j, pixels), sums, n)
        else:
            keep(sum_pixels(recall(sums, n, 2, NARROW, fresh), grad, g, image, s + j, pixels), sums, n)
        j += width


@kernel
def add_weight_sums(gradient: Floats, sums: Floats) -> None:
    """Add what `weight_sums` has summed up, all parts in order, to gradient (filters, channels, size, size)."""
    filters, channels, size = gradient.shape[:3]
    pitch = (size * channels + WIDE) * BLOCK
    for filter_ in prange(filters):
        f: Any = np.int64(filter_)
        for ky in range(size):
            for kx in range(size):
                m = (f // BLOCK * size + ky) * pitch + kx * channels * BLOCK + f % BLOCK
                for c in range(channels):
                    total = sums[0, m + c * BLOCK]
                    for part in range(1, len(sums)):
                        total += sums[part, m + c * BLOCK]
                    gradient[f, c, ky, kx] += total
