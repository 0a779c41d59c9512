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
# # Lesson 6: activations, and what can die of them
#
# **You will build** Darknet's activations, their way back from the output alone, and a layer of your own.
#
# **You will learn**
# - why a network needs a curve between its layers, and what each of Darknet's does to a number,
# - how to tell a curve's slope from its *output*, so that the input may be forgotten,
# - what saturated and dead units are, what makes them, and how to count the dead ones.
#
# **You need** lesson 3: gradients, and how to check them by nudging.
#
# *In the package:* `minidarknet/layers/activation.py`, `minidarknet/kernels/activations.py`
# %%
import math
from timeit import repeat

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minidarknet.course import check

plt.rcParams["axes.prop_cycle"] = plt.cycler(color=["#0072B2", "#E69F00", "#009E73", "#CC79A7"])


def draw_grid(axes, numbers, title):
    """Draw a small array with its numbers: positive ones orange, negative ones blue."""
    for y, x in np.ndindex(numbers.shape):
        color = "white" if numbers[y, x] == 0 else "#F5C766" if numbers[y, x] > 0 else "#A6D0EE"
        axes.add_patch(plt.Rectangle((x, y), 1, 1, fc=color, ec="0.4"))
        axes.text(x + 0.5, y + 0.5, f"{numbers[y, x]:g}", ha="center", va="center", fontsize=12)
    axes.set(xlim=(-0.1, 4.1), ylim=(4.1, -0.1), aspect="equal", title=title)
    axes.axis("off")


# %% [markdown]
# ## One function of every number
# Two convolutions in a row are only one larger convolution: sums of sums. An *activation* between them, a curve that
# each number goes through by itself, makes them more than that. *relu* cuts off what is negative; *leaky*, Darknet's
# favourite, leaves a tenth of it.
# %%
numbers = np.array([[-4, 3, -1, 0], [2, -2, 5, -3], [0, 1, -5, 4], [-1, 2, 3, -2]], np.float64)
relu_drawn = np.array([[0, 3, 0, 0], [2, 0, 5, 0], [0, 1, 0, 4], [0, 2, 3, 0]], np.float64)
leaky_drawn = np.array([[-0.4, 3, -0.1, 0], [2, -0.2, 5, -0.3], [0, 1, -0.5, 4], [-0.1, 2, 3, -0.2]])
figure, axes = plt.subplots(1, 3, figsize=(8, 3), layout="constrained")
for axis, array, title in zip(axes, [numbers, relu_drawn, leaky_drawn], ["input", "relu", "leaky"], strict=True):
    draw_grid(axis, array, title)
figure.suptitle("Positive numbers (orange) pass; of negative ones (blue), nothing or a tenth is left")
plt.show()
# %% [markdown]
# ## Eight of Darknet's fourteen
# Each name has two functions: the curve, of the input x, and its slope (its derivative), of the *output* y.
# %%
CURVES = {
    "relu": (lambda x: max(x, 0.0), lambda y: 1.0 if y > 0 else 0.0),
    "leaky": (lambda x: x if x > 0 else 0.1 * x, lambda y: 1.0 if y > 0 else 0.1),
    "ramp": (lambda x: 1.1 * x if x > 0 else 0.1 * x, lambda y: 1.1 if y > 0 else 0.1),
    "hardtan": (lambda x: min(max(x, -1.0), 1.0), lambda y: 1.0 if -1 < y < 1 else 0.0),
    "elu": (lambda x: x if x >= 0 else math.exp(x) - 1, lambda y: 1.0 if y >= 0 else y + 1),
    "logistic": (lambda x: 1 / (1 + math.exp(-x)), lambda y: y * (1 - y)),
    "loggy": (lambda x: 2 / (1 + math.exp(-x)) - 1, lambda y: (1 - y * y) / 2),
    "tanh": (math.tanh, lambda y: 1 - y * y),
}


def apply(function, array):
    """A new array with function(number) for every number of an array."""
    return np.array([function(number) for number in array.flat]).reshape(array.shape)


