"""The gradient of a 3x3 convolution by its weights, by Winograd's way: with 36 multiplications where the sum has 144.

Seen from the weights, a patch of the output's gradient, 4x4, is the filter, the 6x6 numbers of the image around it are
the patch, and 3x3 weights are the outputs. So the image is turned into the same frequencies as on the way forward
(`winograd.py`: B' depends on the points alone), and the others are

            [    1 /  N0         0          0            0 ]          [ 1   1   1   1   1   0 ]
            [    1 /  Na      a / Na    a^2 / Na     a^3 / Na ]   A' = [ 0   a  -a   b  -b   0 ]
    G   =   [    1 /  Na     -a / Na    a^2 / Na    -a^3 / Na ]        [ 0  aa  aa  bb  bb   1 ]
            [    1 /  Nb      b / Nb    b^2 / Nb     b^3 / Nb ]
            [    1 /  Nb     -b / Nb    b^2 / Nb    -b^3 / Nb ]        N0 = aabb, Na = 2aa (aa - bb), Nb = 2bb (bb - aa)
            [        0           0          0            1    ]

    gradient  =  A' [ sum over all patches of (G grad G') * (B' patch B) ] A

The sum is the product of `weight_sums.py`, one for each frequency, with patches for pixels. Channels and filters lie
side by side already when patches are turned, so the lanes are channels or filters, and nothing is shuffled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from minidarknet.kernels.frequencies import FREQUENCIES, IN, OUT, A, B, combine, into
from minidarknet.kernels.jit import kernel, scalar
from minidarknet.kernels.simd import BLOCK, INT64, LANES, VECTOR, address, load, put
from minidarknet.kernels.tile import WIDE, Floats
from minidarknet.kernels.weight_sums import add_run, turn_image, turn_plane

Doubles = NDArray[np.float64]

ZERO = np.float32(0)
SIZE = 3
#: Pieces that the lines of patches are cut into, however many threads there are.
PIECES = 2
#: Channels whose sums are turned back by one task.
TOGETHER = 8


def _scaled(builder: Any, x: Any, factor: float) -> Any:
    return builder.fmul(x, ir.Constant(VECTOR, [factor] * LANES))


def grads_into(builder: Any, g: list[Any]) -> list[Any]:
    """G times four registers."""
    rows = [_scaled(builder, g[0], 1 / (A * A * B * B))]
    for p, other in ((A, B), (B, A)):
        distance = 2 * p * p * (p * p - other * other)
        even = combine(builder, _scaled(builder, g[0], 1 / distance), g[2], p * p / distance)
        odd = combine(builder, _scaled(builder, g[1], p / distance), g[3], p**3 / distance)
        rows += [builder.fadd(even, odd), builder.fsub(even, odd)]
    return [*rows, g[3]]


def _turned(transform: Any, side: int) -> Any:
    """An intrinsic that turns squares of `side` x `side` pixels, LANES channels of them side by side."""

    def turn(typing: Any, frequencies: Any, v: Any, pitch: Any, pixels: Any, s: Any, row_step: Any, step: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            frequencies_, v_, pitch_, pixels_, s_, row_step_, step_ = arguments
            corner = address(context, builder, signature.args[3], pixels_, s_)
            columns = []
            for x in range(side):
                cells = []
                for y in range(side):
                    place = builder.add(builder.mul(row_step_, INT64(y)), builder.mul(step_, INT64(x)))
                    cells.append(load(builder, builder.gep(corner, [place]), 0))
                columns.append(transform(builder, cells))
            first = address(context, builder, signature.args[0], frequencies_, v_)
            for i in range(IN):
                for j, value in enumerate(transform(builder, [column[i] for column in columns])):
                    put(builder, value, first, builder.mul(pitch_, INT64(IN * i + j)))
            return context.get_dummy_value()

        integer = types.int64
        return types.none(frequencies, integer, integer, pixels, integer, integer, integer), generate

    return turn


#: Turn the 6x6 pixels of an image, or the 4x4 of a gradient, at pixels[s:]: rows are `row_step` numbers apart, pixels
#: `step`. Frequency q of LANES channels goes to frequencies[v + q * pitch:].
turn_pixels = intrinsic(_turned(into, IN))
turn_grads = intrinsic(_turned(grads_into, OUT))


@scalar
def fill(numbers: Floats, start: int, end: int) -> None:
    """Write zeros to numbers[start:end]."""
    part = numbers[start:end]
    for i in range(len(part)):
        part[i] = ZERO


@scalar
def lines_of(piece: int, slab: int, lines: int, all_lines: int) -> tuple[int, int]:
    """A piece's lines from number `slab` on, up to `lines` of them: the first one, and how many."""
    start, end = piece * all_lines // PIECES + slab, (piece + 1) * all_lines // PIECES
    return start, max(0, min(lines, end - start))


