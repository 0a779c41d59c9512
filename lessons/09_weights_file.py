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
PARTS = {"biases": 2, "scales": 2, "means": 2, "variances": 2, "weights": 2}
HEADER = ["major\n0", "minor\n2", "revision\n0", "seen\n640", "seen, cont.\n0"]
VALUES = [0.5, -0.5, 1.0, 2.0, 0.25, 0.0, 1.0, 4.0, -1.0, 0.1]

labels = HEADER + [f"{part}\n" for part, count in PARTS.items() for _ in range(count)]
labels[5:] = [label + str(value) for label, value in zip(labels[5:], VALUES, strict=True)]
colours = ["#cccccc"] * 5 + [colour for colour in ("#56b4e9", "#e69f00", "#f0e442", "#cc79a7", "#9fd8c1") for _ in "ab"]
figure, axis = plt.subplots(figsize=(8, 3.2))
for cell, (label, colour) in enumerate(zip(labels, colours, strict=True)):
    row, column = divmod(cell, 5)
    axis.add_patch(plt.Rectangle((column, -row), 1, 0.8, facecolor=colour, edgecolor="black"))
    axis.text(column + 0.5, 0.36 - row, label, ha="center", va="center")
    axis.text(column + 0.02, 0.66 - row, f"{4 * cell}", fontsize=7)
axis.set(
    xlim=(0, 5), ylim=(-2.1, 0.9), title="60 bytes: 20 of header, then 10 numbers (small: number of the first byte)"
)
axis.axis("off")
plt.show()

# %% [markdown]
# ## Write it, read it
#
# Python's `struct` turns numbers into bytes. `<` means *little-endian*: the byte that counts least comes first. `i` is a
# whole number of 32 bits, `q` one of 64, `f` a float32. `seen` is how many pictures training has shown the network.

# %%
data = struct.pack("<3iq", 0, 2, 0, 640) + struct.pack("<10f", *VALUES)
assert len(data) == 60
for name, start, end in ("major", 0, 4), ("minor", 4, 8), ("seen", 12, 20), ("bias 0.5", 20, 24), ("scale 1.0", 28, 32):
    print(f"bytes {start:2} to {end - 1:2}, {name:9}: {data[start:end].hex(' ')}")
assert struct.unpack_from("<3iq", data) == (0, 2, 0, 640)
assert np.allclose(struct.unpack_from("<10f", data, 20), VALUES)

# %% [markdown]
# Older files have a `seen` of 32 bits, and so a header of 16 bytes. Which one it is follows from the version: 64 bits if
# major * 10 + minor is 2 or more, and both are below 1000. (Numbers above 1000 were used as a flag once: then the
# weights of connected layers are stored (inputs, outputs), and must be turned.)


# %%
def read_header(data):
    """(major, minor, revision, seen), and the bytes that they take."""
    major, minor, _ = struct.unpack_from("<3i", data)
    layout = "<3iq" if major * 10 + minor >= 2 and major < 1000 and minor < 1000 else "<3ii"
    return struct.unpack_from(layout, data), struct.calcsize(layout)


old = struct.pack("<3ii", 0, 1, 0, 640) + data[20:]
assert read_header(data) == ((0, 2, 0, 640), 20)
assert read_header(old) == ((0, 1, 0, 640), 16)
print("right:  ", struct.unpack_from("<10f", old, 16)[:6], "...")
print("shifted:", struct.unpack_from("<9f", old, 20)[:6], "...")

# %% [markdown]
# Who reads the old file with the new header gets each number in its neighbour's place: a scale becomes a bias, a variance
# a mean. Nothing fails; the network runs, and knows nothing. This was a common mistake of programs that read these files.
#
# ## The order of the arrays
#
# Behind the header come the layers in order, as float32, and only those that have learned numbers. A convolution stores
# biases, then (with batch norm) scales, means and variances, then weights as (filters, channels, size, size). A connected
# layer stores its weights behind the biases, and the three of batch norm last.
#
# The package carries a network for digits of 8x8 pixels with four convolutions (lesson 13 trains it). Let us open it.

