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
# # Lesson 7: batch norm, one yardstick for every channel
#
# **You will build** batch normalisation for learning, for going back, and for predicting, where it vanishes.
#
# **You will learn**
# - which numbers share a mean and a variance, and what divides their squares;
# - why the gradient of a number has three parts, and which two changes of the input it never sees;
# - how its four numbers per channel disappear into the convolution in front of them.
#
# **You need** lesson 3 (convolution) and lesson 6 (activations).
#
# *In the package:* `minidarknet/layers/batchnorm.py`, `minidarknet/layers/finish.py`, `minidarknet/layers/l2norm.py`,
# `minidarknet/layers/normalization.py`, `minidarknet/kernels/statistics.py`, `minidarknet/kernels/normalize.py`

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minidarknet.course import check

# %% [markdown]
# ## Two images, two channels, 4x4
# A **batch** is a few images that are worked on at once. Ours has two, of two channels: one with numbers around 11, one
# that jumps between -60 and 60. The layer behind would have to learn two very different scales, and sums far
# from 0 saturate or kill units (lesson 6).

# %%
rng = np.random.default_rng(7)
x = np.stack([rng.integers(9, 14, (2, 4, 4)), rng.integers(-60, 61, (2, 4, 4))], axis=1).astype(float)


def draw(batch, title, form):
    figure, panels = plt.subplots(2, 2, figsize=(5.6, 5.4), layout="constrained")
    for (b, c), panel in np.ndenumerate(panels):
        low, high = batch[:, c].min(), batch[:, c].max()  # the darkest colours are left out, for the numbers' sake
        panel.imshow(batch[b, c], cmap=("Blues", "Oranges")[c], vmin=low, vmax=2 * high - low)
        for (row, column), number in np.ndenumerate(batch[b, c]):
            panel.text(column, row, form.format(number), ha="center", va="center", fontsize=9)
        panel.set(xticks=[], yticks=[], title=f"image {b}, channel {c}")
    figure.suptitle(title)
    plt.show()


draw(x, "One colour shares one mean and one variance", "{:.0f}")

# %% [markdown]
# Batch norm gives each *channel* one mean and one variance: over all images and all cells, here over 32 numbers of one
# colour. (Not over each image: then a dark picture and a bright one would look the same.) The **variance** is the mean
# squared distance from the mean; its root, the **deviation**, is a typical distance. In loops:


# %%
def statistics(x):
    images, channels, rows, columns = x.shape
    n, mean, squares = images * rows * columns, np.zeros(channels), np.zeros(channels)
    for b, c, row, column in np.ndindex(x.shape):
        mean[c] += x[b, c, row, column]
    mean /= n
    for b, c, row, column in np.ndindex(x.shape):
        squares[c] += (x[b, c, row, column] - mean[c]) ** 2
    return mean, squares / (n - 1)


mean, variance = statistics(x)
print("mean", mean.round(3), "variance", variance.round(3), "deviation", np.sqrt(variance).round(3))
assert np.allclose((mean, variance), (x.mean((0, 2, 3)), x.var((0, 2, 3), ddof=1)))  # ddof=1 divides by 31

# %% [markdown]
# Why by 31 and not by 32? The mean was made of the same numbers, so it lies nearer to them than the true mean would;
# dividing by $N - 1$ makes up for that (an **unbiased** estimate). Darknet does so, in learning and in what it keeps.
# Most other libraries divide by $N$ in learning. With $N = 1$ there is no spread at all: 0 / 0.
#
# Then the mean is taken away, and the rest divided by the deviation. Each channel has a **scale** and a **bias**, which
# are learned like weights, so that a network may undo all this where that is better:
#
# $$y = \mathrm{scale} \cdot \frac{x - \mathrm{mean}}{\sqrt{\mathrm{variance}} + 0.000001} + \mathrm{bias}$$


