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
# # Lesson 13: the digits, and how to read a training
#
# **You will build** a training with a trace, and a doctor's eye for those that go wrong.
#
# **You will learn**
# - to train a network from random numbers to 98 % in seconds, the same bits each time;
# - to read a trace: the length of a step beside that of the weights, dead units, the drift of batch norm;
# - to tell four faults by what they show: a dead layer, an exploding rate, wrong labels, wrong pictures.
#
# **You need** lessons 7 (batch norm), 8 (loss), 11 (SGD) and 12 (held-out pictures).
#
# *In the package:* `minidarknet/training.py`, `minidarknet/learning.py`, `minidarknet/trainer.py`,
# `minidarknet/trace/training.py`, `minidarknet/symptoms.py`
# %%
import math
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

from minidarknet.course import check

# %% [markdown]
# ## A training that can be seen whole
# Two pictures of 4x4 pixels, two classes, and a network of one layer: the score of a class is the sum of weights times
# pixels, and softmax makes probabilities of both scores. All weights begin at 0, so each class gets 1/2. The gradient
# by a class's weights is (probability - truth) times picture, averaged; one step with rate 4 then draws what is on the
# right: the first step of any such network *paints the difference of the classes' mean pictures*.
# %%
falling, rising = np.eye(4), np.eye(4)[::-1]
after_a_step = np.array([[1, 0, 0, -1], [0, 1, -1, 0], [0, -1, 1, 0], [-1, 0, 0, 1]])
figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.8))
titles = "class 0", "class 1", "class 0's weights\nafter one step"
for axis, grid, title in zip(axes, (falling, rising, after_a_step), titles, strict=True):
    axis.imshow(grid, cmap="cividis", vmin=-1.5, vmax=1.5)
    for (row, column), number in np.ndenumerate(grid):
        axis.text(column, row, f"{number:.0f}", ha="center", va="center", color="white" if number < 1 else "black")
    axis.set_title(title)
    axis.axis("off")
plt.show()
# %% [markdown]
# ## By hand, with loops
# `learn` takes a step and tells two numbers: the **loss**, and the **ratio**, the length of the step beside the length
# of all weights. A ratio around 0.001 is usual in the midst of a training; it is a rule of thumb, not a law. Far less,
# and nothing moves; far more, and each step forgets the ones before.


# %%
def slopes(pictures, truths, weights):
    """The mean loss, and the gradient by the weights (classes, pixels)."""
    gradient, loss = np.zeros_like(weights), 0.0
    for picture, truth in zip(pictures, truths, strict=True):
        scores = [sum(w * x for w, x in zip(row, picture, strict=True)) for row in weights]
        odds = [math.exp(score - max(scores)) for score in scores]
        loss -= math.log(odds[truth] / sum(odds)) / len(pictures)
        for number in range(len(weights)):
            miss = odds[number] / sum(odds) - (number == truth)
            for pixel in range(len(picture)):
                gradient[number, pixel] += miss * picture[pixel] / len(pictures)
    return loss, gradient


def learn(pictures, truths, weights, rate):
    """One step; the loss before it, and its ratio."""
    loss, gradient = slopes(pictures, truths, weights)
    ratio = np.linalg.norm(rate * gradient) / max(np.linalg.norm(weights), 1e-12)
    weights -= rate * gradient
    return loss, ratio


pair, weights = np.stack((falling.ravel(), rising.ravel())), np.zeros((2, 16))
first, _ = learn(pair, [0, 1], weights, rate=4)
assert abs(first - math.log(2)) < 1e-12  # who guesses among two
assert (weights[0].reshape(4, 4) == after_a_step).all()
weights.fill(0)
rows = [learn(pair, [0, 1], weights, rate=0.1) for _ in range(20)]
for place in (0, 1, 4, 19):
    print(
        f"step {place + 1:2} with rate 0.1: loss {rows[place][0]:.4f}", f"ratio {rows[place][1]:.4f}" if place else ""
    )
