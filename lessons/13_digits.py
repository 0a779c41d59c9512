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
# - to train a network from random numbers to 97 % in seconds, the same bits each time (on one machine);
# - to read a trace: the length of a step beside that of the weights, dead units, the drift of batch norm;
# - to tell four faults by what they show: a dead layer, an exploding rate, wrong labels, wrong pictures.
#
# **You need** lessons 7 (batch norm), 8 (loss), 11 (SGD) and 12 (held-out pictures).
#
# *In the package:* `minidarknet/training.py`, `minidarknet/trace/training.py`, `minidarknet/symptoms.py`
# %%
import math
from functools import partial
from timeit import repeat

import matplotlib.pyplot as plt
import numpy as np

from minidarknet.course import check

# %% [markdown]
# ## A training that can be seen whole
# Two pictures of 4x4 pixels, two classes, one layer: a class's score is the sum of weights times pixels, and softmax
# makes probabilities of both. All weights begin at 0, so each class gets 1/2. The gradient by a class's weights is its
# probability less its truth (1 or 0), times the picture, averaged over both: a step draws *the difference of both*.
# %%
falling, rising = np.eye(4), np.eye(4)[::-1]
after_a_step = np.array([[1, 0, 0, -1], [0, 1, -1, 0], [0, -1, 1, 0], [-1, 0, 0, 1]])
drawn = {"class 0": falling, "class 1": rising, "class 0's weights after\none step of rate 4": after_a_step}
figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.8))
for axis, (title, grid) in zip(axes, drawn.items(), strict=True):
    axis.imshow(grid, cmap="cividis", vmin=-1.5, vmax=1.5)
    axis.set(title=title, xticks=[], yticks=[])
    for (row, column), number in np.ndenumerate(grid):
        axis.text(column, row, f"{number:.0f}", ha="center", va="center", color="white" if number < 1 else "black")
plt.show()
# %% [markdown]
# ## By hand, with loops
# A step tells two numbers: the **loss**, and the **ratio**, the length of the step (the root of the sum of its squares)
# divided by that of all weights. A ratio around 0.001 is usual in the midst of a training; it is a rule of thumb, not a
# law. Far less, and nothing moves; far more, and each step forgets the ones before.


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
            gradient[number] += miss * picture / len(pictures)
    return loss, gradient


pair, weights = np.stack((falling.ravel(), rising.ravel())), np.zeros((2, 16))
loss, gradient = slopes(pair, [0, 1], weights)
assert abs(loss - math.log(2)) < 1e-12  # who guesses among two
assert ((weights - 4 * gradient)[0].reshape(4, 4) == after_a_step).all()
for step in range(1, 21):
    loss, gradient = slopes(pair, [0, 1], weights)
    ratio = 0.1 * np.linalg.norm(gradient) / max(np.linalg.norm(weights), 1e-12)
    weights -= 0.1 * gradient
    if step in (2, 5, 20):
        print(f"step {step:2} with rate 0.1: loss {loss:.4f}, ratio {ratio:.4f}")
# %% [markdown]
# The rule is that of lesson 8: by the weights of class $k$, the gradient is $(p_k - t_k)\,x$. Here it is held against
# finite differences once more. Then it is **made quick**: all pictures at once, as products of matrices.
# %%
chance = np.random.default_rng(13)
pictures, truths, weights = chance.random((64, 64)), chance.integers(0, 10, 64), chance.standard_normal((10, 64)) / 8
_, gradient = slopes(pictures, truths, weights)
for place in (5, 209, 639):
    hair = 1e-5 * np.eye(640)[place].reshape(10, 64)
    up, down = (slopes(pictures, truths, weights + change)[0] for change in (hair, -hair))
    assert abs((up - down) / 2e-5 - gradient.ravel()[place]) < 1e-8


def quick_slopes(pictures, truths, weights):
    """The same with NumPy."""
    scores = pictures @ weights.T
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    gradient = (probabilities - np.eye(len(weights))[truths]).T @ pictures / len(pictures)
    return -np.log(probabilities[np.arange(len(truths)), truths]).mean(), gradient


