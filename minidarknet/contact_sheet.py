"""A contact sheet: many small pictures in one, each with a few words below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from unicodedata import combining, normalize

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from minidarknet.files import atomic_write
from minidarknet.layers.parameter import Array

#: Pixels: a picture's place, the gaps, a line of text and its letters.
TILE, GAP, LINE, LETTERS = 168, 12, 18, 13
COLUMNS = 6
PAPER, INK = "white", "black"


@dataclass(frozen=True)
class Tile:
    """A small picture, as `thumbnail` makes it, and lines of (text, colour) below it."""

    picture: Image.Image
    lines: Sequence[tuple[str, str]] = ()


def write_sheet(path: str | PathLike[str], title: str, tiles: Sequence[Tile]) -> None:
    """Write a contact sheet as PNG."""
    with atomic_write(path) as file:
        draw_sheet(title, tiles).save(file, "PNG")


def draw_sheet(title: str, tiles: Sequence[Tile]) -> Image.Image:
    """The sheet: a title, then rows of tiles. Lines too long for their place are shortened."""
    columns = min(max(len(tiles), 3), COLUMNS)  # three, so that a title has room
    rows = -(-len(tiles) // columns)
    words = max((len(tile.lines) for tile in tiles), default=0)
    wide, high = TILE + GAP, TILE + words * LINE + 2 * GAP
    top = LINE + 2 * GAP
    sheet = Image.new("RGB", (columns * wide + GAP, top + rows * high), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(LETTERS)
    pen.text((GAP, GAP), _shortened(title, font, sheet.width - 2 * GAP), INK, font)
    for number, tile in enumerate(tiles):
        x, y = GAP + number % columns * wide, top + number // columns * high
        left, above = (TILE - tile.picture.width) // 2, (TILE - tile.picture.height) // 2
        sheet.paste(tile.picture, (x + left, y + above))
        for line, (text, colour) in enumerate(tile.lines):
            pen.text((x, y + TILE + GAP // 2 + line * LINE), _shortened(text, font, TILE), colour, font)
    return sheet


def thumbnail(image: Array) -> Image.Image:
    """A picture (channels, height, width) in 0..1 as large as its place on the sheet allows.

    Small ones grow by whole pixels, so that these can be seen.
    """
    levels = np.rint(255 * np.clip(np.nan_to_num(image), 0, 1)).astype(np.uint8)
    if len(levels) != 3:  # grey, or channels that are no colours
        levels = np.repeat(levels.mean(axis=0, keepdims=True).astype(np.uint8), 3, axis=0)
    picture = Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))
    longest = max(picture.size)
    if longest <= TILE:
        times = TILE // longest
        return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    width, height = (max(side * TILE // longest, 1) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, or as much of its beginning as fits into so many pixels.

    Pillow's own font, the only one that is everywhere, has no letters but the English: others lose their accents or
    become a question mark.
    """
    plain = "".join(letter for letter in normalize("NFKD", text) if not combining(letter))
    text = plain.encode("ascii", "replace").decode("ascii")
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."