assert rows[0][0] > rows[1][0] > rows[4][0] > rows[19][0]
assert rows[1][1] > rows[4][1] > rows[19][1]
# %% [markdown]
# The rule is that of lesson 8, $\bar w_k = (p_k - t_k)\,x$; here it is held against finite differences once more. Then
# it is **made quick**: all pictures at once, as products of matrices.
# %%
chance = np.random.default_rng(13)
pictures, truths, weights = chance.random((64, 64)), chance.integers(0, 10, 64), chance.standard_normal((10, 64)) / 8
_, gradient = slopes(pictures, truths, weights)
for place in [(0, 5), (3, 17), (9, 63)]:
    hair = np.zeros_like(weights)
    hair[place] = 1e-5
    up, down = slopes(pictures, truths, weights + hair)[0], slopes(pictures, truths, weights - hair)[0]
    assert abs((up - down) / 2e-5 - gradient[place]) < 1e-8


def quick_slopes(pictures, truths, weights):
    """The same with NumPy."""
    scores = pictures @ weights.T
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    misses = probabilities - np.eye(len(weights))[truths]
    return -np.log(probabilities[np.arange(len(truths)), truths]).mean(), misses.T @ pictures / len(pictures)


assert np.allclose(quick_slopes(pictures, truths, weights)[1], gradient, atol=1e-12)
# %% tags=["volatile"]
times = []
for way in (slopes, quick_slopes):
    start = perf_counter()
    way(pictures, truths, weights)
    times.append((perf_counter() - start) * 1e3)
print(f"64 pictures: {times[0]:.1f} ms with loops, {times[1]:.2f} ms with NumPy")
# %% [markdown]
# ## Now the real one
# `minidarknet train digits` does what follows, with checkpoints and a screen around it (`trainer.py`). A `Training` has
# a network, pictures and a seed; a `TrainingTrace` beside it records chosen batches. To see that it tells the truth, we
# measure one step ourselves, with the two lines of `learn`.
# %%
from dataclasses import replace

from minidarknet.cfg import parse_cfg
from minidarknet.data import open_dataset
from minidarknet.dataset import Pixels
from minidarknet.errors import NonFiniteError
from minidarknet.prediction import Classifier
from minidarknet.trace.training import TrainingTrace
from minidarknet.training import Training
from minidarknet.validation import validate
from minidarknet.zoo import cfg_path

train, valid = open_dataset("digits", "train", channels=1), open_dataset("digits", "valid", channels=1)
DIGITS = cfg_path("digits").read_text()


def begin(text=DIGITS, batches=200, **options):
    """The network of cfg/digits.cfg with its first random numbers; options are those of [net]."""
    network = Classifier.from_cfg(parse_cfg(text, "digits.cfg"))
    network.preprocess, network.options = "center", replace(network.options, max_batches=batches, **options)
    network.initialize(seed=0)
    return network


def numbers(network):
    """A copy of all weights, layer by layer."""
    return [layer.weights.value.copy() for layer, parameter in network.parameters() if parameter.name == "weights"]


network = begin()
training = Training(network, train, seed=0)
trace, steps, before = TrainingTrace(training), training.steps(), numbers(network)
loss = next(steps).loss
for layer, old in zip([layer for layer in trace.records[0].layers if layer.norms], before, strict=True):
    ours = np.linalg.norm(network.layers[layer.layer].weights.value - old) / np.linalg.norm(old)
    assert abs(layer.parameters["weights"].ratio - ours) < 1e-5 * ours
assert abs(loss - math.log(10)) < 0.2
print(f"the first loss is near that of guessing, {math.log(10):.2f}; ratios as ours")
again = Training(begin(), train, seed=0)
for _ in range(20):
    next(steps, None)
for _ in zip(range(21), again.steps(), strict=False):
    pass
assert all((one == two).all() for one, two in zip(numbers(network), numbers(again.network), strict=True))
print("21 batches, trained twice: the same weights, bit by bit")
# %% [markdown]
# The package counts gradients as sums over a batch and divides in the step (`optimizers.py`), has momentum and decay in
# the step, and measures biases and scales too. The rest of the training, with a look at every fifth batch:
# %% tags=["volatile"]
network = begin(batches=300)
training = Training(network, train, seed=0)
trace, start = TrainingTrace(training, every=5), perf_counter()
losses = [step.loss for step in training.steps()]
seen = validate(network, valid, batch=64)
print(f"{seen.count_right()} of {seen.count} held-out digits right after {perf_counter() - start:.1f} s")
print("batch   " + "".join(f"   layer {layer.layer}" for layer in trace.records[0].layers if layer.norms))
for record in trace.records[1::12]:
    print(f"{record.batch:5}   " + "".join(f"{layer.ratio:10.4f}" for layer in record.layers if layer.norms))
