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
# # Lesson 12: data, and how one picture becomes a thousand
#
# **You will build** Darknet's changes of a picture (crop, mirror, turn, colours), repeatable chance, and dropout.
#
# **You will learn**
# - why a part of the pictures is held out, and which accuracy is no achievement;
# - to move, turn and mirror a picture by looking up where each pixel comes from;
# - to measure whether a change leaves a picture's meaning alone: digits must not be mirrored.
#
# **You need** lesson 1 (a picture is an array) and lesson 11 (a step along the gradient).
#
# *In the package:* `minidarknet/data.py`, `minidarknet/dataset.py`, `minidarknet/augment.py`,
# `minidarknet/transform.py`, `minidarknet/loader.py`, `minidarknet/layers/dropout.py`
# %%
import colorsys
import math
from importlib.resources import files
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minidarknet.course import check

# %% [markdown]
# ## One picture, changed three ways
# A network shall know a digit also when it is written a little to the left, or leaning. So in training each picture is
# shown a little differently every time: this is **augmentation**. The small flag below is mirrored; seen through a
# **window** half a pixel further right, so that each number becomes the mean of two; and turned by 90 degrees.
# %%
flag = np.array([[0, 8, 0, 0], [0, 8, 8, 0], [0, 8, 0, 0], [0, 8, 0, 0]], float)
mirrored = np.array([[0, 0, 8, 0], [0, 8, 8, 0], [0, 0, 8, 0], [0, 0, 8, 0]], float)
moved = np.array([[4, 4, 0, 0], [4, 8, 4, 0], [4, 4, 0, 0], [4, 4, 0, 0]], float)
turned = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 8, 0, 0], [8, 8, 8, 8]], float)

figure, axes = plt.subplots(1, 4, figsize=(8, 2.4))
titles = "the picture", "mirrored", "half a pixel right", "turned by 90°"
for axis, picture, title in zip(axes, (flag, mirrored, moved, turned), titles, strict=True):
    axis.imshow(picture, cmap="cividis", vmin=-4, vmax=8)
    for (row, column), number in np.ndenumerate(picture):
        axis.text(column, row, f"{number:.0f}", ha="center", va="center")
    axis.set_title(title, fontsize=10)
    axis.axis("off")
plt.show()
# %% [markdown]
# ## By hand
# All but the mirror are one thing: go through the pixels of the *new* picture, and ask for each where it comes from.
# That place mostly lies between four pixels; each counts the more the nearer it is (**bilinear**). Outside is black.


# %%
def look_up(picture, x, y):
    """The brightness at column x, row y, both any number."""
    left, top, total = math.floor(x), math.floor(y), 0.0
    for row, share_y in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, share_x in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < picture.shape[0] and 0 <= column < picture.shape[1]:
                total += share_y * share_x * picture[row, column]
    return total


def window(picture, side, radians=0.0, scale=1.0, dx=0.0, dy=0.0):
    """side x side pixels of a picture: turned counter-clockwise, enlarged, and (dx, dy) away from its middle."""
    height, width = picture.shape
    seen = np.zeros((side, side))
    for row in range(side):
        for column in range(side):
            x, y = (column - side / 2 + dx) / scale, (row - side / 2 + dy) / scale
            at_x = math.cos(radians) * x - math.sin(radians) * y + width / 2
            at_y = math.sin(radians) * x + math.cos(radians) * y + height / 2
            seen[row, column] = look_up(picture, at_x, at_y)
    return seen


assert (flag[:, ::-1] == mirrored).all()
assert (window(flag, 4, dx=0.5) == moved).all()
assert np.allclose(window(flag, 4, radians=math.pi / 2), turned)
print("the loops find what is drawn")
# %% [markdown]
# Did you see that the flag turned about a point half a pixel off the middle? The middle is `width / 2`, yet pixel 0
# stands *at* 0, so a picture reaches from 0 to `width - 1`. This is how Darknet has it, and nobody minds: turns are by
# a few degrees, and a row lost at the border is one more small change.
#
# **Colours.** A picture in red light shows the same dog. Darknet turns the colours of the circle (**hue**), makes them
# stronger or paler (**saturation**), and the picture brighter or darker (**exposure**). For that a pixel goes from red,
# green, blue to hue, saturation, value and back; Python's own `colorsys` knows how.


# %%
def recolour(picture, hue, saturation, exposure):
    """picture (3, h, w) in 0..1: hue is added, 1 being once around; the other two are factors."""
    out = np.zeros_like(picture)
    for row, column in np.ndindex(picture.shape[1:]):
        h, s, v = colorsys.rgb_to_hsv(*picture[:, row, column])
        out[:, row, column] = colorsys.hsv_to_rgb((h + hue) % 1, s * saturation, v * exposure)
    return np.clip(out, 0, 1)


