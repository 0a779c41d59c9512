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
# # Lesson 10: gradients, from the loss back to every number
#
# **You will build** a network of two layers that learns, with nothing but loops, and a check that finds any wrong
# gradient.
#
# **You will learn**
# - the chain rule as a walk back through the network, one multiplication per step;
# - why a connected layer goes forward along rows and back along columns;
# - how large the step of a numeric check must be, and why neither larger nor smaller.
#
# **You need** lessons 6 and 8 (leaky, softmax and its gradient $p - t$).
#
# *In the package:* `minidarknet/learning.py`, `minidarknet/layers/connected.py`, `minidarknet/kernels/outer.py`

# %%
import time

import matplotlib.pyplot as plt
import numpy as np

from minidarknet.course import check

# %% [markdown]
# ## Three numbers that learn
# A network as small as can be: $z = w x + b$, then leaky, $h = z$ or $0.1 z$ below 0, then $y = v h$. The loss is
# $L = (y - t)^2 / 2$, with the truth $t$. The **gradient** by a number is a ratio: how much $L$ grows when that number
# grows by a little, divided by that little. Here with $w = 0.5$, $b = -2$, $v = 3$, for $x = 2$ and $t = 0.7$:

# %%
figure, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
stages = (("x", "2", "-0.15"), ("z = w x + b", "-1", "-0.3"), ("h = leaky(z)", "-0.1", "-3"), ("y = v h", "-0.3", "-1"))
slopes = ("times w = 0.5", "times 0.1", "times v = 3", "times y - t")
for i, (name, value, gradient) in enumerate((*stages, ("L", "0.5", "1"))):
    ax.text(i, 0, name, ha="center", va="center", bbox={"boxstyle": "round,pad=0.5", "facecolor": "white"})
    ax.text(i, 0.55, value, ha="center", color="C0", fontsize=12)
    ax.text(i, -0.7, gradient, ha="center", color="#B03000", fontsize=12)
    if i < 4:
        ax.text(i + 0.5, -0.52, slopes[i], ha="center", color="#B03000", fontsize=8)
        for tail, head, height, colour in ((0.3, 0.7, 0.6, "C0"), (0.7, 0.3, -0.65, "#B03000")):
            ax.annotate("", (i + head, height), (i + tail, height), arrowprops={"arrowstyle": "->", "color": colour})
for i, branch in ((1, "w: -0.3 x = -0.6,  b: -0.3"), (3, "v: -1 h = 0.1")):
    ax.text(i, -1, f"gradient by {branch}", ha="center", color="#B03000", fontsize=9)
ax.set(xlim=(-0.6, 4.6), ylim=(-1.2, 0.9), xticks=[], yticks=[], frame_on=False)
ax.set_title("Above: values, from left to right. Below: gradients, from right to left")
plt.show()

# %% [markdown]
# The **chain rule**: what $L$ gains by a nudge of $z$ is what it gains by $h$, times what $h$ gains by $z$. So walk
# back from $L$, and multiply by each step's own slope. Each step needs only its own numbers from the way forward. The
# gradient by a parameter branches off where it is used: by $v$ it is that by $y$ times $h$, so $-1 \cdot (-0.1)$.


# %%
def three_numbers(w, b, v, x, t):
    z = w * x + b
    h = z if z > 0 else 0.1 * z
    y = v * h
    by_y = y - t
    by_h = by_y * v
    by_z = by_h if z > 0 else 0.1 * by_h
    return (y - t) ** 2 / 2, [by_z * x, by_z, by_y * h]  # the loss, and its gradients by w, b and v


def numeric_gradient(loss, numbers, step=1e-5):
    nudges = step * np.eye(numbers.size).reshape(-1, *numbers.shape)  # each moves one number
    return np.reshape([loss(numbers + n) - loss(numbers - n) for n in nudges], numbers.shape) / (2 * step)