# %%
def normalise(x, scale, bias, mean, variance):
    s, b, m, v = (numbers[:, None, None] for numbers in (scale, bias, mean, variance))
    return s * (x - m) / (np.sqrt(v) + 1e-6) + b


even = normalise(x, np.ones(2), np.zeros(2), mean, variance)
draw(even, "After: mean 0 and deviation 1, in both colours", "{:.1f}")
assert np.allclose(statistics(even), [[0, 0], [1, 1]], atol=2e-6)

# %% [markdown]
# ## The epsilon is outside of the root
# A channel whose numbers are all alike has variance 0; the 0.000001 keeps the division from failing. Darknet adds it to
# the *root*; most others add 0.00001 to the *variance*. The picture shows the factor that each multiplies with: they
# part where a channel is almost constant. So whoever runs Darknet's files must do as Darknet does.

# %%
v = np.logspace(-14, 2, 200)
fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
ax.loglog(v, 1 / (np.sqrt(v) + 1e-6), label="1 / (sqrt(variance) + 0.000001), Darknet")
ax.loglog(v, 1 / np.sqrt(v + 1e-5), linestyle="--", label="1 / sqrt(variance + 0.00001), others")
ax.set(xlabel="variance of the channel", ylabel="factor", title="Alike above 0.001, further and further apart below")
ax.legend()
plt.show()

# %% [markdown]
# ## Predicting: averages that roll
# One photo alone must not be judged by its own mean. So while it learns, the layer keeps a **rolling average** of what
# it sees: 0.99 of the old value and 0.01 of the batch's, and predicting uses these two. Of its start, 69 batches leave
# half ($0.99^{69} = 0.50$) and 459 batches a hundredth: a network that has only seen 20 batches predicts with numbers
# that are mostly start. Darknet starts the variance at 0, and before the first batch it divides by
# 0.000001; the package starts it at 1.
#
# ## The way back
# Let $d$ be the gradient of the loss by $y$: how much the loss grows when that number grows a little. Write
# $u = x - \mathrm{mean}$, $r = \sqrt{\mathrm{variance}}$ and $e = 1 / (r + \epsilon)$, so $y = s\,u\,e + b$ with scale
# $s$ and bias $b$; sums run over the $N$ numbers of a channel. The easy two: $b$ gets $\sum d$, and $s$ gets
# $\sum d\,u\,e$. An input $x_i$ reaches the loss on three ways:
#
# 1. directly: $s\,e\,d_i$;
# 2. it lifts the mean by $1/N$, which lowers *every* $u$: $-s\,e \sum d / N$;
# 3. it changes the deviation by $\partial r / \partial x_i = u_i / (r (N - 1))$, and $\partial e / \partial r = -e^2$:
#    together $-s\,e^2\, u_i / (r (N - 1)) \cdot \sum d\,u$.
#
# (The mean also moves the variance, but by $\sum u$, which is 0.) Added up:
#
# $$\frac{\partial L}{\partial x_i} = s\,e \left[ d_i - \frac{\sum d}{N} - \frac{u_i\,e}{r (N - 1)} \sum d\,u \right]$$


# %%
def normalise_back(d, x, scale):
    mean, variance = statistics(x)
    n, root, e = x[:, 0].size, np.sqrt(variance), 1 / (np.sqrt(variance) + 1e-6)
    total, products, back = np.zeros(len(mean)), np.zeros(len(mean)), np.empty_like(x)
    for b, c, row, column in np.ndindex(x.shape):
        total[c] += d[b, c, row, column]
        products[c] += d[b, c, row, column] * (x[b, c, row, column] - mean[c])
    for b, c, row, column in np.ndindex(x.shape):
        by_spread = (x[b, c, row, column] - mean[c]) * e[c] / (root[c] * (n - 1)) * products[c]
        back[b, c, row, column] = scale[c] * e[c] * (d[b, c, row, column] - total[c] / n - by_spread)
    return back, products * e, total


