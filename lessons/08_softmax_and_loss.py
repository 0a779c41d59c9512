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
# # Lesson 8: softmax and loss, what a network is punished for
#
# **You will build** the last layers of a network: scores become probabilities, and those one number to make small.
#
# **You will learn**
# - why softmax subtracts the largest score first, and what a temperature does;
# - why softmax and the logarithm belong together: their common gradient is $p - t$;
# - which costs Darknet has, and where its own gradients are wrong.
#
# **You need** lessons 6 and 7 (activations, and how finite differences check a gradient).
#
# *In the package:* `minidarknet/layers/softmax.py`, `minidarknet/layers/cost.py`, `minidarknet/layers/logistic.py`

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minidarknet.course import check

# %% [markdown]
# ## Four images, four classes
# The last layer gives each image a **score** per class: any number, larger for a more likely class. Softmax makes
# probabilities of a row of scores: $e$ to the power of each is positive, and divided by their sum they add up to 1.

# %%
scores = np.array([[2.0, 1, 0, 0], [1, 1, 1, 1], [-1, 3, 0, 1], [0, 2, 2, -3]])
shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
figure, panels = plt.subplots(1, 3, figsize=(8, 2.9), layout="constrained")
stages = {"scores": scores, "e to their power": np.exp(scores), "softmax: rows sum to 1": shares}
for panel, (title, numbers) in zip(panels, stages.items(), strict=True):
    panel.imshow(numbers, cmap="Blues", vmin=min(0, numbers.min()), vmax=1.6 * numbers.max())
    for (row, column), number in np.ndenumerate(numbers):
        panel.text(column, row, f"{number:.2f}", ha="center", va="center")
    panel.set(xticks=range(4), yticks=range(4), xlabel="class", ylabel="image", title=title)
plt.show()

# %% [markdown]
# Only differences count: `1 1 1 1` and `0 0 0 0` give the same. Darknet can also divide all scores by a
# **temperature** first. Above 1 it draws them together, and so the probabilities; below 1 it drives them apart. Here
# both, in loops:


# %%
def softmax_by_hand(scores, temperature=1.0):
    p = np.empty_like(scores)
    for image, row in enumerate(scores):
        powers = [np.exp(z / temperature) for z in row]
        p[image] = np.array(powers) / sum(powers)
    return p


assert np.allclose([softmax_by_hand(scores), softmax_by_hand(scores + 5)], shares)  # as drawn
fig, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
for i, t in enumerate((0.5, 1, 4)):
    ax.bar(np.arange(4) + 0.27 * (i - 1), softmax_by_hand(scores[:1], t)[0], 0.25, label=f"temperature {t}")
ax.set(xticks=range(4), xlabel="class", ylabel="probability", title="Scores 2 1 0 0: hot is undecided, cold is sure")
ax.legend()
plt.show()

# %% [markdown]
# ## The trick that keeps it finite
# A float32 ends at about $3.4 \cdot 10^{38}$, which is $e$ to the power of 88.7. A score of 100 gives infinity, and
# infinity divided by infinity is not a number (NaN). So take the largest score away from all: the largest power is then
# $e^0 = 1$, and the smallest may become 0 without harm.

# %%
hot = np.array([[100, 99, 0, 0]], np.float32)
with np.errstate(over="ignore", invalid="ignore"):
    print("naive:  ", (np.exp(hot) / np.exp(hot).sum())[0])
print("shifted:", softmax_by_hand(hot - hot.max(axis=1, keepdims=True))[0].round(3))

# %% [markdown]
# ## The loss: how surprised are we?
# The **truth** $t$ of an image is a row with 1 at its class and 0 elsewhere. The **loss** is one number that says how
# wrong the answer is. For classes it is the **cross-entropy**, $-\log p$ of the right class (natural logarithm): 0
# when the network is sure and right, and $\log n$ when it guesses among $n$ classes (2.303 for ten, 6.908 for a
# thousand). Over a batch, Darknet adds the losses up.

# %%
truth = np.array([[1.0, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]])


def cross_entropy(p, truth):
    return -np.sum(np.log(p[truth != 0]))


each = [cross_entropy(p, t) for p, t in zip(softmax_by_hand(scores), truth, strict=True)]
fig, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
p = np.linspace(0.004, 1, 200)
ax.plot(p, -np.log(p))
for image, loss in enumerate(each):
    ax.plot(np.exp(-loss), loss, "o", color="C1")
    ax.annotate(f"image {image}: {loss:.2f}", (np.exp(-loss), loss), (8, 4), textcoords="offset points")
ax.set(xlabel="probability of the right class", ylabel="loss", title="The loss of our four images")
plt.show()