chance = np.random.default_rng(12)
shades = np.array([[colorsys.hsv_to_rgb(h, s, 0.7) for h in np.linspace(0, 1, 12)] for s in np.linspace(0.1, 0.9, 6)])
shades = shades.transpose(2, 0, 1)
assert np.allclose(recolour(shades, 0, 1, 1), shades)
ways = {"as it is": (0, 1, 1), "hue + 1/3": (1 / 3, 1, 1), "saturation / 2": (0, 0.5, 1), "exposure * 1.4": (0, 1, 1.4)}
figure, axes = plt.subplots(1, 4, figsize=(8, 1.7))
for axis, (title, way) in zip(axes, ways.items(), strict=True):
    axis.imshow(recolour(shades, *way).transpose(1, 2, 0))
    axis.set_title(title, fontsize=10)
    axis.axis("off")
plt.show()
# %% [markdown]
# ## The digits, and what is held out
# The package carries 1,797 digits of 8x8 pixels. Before anything is learned, two numbers are worth knowing: how many
# pictures each class has, and the **majority-class accuracy**: how often somebody is right who always says the same.
# %%
digits = np.load(str(files("minidarknet") / "digits.npz"))
pixels, labels = digits["x"].reshape(-1, 8, 8) / 255, digits["y"].reshape(-1)
counts = np.bincount(labels)
print("pictures of each class:", *counts)
print(f"always saying {counts.argmax()} is right for {counts.max() / counts.sum():.1%}")
# %% [markdown]
# Whoever learns the pictures by heart is right about all of them, and that says nothing. So a part is **held out**:
# never learned from, only asked. A fifth of *each class*, chosen by chance, keeps the classes' shares; a fixed seed
# makes it the same fifth for whoever trains, and for whoever checks.


# %%
def hold_out(labels, share, seed):
    """Which pictures are held out: True for `share` of each class."""
    generator = np.random.default_rng([seed, len(labels)])
    held = np.zeros(len(labels), bool)
    for number in range(10):
        members = np.flatnonzero(labels == number)
        held[generator.permutation(members)[: round(share * len(members))]] = True
    return held


def nearest(pictures, known, answers):
    """Give each picture the class of the most similar known one: learning by heart, in one line."""
    flat, table = pictures.reshape(len(pictures), -1), known.reshape(len(known), -1)
    return answers[((table**2).sum(1) - 2 * flat @ table.T).argmin(axis=1)]


held = hold_out(labels, 0.2, seed=0)
for title, part in (("learned by heart", ~held), ("held out", held)):
    right = nearest(pixels[part], pixels[~held], labels[~held]) == labels[part]
    print(f"{title}: {right.sum()} of {part.sum()} right")
# %% [markdown]
# Even learning by heart reads nearly all that was held out. One reason: the same thirteen people wrote both parts, so a
# held-out digit has near twins among those that were seen. Held-out pictures answer one question only, how it will be
# *with pictures like these*. To know about other people's digits, hold out people.
# %% [markdown]
# ## Dropout: changing the numbers inside
# The same idea, applied to what layers say: in training, **dropout** sets each number to 0 with probability $p$, so
# that no layer may rely on a single one before it. The others grow by $1 / (1 - p)$, which keeps the mean. With a mask
# $m$ of zeros and ones, $y = m\,x / (1 - p)$. That is linear, so $\bar x = m\,\bar y / (1 - p)$, where $\bar v$ is the
# loss's gradient by $v$: what was dropped learns nothing.


# %%
def dropout(x, p, seed):
    """x with a share p dropped, and the factor of each number."""
    factors = (np.random.default_rng(seed).random(x.shape, np.float32) >= np.float32(p)) / (1 - p)
    return x * factors, factors


