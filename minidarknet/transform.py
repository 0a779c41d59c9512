"""Which small change a picture gets when it is learned from: drawn as Darknet draws it, by chance from a seed.

aspect      1/a to a times as wide                   angle       turned by up to so many degrees
min_crop    the shorter side becomes a length        hue         all colours moved around the circle
max_crop    between these, then a window is cut      saturation  1/s to s times as colourful
flip        every second picture is mirrored         exposure    1/e to e times as bright
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minidarknet.augment import distort, rotate_crops
from minidarknet.net_options import NetOptions
from minidarknet.resize import center_crop

#: How many random numbers one picture's change takes.
DRAWN = 12


@dataclass(frozen=True)
class Change:
    """What happens to one picture; see `augment.rotate_crop` and `augment.distort`."""

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
    Darknet: image.c, random_augment_args and random_distort_image; data.c, load_image_augment_paths. What is wider than
    high after a change of the aspect may not fill the window; the rest is black, as there. Darknet takes the width of
    the network for its height too; networks that are not square are right here.
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
        flip=options.flip and bool(chance[6] < 0.5),
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
    images: Sequence[NDArray[np.float32]], changes: Sequence[Change], options: NetOptions, height: int, width: int
) -> NDArray[np.float32]:
    """Change pictures of one size: float32 (channels, old height, old width) each.

    Returns (channels, pictures, height, width). Each number is the same bits however many pictures come together. With
    [net] center=1 the largest centred square is taken rather than a window somewhere; flip and colours stay.
    """

    def each(name: str) -> list[float]:
        return [getattr(change, name) for change in changes]

    if options.center:
        seen = np.stack([center_crop(image, height, width) for image in images], axis=1)
    else:
        places = (each(name) for name in ("dx", "dy", "aspect"))
        seen = rotate_crops(np.stack(images, axis=1), each("radians"), each("scale"), height, width, *places)
    turned = [place for place, change in enumerate(changes) if change.flip]
    seen[:, turned] = seen[:, turned, :, ::-1]
    if (options.hue, options.saturation, options.exposure) == (0, 1, 1):
        return seen
    # One below the other, the pictures are one tall picture, with amounts of its own for each row.
    rows = (np.repeat(each(name), height)[:, None] for name in ("hue", "saturation", "exposure"))
    return distort(seen.reshape(len(seen), -1, width), *rows).reshape(seen.shape)
