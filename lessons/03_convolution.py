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
# # Lesson 3: convolution, seven loops by hand
#
# **You will build** the layer that does nearly all of Darknet's arithmetic, forward and backward, from bare loops.
#
# **You will learn**
# - to compute any number of a convolution's output with a pencil,
# - how large the output is, for every window, stride and padding,
# - how the gradient finds its way back, and how to prove that it did.
#
# **You need** lessons 1 and 2: a picture is an array (channels, height, width), a cfg section becomes a layer.
#
# *In the package:* `minidarknet/layers/convolutional.py`, `minidarknet/layers/convolver_back.py`,
# `minidarknet/layers/weight_gradient.py`; relatives: `minidarknet/layers/local.py`,
# `minidarknet/layers/deconvolutional.py`
# %%
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minidarknet.course import check


def draw_grid(axes, numbers, title, marked=(), color="#E69F00"):
    """Draw a small array with its numbers; the cells (row, column) in `marked` are coloured."""
    for y, x in np.ndindex(numbers.shape):
        axes.add_patch(plt.Rectangle((x, y), 1, 1, fc=color if (y, x) in marked else "white", ec="0.4"))
        axes.text(x + 0.5, y + 0.5, f"{numbers[y, x]:g}", ha="center", va="center", fontsize=13)
    axes.set(xlim=(-0.1, numbers.shape[1] + 0.1), ylim=(len(numbers) + 0.1, -0.1), aspect="equal", title=title)
    axes.axis("off")


# %% [markdown]
# ## One window, one number
# A *filter* is a small array of numbers, its *weights*. It lies on a *window* of the picture: each number of the window
# is multiplied by the weight on top of it, and the products are added up. Then the window moves on by one cell.
#
# Of two windows that are equally bright, the one that looks more like the filter has the larger sum. (In mathematics a
# convolution turns the filter about first, and this is a *cross-correlation*. Weights that are learned do not mind.)
# %%
image = np.array([[1, 0, 2, 1], [0, 1, 0, 2], [3, 1, 2, 0], [1, 0, 1, 1]], np.float64)
kernel = np.eye(3)  # looks for lines from the top left to the bottom right
drawn = np.array([[4, 0], [2, 4]], np.float64)  # 4 = 1*1 + 1*1 + 2*1; check one of the others yourself
figure, axes = plt.subplots(1, 3, figsize=(8, 3), layout="constrained", width_ratios=[4, 3, 2])
draw_grid(axes[0], image, "image", set(np.ndindex(3, 3)))
draw_grid(axes[1], kernel, "filter")
draw_grid(axes[2], drawn, "output", {(0, 0)})
figure.suptitle("The orange window times the filter, cell by cell, and added up: the orange 4")
plt.show()


# %% [markdown]
# ## Stride, padding, and how large the output is
# The *stride* is how many cells the window moves at a time. *Padding* is a border of zeros around the picture, so that
# the window may begin outside. A row of 6 cells, a window of 3, padding 1 and stride 2:
#
#     0  a  b  c  d  e  f  0
#     [=====]                      1st window
#           [=====]                2nd
#                 [=====]          3rd; a 4th would need one cell more, so the last 0 is never looked at
#
# The row has `length + 2 * padding` cells. The first window takes `size` of them, each further one `stride` more:
#
# $$\text{out} = \lfloor\, (\text{length} + 2\,\text{padding} - \text{size}) \,/\, \text{stride} \,\rfloor + 1$$
#
# The brackets round down. With stride 1 and padding `size // 2` an odd window keeps the side: this is a cfg's `pad=1`.
#
# ## Seven loops
# A layer has several images (a *batch*), several *channels* in each, and several filters. A filter has a window of
# weights for each channel, and all its products go into one sum. Each filter makes one channel of the output.
# %%
def convolve(images, weights, stride=1, padding=0):
    """Images (batch, channels, height, width) and weights (filters, channels, size, size) to (batch, filters, ..)."""
    batch, channels, height, width = images.shape
    filters, _, size, _ = weights.shape
    rows = (height + 2 * padding - size) // stride + 1
    columns = (width + 2 * padding - size) // stride + 1
    output = np.empty((batch, filters, rows, columns), images.dtype)
    for b in range(batch):
        for f in range(filters):
            for y in range(rows):
                for x in range(columns):
                    total = 0.0
                    for c in range(channels):
                        for ky in range(size):
                            for kx in range(size):
                                row, column = y * stride + ky - padding, x * stride + kx - padding
                                if 0 <= row < height and 0 <= column < width:  # zeros outside add nothing
                                    total += images[b, c, row, column] * weights[f, c, ky, kx]
                    output[b, f, y, x] = total
    return output


