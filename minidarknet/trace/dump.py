"""What another program has computed, layer by layer, to compare a trace with: a dump of the original Darknet.

    x or input          what went in, (images, channels, height, width); may be missing
    out_04              all outputs of layer 4, image after image; or
    04_idx and 04_val   some of them: their numbers in memory, and their values

Layers may be missing, other names are not looked at.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidarknet.errors import InputError
from minidarknet.layers.parameter import Array
from minidarknet.trace.diff import difference
from minidarknet.trace.records import Trace
from minidarknet.trace.verify import Check

WHOLE, SOME = re.compile(r"out_([0-9]{2,3})"), re.compile(r"([0-9]{2,3})_idx")
EXPECTED = "expected out_00, out_01, ... for the layers (or 00_idx and 00_val), see docs/trace.md"


@dataclass
class Dump:
    """The numbers of another program.

    Attributes
    ----------
    path
        For messages.
    input
        What went in, or None where the file does not say.
    whole
        For each layer all outputs, in the order of memory.
    some
        For each layer places in memory, and the numbers there.
    """

    path: str
    input: Array | None = None
    whole: dict[int, NDArray[Any]] = field(default_factory=dict)
    some: dict[int, tuple[NDArray[Any], NDArray[Any]]] = field(default_factory=dict)


def read_dump(path: str | PathLike[str]) -> Dump:
    """Read a dump.

    Raises
    ------
    InputError
        There is no such file, it is no .npz file, or it has nothing of any layer.
    """
    dump = Dump(fspath(path))
    try:
        with np.load(path, allow_pickle=False) as data:
            given = next((name for name in ("x", "input") if name in data.files), None)
            dump.input = None if given is None else np.ascontiguousarray(data[given], np.float32)
            for name in data.files:
                if found := WHOLE.fullmatch(name):
                    dump.whole[int(found[1])] = data[name]
                elif (found := SOME.fullmatch(name)) and f"{found[1]}_val" in data.files:
                    dump.some[int(found[1])] = data[name].reshape(-1), data[f"{found[1]}_val"].reshape(-1)
    except FileNotFoundError:
        raise InputError(f"{dump.path}: no such file; {EXPECTED}") from None
    except (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{dump.path}: cannot be read as a dump: {error}; {EXPECTED}") from None
    if not dump.whole and not dump.some:
        raise InputError(f"{dump.path}: has no layer's outputs; {EXPECTED}")
    return dump


def compare(dump: Dump, run: Trace) -> list[Check]:
    """Compare the last stage of every layer in the dump; of a trace that has kept its arrays, a check for each stage.

    These errors travel: a layer has read what the layers before it have put out.

    Raises
    ------
    InputError
        The dump is of another network, or of a picture of another size.
    """
    last = {stage.layer: number for number, stage in enumerate(run.stages)}
    missing = sorted((set(dump.whole) | set(dump.some)) - set(last))
    if missing:
        raise InputError(f"{dump.path}: has a layer {missing[0]}, but {run.cfg} has 0 to {max(last)}: another network?")
    return [
        _compare(dump, run, number) if last[stage.layer] == number else Check(stage, None, None)
        for number, stage in enumerate(run.stages)
    ]


def input_difference(dump: Dump, run: Trace) -> float:
    """How far the input that the dump names is from the trace's; infinite where it is of another size."""
    if dump.input is None:
        return 0.0
    if dump.input.size != run.input.size:
        return float("inf")
    return difference("input", dump.input.reshape(-1), run.input.reshape(-1)).absolute


def _compare(dump: Dump, run: Trace, number: int) -> Check:
    stage = run.stages[number]
    assert stage.array is not None
    ours = stage.array.reshape(-1)
    if stage.layer in dump.whole:
        theirs = dump.whole[stage.layer].reshape(-1)
        if theirs.size != ours.size:
            raise _other_size(dump, run, number, f"{theirs.size:,} numbers")
    elif stage.layer in dump.some:
        places, values = dump.some[stage.layer]
        inside = np.issubdtype(places.dtype, np.integer) and places.size == values.size
        if not inside or places.min(initial=0) < 0 or places.max(initial=0) >= ours.size:
            raise _other_size(dump, run, number, "places outside of it")
        theirs = ours.copy()
        theirs[places] = values
    else:
        return Check(stage, None, None)
    found = difference(stage.name, ours, theirs)
    return Check(stage, found.absolute, found.relative)


def _other_size(dump: Dump, run: Trace, number: int, found: str) -> InputError:
    stage = run.stages[number]
    return InputError(
        f"{dump.path}: layer {stage.layer} has {found}, and here it has {'x'.join(map(str, stage.shape))}: expected a "
        "dump of the same network and a picture prepared alike (--preprocess)"
    )
