"""Pictures in an `.npz` file: a zip of arrays, as NumPy writes it.

    x (pictures, height, width[, 3])  y (pictures,)                 one set
    x_train y_train x_test y_test                                   two sets; _valid or _val for the second will do too

Pictures are bytes; grey or colour, the colours last or first, or square grey pictures as rows of pixels. Classes are
numbers (from 0) or names; `names` or `classes`, where it is there, names the numbers.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minidarknet.dataset import Pixels
from minidarknet.errors import InputError
from minidarknet.memory import mebibytes, memory_limit

#: The keys under which pictures and classes are found, and the endings of each part.
PICTURES, CLASSES, NAMES = ("x", "images", "data"), ("y", "labels", "target"), ("names", "classes", "target_names")
ENDINGS = {"train": ("_train", ""), "valid": ("_valid", "_val", "_test"), "test": ("_test",), "all": ("", "_train")}
EXPECTED = "expected arrays x and y, or x_train, y_train, x_test and y_test"


def parts(path: str) -> set[str]:
    """Which parts a file has: `all`, where nothing but it or x_train is there; else those of train, valid, test."""
    keys = _headers(path)
    found = {part for part in ENDINGS if _pair(keys, part)}
    if not found:
        raise InputError(f"{path}: found {', '.join(keys) or 'nothing'}; {EXPECTED}")
    return found - {"all"} if "valid" in found else (found - {"train"}) | {"all"}


def read_npz(path: str, part: str, channels: int = 3, names: Sequence[str] | None = None) -> Pixels:
    """Read one part of a file.

    Parameters
    ----------
    path
        The file.
    part
        One of `parts(path)`.
    channels
        3 for colour, 1 for grey, whatever the file has.
    names
        The class names to number the classes by; None for the file's own, or `0`, `1`, ...

    Raises
    ------
    InputError
        It is no such file, has no such part, is larger than this machine's memory, or it cannot be told how its
        pictures lie.
    """
    headers = _headers(path)
    pair = _pair(headers, part)
    if pair is None:
        raise InputError(f"{path}: has no part {part!r}; found {', '.join(headers) or 'nothing'}; {EXPECTED}")
    own = next((key for key in NAMES if key in headers and key not in pair), None)
    size = sum(math.prod(headers[key][0]) * headers[key][1].itemsize for key in (*pair, *([own] if own else [])))
    if size > memory_limit():
        raise InputError(f"{path}: its arrays take {mebibytes(size)}, more than this machine's memory")
    try:
        with np.load(path, allow_pickle=False) as file:
            x, y = file[pair[0]], file[pair[1]]
            words = None if own is None else [str(word) for word in file[own].ravel()]
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    title = f"{path}: {pair[0]}"
    pixels = _arrange(title, x)
    labels, names = _number(f"{path}: {pair[1]}", y, words, names)
    if len(pixels) != len(labels):
        raise InputError(f"{path}: has {len(pixels):,} pictures in {pair[0]}, but {len(labels):,} classes in {pair[1]}")
    return Pixels(pixels, labels, names, channels, title)


def _headers(path: str) -> dict[str, tuple[tuple[int, ...], np.dtype[np.generic]]]:
    """Shape and type of each array, without reading the arrays: a small file can claim to hold huge ones."""
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                with archive.open(entry) as file:
                    version = np.lib.format.read_magic(file)
                    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
                    shape, _, kind = (read or np.lib.format.read_array_header_2_0)(file)
                found[entry.removesuffix(".npy")] = (shape, kind)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected an .npz file of pictures and classes") from None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{os.fspath(path)}: cannot be read as an .npz file: {error}; {EXPECTED}") from None
    return found


def _pair(
    keys: Sequence[str] | dict[str, tuple[tuple[int, ...], np.dtype[np.generic]]], part: str
) -> tuple[str, str] | None:
    """The keys of the pictures and classes of a part."""
    for ending in ENDINGS[part]:
        x = next((key + ending for key in PICTURES if key + ending in keys), None)
        y = next((key + ending for key in CLASSES if key + ending in keys), None)
        if x and y:
            return x, y
    return None


def _arrange(title: str, x: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Bring pictures to (pictures, height, width, 1 or 3), without copying them."""
    if x.dtype != np.uint8:
        some = f" from {x.min():g} to {x.max():g}" if x.size and np.issubdtype(x.dtype, np.number) else ""
        raise InputError(f"{title} has numbers of type {x.dtype}{some}; expected uint8, from 0 for black to 255")
    pixels = x.view(np.uint8)
    if x.size == 0:
        raise InputError(f"{title} has shape {x.shape}: no picture")
    if x.ndim == 2 and (side := math.isqrt(x.shape[1])) ** 2 == x.shape[1]:
        return pixels.reshape(len(x), side, side, 1)
    if x.ndim == 3:
        return pixels[..., None]
    last, first = (x.ndim == 4 and x.shape[axis] in (1, 3) for axis in (3, 1))
    if last != first:
        return pixels if last else pixels.transpose(0, 2, 3, 1)
    why = "which of the sides has the colours" if last else "how its pictures lie"
    raise InputError(
        f"{title} has shape {x.shape}, of which cannot be told {why}; expected (pictures, height, width), "
        "(pictures, height, width, 1 or 3), (pictures, 1 or 3, height, width), or (pictures, pixels of a grey square)"
    )


def _number(
    title: str, y: NDArray[np.generic], words: Sequence[str] | None, names: Sequence[str] | None
) -> tuple[NDArray[np.intp], Sequence[str]]:
    """The class number of each picture, and the names of all classes."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "uiU":
        raise InputError(f"{title} has shape {y.shape} and type {y.dtype}; expected a class number for each picture")
    if y.dtype.kind == "U":
        words, y = np.unique(y, return_inverse=True)
        words = [str(word) for word in words]
    low, high = int(y.min(initial=0)), int(y.max(initial=0))
    known = words or names or [str(number) for number in range(high + 1)]
    if low < 0 or high >= len(known):
        raise InputError(
            f"{title} has class numbers from {low} to {high}; expected 0 to {len(known) - 1}, as there are "
            f"{len(known):,} class names"
        )
    if words and names and list(words) != list(names):
        strangers = sorted(set(words) - set(names))
        if strangers:
            raise InputError(f"{title}: the classes {', '.join(strangers)} are none of the {len(names):,} class names")
        y = np.array([list(names).index(word) for word in words])[y]
    return y.astype(np.intp), names or known