assert np.allclose(apply(CURVES["relu"][0], numbers), relu_drawn)
assert np.allclose(apply(CURVES["leaky"][0], numbers), leaky_drawn)
line = np.linspace(-4, 4, 401)
figure, axes = plt.subplots(2, 4, figsize=(8, 4.4), sharex=True, sharey=True, layout="constrained")
for axis, (name, (curve, slope)) in zip(axes.flat, CURVES.items(), strict=True):
    y = apply(curve, line)
    axis.plot(line, y, lw=2.2, label="output")
    axis.plot(line, apply(slope, y), lw=2.2, ls="--", label="slope")
    axis.set(title=name, ylim=(-2.2, 2.6), xticks=range(-4, 5, 2))
axes[0, 0].legend(loc="upper left", fontsize=8)
figure.supxlabel("input", fontsize=10)
figure.suptitle("Where the dashed slope is 0, no gradient comes back")
plt.show()


# %% [markdown]
# ## The way back
# The gradient by the input is that by the output, times the slope. All of these curves rise or stay level and never
# fall, so the output tells where we are, or on which level piece. So it may overwrite the input: half the memory.
#
# $$\text{logistic: } y = \frac{1}{1 + e^{-x}}, \quad \frac{dy}{dx} = \frac{e^{-x}}{(1 + e^{-x})^2} = y\,(1 - y)
# \qquad\quad \text{elu, below 0: } y = e^x - 1, \quad \frac{dy}{dx} = e^x = y + 1$$
#
# For tanh it is $1 - y^2$, loggy is a logistic stretched to -1 .. 1, and the rest are straight lines. We nudge to be
# sure, but not at a kink: there, the slopes from the left and from the right are both right, and Darknet takes one.
# %%
places = np.linspace(-3.95, 3.95, 80)  # 0.05 or more from the kinks, which are at -1, 0 and 1
for curve, slope in CURVES.values():
    nudged = (apply(curve, places + 1e-6) - apply(curve, places - 1e-6)) / 2e-6
    assert np.allclose(apply(slope, apply(curve, places)), nudged, atol=1e-8)
print("slopes from the output = slopes by nudging, for", ", ".join(CURVES))


# %% [markdown]
# ## Saturation, and slopes that are small everywhere
# A *unit* is one number of a layer's output: a weighted sum behind its activation. Far from 0 the logistic curve is
# flat, with a slope of 0.0025 at 6: a unit there is *saturated*, and hardly any gradient passes it. But even at its
# steepest the slope is 1/4. So each layer shrinks the gradient, and the first of many layers learn nearly nothing.
#
# Below, a layer has 100 units, each a sum of all 100 units before it. The weights are random, and so large that relu,
# half of whose slopes are 0 and half are 1, keeps the gradient's size.
# %%
def gradient_sizes(name, layers=12, width=100):
    """The mean size of the gradient by the input of each of many random layers, and the mean slope."""
    generator, (curve, slope) = np.random.default_rng(6), CURVES[name]
    weights = generator.standard_normal((layers, width, width)) * math.sqrt(2 / width)
    outputs = [generator.standard_normal((20, width))]
    for w in weights:
        outputs.append(apply(curve, outputs[-1] @ w))
    grad, sizes, slopes = generator.standard_normal((20, width)), [], []
    for w, y in zip(weights[::-1], outputs[:0:-1], strict=True):  # from the last layer to the first
        slopes.append(apply(slope, y))
        grad = (grad * slopes[-1]) @ w.T
        sizes.append(np.abs(grad).mean())
    return sizes[::-1], np.mean(slopes)


figure, axes = plt.subplots(figsize=(8, 3.4), layout="constrained")
for name, style in [("leaky", "o-"), ("relu", "s-"), ("tanh", "^-"), ("logistic", "D-")]:
    sizes, mean_slope = gradient_sizes(name)
    axes.semilogy(range(1, 13), sizes, style, ms=10 if name == "leaky" else 5, label=name)
    print(f"{name:8} gradient at the first layer / the last: {sizes[0] / sizes[-1]:.1e}, mean slope {mean_slope:.2f}")
