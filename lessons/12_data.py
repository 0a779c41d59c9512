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
# Shown a little differently every time, pictures teach a network what does *not* matter: this is **augmentation**. The
# small flag below is mirrored; seen through a **window** half a pixel further right, so that each number becomes the
# mean of two; and turned by 90 degrees.
# %%
flag = np.array([[0, 8, 0, 0], [0, 8, 8, 0], [0, 8, 0, 0], [0, 8, 0, 0]], float)
mirrored = np.array([[0, 0, 8, 0], [0, 8, 8, 0], [0, 0, 8, 0], [0, 0, 8, 0]], float)
moved = np.array([[4, 4, 0, 0], [4, 8, 4, 0], [4, 4, 0, 0], [4, 4, 0, 0]], float)
turned = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 8, 0, 0], [8, 8, 8, 8]], float)
figure, axes = plt.subplots(1, 4, figsize=(8, 2.4))
drawn = {"the picture": flag, "mirrored": mirrored, "half a pixel right": moved, "turned by 90°": turned}
for axis, (title, picture) in zip(axes, drawn.items(), strict=True):
    axis.imshow(picture, cmap="cividis", vmin=-10, vmax=8)
    axis.set(title=title, xticks=[], yticks=[])
    for (row, column), number in np.ndenumerate(picture):
        axis.text(column, row, f"{number:.0f}", ha="center", va="center")
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
    for row, column in np.ndindex(side, side):
        x, y = (column - side / 2 + dx) / scale, (row - side / 2 + dy) / scale
        at_x = math.cos(radians) * x - math.sin(radians) * y + width / 2
        at_y = math.sin(radians) * x + math.cos(radians) * y + height / 2
        seen[row, column] = look_up(picture, at_x, at_y)
    return seen


assert (np.array((flag[:, ::-1], window(flag, 4, dx=0.5))) == (mirrored, moved)).all()
assert np.allclose(window(flag, 4, radians=math.pi / 2), turned)
print("the loops find what is drawn")
# %% [markdown]
# The flag turned about a point half a pixel off its middle: Darknet takes `width / 2` for the middle, though pixel 0
# stands *at* 0. Nobody minds: turns are by a few degrees, and a row lost is one more small change.
#
# **Colours.** A dog in red light is a dog. Darknet moves all colours along their circle (**hue**), makes them stronger
# or paler (**saturation**), and the picture brighter or darker (**exposure**). Python's own `colorsys` knows the way
# from red, green, blue to hue, saturation, value, and back.


# %%
def recolour(picture, hue, saturation, exposure):
    """picture (3, h, w) in 0..1: hue is added, 1 being once around; the other two are factors."""
    out = np.zeros_like(picture)
    for row, column in np.ndindex(picture.shape[1:]):
        h, s, v = colorsys.rgb_to_hsv(*picture[:, row, column])
        out[:, row, column] = colorsys.hsv_to_rgb((h + hue) % 1, s * saturation, v * exposure)
    return np.clip(out, 0, 1)


red = np.array([0.7, 0.1, 0.1]).reshape(3, 1, 1)
assert np.allclose(recolour(red, 1 / 3, 1, 1)[:, 0, 0], (0.1, 0.7, 0.1))  # a third of the circle on is green
assert np.allclose(recolour(red, 0, 1, 0.5), red / 2)
shades = np.array([[colorsys.hsv_to_rgb(h / 12, s / 6, 0.7) for h in range(12)] for s in range(1, 7)])
ways = {"as it is": (0, 1, 1), "hue + 1/3": (1 / 3, 1, 1), "saturation / 2": (0, 0.5, 1), "exposure * 1.4": (0, 1, 1.4)}
figure, axes = plt.subplots(1, 4, figsize=(8, 1.7))
for axis, (title, way) in zip(axes, ways.items(), strict=True):
    axis.imshow(recolour(shades.transpose(2, 0, 1), *way).transpose(1, 2, 0))
    axis.set(title=title, xticks=[], yticks=[])
plt.show()
# %% [markdown]
# ## The digits, and what is held out
# The package carries 1,797 digits of 8x8 pixels. Two numbers are worth knowing first: how many pictures each class has,
# and the **majority-class accuracy**: how often somebody is right who always says the same.
# %%
digits = np.load(str(files("minidarknet") / "digits.npz"))
pixels, labels = digits["x"].reshape(-1, 8, 8) / 255, digits["y"].reshape(-1)
counts = np.bincount(labels)
print("pictures of each class:", *counts)
print(f"always saying {counts.argmax()} is right for {counts.max() / counts.sum():.1%}")
# %% [markdown]
# Whoever learns pictures by heart is right about all of them, and that says nothing. So a part is **held out**, never
# learned from: a fifth of *each class*, by a fixed seed, the same for who trains and who checks. Let us try it on
# learning by heart: a picture $a$ gets the class of the known one $b$ with the smallest squared distance,
# $|a|^2 - 2\,(a \cdot b - |b|^2 / 2)$, and so with the largest value in brackets.


