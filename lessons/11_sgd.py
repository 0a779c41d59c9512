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
# # Lesson 11: SGD, from gradients to steps
#
# **You will build** the steps that make a network better: plain descent, momentum, decay, Adam, and a rate that
# changes.
#
# **You will learn**
# - above which rate descent explodes, and what momentum does for a narrow valley;
# - Darknet's arithmetic of one update, with its sums over a batch, to the bit;
# - the schedules of a cfg, and the one that Darknet computes wrongly.
#
# **You need** lesson 10 (gradients).
#
# *In the package:* `minidarknet/optimizers.py`, `minidarknet/schedules.py`, `minidarknet/kernels/update.py`,
# `minidarknet/layers/parameter.py`

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minidarknet.course import check

# %% [markdown]
# ## One weight, four steps
# **SGD** is *stochastic gradient descent*: go downhill by the gradient of a few examples, a batch, drawn by chance
# (stochastic). Here the loss is $(w - 3)^2 / 2$, its gradient $g = w - 3$. A plain step goes against the gradient:
# $w \leftarrow w - \mathrm{rate} \cdot g$, with a **rate** of 0.5 here. With **momentum** $\mu$, here 0.5 too, a
# **velocity** $v$ keeps a part of the steps before, like a ball that rolls:
#
# $$v \leftarrow \mu v - g \qquad\qquad w \leftarrow w + \mathrm{rate} \cdot v$$

# %%
table = np.array([[-1.0, -4, 4, 1], [1, -2, 4, 3], [3, 0, 2, 4], [4, 1, 0, 4]])
w, v = -1.0, 0.0
for row in table:
    gradient = w - 3
    v = 0.5 * v - gradient
    assert np.array_equal(row, [w, gradient, v, w + 0.5 * v])  # as drawn
    w += 0.5 * v
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
left.plot(np.linspace(-2, 6), (np.linspace(-2, 6) - 3) ** 2 / 2)
for step, (start, _, _, end) in enumerate(table):
    left.plot([start, end], [(start - 3) ** 2 / 2, (end - 3) ** 2 / 2], "o-", color="C1")
    left.annotate(str(step + 1), (start, (start - 3) ** 2 / 2), (-4, 8), textcoords="offset points")
left.set(xlabel="w", ylabel="loss", title="Downhill, and a little beyond")
right.imshow(np.abs(table), cmap="Blues", vmax=8, aspect="auto")
for (row, column), number in np.ndenumerate(table):
    right.text(column, row, f"{number:g}", ha="center", va="center")
right.set_xticks(range(4), ["w", "gradient", "velocity", "next w"])
right.set_yticks(range(4), ["step 1", "step 2", "step 3", "step 4"])
right.set_title("velocity: half the last one, minus gradient", fontsize=10)
plt.show()

# %% [markdown]
# ## A valley
# Real losses are steep in some directions and flat in others, like $(x^2 + 25 y^2) / 2$ with its gradient $(x, 25 y)$.
# The **curvature**, how fast the slope changes, is 1 along $x$ and 25 along $y$. A plain step makes
# $y - \mathrm{rate} \cdot 25 y$ of $y$: with curvature $c$ it multiplies by $1 - \mathrm{rate} \cdot c$. Below -1, each
# step is larger than the last, and descent explodes: the rate must stay below $2 / c$ of the *steepest* direction,
# and the flattest crawls.
#
# **Adam** (Kingma and Ba, 2014) gives every number its own rate: it divides a rolling mean of the gradients by the root
# of a rolling mean of their squares, so that a steeper loss makes no larger steps. Both means begin at 0, too small; so
# after $t$ steps they are divided by $1 - \beta^t$. $\beta$ is the share of the old mean that is kept (`b1`, `b2`).


# %%
def descend(w, gradient, rate, momentum):
    path, v = [w], np.zeros_like(w)
    for _ in range(40):
        v = momentum * v - gradient(path[-1])
        path.append(path[-1] + rate * v)
    return np.array(path)


def adam(w, gradient, rate, b1=0.9, b2=0.999, eps=1e-7):
    path, mean, square = [w], np.zeros_like(w), np.zeros_like(w)
    for t in range(1, 41):
        g = gradient(path[-1])
        mean, square = b1 * mean + (1 - b1) * g, b2 * square + (1 - b2) * g * g
        path.append(path[-1] - rate * (mean / (1 - b1**t)) / (np.sqrt(square / (1 - b2**t)) + eps))
    return np.array(path)


begin, valley = np.array([-4.0, 1.0]), np.diag([1.0, 25.0]).dot  # the gradient: (x, 25 y)
paths = {
    "plain, rate 0.02": descend(begin, valley, 0.02, 0),
    "plain, rate 0.078": descend(begin, valley, 0.078, 0),
    "momentum 0.8, rate 0.02": descend(begin, valley, 0.02, 0.8),
    "Adam, rate 0.3": adam(begin, valley, 0.3),
}
x, y = np.meshgrid(np.linspace(-4.5, 2, 80), np.linspace(-1.4, 1.4, 60))
fig, panels = plt.subplots(2, 2, figsize=(8, 4.6), layout="constrained", sharex=True, sharey=True)
for panel, (name, path) in zip(panels.flat, paths.items(), strict=True):
    panel.contour(x, y, (x**2 + 25 * y**2) / 2, 12, cmap="Greys_r", linewidths=0.6)
    panel.plot(*path.T, ".-", markersize=4, linewidth=0.9)
    panel.set_title(f"{name}: {np.linalg.norm(path[-1]):.2f} away", fontsize=10)
