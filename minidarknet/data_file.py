"""Darknet's `.data` file: which lists of pictures belong to a task, and what its classes are called.

classes = 10
train = pictures/train.list      paths, one a line
valid = pictures/valid.list
labels = pictures/labels.txt     what a class is called in the paths, one a line, in the order of the outputs
names = pictures/names.txt       what it is called on the screen, where that is something else
backup = backup/                 where training leaves its weights
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from minidarknet.cfg import MAXIMUM_BYTES, Entry, Section, quoted
from minidarknet.errors import CfgError
from minidarknet.options import option, read_options


@dataclass(frozen=True)
class DataFile:
    """Every key that Darknet's classifier reads; a path is as written, or found beside the file (see `find`)."""

    classes: int = option(0, "how many classes there are; 0 is one for each name", minimum=0)
    train: str = option("", "the list of pictures to learn from")
    valid: str = option("", "the list of pictures to check with")
    test: str = option("", "another list of pictures")
    labels: str = option("", "what the classes are called in paths, one a line; or the word substring (see --labels)")
    names: str = option("", "what the classes are called on the screen, one a line")
    backup: str = option("", "the folder for weights")
    top: int = option(1, "how many of the most probable classes may be right", minimum=1)


def read_data_file(path: str) -> DataFile:
    """Read a `.data` file; its paths are looked for beside it first, then, as Darknet does, from the current folder.

    Raises
    ------
    CfgError
        It cannot be read, a line is not `key=value`, or a value is out of bounds.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(MAXIMUM_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise CfgError(path, None, "no such file; expected a Darknet .data file with lines `key = value`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CfgError(path, None, f"cannot be read as a .data file: {error}") from None
    section = Section("data", path)
    for number, raw in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        line = raw.split(" #")[0].strip()  # unlike in a cfg, blanks and # may be part of a path
        if not line or line[0] in "#;":
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not (key and equals and value):
            raise CfgError(path, number, f"cannot read '{quoted(line)}'; expected 'key = value' or '# comment'")
        if key in section.entries:
            raise CfgError(path, number, f"has {quoted(key)!r} again, after line {section.entries[key].line}")
        section.entries[key] = Entry(value, number)
    if "tree" in section.entries:
        raise section.error(
            "a tree of classes cannot be learned here; expected classes that exclude one another", "tree"
        )
    return read_options(DataFile, section)


def find(path: str, beside: str) -> str:
    """A path of a `.data` file: beside it, where it is there, or else as it stands, from the current folder."""
    near = os.path.join(os.path.dirname(beside), path)
    return near if Path(near).exists() else path
