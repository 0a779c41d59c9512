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
# - to work out the operations and the parameters of a convolution from its geometry alone;
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
# Darknet is a program in C that runs and trains neural networks. A page of its site compares four networks that name
# what a photo shows, one of 1000 classes, and argues: a small *file* is no use if the network is slow. It presents
# Tiny Darknet, which is as accurate as AlexNet with fewer operations, and smaller than SqueezeNet.
#
# Here is the page's table. *Top-1* is the share of photos whose class the network names first, in per cent;
# *top-5* the share that has it among the first five. This lesson explains the other two columns.

# %%
PAGE = {  # name: top-1, top-5, operations in billions, size of the file in MB
    "AlexNet": (57.0, 80.3, 2.27, 238.0),
    "Darknet Reference": (61.1, 83.0, 0.81, 28.0),
    "SqueezeNet": (57.5, 80.3, 2.17, 4.8),
    "Tiny Darknet": (58.7, 81.7, 0.98, 4.0),
}
for name, (top1, top5, billions, megabytes) in PAGE.items():
    print(f"{name:18} top-1 {top1}  top-5 {top5}  operations {billions:.2f} Bn  size {megabytes:5.1f} MB")

# %% [markdown]
# ## A 4x4 picture, drawn
#
# Nearly all the work of these networks is *convolution*: a small window slides over the picture. Wherever it stands,
# each cell below it is multiplied by a *weight*, and the products are added up to one output number. The weights are
# the same at every place. A set of weights is called a *filter*; training finds its numbers.

# %%
PICTURE = np.array([[1, 2, 0, 1], [0, 1, 3, 1], [2, 1, 0, 0], [1, 0, 1, 2]])
FILTER = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
OUTPUT = np.array([[2, -10], [-1, 5]])
BLUE, ORANGE = "#0072b2", "#e69f00"

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
figure.suptitle("Nine products make one output number. Here 1 - 4·3 + 1 = -10; the other six products are 0.", y=0.06)
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


output, count = convolve_and_count(PICTURE[None], FILTER[None, None], stride=1, padding=0)
assert np.array_equal(output[0], OUTPUT)  # as drawn
assert count == 4 * 9
_, padded_count = convolve_and_count(PICTURE[None], FILTER[None, None], stride=1, padding=1)
assert padded_count == 16 * 9
print(f"without padding {count} multiply-adds, with a padding of 1 {padded_count}")

# %% [markdown]
# Products with the border's zeros are counted too, though they add nothing, so every output number takes the same work.
# Then no loop is needed to count it:
#
# $$\text{multiply-adds} = \text{filters} \cdot \text{rows} \cdot \text{columns} \cdot \text{channels} \cdot
# \text{size}^2$$
#
# Darknet counts a multiply-add as **two** operations, a product and a sum. It counts nothing else: pooling,
# activations and normalisation touch each number once or a few times, not hundreds of times.


# %%
def convolution_cost(side, channels, filters, size, stride=1, padding=0):
    """(side of the output, operations by Darknet's count) for a square picture."""
    places = (side + 2 * padding - size) // stride + 1
    return places, 2 * filters * places * places * channels * size * size


for side, channels, filters, size, stride, padding in [(4, 1, 1, 3, 1, 0), (6, 3, 4, 3, 1, 1), (9, 2, 3, 5, 2, 1)]:
    shapes = (channels, side, side), (filters, channels, size, size)
    output, count = convolve_and_count(np.ones(shapes[0]), np.ones(shapes[1]), stride, padding)
    assert convolution_cost(side, channels, filters, size, stride, padding) == (output.shape[1], 2 * count)
    print(f"picture {shapes[0]}, weights {shapes[1]}: {2 * count:,} operations")

# %% [markdown]
# ## From a layer to a network
#
# A network is a row of *layers*, each of which reads the output of the one before. Tiny Darknet has convolutions, and
# *max pools*, which keep the largest of each 2x2 cells and so halve the sides. Most of its 3x3 convolutions stand
# behind a 1x1 one with few filters, which squeezes the channels. It takes a photo of 224x224 pixels.
#
# *Parameters* are the learned numbers. A filter has its weights and one *bias*, which is added to its outputs; where
# *batch norm* is used (lesson 7), three more. The file holds 4 bytes for each.

# %%
TINY = (
    "3x16 p 3x32 p 1x16 3x128 1x16 3x128 p 1x32 3x256 1x32 3x256 p 1x64 3x512 1x64 3x512 1x128 1x1000"  # size x filters
)

side, channels, costs = 224, 3, []
for word in TINY.split():
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
for what, place in ("operations", 1), ("parameters", 2):
    share = sum(cost[place] for cost in costs[:8]) / sum(cost[place] for cost in costs)
    print(f"layers 0 to 7 have {100 * share:.0f} % of the {what}")

# %% [markdown]
# These are the page's 0.98 Bn, and its 4.0 MB, if a MB is 2²⁰ bytes (a MiB), as everywhere on that page. Behind the
# last convolution come an average and a *softmax*, which makes probabilities of 1000 numbers. Neither is counted.

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 4.6), sharey=True)
axes[0].barh(range(len(costs)), [cost[1] / 1e6 for cost in costs], color=BLUE)
axes[0].set(title="operations, millions", yticks=range(len(costs)), ylabel="layer")
axes[0].set_yticklabels([f"{number}: {cost[0]}" for number, cost in enumerate(costs)], fontsize=8)
axes[0].invert_yaxis()
axes[1].barh(range(len(costs)), [cost[2] / 1e3 for cost in costs], color=ORANGE)
axes[1].set(title="parameters, thousands")
figure.suptitle("Tiny Darknet: all 3x3 layers but the first work alike, the parameters sit at the end")
figure.tight_layout()
plt.show()

