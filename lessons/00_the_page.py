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
# # Lesson 0: the page, and what a network costs
#
# **You will build** a counter that tells how many operations and learned numbers a network has, before anything runs.
#
# **You will learn**
# - what a multiply-add is, and why Darknet counts it as two operations: one BFLOP is 10⁹ of them;
# - to work out the operations and the parameters of a convolution from a few whole numbers alone;
# - why few parameters do not mean few operations, and why SqueezeNet's printed 2.17 is 1.72 by the same count.
#
# **You need** Python and a little NumPy. No deep learning: every term is explained where it first comes.
#
# *In the package:* `minidarknet/layers/convolutional.py`, `minidarknet/summary.py`

# %%
from timeit import repeat

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minidarknet.course import check

# %% [markdown]
# ## The page
#
# Darknet is a program in C that runs and trains neural networks: programs whose numbers are not chosen by a person, but
# found from examples (*training*). [A page of its site](https://pjreddie.com/darknet/tiny-darknet/) compares four which
# name what a photo shows, one of 1000 *classes*, and argues: a small *file* is no use if the network is slow. It
# presents Tiny Darknet, which is as accurate as AlexNet with fewer operations, and smaller than SqueezeNet.
#
# | | top-1 | top-5 | operations | size |
# | --- | --- | --- | --- | --- |
# | AlexNet | 57.0 | 80.3 | 2.27 Bn | 238 MB |
# | Darknet Reference | 61.1 | 83.0 | 0.81 Bn | 28 MB |
# | SqueezeNet | 57.5 | 80.3 | 2.17 Bn | 4.8 MB |
# | Tiny Darknet | 58.7 | 81.7 | 0.98 Bn | 4.0 MB |
#
# *Top-1* is the share of photos whose class the network names first, in per cent; *top-5* the share that has it among
# the first five. This lesson explains the other two columns. *Bn* is a billion, 10⁹; the operations are those for one
# photo, and the size is that of the file.
#
# ## A 4x4 picture, drawn
#
# Nearly all the work of these networks is *convolution*: a small window slides over the picture. Wherever it stands,
# each cell below it is multiplied by a *weight*, and the products are added up to one output number. The weights are
# the same at every place. A set of weights is called a *filter*; training finds its numbers.

# %%
PICTURE = np.array([[1, 2, 0, 1], [0, 1, 3, 1], [2, 1, 0, 0], [1, 0, 1, 2]])
FILTER, OUTPUT = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]), np.array([[2, -10], [-1, 5]])
figure, axes = plt.subplots(1, 3, figsize=(8, 3.2))
titles = "picture, 4x4\nthe window at its 2nd place", "filter, 3x3\n9 weights", "output, 2x2\n4 places"
marks = np.s_[:3, 1:4], np.s_[:, :], np.s_[0, 1]
for axis, numbers, title, mark in zip(axes, (PICTURE, FILTER, OUTPUT), titles, marks, strict=True):
    colours = np.zeros(numbers.shape)
    colours[mark] = 0.3
    axis.pcolormesh(colours, cmap="Oranges", vmin=0, vmax=1, edgecolor="black")
    for (row, column), number in np.ndenumerate(numbers):
        axis.text(column + 0.5, row + 0.5, number, ha="center", va="center", fontsize=14)
    axis.set(title=title, aspect="equal", ylim=(len(numbers), 0))
    axis.axis("off")
figure.suptitle("Nine products make one output number. Here 1 - 4·3 + 1 = -10; the other six products are 0.", y=0.13)
plt.show()

# %% [markdown]
# ## Count it by hand
#
# Three terms. A *channel* is one plane of the picture: a colour photo has three, and each filter has weights for all of
# them. The *stride* is how many cells the window moves at a time. *Padding* is a border of zeros around the
# picture, so that the window can stand over its edge; with a padding of 1, a 3x3 filter keeps the picture's size.
#
# The loops below do a convolution, and count. A product that is added to a sum is one *multiply-add*.