drifts = [[layer.drift.mean for layer in trace.records[when].layers if layer.drift] for when in (0, -1)]
print("drift of batch norm at batch 5:", *np.round(drifts[0], 2), "and at the end:", *np.round(drifts[1], 2))
assert seen.count_right() >= 345
assert max(drifts[1]) < 0.2


# %% [markdown]
# The ratios are a few thousandths, and sink with the rate. **Drift** is the distance between a batch's own mean and the
# rolling average that a prediction uses (lesson 7), in deviations: large at the beginning, when predicting is too
# early.
#
# ## Five patients
# One of these trainings is healthy. Four have a fault that somebody planted: a layer with a relu whose biases begin at
# -20, a rate of 3 without burn-in, three labels of ten wrong, or held-out pictures black on white where the training
# had white on black. Before you read on: which is which?
# %% tags=["volatile"]
def recoloured(dataset, labels, change):
    """The same pictures with other labels, or changed."""
    pixels = np.stack([np.round(dataset.image(index) * 255) for index in range(len(dataset))]).astype(np.uint8)
    return Pixels(change(pixels.transpose(0, 2, 3, 1)), labels, dataset.names, channels=1)


def patient(network, data=train, held=valid):
    """Train, and tell what was seen: losses, traces, and both accuracies."""
    training = Training(network, data, seed=0)
    trace, losses = TrainingTrace(training, every=3), []
    try:
        losses.extend(step.loss for step in training.steps())
    except NonFiniteError as error:
        print("one training ended by itself:", str(error).split(". ")[0])
    return losses, trace.records, validate(network, data, batch=64), validate(network, held, batch=64)


deaf = begin(DIGITS.replace("leaky", "relu"))
biases = deaf.layers[1].parameters()[0]
biases.array = np.full_like(biases.value, -20)
wrong = chance.random(len(train)) < 0.3
labels = np.where(wrong, (train.labels + chance.integers(1, 10, len(train))) % 10, train.labels)
mislabelled = recoloured(train, labels, lambda pixels: pixels)
patients = {
    "A": patient(begin(), held=recoloured(valid, valid.labels, lambda pixels: 255 - pixels)),
    "B": patient(begin(), data=mislabelled),
    "C": patient(deaf),
    "D": patient(begin()),
    "E": patient(begin(learning_rate=3, burn_in=0)),
}
figure, axes = plt.subplots(2, 5, figsize=(8, 4.6), sharex="col", sharey="row", layout="constrained")
for (name, (losses, records, learned, held)), (above, below) in zip(patients.items(), axes.T, strict=True):
    above.semilogy(losses, color="C0")
    above.set_title(f"{name}: {learned.top1:.0%} of its\nown right, {held.top1:.0%}\nof those held out", fontsize=9)
    kinds = [layer.layer for layer in records[0].layers if layer.norms]
    for kind, style in zip(kinds, ("-", "--", ":", "-."), strict=True):
        ratios = [max(record.layers[kind].ratio, 1e-7) for record in records[:-1] or records]
        below.semilogy([record.batch for record in (records[:-1] or records)], ratios, style, color="C1", lw=1.2)
    below.axhline(1e-3, color="grey", lw=0.8)
    below.set(xlabel="batch", ylim=(1e-6, 2))
    dead = sum(layer.same for layer in records[-1].layers[:4])
    print(f"{name}: {dead} of {sum(layer.units for layer in records[-1].layers[:4])} units are dead at the end")