fig.suptitle("40 steps each, from the upper left to the middle of the rings (x across, y up)", fontsize=11)
plt.show()
assert np.allclose(paths["plain, rate 0.02"][-1], begin * (1 - 0.02 * valley([1, 1])) ** 40)
assert np.abs(descend(begin, valley, 0.081, 0)[-1, 1]) > 1  # 0.081 is above 2 / 25
assert np.allclose(adam(begin, lambda w: 1000 * valley(w), 0.3), paths["Adam, rate 0.3"], atol=1e-4)

# %% [markdown]
# Plain descent with the small rate crawls along the valley; just below 2 / 25 = 0.08, it leaps from side to side. With
# momentum, steps along the valley add up, as all point the same way; those across change sign, and cancel in part.
#
# ## Darknet's update, to the bit
# The gradients of a batch are *sums* over its $B$ images, so Darknet divides the rate by $B$. **Weight decay** pulls
# weights (not biases or scales) towards 0: a loss of $\mathrm{decay} \cdot w^2 / 2$ per image, with the gradient
# $\mathrm{decay} \cdot w$, so $B$ times that for a batch. One buffer serves for all: gradients and decay are subtracted
# from it, it is used, and then *multiplied* by the momentum instead of cleared. That is the same as our velocity:

# %%
rng = np.random.default_rng(11)
RATE, MOMENTUM, DECAY, BATCH = (np.float32(number) for number in (0.1, 0.9, 0.0005, 8))


def darknet_step(w, buffer, gradient):
    buffer -= gradient  # in C, every image's share comes in like this
    buffer += -DECAY * BATCH * w
    w += RATE / BATCH * buffer
    buffer *= MOMENTUM


def our_step(w, v, gradient):
    v[:] = MOMENTUM * v - gradient - DECAY * BATCH * w
    w += RATE / BATCH * v


first = rng.standard_normal(1000).astype(np.float32)
w, buffer, w2, v = first.copy(), np.zeros_like(first), first.copy(), np.zeros_like(first)
many = rng.standard_normal((40, 1000)).astype(np.float32)
for gradient in many:
    darknet_step(w, buffer, gradient)
    our_step(w2, v, gradient)
assert np.array_equal(w, w2)  # every bit
assert np.allclose((DECAY / 2 * (w + 0.1) ** 2 - DECAY / 2 * (w - 0.1) ** 2) / 0.2, DECAY * w, atol=1e-6)

# %% [markdown]
# As the rate multiplies at the very end, a new rate also counts for what the buffer has stored. And as gradients only
# add up, a batch may come in parts (`subdivisions`): the step follows the last one. NumPy goes through memory once for
# each operation. A compiled kernel does all of them while it has a number at hand, in the processor's registers:


# %% tags=["volatile"]
@njit
def quick_step(w, v, gradient, rate, momentum, pull):
    for i in range(w.size):
        v[i] = momentum * v[i] - gradient[i] - pull * w[i]
        w[i] += rate * v[i]


large = [rng.standard_normal(4_000_000).astype(np.float32) for _ in range(3)]
quick_step(*(array[:1] for array in large), RATE, MOMENTUM, DECAY)  # compiled here
for name, way in (("NumPy", our_step), ("kernel", lambda *arrays: quick_step(*arrays, RATE / BATCH, MOMENTUM, DECAY))):
    before = time.perf_counter()
    way(*large)
    print(f"{name}: {1e3 * (time.perf_counter() - before):.1f} ms for 4,000,000 weights")

# %% [markdown]
# ## The rate over time
# Large steps first, small ones at the end: the cfg's `policy` says how, by the number $n$ of the batch, of which there
# are `max_batches` in all. `burn_in` may come before any policy (here `constant`): while momentum and batch norm still
# know nothing, the rate rises from 0.