@kernel
def winograd_weight_sums(
    memory: Floats,
    behind: int,
    parts: int,
    grads: Floats,
    images: Floats,
    first_filter: int,
    filters: int,
    first_channel: int,
    channels: int,
    padding: int,
    rows: int,
    columns: int,
    lines: int,
    scratch: int,
    line_size: int,
    threads: int,
) -> None:
    """Sum up the products of the frequencies of a group's grads (batch, all filters, cells) and images (batch, all
    channels, height, width).

    The lines of patches of all images are cut into PIECES. Slab by slab, threads first share the lines, and turn them;
    then they share the sums, one for each frequency and block of filters. So nothing is turned twice, and each sum has
    one writer and one order. With two threads each turns a piece, into memory that only it writes to. With two parts,
    each sums up what it has turned itself, too: no processor waits for what another one has in its cache.

    Parameters
    ----------
    memory
        (PIECES, numbers). Of each piece, a slab's frequencies (`frequencies_size` numbers); from `behind` on the sums:
        blocks of filters x frequencies x (channels, up to whole registers, + WIDE) x BLOCK numbers; from `scratch` on
        `line_size` numbers for each thread, of which every second one is here.
    parts
        Sums there are of each: 1, of all pieces one after the other, in the first row; or one for each piece.
    rows, columns
        Sides of the grads' planes.
    lines
        Lines of patches in a piece's slab.
    """
    batch, all_channels, height, width = images.shape
    all_filters, cells = grads.shape[1], rows * columns
    patch_rows, patch_columns = (rows + OUT - 1) // OUT, (columns + OUT - 1) // OUT
    blocks = (filters + BLOCK - 1) // BLOCK
    step = (channels + LANES - 1) // LANES * LANES  # between the frequencies of two patches
    pitch = (step + WIDE) * BLOCK  # between the sums of two frequencies
    row_length, grad_length, high = OUT * patch_columns + SIZE - 1, OUT * patch_columns, OUT + SIZE - 1
    source, flat, all_lines = images.reshape(-1), grads.reshape(-1), batch * patch_rows
    places = np.arange(lines * patch_columns) * step
    middle = FREQUENCIES * lines * patch_columns * step + BLOCK + WIDE  # where those of the grads begin
    for slab in range(0, (all_lines + PIECES - 1) // PIECES, lines):
        for thread in prange(threads):
            number: Any = np.int64(thread)  # a parallel index is unsigned
            image = memory[number % PIECES][scratch + number // PIECES * line_size :]
            grad = image[high * row_length * channels + BLOCK + WIDE :]
            for task in range(number * PIECES * lines // threads, (number + 1) * PIECES * lines // threads):
                piece, i = task // lines, task % lines
                start, more = lines_of(piece, slab, lines, all_lines)
                if i >= more:
                    continue
                turned, patches = memory[piece], more * patch_columns
                b, top = (start + i) // patch_rows, (start + i) % patch_rows * OUT
                s = (b * all_channels + first_channel) * height * width
                turn_image(image, 0, source, s, channels, height, width, top - padding, high, padding, row_length)
                for x in range(patch_columns):
                    for c in range(0, channels, LANES):
                        v, p = (i * patch_columns + x) * step + c, OUT * x * channels + c
                        turn_pixels(turned, v, patches * step, image, p, row_length * channels, channels)
                for block in range(blocks):
                    f = block * BLOCK
                    lanes = LANES if filters - f <= LANES else BLOCK
                    for y in range(OUT):
                        t = y * grad_length * BLOCK
                        if top + y < rows:
                            s = (b * all_filters + first_filter + f) * cells + (top + y) * columns
                            turn_plane(grad, t, BLOCK, flat, s, cells, filters - f, columns, lanes)
                            fill(grad, t + columns * BLOCK, t + grad_length * BLOCK)
                        else:
                            fill(grad, t, t + grad_length * BLOCK)
                    for x in range(patch_columns):
                        for lane in range(0, lanes, LANES):
                            v = middle + (block * FREQUENCIES * patches + i * patch_columns + x) * BLOCK + lane
                            p = OUT * x * BLOCK + lane
                            turn_grads(turned, v, patches * BLOCK, grad, p, grad_length * BLOCK, BLOCK)
        for thread in prange(threads):
            number_: Any = np.int64(thread)
            tasks, share = parts * blocks * FREQUENCIES, PIECES // parts
            for task in range(number_ * tasks // threads, (number_ + 1) * tasks // threads):
                part, sum_ = task // (blocks * FREQUENCIES), task % (blocks * FREQUENCIES)
                m, f, q, fresh = behind + sum_ * pitch, sum_ // FREQUENCIES * BLOCK, sum_ % FREQUENCIES, slab == 0
                for piece in range(part * share, (part + 1) * share):
                    _, more = lines_of(piece, slab, lines, all_lines)
                    patches, turned = more * patch_columns, memory[piece]
                    if patches > 0:
                        g, s, run = middle + sum_ * patches * BLOCK, q * patches * step, places[:patches]
                        add_run(memory[part], m, turned, g, turned, s, run, channels, filters - f, fresh)
                        fresh = False


def frequencies_size(channels: int, filters: int, patches: int) -> int:
    """Numbers of the frequencies of so many patches: of the image, and behind them of the gradients."""
    step, wide = -(-channels // LANES) * LANES, -(-filters // BLOCK) * BLOCK
    return FREQUENCIES * patches * (step + wide) + BLOCK + WIDE


def line_size(channels: int, patch_columns: int) -> int:
    """Numbers of a thread's scratch: a line of patches of the image, and of a block of the gradients."""
    image = (OUT + SIZE - 1) * (OUT * patch_columns + SIZE - 1) * channels + BLOCK + WIDE
    return image + OUT * OUT * patch_columns * BLOCK


def back_matrix() -> Doubles:
    """A': a row for each power of the points."""
    points = [0, A, -A, B, -B]
    return np.array([[*(p**power for p in points), float(power == SIZE - 1)] for power in range(SIZE)])


@scalar
def six_products(total: Doubles, a: Doubles, row: int, runs: Doubles, first: int, step: int) -> None:
    """Write to total (BLOCK,) row `row` of a times the six runs that begin with runs[first], `step` apart."""
    a0, a1, a2, a3, a4, a5 = a[row, 0], a[row, 1], a[row, 2], a[row, 3], a[row, 4], a[row, 5]
    r0, r1, r2 = runs[first], runs[first + step], runs[first + 2 * step]
    r3, r4, r5 = runs[first + 3 * step], runs[first + 4 * step], runs[first + 5 * step]
    for i in range(BLOCK):
        total[i] = a0 * r0[i] + a1 * r1[i] + a2 * r2[i] + a3 * r3[i] + a4 * r4[i] + a5 * r5[i]


@kernel
def add_winograd_sums(gradient: Floats, memory: Floats, behind: int, parts: int, a: Doubles) -> None:
    """Turn what `winograd_weight_sums` has summed up into weights, and add it to gradient (filters, channels, 3, 3)."""
    filters, channels = gradient.shape[:2]
    pitch = ((channels + LANES - 1) // LANES * LANES + WIDE) * BLOCK
    groups, flat = (channels + TOGETHER - 1) // TOGETHER, gradient.reshape(-1)
    for task in prange((filters + BLOCK - 1) // BLOCK * groups):
        block, first = np.int64(task) // groups, np.int64(task) % groups * TOGETHER
        run, whole = np.empty(BLOCK, np.float32), np.empty((FREQUENCIES, BLOCK))
        half, weights = np.empty((SIZE * IN, BLOCK)), np.empty((SIZE * SIZE, BLOCK))
        for c in range(first, min(channels, first + TOGETHER)):
            for q in range(FREQUENCIES):
                m = behind + (block * FREQUENCIES + q) * pitch + c * BLOCK
                run[:] = memory[0, m : m + BLOCK]
                for part in range(1, parts):
                    more = memory[part, m : m + BLOCK]
                    for i in range(BLOCK):
                        run[i] += more[i]
                whole[q] = run
            for y in range(SIZE):
                for j in range(IN):
                    six_products(half[IN * y + j], a, y, whole, j, IN)
                for x in range(SIZE):
                    six_products(weights[SIZE * y + x], a, x, half, IN * y, 1)
            for i in range(min(BLOCK, filters - block * BLOCK)):
                place = ((block * BLOCK + i) * channels + c) * SIZE * SIZE
                for cell in range(SIZE * SIZE):
                    flat[place + cell] += np.float32(weights[cell, i])