# %%
def hold_out(labels, share, seed):
    """Which pictures are held out: True for `share` of each class."""
    generator, held = np.random.default_rng([seed, len(labels)]), np.zeros(len(labels), bool)
    for number in range(10):
        members = np.flatnonzero(labels == number)
        held[generator.permutation(members)[: round(share * len(members))]] = True
    return held


held = hold_out(labels, 0.2, seed=0)
known = pixels[~held].reshape(-1, 64)
for title, part in (("learned by heart", ~held), ("held out", held)):
    likeness = pixels[part].reshape(-1, 64) @ known.T - (known**2).sum(axis=1) / 2  # the brackets: (pictures, known)
    print(f"{title}: {(labels[~held][likeness.argmax(axis=1)] == labels[part]).sum()} of {part.sum()} right")
# %% [markdown]
# That reads nearly all that was held out. One reason: the same thirteen people wrote both parts. Held-out pictures only
# tell how it will be *with pictures like these*; to know about other people's digits, hold out people.
#
# ## Dropout: changing the numbers inside
# Chance may also change what goes from layer to layer. In training, **dropout** sets each number to 0 with probability
# $p$, so that the next layer cannot rely on a single one; the others are multiplied by $1 / (1 - p)$, which keeps the
# mean. With a mask $m$ of zeros and ones, $y = m\,x / (1 - p)$. Call $\bar v$ the gradient of the loss by $v$; then
# $\bar x = m\,\bar y / (1 - p)$: what was dropped learns nothing.


# %%
def dropout(x, p, seed):
    """x with about a share p dropped, and the factor of each number; the same seed drops the same ones."""
    factors = (np.random.default_rng(seed).random(x.shape, np.float32) >= np.float32(p)) / (1 - p)
    return x * factors, factors


chance = np.random.default_rng(12)
x, hair = chance.standard_normal((1, 2, 50, 50)), np.zeros((1, 2, 50, 50))
y, factors = dropout(x, 0.25, seed=(5, 0))
hair[0, 1, 3, 4] = 1e-6  # one number is nudged up and down; the loss is the sum of y
slope = (dropout(x + hair, 0.25, (5, 0))[0] - dropout(x - hair, 0.25, (5, 0))[0]).sum() / 2e-6
assert abs(slope - factors[0, 1, 3, 4]) < 1e-6
print(f"dropped: {(y == 0).mean():.0%}; mean factor of all: {factors.mean():.2f}")
# %% [markdown]
# ## Made quick
# An epoch (once through all pictures) of the digits has 92,032 pixels to look up. The same two functions, compiled:
# %% tags=["volatile"]
places, start = [(picture, 8, 0.1, 1.1, 0.3, -0.2) for picture in pixels[:100]], perf_counter()
by_python, middle = [window(*place) for place in places], perf_counter()
look_up, quick_window = njit(look_up), njit(window)
assert np.allclose([quick_window(*place) for place in places], by_python)
compiled = perf_counter()
[quick_window(*place) for place in places]
slow, fast = (middle - start) * 1e4, (perf_counter() - compiled) * 1e4
print(f"a picture takes {slow:.0f} microseconds by Python, {fast:.1f} compiled")
# %% [markdown]
# ## Now the real one
# Twelve random numbers belong to each *seed, epoch and picture*, whatever the order in which threads come by: `Philox`
# encrypts the number of a place, so any place of its endless row is reached at once. `[net]` has the bounds: `angle`
# in degrees, and `min_crop` to `max_crop` for the side that the picture is enlarged to, before a window as large as the
# network's input is cut from it. So we can foretell what the network will see.
# %%
from minidarknet import augment, weights
from minidarknet.data import open_dataset
from minidarknet.layers.base import Run
from minidarknet.layers.dropout import Dropout, DropoutOptions
from minidarknet.loader import Loader
from minidarknet.prediction import Classifier
from minidarknet.shapes import Shape
from minidarknet.zoo import cfg_path

train, valid = open_dataset("digits", "train", channels=1), open_dataset("digits", "valid", channels=1)
assert (valid.indices == np.flatnonzero(held)).all()
network = Classifier.from_cfg(cfg_path("digits"))
options = network.options  # flip=0, angle=10, min_crop=8, max_crop=9
loader = Loader(train, options, network.input_shape, 64, seed=7)
for epoch in range(3):
    for index in range(0, 1400, 100):
        raw = np.random.Philox(key=[7, 2], counter=[0, 0, epoch, index]).random_raw(12)
        u = (raw >> np.uint64(11)) * 2.0**-53  # in 0..1; those not used here are for aspect, mirror and colours
        side = options.min_crop + int(u[2] * (options.max_crop - options.min_crop + 1))
        radians, shifts = (2 * u[3] - 1) * math.radians(options.angle), (2 * u[4:6] - 1) * (side - 8) / 2
        foretold = window(train.image(index)[0].astype(float), 8, radians, side / 8, *shifts)
        assert np.allclose(loader.picture(index, epoch)[0], foretold, atol=1e-5)
