"""Which pixel of a photo a pixel of the network's input was made of."""

from __future__ import annotations

import numpy as np

from minidarknet.explain.places import Place
from minidarknet.preprocess import prepare


def photo_pixel(height: int, width: int, way: str, home: tuple[int, int], place: Place) -> tuple[float, float] | None:
    """Row and column in a photo of a pixel of the input; between pixels where the photo was resized.

    Parameters
    ----------
    height, width
        The photo's sides.
    way
        One of `PREPROCESSES`.
    home
        Height and width that the network wants.
    place
        In the network's input.

    Returns
    -------
    tuple or None
        None for what the photo does not show: the grey bars of a letterbox.

    Notes
    -----
    A picture whose numbers are their own rows and columns is prepared in the same way; resizing is linear, so what
    arrives at a pixel is the place that it was taken from. A third channel of ones tells the bars.
    """
    coordinates = np.empty((3, height, width), np.float32)
    coordinates[0], coordinates[1] = np.arange(height)[:, None], np.arange(width)
    coordinates[2] = 1
    row, column, inside = prepare(coordinates, way, *home)[:, place.row, place.column]
    return (float(row), float(column)) if inside > 0.75 else None
