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
import math
import re
import warnings
from collections.abc import Iterable
from typing import Any, TypeVar, get_type_hints

from minidarknet.cfg import Entry, Section
from minidarknet.errors import CfgWarning

T = TypeVar("T")

#: The default of an option that must be given.
REQUIRED: Any = object()

_WHOLE = re.compile(r"[+-]?\d{1,18}\Z", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)


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
    types = get_type_hints(cls)
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
            raise section.error(f"{key}={entry.value}: expected {error}", key) from None
    for key, field in fields.items():
        if field.name not in values and field.default is dataclasses.MISSING:
            raise section.error(f"needs {key!r} ({field.metadata['doc']})")
    return cls(**values)


def _warn_unknown(section: Section, key: str, entry: Entry, known: Iterable[str]) -> None:
    place = f"{section.path}:{entry.line}: [{section.name}]"
    warnings.warn(f"{place} has no option {key!r}, ignored{nearest(key, known)}", CfgWarning, stacklevel=4)


def _read_value(text: str, kind: Any, limits: Any) -> Any:
    """One value of the given type; a ValueError says what was expected."""
    if kind is str:
        if limits["choices"] is not None and text not in limits["choices"]:
            raise ValueError(f"one of {', '.join(limits['choices'])}{nearest(text, limits['choices'])}")
        return text
    if kind is bool:
        if not _WHOLE.match(text):
            raise ValueError("0 or 1")
        return int(text) != 0  # as C does: any other number than 0 is true
    if kind is int:
        if not _WHOLE.match(text):
            raise ValueError(f"a whole number{_bounds(limits)}")
        return _within(int(text), "a whole number", limits)
    if kind is float:
        if not _DECIMAL.match(text) or not math.isfinite(float(text)):
            raise ValueError(f"a number{_bounds(limits)}")
        return _within(float(text), "a number", limits)
    item = int if kind == tuple[int, ...] else float
    try:
        return tuple(_read_value(part, item, limits) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"a list like 1,2,3, each {error}") from None


def _within(number: float, what: str, limits: Any) -> float:
    low, high = limits["minimum"], limits["maximum"]
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