# %% [markdown]
# Is it right? Take any loss, move one number by a little to both sides, and see what the loss does (**finite
# differences**). Our loss is the sum of all $y$, each with a random weight; these weights are then $d$.
#
# And adding the same to all numbers of a channel, or stretching them away from their mean, changes no $y$ (but for the
# 0.000001). So the gradients of a channel, or each times its distance from the mean, must add up to 0.

# %%
scale, bias, d = np.array([2.0, 0.5]), np.array([1.0, -3.0]), rng.standard_normal(x.shape)


def loss(x):
    return np.sum(d * normalise(x, scale, bias, *statistics(x)))


back, scale_back, bias_back = normalise_back(d, x, scale)
numeric, step = np.empty_like(x), 1e-3
for place in np.ndindex(x.shape):
    nudge = np.zeros_like(x)
    nudge[place] = step
    numeric[place] = (loss(x + nudge) - loss(x - nudge)) / (2 * step)
assert np.abs(numeric - back).max() < 1e-6 * np.abs(back).max()
print("64 gradients agree with 128 losses")
for direction in (np.ones_like(x), x - mean[:, None, None]):  # a shift, a stretch
    along = (back * direction).sum(axis=(0, 2, 3))
    assert (np.abs(along) < 1e-5 * np.abs(back * direction).sum(axis=(0, 2, 3))).all()

# %% [markdown]
# ## Made quick, and careful
# Our loops are slow only because Python runs them: `njit` makes machine code of the very same ones. They stay careful:
# the variance is also the mean of the squares less the square of the mean, which takes one pass instead of two, but
# numbers around 10,000 have squares near 100,000,000, where the next float32 is 8 away: a variance of 1 is lost.

# %% tags=["volatile"]
quick = njit(statistics)
assert np.allclose(quick(x), (mean, variance))
assert np.spacing(np.float32(10_000) ** 2) == 8
large = rng.standard_normal((8, 32, 56, 56))
for name, way, numbers in (("loops", statistics, large[:1, :1]), ("compiled", quick, large)):
    start = time.perf_counter()
    way(numbers)
    print(f"{name}: {1e9 * (time.perf_counter() - start) / numbers.size:.1f} ns per number")

# %% [markdown]
# ## Now the real one
# The package's layer, as a network would use it: `connect` tells it its shapes, `allocate` gives it memory, `kept` is
# what it keeps for the way back. Its rolling averages begin at 10 and 0, and at 1 and 1, to see them move.

# %%
from minidarknet.cfg import parse_cfg
from minidarknet.layers.base import Run
from minidarknet.layers.batchnorm import Batchnorm
from minidarknet.network import Network
from minidarknet.shapes import Shape

layer = Batchnorm()
layer.connect(Shape(2, 4, 4))
layer.allocate(batch=2)
layer.kept = np.empty(layer.kept_size(2), np.float32)
for parameter, start in zip(layer.parameters(), (bias, scale, [10, 0], [1, 1]), strict=True):
    parameter.array, parameter.grad = np.array(start, np.float32), np.zeros(2, np.float32)
run, x32 = Run(np.empty(0, np.float32), training=True), x.astype(np.float32)
assert np.abs(layer.forward(x32, run=run) - normalise(x, scale, bias, mean, variance)).max() < 2e-6
assert np.allclose(layer.batch_norm.mean.value, [0.99 * 10 + 0.01 * mean[0], 0.01 * mean[1]])
assert np.allclose(layer.batch_norm.variance.value, 0.99 + 0.01 * variance)

true, darknets = np.empty_like(x32), np.empty_like(x32)
layer.backward([x32], d.astype(np.float32), [true], run)
assert np.abs(true - back).max() < 1e-6 * np.abs(back).max()
assert np.allclose(layer.batch_norm.scales.grad, scale_back, rtol=1e-5)
layer.backward([x32], d.astype(np.float32), [darknets], Run(run.workspace, training=True, quirks=True))
print(f"Darknet's own gradient is {np.abs(darknets - true).max() / np.abs(true).max():.1%} off")