x = chance.standard_normal((1, 2, 50, 50))
y, factors = dropout(x, 0.25, seed=(5, 0))
hair = np.zeros_like(x)
hair[0, 1, 3, 4] = 1e-6
slope = (dropout(x + hair, 0.25, (5, 0))[0] - dropout(x - hair, 0.25, (5, 0))[0]).sum() / 2e-6
assert abs(slope - factors[0, 1, 3, 4]) < 1e-6
assert abs(dropout(np.ones(100_000), 0.25, 1)[0].mean() - 1) < 0.01
print(f"dropped: {(y == 0).mean():.0%}; the mean stays")
# %% [markdown]
# ## Made quick
# An epoch (once through all pictures) of the digits has 92,032 pixels to look up. The same two functions, compiled:
# %% tags=["volatile"]
quick_window, times = njit(window), []
start = perf_counter()
by_python = [window(picture, 8, 0.1, 1.1, 0.3, -0.2) for picture in pixels[:100]]
middle = perf_counter()
look_up = njit(look_up)  # which the compiled window finds when it is compiled, now
quick_window(pixels[0], 8, 0.1, 1.1, 0.3, -0.2)
compiled = perf_counter()
assert np.allclose([quick_window(picture, 8, 0.1, 1.1, 0.3, -0.2) for picture in pixels[:100]], by_python)
slow, fast = (middle - start) * 1e4, (perf_counter() - compiled) * 1e4
print(f"a picture takes {slow:.0f} microseconds by Python, {fast:.0f} compiled")
# %% [markdown]
# ## Now the real one
# In the package the bounds of the changes stand in `[net]`, and each picture's change is drawn within them. Twelve
# random numbers belong to each *seed, epoch and picture*, whatever the order in which threads come by. `Philox` makes
# them: it encrypts the number of a place, so any place of its endless row is reached at once. We can foretell pictures.
# %%
from dataclasses import replace

from minidarknet import augment, weights
from minidarknet.data import open_dataset
from minidarknet.layers.base import Run
from minidarknet.layers.dropout import Dropout, DropoutOptions
from minidarknet.loader import Loader
from minidarknet.prediction import Classifier
from minidarknet.shapes import Shape
from minidarknet.training import Training
from minidarknet.validation import validate
from minidarknet.zoo import cfg_path

train, valid = open_dataset("digits", "train", channels=1), open_dataset("digits", "valid", channels=1)
assert (valid.indices == np.flatnonzero(held)).all()
network = Classifier.from_cfg(cfg_path("digits"))
options = network.options
print(
    f"cfg/digits.cfg: flip={options.flip:d}, angle={options.angle:g}, crops of {options.min_crop} to {options.max_crop}"
)


def foretold(index, epoch, seed=7):
    """What the network will see of a picture, by our own window."""
    raw = np.random.Philox(key=[seed, 2], counter=[0, 0, epoch, index]).random_raw(12)
    u = (raw >> np.uint64(11)) * 2.0**-53  # twelve numbers in 0..1
    side = options.min_crop + int(u[2] * (options.max_crop - options.min_crop + 1))
    reach = (side - 8) / 2
    radians = (2 * u[3] - 1) * math.radians(options.angle)
    return window(
        train.image(index)[0].astype(float), 8, radians, side / 8, (2 * u[4] - 1) * reach, (2 * u[5] - 1) * reach
    )


loader = Loader(train, options, network.input_shape, 64, seed=7)
for epoch in range(3):
    for index in range(0, 1400, 100):
        assert np.allclose(loader.picture(index, epoch)[0], foretold(index, epoch), atol=1e-5)
picture = chance.random((3, 9, 9)).astype(np.float32)
assert np.allclose(augment.distort(picture, 0.1, 1.3, 0.8), recolour(picture, 0.1, 1.3, 0.8), atol=1e-5)
layer = Dropout(DropoutOptions(probability=0.25))
layer.connect(Shape(2, 50, 50))
layer.kept = np.empty(layer.kept_size(1), np.float32)
assert np.allclose(layer.forward(x.astype(np.float32), run=Run(np.empty(0), training=True, seed=5)), y, atol=1e-5)
print("the held-out fifth, 42 pictures, colours and dropout: as ours, within 1e-5")
figure, axes = plt.subplots(3, 10, figsize=(8, 2.7))
for column in range(10):
    index = int(np.flatnonzero(train.labels == column)[0])
    for row, seen in enumerate((train.image(index)[0], loader.picture(index, 0)[0], train.image(index)[0][:, ::-1])):
        axes[row, column].imshow(seen, cmap="gray")
        axes[row, column].axis("off")
figure.suptitle("each digit as it is, as it is learned from, and mirrored")
plt.show()
# %% [markdown]
# What differs: the package changes many small pictures at once with NumPy, in float32, and reads beyond the border from
# a frame of zeros rather than asking. Its `aspect` also makes pictures wider. A grey pixel has no hue: `colorsys` says
# 0, Darknet and the package divide 0 by 0; both give grey back.
#
# ## May digits be mirrored?
# A change may be used if it leaves the *class* alone. Photographs of dogs can be mirrored; digits? Ask the network that
# comes with the package, which never saw a mirrored one: it shall read the held-out pictures, and their mirror images.
# %%
weights.load(network, str(files("minidarknet") / "digits.weights"))
unseen = np.stack([valid.image(index) for index in range(len(valid))])
right = {}
for title, pictures in (("as they are", unseen), ("mirrored", unseen[..., ::-1])):
    answers = network.forward(pictures).reshape(len(valid), 10).argmax(axis=1)
    right[title] = [(answers[valid.labels == number] == number).mean() for number in range(10)]
    print(f"{title}: {(answers == valid.labels).mean():.0%} right")