# %% [markdown]
# ## The way back, and why the two belong together
# Let $z$ be the scores, $c$ the right class, and $[i = j]$ short for 1 where $i$ is $j$, else 0. Softmax alone has the
# derivatives $\partial p_i / \partial z_j = p_i ([i = j] - p_j)$, the logarithm $\partial L / \partial p_c = -1 / p_c$;
# in their product the $p_c$ goes away. Directly, with $L = -\log p_c = -z_c + \log \sum_k e^{z_k}$:
#
# $$\frac{\partial L}{\partial z_j} = -[j = c] + \frac{e^{z_j}}{\sum_k e^{z_k}} = p_j - t_j$$
#
# That is all: probability minus truth. Each gradient is between -1 and 1, and those of an image add up to 0. With a
# temperature $T$, it is $(p - t) / T$.


# %%
def numeric_gradient(loss, x, step=1e-5):
    nudges = step * np.eye(x.size).reshape(-1, *x.shape)  # each moves one number
    return np.array([loss(x + nudge) - loss(x - nudge) for nudge in nudges]).reshape(x.shape) / (2 * step)


for temperature in (1.0, 2.5):
    gradient = (softmax_by_hand(scores, temperature) - truth) / temperature
    numeric = numeric_gradient(lambda z, t=temperature: cross_entropy(softmax_by_hand(z, t), truth), scores)
    assert np.abs(gradient - numeric).max() < 1e-8
    assert np.allclose(gradient.sum(axis=1), 0)

# %% [markdown]
# Going back in two steps fails just where learning matters most: where the network is sure and wrong. There $p_c$ is
# rounded to 0, so $1 / p_c$ is infinite, and infinity times 0 is NaN. The common gradient is -1 by the right class's
# score: as large as it can be, and right.

# %%
t, p = np.array([[1, 0]], np.float32), softmax_by_hand(np.array([[-120, 0]], np.float32))
with np.errstate(divide="ignore", invalid="ignore"):
    by_p = np.where(t != 0, -t / p, 0)
    print("in two steps:", (p * (by_p - (p * by_p).sum(axis=1, keepdims=True)))[0], "  at once:", (p - t)[0])

# %% [markdown]
# ## Other costs
# Where the truth is a number and no class, the **distance** $x - t$ of output and truth counts. `sse` squares it, `L1`
# takes its absolute value, `smooth` is squared near 0 and straight beyond 1. `masked` is `sse` that skips every truth
# of -1234, which means: not known. By custom, `sse` and `smooth` send back *half* of their derivative, so $x - t$ for a
# square; `L1` sends all of it, the sign of $x - t$.

# %%
COSTS = {
    "sse": (lambda x: x * x, lambda x: x),
    "L1": (np.abs, np.sign),
    "smooth": (lambda x: np.where(np.abs(x) < 1, x * x, 2 * np.abs(x) - 1), lambda x: np.clip(x, -1, 1)),
}
off = np.linspace(-2.5, 2.5, 201)
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for (name, (cost, back)), line in zip(COSTS.items(), ("-", "--", ":"), strict=True):
    left.plot(off, cost(off), line)
    right.plot(off, back(off), line, label=name)
right.plot(off, np.where(np.abs(off) < 1, off, -np.sign(off)), "k", linewidth=0.8, label="smooth in Darknet")
left.set(xlabel="output minus truth", title="the cost", ylim=(0, 5))
right.set(xlabel="output minus truth", title="what goes back")
fig.legend(loc="outside right upper")
plt.show()
x = np.array([-2.2, -0.7, 0.3, 1.4])
for (cost, back), share in zip(COSTS.values(), (0.5, 1, 0.5), strict=True):
    assert np.allclose(share * numeric_gradient(lambda x, cost=cost: cost(x).sum(), x), back(x))

# %% [markdown]
# Learning goes *against* what goes back. So beyond 1, the thin line pushes *away* from the truth: a wrong sign in
# Darknet's code.
#
# Labels that do not exclude each other (a dog *and* a ball) have a **logistic** layer: every score gets a probability
# $p = 1 / (1 + e^{-z})$ of its own, with the loss $-\log p$ where the truth is 1 and $-\log(1 - p)$ where it is 0. The
# slope $p (1 - p)$ cancels against the logarithm's fraction, and once more $p - t$ goes back.


# %%
def logistic_loss(z, truth):
    p = 1 / (1 + np.exp(-z))
    return -np.sum(truth * np.log(p) + (1 - truth) * np.log(1 - p))


assert np.allclose(numeric_gradient(lambda z: logistic_loss(z, truth), scores), 1 / (1 + np.exp(-scores)) - truth)

# %% [markdown]
# ## Made quick: compiled, with the largest score taken away


# %% tags=["volatile"]
@njit
def quick_softmax(scores):
    p = np.empty_like(scores)
    for image in range(len(scores)):
        p[image] = np.exp(scores[image] - scores[image].max())
        p[image] /= p[image].sum()
    return p


