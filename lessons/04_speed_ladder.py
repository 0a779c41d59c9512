# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---
# %% [markdown]
# # Lesson 4: the speed ladder
#
# **You will build** five ways to compute one and the same convolution, each faster than the one before.
#
# **You will learn**
# - what a compiler, several threads, and the order of loops gain, each measured on your own machine,
# - how two threads spoil a sum, and how to share work so that they cannot,
# - to say how far a piece of code is from what the machine can do at the most.
#
# **You need** lesson 3, whose seven loops are the first rung.
#
# *In the package:* `minidarknet/layers/convolver.py`, `minidarknet/kernels/im2col.py`, `minidarknet/kernels/tile.py`
# %%
from timeit import repeat

import matplotlib.pyplot as plt
import numpy as np
from numba import get_num_threads, njit, prange

from minidarknet.course import check

ORANGE, BLUE = "#E69F00", "#56B4E9"


def draw_grid(axes, numbers, title, color):
    """Draw a small array with its numbers; color(row, column) is that of a cell."""
    for y, x in np.ndindex(numbers.shape):
        axes.add_patch(plt.Rectangle((x, y), 1, 1, fc=color(y, x), ec="0.4"))
        axes.text(x + 0.5, y + 0.5, f"{numbers[y, x]:g}", ha="center", va="center")
    axes.set(xlim=(-0.1, numbers.shape[1] + 0.1), ylim=(len(numbers) + 0.1, -0.1), aspect="equal", title=title)
    axes.axis("off")


# %% [markdown]
# ## A convolution is a matrix product
# Lay each window out as a column, and the filter as a row. Then an output number is a row times a column: number by
# number, and added up. All of them at once are one *matrix product*, `a @ b` in NumPy, which people have made quick for
# fifty years: `a` has a row for each filter, `b` a column for each window. With the picture of lesson 3 and one filter:
# %%
image = np.array([[1, 0, 2, 1], [0, 1, 0, 2], [3, 1, 2, 0], [1, 0, 1, 1]], np.float32)
columns = np.stack([image[y : y + 3, x : x + 3].reshape(9) for y, x in np.ndindex(2, 2)], axis=1)
row = np.eye(3, dtype=np.float32).reshape(1, 9)
assert np.array_equal(row @ columns, [[4, 0, 2, 4]])  # lesson 3's output, row after row
figure, axes = plt.subplots(1, 4, figsize=(8, 3.6), layout="constrained", width_ratios=[4, 9, 4, 4])
draw_grid(axes[0], image, "image", lambda y, x: ORANGE if y < 3 and x < 3 else "white")
draw_grid(axes[1], row, "filter, as a row", lambda y, x: BLUE)
draw_grid(axes[2], columns, "windows,\nas columns", lambda y, x: (ORANGE, "white", "white", "white")[x])
draw_grid(axes[3], row @ columns, "output", lambda y, x: (ORANGE, "white", "white", "white")[x])
figure.suptitle("The orange window becomes the orange column; blue times orange is the orange 4")
plt.show()


# %% [markdown]
# ## Rungs 1 to 3: loops, compiled loops, loops on all cores
# One function serves three rungs. In plain Python, `prange` is `range`. `njit` makes machine code of it, for the types
# of the first call. With `parallel=True`, the rounds of a `prange` loop are shared among *threads*: each works by
# itself, on a processor *core* of its own. The image has its border of zeros already.
# %%
def loops(output, image, weights):
    """One image (channels, height, width), weights (filters, channels, size, size), output (filters, rows, columns)."""
    for f in prange(output.shape[0]):
        for y in range(output.shape[1]):
            for x in range(output.shape[2]):
                total = np.float32(0)
                for c in range(weights.shape[1]):
                    for ky in range(weights.shape[2]):
                        for kx in range(weights.shape[3]):
                            total += image[c, y + ky, x + kx] * weights[f, c, ky, kx]
                output[f, y, x] = total


compiled, shared = njit(loops), njit(parallel=True)(loops)