assert np.array_equal(convolve(image[None, None], kernel[None, None])[0, 0], drawn)
assert convolve(np.ones((1, 1, 6, 6)), np.ones((1, 1, 3, 3)), stride=2, padding=1).shape == (1, 1, 3, 3)
print("with padding 1:\n", convolve(image[None, None], kernel[None, None], padding=1)[0, 0])
# %% [markdown]
# What is it good for? Three filters that a person chose. A network learns its own, and often comes to such as these.
# %%
y, x = np.mgrid[:40, :40]
picture = ((y - 14) ** 2 + (x - 14) ** 2 < 90) * 1.0 + ((y > 26) & (y < 34) & (x > 16) & (x < 35)) * 0.6
edge = np.array([[-1.0, -1, -1], [0, 0, 0], [1, 1, 1]])
found = convolve(picture[None, None], np.stack([edge, edge.T, np.full((3, 3), 1 / 9)])[:, None], padding=1)[0]
figure, axes = plt.subplots(1, 4, figsize=(8, 2.8), layout="constrained")
titles = ["picture", "lighter below", "lighter to the right", "mean of 9 cells"]
for axis, plane, title in zip(axes, [picture, *found], titles, strict=True):
    signed = plane.min() < 0  # the others are from 0, black, to 1, white
    axis.imshow(plane, cmap="PuOr_r" if signed else "gray", vmin=-3 if signed else 0, vmax=3 if signed else 1)
    axis.set(title=title, xticks=[], yticks=[])
figure.suptitle("One picture, three filters. In the middle orange is positive, purple negative, white 0")
plt.show()


# %% [markdown]
# ## The way back
# To learn, a network must know: if I nudge this number a little, how does the *loss* change, the one number that says
# how wrong the answer was? That ratio is the *gradient* by this number, a derivative. The layer that read our outputs
# hands us the gradient $g$ by each of them. We work out the gradients by our weights, to learn from, and by our inputs,
# to hand on to the layer before us.
#
# An output is a sum of products, $\dots + w x + \dots$ Nudge $w$ by $\varepsilon$: this output moves by
# $\varepsilon x$, and the loss by $\varepsilon g x$. A weight is in many sums, and what they do to the loss adds up:
#
# $$\frac{\partial L}{\partial w} = \sum_{\text{products with } w} g\,x \qquad\qquad
# \frac{\partial L}{\partial x} = \sum_{\text{products with } x} g\,w$$
#
# So the way back is the same seven loops, and each multiply-add of the way forward becomes two.
# %%
def convolve_back(images, weights, grad, stride=1, padding=0):
    """The gradients by images and weights, where grad (batch, filters, rows, columns) is that by the output."""
    by_images, by_weights = np.zeros_like(images), np.zeros_like(weights)
    (channels, height, width), size = images.shape[1:], weights.shape[2]
    for b, f, y, x in np.ndindex(grad.shape):
        for c, ky, kx in np.ndindex(channels, size, size):
            row, column = y * stride + ky - padding, x * stride + kx - padding
            if 0 <= row < height and 0 <= column < width:
                by_weights[f, c, ky, kx] += grad[b, f, y, x] * images[b, c, row, column]
                by_images[b, c, row, column] += grad[b, f, y, x] * weights[f, c, ky, kx]
    return by_images, by_weights


