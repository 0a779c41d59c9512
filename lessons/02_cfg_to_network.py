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
# **You will build** a reader of Darknet's cfg files that prints the layer table of five networks, byte for byte.
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
# `minidarknet/layers/connected.py`, `minidarknet/layers/route.py`, `minidarknet/layers/dropout.py`,
# `minidarknet/layers/softmax.py`

# %%
from timeit import repeat

import matplotlib.pyplot as plt

from minidarknet.course import check

# %% [markdown]
# ## A network for 4x4 pixels, drawn
#
# A *cfg* is text. Each `[section]` is a layer, in order; the first, `[net]`, describes the input. Below a section stand
# its options as `key=value`. Each layer reads the one above, and turns one *shape* into another: how many channels,
# of what height and width.

# %%
TEXT = """
[net]
width = 4
height=4
channels=1      # grey

[convolutional]
filters=3
size=3
pad=1

[maxpool]       ; keeps the largest of each 2x2 cells
size=2
stride=2

[convolutional]
filters=2

[route]
layers = -1, -2

[avgpool]
"""
NAMES = "input", "0 convolutional", "1 maxpool", "2 convolutional", "3 route", "4 avgpool"
DRAWN = (1, 4, 4), (3, 4, 4), (3, 2, 2), (2, 2, 2), (5, 2, 2), (5, 1, 1)  # channels, height, width

figure, axis = plt.subplots(figsize=(8, 3))
for place, (name, (channels, height, width)) in enumerate(zip(NAMES, DRAWN, strict=True)):
    for channel in reversed(range(channels)):  # the first one in front
        x, y = 8 * place + 0.5 * channel, 0.5 * channel
        colour = "#e69f00" if name.startswith("3") and channel > 1 else "#56b4e9"
        axis.add_patch(plt.Rectangle((x, y), width, height, facecolor=colour, edgecolor="black"))
    axis.text(8 * place + 2, -1.3, f"{name}\n{channels} x {height} x {width}", ha="center", va="top", fontsize=9)
    if place:
        axis.annotate("", (8 * place - 0.3, 1), (8 * place - 2.5, 1), arrowprops={"arrowstyle": "->"})
arrow = {"arrowstyle": "->", "connectionstyle": "arc3,rad=-0.4", "color": "#a05a00", "linewidth": 2}
axis.annotate("", (33.5, 4.4), (18, 3.4), arrowprops=arrow)
axis.set(xlim=(-2, 46), ylim=(-5, 9), aspect="equal", title="Each layer makes another shape; a route joins two outputs")
axis.axis("off")
plt.show()

# %% [markdown]
# ## Read it by hand
#
# Darknet's rules are short. Every blank is dropped, even inside of a value. What stands behind `#` or `;` is a
# comment. (In Darknet only at the beginning of a line; people write them anywhere, so the package takes them
# anywhere.) All values stay text for now: what they mean is the business of the section.


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


sections = read(TEXT)
for name, options in sections:
    print(f"{name:14} {options}")
assert [name for name, _ in sections[1:]] == [name.split()[1] for name in NAMES[1:]]

# %% [markdown]
# ## Where a window stands
#
# What is not said has a *default*: this convolution with `filters=2` has `size=1` and `stride=1`. Sliding windows are
# the only arithmetic that shapes need. Along a side, a window of `size` takes
#
# $$\left\lfloor \frac{\text{side} + \text{padding} - \text{size}}{\text{stride}} \right\rfloor + 1$$
#
# places. The same word means two things here, for historical reasons: a convolution's `padding` is what is added at
# *each* end, a max pool's is the *total*, and its default is size - 1, half of it (rounded down) before the first cell.


# %%
def places(side, size, stride, padding):
    """Places of a window along a side; `padding` is the total of both ends."""
    return (side + padding - size) // stride + 1


