"""What this machine can do at the very most: multiply-adds in registers, and bytes read from memory.

Every speed that is measured is a share of one of these two, and a layer is done with when it has reached either. Both
are measured by kernels of the same kind as those that do the work: no data sheet, no other compiler.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from minidarknet.kernels.jit import kernel
from minidarknet.kernels.simd import CONTRACT, LANES, VECTOR

#: Running numbers in each thread, a register each. A multiply-add takes 4 or 5 cycles and a processor begins up to two
#: in each, so 10 must be under way at a time; and with two operands they fit the 16 registers of any processor.
REGISTERS = 12
#: float32 numbers that one thread works on.
NUMBERS = REGISTERS * LANES
#: Operations of one thread in one round: a multiplication and an addition for each number.
OPERATIONS = 2 * NUMBERS
#: Bits of one register.
REGISTER_BITS = 32 * LANES


@intrinsic
def _rounds(typing: Any, numbers: Any, n: Any, rounds: Any, factor: Any, shift: Any) -> Any:
    """REGISTERS registers, from numbers[n:] and back again; in between, `rounds` times x * factor + shift.

    No round can be left out: each needs the one before, and its operands are only known when it runs.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers_, n_, rounds_, factor_, shift_ = arguments
        data = context.make_array(signature.args[0])(context, builder, numbers_).data
        first = builder.bitcast(builder.gep(data, [n_]), VECTOR.as_pointer())
        places = [builder.gep(first, [context.get_constant(types.int64, i)]) for i in range(REGISTERS)]
        # The compiler turns variables whose address nobody takes into registers.
        registers = [cgutils.alloca_once_value(builder, builder.load(place, align=4)) for place in places]
        factors, shifts = ir.Constant(VECTOR, ir.Undefined), ir.Constant(VECTOR, ir.Undefined)
        for lane in range(LANES):
            factors = builder.insert_element(factors, factor_, context.get_constant(types.int32, lane))
            shifts = builder.insert_element(shifts, shift_, context.get_constant(types.int32, lane))
        with cgutils.for_range(builder, rounds_):
            for x in registers:
                product = builder.fmul(builder.load(x), factors, flags=CONTRACT)
                builder.store(builder.fadd(product, shifts, flags=CONTRACT), x)
        for place, x in zip(places, registers, strict=True):
            builder.store(builder.load(x), place, align=4)
        return context.get_dummy_value()

    return types.none(numbers, types.int64, types.int64, types.float32, types.float32), generate


@kernel
def multiply_adds(numbers: NDArray[np.float32], rounds: int, factor: np.float32, shift: np.float32) -> None:
    """Replace all numbers (threads, NUMBERS), `rounds` times, by x * factor + shift, each thread its own row."""
    flat = numbers.reshape(-1)
    for thread in prange(numbers.shape[0]):
        _rounds(flat, np.int64(thread) * NUMBERS, rounds, factor, shift)


@kernel
def write_all(numbers: NDArray[np.int64], value: int) -> None:
    """Fill numbers (threads, any), each thread its own row, which a machine with several memories then keeps near."""
    for thread in prange(numbers.shape[0]):
        numbers[thread] = value


@kernel
def read_all(sums: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
    """Sum up the rows of numbers (threads, any). They are integers, whose sum may be vectorised in any order."""
    for thread in prange(numbers.shape[0]):
        total = np.int64(0)
        for number in numbers[thread]:
            total += number
        sums[thread] = total
