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
# # Lesson 14: fire modules and residuals, or why small is not fast
#
# **You will build** the two best known ways to let layers branch: SqueezeNet's fire module and the residual's shortcut.
#
# **You will learn**
# - to go back through a branch: where a number was read twice, its two gradients add up;
# - why a shortcut lets a gradient through thirty layers, and what happens without one;
# - to tell parameters, operations and bytes apart, and which of them a small file saves.
#
# **You need** lessons 3 (convolution), 6 (relu) and 10 (gradients).
#
# *In the package:* `minidarknet/layers/route.py`, `minidarknet/layers/shortcut.py`, `cfg/squeezenet.cfg`
# %%
from functools import partial
from timeit import repeat

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minidarknet.course import check

# %% [markdown]
# ## A fire module on a 4x4 picture
# A 3x3 convolution from many channels to many costs a lot. A **fire module** first **squeezes** the channels into
# a few with 1x1 filters, then **expands** these with 1x1 and 3x3 filters side by side. A **route** lays both results
# one behind the other, as the channels of one output. Here two channels come in; the squeeze adds them up, one
# expanding filter takes each number three times, the other one adds up the nine numbers around.
# %%
a = np.array([[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
b = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]])
squeezed = np.array([[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]])
tripled = np.array([[0, 0, 0, 0], [0, 3, 0, 0], [0, 0, 6, 0], [0, 0, 0, 0]])
around = np.array([[1, 1, 1, 0], [1, 3, 3, 2], [1, 3, 3, 2], [0, 2, 2, 2]])
figure, axes = plt.subplots(figsize=(8, 3.9))
drawn = [(a, 0, 0, "channel a"), (b, 0, 6, "channel b"), (squeezed, 8, 3, "squeezed: a + b")]
for grid, left, top, title in [*drawn, (tripled, 16, 0, "expanded 1x1: times 3"), (around, 16, 6, "expanded 3x3")]:
    for (row, column), number in np.ndenumerate(grid):
        shade = plt.cm.cividis(0.55 + 0.07 * number)
        axes.add_patch(plt.Rectangle((left + column, top + row), 1, 1, facecolor=shade, edgecolor="white"))
        axes.text(left + column + 0.5, top + row + 0.55, number, ha="center", va="center", fontsize=9)
    axes.text(left + 2, top - 0.2, title, ha="center", va="bottom", fontsize=9)
for start, end in [((4.3, 2), (7.7, 4)), ((4.3, 8), (7.7, 6)), ((12.3, 4), (15.7, 2)), ((12.3, 6), (15.7, 8))]:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "lw": 1.5})
axes.plot([20.4, 20.8, 20.8, 20.4], [0, 0, 10, 10], color="black", lw=1.5)
axes.text(21.1, 5, "route:\n2 channels", va="center")
axes.set(xlim=(-0.5, 25), ylim=(10.2, -1.2), title="Fire: few channels in the middle, many at the end", aspect="equal")
axes.axis("off")
plt.show()
# %% [markdown]
# ## By hand, with loops
# `convolve` is lesson 3's, with zeros around so that the picture keeps its size; the loop runs over the filters'
# numbers, each used at all places at once. The squeezed channels are *read twice*, and `np.concatenate` is the route.


# %%
def convolve(x, weights):
    """x (channels, h, w), weights (filters, channels, size, size) of size 1 or 3; no bias."""
    _, h, w = x.shape
    reach, out = weights.shape[2] // 2, np.zeros((len(weights), h, w))
    framed = np.zeros((len(x), h + 2 * reach, w + 2 * reach))
    framed[:, reach : reach + h, reach : reach + w] = x
    for f, c, i, j in np.ndindex(weights.shape):
        out[f] += weights[f, c, i, j] * framed[c, i : i + h, j : j + w]
    return out


def fire(x, squeeze, expand1, expand3):
    """The module with a relu behind each convolution, and what lies in between."""
    s = np.maximum(convolve(x, squeeze), 0)
    return np.maximum(np.concatenate((convolve(s, expand1), convolve(s, expand3))), 0), s


