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
# # Lesson 1: a picture is an array
#
# **You will build** Darknet's resizing, pixel by pixel, and get the very bits that the package gets.
#
# **You will learn**
# - how the bytes of a picture become planes of numbers from 0 to 1, and where each number lies in memory;
# - what *bilinear* leaves open, and why two libraries that both say it give different pictures;
# - the ways to bring a photo of any size to a network that wants one size.
#
# **You need** lesson 0.
#
# *In the package:* `minidarknet/images.py`, `minidarknet/resize.py`, `minidarknet/preprocess.py`;
# layers that move pixels: `minidarknet/layers/crop.py`, `minidarknet/layers/reorg.py`

# %%
from tempfile import TemporaryDirectory
from timeit import repeat

import matplotlib.pyplot as plt
import numpy as np
from numba import njit
from PIL import Image

from minidarknet.course import check

# %% [markdown]
# ## A 4x4 picture, drawn
#
# A screen mixes each *pixel* of red, green and blue light, with a byte for each: 0 is dark, 255 is full. A *channel* is
# one of the three colours, for all pixels. Here is a small picture, and its three channels.

# %%
B, Y, W, D = (0, 90, 180), (255, 200, 0), (255, 255, 255), (40, 40, 40)  # blue, yellow, white, dark
PIXELS = np.array([[B, B, Y, Y], [B, W, Y, Y], [B, B, B, B], [D, D, D, W]], np.uint8)  # height, width, channels
figure, axes = plt.subplots(1, 4, figsize=(8, 2.6))
titles = "4x4 pixels", "channel 0: red", "channel 1: green", "channel 2: blue"
for axis, shown, title in zip(axes, (PIXELS, *PIXELS.transpose(2, 0, 1)), titles, strict=True):
    axis.imshow(shown, cmap="gray", vmin=0, vmax=255)
    axis.set(title=title, xticks=[], yticks=[])
    for (row, column), byte in np.ndenumerate(shown if shown.ndim == 2 else np.empty((0, 0))):
        axis.text(column, row, byte, ha="center", va="center", color="black" if byte > 127 else "white")
plt.show()

# %% [markdown]
# ## From bytes to planes, by hand
#
# Files keep a pixel's three bytes together: red green blue, red green blue. Networks want *planes*: all of red, then
# all of green, then all of blue: an array (channels, height, width). Each number is a byte divided by 255, as float32.
# Row y and column x are counted from 0; the channel c is 0, 1 or 2.


# %%
def planes_by_hand(data, height, width):
    """Turn 3 * height * width bytes, pixel after pixel, into float32 (3, height, width) in 0..1."""
    numbers = np.zeros(3 * height * width, np.float32)
    for y, x, c in np.ndindex(height, width, 3):
        numbers[(c * height + y) * width + x] = np.float32(data[(y * width + x) * 3 + c]) / np.float32(255)
    return numbers.reshape(3, height, width)


planes = planes_by_hand(PIXELS.tobytes(), 4, 4)
assert np.array_equal(planes, PIXELS.transpose(2, 0, 1) / np.float32(255))  # axes 2, 0, 1: channels come first
assert (PIXELS.tobytes()[16], planes.reshape(-1)[21]) == (255, 1)  # the green of row 1, column 1
print("bytes of the file: ", list(PIXELS.tobytes()[:9]), "...")
print("numbers in memory: ", [round(float(x), 3) for x in planes.reshape(-1)[:9]], "...")

