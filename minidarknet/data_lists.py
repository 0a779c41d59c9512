"""Darknet's way to say which pictures there are, written for a folder or a list of them.

    my.data          classes, and where the others are
    my.train.list    paths, one a line
    my.valid.list    those that `train` holds out

Darknet looks for class names anywhere in a path. Where each picture lies in a folder that is called like its class, the
lists have paths alone; else a class stands behind each path, which this program reads and Darknet does not.
"""

from __future__ import annotations

import os
from pathlib import Path

from minidarknet.data import open_dataset
from minidarknet.dataset import Dataset, Pictures, Subset
from minidarknet.errors import InputError

PARTS = ("train", "valid")


def data_files(source: str, cfg: Path, channels: int) -> dict[Path, str]:
    """What to write beside a cfg: paths and texts; empty for arrays, and for a `.data` file, which is one already.

    Parameters
    ----------
    source
        The pictures, as `open_dataset` takes them.
    cfg
        The files are called after it.
    channels
        Those of the network.

    Raises
    ------
    InputError
        The pictures cannot be listed.
    """
    if source.endswith(".data"):
        return {}
    files: dict[Path, str] = {}
    names: tuple[str, ...] = ()
    for part in PARTS:
        dataset = open_dataset(source, part, channels)
        if (paths := _paths(dataset)) is None:
            return {}
        files[cfg.with_suffix(f".{part}.list")], names = _list(dataset, paths), dataset.names
    named = cfg.with_suffix(".names").name
    lists = {part: path.name for part, path in zip(PARTS, files, strict=True)}
    facts = {"classes": len(names), **lists, "labels": named, "names": named, "backup": "backup"}
    return {cfg.with_suffix(".data"): "".join(f"{key} = {value}\n" for key, value in facts.items()), **files}


def _paths(dataset: Dataset) -> list[str] | None:
    """The files of a set, from the root on; None where its pictures are no files."""
    whole = dataset.dataset if isinstance(dataset, Subset) else dataset
    if not isinstance(whole, Pictures):
        return None
    return [os.path.abspath(dataset.name(i)) for i in range(len(dataset))]


def _list(dataset: Dataset, paths: list[str]) -> str:
    words = [dataset.names[label] for label in dataset.labels]
    for path in paths:
        if "\t" in path or "\n" in path:
            raise InputError(f"{path!r}: a path with a tab or a line break cannot stand in a list; rename it")
    if all(os.path.basename(os.path.dirname(path)) == word for path, word in zip(paths, words, strict=True)):
        return "".join(f"{path}\n" for path in paths)
    return "".join(f"{path}\t{word}\n" for path, word in zip(paths, words, strict=True))