by_image, by_kernel = convolve_back(image[None, None], kernel[None, None], np.ones((1, 1, 2, 2)))
figure, axes = plt.subplots(1, 3, figsize=(8, 3.3), layout="constrained", width_ratios=[2, 4, 3])
draw_grid(axes[0], np.ones((2, 2)), "gradient by output", {(0, 0)})
draw_grid(axes[1], by_image[0, 0], "by image", {(i, i) for i in range(3)})
draw_grid(axes[2], by_kernel[0, 0], "by filter", {(0, 0)}, "#56B4E9")
figure.suptitle("Orange: where the first output's gradient went. Blue: 1 + 0 + 0 + 1, what the first weight met")
plt.show()


# %% [markdown]
# Do not believe a derivation: nudge each number, and watch the loss. Such *finite differences* are slow and hard to get
# wrong. Our loss is $\sum g \cdot \text{out}$ with a random $g$, because its gradient by the outputs is just that $g$.
# %%
def nudge(numbers, loss, step=1e-5):
    """The gradient of loss() by every number of an array, from moving each a little up and down."""
    slopes = np.empty_like(numbers)
    for place in np.ndindex(numbers.shape):
        before = numbers[place]
        numbers[place] = before + step
        above = loss()
        numbers[place] = before - step
        slopes[place] = (above - loss()) / (2 * step)
        numbers[place] = before
    return slopes


generator = np.random.default_rng(3)
images, weights = generator.standard_normal((1, 2, 5, 4)), generator.standard_normal((3, 2, 3, 3))
for how in [(1, 0), (2, 1), (1, 1)]:  # stride, padding
    grad = generator.standard_normal(convolve(images, weights, *how).shape)
    by_images, by_weights = convolve_back(images, weights, grad, *how)
    for gradient, numbers in [(by_images, images), (by_weights, weights)]:
        slopes = nudge(numbers, lambda how=how, grad=grad: np.sum(grad * convolve(images, weights, *how)))
        assert np.allclose(gradient, slopes, atol=1e-8)
    print(f"stride {how[0]}, padding {how[1]}: all {images.size} + {weights.size} gradients agree with the nudges")