# %% [markdown]
# The two formulas in square brackets are all there is to it: *the last index moves fastest*. The white pixel's green
# (y = x = c = 1) is byte (1·4 + 1)·3 + 1 = 16 of the file, and number (1·4 + 1)·4 + 1 = 21 in memory. Reading the
# bytes by the wrong formula is a common mistake. It gives no error, only a strange picture (exercise 1.2).
#
# ## Between the pixels
#
# Photos have any size. *Bilinear* resizing draws a straight line between neighbouring pixels and reads new values off
# that line, along rows and then along columns. What the word leaves open is *where* the new pixels lie. Darknet lines
# up the first pixels and the last ones:
#
# $$\text{position of new pixel } i = i \cdot \frac{\text{old} - 1}{\text{new} - 1}$$
#
# Pillow, like most libraries, lines up the *edges* of the pixels: $(i + 0.5) \cdot \text{old} / \text{new} - 0.5$.
# There the first and last new pixels of a picture that grows lie outside of the line, and take its ends. Below the
# drawing is Darknet's function, loop by loop. Its arithmetic is in float32, as in C: numbers of 24 binary digits.

# %%
ROW, ONE = np.array([0.2, 0.8, 0.4, 1.0], np.float32), np.float32(1)
corners, edges = np.arange(7) * 3 / 6, np.clip((np.arange(7) + 0.5) * 4 / 7 - 0.5, 0, 3)
figure, axis = plt.subplots(figsize=(8, 3.4), layout="constrained")
axis.plot(range(4), ROW, "ko-", markersize=15, markerfacecolor="white", label="4 old pixels, and the line")
axis.plot(corners, np.interp(corners, range(4), ROW), "s", color="#0072b2", markersize=8, label="7 new ones: Darknet")
axis.plot(edges, np.interp(edges, range(4), ROW), "^", color="#e69f00", markersize=8, label="7 new ones: Pillow")
axis.set(title="Both are bilinear: the same line, read at other positions")
axis.set(xlabel="position in the old row", ylabel="value")
axis.legend(loc="lower right")
plt.show()


def resize_by_hand(image, height, width):
    """Resize (channels, old height, old width) to (channels, height, width), both at least 2, as Darknet does."""
    channels, old_height, old_width = image.shape
    step_x = np.float32(old_width - 1) / np.float32(width - 1)
    step_y = np.float32(old_height - 1) / np.float32(height - 1)
    wide = np.zeros((channels, old_height, width), np.float32)
    for c, y, x in np.ndindex((channels, old_height, width)):  # along the rows
        position = np.float32(x) * step_x
        left, share = int(position), position - np.float32(int(position))  # share: how near to the right neighbour
        if x == width - 1:  # the last pixel is the last pixel
            wide[c, y, x] = image[c, y, old_width - 1]
        else:
            wide[c, y, x] = (ONE - share) * image[c, y, left] + share * image[c, y, left + 1]
    resized = np.zeros((channels, height, width), np.float32)
    for c, y, x in np.ndindex((channels, height, width)):  # along the columns
        position = np.float32(y) * step_y
        top, share = int(position), position - np.float32(int(position))
        resized[c, y, x] = (ONE - share) * wide[c, top, x]
        if y < height - 1:
            resized[c, y, x] += share * wide[c, top + 1, x]
    return resized


stretched = resize_by_hand(np.stack([ROW, ROW])[None], 2, 7)[0]
assert np.allclose(stretched, np.interp(corners, range(4), ROW), atol=1e-6)  # as drawn

# %% [markdown]
# ## Made quick, and measured
#
# Python runs such loops at about a million steps a second, and a photo has more than a million numbers. Numba compiles
# the same function to machine code, without a change. Below is a landscape that we draw ourselves.