axes.set(xlabel="layer, from the input", ylabel="mean size of the gradient")
axes.set_title("On the way back through 12 layers, logistic units lose the gradient")
axes.legend()
plt.show()


# %% [markdown]
# The logistic units lose it without being saturated: slopes of 0.22 and these weights, which make it $\sqrt 2$ times
# as large, leave $0.22 \cdot \sqrt 2 = 0.31$ of it in each layer, and $0.31^{11}$ is 0.0000025.
#
# ## Dead units
# A relu unit whose sum is negative for *every* example is *dead*: its output is always 0, its slope too, so no gradient
# will wake it. Most often a step that was too large has killed it. Here 50 units learn $x_1^2 + x_2^2$ at 200 points,
# with different learning rates (the factor of the gradient in each step: lesson 11).
# %%
def learn(leak, rate, steps=60):
    """2 inputs, 50 units, 1 answer: how many units are never above 0 at each step, and the last mean squared error."""
    generator, silent = np.random.default_rng(6), []
    points = generator.uniform(-1, 1, (200, 2))
    wanted = (points**2).sum(axis=1, keepdims=True)
    w, b, v = generator.standard_normal((2, 50)), np.zeros(50), generator.standard_normal((50, 1)) * math.sqrt(2 / 50)
    for _ in range(steps):
        sums = points @ w + b
        units = np.where(sums > 0, sums, leak * sums)
        silent.append(int((units <= 0).all(axis=0).sum()))
        error = units @ v - wanted
        grad = 2 * error / len(points)
        by_sums = (grad @ v.T) * np.where(units > 0, 1, leak)
        v, w, b = v - rate * units.T @ grad, w - rate * points.T @ by_sums, b - rate * by_sums.sum(axis=0)
    return silent, (error**2).mean()


figure, axes = plt.subplots(figsize=(8, 3.4), layout="constrained")
for name, leak, rate in [("relu", 0, 0.1), ("relu", 0, 0.3), ("relu", 0, 0.5), ("leaky", 0.1, 0.3)]:
    silent, error = learn(leak, rate)
    axes.plot(silent, "--" if leak else "-", lw=2, label=f"{name}, rate {rate}")
    print(f"{name:5} rate {rate}: {silent[-1]:2} of 50 units are never above 0, error {error:.3f}")
axes.set(xlabel="step", ylabel="units never above 0", title="Steps that are too large leave relu units dead for good")
axes.legend(loc=(0.77, 0.1))
plt.show()


# %% [markdown]
# With all of them dead, the network answers 0 for every point (the error of 0.638), and no step changes that. Leaky
# units may be below 0 for all points as well, but a tenth of the gradient reaches them: they are slow, not dead.
#
# ## Made quick
# An activation does next to no arithmetic: it is as quick as its numbers arrive. NumPy goes through them three times, a
# compiled loop once.
# %% tags=["volatile"]
@njit
def leaky(output, x):
    for i in range(len(x)):
        output[i] = x[i] if x[i] > 0 else np.float32(0.1) * x[i]


x, output = np.random.default_rng(6).standard_normal((2, 2_000_000), np.float32)
calls = {"compiled": lambda: leaky(output, x), "NumPy": lambda: np.where(x > 0, x, np.float32(0.1) * x)}
calls["compiled"]()  # compiles
assert np.array_equal(output, calls["NumPy"]())
for name, call in calls.items():
    seconds = min(repeat(call, number=1, repeat=5))
    print(f"{name:9} {1000 * seconds:6.2f} ms, {2 * x.nbytes / seconds / 1e9:6.2f} GB/s read and written")
# %% [markdown]
# ## Now the real one
# All curves, forward and back, against the package's `[activation]` layer, which computes in float32.
# %%
from minidarknet.cfg import parse_cfg
from minidarknet.kernels.activations import ACTIVATIONS
from minidarknet.layers.base import Layer, Run
from minidarknet.network import Network

