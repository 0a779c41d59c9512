"""Where an answer differs from what was expected, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np


def difference(found: Any, expected: Any, tolerance: float) -> str:
    """What is different, or nothing. See `minidarknet.course.checking.expect` for what counts as the same."""
    if isinstance(expected, np.ndarray):
        return _array_difference(found, expected, tolerance)
    if isinstance(expected, (str, bytes)) or expected is None:
        return "" if type(found) is type(expected) and found == expected else _differs(found, expected)
    if isinstance(expected, Mapping):
        return _mapping_difference(found, expected, tolerance)
    if isinstance(expected, Sequence):
        return _sequence_difference(found, expected, tolerance)
    if isinstance(expected, (bool, np.bool_, Real)):
        return _number_difference(found, expected, tolerance)
    return "" if found == expected else _differs(found, expected)


def _number_difference(found: Any, expected: Any, tolerance: float) -> str:
    if isinstance(found, np.ndarray) and found.ndim == 0:
        found = found[()]
    if isinstance(expected, (bool, np.bool_)):
        right = isinstance(found, (bool, np.bool_)) and bool(found) == bool(expected)
        return "" if right else _differs(found, bool(expected))
    if isinstance(found, (bool, np.bool_)) or not isinstance(found, Real):
        return _differs(found, expected)
    if isinstance(expected, Integral) and not isinstance(found, Integral):
        return f"expected the whole number {expected}, found {float(found)!r}, a {type(found).__name__}"
    same = bool(_same(np.asarray(found), np.asarray(expected), tolerance))
    return "" if same else _values(found, expected)


def _array_difference(found: Any, expected: np.ndarray, tolerance: float) -> str:
    wish = f"expected an array of shape {_place(expected.shape)}"
    if not isinstance(found, np.ndarray):
        return f"{wish}, found {_described(found)}"
    if found.shape != expected.shape:
        return f"{wish}, found shape {_place(found.shape)}"
    if found.dtype.kind not in "biuf":
        return f"{wish} of numbers, found one of {found.dtype}"
    different = ~_same(found, expected, tolerance)
    if not different.any():
        return ""
    place = tuple(int(index) for index in np.argwhere(different)[0])
    count = f" ({int(different.sum())} of {different.size} differ)" if different.size > 1 else ""
    return f"first differing value at {_place(place)}: {_values(found[place], expected[place])}{count}"


def _sequence_difference(found: Any, expected: Sequence[Any], tolerance: float) -> str:
    what = f"expected {len(expected)} values, as a {type(expected).__name__}"
    if isinstance(found, (str, bytes)) or not isinstance(found, Sequence):
        return f"{what}; found {_described(found)}"
    if len(found) != len(expected):
        return f"{what}; found {len(found)}"
    for index, (one, other) in enumerate(zip(found, expected, strict=True)):
        if problem := difference(one, other, tolerance):
            return f"value {index}: {problem}"
    return ""


def _mapping_difference(found: Any, expected: Mapping[Any, Any], tolerance: float) -> str:
    if not isinstance(found, Mapping):
        return f"expected a dict, found {_described(found)}"
    if odd := [key for key in found if key not in expected]:
        return f"nothing was expected for {odd[0]!r}, found {_described(found[odd[0]])}"
    for key, value in expected.items():
        if key not in found:
            return f"nothing found for {key!r}, expected {_written(value)}"
        if problem := difference(found[key], value, tolerance):
            return f"for {key!r}: {problem}"
    return ""


def _same(found: np.ndarray, expected: np.ndarray, tolerance: float) -> np.ndarray:
    """Number for number: equal, both NaN, or at most the tolerance apart."""
    if tolerance == 0 and found.dtype.kind in "biu" and expected.dtype.kind in "biu":
        return np.asarray(found == expected)  # whole numbers beyond 2^53 too
    one, other = found.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        close = np.abs(one - other) <= tolerance
    return np.asarray((one == other) | close | (np.isnan(one) & np.isnan(other)))


def _values(found: Any, expected: Any) -> str:
    """Two numbers that differ, with as many digits as it takes to see it."""
    short = [_written(value) for value in (expected, found)]
    if short[0] == short[1]:
        short = [repr(getattr(value, "item", lambda value=value: value)()) for value in (expected, found)]
    return f"expected {short[0]}, found {short[1]}"


def _differs(found: Any, expected: Any) -> str:
    return f"expected {_written(expected)}, found {_described(found)}"


def _described(value: Any) -> str:
    """A value of a wrong type."""
    if value is None:
        return "None: is there a `return`?"
    if isinstance(value, np.ndarray):
        return f"an array of shape {_place(value.shape)}"
    return f"{_written(value)} ({type(value).__name__})"


def _written(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    if isinstance(value, (np.integer, np.bool_)):
        return str(value)
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _place(numbers: Sequence[int]) -> str:
    return f"({', '.join(map(str, numbers))})"