loss, gradient = three_numbers(0.5, -2, 3, x=2, t=0.7)
assert np.allclose([loss, *gradient], [0.5, -0.3 * 2, -0.3, -1 * -0.1])  # as drawn
assert np.allclose(gradient, numeric_gradient(lambda n: three_numbers(*n, x=2, t=0.7)[0], np.array([0.5, -2, 3])))

# %% [markdown]
# ## How small is a little?
# `numeric_gradient` is the **numeric check** (lesson 3's finite differences): it compares the losses one step to either
# side (*central* differences). Over a large step the curve bends; after a small one, two losses are subtracted that are
# nearly equal, and little is left but rounding. Here is the error for a loss whose slope we know exactly: $-\log p$ of
# the logistic curve, with slope $p - 1$.

# %%
steps, exact = np.logspace(-13, 0, 53), 1 / (1 + np.exp(-0.7)) - 1
fig, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
for kind, sides, line in (("float32", 2, ":"), ("float64", 1, "--"), ("float64", 2, "-")):
    z, h = np.array(0.7, kind), steps.astype(kind)
    up, down = np.log1p(np.exp(-z - h)), np.log1p(np.exp(-z + h if sides == 2 else -z))
    error = np.abs((up - down) / (sides * h) - exact)
    ax.loglog(steps, error + 1e-13, line, label=f"{kind}, {'both sides' if sides == 2 else 'one side'}")
assert 1e-7 < steps[error.argmin()] < 1e-4  # float64, both sides
ax.set(xlabel="step", ylabel="error of the slope", title="Best: float64, both sides, a step near 0.00001")
ax.legend()
plt.show()

# %% [markdown]
# ## A connected layer, 4x4
# Each output is a sum: $y_o = \sum_i w_{oi} x_i + b_o$, along a *row* of the weights. Each input has moved all outputs.
# So on the way back, with $d$ for the gradient by $y$, it collects from a *column*:
# $\partial L / \partial x_i = \sum_o w_{oi} d_o$. A weight is met once in each image:
# $\partial L / \partial w_{oi} = d_o x_i$, added up over the batch: in NumPy, three matrix products (`@`).

# %%
weights, biases = np.array([[1.0, 0, 2, -1], [0, 3, 1, 0], [2, 1, 0, 1], [-1, 0, 1, 2]]), np.array([0.5, 0, -1, 0])
x, d = np.array([[1.0, 2, 0, -1]]), np.array([[0.5, -1, 0, 2]])
shades = np.zeros((3, 4, 4))
shades[0, 1], shades[1, :, 2], shades[2] = 1, 1, np.abs(d.T * x)
titles = ("forward: y[1] = 3 x[1] + x[2]", "back: x[2] gets 2 d[0] + d[1] + d[3]", "weights get d[row] x[column]")
fig, panels = plt.subplots(1, 3, figsize=(8, 3.1), layout="constrained")
for panel, shade, numbers, title in zip(panels, shades, (weights, weights, d.T * x + 0), titles, strict=True):
    panel.imshow(shade, cmap="Blues", vmax=2.5 * shade.max())
    for (o, i), number in np.ndenumerate(numbers):
        panel.text(i, o, f"{number:g}", ha="center", va="center")
    panel.set(xticks=range(4), yticks=range(4), xlabel="input", ylabel="output")
    panel.set_title(title, fontsize=9)
panels[2].set_xticks(range(4), [f"x[{i}]={v:g}" for i, v in enumerate(x[0])], fontsize=8)
panels[2].set_yticks(range(4), [f"d[{o}]={v:g}" for o, v in enumerate(d[0])], fontsize=8)
plt.show()


# %%
def connected(x, weights, biases):
    y = np.zeros((len(x), len(weights))) + biases
    for b in range(len(x)):
        for o, i in np.ndindex(weights.shape):
            y[b, o] += weights[o, i] * x[b, i]
    return y


def connected_back(d, x, weights):
    by_weights, by_x = np.zeros(weights.shape), np.zeros(x.shape)
    for b in range(len(x)):
        for o, i in np.ndindex(weights.shape):
            by_weights[o, i] += d[b, o] * x[b, i]
            by_x[b, i] += d[b, o] * weights[o, i]
    return by_weights, d.sum(axis=0), by_x  # the gradients by weights, biases and x