# %%
DIGITS = [(16, 1, 3, True), (32, 16, 3, True), (64, 32, 3, True), (10, 64, 1, False)]  # filters, channels, size, norm


def arrays_of(layers):
    """[(layer, name, shape)] in the order of the file."""
    found = []
    for number, (filters, channels, size, batch_norm) in enumerate(layers):
        names = ["biases", *(["scales", "means", "variances"] if batch_norm else [])]
        found += [(number, name, (filters,)) for name in names]
        found.append((number, "weights", (filters, channels, size, size)))
    return found


def read_arrays(data, layers):
    """[{name: array}] for each layer."""
    _, start = read_header(data)
    parameters = [{} for _ in layers]
    for number, name, shape in arrays_of(layers):
        count = int(np.prod(shape))
        parameters[number][name] = np.frombuffer(data, "<f4", count, start).reshape(shape)
        start += 4 * count
    assert start == len(data), f"{len(data)} bytes, but the layers take {start}"
    return parameters


data = (files("minidarknet") / "digits.weights").read_bytes()
digits = read_arrays(data, DIGITS)
header, _ = read_header(data)
print(f"version {header[0]}.{header[1]}.{header[2]}, seen {header[3]:,} pictures, in {len(data):,} bytes")
print({name: array.shape for name, array in digits[0].items()})
assert all((layer["variances"] >= 0).all() for layer in digits[:3])  # shifted by one, they would not be

figure, axes = plt.subplots(2, 8, figsize=(8, 2.6))
for axis, weights in zip(axes.flat, digits[0]["weights"][:, 0], strict=True):
    axis.imshow(weights, cmap="PuOr", vmin=-1, vmax=1)
    axis.axis("off")
figure.suptitle("The first layer's 16 filters of 3x3 weights: orange below 0, violet above. Edges, and spots")
plt.show()

# %% [markdown]
# The file knows neither layers nor names: all that tells a weight from a bias is its place. So the only check there is, is
# whether the bytes end where the layers end. Darknet does not even do that: what a short file lacks stays random.
#
# ## A network of your own
#
# With the numbers in hand, the layers of the lessons before are a few lines each. (Batch norm: epsilon *outside* the
# root, as in Darknet.)