figure, axes = plt.subplots(1, 4, figsize=(8, 2.6))
cases = [
    ("conv 3/1, pad=1", 3, 1, 1, 2),
    ("max 2/2", 2, 2, 0, 1),
    ("max 2/1", 2, 1, 0, 1),
    ("max 3/2, padding=0", 3, 2, 0, 0),
]
for axis, (title, size, stride, before, padding) in zip(axes, cases, strict=True):
    count = places(5, size, stride, padding)
    for cell in range(-1, 6):
        colour = "#f2f2f2" if 0 <= cell < 5 else "white"
        axis.add_patch(
            plt.Rectangle((cell, 0), 1, 1, facecolor=colour, edgecolor="black" if 0 <= cell < 5 else "#bbbbbb")
        )
    for place in range(count):
        start = place * stride - before
        axis.plot([start + 0.08, start + size - 0.08], [-0.6 - 0.6 * place] * 2, color="#0072b2", linewidth=5)
    axis.set(xlim=(-1.2, 6.2), ylim=(-3.8, 1.2), title=f"{title}\n5 cells: {count} places")
    axis.title.set_fontsize(9)
    axis.axis("off")
figure.suptitle(
    "size/stride; each bar is one place of the window, which may stand beyond the ends", y=0.05, fontsize=10
)
plt.show()

# %% [markdown]
# ## A layer is a rule for shapes
#
# For each kind of section we write a function. It gets the options, the layer's number and the shapes of all earlier
# outputs, where number -1 is the input. It returns its own shape and its line of the table, in which Darknet prints
# width, height, channels in this order.


# %%
def cells(shape):
    return f"{shape[2]:4d} x{shape[1]:4d} x{shape[0]:4d}"


def numbers(shape):
    return shape[0] * shape[1] * shape[2]


def convolutional(options, index, shapes):
    channels, height, width = shapes[index - 1]
    filters, size, stride = (int(options.get(key, 1)) for key in ("filters", "size", "stride"))
    padding = size // 2 if int(options.get("pad", 0)) else int(options.get("padding", 0))
    shape = filters, places(height, size, stride, 2 * padding), places(width, size, stride, 2 * padding)
    operations = 2 * numbers(shape) * channels * size * size
    row = f"conv  {filters:5d} {size:2d} x{size:2d} /{stride:2d}  {cells(shapes[index - 1])}   ->  {cells(shape)}"
    return shape, f"{row}  {operations / 1e9:5.3f} BFLOPs"


def maxpool(options, index, shapes):
    channels, height, width = shapes[index - 1]
    stride = int(options.get("stride", 1))
    size = int(options.get("size", stride))
    padding = int(options.get("padding", size - 1))
    shape = channels, places(height, size, stride, padding), places(width, size, stride, padding)
    return shape, f"max         {size:2d} x{size:2d} /{stride:2d}  {cells(shapes[index - 1])}   ->  {cells(shape)}"


def avgpool(options, index, shapes):  # one number for each channel: the mean of all its cells
    channels = shapes[index - 1][0]
    return (channels, 1, 1), f"avg                     {cells(shapes[index - 1])}   ->  {channels:4d}"


def connected(options, index, shapes):  # every output sees every input
    inputs, outputs = numbers(shapes[index - 1]), int(options.get("output", 1))
    return (outputs, 1, 1), f"connected                            {inputs:4d}  ->  {outputs:4d}"


def dropout(options, index, shapes):  # only does something in training
    size, share = numbers(shapes[index - 1]), float(options.get("probability", 0.5))
    return shapes[index - 1], f"dropout       p = {share:.2f}               {size:4d}  ->  {size:4d}"


def softmax(options, index, shapes):  # makes probabilities
    return shapes[index - 1], f"softmax                                        {numbers(shapes[index - 1]):4d}"


def route(options, index, shapes):  # joins the channels of earlier layers
    wanted = [int(number) for number in options["layers"].split(",")]
    sources = [index + number if number < 0 else number for number in wanted]
    shape = sum(shapes[source][0] for source in sources), *shapes[sources[0]][1:]
    return shape, "route  " + " ".join(map(str, sources))


KINDS = {rule.__name__: rule for rule in (convolutional, maxpool, avgpool, connected, dropout, softmax, route)}


def build(text):
    """({number: shape}, the table) of a cfg."""
    (_, net), *layers = read(text)
    shapes = {-1: tuple(int(net[key]) for key in ("channels", "height", "width"))}
    rows = ["layer     filters    size              input                output"]
    for index, (kind, options) in enumerate(layers):
        shapes[index], row = KINDS[kind](options, index, shapes)
        rows.append(f"{index:5d} {row}")
    return shapes, "\n".join(rows) + "\n"