# %%
POLICIES = {
    "constant": ({"burn_in": 100, "power": 4.0}, lambda n: np.where(n < 100, 0.1 * (n / 100) ** 4, 0.1)),
    "step": ({"step": 200, "scale": 0.5}, lambda n: 0.1 * 0.5 ** (n // 200)),
    "steps": ({"steps": (400, 700), "scales": (0.1, 0.1)}, lambda n: 0.1 * 0.1 ** ((n >= 400) + 1 * (n >= 700))),
    "exp": ({"gamma": 0.996}, lambda n: 0.1 * 0.996**n),
    "poly": ({"max_batches": 1000, "power": 4.0}, lambda n: 0.1 * (1 - n / 1000) ** 4),
    "sigmoid": ({"gamma": 0.02, "step": 500}, lambda n: 0.1 / (1 + np.exp(0.02 * (n - 500)))),
}
number = np.arange(1, 1001)
fig, panels = plt.subplots(2, 3, figsize=(8, 4), layout="constrained", sharex=True, sharey=True)
for panel, (name, (settings, policy)) in zip(panels.flat, POLICIES.items(), strict=True):
    panel.plot(number, policy(number))
    panel.set_title("\n".join([name, ", ".join(f"{key}={value}" for key, value in settings.items())]), fontsize=9)
fig.supxlabel("the rate, over the number of the batch")
plt.show()

# %% [markdown]
# ## Now the real ones
# First the six schedules; then 40 steps of the package with the same gradients as above, by momentum and by Adam.

# %%
from minidarknet.cfg import parse_cfg
from minidarknet.learning import Learner
from minidarknet.net_options import NetOptions
from minidarknet.network import Network
from minidarknet.optimizers import optimizer_for
from minidarknet.schedules import rate_at

for name, (settings, policy) in POLICIES.items():
    options = NetOptions(learning_rate=0.1, policy=name, **settings)
    assert np.allclose([rate_at(options, int(n)) for n in number], policy(number), rtol=1e-4, atol=1e-9), name
print("sigmoid at batch 200:", round(rate_at(options, 200), 4), "and in Darknet:", rate_at(options, 200, quirks=True))


def forty_steps(net):
    network = Network.from_cfg(parse_cfg(f"[net]\ninputs=500\n{net}\n[connected]\noutput=2\n[softmax]\n"))
    network.initialize(seed=1)
    Learner(network, batch=8)  # takes memory for the gradients
    weights, optimizer = network.layers[0].weights, optimizer_for(network)
    weights.array = first.reshape(2, 500).copy()
    for gradient in many:
        weights.gradient[:] = gradient.reshape(2, 500)
        optimizer.step(0.1, batch=8)
    return weights.value.ravel()


given = iter(many.astype(float))  # Adam divides the sums by the batch of 8 first
by_adam = adam(first.astype(float), lambda w: next(given) / 8, 0.1)[-1]
assert np.abs(forty_steps("momentum=0.9\ndecay=0.0005") - w).max() < 2e-6
assert np.abs(forty_steps("adam=1\ndecay=0") - by_adam).max() < 5e-5

# %% [markdown]
# What differs, line by line:
# - `kernels/update.py` does a step in one pass on all threads, and clears the gradient in it;
# - it may round $a b + c$ once instead of twice, so the last bits are not Darknet's (2e-6 at most after 40 steps);
# - Darknet subtracts *unsigned* numbers in `sigmoid`, which cannot be negative: before its middle, the difference is
#   huge, and the rate 0. Here only with `quirks`;
# - Darknet has Adam on a GPU only. Without one it uses momentum, and does not say so.
#
# ### Exercise 11.1: predict an explosion
# Plain descent on a loss with these curvatures, one for each direction: above which rate does it explode? For example
# `largest_rate([1.0, 25.0])` is 0.08.


# %%
def largest_rate(curvatures):
    ### BEGIN SOLUTION
    return 2 / max(curvatures)
    ### END SOLUTION


# %%
check("11.1", largest_rate)

# %% [markdown]
# ### Exercise 11.2: repair the decay
# One update as Darknet does it, which returns (weights, buffer). But with large batches, weights grow as if there were
# next to no decay. Repair it.


# %%
def update(weights, buffer, gradient, rate, momentum, decay, batch):
    ### BEGIN SOLUTION
    buffer = buffer - gradient - decay * batch * weights
    ### BEGIN STUB
    # buffer = buffer - gradient - decay * weights
    ### END SOLUTION
    return weights + rate / batch * buffer, momentum * buffer


# %%
check("11.2", update)

# %% [markdown]
# ### Exercise 11.3: a schedule
# `burn_in`, then `poly`: for batch $n$ below burn_in the rate is $r (n / \mathrm{burn\_in})^p$, else
# $r (1 - n / \mathrm{max\_batches})^p$. One power serves both, as in Darknet.


# %%
def rate_of(n, r, p, burn_in, max_batches):
    ### BEGIN SOLUTION
    return r * (n / burn_in) ** p if n < burn_in else r * (1 - n / max_batches) ** p
    ### END SOLUTION


# %%
check("11.3", rate_of)

# %% [markdown]
# ### Exercise 11.4: look ahead
# Nesterov's momentum takes the gradient not here, but where the velocity alone would lead: at
# $w + \mathrm{rate}\, \mu v$. All else stays. `gradient` is a function of $w$. Return the new w and the new v as a
# tuple, and change no array in place.


# %%
def nesterov(w, v, gradient, rate, momentum):
    ### BEGIN SOLUTION
    v = momentum * v - gradient(w + rate * momentum * v)
    return w + rate * v, v
    ### END SOLUTION


# %%
check("11.4", nesterov)

# %% [markdown]
# ## Where next
# Lesson 12 makes batches of pictures, and lesson 13 puts all of it together. Read `minidarknet/optimizers.py` now.
