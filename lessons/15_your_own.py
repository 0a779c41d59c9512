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
# # Lesson 15: your own Tiny Darknet
#
# **You will build** a network under a budget, as the author of Tiny Darknet did, and beat a given one with it.
#
# **You will learn**
# - to count a network's parameters and operations before it exists;
# - three ways to spend fewer of them: groups, a squeeze by 1x1, and a smaller picture;
# - to hold a design against another one fairly, and to let measurements decide.
#
# **You need** lessons 3 (convolution), 12 (held-out pictures), 13 (training) and 14 (parameters are not operations).
#
# *In the package:* `minidarknet/layers/convolutional.py` (groups), `minidarknet/network.py`, `cfg/tiny.cfg`
# %%
from functools import partial
from time import perf_counter
from timeit import repeat

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minidarknet.course import check

# %% [markdown]
# ## Who sees whom
# Each filter of a convolution looks at *all* channels, so its price grows with filters times channels. **Groups** cut
# channels and filters into parts that do not see each other. With as many groups as channels each filter looks at one
# channel only: a **depthwise** convolution. Drawn here for a 4x4 picture of four channels and four filters.
# %%
pairs = np.ones((4, 4)), np.kron(np.eye(2), np.ones((2, 2))), np.eye(4), np.ones((4, 4))
titles = "3x3", "3x3, groups=2", "3x3, groups=4", "1x1"
weights_drawn, operations_drawn = (144, 72, 36, 16), (4608, 2304, 1152, 512)
figure, axes = plt.subplots(1, 4, figsize=(8, 2.9), layout="constrained")
for axis, seen, title, stored, work in zip(axes, pairs, titles, weights_drawn, operations_drawn, strict=True):
    axis.pcolormesh(seen, cmap="cividis", vmin=-0.5, vmax=1.2, edgecolors="white", linewidth=2)
    axis.set(title=title, xlabel=f"channel\n{stored} weights\n{work} operations", xticks=[], yticks=[], ylim=(4, 0))
axes[0].set_ylabel("filter")
figure.suptitle("bright: this filter looks at this channel")
plt.show()
# %% [markdown]
# ## By hand, with loops
# A filter's group says at which channel it begins to look; weights have the shape (filters, channels *of a group*,
# size, size). We count multiplications and additions, those with the zeros around included, as Darknet does.


# %%
def convolve(x, weights, groups=1):
    """The output for x (channels, h, w), zeros around, and the operations: (filters, h, w), int."""
    (filters, part, size, _), (_, height, width) = weights.shape, x.shape
    reach, operations, out = size // 2, 0, np.zeros((filters, height, width))
    framed = np.pad(x, [(0, 0), (reach, reach), (reach, reach)])
    for f, row, column, c, i, j in np.ndindex(filters, height, width, part, size, size):
        first = f // (filters // groups) * part  # the first channel of this filter's group
        out[f, row, column] += weights[f, c, i, j] * framed[first + c, row + i, column + j]
        operations += 2
    return out, operations


