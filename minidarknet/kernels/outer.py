"""Sums of outer products, with the tile: what the way back of a connected layer is made of.

    output [p, i]  =  sum over k of  factors[k, p] * rows[k, i]

Each k adds the product of a column and a row, and the rows are as they lie in memory, so that 32 neighbouring i are in
the lanes, and 14 p are the tile's pixels. By the weights, k are the images, p the outputs and i the inputs; by the
input, k are the outputs, p the images and i the inputs again, and rows are the weights themselves.

Where a tile would end outside, it begins earlier instead, and does not write what another one has written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from minidarknet.kernels.jit import kernel
from minidarknet.kernels.simd import (
    BLOCK,
    INT64,
    LANES,
    VECTOR,
    accumulate,
    address,
    broadcast,
    lanes_below,
    load_masked,
    store_masked,
    zeros,
)
from minidarknet.kernels.tile import WIDE

Floats = NDArray[np.float32]

#: How many k, and blocks of inputs, are done at a time: with one tile for all outputs each row's numbers are read once,
#: and long stretches suit the memory; with several tiles the cache must hold what all of them read.
ONE_TILE, MANY_TILES = (16, 128), (128, 32)


@intrinsic
def put_rows(typing: Any, tile: Any, output: Any, o: Any, step: Any, pixel: Any, lane: Any, adds: Any) -> Any:
    """Write a tile to output[o:], a row for each pixel, `step` numbers apart: from pixel `pixel` and lane `lane` on.

    If `adds`, the sums are added to what is there.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, output_, o_, step_, pixel_, lane_, adds_ = arguments
        first = address(context, builder, signature.args[1], output_, o_)
        zero = ir.Constant(VECTOR, None)
        flag = broadcast(builder, builder.icmp_signed("!=", adds_, adds_.type(0)))
        for p in range(tile.dtype.count):
            with builder.if_then(builder.icmp_signed(">=", INT64(p), pixel_)):
                for v in range(tile.count):
                    place = builder.gep(first, [builder.add(builder.mul(step_, INT64(p)), INT64(v * LANES))])
                    # lanes v * LANES + i >= lane, that is: not below it
                    mask = builder.not_(lanes_below(builder, INT64(v * LANES), lane_))
                    old = builder.select(flag, load_masked(builder, place, builder.and_(mask, flag)), zero)
                    total = builder.fadd(old, builder.extract_value(sums, [v, p]))
                    store_masked(builder, total, place, mask)
        return context.get_dummy_value()

    integer = types.int64
    return types.none(tile, output, integer, integer, integer, integer, types.boolean), generate


@kernel
def outer_products(output: Floats, factors: Floats, rows: Floats, adds: bool, threads: int) -> None:
    """Write into output (outputs, inputs), or add to it, the sum over k of factors (k, outputs) times rows (k, inputs).

    Threads share the inputs. A tile's numbers lie in as many rows as it has outputs and k, far apart, so a thread takes
    a panel of neighbouring inputs at a time, and some k of them, which stay in its cache until all tiles are through.
    """
    (depth, outputs), inputs = factors.shape, rows.shape[1]
    blocks = (inputs + BLOCK - 1) // BLOCK
    flat, weights = output.reshape(-1), rows.reshape(-1)
    # Of fewer outputs than a tile has, those of a whole tile are made: zeros stand before the first.
    width = max(outputs, WIDE)
    source = np.zeros((depth, width), np.float32)
    source[:, width - outputs :] = factors
    numbers = source.reshape(-1)
    deep, long = ONE_TILE if width == WIDE else MANY_TILES
    for thread in prange(threads):
        number: Any = np.int64(thread)  # a parallel index is unsigned
        begin, end = number * blocks // threads, (number + 1) * blocks // threads
        if inputs < BLOCK:
            for p in range(outputs if begin < end else 0):
                for j in range(inputs):
                    total = flat[p * inputs + j] if adds else np.float32(0)
                    for k in range(depth):
                        total += factors[k, p] * weights[k * inputs + j]
                    flat[p * inputs + j] = total
            continue
        for panel in range(begin, end, long):
            for low in range(0, max(depth, 1), deep):
                for first in range(0, width, WIDE):
                    pixel = min(first, width - WIDE)
                    skipped = max(first - pixel, width - outputs)
                    for block in range(panel, min(end, panel + long)):
                        i = min(block * BLOCK, inputs - BLOCK)
                        tile = zeros(2, WIDE)
                        for k in range(low, min(depth, low + deep)):
                            tile = accumulate(tile, weights, k * inputs + i, numbers, k * width + pixel)
                        o = (pixel - (width - outputs)) * inputs + i
                        put_rows(tile, flat, o, inputs, skipped, block * BLOCK - i, adds or low > 0)


def outer_products_naive(output: Floats, factors: Floats, rows: Floats, adds: bool) -> None:
    """The same by definition."""
    if not adds:
        output[:] = 0
    for factor, row in zip(factors, rows, strict=True):
        output += factor[:, None] * row