found, between = fire(np.stack((a, b)), np.ones((1, 2, 1, 1)), np.full((1, 1, 1, 1), 3.0), np.ones((1, 1, 3, 3)))
assert (np.concatenate((between, found)) == (squeezed, tripled, around)).all()
print("the loops find what is drawn:", found.shape)
# %% [markdown]
# ## The shortcut, and the way back
# A **residual block** computes $y = x + F(x)$: some layers $F$, and their input added to what they made of it. The sum
# is a layer of its own, Darknet's `[shortcut]`. Where $F$'s weights are small, the block passes on what it gets, so a
# deep network begins as a shallow one; the layers learn only what is to be *changed*, the residual.
#
# Call $\bar v$ the gradient of the loss by $v$. All rules of going back through branches follow from one: *a small
# change of $v$ acts through everybody who reads $v$, and the effects add up*.
# - **route** $y = (u, v)$: its parts only lie side by side, so $\bar y$ is cut apart: $(\bar u, \bar v) = \bar y$.
# - **squeezed** $s$ has two readers, $W_1 s$ and $W_3 s$: $\bar s = W_1^T \bar e_1 + W_3^T \bar e_3$.
# - **shortcut** $y = x + F(x)$: $\bar x = \bar y + F'^{\,T}\,\bar y$. The first term is the gradient, *untouched*.


# %%
def convolve_back(x, weights, grad):
    """From the gradient by the output to those by x and by the weights; lesson 10."""
    (_, h, w), reach = x.shape, weights.shape[2] // 2
    framed = np.pad(x, [(0, 0), (reach, reach), (reach, reach)])
    grad_framed, grad_weights = np.zeros_like(framed), np.zeros_like(weights)
    for f, c, i, j in np.ndindex(weights.shape):
        grad_weights[f, c, i, j] = (framed[c, i : i + h, j : j + w] * grad[f]).sum()
        grad_framed[c, i : i + h, j : j + w] += weights[f, c, i, j] * grad[f]
    return grad_framed[:, reach : reach + h, reach : reach + w], grad_weights


def fire_back(x, squeeze, expand1, expand3, grad):
    """The gradients by x, squeeze, expand1 and expand3."""
    out, s = fire(x, squeeze, expand1, expand3)
    grad = grad * (out > 0)  # relu
    from1, grad_expand1 = convolve_back(s, expand1, grad[: len(expand1)])  # the route, cut apart
    from3, grad_expand3 = convolve_back(s, expand3, grad[len(expand1) :])
    grad_x, grad_squeeze = convolve_back(x, squeeze, (from1 + from3) * (s > 0))  # read twice: added up
    return grad_x, grad_squeeze, grad_expand1, grad_expand3


# Finite differences, as in lesson 10. The loss is a fixed random mixture of all outputs.
chance = np.random.default_rng(14)
numbers = [chance.standard_normal(shape) for shape in [(3, 5, 5), (2, 3, 1, 1), (2, 2, 1, 1), (3, 2, 3, 3)]]
mix = chance.standard_normal((5, 5, 5))
for array, gradient in zip(numbers, fire_back(*numbers, mix), strict=True):
    for place in [tuple(chance.integers(0, array.shape)) for _ in range(12)]:
        losses = []
        for hair in (1e-5, -2e-5, 1e-5):  # up, down, and home again
            array[place] += hair
            losses.append((fire(*numbers)[0] * mix).sum())
        assert abs((losses[0] - losses[1]) / 2e-5 - gradient[place]) < 1e-6
print("48 gradients agree with finite differences")
# %% [markdown]
# ## Thirty layers, with and without
# What the untouched term is worth shows in depth. Here $F(x) = size \cdot W x$ is a 1x1 convolution of 64 channels,
# with random weights $W$ such that $W x$ is about as large as $x$. Going back through a layer multiplies the gradient's
# mean square by about $size^2$, or with a shortcut $1 + size^2$; its length, by the root of that.
# %%
matrices = chance.standard_normal((30, 64, 64)) / np.sqrt(64)
figure, axes = plt.subplots(figsize=(7.5, 3.8))
for size, shortcut, style in [(0.3, 1, "C0-"), (0.3, 0, "C0--"), (1.0, 1, "C1-"), (1.0, 0, "C1--")]:
    grads = [chance.standard_normal((64, 200))]
    for matrix in matrices:
        grads.append(shortcut * grads[-1] + size * matrix.T @ grads[-1])
    lengths = np.linalg.norm(grads, axis=(1, 2)) / np.linalg.norm(grads[0])
    assert 0.5 < lengths[30] / (shortcut + size**2) ** 15 < 2
    label = f"size {size}, {'with' if shortcut else 'without'} shortcuts"
    print(f"weights of {label}: the first layer hears {lengths[30]:.0e}")
    axes.semilogy(lengths, style, label=label)
