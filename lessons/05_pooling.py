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
# # Lesson 5: pooling, the largest and the mean
#
# **You will build** the two layers that make pictures smaller without learning anything: max and average pooling.
#
# **You will learn**
# - what a window keeps of its numbers, and why a network wants less of them,
# - how large Darknet's output is, and where PyTorch and ONNX would give another size,
# - who gets the gradient, and what happens when two numbers are equally large.
#
# **You need** lesson 3: windows, stride, padding, and gradients checked by nudging.
#
# *In the package:* `minidarknet/layers/maxpool.py`, `minidarknet/layers/avgpool.py`;
# the other direction: `minidarknet/layers/upsample.py`
# %%
from timeit import repeat

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minidarknet.course import check

COLORS = np.array([["#E69F00", "#56B4E9"], ["#CC79A7", "#009E73"]])  # one for each quarter of a 4x4 image


def draw_grid(axes, numbers, title, colors, marked=None):
    """Draw an array with its numbers, each cell in its color; cells that are not marked are paler."""
    for y, x in np.ndindex(numbers.shape):
        alpha = 0.75 if marked is None or marked[y, x] else 0.2
        axes.add_patch(plt.Rectangle((x, y), 1, 1, fc=colors[y, x], ec="0.3", alpha=alpha))
        axes.text(x + 0.5, y + 0.5, f"{numbers[y, x]:g}", ha="center", va="center", fontsize=13)
    axes.set(xlim=(-0.1, numbers.shape[1] + 0.1), ylim=(len(numbers) + 0.1, -0.1), aspect="equal", title=title)
    axes.axis("off")


# %% [markdown]
# ## Windows that keep one number
# A *max pool* slides a window over each channel and keeps its largest number: how strongly a filter has answered
# anywhere in it. A shift of the picture by a pixel changes little, and with stride 2 a quarter of the numbers is left
# for the layers behind. An *average pool* keeps the mean; Darknet's has one window, the whole *plane* (one channel).
# %%
image = np.array([[1, 3, 2, 0], [5, 4, 1, 1], [0, 2, 7, 8], [1, 0, 3, 6]], np.float64)
largest = np.array([[5, 2], [2, 8]], np.float64)  # of each quarter
quarters = COLORS.repeat(2, axis=0).repeat(2, axis=1)
figure, axes = plt.subplots(1, 3, figsize=(8, 3), layout="constrained", width_ratios=[4, 2, 1.6])
draw_grid(axes[0], image, "image", quarters, image == largest.repeat(2, axis=0).repeat(2, axis=1))
draw_grid(axes[1], largest, "max, window 2, stride 2", COLORS)
draw_grid(axes[2], np.array([[image.mean()]]), "average", np.array([["0.8"]]))
figure.suptitle("The largest number of each quarter, and the mean of all")
plt.show()


# %% [markdown]
# ## By hand
# Darknet counts a pool's `padding` *in total*, not for each side as a convolution's. Windows begin `padding // 2` cells
# before the picture. Outside there are no zeros, but nothing: a zero would win over negative numbers. If the cfg does
# not say, `padding` is `size - 1`: so many cells that no number is left over. A row of 5 cells, window 2, stride 2:
#
#     a  b  c  d  e  .
#     [==]  [==]  [==]        padding 1, Darknet's own choice: 3 windows, the last sees only e
#     [==]  [==]              padding 0: 2 windows, and e is never looked at
#
# So a row becomes `(length + padding - size) // stride + 1` numbers long.
# %%
def maxpool(images, size, stride, padding):
    """The largest number of each window; images (batch, channels, height, width), padding of both ends together."""
    batch, channels, height, width = images.shape
    rows, columns = (height + padding - size) // stride + 1, (width + padding - size) // stride + 1
    output = np.empty((batch, channels, rows, columns), images.dtype)
    for b in range(batch):
        for c in range(channels):
            for y in range(rows):
                for x in range(columns):
                    best = -np.inf
                    for ky in range(size):
                        for kx in range(size):
                            row, column = y * stride + ky - padding // 2, x * stride + kx - padding // 2
                            if 0 <= row < height and 0 <= column < width:
                                best = max(best, images[b, c, row, column])
                    output[b, c, y, x] = best
    return output


def avgpool(images):
    """The mean of each channel, as (batch, channels, 1, 1)."""
    output = np.zeros((*images.shape[:2], 1, 1), images.dtype)
    for b, c, y, x in np.ndindex(images.shape):
        output[b, c, 0, 0] += images[b, c, y, x] / images[b, c].size
    return output


assert np.array_equal(maxpool(image[None, None], 2, 2, 0)[0, 0], largest)
assert np.isclose(avgpool(image[None, None])[0, 0, 0, 0], 2.75)
print("5x5 becomes", *(f"{maxpool(np.ones((1, 1, 5, 5)), 2, 2, p).shape[2:]} with padding {p}" for p in (0, 1)))