# %% [markdown]
# What differs, line by line, in `kernels/statistics.py`:
# - runs of 2048 numbers are summed up in float32 and added in float64: quick, and as good as our loops;
# - factor and shift are computed once per channel, $y = fx + t$, and the activation is done in the same pass;
# - `quirks`: Darknet goes back with $\sqrt{\mathrm{variance} + 0.00001}$ and $N$ for $N - 1$, so its gradient is not
#   quite that of its own forward. The package has the true one, unless `darknet_quirks=1` asks for Darknet's.
#
# ## Predicting: it vanishes
# When all four numbers of a channel are known, batch norm only multiplies with one and adds another. The convolution
# before it is a sum of products, so both are *one* convolution with other weights and biases. The package packs these
# when a network begins to predict (`forward`); layer by layer (`steps`) it does as the cfg says.

# %%
sections = "[net]\nchannels=2\nheight=4\nwidth=4\n[convolutional]\nbatch_normalize=1\nfilters=3\nsize=3\npad=1\n"
network = Network.from_cfg(parse_cfg(sections))
for _, parameter in network.parameters():  # some numbers that learning could have found
    parameter.array = rng.uniform(0.5, 1.5, parameter.shape).astype(np.float32)
(in_steps,) = (output.copy() for _, output in network.steps(even))
assert np.abs(network.forward(even) - in_steps).max() < 2e-5

# %% [markdown]
# ## Exercises
# ### Exercise 7.1: fold
# Behind a convolution with weights (filters, channels, size, size), and no biases, stands batch norm; its numbers are
# (filters,). Return the weights and the biases of the one convolution that does both, as a tuple.


# %%
def fold(weights, scale, bias, mean, variance):
    ### BEGIN SOLUTION
    factor = scale / (np.sqrt(variance) + 1e-6)
    return weights * factor[:, None, None, None], bias - mean * factor
    ### END SOLUTION


# %%
check("7.1", fold)

# %% [markdown]
# ### Exercise 7.2: repair a bug
# This prediction agrees with Darknet on most photos, but with some weights files the answer is nonsense. Repair it.


# %%
def predict(x, scale, bias, mean, variance):
    """Batch norm of x (batch, channels, height, width) with rolling averages, (channels,)."""
    sides = (1, -1, 1, 1)
    ### BEGIN SOLUTION
    factor = scale / (np.sqrt(variance) + 1e-6)
    ### BEGIN STUB
    # factor = scale / np.sqrt(variance + 1e-6)
    ### END SOLUTION
    return (x - mean.reshape(sides)) * factor.reshape(sides) + bias.reshape(sides)


# %%
check("7.2", predict)

# %% [markdown]
# ### Exercise 7.3: write a backward
# Fine-tuning often *freezes* batch norm: the rolling averages are used, and stay. Write the way back: the gradients by
# x (of d's shape), by scale and by bias (both (channels,)), as a tuple. Of the three ways, one remains.


# %%
def frozen_back(d, x, scale, mean, variance):
    ### BEGIN SOLUTION
    e = (1 / (np.sqrt(variance) + 1e-6)).reshape(1, -1, 1, 1)
    even = (x - mean.reshape(1, -1, 1, 1)) * e
    return d * scale.reshape(1, -1, 1, 1) * e, (d * even).sum(axis=(0, 2, 3)), d.sum(axis=(0, 2, 3))
    ### END SOLUTION


# %%
check("7.3", frozen_back)

# %% [markdown]
# ## Where next
# Lesson 8 makes probabilities of the last numbers. Batch norm's relatives need no batch: `normalization.py` divides by
# what neighbouring channels have at the same cell, `l2norm.py` by the length of a cell's channels as a vector.
