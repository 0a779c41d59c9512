"""Vectors: the few instructions that the fast kernels are made of, as functions that a kernel can call.

Numba turns loops into vector instructions by itself, but it does not keep a block of running sums in registers from one
round of a loop to the next, and that is where most of the speed of a product comes from. So this page gives it a type
for the content of one register, LANES numbers wide, and for a *tile* of them: `vectors` registers of filters for each
of `pixels` pixels. Everything below takes a tile and returns a new one; the compiler keeps it in registers.

    tile of 2 vectors x 14 pixels, 16 lanes (512-bit registers): 28 of the processor's 32 registers

                      pixel 0   pixel 1   ...   pixel 13
    filters  0-15    [ zmm  ]  [ zmm  ]        [ zmm   ]      each holds one running sum for each of 16 filters
    filters 16-31    [ zmm  ]  [ zmm  ]        [ zmm   ]

    one step:  load the weights of 32 filters (2 registers), and for each pixel broadcast its one number to all lanes
               and multiply-add it to both of the pixel's sums: 28 multiply-adds for 16 loads
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model


def _lanes() -> int:
    """How many float32 fit into a register of the processor that Numba compiles for."""
    features = numba.config.CPU_FEATURES
    if features is None:
        features = binding.get_host_cpu_features().flatten()
    have = set(features.split(","))
    return 16 if "+avx512f" in have else 8 if "+avx" in have else 4


#: Numbers in a register: 16 with 512 bits, 8 with 256, 4 with 128.
LANES = _lanes()
#: Pixels of the widest tile, no more than LANES: two registers for each, two for the weights and one for a pixel must
#: fit the processor's registers, of which there are 32 with 512 bits and 16 otherwise.
PIXELS = {16: 14, 8: 6, 4: 4}[LANES]

#: Filters of a block: two registers.
BLOCK = 2 * LANES

FLOAT, INT32, INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)
#: Lets a * b + c become one instruction; see docs/decisions/0003.
CONTRACT = ("contract",)


class VectorType(types.Type):  # type: ignore[misc]  # Numba has no annotations
    """Numba's type of one register."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]  # likewise
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)


vector = VectorType()


def tile_type(vectors: int, pixels: int) -> Any:
    """The type of a tile: a tuple of `vectors` tuples of `pixels` registers."""
    return types.UniTuple(types.UniTuple(vector, pixels), vectors)


def address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """The address of element `index` of a flat array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def load(builder: Any, address: Any, offset: int) -> Any:
    """The register at `offset` numbers behind an address, which need not be aligned."""
    return builder.load(builder.bitcast(builder.gep(address, [INT64(offset)]), VECTOR.as_pointer()), align=4)


def put(builder: Any, value: Any, address: Any, offset: Any) -> None:
    """Write a register to `offset` numbers behind an address, which need not be aligned."""
    builder.store(value, builder.bitcast(builder.gep(address, [offset]), VECTOR.as_pointer()), align=4)


def shuffle(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    """A register made of numbers of two others: lane i gets number lanes[i], those of b counting from LANES on."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, LANES), lanes))


def lanes_below(builder: Any, first: Any, end: Any) -> Any:
    """Which lanes i have 0 <= first + i < end: a mask for what is inside."""
    numbers = ir.Constant(ir.VectorType(INT32, LANES), list(range(LANES)))
    index = builder.add(broadcast(builder, builder.trunc(first, INT32)), numbers)
    return builder.icmp_unsigned("<", index, broadcast(builder, builder.trunc(end, INT32)))  # -1 is large


def load_masked(builder: Any, address: Any, mask: Any, other: float = 0) -> Any:
    """The register at an address; lanes outside the mask get another number, and their memory is not touched."""
    kind = ir.FunctionType(VECTOR, [VECTOR.as_pointer(), INT32, mask.type, VECTOR])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.v{LANES}f32.p0")
    pointer = builder.bitcast(address, VECTOR.as_pointer())
    return builder.call(function, [pointer, INT32(4), mask, ir.Constant(VECTOR, [other] * LANES)])


def store_masked(builder: Any, value: Any, address: Any, mask: Any) -> None:
    """Write the lanes of a register that are inside the mask to an address."""
    kind = ir.FunctionType(ir.VoidType(), [VECTOR, VECTOR.as_pointer(), INT32, mask.type])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}f32.p0")
    builder.call(function, [value, builder.bitcast(address, VECTOR.as_pointer()), INT32(4), mask])


def broadcast(builder: Any, number: Any) -> Any:
    """A register with the same number in every lane."""
    kind = ir.VectorType(number.type, LANES)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, INT32(0))
    lanes = ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), lanes)


@intrinsic(prefer_literal=True)
def zeros(typing: Any, vectors: Any, pixels: Any) -> Any:
    """A tile of zeros; both sizes are written out as numbers, because they make its type."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return tile_type(vectors.literal_value, pixels.literal_value)(vectors, pixels), generate


@intrinsic
def accumulate(typing: Any, tile: Any, weights: Any, w: Any, source: Any, s: Any) -> Any:
    """The tile, with each pixel's number times each filter's weight added to its sum.

    `weights[w:]` holds one weight for each filter of the tile, `source[s:]` one number for each pixel.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, weights_, w_, source_, s_ = arguments
        first_weight = address(context, builder, signature.args[1], weights_, w_)
        first_pixel = address(context, builder, signature.args[3], source_, s_)
        filters = [load(builder, first_weight, v * LANES) for v in range(tile.count)]
        for p in range(tile.dtype.count):
            pixel = broadcast(builder, builder.load(builder.gep(first_pixel, [INT64(p)])))
            for v in range(tile.count):
                product = builder.fmul(filters[v], pixel, flags=CONTRACT)
                total = builder.fadd(builder.extract_value(sums, [v, p]), product, flags=CONTRACT)
                sums = builder.insert_value(sums, total, [v, p])
        return sums

    return tile(tile, weights, types.int64, source, types.int64), generate