# %% [markdown]
# ## The way back
# The layer behind hands us the gradient $g$ of the loss by each output, as in lesson 3. For a max pool, nudge a number
# that did not win its window: nothing changes, so its gradient is 0. Nudge the winner, and the output moves just as
# much, so it gets that output's $g$ as it is. Windows may overlap, and a number that has won several gets the sum.
#
# The mean of $n$ numbers moves by $\varepsilon / n$ when one of them moves by $\varepsilon$:
#
# $$\frac{\partial L}{\partial x} = \sum_{\text{windows that } x \text{ has won}} g \qquad\qquad
# \frac{\partial L}{\partial x} = \frac{g}{n} \quad\text{(average)}$$
# %%
def maxpool_back(images, grad, size, stride, padding):
    """The gradient by the images; of equally large numbers, the first one has won."""
    by_images, (height, width) = np.zeros_like(images), images.shape[2:]
    for b, c, y, x in np.ndindex(grad.shape):
        top, left = y * stride - padding // 2, x * stride - padding // 2
        best, winner = -np.inf, None
        for row in range(max(0, top), min(top + size, height)):
            for column in range(max(0, left), min(left + size, width)):
                if images[b, c, row, column] > best:
                    best, winner = images[b, c, row, column], (b, c, row, column)
        by_images[winner] += grad[b, c, y, x]
    return by_images


def nudge(numbers, loss, up=1e-5, down=1e-5):
    """The slope of loss() by every number of an array, from moving each a little up and down (lesson 3)."""
    slopes = np.empty_like(numbers)
    for place in np.ndindex(numbers.shape):
        before = numbers[place]
        numbers[place] = before + up
        above = loss()
        numbers[place] = before - down
        slopes[place] = (above - loss()) / (up + down)
        numbers[place] = before
    return slopes


generator = np.random.default_rng(5)
images = generator.permutation(np.arange(60.0)).reshape(1, 2, 5, 6)  # no two are equal, or nearly so
for size, stride, padding in [(2, 2, 1), (3, 2, 2), (3, 1, 0), (2, 1, 1)]:
    grad = generator.standard_normal(maxpool(images, size, stride, padding).shape)
    slopes = nudge(images, lambda s=size, t=stride, p=padding, g=grad: np.sum(g * maxpool(images, s, t, p)))
    assert np.allclose(maxpool_back(images, grad, size, stride, padding), slopes, atol=1e-8)
    print(
        f"window {size}, stride {stride}, padding {padding}: {np.count_nonzero(slopes)} of 60 get a gradient, as nudged"
    )
assert np.allclose(nudge(images, lambda: avgpool(images).sum()), 1 / 30)  # 5 x 6 numbers share each channel's 1
# %%
tied = image.copy()
tied[0, 0] = 5  # now two numbers of the first window are the largest
figure, axes = plt.subplots(1, 3, figsize=(8, 3), layout="constrained", width_ratios=[2, 4, 4])
draw_grid(axes[0], np.array([[1.0, 2], [3, 4]]), "gradient by output", COLORS)
for axis, numbers, title in [(axes[1], image, "by image"), (axes[2], tied, "by image, with a tie of 5 and 5")]:
    by_image = maxpool_back(numbers[None, None], np.array([[[[1.0, 2], [3, 4]]]]), 2, 2, 0)[0, 0]
    draw_grid(axis, by_image, title, quarters, by_image > 0)
figure.suptitle("Only the winner of a window gets its gradient; of equals, the first one")
plt.show()
# %% [markdown]
# ## Ties
# At a tie there is no gradient: nudged up, one of two equal numbers raises the maximum, and nudged down it does not
# lower it. A layer must answer all the same. Darknet's gives all to the first in reading order, and so does PyTorch's.
# Ties are not rare: a relu (lesson 6) makes 0 of every negative number, and behind it whole windows are 0.
# %%
for name, up, down in [("up", 1e-5, 0), ("down", 0, 1e-5), ("both, halved", 1e-5, 1e-5)]:
    slopes = nudge(tied, lambda: maxpool(tied[None, None], 2, 2, 0).sum(), up, down)
    print(f"nudged {name:12}: the two fives have the slopes {slopes[0, 0]:.1f} and {slopes[1, 0]:.1f}")
# %% [markdown]
# ## Made quick
# Nothing is multiplied here, so what counts is how fast numbers are read: bytes a second, not GFLOP/s. NumPy can pool
# pairs by giving the array more axes, and our loops need nothing but a compiler.
# %% tags=["volatile"]
quick = njit(maxpool)
x = generator.standard_normal((4, 16, 112, 112), np.float32)

calls = {"NumPy": lambda: x.reshape(4, 16, 56, 2, 56, 2).max(axis=(3, 5)), "compiled": lambda: quick(x, 2, 2, 1)}
assert np.array_equal(calls["NumPy"](), calls["compiled"]())  # the first call compiles
for name, call in calls.items():
    seconds = min(repeat(call, number=1, repeat=5))
    print(f"{name:9} {1000 * seconds:7.2f} ms, {1.25 * x.nbytes / seconds / 1e9:6.2f} GB/s read and written")
# %% [markdown]
# ## Now the real one
# A maximum is not rounded, so the package must have our very bits. Means, and gradients that are added where windows
# overlap, may be off by their last digits. Without `padding`, the choice is Darknet's. `Run` is what a pass brings to
# each layer: scratch memory, which pools do not need, and that a way back will follow.
# %%
from minidarknet.cfg import parse_cfg
from minidarknet.layers.base import Run
from minidarknet.network import Network