# %%
def convolve_and_count(picture, filters, stride, padding):
    """Output (filters, rows, columns) of a picture (channels, height, width), and how many multiply-adds it took."""
    padded = np.pad(picture, ((0, 0), (padding, padding), (padding, padding)))
    number, channels, size, _ = filters.shape
    rows, columns = ((side - size) // stride + 1 for side in padded.shape[1:])
    output, count = np.zeros((number, rows, columns)), 0
    for f, row, column in np.ndindex(number, rows, columns):  # three loops, one inside of the other
        for c, ky, kx in np.ndindex(channels, size, size):
            output[f, row, column] += padded[c, row * stride + ky, column * stride + kx] * filters[f, c, ky, kx]
            count += 1
    return output, count


output, count = convolve_and_count(PICTURE[None], FILTER[None, None], stride=1, padding=0)  # None adds an axis of 1
assert (output[0].tolist(), count) == (OUTPUT.tolist(), 4 * 9)  # as drawn

# %% [markdown]
# With a border, products with its zeros are counted too, so every output number takes the same work:
#
#     multiply-adds = filters * rows * columns * channels * size * size
#
# Darknet counts a multiply-add as **two** operations, a product and a sum. It counts nothing else: what other layers
# do (lessons 5 to 7) touches each number once or a few times, not hundreds of times. 10⁹ operations are a *BFLOP*.


# %%
def convolution_cost(side, channels, filters, size, stride=1, padding=0):
    """(side of the output, operations by Darknet's count) for a square picture."""
    places = (side + 2 * padding - size) // stride + 1
    return places, 2 * filters * places * places * channels * size * size


for side, channels, filters, size, stride, padding in [(4, 1, 1, 3, 1, 0), (6, 3, 4, 3, 1, 1), (9, 2, 3, 5, 2, 1)]:
    picture, weights = np.ones((channels, side, side)), np.ones((filters, channels, size, size))
    output, count = convolve_and_count(picture, weights, stride, padding)
    assert convolution_cost(side, channels, filters, size, stride, padding) == (output.shape[1], 2 * count)

# %% [markdown]
# ## From a layer to a network
#
# A network is a row of *layers*, each of which reads the output of the one before. Tiny Darknet takes 224x224 pixels.
# It has convolutions, most 3x3 ones behind a 1x1 with few filters, which squeezes the channels, and *max pools*, which
# keep the largest of each 2x2 cells and so halve the sides.
#
# *Parameters* are the learned numbers. A filter has its weights and one *bias*, which is added to its outputs; where
# *batch norm* is used (lesson 7), three more. The file holds 4 bytes for each.

# %%
LAYERS = "3x16 p 3x32 p 1x16 3x128 1x16 3x128 p 1x32 3x256 1x32 3x256 p 1x64 3x512 1x64 3x512 1x128 1x1000"
side, channels, costs = 224, 3, []
for word in LAYERS.split():  # p is a pool, 3x16 are 16 filters of 3x3
    if word == "p":
        side //= 2
        costs.append(("max", 0, 0))
        continue
    size, filters = map(int, word.split("x"))
    side, operations = convolution_cost(side, channels, filters, size, padding=size // 2)
    numbers = channels * size * size + (1 if filters == 1000 else 4)  # the last layer has no batch norm
    costs.append((f"{size}x{size}", operations, filters * numbers))
    channels = filters

total, parameters = sum(cost[1] for cost in costs), sum(cost[2] for cost in costs)
print(f"{total:,} operations = {total / 1e9:.2f} Bn; {parameters:,} parameters = {4 * parameters / 2**20:.2f} MiB")
assert (total, parameters) == (983_048_192, 1_046_488)

figure, axes = plt.subplots(1, 2, figsize=(8, 4.6), sharey=True, layout="constrained")
names = [f"{number}: {cost[0]}" for number, cost in enumerate(costs)]
axes[0].barh(names, [cost[1] / 1e6 for cost in costs], color="#0072b2")
axes[1].barh(names, [cost[2] / 1e3 for cost in costs], color="#e69f00")
axes[0].set(title="operations, millions", ylabel="layer", ylim=(len(costs), -1))
axes[1].set(title="parameters, thousands")
figure.suptitle("Tiny Darknet: all 3x3 layers but the first work alike, the parameters sit at the end")
plt.show()

# %% [markdown]
# These are the page's 0.98 Bn, and its 4.0 MB, if a MB is 2²⁰ bytes (a MiB), as everywhere on that page. And its
# argument in one picture: a weight is used once for *each place* of its window, in layer 2 at 112·112 = 12,544 places,
# in layer 17 at 14·14 = 196. So the early layers have next to no parameters, and much of the work.
#
# A count is not a time, though. Here multiply-adds run as plain Python, as a loop that Numba compiles to machine code,
# and as NumPy's product of matrices, into which lesson 4 turns a convolution. On your machine:


# %% tags=["volatile"]
def dot(a, b):
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


dot_compiled = njit(dot)
row, square = np.ones(200_000, np.float32), np.ones((600, 600), np.float32)
assert dot(row, row) == dot_compiled(row, row) == 200_000  # compiles it, too
calls = (lambda: dot(row, row), 200_000), (lambda: dot_compiled(row, row), 200_000), (lambda: square @ square, 600**3)
for name, (call, count) in zip(("Python loop", "compiled loop", "product of matrices"), calls, strict=True):
    speed = 2 * count / min(repeat(call, repeat=5, number=1))
    print(f"{name:20} {speed / 1e9:8.3f} BFLOPs a second: Tiny Darknet would take {total / speed * 1e3:8,.0f} ms")

# %% [markdown]
# ## Now the real one
#
# The package builds a network from a *cfg* file (lesson 2), and prints Darknet's own layer table, whose last column is
# our count; so does `minidarknet summary tiny`. Its `flops()` of a convolution is one line: twice the size of the
# weights, (filters, channels, size, size), times rows and columns.
#
# In the table, `3 x 3 / 1` is a 3x3 window with a stride of 1, and `224 x 224 x   3` are width, height and channels.
# The last two layers make the mean of each class's plane, and probabilities of these means. Below the table: the four
# networks, beside the page.

# %%
from minidarknet.network import Network
from minidarknet.summary import table
from minidarknet.zoo import find_cfg

network = Network.from_cfg(find_cfg("tiny"))
print(table(network))
for layer, cost in zip(network.layers, costs, strict=False):  # without avg and softmax, which have neither
    assert (layer.flops(), sum(p.size for p in layer.parameters())) == cost[1:]
assert network.flops() == total

page = {"alexnet": (2.27, 238), "darknet": (0.81, 28), "squeezenet": (2.17, 4.8), "tiny": (0.98, 4.0)}
for name, (billions, megabytes) in page.items():
    network = Network.from_cfg(find_cfg(name))
    operations, size = network.flops(), 4 * sum(p.size for _, p in network.parameters()) / 2**20
    print(f"{name:10} {operations:13,} (page: {billions:.2f} Bn) {size:6.2f} MiB (page: {megabytes})")
    assert name == "squeezenet" or (round(operations / 1e9, 2), abs(size - megabytes) < 0.1) == (billions, True)

# %% [markdown]
# Seven of the eight numbers are the page's. SqueezeNet's operations are not: the page prints 2.17, the published
# network has 1.72 by the same rule, which is also what its authors say. Is a counter wrong? Let us count it by hand.
# Its *fire modules* squeeze with a few 1x1 filters, and expand with 1x1 and 3x3 ones side by side.


# %%
def squeezenet(side=227, pools=(1, 4, 8), round_up=0, border=1):
    """Operations of SqueezeNet 1.0. Its parts are 1, a convolution, and 2 to 9, the fire modules; a 3x3 pool with
    stride 2 follows those in `pools`, its size rounded up or not; `border` is the last convolution's padding."""
    (side, total), channels = convolution_cost(side, 3, 96, 7, stride=2), 96
    for number, squeeze in enumerate([0, 16, 16, 32, 32, 48, 48, 64, 64], start=1):
        if squeeze:
            for inputs, filters, size in (channels, squeeze, 1), (squeeze, 4 * squeeze, 1), (squeeze, 4 * squeeze, 3):
                total += convolution_cost(side, inputs, filters, size, padding=size // 2)[1]
            channels = 8 * squeeze  # the outputs of both expanding layers
        if number in pools:
            side = (side - 3 + round_up) // 2 + 1
    return total + convolution_cost(side, channels, 1000, 1, padding=border)[1]


assert squeezenet() == Network.from_cfg(find_cfg("squeezenet")).flops()
for variant in {}, {"side": 256}, {"side": 256, "round_up": 1, "border": 0}, {"pools": (1, 5, 9)}:
    print(f"{squeezenet(**variant) / 1e9:.3f} Bn: {variant or 'as published'}")

# %% [markdown]
# So the published geometry does not give 2.17. A network with its second and third pool one module too late does, and
# photos of 256x256 come near. Which one the page's author counted is not known: Darknet never had a cfg of it.
# The page's point stands: SqueezeNet has a sixth of Darknet Reference's parameters, and twice its operations.
#
# ## Exercises
#
# ### Exercise 0.1: the operations of a convolution
# Write the count for pictures that are no squares, and with groups: `groups=g` splits channels and filters into g equal
# parts, and a filter sees the channels of its own part only. `operations(1, 4, 4, 1, 3, 1, 0, 1)` is 72.


# %%
def operations(channels, height, width, filters, size, stride, padding, groups):
    """Operations of a convolution by Darknet's count: two for each multiply-add."""
    ### BEGIN SOLUTION
    rows = (height + 2 * padding - size) // stride + 1
    columns = (width + 2 * padding - size) // stride + 1
    return 2 * filters * rows * columns * (channels // groups) * size * size
    ### END SOLUTION


# %%
check("0.1", operations)

# %% [markdown]
# ### Exercise 0.2: repair the counter of parameters
# This counter is wrong for some layers. `learned(3, 16, 3, True)` is 496, and `learned(128, 1000, 1, False)` 129,000.


# %%
def learned(channels, filters, size, batch_norm):
    """Parameters of a convolution: weights and biases, and with batch norm scales, means and variances."""
    ### BEGIN SOLUTION
    each = channels * size * size + 1 + (3 if batch_norm else 0)
    return filters * each
    ### BEGIN STUB
    # each = channels * size + 1
    # return filters * each + (3 if batch_norm else 0)
    ### END SOLUTION


# %%
check("0.2", learned)

# %% [markdown]
# ### Exercise 0.3: read a table
# Given the text of a layer table as printed above, return the number of the layer with the most BFLOPs, the first of
# equal ones. Lines without the word BFLOPs are no convolutions, and the first line is a heading.


# %%
def most_expensive(text):
    """The number of the convolution with the largest figure in front of `BFLOPs`."""
    ### BEGIN SOLUTION
    rows = [line.split() for line in text.splitlines() if line.endswith("BFLOPs")]
    return int(max(rows, key=lambda row: float(row[-2]))[0])
    ### END SOLUTION


# %%
check("0.3", most_expensive)

# %% [markdown]
# ## Where next
#
# Lesson 1 makes a photo into an array, lesson 2 a cfg into layers. `minidarknet compare` prints the table with times.
