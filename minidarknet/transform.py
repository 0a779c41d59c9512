"""Which small change a picture gets when it is learned from: drawn as Darknet draws it, by chance from a seed.

aspect      1/a to a times as wide                   angle       turned by up to so many degrees
min_crop    the shorter side becomes a length        hue         all colours moved around the circle
max_crop    between these, then a window is cut      saturation  1/s to s times as colourful
flip        every second picture is mirrored         exposure    1/e to e times as bright
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minidarknet.augment import distort, flip, rotate_crop
from minidarknet.net_options import NetOptions
from minidarknet.resize import center_crop

#: How many random numbers one picture's change takes.
DRAWN = 12


@dataclass(frozen=True)
class Change:
    """What happens to one picture; see `rotate_crop` and `distort`."""

    radians: float
    scale: float
    dx: float
    dy: float
    aspect: float
    flip: bool
    hue: float
    saturation: float
    exposure: float


def crop_range(options: NetOptions, width: int) -> tuple[int, int]:
    """The shortest and longest that augmentation makes a picture's shorter side, for a network of this width.

    A cfg gives them in pixels (min_crop, max_crop) or as multiples of the width (min_ratio, max_ratio, which count
    first). A network that was resized keeps the ratio. Darknet: parser.c, parse_net_options.
    """
    home = options.width or width
    shortest = options.min_ratio or (options.min_crop or home) / home
    longest = options.max_ratio or (options.max_crop or 2 * home) / home
    low, high = sorted((max(1, int(shortest * width + 1e-6)), max(1, int(longest * width + 1e-6))))
    return low, high


def draw(options: NetOptions, old_size: tuple[int, int], size: tuple[int, int], chance: NDArray[np.float64]) -> Change:
    """Draw the change of one picture.

    Parameters
    ----------
    options
        The [net] section, with the bounds.
    old_size, size
        Height and width of the picture, and of what the network takes.
    chance
        `DRAWN` numbers, each anywhere in 0..1 (without 1).

    Notes
    -----
    Darknet: image.c, random_augment_args and random_distort_image; data.c, load_image_augment_paths. Darknet takes the
    width of the network for its height too; networks that are not square are right here.
    """
    (old_height, old_width), (height, width) = old_size, size
    low, high = crop_range(options, width)
    aspect = _factor(options.aspect, chance[0], chance[1])
    side = low + int(chance[2] * (high - low + 1))
    scale = side / max(1, int(min(old_height, old_width * aspect)))
    return Change(
        radians=_between(options.angle, chance[3]) * 2 * math.pi / 360,
        scale=scale,
        dx=_between((old_width * scale / aspect - width) / 2, chance[4]),
        dy=_between((old_height * scale - height) / 2, chance[5]),
        aspect=aspect,
        flip=bool(chance[6] < 0.5),
        hue=_between(options.hue, chance[7]),
        saturation=_factor(options.saturation, chance[8], chance[9]),
        exposure=_factor(options.exposure, chance[10], chance[11]),
    )


def _between(most: float, chance: float) -> float:
    """Anywhere from -most to most."""
    return float((2 * chance - 1) * most)


def _factor(most: float, chance: float, coin: float) -> float:
    """Anywhere from 1 to most, or, every second time, one divided by that. Darknet: utils.c, rand_scale."""
    factor = float(1 + chance * (most - 1))
    return factor if coin < 0.5 else 1 / factor


def apply(
    image: NDArray[np.float32], change: Change, height: int, width: int, center: bool = False
) -> NDArray[np.float32]:
    """Change a picture (channels, any height, any width) into one of (channels, height, width).

    With `center` the largest centred square is taken rather than a window somewhere; colours and flip stay.
    """
    if center:
        seen = center_crop(image, height, width)
    else:
        seen = rotate_crop(image, change.radians, change.scale, height, width, change.dx, change.dy, change.aspect)
    if change.flip:
        seen = flip(seen)
    if (change.hue, change.saturation, change.exposure) != (0, 1, 1):
        seen = distort(seen, change.hue, change.saturation, change.exposure)
    return seen
