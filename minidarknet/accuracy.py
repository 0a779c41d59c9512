"""How often a network is right about pictures whose class is known.

A set of labelled pictures is either a folder with a folder for each class, or a list with a line for each picture:

    photos/malamute/1.jpg        file,class                 a list's columns are parted by tabs or commas; a first
    photos/malamute/2.jpg        1.jpg,malamute             line that begins with file, path or image is its heading;
    photos/dogsled/3.jpg         3.jpg,dogsled              files are looked for beside the list

A class is a line of the network's file of class names; `_` may stand for a blank. Networks may put the same classes in
another order and call them by other names: a list can then have several columns (say, name and synset), and of these
the first counts whose every class is among the network's.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minidarknet.errors import InputError
from minidarknet.images import find_images, read_image
from minidarknet.options import nearest
from minidarknet.prediction import Classifier

HEADINGS = ("file", "path", "image")
EXPECTED = "expected a folder with a folder for each class, or a list with lines `picture,class`"


@dataclass(frozen=True)
class Labelled:
    """A picture, and its class in the words of each column."""

    path: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Accuracy:
    """Of how many pictures the right class came first, and of how many it was among the first five."""

    pictures: int
    top1: int
    top5: int


def read_labelled(data: str) -> list[Labelled]:
    """All pictures of a folder or a list, with their classes; the pictures themselves are not looked at.

    Raises
    ------
    InputError
        It is neither, or has no picture; the message says what was expected.
    """
    if os.path.isdir(data):
        folders = sorted(entry.name for entry in os.scandir(data) if entry.is_dir() and not entry.name.startswith("."))
        if not folders:
            raise InputError(f"{data}: has no folders of classes; {EXPECTED}")
        return [Labelled(path, (name,)) for name in folders for path in find_images([os.path.join(data, name)])]
    try:
        text = Path(data).read_text("utf-8-sig")
        rows = list(csv.reader(text.splitlines(), delimiter="\t" if "\t" in text.split("\n", 1)[0] else ","))
    except FileNotFoundError:
        raise InputError(f"{data}: no such file or folder; {EXPECTED}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{data}: cannot be read as a list of pictures: {error}; {EXPECTED}") from None
    pictures = []
    for line, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (line == 1 and cells[0].lower() in HEADINGS):
            continue
        if len(cells) < 2 or not all(cells[:2]):
            raise InputError(f"{data}:{line}: found {','.join(row)!r}; {EXPECTED}")
        pictures.append(Labelled(os.path.join(os.path.dirname(data), cells[0]), tuple(cells[1:])))
    if not pictures:
        raise InputError(f"{data}: lists no picture; {EXPECTED}")
    return pictures


def class_numbers(pictures: Sequence[Labelled], names: Sequence[str]) -> list[set[int]]:
    """For each picture the numbers of its class: several where classes share a name, as two of ImageNet's `crane`.

    Raises
    ------
    InputError
        There is no column whose every class is among the names.
    """
    numbers: dict[str, set[int]] = {}
    for number, name in enumerate(names):
        numbers.setdefault(_plain(name), set()).add(number)
    for column in range(min(len(picture.classes) for picture in pictures)):
        found = [numbers.get(_plain(picture.classes[column]), set()) for picture in pictures]
        if all(found):
            return found
    stranger = next(picture for picture in pictures if _plain(picture.classes[0]) not in numbers)
    word = stranger.classes[0]
    raise InputError(
        f"{stranger.path}: its class {word!r} is none of the network's {len(names):,} class names{nearest(word, names)}"
    )


def measure_accuracy(
    net: Classifier,
    pictures: Sequence[Labelled],
    counted: Callable[[], None] = lambda: None,
    unreadable: Callable[[str, InputError], None] | None = None,
) -> Accuracy:
    """Let a network with names predict all pictures, each prepared as `net.preprocess` says.

    `counted` is called after each picture, `unreadable` with the path and the error of one that cannot be read, which
    then does not count; without `unreadable`, the error is raised.
    """
    net.check_preprocess()
    read = first = five = 0
    for picture, numbers in zip(pictures, class_numbers(pictures, net.names), strict=True):
        try:
            top = [prediction.index for prediction in net.predict(read_image(picture.path, net.home.channels))]
        except InputError as error:
            if unreadable is None:
                raise
            unreadable(picture.path, error)
        else:
            read += 1
            first += top[0] in numbers
            five += not numbers.isdisjoint(top)
        counted()
    return Accuracy(read, first, five)


def _plain(name: str) -> str:
    return name.strip().replace("_", " ")
