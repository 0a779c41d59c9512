"""The five ways to bring a picture of any size to a network that wants one size.

The choice matters: on Darknet's dog picture Tiny Darknet says 16.7 % malamute with `fit` and 14.5 % with `letterbox`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from minidarknet.errors import UsageError
from minidarknet.resize import center_crop, cover, crop, letterbox, resize


@dataclass(frozen=True)
class Preprocess:
    """One way to prepare a picture.

    Attributes
    ----------
    name
        What is typed on the command line.
    description
        One line for the help text.
    apply
        The function (image, height, width) -> image.
    """

    name: str
    description: str
    apply: Callable[[NDArray[np.float32], int, int], NDArray[np.float32]]


def cut_center(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Cover height x width with the picture as `cover` does, then cut off what stands over, equally on both sides.

    Parameters
    ----------
    image
        float32, (channels, any height, any width).
    height, width
        The size of the result.

    Returns
    -------
    ndarray
        float32, (channels, height, width).

    Raises
    ------
    InputError
        As `minidarknet.resize.cover`.

    Notes
    -----
    AlexeyAB's Darknet: classifier.c, predict_classifier (resize_min, then crop_image at half the difference, rounded
    down).
    """
    covering = cover(image, height, width)
    _, covering_height, covering_width = covering.shape
    return crop(covering, (covering_width - width) // 2, (covering_height - height) // 2, height, width)


PREPROCESSES: Mapping[str, Preprocess] = MappingProxyType(
    {
        way.name: way
        for way in (
            Preprocess("fit", "shorter side to the network's size, whole picture kept, network resized to it", cover),
            Preprocess("letterbox", "whole picture inside the network's size, grey bars around it", letterbox),
            Preprocess("center", "largest centred square, then resized (Darknet's `valid`)", center_crop),
            Preprocess("crop", "shorter side to the network's size, then the centre cut out", cut_center),
            Preprocess("stretch", "whole picture stretched to the network's size, proportions lost", resize),
        )
    }
)


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
    if name not in PREPROCESSES:
        raise UsageError(f"unknown way to prepare a picture: {name!r}; expected one of {', '.join(PREPROCESSES)}")
    return PREPROCESSES[name].apply(image, height, width)