picture = chance.random((3, 9, 9)).astype(np.float32)
assert np.allclose(augment.distort(picture, 0.1, 1.3, 0.8), recolour(picture, 0.1, 1.3, 0.8), atol=1e-5)
layer = Dropout(DropoutOptions(probability=0.25))
layer.connect(Shape(2, 50, 50))
layer.kept = np.empty(layer.kept_size(1), np.float32)
assert np.allclose(layer.forward(x.astype(np.float32), run=Run(np.empty(0), training=True, seed=5)), y, atol=1e-5)
print("the held-out fifth, 42 pictures, colours and dropout: as ours, within 1e-5")
shown = np.unique(train.labels, return_index=True)[1]
ways = train.image, loader.picture, lambda index: train.image(index)[..., ::-1]
figure, axes = plt.subplots(3, 1, figsize=(8, 2.7))
for axis, way in zip(axes, ways, strict=True):
    axis.imshow(np.hstack([way(index)[0] for index in shown]), cmap="gray")
    axis.axis("off")
figure.suptitle("each digit as it is, as it is learned from, and mirrored")
plt.show()
# %% [markdown]
# What differs: the package changes many small pictures at once, in float32, and finds black in a frame of zeros around
# each. Its `aspect` also makes pictures wider or narrower. Grey, which has no hue, comes out grey in both.
# ## May digits be mirrored?
# A change may be used if it leaves the *class* alone. Dogs can be mirrored; digits? Ask the network that comes with the
# package.
# %%
weights.load(network, str(files("minidarknet") / "digits.weights"))
unseen, found = np.stack([valid.image(index) for index in range(len(valid))]), []
figure, axis = plt.subplots(figsize=(7.5, 2.8))
for shift, title, pictures in ((-0.2, "as they are", unseen), (0.2, "mirrored", unseen[..., ::-1])):
    right = network.forward(pictures).reshape(len(valid), 10).argmax(axis=1) == valid.labels
    shares = [right[valid.labels == number].mean() for number in range(10)]
    axis.bar(np.arange(10) + shift, shares, 0.4, label=title)
    found.append(right.mean())
    print(f"{title}: {right.mean():.1%} right")
assert found[0] > 0.97 > 0.5 > found[1]
axis.set(xticks=range(10), ylim=(0, 1.3), xlabel="digit", title="Share read correctly: 0, 1 and 8 survive the mirror")
axis.legend(loc="upper center", ncols=2)
plt.show()
# %% [markdown]
# A network that must learn a mirrored 3 as a 3 wastes effort, and confuses digits. Trained for 200 batches with each of
# five seeds, it read fewer of the 359 every time with `flip=1` in `[net]`: about 335 on average, and 349 without.
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
# Of each of `count` photographs, `copies` changed copies were made, as pairs (photograph, copy). Then a share of the
# *pairs* was held out, and the network did wonderfully, on copies of photographs that it had seen. Repair it: hold out
# `round(share * count)` photographs with all of their copies.


# %%
def parts(count, copies, share, seed):
    """Two lists of pairs (photograph, copy): to learn from, and held out."""
    pairs = [(photograph, copy) for photograph in range(count) for copy in range(copies)]
    generator = np.random.default_rng(seed)
    ### BEGIN SOLUTION
    held = generator.permutation(count)[: round(share * count)]
    return [pair for pair in pairs if pair[0] not in held], [pair for pair in pairs if pair[0] in held]
    ### BEGIN STUB
    # generator.shuffle(pairs)
    # return pairs[round(share * len(pairs)) :], pairs[: round(share * len(pairs))]
    ### END SOLUTION


# %%
check("12.2", parts)
# %% [markdown]
# ### Exercise 12.3: write the backward of a look-up
# `look_up(picture, x, y)` is linear in the picture: each of the four pixels around counts with its share. Given the
# gradient `grad` (a number) by the result, return the gradient by the picture, an array of `shape`.


# %%
def look_up_back(grad, shape, x, y):
    """The gradient by each pixel; 0 for all but the four around (column x, row y)."""
    ### BEGIN SOLUTION
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])
    return grad * np.maximum(0, 1 - abs(y - rows)) * np.maximum(0, 1 - abs(x - columns))
    ### END SOLUTION


# %%
check("12.3", look_up_back)
# %% [markdown]
# ## Where next
# Lesson 13 trains the digits, and reads what a training tells. Look at pictures before you train on them, always:
# `minidarknet augment digits cfg/digits.cfg` draws what a network will see.