assert np.allclose(quick_slopes(pictures, truths, weights)[1], gradient, atol=1e-12)
# %% tags=["volatile"]
slow, fast = (min(repeat(partial(way, pictures, truths, weights), number=1)) for way in (slopes, quick_slopes))
print(f"64 pictures: {slow * 1e3:.1f} ms with loops, {fast * 1e3:.2f} ms with NumPy")
# %% [markdown]
# ## Now the real one
# `minidarknet train digits` does what follows, with checkpoints and a screen around it (`trainer.py`). A `Training` has
# a network, pictures and a seed; a `TrainingTrace` beside it records chosen batches. Does it tell the truth? We measure
# the first step ourselves, and train twice.
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


def begin(text=DIGITS, **options):
    """The network of cfg/digits.cfg with its first random numbers, for 200 batches; options are those of [net]."""
    network = Classifier.from_cfg(parse_cfg(text, "digits.cfg"))
    network.preprocess, network.options = "center", replace(network.options, max_batches=200, **options)
    network.initialize(seed=0)
    return network


def train_and_watch(network, data=train, held=valid):
    """Losses, records of every third batch, and what it says in the end of its own pictures and of those held out."""
    training = Training(network, data, seed=0)
    trace, losses = TrainingTrace(training, every=3), []
    try:
        losses.extend(step.loss for step in training.steps())
    except NonFiniteError as error:
        print("it ended by itself:", str(error).split(". ")[0])
    return losses, trace.records, validate(network, data, batch=64), validate(network, held, batch=64)


network = begin()
training, weights = Training(network, train, seed=0), network.layers[0].weights
trace, steps, before = TrainingTrace(training), training.steps(), weights.value.copy()
first = [next(steps).loss]
ratio = np.linalg.norm(weights.value - before) / np.linalg.norm(before)
assert abs(trace.records[0].layers[0].parameters["weights"].ratio - ratio) < 1e-4 * ratio
assert abs(first[0] - math.log(10)) < 0.2  # who guesses among ten
first += [step.loss for step, _ in zip(steps, range(19), strict=False)]
losses, records, learned, held = healthy = train_and_watch(begin())
assert losses[:20] == first
print("the ratio is ours; twenty losses, trained twice, are the same bit by bit")
# %% tags=["volatile"]
print(f"{held.count_right()} of {held.count} held-out digits right; the ratios of layers 0, 1, 3 and 4:")
for record in records[3::12]:
    print(f"batch {record.batch:3}:", *(f"{layer.ratio:.4f}" for layer in record.layers if layer.norms))