def quick(x, weights, biases):
    return x @ weights.T + biases


def quick_back(d, x, weights):
    return d.T @ x, d.sum(axis=0), d @ weights


by_weights, by_biases, by_x = connected_back(d, x, weights)
assert (connected(x, weights, biases)[0, 1], by_x[0, 2]) == (3 * 2 + 0, 2 * 0.5 - 1 + 2)  # as drawn
assert np.allclose(by_weights, numeric_gradient(lambda w: np.sum(d * connected(x, w, biases)), weights))
assert np.allclose(by_biases, numeric_gradient(lambda b: np.sum(d * connected(x, weights, b)), biases))
assert np.allclose(by_x, numeric_gradient(lambda x: np.sum(d * connected(x, weights, biases)), x))

# %% [markdown]
# ## A network that learns
# Two arcs of points, which no line can part, and a network: connected from 2 to 16, leaky, connected to 2, softmax.
# Going back is the same list in reverse, beginning with lesson 8's $p - t$; it is checked on 5 points. Then learn: 500
# times, move every number against its gradient, by the **rate** times that gradient, so that the loss falls (lesson 11
# says more): here 0.5 / 200, as the gradients are sums over 200 points.

# %%
rng = np.random.default_rng(10)
angle, group = np.pi * rng.random(200), np.arange(200) % 2
arcs = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (1 - 2 * group[:, None]) + np.outer(group, [1, 0.4])
points = arcs + 0.1 * rng.standard_normal((200, 2))
truth = np.eye(2)[group]
start = [np.zeros(16), rng.uniform(-1, 1, (16, 2)), np.zeros(2), rng.uniform(-0.35, 0.35, (2, 16))]


def gradients(numbers, points, truth, forward, back):
    b1, w1, b2, w2 = numbers
    z = forward(points, w1, b1)
    h = np.where(z > 0, z, 0.1 * z)
    scores = forward(h, w2, b2)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = powers / powers.sum(axis=1, keepdims=True)
    by_w2, by_b2, by_h = back(p - truth, h, w2)
    by_w1, by_b1, _ = back(np.where(z > 0, by_h, 0.1 * by_h), points, w1)
    return -np.sum(np.log(p[truth == 1])), p, [by_b1, by_w1, by_b2, by_w2]


few = (points[:5], truth[:5], quick, quick_back)
for i, gradient in enumerate(gradients(start, *few)[2]):
    numeric = numeric_gradient(lambda a, i=i: gradients([*start[:i], a, *start[i + 1 :]], *few)[0], start[i])
    assert np.abs(gradient - numeric).max() < 1e-7

# %% tags=["volatile"]
for name, ways in (("loops", (connected, connected_back)), ("matrices", (quick, quick_back))):
    begin = time.perf_counter()
    gradients(start, points, truth, *ways)
    print(f"{name}: {1e3 * (time.perf_counter() - begin):.2f} ms")

# %%
numbers, losses = [array.copy() for array in start], []
for _ in range(500):
    loss, p, found = gradients(numbers, points, truth, quick, quick_back)
    losses.append(loss / 200)
    for array, gradient in zip(numbers, found, strict=True):
        array -= 0.5 / 200 * gradient
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
left.semilogy(losses)
left.set(xlabel="step", ylabel="loss per point", title="The loss falls")
across, up = np.meshgrid(np.linspace(-1.5, 2.5, 120), np.linspace(-1.1, 1.5, 90))
grid = np.stack([across.ravel(), up.ravel()], axis=1)
_, field, _ = gradients(numbers, grid, np.eye(2)[np.zeros(len(grid), int)], quick, quick_back)
right.contourf(across, up, field[:, 1].reshape(across.shape), 20, cmap="PuOr_r", vmin=-0.3, vmax=1.3)
right.scatter(*points.T, c=group, cmap="gray", s=12, edgecolors="black")
right.set_title("Violet: probably black, orange: white")
plt.show()
print(f"loss per point {losses[0]:.3f}, then {losses[-1]:.3f}; {(p.argmax(axis=1) == group).sum()} of 200 are right")

