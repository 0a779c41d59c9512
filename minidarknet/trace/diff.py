"""Two traces side by side: how far apart they are, stage by stage, and where they begin to part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidarknet.errors import InputError
from minidarknet.layers.parameter import Array


@dataclass(frozen=True)
class Difference:
    """How far two arrays lie apart: the largest difference, and that as a share of the largest number of the first.

    Infinite where one has numbers that are not finite and the other has not.
    """

    name: str
    absolute: float
    relative: float


def differences(a: Mapping[str, Array], b: Mapping[str, Array]) -> list[Difference]:
    """Compare the arrays that both have, in the order of the first.

    Raises
    ------
    InputError
        They have no array in common, or one has another shape: then the two runs are of different networks or inputs.
    """
    names = [name for name in a if name in b]
    if not names:
        raise InputError("the two traces have no stage in common; expected runs of one network")
    found = []
    for name in names:
        one, other = np.asarray(a[name]), np.asarray(b[name])
        if one.shape != other.shape:
            raise InputError(
                f"{name} has shape {one.shape} in the first trace and {other.shape} in the second; expected pictures "
                "of one size (--preprocess letterbox or center)"
            )
        found.append(difference(name, one, other))
    return found


def difference(name: str, one: NDArray[Any], other: NDArray[Any]) -> Difference:
    """How far `other` lies from `one`."""
    odd, also_odd = ~np.isfinite(one), ~np.isfinite(other)
    if (odd != also_odd).any():
        return Difference(name, float("inf"), float("inf"))
    off = np.abs(one[~odd].astype(np.float64) - other[~odd]).max(initial=0.0)
    largest = np.abs(one[~odd]).max(initial=0.0)
    return Difference(name, float(off), float(off / largest) if largest else float(off))


def first_beyond(found: list[Difference], bound: float) -> Difference | None:
    """The first stage where the two part by more than `bound`, relative."""
    return next((difference for difference in found if difference.relative > bound), None)
