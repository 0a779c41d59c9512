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
# # Lesson 9: the weights file, byte by byte
#
# **You will build** a reader and a writer of `.weights` files, and a network around one that knows handwritten digits.
#
# **You will learn**
# - what each byte of the file is: a header of 16 or 20 bytes, then the numbers of layer after layer;
# - why a file of another network loads without a word in Darknet, and how its length gives it away;
# - how to prove that a whole network computes what another program computes.
#
# **You need** lesson 2 (shapes), and lessons 3, 5, 6, 7 and 8, whose layers are put together here.
#
# *In the package:* `minidarknet/weights.py`, `minidarknet/layers/convolutional.py`, `minidarknet/layers/connected.py`

# %%
import os
import struct
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from timeit import repeat

import matplotlib.pyplot as plt
import numpy as np

from minidarknet.course import check

# %% [markdown]
# ## A file for 4x4 pixels, drawn
#
# Take a network for grey pictures of 4x4 pixels with one layer: a convolution with two 1x1 filters and batch norm. Each
# filter has a bias, a scale, a mean, a variance and one weight. Here is its whole file, 4 bytes to a cell.

# %%
HEADER, NUMBERS = "major 0,minor 2,revision 0,seen 640,(seen) 0", "bias .5,bias -.5,scale 1,scale 2,mean .25,mean 0"
CELLS = f"{HEADER},{NUMBERS},variance 1,variance 4,weight -1,weight .1".split(",")
COLOURS = "#cccccc", "#56b4e9", "#e69f00", "#f0e442", "#cc79a7", "#9fd8c1"
figure, axis = plt.subplots(figsize=(8, 3.2))
for number, cell in enumerate(CELLS):
    x, y = number % 5, -(number // 5)
    axis.add_patch(plt.Rectangle((x, y), 1, 0.8, facecolor=COLOURS[max(0, number - 3) // 2], edgecolor="black"))
    axis.text(x + 0.5, y + 0.36, cell.replace(" ", "\n"), ha="center", va="center")
    axis.text(x + 0.02, y + 0.66, 4 * number, fontsize=7)
axis.set(xlim=(0, 5), ylim=(-2.1, 0.9), title="60 bytes: 20 of header, 10 numbers (small: the first byte's place)")
axis.axis("off")
plt.show()

# %% [markdown]
# ## Write it, read it
#
# The header begins with the version of the format, major.minor.revision. Then comes `seen`, how many pictures training
# has shown to the network. In newer files it has 64 bits, which are two cells above: the header has 20 bytes. In older
# ones it has 32 bits: 16 bytes.
#
# The version tells which: 64 bits if major * 10 + minor is at least 2, and both are below 1000. (If one is
# above 1000, connected layers are stored (inputs, outputs), and must be turned.)
#
# Python's `struct` turns numbers into bytes. `<` means *little-endian*: the byte that counts least comes first, so 640,
# in hexadecimal 0280, becomes 80 02. `i` is a whole number of 32 bits, `q` one of 64, `f` a float32.

# %%
values = [float(cell.split()[1]) for cell in CELLS[5:]]
data = struct.pack("<3iq", 0, 2, 0, 640) + struct.pack("<10f", *values)
for name, start, end in ("minor", 4, 8), ("seen", 12, 20), ("bias 0.5", 20, 24), ("scale 1", 28, 32):
    print(f"bytes {start:2} to {end - 1:2}, {name:8}: {data[start:end].hex(' ')}")
assert struct.unpack_from("<3iq", data) == (0, 2, 0, 640)
assert np.allclose(struct.unpack_from("<10f", data, 20), values)

# %% [markdown]
# ## The order of the arrays
#
# Then come the layers that have learned numbers. A convolution stores biases, then (with batch norm) scales, means and
# variances, then weights as (filters, channels, size, size). A connected layer has its weights behind the biases, and
# the three of batch norm last. The package carries a network for digits of 8x8 pixels (lesson 13 trains it): open it!


# %%
def read_arrays(data, layers, start):
    """[{name: array}] for layers of (filters, channels, size, batch norm), from byte `start` on."""
    parameters = []
    for filters, channels, size, batch_norm in layers:
        parameters.append({})
        for name in ("biases", *(("scales", "means", "variances") if batch_norm else ()), "weights"):
            shape = (filters, channels, size, size) if name == "weights" else (filters,)
            array = np.frombuffer(data, "<f4", int(np.prod(shape)), start).reshape(shape)
            parameters[-1][name] = array
            start += array.nbytes
    assert start == len(data), f"{len(data)} bytes, but the layers take {start}"
    return parameters


DIGITS = [(16, 1, 3, True), (32, 16, 3, True), (64, 32, 3, True), (10, 64, 1, False)]
data = (files("minidarknet") / "digits.weights").read_bytes()
digits = read_arrays(data, DIGITS, 20)
print(f"header {struct.unpack_from('<3iq', data)}; layer 0:", {name: a.shape for name, a in digits[0].items()})
figure, axis = plt.subplots(figsize=(8, 2.2))
tiles = np.pad(digits[0]["weights"][:, 0], ((0, 0), (1, 1), (1, 1))).reshape(2, 8, 5, 5)
axis.imshow(tiles.swapaxes(1, 2).reshape(10, 40), cmap="PuOr", vmin=-1, vmax=1)
axis.set(xticks=[], yticks=[], title="Layer 0: 16 filters of 3x3 weights (orange below 0, violet above, white 0)")
plt.show()

# %% [markdown]
# Only its place tells a weight from a bias. So there is a single check: do the bytes end where the layers end? Darknet
# does not even ask that: what a short file lacks stays as it was, random.
#
# ## A network of your own
#
# With these numbers, the layers of earlier lessons are a few lines each: `sliding_window_view` lays a window at every
# place, and `einsum` multiplies and adds up over the letters that the result lacks (`c`, `y`, `x`: a filter's numbers).
# What if a program takes the header for 4 bytes longer? Then each array begins one number late: the second bias is
# taken for the first, a scale for the last bias. Nothing fails, but the network guesses: a tenth is right by chance.


# %% tags=["volatile"]
def convolve(x, layer):
    """Convolution with stride 1, batch norm and leaky, or bias: x (pictures, channels, height, width)."""
    weights, border = layer["weights"], layer["weights"].shape[2] // 2
    padded = np.pad(x, ((0, 0), (0, 0), (border, border), (border, border)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weights.shape[2:], axis=(2, 3))
    y = np.einsum("bchwyx,fcyx->bfhw", windows, weights, optimize=True)
    biases, *norm = (layer[name][:, None, None] for name in layer if name != "weights")
    if not norm:
        return y + biases
    y = norm[0] * (y - norm[1]) / (np.sqrt(norm[2]) + np.float32(1e-6)) + biases  # scales, means, variances
    return np.where(y > 0, y, np.float32(0.1) * y)


def run(x, parameters):
    """Probabilities (pictures, 10)."""
    x = convolve(convolve(x, parameters[0]), parameters[1])
    x = x.reshape(*x.shape[:2], 4, 2, 4, 2).max(axis=(3, 5))  # max pool, 2x2
    scores = convolve(convolve(x, parameters[2]), parameters[3]).mean(axis=(2, 3))  # average pool
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


with (files("minidarknet") / "digits.npz").open("rb") as file, np.load(file) as archive:
    pictures, classes = archive["x"] / np.float32(255), archive["y"]
answers = run(pictures, digits)
shifted = read_arrays(data + bytes(4), DIGITS, 24)
with np.errstate(invalid="ignore"):  # roots of negative numbers
    right, lost = ((run(pictures, numbers).argmax(axis=1) == classes).sum() for numbers in (digits, shifted))
assert right > 1780 > 400 > lost
print(f"{right} of {len(classes)} right (most of them it has learned from); shifted by one number {lost}")
one_by_one = repeat(lambda: [struct.unpack_from("<f", data, at)[0] for at in range(20, len(data), 4)], number=1)
at_once = repeat(lambda: np.frombuffer(data, "<f4", offset=20), number=1)
print(f"24,282 numbers: one by one {1e6 * min(one_by_one):.1f} microseconds, at once {1e6 * min(at_once):.1f}")

# %% [markdown]
# ## Now the real one
#
# The package works out from the cfg which arrays there must be, and compares the length before it loads any. Its arrays
# equal ours, its probabilities too (but for roundings), and it saves the same bytes. Then it is given four files that
# Darknet would load: one cut off, one without a header, one with an old version number, one for eleven classes.

# %%
import minidarknet as md
from minidarknet import weights as weights_file
from minidarknet.zoo import find_cfg, locate

network = md.Network.from_cfg(find_cfg("digits"))
header = weights_file.load(network, files("minidarknet") / "digits.weights")
mine = [array for layer in digits for array in layer.values()]
assert all(np.array_equal(p.value, array) for (_, p), array in zip(network.parameters(), mine, strict=True))
assert np.abs(network.forward(pictures[:100]).reshape(100, 10) - answers[:100]).max() < 1e-5
with TemporaryDirectory() as folder:
    path = Path(folder) / "my.weights"
    weights_file.save(network, path, header)
    assert path.read_bytes() == data
    for content in data[:60_000], data[20:], struct.pack("<3i", 0, 1, 0) + data[12:], data + bytes(4 * 65):
        path.write_bytes(content)
        try:
            weights_file.load(network, path)
        except md.MinidarknetError as error:
            print(str(error).replace(f"{folder}{os.sep}", ""), "\n")

# %% [markdown]
# ## Tiny Darknet
#
# The page's own weights are 4 MB, and not part of the package. The next cell reads their header, and names the most
# likely classes of a picture: Darknet's photo of a dog where you have the C program's outputs for it, else a sun that
# we draw (none of the 1000 classes).
#
# One right answer proves little: errors can cancel, or hide. The proof is to compare *every layer*: the largest
# difference, as a share of the layer's largest number. We have 256 numbers of each layer from the C program. Two
# float32 programs differ by roundings, at most 6 in 10⁸ each; a border that repeats the edge, not zeros,
# gives 0.66 in layer 0.

# %% tags=["weights", "volatile"]
golden, tiny = Path(os.environ.get("MINIDARKNET_SHARED", "nowhere")) / "golden", locate("tiny")  # what C computed
sun = np.hypot(*np.mgrid[-90:134, -112:112]) < 50
picture = np.stack([np.where(sun, *pair) for pair in ((1, 0.3), (0.8, 0.5), (0.1, 0.9))])
if tiny.weights is None:
    print("tiny.weights is not here: run `minidarknet fetch tiny`, and this cell again")
else:
    header = struct.unpack_from("<3ii", tiny.weights.read_bytes())
    print(f"header {header}: 16 bytes, then {(tiny.weights.stat().st_size - 16) // 4:,} numbers")
    network = md.load("tiny", tiny.weights, names=tiny.names)
    picture = md.read_image(golden / "images/dog.png") if golden.is_dir() else picture
    for prediction in network.predict(picture):
        print(f"{prediction.name}: {prediction.probability:.6f}")
if tiny.weights is not None and golden.is_dir():
    in_c, errors = np.load(golden / "tiny/tiny_dog_resizemin224.npz"), []
    for layer, output in network.steps(network.prepare(picture)):
        values = {key: in_c[f"{layer.index:02}_{key}"] for key in ("min", "max", "idx", "val")}
        largest = max(abs(values["min"]), abs(values["max"]))
        errors.append(float(np.abs(output.reshape(-1)[values["idx"]] - values["val"]).max() / largest))
    print(f"errors: {max(errors):.1e}; of probabilities {np.abs(output.reshape(-1) - in_c['probs']).max():.1e}")
    assert max(errors) < 1e-5
    figure, axis = plt.subplots(figsize=(8, 3), layout="constrained")
    axis.bar(range(len(errors)), errors, color="#0072b2")
    axis.set(yscale="log", ylim=(1e-8, 1e-5), xlabel="layer of Tiny Darknet", ylabel="max error / largest number")
    axis.set(title="Against the C program, layer by layer: nothing but roundings (a single one is 6e-8)")
    plt.show()

# %% [markdown]
# Measured on one machine: 1.3e-7 in layer 0, 2.1e-6 in layer 11, which is the largest; the 1000 probabilities within
# 5.1e-7. Malamute: 0.167168 on the page and in C, 0.167167 here, 0.16716724 in float64 (finer roundings).
#
# ## Exercises
#
# ### Exercise 9.1: how long is the header?
# `header_bytes(0, 1)` is 16, `header_bytes(0, 2)` is 20: the rule stands above.


# %%
def header_bytes(major, minor):
    """The bytes of a header of this version."""
    ### BEGIN SOLUTION
    return 20 if major * 10 + minor >= 2 and major < 1000 and minor < 1000 else 16
    ### END SOLUTION


# %%
check("9.1", header_bytes)

# %% [markdown]
# ### Exercise 9.2: repair the order
# This reader of a convolution with batch norm takes as many numbers as it should, but for the wrong arrays.


# %%
def convolution_arrays(numbers, filters, channels, size):
    """{biases, scales, means, variances: (filters,), weights: (filters, channels, size, size)} of one flat array."""
    ### BEGIN SOLUTION
    names = "biases", "scales", "means", "variances"
    found = {name: numbers[place * filters : (place + 1) * filters] for place, name in enumerate(names)}
    return found | {"weights": numbers[4 * filters :].reshape(filters, channels, size, size)}
    ### BEGIN STUB
    # weights, rest = numbers[filters:-3 * filters], numbers[-3 * filters:].reshape(3, filters)
    # found = {"biases": numbers[:filters], "weights": weights.reshape(filters, channels, size, size)}
    # return found | dict(zip(("scales", "means", "variances"), rest))
    ### END SOLUTION


# %%
check("9.2", convolution_arrays)

# %% [markdown]
# ### Exercise 9.3: where does it end?
# A file of `size` bytes has a header of `header` bytes, then arrays with `counts` float32 numbers each. Return the
# index of the first array that is cut off, or None. `cut_in(70, 20, [2, 10, 4])` is 2: 50 bytes hold 12 numbers of 16.


# %%
def cut_in(size, header, counts):
    """The place of the first array that the file does not hold completely."""
    ### BEGIN SOLUTION
    ends = header + 4 * np.cumsum(counts)
    return next((place for place, end in enumerate(ends) if size < end), None)
    ### END SOLUTION


# %%
check("9.3", cut_in)

# %% [markdown]
# ### Exercise 9.4: renew an old file
# `data` are the bytes of a file of version 0.1. Return those of the same network as version 0.2, with the same revision
# and `seen`. Mind the length of both headers: the third error above is that of a file whose version alone was changed.


# %%
def renewed(data):
    """The bytes of a file of version 0.2 for those of one of version 0.1."""
    ### BEGIN SOLUTION
    _, _, revision, seen = struct.unpack_from("<3ii", data)
    return struct.pack("<3iq", 0, 2, revision, seen) + data[16:]
    ### END SOLUTION


# %%
check("9.4", renewed)

# %% [markdown]
# ## Where next
#
# `minidarknet trace tiny photo.jpg --verify` compares every stage with its float64 value. In lesson 10 numbers learn.