# %% [markdown]
# The filters are shared, and each writes a plane of its own. What if threads write to one place? `counts[v] += 1` is
# three steps: read, add, write. If both threads read 7, both write 8, and a count is lost. This is a *race*. No error
# tells of it, and each run loses others, or on a busy machine none; only a single thread never does. Hence the rule of
# all kernels in this package: **each number has one writer**.
# %% tags=["volatile"]
@njit(parallel=True)
def count_with_race(counts, values):
    for i in prange(len(values)):
        counts[values[i]] += 1


values = np.random.default_rng(4).integers(0, 10, 200_000)
for _ in range(3):
    counts = np.zeros(10, np.int64)
    count_with_race(counts, values)
    print(f"{get_num_threads()} threads have counted {counts.sum():,} of {len(values):,} values")


# %% [markdown]
# ## Rung 4: columns, and the right order of loops
# A processor adds 4, 8 or 16 numbers in one instruction (*SIMD*) if they lie side by side and do not depend on each
# other. In our loops each addition to `total` waits for the one before. So the innermost loop must run over *different*
# sums: along the pixels. `"contract"` lets a multiplication and its addition become one instruction, with one rounding.
# %%
def lay_out(columns, image):
    """Copy image (channels, height, width) into columns (channels, size, size, rows, row length)."""
    size, rows, length = columns.shape[2:]
    for ky, kx in np.ndindex(size, size):
        columns[:, ky, kx] = image[:, ky : ky + rows, kx : kx + length]


@njit(parallel=True, fastmath={"contract"})
def multiply(output, a, b):
    """Write a (m, k) @ b (k, n) into output (m, n)."""
    for i in prange(len(a)):
        row = output[i]
        row[:] = 0
        for k in range(len(b)):
            weight, numbers = a[i, k], b[k]
            for j in range(len(row)):
                row[j] += weight * numbers[j]