# %% [markdown]
# That is the page's argument in one picture. A weight is used once for *each place* of its window: in layer 2 at
# 12,544 places, in layer 17 at 196. So the first eight layers have 4 % of the parameters and 41 % of the work.
#
# A count is not a time, though. Here multiply-adds run as plain Python, as a loop that Numba compiles to machine
# code, and as NumPy's product of matrices. The times differ from run to run and from machine to machine.


# %%
def dot(a, b):
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


dot_compiled = njit(dot)
row, square = np.ones(200_000, np.float32), np.ones((600, 600), np.float32)
assert dot(row, row) == dot_compiled(row, row) == 200_000  # compiles it, too

# %% tags=["volatile"]
for name, call, count in [
    ("Python loop", lambda: dot(row, row), 200_000),
    ("compiled loop", lambda: dot_compiled(row, row), 200_000),
    ("product of matrices", lambda: square @ square, 600**3),
]:
    speed = 2 * count / min(repeat(call, repeat=5, number=1))
    print(f"{name:20} {speed / 1e9:8.3f} BFLOPs a second: Tiny Darknet would take {total / speed * 1e3:8,.0f} ms")

# %% [markdown]
# ## Now the real one
#
# The package builds a network from a *cfg* file (lesson 2) without taking any memory for it, and prints Darknet's own
# layer table. `minidarknet summary tiny` does the same on the command line.

# %%
from minidarknet.network import Network
from minidarknet.summary import table
from minidarknet.zoo import find_cfg

network = Network.from_cfg(find_cfg("tiny"))
print(table(network))
for layer, cost in zip(network.layers, costs, strict=False):  # without the average and the softmax
    assert (layer.flops(), sum(p.size for p in layer.parameters())) == cost[1:]
assert network.flops() == total

# %% [markdown]
# Its last column is our count in BFLOPs. In the package, `flops()` of a convolution is one line: twice the size of its
# weights, (filters, channels, size, size), times rows and columns. Now the four systems, beside the page:

# %%
counted = {}
for name, key in zip(PAGE, ("alexnet", "darknet", "squeezenet", "tiny"), strict=True):
    network = Network.from_cfg(find_cfg(key))
    counted[name] = network.flops(), 4 * sum(p.size for _, p in network.parameters()) / 2**20
    operations, size = counted[name]
    print(f"{name:18} {operations:13,} (page: {PAGE[name][2]:.2f} Bn) {size:6.2f} MiB (page: {PAGE[name][3]})")
    assert round(operations / 1e9, 2) == PAGE[name][2] or name == "SqueezeNet"
    assert abs(size - PAGE[name][3]) < 0.1

# %% [markdown]
# Seven of the eight numbers are the page's. SqueezeNet's operations are not: the page prints 2.17, the published
# network has 1.72 by the same rule, which is also what its authors say. Is a counter wrong? Let us count it by hand.
# Its *fire modules* squeeze with a few 1x1 filters, and expand with 1x1 and 3x3 ones side by side.


# %%
def squeezenet(side=227, pools=(1, 4, 8), last_padding=1, round_up=False):
    """Operations of SqueezeNet 1.0; `pools` are the layers (1 to 9) that a 3x3 pool with stride 2 follows."""
    side, total = convolution_cost(side, 3, 96, 7, stride=2)
    channels = 96
    for number, squeeze in enumerate([0, 16, 16, 32, 32, 48, 48, 64, 64], start=1):
        if squeeze:  # 4 x squeeze filters of either size expand again
            total += (
                convolution_cost(side, channels, squeeze, 1)[1] + convolution_cost(side, squeeze, 4 * squeeze, 1)[1]
            )
            total += convolution_cost(side, squeeze, 4 * squeeze, 3, padding=1)[1]
            channels = 8 * squeeze
        if number in pools:
            side = (side - 3 + round_up) // 2 + 1  # its authors' program, Caffe, rounds up
    return total + convolution_cost(side, channels, 1000, 1, padding=last_padding)[1]


assert squeezenet() == squeezenet(round_up=True) == counted["SqueezeNet"][0]
print(f"as published                     {squeezenet() / 1e9:.3f} Bn")
print(f"photos of 256x256                {squeezenet(256) / 1e9:.3f} Bn")
print(f"256x256, other borders           {squeezenet(256, last_padding=0, round_up=True) / 1e9:.3f} Bn")
print(f"pools behind layers 1, 5 and 9   {squeezenet(pools=(1, 5, 9)) / 1e9:.3f} Bn")

# %% [markdown]
# So no published geometry gives 2.17. A network with its second and third pool one module too late does, and one for
# photos of 256x256 comes near. Which one the page's author counted is not known: Darknet never had a cfg of it.
# The page's point stands: SqueezeNet has a sixth of Darknet Reference's parameters, and twice its operations.
#
# ## Exercises
#
# ### Exercise 0.1: the operations of a convolution
# Write the count for pictures that are no squares, and with groups. With `groups=g`, channels and filters are split
# into g equal parts, and a filter sees only the channels of its own part.
# `operations(1, 4, 4, filters=1, size=3, stride=1, padding=0, groups=1)` is 72.


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
# Lesson 1 makes a photo into an array of the right size, lesson 2 makes a cfg into a list of layers, and lesson 3 takes
# the convolution apart. On the command line, `minidarknet compare` prints the page's table with the times of *your*
# machine in it.
