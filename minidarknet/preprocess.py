"""The five ways to bring a picture of any size to a network that wants one size.

The choice matters: on Darknet's dog picture Tiny Darknet says 16.7 % malamute with `fit` and 14.5 % with `letterbox`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minidarknet.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: What is typed on the command line, and what it means.
PREPROCESSES = {
    "fit": "shorter side to the network's size, whole picture kept, network resized to it",
    "letterbox": "whole picture inside the network's size, grey bars around it",
    "center": "largest centred square, then resized (Darknet's `valid`)",
    "crop": "shorter side to the network's size, then the centre cut out",
    "stretch": "whole picture stretched to the network's size, proportions lost",
}


def prepare(image: NDArray[np.float32], name: str, height: int, width: int) -> NDArray[np.float32]:
    """Bring a picture to a network in one of the ways of `PREPROCESSES`.

    Parameters
    ----------
    image
        float32, (channels, any height, any width), values 0..1.
    name
        A key of `PREPROCESSES`.
    height, width
        The size that the network wants.

    Returns
    -------
    ndarray
        float32, C-contiguous, (channels, height, width); only with `fit` may one of the two be larger than asked.

    Raises
    ------
    UsageError
        There is no way of that name.
    InputError
        As `minidarknet.resize.resize`.
    """
    check_preprocess(name)
    if image.size and image.shape[1:] == (height, width) == (width, height):
        return image.copy()  # as every way does with a square, but digits would wait for it longer than for the network
    from minidarknet import resize  # brings NumPy, for which a help text need not wait

    ways = {
        "fit": resize.cover,
        "letterbox": resize.letterbox,
        "center": resize.center_crop,
        "crop": resize.cut_center,
        "stretch": resize.resize,
    }
    return ways[name](image, height, width)


def check_preprocess(name: str) -> None:
    """Raise a `UsageError` where there is no way of that name."""
    if name not in PREPROCESSES:
        raise UsageError(f"unknown way to prepare a picture: {name!r}; expected one of {', '.join(PREPROCESSES)}")