axes[0, 0].set_ylabel("loss")
axes[1, 0].set_ylabel("ratio, each layer")
plt.show()
# %% [markdown]
# - **D** is healthy: the loss falls, the ratios are near the grey line, and both accuracies are alike.
# - **C**: the loss stays at ln 10 = 2.30, units are dead, ratios lie far below. Behind -20 a relu says 0 to everything,
#   and no gradient comes back through it. Remedy: other first numbers, `leaky`.
# - **E**: ratios of 0.2 and more, and then the loss is infinite. Remedy: a tenth of the rate, or `burn_in`.
# - **B**: a loss that stays high with healthy ratios, and the held-out pictures are read *better* than its own. A
#   network finds what the right labels have in common long before it knows the wrong ones by heart.
# - **A** looks perfect until it is asked about pictures that were prepared in another way. No trace of the training
#   shows it.
#
# Patient B even tells which labels are wrong: those that the network itself finds least probable.
# %% tags=["volatile"]
learned = patients["B"][2]
order = np.argsort(learned.truth_probabilities, kind="stable")
found = wrong[learned.pictures[order[: wrong.sum()]]].sum()
print(f"{wrong.sum()} labels are wrong; of the {wrong.sum()} least probable ones, {found} are")
assert found > 0.85 * wrong.sum()
figure, axes = plt.subplots(1, 8, figsize=(8, 1.7))
for axis, place in zip(axes, order, strict=False):
    index = learned.pictures[place]
    axis.imshow(train.image(index)[0], cmap="gray")
    axis.set_title(f"labelled {labels[index]}\nit says {learned.answers[place]}", fontsize=8)
    axis.axis("off")
plt.show()
# %% [markdown]
# ## Exercises
# ### Exercise 13.1: predict the loss to beat
# A network that knows nothing but how frequent the classes are gives each picture these shares as probabilities. What
# is its mean loss on the same labels? `loss_to_beat(np.array([0, 1, 2, 3]))` is ln 4; classes without a picture cost
# nothing.


# %%
def loss_to_beat(labels):
    """The mean of -ln(share of the picture's class)."""
    ### BEGIN SOLUTION
    counts = np.bincount(labels)
    shares = counts[counts > 0] / len(labels)
    return -(shares * np.log(shares)).sum()
    ### END SOLUTION


# %%
check("13.1", loss_to_beat)
# %% [markdown]
# ### Exercise 13.2: read a trace
# Fifteen small networks (64 inputs, 32 units with a relu, 10 classes) are trained for 300 batches; you get a dictionary
# of each: `losses` and `ratios` (the larger of both layers) for each batch, `dead` (the share of units that are 0 for
# all of the last batch), `train` and `held_out` (accuracies, 0 to 1). Return `"healthy"`, `"dead layer"`, `"rate too
# high"`, `"wrong labels"` or `"wrong pictures"`. A third of the units may be dead in a healthy one.


# %%
def diagnose(trace):
    """What a trace shows, as one of the five words."""
    ### BEGIN SOLUTION
    if not np.isfinite(trace["losses"]).all() or max(trace["ratios"]) > 0.3:
        return "rate too high"
    if trace["dead"] > 0.9:
        return "dead layer"
    if trace["held_out"] < trace["train"] - 0.3:
        return "wrong pictures"
    return "wrong labels" if trace["train"] < 0.85 else "healthy"
    ### END SOLUTION


# %%
check("13.2", diagnose)
# %% [markdown]
# ### Exercise 13.3: find the wrong labels
# `probabilities` is (pictures, classes), what a network says. Return the numbers of the `count` pictures whose own
# label it finds least probable, the least probable first.


# %%
def suspects(probabilities, labels, count):
    """Picture numbers, the most suspicious first."""
    ### BEGIN SOLUTION
    return np.argsort(probabilities[np.arange(len(labels)), labels])[:count]
    ### END SOLUTION


# %%
check("13.3", suspects)
# %% [markdown]
# ### Exercise 13.4: repair a loop
# In each epoch the pictures come in a new order. With this loop, a network learns nothing, and its trace looks like
# that of wrong labels. They are right in the file; why are they wrong in the batches?


# %%
def batches(pictures, labels, size, seed):
    """Yield (pictures, labels) of `size` each, in a new order."""
    order = np.random.default_rng(seed).permutation(len(pictures))
    for start in range(0, len(pictures), size):
        chosen = order[start : start + size]
        ### BEGIN SOLUTION
        yield pictures[chosen], labels[chosen]
        ### BEGIN STUB
        # yield pictures[chosen], labels[start : start + size]
        ### END SOLUTION


# %%
check("13.4", batches)
# %% [markdown]
# ## Where next
# `minidarknet train digits --trace 10 --chart` draws the ratios of a whole run, and its warnings are the symptoms of
# this lesson: read `minidarknet/symptoms.py`. Lesson 14 builds layers that branch, and lesson 15 gives you a budget.
