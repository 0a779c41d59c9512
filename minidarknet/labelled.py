"""Pictures whose class is known: read from a folder or from a list, and strict about what a class is.

    photos/malamute/1.jpg      a folder with a folder for each class
    photos/malamute/2.jpg
    photos/dogsled/3.jpg

    photos/malamute/1.jpg      a list of paths, as Darknet's: the class is the folder that the picture lies in
    a/1.jpg<TAB>malamute       a list of paths with classes, parted by tabs or commas; a first line that begins
                               with file, path or image is its heading

Files of a list are looked for beside the list, or else, as Darknet does, from the current folder. A class is a line of
the class names; `_` may stand for a blank. Networks may put the same classes in another order and call them by other
names: a list can then have several columns (say, name and synset), and of these the first counts whose every class is
among the names. Where two classes share a name, as two of ImageNet's are called crane, `#134` means the one of output
134, counted from 0.

Darknet itself takes any class whose name occurs *anywhere* in the path, so that `cat` is found in `classification/`,
and a picture may end up with two classes or none. That way is here too (`substrings`), but every path must contain
exactly one of the words.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

from minidarknet.errors import InputError
from minidarknet.images import SUFFIXES, find_images
from minidarknet.options import nearest

HEADINGS = ("file", "path", "image")
EXPECTED = (
    "expected a folder with a folder for each class, a list with lines `picture,class`, or one of paths alone, whose "
    "class is the folder that they lie in"
)
#: So many of the pictures or lines with one mistake are named, and the rest counted.
NAMED = 20


@dataclass(frozen=True)
class Labelled:
    """A picture, and its class in the words of each column.

    `listed` is what messages call it, and for a list what stands there: `photos.csv:3: a/1.jpg`.
    """

    path: str
    classes: tuple[str, ...]
    listed: str


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
        return [Labelled(path, (name,), path) for name in folders for path in find_images([os.path.join(data, name)])]
    lines = list(_lines(data))
    if not lines:
        raise InputError(f"{data}: lists no picture; {EXPECTED}")
    folder = _base(data, [cells[0] for _, cells in lines])
    bare = len(lines[0][1]) == 1
    mixed = [
        f"{data}:{number}: found {','.join(cells)!r}; {EXPECTED}"
        for number, cells in lines
        if not all(cells[:2]) or (len(cells) == 1) != bare
    ]
    refuse(data, mixed)
    return [
        Labelled(
            os.path.join(folder, cells[0]),
            (os.path.basename(os.path.dirname(cells[0])),) if bare else tuple(cells[1:]),
            f"{data}:{number}: {cells[0]}",
        )
        for number, cells in lines
    ]


def _lines(data: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of a list, with their numbers, cut into cells; neither empty ones nor the heading."""
    try:
        text = Path(data).read_text("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{data}: no such file or folder; {EXPECTED}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{data}: cannot be read as a list of pictures: {error}; {EXPECTED}") from None
    first = True
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines(), which also splits at rare letters
        if not line.strip():
            continue
        try:
            cells = [cell.strip() for cell in _cells(line.strip())]
        except csv.Error as error:
            raise InputError(f"{data}:{number}: cannot be read: {error}; {EXPECTED}") from None
        if not (first and cells[0].lower() in HEADINGS):
            yield number, cells
        first = False


def _cells(line: str) -> list[str]:
    if "\t" in line:
        return line.split("\t")
    if line.lower().endswith(SUFFIXES):  # a path alone, and then its commas are its own
        return [line]
    return next(csv.reader([line], strict=True))


def _base(data: str, paths: Sequence[str]) -> str:
    """The folder from which a list's paths count: where more of them are found, and in doubt beside the list."""
    beside = os.path.dirname(data)
    if not beside or all(os.path.isabs(path) for path in paths):
        return beside
    here, there = (sum(os.path.isfile(os.path.join(base, path)) for path in paths) for base in ("", beside))
    return "" if here > there else beside


def class_numbers(pictures: Sequence[Labelled], names: Sequence[str]) -> list[set[int]]:
    """For each picture the numbers of its class: several where classes share a name, as two of ImageNet's `crane`.

    Raises
    ------
    InputError
        There is no column whose every class is among the names; the message tells of the strangers of the column
        that has the fewest.
    """
    numbers: dict[str, set[int]] = {}
    for number, name in enumerate(names):
        numbers.setdefault(_plain(name), set()).add(number)
    numbers.update({f"#{number}": {number} for number in range(len(names)) if f"#{number}" not in numbers})
    columns = [
        [numbers.get(_plain(picture.classes[column]), set()) for picture in pictures]
        for column in range(min((len(picture.classes) for picture in pictures), default=0))
    ]
    best = max(columns, key=lambda found: sum(map(bool, found)), default=[])
    column = columns.index(best) if columns else 0
    strangers = [picture for picture, found in zip(pictures, best, strict=bool(columns)) if not found]
    hints = {word: nearest(word, names) for word in {picture.classes[column] for picture in strangers[:NAMED]}}
    what = f"none of the {len(names):,} class names"
    problems = [
        f"{picture.listed}: its class {picture.classes[column]!r} is {what}{hints.get(picture.classes[column], '')}"
        for picture in strangers
    ]
    refuse("", problems)
    return best


def substrings(pictures: Sequence[Labelled], words: Sequence[str]) -> list[set[int]]:
    """For each picture the numbers of the one word that occurs in its path, as Darknet looks for it.

    Raises
    ------
    InputError
        Some path contains none of the words, or several. Darknet: data.c, fill_truth.
    """
    numbers, problems = [], []
    for picture in pictures:
        found = {number for number, word in enumerate(words) if word in picture.path}
        if len(found) != 1:
            inside = ", ".join(repr(words[number]) for number in sorted(found)) or "none"
            problems.append(f"{picture.listed}: expected exactly one class name in this path, found {inside}")
        numbers.append(found)
    refuse("", problems)
    return numbers


def refuse(source: str, problems: Sequence[str]) -> None:
    """Raise an InputError that names the problems, one a line, and beyond `NAMED` says how many more there are."""
    if not problems:
        return
    if len(problems) == 1:
        raise InputError(problems[0])
    lines = [f"{source}: " if source else "", f"{len(problems):,} pictures cannot be used"]
    more = [f"... and {len(problems) - NAMED:,} more"] if len(problems) > NAMED else []
    raise InputError("\n  ".join(["".join(lines), *problems[:NAMED], *more]))


def read_lines(path: str | PathLike[str]) -> list[str]:
    """The class names in a text file, one a line, without the empty lines at its end."""
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"{fspath(path)}: no such file; expected class names, one a line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{fspath(path)}: cannot be read as class names, one a line: {error}") from None
    while lines and not lines[-1].strip():
        lines.pop()
    return [line.strip() for line in lines]


def _plain(name: str) -> str:
    return name.strip().replace("_", " ")