# %% [markdown]
# ## Now the real one
# A `Learner` does the same for any network: forward, then back through the layers in reverse. An optimizer, `SGD`,
# moves the numbers; its `momentum` and `decay` wait for lesson 11.

# %%
from minidarknet.cfg import parse_cfg
from minidarknet.learning import Learner
from minidarknet.network import Network
from minidarknet.optimizers import SGD

cfg = "[net]\ninputs=2\nmomentum=0\ndecay=0\n[connected]\noutput=16\nactivation=leaky\n"
network = Network.from_cfg(parse_cfg(cfg + "[connected]\noutput=2\nactivation=linear\n[softmax]\n"))
parameters = [parameter for _, parameter in network.parameters()]  # biases, weights, biases, weights
for parameter, array in zip(parameters, start, strict=True):
    parameter.array = array.astype(np.float32)
learner, optimizer = Learner(network, batch=200), SGD(network)
loss, (mine, _, found) = learner.step(points, truth), gradients(start, points, truth, quick, quick_back)
assert abs(loss - mine) < 1e-5 * mine
for parameter, gradient in zip(parameters, found, strict=True):
    assert np.abs(parameter.grad - gradient).max() < 1e-5 * np.abs(gradient).max()
for _ in range(500):
    optimizer.step(0.5, 200)
    loss = learner.step(points, truth)
assert max(np.abs(parameter.value - array).max() for parameter, array in zip(parameters, numbers, strict=True)) < 1e-3
print(f"after 500 steps: loss per point {loss / 200:.3f}, and every number less than 0.001 from ours")

# %% [markdown]
# What differs, line by line:
# - float32 for float64, so that the steps' roundings add up; `kernels/outer.py` makes the products, on all threads;
# - leaky goes back by its *output*, whose sign is that of its input, so that the input need not be kept;
# - the first layer's gradient by x is not computed, as nobody asks; those by parameters are *added* to what is there.
#
# ### Exercise 10.1: repair the gradient by the weights
# `d` is (batch, outputs), `x` (batch, inputs), the result (outputs, inputs): right for one image, wrong for more.


# %%
def by_weights_of(d, x):
    gradient = np.zeros((d.shape[1], x.shape[1]))
    for b in range(len(x)):
        ### BEGIN SOLUTION
        gradient += np.outer(d[b], x[b])
        ### BEGIN STUB
        # gradient = np.outer(d[b], x[b])
        ### END SOLUTION
    return gradient


# %%
check("10.1", by_weights_of)

# %% [markdown]
# ### Exercise 10.2: write a backward
# A layer with a shortcut: $y = x + \tanh(s)$ with $s = x W^T$, and $\tanh' = 1 - \tanh^2$. x and y are
# (batch, n), W is (n, n). Given d, the gradient by y, return those by W and by x. On how many ways does x reach y?


# %%
def shortcut_back(d, x, weights):
    ### BEGIN SOLUTION
    by_s = d * (1 - np.tanh(x @ weights.T) ** 2)
    return by_s.T @ x, d + by_s @ weights
    ### END SOLUTION


# %%
check("10.2", shortcut_back)

# %% [markdown]
# ### Exercise 10.3: find the liar
# `loss` is a function of a vector, and somebody claims that its gradient at `x` is `claimed`. Return the index of
# the one number that is wrong, or None where all are right to four digits.


# %%
def liar(loss, x, claimed):
    ### BEGIN SOLUTION
    for i, nudge in enumerate(1e-5 * np.eye(len(x))):
        slope = (loss(x + nudge) - loss(x - nudge)) / 2e-5
        if abs(slope - claimed[i]) > 1e-4 * max(1, abs(slope)):
            return i
    return None
    ### END SOLUTION


# %%
check("10.3", liar)

# %% [markdown]
# ## Where next
# Lesson 11 asks how large a step should be. Read `minidarknet/learning.py`: `backward_steps` is our walk back.
