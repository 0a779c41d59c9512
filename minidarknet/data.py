"""Where labelled pictures come from, and whether they fit a network.

    pictures.data      Darknet's file of lists and names (minidarknet/data_file.py)
    photos/            a folder with a folder for each class, or with folders train and valid that are such folders
    photos.csv         a list of pictures (minidarknet/labelled.py)
    mnist.npz          arrays (minidarknet/npz.py)
    digits             a set that this package carries

Where a source has no validation part of its own, every fifth picture or so is held out: always the same ones, so that
`validate` asks about the pictures that `train` did not see.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minidarknet import npz
from minidarknet.data_file import find, read_data_file
from minidarknet.dataset import Dataset, Pictures, Pixels, Subset, split
from minidarknet.errors import InputError, UsageError
from minidarknet.labelled import Labelled, class_numbers, read_labelled, read_lines, refuse, substrings
from minidarknet.network import Network

__all__ = ["Dataset", "Pictures", "Pixels", "Subset", "Tally", "check_dataset", "open_dataset", "split", "tally"]

#: Sets inside this package: `minidarknet/NAME.npz`.
CARRIED = ("digits",)
PARTS = ("train", "valid", "test", "all")
#: The folders that are parts of a set rather than classes.
FOLDERS = {"train": ("train",), "valid": ("valid", "val", "test"), "test": ("test",)}
#: How a picture of a list gets its class.
LABELS = ("folder", "substring")
NO_FOLDER = "it lies in no folder that could name one"
#: The share that is held out of a source without a validation part, and the seed that chooses it.
HELD_OUT, HELD_OUT_SEED = 0.2, 0


def open_dataset(
    source: str,
    part: str = "train",
    channels: int = 3,
    names: Sequence[str] | None = None,
    labels: str = "folder",
) -> Dataset:
    """Open a set of labelled pictures, and check all of it but the pictures themselves.

    Parameters
    ----------
    source
        One of those above.
    part
        `train`, `valid`, `test` or `all`. A source in one piece gives four fifths for `train` and the rest for `valid`.
    channels
        3 for colour, 1 for grey, whatever the pictures are.
    names
        The class names in the order of the network's outputs; None for the source's own. Those of folders and lists
        are sorted, by number where all are numbers.
    labels
        `folder`: a picture of a list has the class that stands behind it, or else is the folder that it lies in.
        `substring`: the class whose name occurs anywhere in its path, as in Darknet; it must be exactly one.

    Raises
    ------
    InputError
        The source cannot be read, has no such part, or some picture is missing, of an unknown class or of none; the
        first 20 of them are named.
    """
    for word, words in ((part, PARTS), (labels, LABELS)):
        if word not in words:
            raise UsageError(f"{word!r}: expected one of {', '.join(words)}")
    if source in CARRIED and not os.path.exists(source):
        source = str(Path(__file__).parent / f"{source}.npz")
    parts = _parts(source, channels, names, labels)
    if part in parts:
        return parts[part]()
    if part not in ("train", "valid") or "all" not in parts:
        raise InputError(f"{source}: has no part {part!r}, only {', '.join(parts)}")
    rest, held = split(parts["all"](), HELD_OUT, HELD_OUT_SEED)
    return rest if part == "train" else held


def _parts(source: str, channels: int, names: Sequence[str] | None, labels: str) -> dict[str, Callable[[], Dataset]]:
    """What opens each part of a source: `all` of one that is not parted into `train` and `valid`."""
    if source.endswith(".npz"):
        return {part: partial(npz.read_npz, source, part, channels, names) for part in npz.parts(source)}
    if source.endswith(".data"):
        return _data_parts(source, channels, names, labels)
    folders = _part_folders(source) if os.path.isdir(source) else {}
    if folders:
        # All parts number the classes alike, also where one of them lacks a class.
        names = names or _sorted_names([word for folder in folders.values() for word in _folders(folder)])

    def opened(path: str) -> Dataset:
        return _pictures(read_labelled(path), names, names, channels, labels)

    return {part: partial(opened, path) for part, path in (folders or {"all": source}).items()}


def _data_parts(
    source: str, channels: int, names: Sequence[str] | None, labels: str
) -> dict[str, Callable[[], Dataset]]:
    data = read_data_file(source)
    if data.labels == "substring":
        data, labels = replace(data, labels=""), "substring"
    labelled, shown = (read_lines(find(path, source)) if path else None for path in (data.labels, data.names))
    words, listed = labelled or shown or names, names or shown or labelled
    if not words or not listed:
        raise InputError(f"{source}: has neither labels nor names; expected a file with one class name a line")
    count, known = data.classes or len(listed), min(len(words), len(listed))
    if known < count:
        raise InputError(f"{source}: has {count:,} classes, but only {known:,} class names were found for them")

    def opened(path: str) -> Dataset:
        return _pictures(read_labelled(find(path, source)), words[:count], listed[:count], channels, labels)

    lists = {"train": data.train, "valid": data.valid, "test": data.test}
    if not data.train and not data.valid:
        raise InputError(f"{source}: has no line 'train = ...' or 'valid = ...'; expected lists of pictures")
    if not data.valid:
        lists = {"all": data.train, "test": data.test}
    return {part: partial(opened, path) for part, path in lists.items() if path}


def _pictures(
    pictures: Sequence[Labelled], words: Sequence[str] | None, names: Sequence[str] | None, channels: int, labels: str
) -> Pictures:
    """The pictures, numbered by the words that stand in paths and lists, once all are there and of one class each."""
    if not words and labels == "substring":
        raise UsageError("labels=substring needs class names to look for; name a file of them")
    if not words:
        refuse("", [f"{picture.listed}: has no class; {NO_FOLDER}" for picture in pictures if not picture.classes[0]])
        words = _sorted_names([picture.classes[0] for picture in pictures])
    numbers = substrings(pictures, words) if labels == "substring" else class_numbers(pictures, words)
    problems = []
    for picture, found in zip(pictures, numbers, strict=True):
        if not os.path.isfile(picture.path):
            problems.append(f"{picture.listed}: there is no file {picture.path}")
        elif len(found) > 1:
            same, ways = (sign.join(f"#{number}" for number in sorted(found)) for sign in (" and ", " or "))
            word = words[min(found)]
            problems.append(f"{picture.listed}: its class {word!r} is that of the outputs {same}; expected {ways}")
    refuse("", problems)
    return Pictures([picture.path for picture in pictures], [min(found) for found in numbers], names or words, channels)


def _sorted_names(words: Sequence[str]) -> list[str]:
    unique = set(words)
    return sorted(unique, key=int) if all(word.isdecimal() for word in unique) else sorted(unique)


def _part_folders(source: str) -> dict[str, str]:
    """The folders of the parts, where a folder has a folder `train` and one for validation."""
    have = set(_folders(source))
    found = {part: next((name for name in names if name in have), None) for part, names in FOLDERS.items()}
    if not (found["train"] and found["valid"]):
        return {}
    return {part: os.path.join(source, name) for part, name in found.items() if name}


def _folders(folder: str) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


@dataclass(frozen=True)
class Tally:
    """How many pictures each class has."""

    names: tuple[str, ...]
    counts: NDArray[np.intp]

    @property
    def empty(self) -> list[str]:
        """The classes without a picture, which cannot be learned or checked."""
        return [name for name, count in zip(self.names, self.counts, strict=True) if count == 0]

    @property
    def majority(self) -> float:
        """The accuracy of always saying the most frequent class: what a network has to beat."""
        return float(self.counts.max(initial=0) / max(self.counts.sum(), 1))


def tally(dataset: Dataset) -> Tally:
    return Tally(dataset.names, np.bincount(dataset.labels, minlength=len(dataset.names)))


def check_dataset(dataset: Dataset, network: Network) -> Tally:
    """Check that a network can learn from these pictures or be validated by them; returns how many each class has.

    Raises
    ------
    InputError
        There is no picture, the network takes no pictures, or puts out another number of classes.
    """
    if not len(dataset):
        raise InputError(f"{network.path}: there is no picture for it")
    if not network.input_shape.is_image or network.input_shape.channels not in (1, 3):
        raise InputError(f"{network.path}: takes {network.input_shape}, not pictures with 1 or 3 channels")
    outputs, classes = network.output_shape.size, len(dataset.names)
    if outputs != classes:
        some = ", ".join(dataset.names[:5]) + (", ..." if classes > 5 else "")
        raise InputError(
            f"{network.path}: has {outputs:,} outputs, but the pictures have {classes:,} classes ({some}); "
            f"expected one output for each class: give the last layer with weights {classes:,} filters or outputs"
        )
    return tally(dataset)
