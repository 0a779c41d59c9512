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
# # Lesson 2: from a cfg to a network
#
# **You will build** a reader of Darknet's cfg files that prints the layer tables of four networks, byte for byte.
#
# **You will learn**
# - how a cfg is read: sections, options, comments, and what everybody leaves unsaid, the defaults;
# - to infer the shape of every layer, before any number is computed;
# - how a layer finds the earlier layers that it reads.
#
# **You need** lesson 0, where operations are counted.
#
# *In the package:* `minidarknet/cfg.py`, `minidarknet/options.py`, `minidarknet/shapes.py`, `minidarknet/network.py`,
# `minidarknet/layers/convolutional.py`, `minidarknet/layers/maxpool.py`, `minidarknet/layers/avgpool.py`,
# `minidarknet/layers/route.py`, `minidarknet/layers/dropout.py`, `minidarknet/layers/softmax.py`,
# `minidarknet/layers/base.py`

# %%
from math import prod
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

from minidarknet.course import check

# %% [markdown]
# ## A network for 4x4 pixels, drawn
#
# A *cfg* is text. Each `[section]` is a layer, in order; the first, `[net]`, describes the input. Below a section stand
# its options as `key=value`. Each layer makes one *shape* (channels, height, width) of another.
#
# A *max pool* keeps the largest cell of each window. A *route* joins the channels of earlier layers: -1 is the one just
# before it, -2 the one before that. An *average pool* makes a single cell of each channel, the mean.

# %%
TEXT = """[net]
width = 4
height=4
channels=1      # grey
[convolutional]
filters=3
size=3
pad=1
[maxpool]       ; of each 2x2 cells
size=2
stride=2
[convolutional]
filters=2
[route]
layers = -1, -2
[avgpool]"""
NAMES = "input", "0 convolutional", "1 maxpool", "2 convolutional", "3 route", "4 avgpool"
DRAWN = (1, 4, 4), (3, 4, 4), (3, 2, 2), (2, 2, 2), (5, 2, 2), (5, 1, 1)  # channels, height, width
figure, axis = plt.subplots(figsize=(8, 3))
for number, (name, (channels, height, width)) in enumerate(zip(NAMES, DRAWN, strict=True)):
    for channel in reversed(range(channels)):  # the first one in front
        place, colour = (8 * number + channel / 2, channel / 2), "#e69f00" if number == 4 and channel > 1 else "#56b4e9"
        axis.add_patch(plt.Rectangle(place, width, height, facecolor=colour, edgecolor="black"))
    axis.text(8 * number + 2, -1.3, f"{name}\n{channels} x {height} x {width}", ha="center", va="top", fontsize=9)
    axis.annotate("", (8 * number - 0.3, 1), (8 * number - 2.5, 1), arrowprops={"arrowstyle": "->"})
arrow = {"arrowstyle": "->", "connectionstyle": "arc3,rad=-0.4", "color": "#a05a00", "linewidth": 2}
axis.annotate("", (33.5, 4.4), (18, 3.4), arrowprops=arrow)
title = "Each layer makes another shape; the route adds the channels of layer 1 (orange)"
axis.set(xlim=(-3, 46), ylim=(-5, 9), aspect="equal", title=title)
axis.axis("off")
plt.show()

# %% [markdown]
# ## Read it by hand
#
# Every blank is dropped, even inside of a value. What stands behind `#` or `;` is a comment. (In Darknet only at the
# beginning of a line, in the package anywhere.) All values stay text for now: their meaning is the section's business.


# %%
def read(text):
    """[(section, {key: value})], in order."""
    sections = []
    for line in text.splitlines():
        line = "".join(line.replace(";", "#").split("#")[0].split())
        if line.startswith("["):
            sections.append((line.strip("[]"), {}))
        elif line:
            key, _, value = line.partition("=")
            sections[-1][1][key] = value
    return sections


print(*read(TEXT), sep="\n")
assert [name for name, _ in read(TEXT)[1:]] == [name.split()[1] for name in NAMES[1:]]

# %% [markdown]
# ## Where a window stands
#
# What is not said has a *default*: the second convolution has `size=1` and `stride=1`. Along a side, a window of `size`
# takes `(side + padding - size) // stride + 1` places, where `padding` is what both ends have together.
#
# In a cfg the word *padding* means two things, for historical reasons: a convolution's is what is added at *each* end,
# a max pool's is the *total*. The latter is size - 1 by default, and half of it, rounded down, stands before the first
# cell. In a convolution `pad=1` is a switch and no number: it means `padding=size//2`, with which an odd window keeps
# the size at stride 1.