shapes, rows = build(TEXT)
assert tuple(shapes.values()) == DRAWN
print(rows)

# %% [markdown]
# That is a network: the rest of this course fills in what the layers compute. Note the dictionary `KINDS`: a new kind
# of layer is one function and one entry, and `build` need not know of it.
#
# ## Now the real one
#
# In the package a kind is a class, which declares its options with type, default, bounds and meaning; the dictionary is
# called `LAYERS`, the rule for shapes `infer`, the line `table_row`. Does our table equal the package's, which equals
# Darknet's?

# %%
from minidarknet.cfg import parse_cfg
from minidarknet.errors import MinidarknetError
from minidarknet.network import Network
from minidarknet.summary import table
from minidarknet.zoo import find_cfg

for name in ("tiny", "darknet", "alexnet", "squeezenet", "digits"):
    text = find_cfg(name).read_text(encoding="utf-8")
    shapes, rows = build(text)
    network = Network.from_cfg(parse_cfg(text))
    assert rows == table(network), name
    assert list(shapes.values())[1:] == [layer.out_shape.array_shape for layer in network.layers]
    print(f"{name:11} {len(network.layers):2d} layers, {len(rows)} bytes of table: the same")
print("\n".join(build(find_cfg("squeezenet").read_text(encoding="utf-8"))[1].splitlines()[:8]))

# %% [markdown]
# Those rows of SqueezeNet show a fire module: layer 4 goes back to layer 2, and layer 6 joins 3 and 5.
#
# Everything up to here took no memory for numbers. So the package can say at once what a network would take, and
# refuse one that is too large; and resizing a network only means to infer all shapes again.

# %%
network = Network.from_cfg(find_cfg("tiny"))
for side in (224, 448):
    network.resize(side, side)
    size = network.memory(batch=1)["outputs"] / 2**20
    print(f"Tiny Darknet at {side}x{side}: {network.flops() / 1e9:.2f} Bn operations, {size:.1f} MiB of outputs")

# %% tags=["volatile"]
text = find_cfg("tiny").read_text(encoding="utf-8")
for name, call in ("by hand", lambda: build(text)), ("the package", lambda: table(Network.from_cfg(parse_cfg(text)))):
    print(f"{name:12} reads tiny.cfg in {1e3 * min(repeat(call, repeat=5, number=1)):.2f} ms")

# %% [markdown]
# The package takes longer, because it checks every word. That is the difference between the two, line by line: where
# ours fails with a `KeyError`, or reads nonsense, the package names file, line, and what to do. Darknet itself goes on
# with most of these, and surprises you later.

# %%
CONV = "[net]\nwidth=4\nheight=4\nchannels=1\n[convolutional]\n"
for mistake, silence in {
    "activation=leeky": "takes ReLU instead",
    "filters=8\nfilters=9": "takes the first",
    "size=three": "takes a size of 0",
    "[route]\nlayers=-3": "reads memory that is not its own",
    "[maxpol]\nsize=2": "goes on, and crashes when it runs",
}.items():
    try:
        Network.from_cfg(parse_cfg(CONV + mistake, "my.cfg"))
        raise AssertionError("this cfg is wrong")
    except MinidarknetError as error:
        print(f"{error}\n    (Darknet {silence})")

# %% [markdown]
# ## Exercises
#
# ### Exercise 2.1: repair the reader
# This is how many programs that read cfg files begin, and why they stop at other people's files. It should return the
# key and the value without any blanks and comments, and None for a line that has neither.
# `option(" layers = -1, 8  # a=b")` is `("layers", "-1,8")`.


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
# channels stay. Its line is `upsample`, filled up with blanks to 19 places, the stride in two places, `x  `, the cells
# of the input, `   ->  `, the cells of the output. Use `cells` from above.


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
# `minidarknet explain-cfg maxpool.padding` says what any option means, from the table that the package's reader reads
# by. In lesson 3 the first kind of layer begins to compute.