assert np.mean(right["as they are"]) > 0.97
assert np.mean(right["mirrored"]) < 0.5
figure, axis = plt.subplots(figsize=(7.5, 2.8))
axis.bar(np.arange(10) - 0.2, right["as they are"], 0.4, color="C0", label="as they are")
axis.bar(np.arange(10) + 0.2, right["mirrored"], 0.4, color="C1", label="mirrored")
axis.set(
    xticks=range(10),
    ylim=(0, 1.3),
    xlabel="digit",
    ylabel="share read rightly",
    title="Only 0, 1 and 8 survive the mirror",
)
axis.legend(loc="upper center", ncols=2)
plt.show()
# %% [markdown]
# A mirrored 3 is no 3, so a network that has to learn it as one wastes effort, and confuses. That can be measured too:
# two trainings of 200 batches from the same first numbers, one of them with `flip=1`.
# %% tags=["volatile"]
scores = {}
for flip in (False, True):
    network = Classifier.from_cfg(cfg_path("digits"))
    network.preprocess, network.options = "center", replace(network.options, flip=flip, max_batches=200)
    network.initialize(seed=0)
    for _ in Training(network, train, seed=0).steps():
        pass
    scores[flip] = validate(network, valid, batch=64).count_right()
    print(f"flip={flip:d}: {scores[flip]} of {len(valid)} right")
assert scores[False] > scores[True]
# %% [markdown]
# ## Exercises
# ### Exercise 12.1: the accuracy to beat
# The share of the labels that the most frequent class has: `to_beat(np.array([2, 0, 2, 1]))` is `0.5`.


# %%
def to_beat(labels):
    """The accuracy of always saying the same class; labels are whole numbers from 0 on."""
    ### BEGIN SOLUTION
    return np.bincount(labels).max() / len(labels)
    ### END SOLUTION


# %%
check("12.1", to_beat)
# %% [markdown]
# ### Exercise 12.2: repair a leak
# Somebody wanted more pictures: of each of `count` photographs `copies` changed copies were made, and written down as
# pairs (photograph, copy). Then a share of the *pairs* was held out. The network did wonderfully, on copies of
# photographs that it had seen. Repair it: hold out `round(share * count)` photographs with all of their copies.


# %%
def parts(count, copies, share, seed):
    """Two lists of pairs (photograph, copy): to learn from, and held out."""
    generator = np.random.default_rng(seed)
    ### BEGIN SOLUTION
    held = set(generator.permutation(count)[: round(share * count)].tolist())
    pairs = [(photograph, copy) for photograph in range(count) for copy in range(copies)]
    return [pair for pair in pairs if pair[0] not in held], [pair for pair in pairs if pair[0] in held]
    ### BEGIN STUB
    # pairs = [(photograph, copy) for photograph in range(count) for copy in range(copies)]
    # generator.shuffle(pairs)
    # cut = round(share * len(pairs))
    # return pairs[cut:], pairs[:cut]
    ### END SOLUTION


# %%
check("12.2", parts)
# %% [markdown]
# ### Exercise 12.3: write the backward of a look-up
# Some networks choose *where* to look, and learn from it; then the look-up needs a way back. `look_up(picture, x, y)`
# is linear in the picture: each of the four pixels around counts with its share. Given the gradient `grad` (a number)
# by the result, return the gradient by the picture, an array of `shape`.


# %%
def look_up_back(grad, shape, x, y):
    """The gradient by each pixel; 0 for all but the up to four around (column x, row y)."""
    ### BEGIN SOLUTION
    found, left, top = np.zeros(shape), math.floor(x), math.floor(y)
    for row, share_y in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, share_x in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < shape[0] and 0 <= column < shape[1]:
                found[row, column] = share_y * share_x * grad
    return found
    ### END SOLUTION


# %%
check("12.3", look_up_back)
# %% [markdown]
# ## Where next
# Lesson 13 trains the digits, and reads what a training tells. Read `minidarknet/transform.py` (124 lines) now. Then
# look at pictures before you train on them, always: `minidarknet augment digits cfg/digits.cfg` draws what a network
# will see.