# %%
def places(side, size, stride, padding):
    return (side + padding - size) // stride + 1


figure, axes = plt.subplots(1, 4, figsize=(8, 2.6), sharey=True, layout="constrained")
cases = ("conv 3/1, pad=1", 3, 1, 2), ("max 2/2", 2, 2, 1), ("max 2/1", 2, 1, 1), ("max 3/2, padding=0", 3, 2, 0)
for axis, (title, size, stride, padding) in zip(axes, cases, strict=True):
    stands = np.zeros((5, 7))  # places down, cells -1 to 5 across
    for place in range(places(5, size, stride, padding)):
        stands[place, 1 + place * stride - padding // 2 :][:size] = 1 - 0.4 * (place % 2)
    axis.imshow(stands, cmap="Blues", extent=(-1.5, 5.5, 4.5, -0.5), vmax=1.5)
    axis.vlines([-0.5, 4.5], -0.5, 4.5, color="#d55e00")
    axis.set(title=title, xticks=range(5), yticks=range(5), xlabel="cell", ylabel="place" if axis is axes[0] else "")
figure.suptitle("size/stride, along 5 cells (between the lines); each bar is one place of the window")
plt.show()

# %% [markdown]
# ## A layer is a rule for shapes
#
# For each kind of section we write a function of the options, the layer's number and the shapes of all earlier outputs,
# where number -1 is the input. It returns its own shape and its line of the table (width, height, channels, there).


# %%
def cells(shape):
    return f"{shape[2]:4d} x{shape[1]:4d} x{shape[0]:4d}"


def convolutional(options, index, shapes):
    channels, *sides = shapes[index - 1]
    filters, size, stride = (int(options.get(key, 1)) for key in ("filters", "size", "stride"))
    padding = size // 2 if int(options.get("pad", 0)) else int(options.get("padding", 0))
    shape = filters, *(places(side, size, stride, 2 * padding) for side in sides)
    row = f"conv  {filters:5d} {size:2d} x{size:2d} /{stride:2d}  {cells(shapes[index - 1])}   ->  {cells(shape)}"
    return shape, f"{row}  {2 * prod(shape) * channels * size * size / 1e9:5.3f} BFLOPs"


def maxpool(options, index, shapes):
    channels, *sides = shapes[index - 1]
    stride = int(options.get("stride", 1))
    size = int(options.get("size", stride))
    shape = channels, *(places(side, size, stride, int(options.get("padding", size - 1))) for side in sides)
    return shape, f"max         {size:2d} x{size:2d} /{stride:2d}  {cells(shapes[index - 1])}   ->  {cells(shape)}"


def avgpool(options, index, shapes):  # one number for each channel: the mean of all its cells
    before = shapes[index - 1]
    return (before[0], 1, 1), f"avg                     {cells(before)}   ->  {before[0]:4d}"


def route(options, index, shapes):  # joins the channels of earlier layers
    wanted = [int(number) for number in options["layers"].split(",")]
    sources = [index + number if number < 0 else number for number in wanted]
    shape = sum(shapes[source][0] for source in sources), *shapes[sources[0]][1:]
    return shape, "route  " + " ".join(map(str, sources))


def dropout(options, index, shapes):  # only does something in training
    size, share = prod(shapes[index - 1]), float(options.get("probability", 0.5))
    return shapes[index - 1], f"dropout       p = {share:.2f}               {size:4d}  ->  {size:4d}"


def softmax(options, index, shapes):  # makes probabilities
    return shapes[index - 1], f"softmax                                        {prod(shapes[index - 1]):4d}"


KINDS = {rule.__name__: rule for rule in (convolutional, maxpool, avgpool, route, dropout, softmax)}


def build(text):
    """({number: shape}, the table) of a cfg."""
    (_, net), *layers = read(text)
    shapes = {-1: tuple(int(net[key]) for key in ("channels", "height", "width"))}
    rows = ["layer     filters    size              input                output"]
    for index, (kind, options) in enumerate(layers):
        shapes[index], row = KINDS[kind](options, index, shapes)
        rows.append(f"{index:5d} {row}")
    return shapes, "\n".join(rows) + "\n"


assert tuple(build(TEXT)[0].values()) == DRAWN
print(build(TEXT)[1])

# %% [markdown]
# ## Now the real one
#
# In the package a kind is a class, which declares its options with type, default, bounds and meaning. The dictionary is
# called `LAYERS`, the rule for shapes `infer`, the line `table_row`. Its tables are Darknet's, byte for byte. Ours?

# %%
from minidarknet.cfg import parse_cfg
from minidarknet.errors import MinidarknetError
from minidarknet.network import Network
from minidarknet.summary import table
from minidarknet.zoo import find_cfg

for name in ("tiny", "darknet", "squeezenet", "digits"):
    _, rows = build(find_cfg(name).read_text(encoding="utf-8"))
    network = Network.from_cfg(find_cfg(name))
    assert rows == table(network), name
    print(f"{name:10} {len(network.layers):2d} layers, {len(rows):5,} bytes of table: the same")

# %% [markdown]
# No memory for numbers was taken up to here. So the package can say at once what a network would take, and refuse one
# that is too large; and to resize a network only means to infer all shapes again.
#
# What the package has and ours has not: it checks every word. Where ours fails with a `KeyError`, or reads nonsense,
# the package names file, line, and what to do. With the three mistakes below, Darknet takes another *activation* (the
# function behind the sum, lesson 6), takes the first value, and reads memory that is not its own.

# %% tags=["volatile"]
network = Network.from_cfg(find_cfg("tiny"))
for side in (448, 224):
    start = perf_counter()
    network.resize(side, side)
    times, size = 1e3 * (perf_counter() - start), network.memory(batch=1)["outputs"] / 2**20
    print(f"{side}x{side}: {network.flops():13,} operations, {size:.1f} MiB of outputs, known in {times:.2f} ms")
for mistake in "activation=leeky", "filters=8\nfilters=9", "[route]\nlayers=-3":
    try:
        Network.from_cfg(parse_cfg("[net]\nwidth=4\nheight=4\nchannels=1\n[convolutional]\n" + mistake, "my.cfg"))
    except MinidarknetError as error:
        print(error)

# %% [markdown]
# ## Exercises
#
# ### Exercise 2.1: repair the reader
# Many programs read cfg files like this, and stop at other people's. It should return key and value without blanks and
# comments, and None for a line that has nothing else. `option(" layers = -1, 8  # a=b")` is `("layers", "-1,8")`.


# %%
def option(line):
    """(key, value), or None for an empty line or one with nothing but a comment."""
    ### BEGIN SOLUTION
    line = "".join(line.replace(";", "#").split("#")[0].split())
    key, equals, value = line.partition("=")
    return (key, value) if equals else None
    ### BEGIN STUB
    # key, value = line.strip().split("=")
    # return key, value
    ### END SOLUTION


# %%
check("2.1", option)

# %% [markdown]
# ### Exercise 2.2: whom does it mean?
# Layer `index` says `number`. Negative numbers count back from the layer itself, others are layers as they stand.
# Return the layer that is meant, and raise a `ValueError` where it is none of the layers before `index`.


# %%
def source(index, number):
    """The number of the earlier layer."""
    ### BEGIN SOLUTION
    target = index + number if number < 0 else number
    if not 0 <= target < index:
        raise ValueError(f"layer {index} cannot read layer {target}")
    return target
    ### END SOLUTION


# %%
check("2.2", source)

# %% [markdown]
# ### Exercise 2.3: add a layer
# Write the rule for `[upsample]`, which repeats every cell `stride` times in both directions; the default is 2. The
# line: `upsample` in 19 places, the stride in two, `x  `, the input's cells, `   ->  `, the output's cells. With
# stride 2, (16, 13, 26) becomes (16, 26, 52) and this line:
#
#     upsample            2x    26 x  13 x  16   ->    52 x  26 x  16


# %%
def upsample(options, index, shapes):
    """(shape, line of the table)."""
    ### BEGIN SOLUTION
    channels, height, width = shapes[index - 1]
    stride = int(options.get("stride", 2))
    shape = channels, height * stride, width * stride
    return shape, f"{'upsample':19}{stride:2d}x  {cells(shapes[index - 1])}   ->  {cells(shape)}"
    ### END SOLUTION


# %%
check("2.3", upsample)

# %% [markdown]
# ## Where next
#
# `minidarknet explain-cfg maxpool.padding` says what an option means. In lesson 3 the first kind of layer computes.