# With stride 1, by the images, it is even a convolution: with the filters turned about, and channels for filters.
turned = weights[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
assert np.allclose(convolve(grad, turned, padding=3 - 1 - 1), by_images)
# %% [markdown]
# ## Made quick
# Python takes far longer to find out what to multiply than to do it. `njit` compiles the function as it stands, for the
# types of its first call. GFLOP/s are billions of operations a second, of which a multiply-add has two.
# %% tags=["volatile"]
quick = njit(convolve)
x, w = generator.random((1, 8, 20, 20), np.float32), generator.standard_normal((16, 8, 3, 3), np.float32)
assert np.allclose(quick(x, w, 1, 1), convolve(x, w, 1, 1), atol=1e-4)  # the first call compiles
for name, function in [("Python", convolve), ("compiled", quick)]:
    start = perf_counter()
    function(x, w, 1, 1)
    seconds = perf_counter() - start
    print(f"{name:9} {1000 * seconds:8.2f} ms {2 * w.size * 20 * 20 / seconds / 1e9:8.4f} GFLOP/s")
# %% [markdown]
# ## Now the real one
# The package's layer gets the same numbers. Its sums are float32 and in another order, so the last digits differ: we
# allow 0.0001. The section says `activation=linear`, so nothing happens to the sums. On the way back, it
# *writes* the gradient by its input, and *adds* to those of its parameters.
# %%
from minidarknet.cfg import parse_cfg
from minidarknet.layers.base import Run
from minidarknet.network import Network

x = generator.standard_normal((2, 3, 16, 20), np.float32)
for size, stride, padding in [(3, 1, 1), (1, 1, 0), (5, 2, 2)]:
    section = f"filters=8\nsize={size}\nstride={stride}\npadding={padding}\nactivation=linear"
    net = Network.from_cfg(parse_cfg(f"[net]\nchannels=3\nheight=16\nwidth=20\n[convolutional]\n{section}"))
    net.initialize(seed=3)  # random weights; the biases begin at 0
    (layer,) = net.layers
    w = layer.weights.value
    assert np.allclose(quick(x, w, stride, padding), net.forward(x), atol=1e-4)
    layer.weights.grad, layer.biases.grad = np.zeros_like(w), np.zeros_like(layer.biases.value)
    scratch = max(layer.workspace_size(), layer.backward_workspace_size(len(x)))  # a Run carries memory to work in
    run = Run(np.empty(scratch, np.float32), training=True)
    grad, by_x = generator.standard_normal(layer.forward(x, run=run).shape, np.float32), np.empty_like(x)
    by_images, by_weights = convolve_back(x, w, grad, stride, padding)
    layer.backward([x], grad, [by_x], run)
    assert np.allclose(by_images, by_x, atol=1e-4)
    assert np.allclose(by_weights, layer.weights.grad, atol=1e-4)
    print(f"size {size}, stride {stride}, padding {padding}: {grad.shape}, equal; method: {layer.convolver.method}")


# %% [markdown]
# | line | here | in the package |
# | --- | --- | --- |
# | the loops | one way for all | four *methods*, chosen by geometry in `convolver.py`; lesson 4 climbs to them |
# | `total` | compiled, a float64 sum, in our order | float32 sums, several at a time: hence the tolerance |
# | behind the sum | nothing | a bias or batch norm (lesson 7), and the activation (lesson 6) |
# | back by the images | `by_images += ...` | with stride 1, forward again with the filters turned about, as above |
#
# At the end of `convolutional.py` stands this lesson's function for one image, `convolutional_naive`; tests hold the
# others to it.
#
# ## Exercises
# ### Exercise 3.1: predict a shape
# A picture (channels, height, width) goes through convolutions, each a (filters, size, stride, padding). What comes
# out? `predict((3, 32, 48), [(16, 3, 1, 1), (8, 3, 2, 1)])` is `(8, 16, 24)`. Without layers the shape stays.
# %%
def predict(shape, layers):
    ### BEGIN SOLUTION
    channels, height, width = shape
    for filters, size, stride, padding in layers:
        channels = filters
        height, width = ((side + 2 * padding - size) // stride + 1 for side in (height, width))
    return channels, height, width
    ### END SOLUTION


# %%
check("3.1", predict)


# %% [markdown]
# ### Exercise 3.2: repair the border
# No error, but wrong numbers wherever there is padding. What does Python make of `image[-1, 0]`?
# %%
def convolve_plane(image, kernel, padding):
    """Convolve an image (height, width) with one filter (size, size), with stride 1."""
    (height, width), size = image.shape, len(kernel)
    output = np.zeros((height + 2 * padding - size + 1, width + 2 * padding - size + 1))
    for y, x, ky, kx in np.ndindex(*output.shape, size, size):
        row, column = y + ky - padding, x + kx - padding
        ### BEGIN SOLUTION
        inside = 0 <= row < height and 0 <= column < width
        ### BEGIN STUB
        # inside = row < height and column < width
        ### END SOLUTION
        if inside:
            output[y, x] += image[row, column] * kernel[ky, kx]
    return output


# %%
check("3.2", convolve_plane)


# %% [markdown]
# ### Exercise 3.3: write a backward
# A convolution along a line, as for sound: `out[i]` is the sum of `x[i * stride + k] * w[k]` over all `k`. Return the
# gradients by `x` and by `w`, two arrays of their shapes; `grad` is that by `out`. With `x = [1, 2, 3]`,
# `w = [10, 20]`, `grad = [1, 1]` and stride 1 they are `[10, 30, 20]` and `[3, 5]`.
# %%
def line_back(x, w, grad, stride):
    ### BEGIN SOLUTION
    by_x, by_w = np.zeros_like(x), np.zeros_like(w)
    for i, k in np.ndindex(len(grad), len(w)):
        by_x[i * stride + k] += grad[i] * w[k]
        by_w[k] += grad[i] * x[i * stride + k]
    return by_x, by_w
    ### END SOLUTION


# %%
check("3.3", line_back)
# %% [markdown]
# ## Where next
# Lesson 4 makes these loops thousands of times faster; lesson 10 puts backward passes together to a whole network.