@intrinsic(prefer_literal=True)
def prefetch(typing: Any, array: Any, index: Any, cache: Any) -> Any:
    """Ask for the cache line of array[index], which will be read; an index outside does no harm.

    `cache` is written out: the first (1) for what is read soon, the second (2) for what is not to push that out.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = address(context, builder, signature.args[0], *arguments[:2])
        kind = ir.FunctionType(ir.VoidType(), [place.type, INT32, INT32, INT32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        near = INT32(4 - cache.literal_value)
        builder.call(function, [place, INT32(0), near, INT32(1)])  # to read, how near, data
        return context.get_dummy_value()

    return types.none(array, types.int64, cache), generate


@intrinsic
def keep(typing: Any, tile: Any, sums: Any, m: Any) -> Any:
    """Write a tile to sums[m:] as it is: for each pixel a block of filters."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile_, sums_, m_ = arguments
        first = address(context, builder, signature.args[1], sums_, m_)
        for p in range(tile.dtype.count):
            for v in range(tile.count):
                put(builder, builder.extract_value(tile_, [v, p]), first, INT64(p * BLOCK + v * LANES))
        return context.get_dummy_value()

    return types.none(tile, sums, types.int64), generate


@intrinsic(prefer_literal=True)
def recall(typing: Any, sums: Any, m: Any, vectors: Any, pixels: Any, fresh: Any) -> Any:
    """The tile that `keep` wrote to sums[m:], or zeros if `fresh`: nothing is read then."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = address(context, builder, signature.args[0], arguments[0], arguments[1])
        places = [(v, p) for p in range(pixels.literal_value) for v in range(vectors.literal_value)]
        before = builder.block
        with builder.if_then(builder.not_(builder.trunc(arguments[4], ir.IntType(1)))):
            kept = [load(builder, first, p * BLOCK + v * LANES) for v, p in places]
            inside = builder.block
        either = [builder.phi(VECTOR) for _ in places]
        tile = ir.Constant(context.get_value_type(signature.return_type), ir.Undefined)
        for place, register, value in zip(places, kept, either, strict=True):
            value.add_incoming(ir.Constant(VECTOR, None), before)
            value.add_incoming(register, inside)
            tile = builder.insert_value(tile, value, place)
        return tile

    tile = tile_type(vectors.literal_value, pixels.literal_value)
    return tile(sums, types.int64, vectors, pixels, types.boolean), generate


@intrinsic
def finish(typing: Any, tile: Any, biases: Any, f: Any, slope: Any) -> Any:
    """The tile after the bias of each filter, `biases[f:]`, and the activation x > 0 ? x : slope * x.

    That one formula is linear (slope 1), relu (0), leaky (0.1) and relie (0.01).
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, biases_, f_, slope_ = arguments
        first_bias = address(context, builder, signature.args[1], biases_, f_)
        slopes, zero = broadcast(builder, slope_), ir.Constant(VECTOR, None)
        for v in range(tile.count):
            bias = load(builder, first_bias, v * LANES)
            for p in range(tile.dtype.count):
                x = builder.fadd(builder.extract_value(sums, [v, p]), bias)
                y = builder.select(builder.fcmp_ordered(">", x, zero), x, builder.fmul(x, slopes))
                sums = builder.insert_value(sums, y, [v, p])
        return sums

    return tile(tile, biases, types.int64, types.float32), generate


def transpose(builder: Any, rows: list[Any]) -> list[Any]:
    """LANES registers, turned such that row i becomes lane i: each round interleaves the first half with the second."""
    half = LANES // 2
    low = [lane for i in range(half) for lane in (i, LANES + i)]
    high = [lane for i in range(half, LANES) for lane in (i, LANES + i)]
    for _ in range(LANES.bit_length() - 1):
        pairs = list(zip(rows[:half], rows[half:], strict=True))
        rows = [shuffle(builder, a, b, lanes) for a, b in pairs for lanes in (low, high)]
    return rows


@intrinsic
def store(typing: Any, tile: Any, output: Any, o: Any, plane: Any, filters: Any, pixels: Any) -> Any:
    """Write the first `pixels` pixels of the first `filters` filters as rows: that of filter i at `output[o + i *
    plane:]`.

    A register has the filters of one pixel, a row the pixels of one filter: so each block of LANES x LANES is
    transposed first.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, output_, o_, plane_, filters_, pixels_ = arguments
        first = address(context, builder, signature.args[1], output_, o_)
        mask = lanes_below(builder, INT64(0), pixels_)
        for v in range(tile.count):
            rows = [builder.extract_value(sums, [v, p]) for p in range(min(tile.dtype.count, LANES))]
            rows += [ir.Constant(VECTOR, ir.Undefined)] * (LANES - len(rows))
            for i, row in enumerate(transpose(builder, rows)):
                number = INT64(v * LANES + i)
                with builder.if_then(builder.icmp_signed("<", number, filters_)):
                    row_address = builder.gep(first, [builder.mul(plane_, number)])
                    store_masked(builder, row, row_address, mask)
        return context.get_dummy_value()

    return types.none(tile, output, types.int64, types.int64, types.int64, types.int64), generate