drifts = [max(layer.drift.mean for layer in record.layers if layer.drift) for record in records]
print(f"the largest drift of batch norm: {drifts[0]:.2f} at batch 3, {drifts[-1]:.2f} at the end")
assert held.count_right() >= 335  # five seeds gave 337 to 354
assert drifts[0] > 0.5 > 0.25 > drifts[-1]
# %% [markdown]
# The ratios (momentum and decay are in the steps) are around a hundredth at first, and sink with the rate. **Drift** is
# the distance between a batch's own mean and the rolling average that a prediction uses (lesson 7), in deviations: at
# the beginning it is large, and too early to predict.
#
# ## Five patients
# One of these trainings is healthy. Four have a fault that somebody planted: a relu layer whose biases begin at -20; a
# rate of 3 without burn-in; three labels of ten wrong; held-out pictures black on white, where those of the training
# are white on black. Orange are the ratios of layers 0 (solid), 1 (dashed), 3 (dotted) and 4 (dash-dotted), grey is
# 0.001. A unit (here a channel) is **dead** where it is the same in all pictures. Before you read on: which is which?
# %% tags=["volatile"]
deaf = begin(DIGITS.replace("leaky", "relu"))
biases = deaf.layers[1].parameters()[0]
biases.array = np.full_like(biases.value, -20)
wrong = chance.random(len(train)) < 0.3
labels = np.where(wrong, (train.labels + chance.integers(1, 10, len(train))) % 10, train.labels)
inverted = Pixels(255 - valid.dataset.pixels[valid.indices], valid.labels, valid.names, channels=1)
patients = {
    "A": train_and_watch(begin(), held=inverted),
    "B": train_and_watch(begin(), data=Pixels(train.dataset.pixels[train.indices], labels, train.names, channels=1)),
    "C": train_and_watch(deaf),
    "D": healthy,
    "E": train_and_watch(begin(learning_rate=3, burn_in=0)),
}
figure, axes = plt.subplots(2, 5, figsize=(8, 4.6), sharex="col", sharey="row", layout="constrained")
for (name, (losses, records, learned, held)), (above, below) in zip(patients.items(), axes.T, strict=True):
    above.semilogy(losses, color="C0")
    above.set_title(f"{name}: {learned.top1:.0%} of its\nown right, {held.top1:.0%}\nof those held out", fontsize=9)
    for layer, style in ((0, "-"), (1, "--"), (3, ":"), (4, "-.")):
        ratios = [(record.batch, max(record.layers[layer].ratio, 1e-7)) for record in records if record.rate > 1e-3]
        below.semilogy(*np.transpose(ratios), style, color="C1", lw=1.2)
    below.axhline(1e-3, color="grey", lw=0.8)
    below.set(xlabel="batch", ylim=(1e-6, 2))
axes[0, 0].set(ylabel="loss")
axes[1, 0].set(ylabel="ratio, each layer")
plt.show()
dead = {name: sum(layer.same for layer in records[-1].layers[:4]) for name, (_, records, *_) in patients.items()}
print(f"of {sum(layer.units for layer in records[-1].layers[:4])} units in layers 0 to 3, dead at the end:", dead)
# %% [markdown]
# - **D** is healthy: the loss falls, the ratios sink towards the grey line, and both accuracies are alike.
# - **C**: the loss stays at ln 10 = 2.30, units are dead: behind -20 a relu says 0 to everything, and no gradient comes
#   back through it. Layers 0, 1 and 3 only decay, far below the grey line. Remedy: other first numbers, `leaky`.
# - **E**: ratios of 0.1 to 1, and then the loss is infinite. Remedy: a tenth of the rate, or `burn_in`.
# - **B**: a loss that stays high with healthy ratios, and held-out pictures are read *better* than its own. A network
#   finds what the right labels have in common long before it knows the wrong ones by heart.
# - **A** looks perfect until it sees pictures that were prepared in another way. No trace of the training shows it.
#
# Patient B even tells which labels are wrong: those that the network itself finds least probable.
# %% tags=["volatile"]
learned = patients["B"][2]
order = np.argsort(learned.truth_probabilities, kind="stable")
found = wrong[learned.pictures[order[: wrong.sum()]]].sum()
print(f"{wrong.sum()} labels are wrong; of the {wrong.sum()} labels that it finds least probable, {found} are wrong")
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
# A network that only knows how frequent the classes are gives each picture these shares as probabilities. What is its
# mean loss on the same labels? `loss_to_beat(np.array([0, 1, 2, 3]))` is ln 4; a class without pictures costs nothing.


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
# Fifteen small networks (64 inputs, 32 relu units, 10 classes) are trained for 300 batches. Of each you get a
# dictionary: `losses` and `ratios` (the larger of both layers) for each batch, `dead` (the share of units that are 0
# for all of the last batch), `train` and `held_out` (accuracies, 0 to 1). Return `"healthy"`, `"dead layer"`, `"rate
# too high"`, `"wrong labels"` or `"wrong pictures"`. In a healthy one, up to 40 % of them may be dead.


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
# `probabilities` is (pictures, classes), what a network says. Return the row numbers of the `count` pictures whose own
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
# With this loop (each `yield` hands out a batch) a network learns nothing, though the given labels are right. Why?


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