# %% [markdown]
# ## Rung 5: a tile
# Rung 4 loads two numbers and stores one for each multiply-add, and that takes more time than the arithmetic. In a
# *tile* of 4 filters and 4 values of `k`, each loaded number serves 4 multiply-adds, and each sum is loaded and stored
# once for 4. A strip of 256 pixels is used again while it is in the *cache*, the small and quick memory of a core.
# %%
@njit(parallel=True, fastmath={"contract"})
def multiply_tiles(output, a, b):
    """The same; m and k are multiples of 4."""
    for block in prange(len(a) // 4):
        i = np.int64(block) * 4  # in some versions of Numba, block is unsigned: count with a plain number
        output[i : i + 4] = 0
        for left in range(0, b.shape[1], 256):
            o0, o1 = output[i, left:][:256], output[i + 1, left:][:256]
            o2, o3 = output[i + 2, left:][:256], output[i + 3, left:][:256]
            for k in range(0, len(b), 4):
                b0, b1, b2, b3 = b[k, left:], b[k + 1, left:], b[k + 2, left:], b[k + 3, left:]
                w0, w1, w2, w3 = a[i, k : k + 4], a[i + 1, k : k + 4], a[i + 2, k : k + 4], a[i + 3, k : k + 4]
                for j in range(len(o0)):
                    x0, x1, x2, x3 = b0[j], b1[j], b2[j], b3[j]
                    o0[j] += w0[0] * x0 + w0[1] * x1 + w0[2] * x2 + w0[3] * x3
                    o1[j] += w1[0] * x0 + w1[1] * x1 + w1[2] * x2 + w1[3] * x3
                    o2[j] += w2[0] * x0 + w2[1] * x1 + w2[2] * x2 + w2[3] * x3
                    o3[j] += w3[0] * x0 + w3[1] * x1 + w3[2] * x2 + w3[3] * x3


# %% [markdown]
# ## The ladder
# All of them on a layer of Tiny Darknet: 16 channels of 56x56, 128 filters of 3x3. All must agree. Plain Python gets
# only 4 rows of 2 filters, or we would wait too long. Laying out counts as a part of rungs 4 and 5. We measure in
# GFLOP/s (lesson 3): billions of multiplications and additions a second.
# %% tags=["volatile"]
CHANNELS, SIDE, FILTERS = 16, 56, 128
generator = np.random.default_rng(4)
x = generator.random((CHANNELS, SIDE, SIDE), np.float32)
weights = generator.standard_normal((FILTERS, CHANNELS, 3, 3), np.float32)
bordered, flat = np.pad(x, ((0, 0), (1, 1), (1, 1))), weights.reshape(FILTERS, -1)
windows = np.empty((CHANNELS, 3, 3, SIDE, SIDE), np.float32)


def by_columns(product, output):
    lay_out(windows, bordered)
    product(output.reshape(FILTERS, -1), flat, windows.reshape(flat.shape[1], -1))


def best(call):
    """The shortest of several times, in seconds: whatever else the machine does can only make them longer."""
    call()  # compiles
    return min(repeat(call, number=1, repeat=12))


operations = 2 * FILTERS * SIDE * SIDE * flat.shape[1]  # a multiplication and an addition each
expected, speeds = np.empty((FILTERS, SIDE, SIDE), np.float32), {}
compiled(expected, bordered, weights)
for name, function in [
    ("loops in Python", loops),
    ("compiled", compiled),
    ("on all cores", shared),
    ("columns", lambda output, *_: by_columns(multiply, output)),
    ("columns, tiles", lambda output, *_: by_columns(multiply_tiles, output)),
]:
    part = (slice(2), slice(4), slice(None)) if function is loops else (slice(None),) * 3  # filters, rows, columns
    output = np.zeros_like(expected[part])
    seconds = best(lambda run=function, output=output, part=part: run(output, bordered, weights[part[:1]]))
    assert np.abs(output - expected[part]).max() < 1e-4 * np.abs(expected).max()
    speeds[name] = operations * output.size / expected.size / seconds / 1e9
    print(f"{name:16} {speeds[name]:9.4f} GFLOP/s")
# %% [markdown]
# ## Now the real one
# The package's tile keeps sums in *registers*, the few places that the processor computes in, until they are complete:
# 32 filters x 14 pixels, where a register holds 16 numbers. Loops in Numba do not do that, so `kernels/simd.py` teaches
# it a type for a register. *Winograd's* method first adds and subtracts neighbouring pixels, and the weights of a
# filter among each other; then 36 multiplications do the work of 144. The *peak* is what multiply-adds alone reach.
# %% tags=["volatile"]
from minidarknet.benchmark import measure_machine
from minidarknet.cfg import parse_cfg
from minidarknet.layers.convolver import Direct, Winograd
from minidarknet.network import Network

net_section, section = "channels=16\nheight=56\nwidth=56", "filters=128\nsize=3\nstride=1\npad=1\nactivation=linear"
for name, method in [("package, tile", Direct), ("package, Winograd", Winograd)]:
    net = Network.from_cfg(parse_cfg(f"[net]\n{net_section}\n[convolutional]\n{section}"))
    net.initialize(seed=4)
    (layer,) = net.layers
    layer.weights.array, c = weights, layer.convolver
    layer.convolver = method(c.source, c.target, c.size, c.stride, c.padding, c.groups)  # it would choose by itself
    assert np.abs(net.forward(x)[0] - expected).max() < 1e-4 * np.abs(expected).max()
    speeds[name] = operations / best(lambda net=net: net.forward(x)) / 1e9
machine = measure_machine(get_num_threads())  # the most operations, and the most bytes read from memory, a second
for name, speed in speeds.items():
    print(f"{name:18} {speed:9.4f} GFLOP/s {100 * speed / (machine.flops / 1e9):9.3f} % of the peak")
# %% [markdown]
# A *roofline* shows what holds code back. Across: operations for each byte that has to come from memory or go there.
# Few of them, and the memory is the limit, on the left: twice the operations a byte, twice the speed. Many, and it is
# the arithmetic. Adding two arrays, 1 operation for 12 bytes, stands so far left that faster arithmetic is of no use.
#
# All our rungs stand below the flat roof: nothing but the code keeps the lower ones down. Winograd may stand above it,
# as we count the operations of the definition, and it does fewer.
# %% tags=["volatile"]
moved = 4 * (x.size + weights.size + expected.size)  # each number once
points = {name: (operations / (moved + 8 * windows.size * name.startswith("col")), y) for name, y in speeds.items()}
across = np.logspace(-0.7, 3.5, 200)
figure, axes = plt.subplots(figsize=(8, 4.8))
axes.loglog(across, np.minimum(across * machine.bandwidth, machine.flops) / 1e9, color="0.4", lw=2)
axes.text(0.9, machine.bandwidth / 1e9, "memory ", ha="right", va="bottom", color="0.3")
axes.text(3000, 1.15 * machine.flops / 1e9, "arithmetic", ha="right", color="0.3")
for number, (name, (intensity, speed)) in enumerate(points.items()):
    axes.plot(intensity, speed, "so^vDP*"[number], color=ORANGE if "package" in name else "#0072B2", ms=9)
    axes.annotate(name, (intensity, speed), (9, -4), textcoords="offset points")
axes.set(xlabel="operations for each byte moved", ylabel="GFLOP/s", title="Each rung climbs towards the roof")
plt.show()


# %% [markdown]
# | line | here | in the package |
# | --- | --- | --- |
# | `lay_out` | a copy, nine times the image | for small images only; else `offsets` says where the number for `k` is |
# | `o0[j] += ...` | a sum is loaded and stored each time | `accumulate` in `kernels/simd.py`: it stays in a register |
#
# `docs/performance.md` climbs on.
#
# ## Exercises
# ### Exercise 4.1: under which roof?
# A layer does `operations` and moves `moved` bytes; a machine does at most `flops` operations and `bandwidth` bytes a
# second, both at the same time. Return the least seconds that it takes, and whether `"memory"` or `"arithmetic"` is
# what it waits for: `least(4, 10, 2, 1)` is `(10, "memory")`.
# %%
def least(operations, moved, flops, bandwidth):
    ### BEGIN SOLUTION
    arithmetic, memory = operations / flops, moved / bandwidth
    return max(arithmetic, memory), "memory" if memory > arithmetic else "arithmetic"
    ### END SOLUTION


# %%
check("4.1", least)


# %% [markdown]
# ### Exercise 4.2: parallel without a race
# Return how often each of 0 .. bins - 1 is in `values`, as an array. The check compiles it with `parallel=True`. Let a
# `prange` run over the parts of the values, and give each part counts of its own. Numba wants `part` itself unchanged:
# to count on from it, begin with `np.int64(part)`. `histogram(np.array([2, 0, 2]), 4, 2)` is `[1, 0, 2, 0]`.
# %%
def histogram(values, bins, parts):
    ### BEGIN SOLUTION
    counts = np.zeros((parts, bins), np.int64)
    for part in prange(parts):
        for i in range(np.int64(part), len(values), parts):
            counts[part, values[i]] += 1
    for part, value in np.ndindex(parts - 1, bins):
        counts[0, value] += counts[part + 1, value]
    return counts[0]
    ### END SOLUTION


# %%
check("4.2", histogram)


# %% [markdown]
# ### Exercise 4.3: reach a bar
# Write `a @ b` into `output`, whatever it held before, in loops that the check compiles with `njit`. The bar: a fifth
# of the time of the plain loops over i, j and k, measured in the same moment, on one core. The same loops in another
# order can do far better.
# %%
def multiply_quickly(output, a, b):
    ### BEGIN SOLUTION
    output[:] = 0
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                output[i, j] += a[i, k] * b[k, j]
    ### END SOLUTION


# %%
check("4.3", multiply_quickly)
# %% [markdown]
# ## Where next
# `minidarknet bench tiny` shows each layer beside the peaks of your machine. Lesson 5 slides windows without weights.