axes.set(xlabel="layers gone back", ylabel="length of the gradient", title="How much reaches layer 0?")
axes.legend()
plt.show()
# %% [markdown]
# With small weights the first layer of a plain network is deaf; shortcuts carry the gradient whatever the weights. At
# size 1 each block *adds* to the sum, and thirty of them let it grow: hence batch norm (lesson 7) in residual networks.
# ## Made quick
# Compiled, the same lines run over rows and columns without making an array of each product first.
# %% tags=["volatile"]
convolve_quick, x, weights = njit(convolve), chance.random((16, 28, 28)), chance.standard_normal((16, 16, 3, 3))
assert np.allclose(convolve_quick(x, weights), convolve(x, weights))
slow, fast = (min(repeat(partial(way, x, weights), number=1)) * 1e3 for way in (convolve, convolve_quick))
print(f"NumPy {slow:.2f} ms, compiled {fast:.2f} ms")
# %% [markdown]
# ## Now the real one
# In a cfg, `layers=-2` of the first route goes back to the squeezed channels; a route of one layer copies nothing. The
# second route joins the expansions, and `[shortcut]` adds the module's input, layer 0.
# %%
from minidarknet.cfg import parse_cfg
from minidarknet.learning import Learner
from minidarknet.network import Network

CONV, JOIN = "[convolutional]\nfilters={}\nsize={}\npad=1\nactivation={}\n", "[route]\nlayers={}\n"
parts = ["[net]\nwidth=5\nheight=5\nchannels=3\n", CONV.format(5, 1, "linear"), CONV.format(2, 1, "relu")]
parts += [CONV.format(2, 1, "relu"), JOIN.format("-2"), CONV.format(3, 3, "relu"), JOIN.format("-3,-1")]
network = Network.from_cfg(parse_cfg("".join(parts) + "[shortcut]\nfrom=0\nactivation=linear\n[cost]\ntype=sse\n"))
network.initialize(seed=4)
picture, truth = chance.random((1, 3, 5, 5)), chance.random((1, 125))
Learner(network, batch=1).step(picture, truth)
convolutions = [network.layers[place] for place in (0, 1, 2, 4)]
entry, *module = (layer.weights.value.astype(float) for layer in convolutions)
inner = convolve(picture[0], entry)
answer = inner + fire(inner, *module)[0]
assert np.allclose(network.layers[6].output[0], answer, atol=1e-5)
grad = answer - truth.reshape(5, 5, 5)  # what [cost] sends back
grad_inner, *mine = fire_back(inner, *module, grad)
mine.insert(0, convolve_back(picture[0], entry, grad + grad_inner)[1])  # the shortcut: two readers, two terms
theirs = [layer.weights.gradient.copy() for layer in convolutions]
assert all(np.allclose(real, ours, atol=1e-4) for real, ours in zip(theirs, mine, strict=True))
print("outputs equal within 1e-5, gradients within 1e-4")
# %% [markdown]
# What differs: the package computes in float32, hence the tolerances. A layer names whom *it* reads (`reads`), not who
# reads it, and `learning.py` adds up the gradients of all readers in one place. When predicting, `fusion.py` lets both
# expansions write straight into the route's output. Its shortcut also adds unequal pictures: what both have.
#
# **An old mistake.** Darknet's own 1x1 convolutions *overwrite* their input's gradient: right for a chain, wrong for a
# branch. The squeeze then hears nothing of the 3x3 expansion, and layer 0 nothing of the shortcut. The package imitates
# it on request (`darknet_quirks=1` in `[net]`); look at what is lost. (Cosine 1: the same direction; 0: a right angle.)
# %%
Learner(network, batch=1, quirks=True).step(picture, truth)
for name, layer, real in zip(["before", "squeeze", "expand 1x1", "expand 3x3"], convolutions, theirs, strict=True):
    length, cosine = np.linalg.norm(layer.weights.gradient) / np.linalg.norm(real), layer.weights.gradient * real
    cosine = cosine.sum() / length / (real * real).sum()
    print(f"{name:10} gradient {length:.2f} times as long as the true one, cosine between them {cosine:.2f}")
# %% [markdown]
# ## Small is not fast
# SqueezeNet is mainly eight fire modules. A weight is stored *once*, and used at *every place* of the picture, for a
# multiplication and an addition: operations = 2 · weights · places.
# %%
from minidarknet.zoo import cfg_path

squeezenet = Network.from_cfg(cfg_path("squeezenet"))
print("channels  squeeze  expand  places  parameters   operations")
for join in (layer for layer in squeezenet.layers if len(layer.reads) == 2):
    squeeze, expand, _, last = squeezenet.layers[join.index - 4 : join.index]
    learned = [parameter for layer in (squeeze, expand, last) for parameter in layer.parameters()]
    places, work = join.out_shape.height * join.out_shape.width, sum(layer.flops() for layer in (squeeze, expand, last))
    assert work == 2 * places * sum(parameter.size for parameter in learned if parameter.name == "weights")
    print(f"{squeeze.in_shape.channels:8}{squeeze.options.filters:9}{expand.options.filters:6}x2{places:8}", end="")
    print(f"{sum(parameter.size for parameter in learned):12,}{work:13,}")
