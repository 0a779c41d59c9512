"""The strongest feature maps of every layer on one sheet, a row for each layer, as a picture to keep or to print."""

from __future__ import annotations

from os import PathLike, fspath

import numpy as np
from PIL import Image

from minidarknet.contact_sheet import COLUMNS, Tile, thumbnail, write_sheet
from minidarknet.errors import InputError
from minidarknet.trace.cards import strongest
from minidarknet.trace.pictures import scaled
from minidarknet.trace.records import Trace


def write_montage(path: str | PathLike[str], run: Trace, title: str) -> None:
    """Write the sheet as PNG; for a trace that has kept its arrays. Layers of single numbers have no place on it.

    Raises
    ------
    InputError
        No layer has a map, or the file cannot be written.
    """
    last = {stage.layer: stage for stage in run.stages}
    tiles: list[Tile] = []
    for stage in last.values():
        if stage.array is None or stage.shape[2] * stage.shape[3] < 2:
            continue
        array = stage.array[0]
        row = []
        for channel, strength in strongest(array, COLUMNS):
            words = (f"{stage.layer} {stage.kind}", f"channel {channel}: {strength:.3g}")
            picture = thumbnail(scaled(array[channel])[None].astype(np.float32))
            row.append(Tile(picture, [(word, "black") for word in words]))
        empty = Tile(Image.new("RGB", (1, 1), "white"))
        tiles += row + [empty] * (COLUMNS - len(row))
    if not tiles:
        raise InputError(f"{run.cfg}: no layer has a feature map to draw")
    try:
        write_sheet(path, title, tiles)
    except OSError as error:
        raise InputError(f"{fspath(path)}: cannot be written: {error.strerror or error}") from None