x, run = generator.standard_normal((2, 3, 13, 18), np.float32), Run(np.empty(0, np.float32), training=True)
for section in ["size=2\nstride=2", "size=2\nstride=1", "size=3\nstride=2", "size=3\nstride=3\npadding=0"]:
    net = Network.from_cfg(parse_cfg(f"[net]\nchannels=3\nheight=13\nwidth=18\n[maxpool]\n{section}"))
    (layer,) = net.layers
    how = layer.size, layer.options.stride, layer.padding
    theirs, by_x = net.forward(x), np.empty_like(x)
    assert np.array_equal(quick(x, *how), theirs)
    grad = generator.standard_normal(theirs.shape, np.float32)
    layer.backward([x], grad, [by_x], run)
    assert np.allclose(maxpool_back(x, grad, *how), by_x, atol=1e-6)
    print(f"window {how[0]}, stride {how[1]}, padding {how[2]}: 13x18 becomes {theirs.shape[2:]}, equal there and back")
theirs = Network.from_cfg(parse_cfg("[net]\nchannels=3\nheight=13\nwidth=18\n[avgpool]")).forward(x)
assert np.allclose(theirs, avgpool(x), atol=1e-6)


# %% [markdown]
# | | Darknet and this package | PyTorch | ONNX |
# | --- | --- | --- | --- |
# | padding | both ends together; else `size - 1` | each side, at most half a window; else 0 | each end apart; else 0 |
# | cells left over | none, if padding is not set | dropped, unless `ceil_mode=True` | dropped, unless `ceil_mode=1` |
# | average | the whole plane | windows; zeros outside count | windows; outside does not count |
#
# A window of 2 with stride 1, which keeps the side in Darknet, needs padding on one side only: ONNX can say that, and
# in PyTorch a layer before the pool must. Who ignores it gets other sizes, or windows that are shifted.
#
# Line by line: the package takes one cell of the window at a time along a whole row of outputs, in registers, and has
# `kernels/halving.py` for windows of 2 and 3 with stride 2. It looks for the first winner only on the way back.
#
# ## Exercises
# ### Exercise 5.1: predict a shape
# How long is a row of cells behind max pools, each a (size, stride) whose padding the cfg leaves to Darknet?
# `pooled(5, [(2, 2)])` is 3, and `pooled(28, [(2, 2), (2, 2), (3, 1)])` is 7.
# %%
def pooled(length, pools):
    ### BEGIN SOLUTION
    for size, stride in pools:
        length = (length + (size - 1) - size) // stride + 1
    return length
    ### END SOLUTION


# %%
check("5.1", pooled)


# %% [markdown]
# ### Exercise 5.2: repair a maximum
# This pool of 2x2 windows works for every photo, whose numbers go from 0 to 1. Behind a convolution it goes wrong. Why?
# %%
def maxpool_plane(plane):
    """The largest number of each 2x2 window, stride 2, of a plane (height, width) with even sides."""
    output = np.empty((plane.shape[0] // 2, plane.shape[1] // 2))
    for y, x in np.ndindex(output.shape):
        ### BEGIN SOLUTION
        best = -np.inf
        ### BEGIN STUB
        # best = 0.0
        ### END SOLUTION
        for ky, kx in np.ndindex(2, 2):
            best = max(best, plane[2 * y + ky, 2 * x + kx])
        output[y, x] = best
    return output


# %%
check("5.2", maxpool_plane)


# %% [markdown]
# ### Exercise 5.3: write a backward
# An average pool with windows, without padding: `out[y, x]` is the mean of the `size` x `size` numbers from
# `plane[y * stride, x * stride]` on. Return the gradient by the plane, of `shape` (height, width); `grad` is that by
# `out`.
# %%
def average_back(shape, grad, size, stride):
    ### BEGIN SOLUTION
    by_plane = np.zeros(shape)
    for y, x in np.ndindex(grad.shape):
        by_plane[y * stride : y * stride + size, x * stride : x * stride + size] += grad[y, x] / size**2
    return by_plane
    ### END SOLUTION


# %%
check("5.3", average_back)


# %% [markdown]
# ### Exercise 5.4: how far does a number see?
# A number behind two 3x3 windows has seen 5x5 pixels, its *receptive field*; a pool between them widens that. How wide
# is it behind layers (size, stride), the one next to the picture first? `sees([])` is 1, and `sees([(3, 1), (3, 1)])`
# is 5.
# %%
def sees(layers):
    ### BEGIN SOLUTION
    seen = step = 1  # step: pixels between two neighbours here
    for size, stride in layers:
        seen += (size - 1) * step
        step *= stride
    return seen
    ### END SOLUTION


# %%
check("5.4", sees)
# %% [markdown]
# ## Where next
# Between convolution and pool stands an activation, in lesson 6. `minidarknet explain-cfg maxpool` lists the options.
# The other direction is `upsample.py`: a number is written `stride` x `stride` times, and gets the sum on the way back.
