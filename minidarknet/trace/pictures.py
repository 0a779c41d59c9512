"""Arrays as pictures: photos, feature maps, filters and heat, as PNG inside of a page or as files."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from os import PathLike, fspath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from minidarknet.errors import InputError
from minidarknet.files import atomic_write
from minidarknet.layers.parameter import Array

Bytes = NDArray[np.uint8]

#: Colours of heat, red, green and blue: for what speaks for a class, and for what speaks against it.
FOR, AGAINST = (255, 88, 0), (0, 128, 255)
#: How much of the photo the strongest heat covers.
COVER = 0.75
#: The shorter side of a picture that is written as a file, at the least: digits of 8x8 pixels could not be seen.
SHORTEST = 320


def data_uri(picture: Image.Image) -> str:
    """A picture as an address that contains it, as PNG."""
    out = io.BytesIO()
    picture.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def as_levels(image: Array) -> Bytes:
    """An image (channels, height, width) in 0..1 as (height, width, 3) levels; grey unless it has three channels."""
    levels = np.rint(255 * np.clip(np.nan_to_num(image), 0, 1)).astype(np.uint8)
    if len(levels) != 3:
        levels = np.repeat(levels.mean(axis=0, keepdims=True).astype(np.uint8), 3, axis=0)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def photo(image: Array) -> Image.Image:
    """What the network sees, pixel for pixel."""
    return Image.fromarray(as_levels(image))


def scaled(numbers: Array) -> Array:
    """Finite numbers of an array brought to 0..1, the smallest and the largest; all 0 where they are the same."""
    finite = np.isfinite(numbers)
    if not finite.any():
        return np.zeros_like(numbers, np.float64)
    wide = numbers.astype(np.float64)  # in float32 the distance of two huge numbers would overflow
    low, high = wide[finite].min(), wide[finite].max()
    inside = np.clip(np.where(np.isnan(wide), low, wide), low, high)
    return (inside - low) / (high - low) if high > low else np.zeros_like(wide)


@dataclass(frozen=True)
class Map:
    """A feature map for a page: a picture to look at, and a second one from which its numbers can be read.

    A number is `low + (256 * coarse + fine) / 65535 * (high - low)`, with the grey levels of the two pictures at its
    place: coarse is what one sees, dark for small and bright for large, fine the part that no eye could tell. Of large
    maps, every `step`-th row and column is there.
    """

    coarse: str
    fine: str
    low: float
    high: float
    step: int
    height: int
    width: int


def feature_map(numbers: Array, longest: int) -> Map:
    """The map of one channel, (height, width), its longer side brought to at most `longest` cells."""
    step = -(-max(numbers.shape) // longest)
    some = numbers[::step, ::step]
    codes = np.rint(65535 * scaled(some)).astype(np.uint16)
    finite = some[np.isfinite(some)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    coarse, fine = (codes >> 8).astype(np.uint8), (codes & 255).astype(np.uint8)
    pictures = [data_uri(Image.fromarray(part)) for part in (coarse, fine)]
    return Map(pictures[0], pictures[1], low, high, step, *some.shape)


def grey(numbers: Array) -> Image.Image:
    """Numbers (height, width) as grey levels, from the smallest, black, to the largest, white."""
    return Image.fromarray(np.rint(255 * scaled(numbers)).astype(np.uint8))


def filter_picture(weights: Array) -> Image.Image:
    """A filter (channels, size, size) in its own colours where it has three channels, else the mean of its channels."""
    if len(weights) == 3:
        return Image.fromarray(np.rint(255 * scaled(weights)).astype(np.uint8).transpose(1, 2, 0))
    return grey(weights.mean(axis=0))


def heat(numbers: Array, height: int, width: int) -> Image.Image:
    """Numbers (rows, columns) as a layer of colour to lay over a photo: the stronger, the less is seen of the photo."""
    strongest = float(np.abs(numbers).max(initial=0.0))
    share = Image.fromarray((numbers / (strongest or 1.0)).astype(np.float32))
    grown = np.clip(np.asarray(share.resize((width, height), Image.Resampling.BICUBIC)), -1, 1)
    layer = np.empty((height, width, 4), np.uint8)
    layer[..., :3] = np.where(grown[..., None] > 0, FOR, AGAINST)
    layer[..., 3] = np.rint(255 * COVER * np.abs(grown))
    return Image.fromarray(layer)


def over_photo(image: Array, numbers: Array) -> Image.Image:
    """Heat over the photo, in grey so that the colours are all heat's; small ones grow by whole pixels."""
    height, width = image.shape[1:]
    times = max(1, -(-SHORTEST // min(height, width)))
    picture = photo(image).convert("L").resize((width * times, height * times), Image.Resampling.NEAREST)
    return Image.alpha_composite(picture.convert("RGBA"), heat(numbers, *picture.size[::-1])).convert("RGB")


def save_over_photo(path: str | PathLike[str], image: Array, numbers: Array) -> None:
    """Write heat over the photo as PNG."""
    try:
        with atomic_write(path) as file:
            over_photo(image, numbers).save(file, "PNG")
    except OSError as error:
        raise InputError(f"{fspath(path)}: cannot be written: {error.strerror or error}") from None