# %% tags=["volatile"]
def landscape(height, width):
    """A picture of a sun over a hill, as bytes (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width] / height
    picture = np.stack([0.35 + 0.2 * y, 0.6 + 0.2 * y, 0.95 - 0.1 * y], axis=2)  # the sky
    picture[(x - 1.2) ** 2 + (y - 0.3) ** 2 < 0.02] = 1, 0.85, 0.2
    picture[y > 0.65 + 0.12 * np.sin(4 * x)] = 0.2, 0.5, 0.25
    return (picture * 255).round().astype(np.uint8)


photo = planes_by_hand(landscape(120, 200).tobytes(), 120, 200)
resize_compiled = njit(resize_by_hand)
assert np.array_equal(resize_compiled(photo, 60, 100), resize_by_hand(photo, 60, 100))  # the same bits
for name, function in ("Python", resize_by_hand), ("compiled", resize_compiled):
    seconds = min(repeat(lambda run=function: run(photo, 60, 100), repeat=3, number=1))
    print(f"{name:9} {seconds * 1e3:8.2f} ms")

# %% [markdown]
# ## Now the real one
#
# The package's `resize` has no loop: it works out the left neighbours of all columns at once, and gathers them with
# NumPy. The operations are the same, in the same order, so the result is not only near ours: it has the same bits.

# %%
from minidarknet.images import read_image, to_planes
from minidarknet.preprocess import prepare
from minidarknet.resize import letterbox, resize

assert np.array_equal(to_planes(landscape(120, 200), 3), photo)
for height, width in [(60, 100), (119, 33), (224, 373), (2, 500)]:
    assert np.array_equal(resize(photo, height, width), resize_compiled(photo, height, width))

ours, package = resize_compiled(photo, 300, 200), resize(photo, 300, 200)
print("120 rows become 300; rows that differ:", np.flatnonzero((ours != package).any(axis=(0, 2))))
print(f"the last row should lie at 119, and lies at {np.float32(299) * (np.float32(119) / np.float32(299)):.6f}")
assert ours[:, -1].max() < 1e-5 < package[:, -1].min()

# %% [markdown]
# One row differs, and that is a bug of Darknet's: float32 rounds the last row's position to just before row 119. Its
# share of row 118 is then almost 0, and row 119 is left out, as nothing may follow the last row: so it turns black.
# The package takes row 119. (Where the position is rounded up, the row is dimmed by a hair, in both.)
#
# When a picture shrinks, Darknet's rule reads a few old pixels and skips the others, while Pillow averages all. On
# fine patterns that can be seen: skipped stripes come back as coarse ones that were never there (*aliasing*).

# %%
y, x = np.mgrid[-1:1:160j, -1:1:160j]
rings = (0.5 + 0.5 * np.cos(160 * (x**2 + y**2))).astype(np.float32)
darknet = resize(rings[None], 40, 40)[0]
pillow = np.asarray(Image.fromarray(rings).resize((40, 40), Image.Resampling.BILINEAR))
figure, axes = plt.subplots(1, 3, figsize=(8, 3.2), layout="constrained")
titles = "160x160", "40x40, Darknet: false rings", "40x40, Pillow: grey"
for axis, shown, title in zip(axes, (rings, darknet, pillow), titles, strict=True):
    axis.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set(title=title, xticks=[], yticks=[])
plt.show()
grown = np.asarray(Image.fromarray(ROW[None]).resize((7, 1), Image.Resampling.BILINEAR))[0]
assert np.allclose(grown, np.interp(edges, range(4), ROW), atol=1e-6)  # the triangles of the drawing

# %% [markdown]
# Pillow's picture is the better one, and still the wrong one here: published probabilities can only be had with the
# very pixels that the network was given when they were printed. So the package resizes as Darknet does.
#
# ## To the size that the network wants
#
# `letterbox` makes the whole picture fit *inside* of the network's size, with grey around it; `fit` makes it *cover*
# that size, and the network runs on the larger picture, which only gives its windows more places. All sizes and
# offsets are whole numbers, rounded down. `center` cuts the square in the middle, then resizes; `crop` resizes as
# `fit`, then cuts, which gives nearly the same picture; `stretch` resizes each side by itself.

# %%
boxed = np.full((3, 64, 64), 0.5, np.float32)
boxed[:, 13 : 13 + 38] = resize_compiled(photo, 120 * 64 // 200, 64)  # 38 rows, at (64 - 38) // 2
assert np.array_equal(boxed, letterbox(photo, 64, 64))
assert np.array_equal(resize_compiled(photo, 64, 200 * 64 // 120), prepare(photo, "fit", 64, 64))

figure, axes = plt.subplots(1, 5, figsize=(8, 2.4), gridspec_kw={"width_ratios": [5 / 3, 1, 1, 1, 1]})
for axis, way in zip(axes, ("fit", "letterbox", "center", "crop", "stretch"), strict=True):
    prepared = prepare(photo, way, 64, 64)
    axis.imshow(prepared.transpose(1, 2, 0))
    axis.set(title=f"{way}\n{prepared.shape[1]}x{prepared.shape[2]}", xticks=[], yticks=[])
figure.suptitle("120x200 pixels, brought to a network for 64x64, in the package's five ways", y=0.14)
plt.show()

# %% [markdown]
# Which way is taken changes the answer: for Darknet's dog photo, Tiny Darknet says 16.7 % malamute with `fit`, as its
# page prints, and 14.5 % with `letterbox`.
#
# ## PNG and JPEG
#
# A PNG file holds the very bytes. A JPEG holds waves, in blocks of 8x8 pixels: brightness, and two differences of
# colour, often at half size. Reading it means to compute, and the standard leaves the roundings to the decoder.

# %%
with TemporaryDirectory() as folder:
    for ending in ("png", "jpg"):
        Image.fromarray(landscape(120, 200)).save(f"{folder}/picture.{ending}")
        same = np.array_equal(read_image(f"{folder}/picture.{ending}"), photo)
        print(f"{ending}: {'the same bytes' if same else 'other bytes than were written'}")
        assert same == (ending == "png")

# %% [markdown]
# So the same JPEG gives other pixels in another program. Darknet reads with stb_image, this package with Pillow. On
# Darknet's three sample photos they differ in 5 to 9 % of the values, by up to 3 of 255 levels: enough to make
# 0.1703 of the page's 0.1672 for the dog. To compare networks, compare on PNG files.
#
# ## Exercises
#
# ### Exercise 1.1: predict the sizes
# For a network of side x side, return the (height, width) that `fit` makes of a picture, and that `letterbox` puts
# inside of its grey. `sizes(120, 200, 64)` is `((64, 106), (38, 64))`.


# %%
def sizes(height, width, side):
    """((height, width) of fit, (height, width) of the picture inside of the letterbox)."""
    ### BEGIN SOLUTION
    by_height = side, width * side // height
    by_width = height * side // width, side
    return (by_height, by_width) if height < width else (by_width, by_height)
    ### END SOLUTION


# %%
check("1.1", sizes)

# %% [markdown]
# ### Exercise 1.2: repair a bug
# This should do what `planes_by_hand` does, for an array of bytes (height, width, 3). It gives the right shape.


# %%
def planes_of(pixels):
    """float32 (3, height, width) in 0..1."""
    ### BEGIN SOLUTION
    return pixels.transpose(2, 0, 1) / np.float32(255)
    ### BEGIN STUB
    # return pixels.reshape(3, *pixels.shape[:2]) / np.float32(255)
    ### END SOLUTION


# %%
check("1.2", planes_of)

# %% [markdown]
# ### Exercise 1.3: grey, without a float
# A network with one channel sees grey: (77 red + 150 green + 29 blue) / 256, rounded down. Bytes go in, bytes come
# out. Beware: 77 times a byte is no byte.


# %%
def grey(pixels):
    """uint8 (height, width) of uint8 (height, width, 3)."""
    ### BEGIN SOLUTION
    red, green, blue = pixels.transpose(2, 0, 1).astype(np.int64)
    return ((77 * red + 150 * green + 29 * blue) // 256).astype(np.uint8)
    ### END SOLUTION


# %%
check("1.3", grey)

# %% [markdown]
# ## Where next
#
# Lesson 2 reads the description of a network. In lesson 12, `minidarknet/augment.py` changes pictures by chance. The
# layer in `crop.py` cuts a window out of the picture; that in `reorg.py` makes blocks of pixels into channels, and is
# only another formula in square brackets.