x, grad = np.random.default_rng(7).standard_normal((2, 2, 3, 8, 8), np.float32)
for name, (curve, slope) in CURVES.items():
    net = Network.from_cfg(parse_cfg(f"[net]\nchannels=3\nheight=8\nwidth=8\n[activation]\nactivation={name}"))
    y, by_x = net.forward(x), np.empty_like(x)
    net.layers[0].backward([x], grad, [by_x], Run(np.empty(0, np.float32), training=True))
    assert np.allclose(apply(curve, x), y, atol=1e-6)
    assert np.allclose(grad * apply(slope, apply(curve, x)), by_x, atol=1e-5)
print("equal:", ", ".join(CURVES))
print("and there are:", ", ".join(name for name in ACTIVATIONS if name not in CURVES))


# %% [markdown]
# | line | here | in the package |
# | --- | --- | --- |
# | curve, slope | two Python functions | a branch of `activation(x, code)` and of `slope(y, code)` for each |
# | where | a layer of its own | mostly the end of a convolution; leaky and relu in the very registers of its tile |
#
# ## Exercises
# ### Exercise 6.1: a slope from the output
# *Softplus* is a relu without a kink: $y = \ln(1 + e^x)$, with the slope $e^x / (1 + e^x)$. Return this slope, given
# only the output y, a number above 0: `softplus_slope(math.log(2))` is 0.5, as x was 0.
# %%
def softplus_slope(y):
    ### BEGIN SOLUTION
    return 1 - math.exp(-y)
    ### END SOLUTION


# %%
check("6.1", softplus_slope)


# %% [markdown]
# ### Exercise 6.2: repair the count
# Which units are dead, given a relu's outputs (examples, units)? Return a list of their numbers. This one has too many.
# %%
def dead(outputs):
    ### BEGIN SOLUTION
    return [unit for unit in range(outputs.shape[1]) if (outputs[:, unit] <= 0).all()]
    ### BEGIN STUB
    # return [unit for unit in range(outputs.shape[1]) if (outputs[:, unit] <= 0).any()]
    ### END SOLUTION


# %%
check("6.2", dead)


# %% [markdown]
# ### Exercise 6.3: add a layer in five steps
# *Swish* is $x \cdot \text{logistic}(x)$. It falls before it rises, so its slope cannot be told from the output; but
# `backward` gets the inputs too. In the package, a layer is added in five steps (`CONTRIBUTING.md` has them in full):
#
# 1. a file in `minidarknet/layers/`, copied from the one that is most alike: read `activation.py` now,
# 2. its options, a dataclass: none here,
# 3. the class, a `Layer` with `kind = "swish"`; its `infer(self, *in_shapes)` tells the output's shape, `forward(self,
#    *inputs, run)` fills and returns `self.output[: len(x)]`, `backward(self, inputs, grad_output, grad_inputs, run)`
#    writes the gradient by each input unless its array is None, `table_row(self)` is its line in the table of layers,
# 4. a line in `LAYERS`, so that a cfg may name it: here the check puts it into a network by itself,
# 5. a test, which you see fail once: here the check, by nudging.
# %%
def swish_layer():
    """The class of a [swish] layer."""
    ### BEGIN SOLUTION

    class Swish(Layer):
        kind = "swish"

        def infer(self, *in_shapes):
            return in_shapes[0]

        def forward(self, *inputs, run):
            (x,) = inputs
            output = self.output[: len(x)]
            output[:] = x / (1 + np.exp(-x))
            return output

        def backward(self, inputs, grad_output, grad_inputs, run):
            (x,), (grad_input,) = inputs, grad_inputs
            if grad_input is not None:
                logistic = 1 / (1 + np.exp(-x))
                grad_input[:] = grad_output * (logistic + x * logistic * (1 - logistic))

        def table_row(self):
            return f"swish {self.in_shape.size}"

    return Swish
    ### END SOLUTION


# %%
check("6.3", swish_layer)
# %% [markdown]
# ## Where next
# Lesson 7, batch norm, keeps sums where slopes are large. `minidarknet trace` counts the dead channels of a network.
