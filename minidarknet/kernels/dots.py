"""Dot products of two sets of rows: what a connected layer is made of, with its weights as they lie in the file.

Here both factors run along k, so the lanes of a register are neighbouring k, and a tile has one running sum for each
pair of rows; when all k are through, the LANES parts of each sum are added up:

    tile of 4 rows of weights x 6 images, 16 lanes: 24 of 32 registers

                image 0   image 1   ...   image 5
    weights 0   [ zmm  ]  [ zmm  ]        [ zmm  ]      lane i holds the sum over k = i, i + 16, i + 32, ...
    weights 1   [ zmm  ]  ...
    weights 2
    weights 3

    one step:  load 16 numbers of each of 6 images (6 registers), and for each row of weights load 16 numbers and
               multiply-add them to the row's sums: 24 multiply-adds for 10 loads

The weights are read once for all images of a tile. A sum's order does not depend on the tile that it is in, so an image
has the same bits alone and in a batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from minidarknet.kernels.jit import kernel, scalar
from minidarknet.kernels.simd import (
    CONTRACT,
    FLOAT,
    INT32,
    INT64,
    LANES,
    address,
    lanes_below,
    load,
    load_masked,
    shuffle,
    zeros,
)

Floats = NDArray[np.float32]

#: Rows of weights and images of the tile.
ROWS, IMAGES = 4, {16: 6, 8: 2, 4: 2}[LANES]


@intrinsic
def add_products(typing: Any, tile: Any, a: Any, i: Any, a_step: Any, b: Any, j: Any, b_step: Any, count: Any) -> Any:
    """The tile plus the products of a[i:] and b[j:], LANES numbers of each row; rows are a_step and b_step apart.

    Only the first `count` numbers are read, if it is below LANES.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, a_, i_, a_step_, b_, j_, b_step_, count_ = arguments
        first_a = address(context, builder, signature.args[1], a_, i_)
        first_b = address(context, builder, signature.args[4], b_, j_)
        mask = None if isinstance(count, types.NoneType) else lanes_below(builder, INT64(0), count_)

        def row(first: Any, step: Any, number: int) -> Any:
            place = builder.gep(first, [builder.mul(step, INT64(number))])
            return load(builder, place, 0) if mask is None else load_masked(builder, place, mask)

        right = [row(first_b, b_step_, number) for number in range(tile.dtype.count)]
        for v in range(tile.count):
            left = row(first_a, a_step_, v)
            for p in range(tile.dtype.count):
                product = builder.fmul(left, right[p], flags=CONTRACT)
                total = builder.fadd(builder.extract_value(sums, [v, p]), product, flags=CONTRACT)
                sums = builder.insert_value(sums, total, [v, p])
        return sums

    integer = types.int64
    return tile(tile, a, integer, integer, b, integer, integer, count), generate


@intrinsic
def put_totals(typing: Any, tile: Any, output: Any, o: Any, step: Any, adds: Any) -> Any:
    """Add up the lanes of each sum, and write that of row v and image p to output[o + p * step + v].

    If `adds`, it is added to what is there.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, output_, o_, step_, adds_ = arguments
        first = address(context, builder, signature.args[1], output_, o_)
        flag = builder.icmp_signed("!=", adds_, adds_.type(0))
        for v in range(tile.count):
            for p in range(tile.dtype.count):
                total = builder.extract_value(sums, [v, p])
                half = LANES // 2
                while half:  # the upper half of the lanes onto the lower, until one is left
                    upper = shuffle(builder, total, total, [(lane + half) % LANES for lane in range(LANES)])
                    total, half = builder.fadd(total, upper), half // 2
                place = builder.gep(first, [builder.add(builder.mul(step_, INT64(p)), INT64(v))])
                number = builder.extract_element(total, INT32(0))
                before = builder.select(flag, builder.load(place), FLOAT(0))
                builder.store(builder.fadd(before, number), place)
        return context.get_dummy_value()

    return types.none(tile, output, types.int64, types.int64, types.boolean), generate


@scalar
def sum_rows(
    tile: Any, output: Floats, o: int, outputs: int, weights: Floats, w: int, source: Floats, s: int, inputs: int
) -> None:
    """Write the dot products of the tile's rows, from weights[w:] on, and images, from source[s:] on."""
    whole = inputs - inputs % LANES
    for k in range(0, whole, LANES):
        tile = add_products(tile, weights, w + k, inputs, source, s + k, inputs, None)
    tile = add_products(tile, weights, w + whole, inputs, source, s + whole, inputs, inputs - whole)
    put_totals(tile, output, o, outputs, False)


@kernel
def dots(output: Floats, source: Floats, weights: Floats, threads: int) -> None:
    """Write source (batch, inputs) @ weights (outputs, inputs).T into output (batch, outputs).

    Threads share the outputs, so that each reads its own weights, in one long run.
    """
    (batch, inputs), outputs = source.shape, len(weights)
    groups = (outputs + ROWS - 1) // ROWS
    flat, images, rows = output.reshape(-1), source.reshape(-1), weights.reshape(-1)
    for thread in prange(threads):
        number = np.int64(thread)  # a parallel index is unsigned
        for group in range(number * groups // threads, (number + 1) * groups // threads):
            first = group * ROWS
            b = 0
            while b < batch:
                o, s = b * outputs + first, b * inputs
                if first + ROWS > outputs:
                    for i in range(outputs - first):
                        sum_rows(zeros(1, 1), flat, o + i, outputs, rows, (first + i) * inputs, images, s, inputs)
                    b += 1
                elif b + IMAGES > batch:
                    sum_rows(zeros(ROWS, 1), flat, o, outputs, rows, first * inputs, images, s, inputs)
                    b += 1
                else:
                    sum_rows(zeros(ROWS, IMAGES), flat, o, outputs, rows, first * inputs, images, s, inputs)
                    b += IMAGES


def dots_naive(output: Floats, source: Floats, weights: Floats) -> None:
    """The same by definition, one product after the other."""
    for b in range(len(source)):
        for o in range(len(weights)):
            total = np.float32(0)
            for i in range(source.shape[1]):
                total += source[b, i] * weights[o, i]
            output[b, o] = total