# %%
def convolve(x, layer):
    """Convolution, stride 1, and what belongs to it: x (pictures, channels, height, width)."""
    size = layer["weights"].shape[2]
    border = size // 2
    padded = np.pad(x, ((0, 0), (0, 0), (border, border), (border, border)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
    y = np.einsum("bchwyx,fcyx->bfhw", windows, layer["weights"], optimize=True)
    if "scales" not in layer:
        return y + layer["biases"][:, None, None]
    scales, means, variances, biases = (
        layer[name][:, None, None] for name in ("scales", "means", "variances", "biases")
    )
    y = scales * (y - means) / (np.sqrt(variances) + np.float32(1e-6)) + biases
    return np.where(y > 0, y, np.float32(0.1) * y)  # leaky


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
right = int((answers.argmax(axis=1) == classes).sum())
print(f"{right} of {len(classes)} right (it has learned from most of them)")
assert right > 1780

shifted = read_arrays(struct.pack("<3iq", 0, 2, 0, 0) + data[24:] + bytes(4), DIGITS)
with np.errstate(invalid="ignore"):  # roots of negative numbers
    lost = int((run(pictures, shifted).argmax(axis=1) == classes).sum())
print(f"with all numbers shifted by one place: {lost} right, where guessing has about {len(classes) // 10}")
assert lost < 400

# %% [markdown]
# Reading is quick if NumPy takes all bytes as they are, and slow number by number:

# %% tags=["volatile"]
for name, call in {
    "one by one": lambda: [struct.unpack_from("<f", data, start)[0] for start in range(20, len(data), 4)],
    "at once": lambda: np.frombuffer(data, "<f4", offset=20),
}.items():
    print(f"{name:11} {1e6 * min(repeat(call, repeat=5, number=1)):9.1f} microseconds")

# %% [markdown]
# ## Now the real one
#
# The package works out from the cfg which arrays there must be (`pieces`), and compares the length before it loads
# anything. Its arrays are ours, its probabilities are ours but for the rounding of float32, and what it saves are
# the very bytes.

# %%
from minidarknet import weights as weights_file
from minidarknet.errors import MinidarknetError
from minidarknet.images import read_image
from minidarknet.network import Network
from minidarknet.prediction import load
from minidarknet.zoo import find_cfg, locate

network = Network.from_cfg(find_cfg("digits"))
with TemporaryDirectory() as folder:
    header = weights_file.load(network, files("minidarknet") / "digits.weights")
    mine = [array for layer in digits for array in layer.values()]
    for (layer, parameter), array in zip(network.parameters(), mine, strict=True):
        assert np.array_equal(parameter.value, array), (layer.index, parameter.name)
    difference = np.abs(network.forward(pictures[:100]).reshape(100, 10) - answers[:100]).max()
    assert difference < 1e-5
    copy = Path(folder) / "copy.weights"
    weights_file.save(network, copy, header)
    assert copy.read_bytes() == data
    print(f"{len(mine)} arrays and {len(data):,} bytes are the same; probabilities within 0.00001\n")

    eleven = weights_file.Header().pack() + data[20:] + bytes(4 * 65)
    for title, content in {
        "cut off": data[:60_000],
        "without a header": data[20:],
        "an old version's number": struct.pack("<3i", 0, 1, 0) + data[12:],
        "for eleven classes": eleven,
    }.items():
        copy.write_bytes(content)
        try:
            weights_file.load(network, copy)
            raise AssertionError("this file is wrong")
        except MinidarknetError as error:
            print(f"{title}: {str(error).replace(folder, '')[1:]}\n")

# %% [markdown]
# Darknet loads all four. Where the two differ, line by line: the package compares the length, looks for numbers that
# are not finite and for negative variances, says in which array a file ends, and changes the network only when all
# is well.
#
# ## Tiny Darknet
#
# The page's own weights are 4 MB, and are not part of the package. `minidarknet fetch tiny` gets them.

# %% tags=["weights"]
shared = Path(os.environ.get("MINIDARKNET_SHARED", "nowhere"))  # outputs of the C program, where somebody has them


def first(*places):
    return next((Path(place) for place in places if place is not None and Path(place).is_file()), None)


tiny_weights = first(locate("tiny").weights, shared / "data/tiny.weights")
tiny_names = first(locate("tiny").names, shared / "data/imagenet.names")
tiny = None
if tiny_weights is None:
    print("tiny.weights is not here: run `minidarknet fetch tiny`, and this cell again")
else:
    tiny_data = tiny_weights.read_bytes()
    header, size = read_header(tiny_data)
    numbers = (len(tiny_data) - size) // 4
    print(f"version {header[0]}.{header[1]}.{header[2]}: a header of {size} bytes, then {numbers:,} numbers")
    print(f"seen {header[3]:,} pictures = {header[3] // 128:,} batches of 128: the cfg's max_batches")
    assert (size, numbers) == (16, 1_046_488)
    tiny = load("tiny", tiny_weights, names=tiny_names)

# %% [markdown]
# Every number of lesson 0 is there: 1,046,488 parameters. The next cell classifies Darknet's photo of a dog where you
# have the pixels that Darknet's own JPEG reader sees, else a sun that we draw. The page prints 0.167168 for malamute, and so
# does the C program; in float64 it is 0.16716724.

# %% tags=["weights", "volatile"]
dog = first(shared / "golden/images/dog.png")
y, x = np.mgrid[0:224, 0:224]
drawn = np.stack(
    [np.where(np.hypot(x - 112, y - 90) < 50, bright, sky) for bright, sky in ((1, 0.3), (0.8, 0.5), (0.1, 0.9))]
)
if tiny is not None:
    print("the photo of the dog" if dog else "a drawn sun")
    for prediction in tiny.predict(read_image(dog) if dog else drawn.astype(np.float32)):
        print(f"  {prediction.name}: {prediction.probability:.6f}")

# %% [markdown]
# One right answer proves little: errors can cancel, or hide where nobody looks. The proof is to compare *every layer*,
# with the largest difference as a share of the layer's largest number. For this we have 256 numbers of each layer, as
# the C program computed them for that photo. Two float32 programs differ by their roundings, some 10⁻⁷ for each
# operation, and a bit more when many are added up; a wrong epsilon or a border too many is thousands of times larger.

# %% tags=["weights", "volatile"]
golden = first(shared / "golden/tiny/tiny_dog_resizemin224.npz")
if tiny is None or dog is None or golden is None:
    print("the C program's outputs are not here; what was measured is said below")
else:
    with np.load(golden) as archive:
        in_c = dict(archive)
    errors = []
    for layer, output in tiny.steps(tiny.prepare(read_image(dog))):
        key = f"{layer.index:02}"
        largest = max(abs(in_c[f"{key}_min"]), abs(in_c[f"{key}_max"]))
        sample = output.reshape(-1)[in_c[f"{key}_idx"]]
        errors.append(float(np.abs(sample - in_c[f"{key}_val"]).max() / largest))
        print(f"layer {key} {layer.kind:13} {output.shape!s:19} largest {largest:8.3f}  max error {errors[-1]:.1e}")
    assert max(errors) < 1e-5
    probabilities = output.reshape(-1)
    print(f"all 1000 probabilities within {np.abs(probabilities - in_c['probs']).max():.1e} of the C program's")
    figure, axis = plt.subplots(figsize=(8, 3))
    axis.bar(range(len(errors)), errors, color="#0072b2")
    axis.axhline(2**-24, color="#e69f00", label="one rounding in float32: half a bit of 24")
    axis.set(yscale="log", ylim=(1e-8, 1e-5), xlabel="layer of Tiny Darknet", ylabel="max error / largest number")
    axis.set(title="Against the C program, layer by layer: nothing but roundings")
    axis.legend()
    figure.tight_layout()
    plt.show()

# %% [markdown]
# MEASURED
#
# ## Exercises
#
# ### Exercise 9.1: how long is the header?
# `header_bytes(0, 1)` is 16, and `header_bytes(0, 2)` is 20.


# %%
def header_bytes(major, minor):
    """The bytes of a header of this version."""
    ### BEGIN SOLUTION
    wide = major * 10 + minor >= 2 and major < 1000 and minor < 1000
    return 20 if wide else 16
    ### END SOLUTION


# %%
check("9.1", header_bytes)

# %% [markdown]
# ### Exercise 9.2: repair the order
# This reader of a convolution with batch norm takes the right number of numbers, for the wrong arrays.


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
# A file has `size` bytes, `header` of them in front, and should hold arrays with so many numbers each. Return the place
# in `counts` of the first array that is not whole, or None if all are there.
# `cut_in(70, 20, [2, 10, 4])` is 2: 50 bytes are 12 whole numbers, and half a number of the third array.


# %%
def cut_in(size, header, counts):
    """The place of the first array that the file does not hold completely."""
    ### BEGIN SOLUTION
    end = header
    for place, count in enumerate(counts):
        end += 4 * count
        if size < end:
            return place
    return None
    ### END SOLUTION


# %%
check("9.3", cut_in)

# %% [markdown]
# ### Exercise 9.4: fold batch norm away
# When nothing is learned any more, batch norm is only another weight and another bias. Return weights and biases such
# that a convolution with them alone does what weights, batch norm (epsilon 0.000001, outside the root) and biases did.
# This is what the package does before it predicts.


# %%
def fold(weights, biases, scales, means, variances):
    """(weights, biases) with batch norm inside; weights (filters, channels, size, size), the others (filters,)."""
    ### BEGIN SOLUTION
    factors = scales / (np.sqrt(variances) + 1e-6)
    return weights * factors[:, None, None, None], biases - means * factors
    ### END SOLUTION


# %%
check("9.4", fold)

# %% [markdown]
# ## Where next
#
# `minidarknet trace tiny photo.jpg --verify` compares every stage with its float64 value, without any C program. Until
# now all numbers were given; from lesson 10 on we find them ourselves.