assert np.allclose(quick_softmax(scores), shares)
many = np.random.default_rng(8).standard_normal((100, 1000))
for name, way in (("loops", softmax_by_hand), ("compiled", quick_softmax)):
    start = time.perf_counter()
    way(many)
    print(f"{name}: {1e3 * (time.perf_counter() - start):.1f} ms for 100 images and 1000 classes")

# %% [markdown]
# ## Now the real ones
# `real` sets up a layer of the package as in lesson 7, and returns output, loss and gradient for our four images. With
# `quirks=True` the layer repeats Darknet's mistakes.

# %%
from minidarknet.layers.base import Run
from minidarknet.layers.cost import Cost, CostOptions
from minidarknet.layers.logistic import Logistic
from minidarknet.layers.softmax import Softmax, SoftmaxOptions
from minidarknet.shapes import Shape


def real(layer, truth=truth, quirks=False):
    z = scores.astype(np.float32).reshape(4, 4, 1, 1)
    run = Run(np.empty(0, np.float32), truth=truth.astype(np.float32), training=True, quirks=quirks)
    layer.connect(Shape.flat(4))
    layer.allocate(batch=4)
    output, gradient = layer.forward(z, run=run).reshape(4, 4), np.empty_like(z)
    layer.backward([z], np.zeros_like(z), [gradient], run)
    return output, layer.loss, gradient.reshape(4, 4)


p, (output, loss, gradient) = softmax_by_hand(scores, 2.5), real(Softmax(SoftmaxOptions(temperature=2.5)))
assert np.allclose((output, gradient), (p, (p - truth) / 2.5), atol=1e-6)
assert np.allclose(loss, cross_entropy(p, truth), atol=1e-5)
assert np.allclose(real(Softmax(SoftmaxOptions(temperature=2.5)), quirks=True)[2], 2.5 * gradient, atol=1e-6)
_, loss, gradient = real(Logistic())
assert np.allclose(loss, logistic_loss(scores, truth), atol=1e-5)
assert np.allclose(gradient, 1 / (1 + np.exp(-scores)) - truth, atol=1e-6)
for name, (cost, back) in COSTS.items():
    output, loss, gradient = real(Cost(CostOptions(type=name)))
    assert np.allclose(loss, cost(scores - truth).sum()), name
    assert np.allclose(gradient, back(scores - truth)), name
    wrong = int((real(Cost(CostOptions(type=name)), quirks=True)[2] != gradient).sum())
    print(f"{name}: Darknet gets {wrong} of 16 gradients wrong")
_, loss, gradient = real(Cost(CostOptions(type="masked")), np.where(truth == 1, -1234, truth))
assert np.allclose((loss, np.abs(gradient[truth == 1]).sum()), ((scores[truth == 0] ** 2).sum(), 0))

# %% [markdown]
# What differs, line by line:
# - float32 for float64, hence the tolerances; and the package's threads share the rows among them;
# - `quirks`: Darknet forgets the temperature on the way back, its `smooth` has the wrong sign, and its `L1` sends 1
#   back for an exact hit ($x = t$), where nothing should be learned. Without `quirks`, the gradients are the true ones.
#
# ### Exercise 8.1: read a first loss
# The first loss of a training log says among how many equally likely classes the network seems to guess. It is summed
# over the batch: `guessed(64 * 2.302585, 64)` is 10. Return a whole number.


# %%
def guessed(loss, batch):
    ### BEGIN SOLUTION
    return round(np.exp(loss / batch))
    ### END SOLUTION


# %%
check("8.1", guessed)

# %% [markdown]
# ### Exercise 8.2: repair an overflow
# The loss of one image from its scores, (classes,) in float64; `right` is the number of its class. It is inf or NaN for
# large scores. Make it right for all: it is not enough to subtract the largest score, as $p$ may still round to 0.


# %%
def loss_from_scores(scores, right):
    ### BEGIN SOLUTION
    largest = scores.max()
    return largest + np.log(np.sum(np.exp(scores - largest))) - scores[right]
    ### BEGIN STUB
    # p = np.exp(scores) / np.sum(np.exp(scores))
    # return -np.log(p[right])
    ### END SOLUTION


# %%
check("8.2", loss_from_scores)

# %% [markdown]
# ### Exercise 8.3: write a backward
# A softmax in the middle of a network has no loss of its own. From its output `p` and the gradient `d` by that output,
# both (images, classes), make the gradient by the scores: $\sum_i d_i\, p_i ([i = j] - p_j)$ for each $j$.


# %%
def softmax_back(d, p):
    ### BEGIN SOLUTION
    return p * (d - np.sum(p * d, axis=1, keepdims=True))
    ### END SOLUTION


# %%
check("8.3", softmax_back)

# %% [markdown]
# ## Where next
# Lesson 10 carries $p - t$ back through whole networks, and lesson 11 makes steps of it.
