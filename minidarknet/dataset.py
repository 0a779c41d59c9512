"""A set of pictures, each with one class: what training and validation read.

A `Dataset` knows its class names and every label from the beginning; a picture is decoded when it is asked for, by any
thread. Where the pictures come from is the business of `minidarknet.data`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minidarknet.errors import InputError, UsageError
from minidarknet.images import read_image, to_planes


class Dataset(ABC):
    """Pictures with classes.

    Attributes
    ----------
    names
        The class names; a class's number is its place here.
    labels
        The class number of each picture: intp, (pictures,).
    """

    names: tuple[str, ...]
    labels: NDArray[np.intp]

    def __init__(self, names: Sequence[str], labels: Sequence[int] | NDArray[np.intp]) -> None:
        self.names = tuple(names)
        self.labels = np.asarray(labels, np.intp)

    def __len__(self) -> int:
        return len(self.labels)

    def label(self, i: int) -> int:
        """The class number of picture `i`."""
        return int(self.labels[i])

    @abstractmethod
    def name(self, i: int) -> str:
        """What messages call picture `i`: its path, or `mnist.npz: x_train[17]`."""

    @abstractmethod
    def image(self, i: int) -> NDArray[np.float32]:
        """Picture `i`: float32, C-contiguous, (channels, height, width), 0..1, of the size that it has.

        InputError where it cannot be read; the message names it.
        """


class Pictures(Dataset):
    """Picture files."""

    def __init__(self, paths: Sequence[str], labels: Sequence[int], names: Sequence[str], channels: int = 3) -> None:
        super().__init__(names, labels)
        self.paths = tuple(paths)
        self.channels = channels

    def name(self, i: int) -> str:
        return self.paths[i]

    def image(self, i: int) -> NDArray[np.float32]:
        return read_image(self.paths[i], self.channels)


class Pixels(Dataset):
    """Pictures of one size in an array: uint8, (pictures, height, width, 1 or 3)."""

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.intp],
        names: Sequence[str],
        channels: int = 3,
        title: str = "pixels",
    ) -> None:
        super().__init__(names, labels)
        self.pixels, self.channels, self.title = pixels, channels, title

    def name(self, i: int) -> str:
        return f"{self.title}[{i}]"

    def image(self, i: int) -> NDArray[np.float32]:
        return to_planes(self.pixels[i], self.channels)


class Subset(Dataset):
    """Some pictures of another set, which keep their names and classes."""

    def __init__(self, dataset: Dataset, indices: Sequence[int] | NDArray[np.intp]) -> None:
        self.dataset, self.indices = dataset, np.asarray(indices, np.intp)
        super().__init__(dataset.names, dataset.labels[self.indices])

    def name(self, i: int) -> str:
        return self.dataset.name(int(self.indices[i]))

    def image(self, i: int) -> NDArray[np.float32]:
        return self.dataset.image(int(self.indices[i]))


def split(dataset: Dataset, fraction: float, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Part a set in two: without, and with, `fraction` of the pictures of each class.

    Parameters
    ----------
    dataset
        What to part.
    fraction
        Of each class, the share of the second part, 0..1: rounded, yet at least one picture of a class that has two.
    seed
        The same seed chooses the same pictures.

    Returns
    -------
    two of Dataset
        Both in the order of the whole.
    """
    if not 0 <= fraction <= 1:
        raise InputError(f"cannot hold out {fraction} of the pictures; expected a share from 0 to 1")
    if seed < 0:
        raise UsageError(f"a seed of {seed}: expected a whole number, 0 or more")
    generator = np.random.default_rng([seed, len(dataset)])
    chosen = np.zeros(len(dataset), bool)
    for number in range(len(dataset.names)):
        members = np.flatnonzero(dataset.labels == number)
        count = round(fraction * len(members))
        if 0 < fraction < 1 and len(members) > 1:
            count = min(max(count, 1), len(members) - 1)
        chosen[generator.permutation(members)[:count]] = True
    return Subset(dataset, np.flatnonzero(~chosen)), Subset(dataset, np.flatnonzero(chosen))
