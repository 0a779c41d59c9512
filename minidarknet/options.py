"""Options: what a section may say, each with its type, default, bounds and one line of meaning.

A section's options are a frozen dataclass. Its fields are the only place that knows them: the reader below, the error
messages and the documentation all come from there.

    @dataclass(frozen=True)
    class MaxpoolOptions(LayerOptions):
        stride: int = option(1, "cells between two windows", minimum=1)
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
import warnings
from collections.abc import Iterable
from typing import Any, TypeVar, get_type_hints

from minidarknet.cfg import Entry, Section, quoted
from minidarknet.errors import CfgWarning

T = TypeVar("T")

#: The default of an option that must be given.
REQUIRED: Any = object()

_WHOLE = re.compile(r"[+-]?\d+\Z", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)

#: For each type of number: its name, how it is written, and the largest one in Darknet's 32 bits.
_NUMBERS: Any = {int: ("a whole number", _WHOLE, 2**31 - 1), float: ("a number", _DECIMAL, 3.4028234e38)}


def option(
    default: Any,
    doc: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Iterable[str] | None = None,
) -> Any:
    """Declare one option of a section.

    Parameters
    ----------
    default
        Its value where the cfg does not name it; `REQUIRED` where it must.
    doc
        One line that says what it means.
    minimum, maximum
        Bounds of a number (of every number of a list), both inclusive.
    choices
        The words that are allowed.
    """
    metadata = {"doc": doc, "minimum": minimum, "maximum": maximum, "choices": None if choices is None else [*choices]}
    if default is REQUIRED:
        return dataclasses.field(kw_only=True, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def nearest(word: str, words: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the closest of `words`, or nothing where none is close."""
    found = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def read_options(cls: type[T], section: Section, warn: bool = True) -> T:
    """Read a section into its options.

    Parameters
    ----------
    cls
        A frozen dataclass whose fields were made by `option`.
    section
        The section as read from a cfg.
    warn
        Whether a key that `cls` does not know causes a `CfgWarning`. It is ignored either way, as Darknet does.

    Returns
    -------
    T
        The options. The key `from`, a word of Python's own, becomes the field `from_`.

    Raises
    ------
    CfgError
        A required option is missing, or a value has the wrong type or is out of bounds.
    """
    fields = {field.name.rstrip("_"): field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]  # T is a dataclass
    types = _types(cls)  # type: ignore[arg-type]  # a class is Hashable, which mypy does not see
    values: dict[str, Any] = {}
    for key, entry in section.entries.items():
        if key not in fields:
            if warn:
                _warn_unknown(section, key, entry, fields)
            continue
        name = fields[key].name
        try:
            values[name] = _read_value(entry.value, types[name], fields[key].metadata)
        except ValueError as error:
            raise section.error(f"{key}={quoted(entry.value)}: expected {error}", key) from None
    for key, field in fields.items():
        if field.name not in values and field.default is dataclasses.MISSING:
            raise section.error(f"needs {key!r} ({field.metadata['doc']})")
    return cls(**values)


@functools.cache
def _types(cls: type[Any]) -> dict[str, Any]:
    """The type of each field; kept, because working them out takes longer than reading a section."""
    return get_type_hints(cls)


def _warn_unknown(section: Section, key: str, entry: Entry, known: Iterable[str]) -> None:
    place = f"{section.path}:{entry.line}: [{section.name}]"
    text = f"{place} has no option '{quoted(key)}', ignored{nearest(key, known)}"
    warnings.warn(text, CfgWarning, stacklevel=4)


def _read_value(text: str, kind: Any, limits: Any) -> Any:
    """One value of the given type; a ValueError says what was expected."""
    if kind is str:
        if limits["choices"] is not None and text not in limits["choices"]:
            raise ValueError(f"one of {', '.join(limits['choices'])}{nearest(text, limits['choices'])}")
        return text
    if kind is bool:
        if not _WHOLE.match(text):
            raise ValueError("0 or 1")
        return text.strip("+-0") != ""  # as C does: any other number than 0 is true
    if kind in _NUMBERS:
        return _read_number(text, kind, limits)
    item = int if kind == tuple[int, ...] else float
    try:
        return tuple(_read_value(part, item, limits) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"a list like 1,2,3, each {error}") from None


def _read_number(text: str, kind: Any, limits: Any) -> float:
    what, pattern, largest = _NUMBERS[kind]
    if not pattern.match(text):
        raise ValueError(f"{what}{_bounds(limits)}")
    if not abs(float(text)) <= largest:
        raise ValueError(f"{what} that fits into 32 bits{_bounds(limits)}")
    number, low, high = kind(float(text)), limits["minimum"], limits["maximum"]
    if (low is not None and number < low) or (high is not None and number > high):
        raise ValueError(f"{what}{_bounds(limits)}")
    return number


def _bounds(limits: Any) -> str:
    low, high = limits["minimum"], limits["maximum"]
    if low is not None and high is not None:
        return f" from {low:,} to {high:,}"
    if low is not None:
        return f", {low:,} or more"
    return "" if high is None else f", {high:,} or less"