# %% tags=["volatile"]
rows, times = {}, []
for name in ("tiny", "squeezenet", "darknet", "alexnet"):
    network = Network.from_cfg(cfg_path(name))
    size, work = sum(parameter.size for _, parameter in network.parameters()), network.flops()
    rows[name] = size / 1e6, work / 1e9
    print(f"{name:11}{size:11,} parameters{work:14,} operations: each used {work / size / 2:3.0f} times", end="")
    print(f"; {network.memory(1)['outputs'] // 4:9,} numbers between layers")
    if name != "alexnet":  # drawing its 62 million numbers takes longer than all the rest of this lesson
        network.initialize(seed=1)
        view = chance.random((1, *network.input_shape.array_shape))
        times.append(f"{name} {min(repeat(partial(network.forward, view), number=1)) * 1e3:.1f} ms")
print("here, one picture takes", ", ".join(times))
assert rows["squeezenet"][0] < rows["darknet"][0] / 5
assert rows["squeezenet"][1] > rows["darknet"][1] * 2
figure, axes = plt.subplots(1, 2, figsize=(8, 2.6), layout="constrained")
titles = "million parameters", "billion operations"
for axis, title, values in zip(axes, titles, np.array([*rows.values()]).T, strict=True):
    axis.bar_label(axis.barh(list(rows), values, color=["C2", "C1", "C0", "C7"]), fmt=" %.2f")
    axis.set(title=title, xlim=(0, max(values) * 1.25))
figure.suptitle("SqueezeNet against Darknet Reference: few parameters, many operations")
plt.show()
# %% [markdown]
# SqueezeNet has a sixth of Darknet Reference's parameters and twice its operations. AlexNet is the other way round:
# most of its parameters sit in connected layers, each used once. A file's bytes count for a download; looking at a
# picture takes operations, and the numbers *between* layers, written and read again. `minidarknet compare` measures.
# ## Exercises
# ### Exercise 14.1: predict what a module costs
# A fire module of `channels` in, `squeeze` filters, and `expand` filters of each kind, on a picture of `side` x `side`:
# its parameters (with one bias for each filter) and operations. `fire_cost(2, 1, 1, 4)` is `(15, 384)`.


# %%
def fire_cost(channels, squeeze, expand, side):
    """(parameters, operations) of one fire module."""
    ### BEGIN SOLUTION
    weights = channels * squeeze + squeeze * expand * (1 + 9)
    return weights + squeeze + 2 * expand, 2 * weights * side * side
    ### END SOLUTION


# %%
check("14.1", fire_cost)
# %% [markdown]
# ### Exercise 14.2: write the backward of a shortcut
# Forward is `y = alpha * x + beta * earlier` in those first channels that both have; further channels of `x` are copied
# as they are. `x` and `y` are of one shape, (channels, h, w); `earlier` may have more or fewer channels. Given the
# gradient by `y`, return those by both. (Darknet has this wrong, too.)


# %%
def shortcut_back(grad, earlier_channels, alpha, beta):
    """(grad_x, grad_earlier); the latter has earlier_channels channels, 0 where nobody has read them."""
    ### BEGIN SOLUTION
    shared = min(len(grad), earlier_channels)
    grad_x, grad_earlier = grad.copy(), np.zeros((earlier_channels, *grad.shape[1:]))
    grad_x[:shared], grad_earlier[:shared] = alpha * grad[:shared], beta * grad[:shared]
    return grad_x, grad_earlier
    ### END SOLUTION


# %%
check("14.2", shortcut_back)
# %% [markdown]
# ### Exercise 14.3: repair a way back
# Layer `k` of a small network reads the layers in `reads[k]`, all before it, and multiplies the sum of their outputs by
# `factors[k]`; layer 0 reads nothing. The loop finds the gradient of the last output by each layer's, with one mistake.


# %%
def gradients(reads, factors):
    """The gradient of the last layer's output by that of each layer, as a list."""
    found = [0.0] * (len(reads) - 1) + [1.0]
    for layer in reversed(range(len(reads))):
        for read in reads[layer]:
            ### BEGIN SOLUTION
            found[read] += factors[layer] * found[layer]
            ### BEGIN STUB
            # found[read] = factors[layer] * found[layer]
            ### END SOLUTION
    return found


# %%
check("14.3", gradients)
# %% [markdown]
# ## Where next
# Lesson 15 hands you a budget, and asks for a network of your own. `minidarknet summary squeezenet` shows the whole
# network, and `minidarknet/learning.py` begins with a list of Darknet's other mistakes on the way back.