chance = np.random.default_rng(15)
x = chance.random((4, 4, 4))
for (size, groups), seen, stored, work in zip(
    [(3, 1), (3, 2), (3, 4), (1, 1)], pairs, weights_drawn, operations_drawn, strict=True
):
    weights = chance.standard_normal((4, 4 // groups, size, size))
    out, operations = convolve(x, weights, groups)
    assert (weights.size, operations) == (stored, work)
    for channel in range(4):  # poke a channel: exactly the filters that look at it notice
        poked = x.copy()
        poked[channel] += 1
        noticed = (convolve(poked, weights, groups)[0] != out).any(axis=(1, 2))
        assert (noticed == seen[:, channel]).all()
print("connections, weights and operations are as drawn")
# %% [markdown]
# **The way back.** A grouped convolution is a full one in which the other weights are 0 and stay 0. So nothing new is
# to be learned: the rules are those of lesson 10, group by group. For a depthwise one, with $w_{cij}$ the weights of
# channel $c$, $\bar y$ the gradient by its output, $r$ a row and $s$ a column (outside of the picture, $x$ is 0):
#
# $$\bar w_{cij} = \sum_{r,s} \bar y_{crs}\, x_{c,\,r+i-1,\,s+j-1}$$
# %%
weights, mix = chance.standard_normal((4, 1, 3, 3)), chance.standard_normal((4, 4, 4))
framed = np.pad(x, [(0, 0), (1, 1), (1, 1)])
for c, i, j in np.ndindex(4, 3, 3):
    by_rule = (mix[c] * framed[c, i : i + 4, j : j + 4]).sum()
    hair = np.zeros_like(weights)
    hair[c, 0, i, j] = 1e-5
    up, down = ((convolve(x, weights + sign * hair, 4)[0] * mix).sum() for sign in (1, -1))
    assert abs((up - down) / 2e-5 - by_rule) < 1e-6
print("36 gradients agree with finite differences")
# %% [markdown]
# ## Counting before building
# A budget is spent on paper first. With batch norm, a filter has four numbers beside its weights: scale, bias, and the
# two rolling averages; without, a bias. A pool halves the picture and quarters the price of *everything behind it*.


# %%
def cost(layers, channels, side):
    """(parameters, operations); a layer is "pool" or (filters, size, groups), and has batch norm but for the last."""
    parameters = operations = 0
    for place, layer in enumerate(layers):
        if layer == "pool":
            side //= 2
            continue
        filters, size, groups = layer
        weights = filters * (channels // groups) * size * size
        parameters += weights + filters * (4 if place < len(layers) - 1 else 1)
        operations += 2 * weights * side * side
        channels = filters
    return parameters, operations


print("from 128 to 128 channels, on 28x28 pixels  parameters    operations")
for title, way in {
    "a full 3x3": [(128, 3, 1)],
    "squeeze to 16 by 1x1, then 3x3 (Tiny's way)": [(16, 1, 1), (128, 3, 1)],
    "depthwise 3x3, then 1x1": [(128, 3, 128), (128, 1, 1)],
}.items():
    print(f"{title:43} {cost(way, 128, 28)[0]:9,} {cost(way, 128, 28)[1]:13,}")
# %% [markdown]
# ## Made quick
# The loop again, compiled; the innermost two run along the picture, where numbers lie side by side.


# %%
@njit
def quick(framed, weights, out, groups):
    filters, part, size, _ = weights.shape
    out[:] = 0
    for f in range(filters):
        first = f // (filters // groups) * part
        for c, i, j in np.ndindex(part, size, size):
            for row in range(out.shape[1]):
                for column in range(out.shape[2]):
                    out[f, row, column] += weights[f, c, i, j] * framed[first + c, row + i, column + j]


out, weights = np.empty((4, 4, 4)), chance.standard_normal((4, 2, 3, 3))
quick(framed, weights, out, 2)
assert np.allclose(out, convolve(x, weights, 2)[0])
# %% [markdown]
# ## Now the real one, and a warning
# In a cfg, `groups=` says it all. Do eight times fewer operations take an eighth of the time? One layer of 64 channels
# and filters on 28x28 pixels, by our kernel and by the package:
# %% tags=["volatile"]
from minidarknet.cfg import parse_cfg
from minidarknet.network import Network


def best(function, *arguments):
    """The shortest of some runs, in milliseconds."""
    return min(repeat(partial(function, *arguments), number=1)) * 1e3


LAYER = "[convolutional]\nfilters={}\nsize={}\npad=1\ngroups={}\nbatch_normalize={}\nactivation={}\n"
picture = chance.random((64, 28, 28), np.float32)
out, framed = np.empty_like(picture), np.pad(picture, [(0, 0), (1, 1), (1, 1)])
print("groups    operations     ours          the package's")
for groups in (1, 8, 64):
    layer = "[net]\nwidth=28\nheight=28\nchannels=64\n" + LAYER.format(64, 3, groups, 0, "linear")
    network = Network.from_cfg(parse_cfg(layer))
    network.initialize(seed=1)
    weights = network.layers[0].weights.value
    quick(framed, weights, out, groups)
    assert np.allclose(network.forward(picture)[0], out, atol=1e-3)
    ours, theirs = best(quick, framed, weights, out, groups), best(network.forward, picture)
    work = network.flops() / 1e6
    print(f"{groups:6}{work:7.1f} million {ours:6.2f} ms {theirs:8.2f} ms, {work / theirs:6.1f} GFLOP/s")
# %% [markdown]
# Our kernel takes what the operations say. The package's gained nothing by a 64th of them, when this notebook was
# made: its tile keeps sums of several filters in registers, and reads a pixel *once* for all of them (lesson 4), but
# filters of different groups share no pixel. Fewer operations are a promise; whether it is kept, only a clock tells.
#
# ## The contest
# A given network reads the digits with 51,200 operations. You get as many, and up to 4,000 parameters; read more. One
# candidate squeezes, as Tiny Darknet does, the other is depthwise, and both pool twice, as filters behind a second pool
# cost a quarter. All three get the same 300 batches, seed and held-out fifth.
# %%
from minidarknet.data import open_dataset
from minidarknet.prediction import Classifier
from minidarknet.training import Training
from minidarknet.validation import validate
from minidarknet.zoo import cfg_path

NET = cfg_path("digits").read_text().partition("[convolutional]")[0].replace("max_batches=900", "max_batches=300")
designs = {
    "given": [(8, 3, 1), "pool", (16, 3, 1), (10, 1, 1)],
    "squeeze": [(8, 3, 1), "pool", (12, 3, 1), "pool", (8, 1, 1), (20, 3, 1), (10, 1, 1)],
    "depthwise": [(8, 3, 1), "pool", (24, 1, 1), (24, 3, 24), "pool", (32, 1, 1), (32, 3, 32), (32, 1, 1), (10, 1, 1)],
}


def as_cfg(layers):
    """The text of a network: these layers, then average and softmax."""
    text = NET
    for layer in layers[:-1]:
        text += "[maxpool]\nsize=2\nstride=2\n" if layer == "pool" else LAYER.format(*layer, 1, "leaky")
    return text + LAYER.format(*layers[-1], 0, "linear") + "[avgpool]\n[softmax]\n"


networks = {}
for name, layers in designs.items():
    networks[name] = network = Classifier.from_cfg(parse_cfg(as_cfg(layers), name))
    counted = sum(parameter.size for _, parameter in network.parameters()), network.flops()
    assert counted == cost(layers, 1, 8)  # as counted on paper
    assert max(counted[0] / 4000, counted[1] / 51_200) <= 1
    print(f"{name:10} {counted[0]:6,} parameters {counted[1]:7,} operations")
# %% tags=["volatile"]
train, valid = open_dataset("digits", "train", channels=1), open_dataset("digits", "valid", channels=1)
images = np.stack([valid.image(index) for index in range(64)])
right, figure, axis = {}, *plt.subplots(figsize=(7.5, 3.8))
for name, network in networks.items():
    network.preprocess = "center"
    network.initialize(seed=0)
    start = perf_counter()
    losses = [step.average for step in Training(network, train, seed=0).steps()]
    seconds = perf_counter() - start
    right[name] = validate(network, valid, batch=64).count_right()
    print(f"{name:10} {right[name]} of {len(valid)} right, trained in {seconds:.1f} s;", end=" ")
    print(f"64 digits are read in {best(network.forward, images):.2f} ms")
    style = {"given": "-", "squeeze": "--", "depthwise": ":"}[name]
    axis.semilogy(losses, style, label=f"{name}: {right[name]} of {len(valid)}")
axis.set(xlabel="batch", ylabel="loss (running mean)", title="Three networks for at most 51,200 operations")
axis.legend()
plt.show()
assert 320 < right["given"] < min(right["squeeze"], right["depthwise"])
assert min(right["squeeze"], right["depthwise"]) >= 342
# %% [markdown]
# Both candidates win, with less than half of the loss. The depthwise one has the fewest operations and reads the
# slowest: many small layers, and each reads and writes all of its numbers. One seed is an anecdote: with six, the given
# network read 333 to 343, and both candidates 345 to 356, depending on the processor too. So both beat the given one,
# and neither beats the other.
#
# ## Exercises
# ### Exercise 15.1: predict the price of a separable block
# A depthwise 3x3 convolution of `channels` channels, then a 1x1 convolution to `filters`, both with batch norm, on
# `side` x `side` pixels: (parameters, operations). `separable_cost(4, 2, 3)` is `(68, 792)`.


# %%
def separable_cost(channels, filters, side):
    """(parameters, operations) of a depthwise 3x3 and a 1x1 convolution, both with batch norm."""
    ### BEGIN SOLUTION
    weights = 9 * channels + channels * filters
    return weights + 4 * channels + 4 * filters, 2 * weights * side * side
    ### END SOLUTION


# %%
check("15.1", separable_cost)
# %% [markdown]
# ### Exercise 15.2: write the backward of a depthwise convolution
# The lesson gave the gradient by the weights. Write the one by the input: which outputs has a pixel gone into, and with
# which weight? `grad` is (channels, h, w), `weights` (channels, 3, 3), zeros were around.


# %%
def depthwise_back(grad, weights):
    """The gradient by x, (channels, h, w)."""
    ### BEGIN SOLUTION
    channels, height, width = grad.shape
    framed = np.zeros((channels, height + 2, width + 2))
    for i, j in np.ndindex(3, 3):
        framed[:, i : i + height, j : j + width] += weights[:, i, j, None, None] * grad
    return framed[:, 1:-1, 1:-1]
    ### END SOLUTION


# %%
check("15.2", depthwise_back)
# %% [markdown]
# ### Exercise 15.3: your own
# Return the text of a cfg that reads digits (8x8, one channel in; ten probabilities out): at most **45,000
# operations**, **3,500 parameters** and 600 batches of 64, and at least **342** of the 359 held-out digits right (95
# %). The check counts, trains with seed 0, and asks. You may use `as_cfg` or write it all by hand; `minidarknet
# explain-cfg` knows every option. Then make it smaller: how far down does 95 % hold?


# %%
def my_network():
    """The cfg, as text."""
    ### BEGIN SOLUTION
    return as_cfg([(8, 3, 1), "pool", (24, 1, 1), (24, 3, 24), "pool", (32, 1, 1), (32, 3, 32), (32, 1, 1), (10, 1, 1)])
    ### END SOLUTION


# %%
check("15.3", my_network)
# %% [markdown]
# ## Where next
# You have built each part of `cfg/tiny.cfg`: read it once more, and say for each line why it stands there. `minidarknet
# new my.cfg --from tiny --data photos/` begins a network for photographs of your own, and `minidarknet compare my.cfg
# tiny` puts it beside the old masters.
