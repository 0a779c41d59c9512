"""A trace as files: JSON and CSV of its numbers, NPZ of its arrays, and a timeline that Perfetto and Chrome open."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

import numpy as np

from minidarknet.errors import InputError
from minidarknet.files import atomic_write
from minidarknet.layers.parameter import Array
from minidarknet.trace.records import Trace

Path = str | PathLike[str]


def to_json(run: Trace, more: Mapping[str, Any] | None = None) -> str:
    """All but the arrays, and what else is to be said; NaN and infinity, which JSON lacks, cannot occur."""
    return json.dumps({**run.as_dict(), **(more or {})}, indent=1, allow_nan=False)


def to_csv(run: Trace) -> str:
    """A line for each stage; lists and shapes as words parted by blanks."""
    out = io.StringIO()
    rows = [stage.as_dict() for stage in run.stages]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([_cell(value) for value in row.values()])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return " ".join(str(_cell(item)) for item in value)
    return "" if value is None else value


def to_timeline(run: Trace) -> str:
    """Chrome's trace events: a complete event for each layer, and inside of it one for each stage; microseconds."""
    events: list[dict[str, Any]] = []
    now = 0.0
    layers: dict[int, tuple[float, float]] = {}
    for stage in run.stages:
        length = 1e6 * (stage.seconds or 0)
        facts = {"shape": list(stage.shape), "mean": stage.mean, "zeros": stage.zeros}
        events.append({"name": stage.name, "cat": "stage", "ph": "X", "ts": now, "dur": length, "args": facts})
        begin, total = layers.get(stage.layer, (now, 0.0))
        layers[stage.layer] = begin, total + length
        now += length
    kinds = {stage.layer: stage.kind for stage in run.stages}
    whole = [
        {"name": f"{index} {kinds[index]}", "cat": "layer", "ph": "X", "ts": begin, "dur": length}
        for index, (begin, length) in layers.items()
    ]
    both = sorted([*whole, *events], key=lambda event: (event["ts"], -event["dur"]))
    return json.dumps({"traceEvents": [{**event, "pid": 1, "tid": 1} for event in both], "displayTimeUnit": "ms"})


def save_text(path: Path, text: str) -> None:
    """Write a text file, all at once or not at all."""
    try:
        with atomic_write(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise InputError(f"{fspath(path)}: cannot be written: {error.strerror or error}") from None


def save_npz(path: Path, run: Trace) -> None:
    """Write the arrays of a trace that has kept them: `input`, and `NN_name` for each stage."""
    arrays = {"input": run.input, "cfg": np.array(run.cfg)}
    for stage in run.stages:
        if stage.array is not None:
            arrays[key(stage.layer, stage.name)] = stage.array
    try:
        with atomic_write(path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle
    except OSError as error:
        raise InputError(f"{fspath(path)}: cannot be written: {error.strerror or error}") from None


def key(layer: int, name: str) -> str:
    """The name of a stage's array in a file: `04_scale_and_bias`."""
    return f"{layer:02d}_{name.replace(' ', '_')}"


def read_npz(path: Path) -> dict[str, Array]:
    """The arrays of a trace's file, in their order."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files if name != "cfg"}
    except FileNotFoundError:
        raise InputError(f"{fspath(path)}: no such file; expected a trace (minidarknet trace ... --npz FILE)") from None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{fspath(path)}: cannot be read as a trace: {error}") from None
