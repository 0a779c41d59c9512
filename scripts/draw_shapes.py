"""Draw coloured shapes to learn from, as many and as large as wished.

    python scripts/draw_shapes.py shapes/ --count 1000 --side 64
    minidarknet augment shapes/ my.cfg

    shapes/train/circle/0000.png ...      shapes/valid/circle/0000.png ...      a folder for each class

What a picture shows is its class: circle, square, triangle, star or cross. Colours, place, size and turn are drawn by
chance and say nothing about it, so that changes of hue, crops and turns by augmentation never change the right answer.
Each picture follows from the seed, its part, its class and its number alone: more of them leave the first ones alone.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

Points = list[tuple[float, float]]

#: Drawn so many times larger and then made smaller, which smooths the edges.
FINER = 4
#: Shape and background differ in some colour by at least so much, of 255.
CONTRAST = 80
PARTS = {"train": 0, "valid": 1}


def regular(corners: int, inner: float = 1.0) -> Points:
    """Corners around (0, 0) at a distance of 1, the first one above; every second one at `inner`."""
    angles = [2 * math.pi * corner / corners for corner in range(corners)]
    return [
        (math.sin(angle) * radius, -math.cos(angle) * radius)
        for angle, radius in zip(angles, [1.0, inner] * corners, strict=False)
    ]


def cross() -> Points:
    """Two bars, each a third as wide as long."""
    thin, long = 1 / 3, 1.0
    quarter = [(thin, -long), (thin, -thin), (long, -thin)]
    return [turn for k in range(4) for turn in rotated(quarter, k * math.pi / 2)]


def rotated(points: Points, angle: float) -> Points:
    sine, cosine = math.sin(angle), math.cos(angle)
    return [(cosine * x - sine * y, sine * x + cosine * y) for x, y in points]


#: Each class by its corners, in the order of the class numbers (data.py sorts names).
SHAPES: dict[str, Callable[[], Points]] = {
    "circle": lambda: regular(96),
    "cross": cross,
    "square": lambda: regular(4),
    "star": lambda: regular(10, 0.4),
    "triangle": lambda: regular(3),
}


def draw(shape: str, side: int, chance: np.random.Generator) -> Image.Image:
    """A picture of one shape, `side` pixels wide and high."""
    background = chance.integers(0, 256, 3)
    colour = chance.integers(0, 256, 3)
    while abs(colour - background).max() < CONTRAST:
        colour = chance.integers(0, 256, 3)
    radius = chance.uniform(0.25, 0.45) * side
    x, y = chance.uniform(radius, side - radius, 2)
    points = rotated(SHAPES[shape](), chance.uniform(-math.pi, math.pi))
    image = Image.new("RGB", (FINER * side, FINER * side), tuple(background.tolist()))
    placed = [(FINER * (x + radius * dx), FINER * (y + radius * dy)) for dx, dy in points]
    ImageDraw.Draw(image).polygon(placed, fill=tuple(colour.tolist()))
    return image.resize((side, side), Image.Resampling.BOX)


def write(folder: Path, counts: dict[str, int], side: int, seed: int) -> None:
    """Draw `counts[part]` pictures of each shape into `folder/part/shape/`."""
    for part, count in counts.items():
        for number, shape in enumerate(SHAPES):
            target = folder / part / shape
            target.mkdir(parents=True)
            for place in range(count):
                chance = np.random.default_rng([seed, PARTS[part], number, place])
                draw(shape, side, chance).save(target / f"{place:04}.png")


def whole(least: int) -> Callable[[str], int]:
    """A reader of whole numbers of `least` or more, for argparse."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, {least} or more")
        return int(text)

    return number


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--count", type=whole(1), default=200, help="pictures of each shape to learn from (200)")
    parser.add_argument("--valid", type=whole(1), help="pictures of each shape to check with (a quarter of that)")
    parser.add_argument("--side", type=whole(8), default=64, help="pixels of each side (64)")
    parser.add_argument("--seed", type=whole(0), default=0, help="another one draws others (0)")
    chosen = parser.parse_args(arguments)
    if chosen.folder.exists():
        print(f"error: {chosen.folder} is there already; name a new folder", file=sys.stderr)
        return 2
    valid = chosen.valid or max(1, chosen.count // 4)
    try:
        write(chosen.folder, {"train": chosen.count, "valid": valid}, chosen.side, chosen.seed)
    except OSError as error:
        print(f"error: {error.filename or chosen.folder}: {error.strerror or error}", file=sys.stderr)
        return 3
    print(f"{chosen.folder}: {chosen.count} and {valid} pictures of each of {', '.join(SHAPES)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
