"""What a run measured, for other programs: the same records as JSON lines and as CSV.

    {"batch": 45, "epoch": 1.002, "seen": 1440, "loss": 0.31, "average_loss": 0.52, "rate": 0.05}
    {"batch": 45, "epoch": 1.002, "seen": 1440, "valid_loss": 0.28, "top1": 0.93}

A record is written at once, so that one can look on while training runs. A run that goes on from a checkpoint first
cuts off what was written after it: no record is there twice, and none is missing.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

L = TypeVar("L", bound="Lines")

#: What a record may hold, in the order of the CSV file's columns.
FIELDS = ("batch", "epoch", "seen", "loss", "average_loss", "rate", "images_per_second", "valid_loss", "top1")
ENDINGS = (".jsonl", ".csv")


class Lines:
    """Files of lines, open for more: a record goes into all of them, or into none.

    Parameters
    ----------
    paths
        Where they are.
    sizes
        Their sizes in bytes to go on from, as `sizes` has given them; None to begin anew.
    """

    def __init__(self, paths: Sequence[Path], sizes: Sequence[int] | None = None) -> None:
        self._files = [_open(path) for path in paths]
        for file, size in zip(self._files, sizes or [0] * len(paths), strict=True):
            _cut(file, size)

    def write(self, lines: Sequence[bytes]) -> None:
        """Write a line into each file; `OSError` where that fails, and then none of them is there."""
        before = self.sizes()
        try:
            for file, line in zip(self._files, lines, strict=True):
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BaseException:
            for file, size in zip(self._files, before, strict=True):
                _cut(file, size)
            raise

    def sizes(self) -> list[int]:
        """How many bytes there are in each file."""
        return [file.tell() for file in self._files]

    def sync(self) -> None:
        """Wait until everything is on the disk: done before a checkpoint says how much there is."""
        for file in self._files:
            os.fsync(file.fileno())

    def __enter__(self: L) -> L:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()


class Metrics(Lines):
    """The two files of a run; `stem` is their path without the ending."""

    def __init__(self, stem: Path, sizes: list[int] | None = None) -> None:
        super().__init__([stem.with_name(stem.name + ending) for ending in ENDINGS], sizes)
        if not self._files[1].tell():
            self.write([b"", _csv_line(FIELDS)])

    def add(self, record: dict[str, Any]) -> None:
        """Write a record; `OSError` where that fails, and then none of it is there."""
        self.write([json_line(record).encode(), _csv_line([record.get(field, "") for field in FIELDS])])


def json_line(record: dict[str, Any]) -> str:
    """A record as a line of JSON; numbers that are not finite, which JSON lacks, become null."""
    finite = {key: None if value is None or not math.isfinite(value) else value for key, value in record.items()}
    return json.dumps(finite, allow_nan=False) + "\n"


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a `.jsonl` file; a last line that is not complete is left out."""
    with open(path, "rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def _open(path: Path) -> io.FileIO:
    """A file for reading and writing without a buffer, made where it is not there."""
    return io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+")


def _cut(file: io.FileIO, size: int) -> None:
    """Leave `size` bytes, or, where a power failure has left fewer, the complete lines of these."""
    if file.seek(0, os.SEEK_END) < size:
        file.seek(0)
        size = file.readall().rfind(b"\n") + 1
    file.truncate(size)
    file.seek(size)


def _csv_line(values: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()
