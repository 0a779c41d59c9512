"""The trace of a run as a file of JSON lines, and what is said of it while it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from minidarknet.metrics import Lines
from minidarknet.symptoms import dead_units, large_update
from minidarknet.trace.training import TrainingTrace
from minidarknet.trace.training_records import StepTrace
from minidarknet.training import Training


@contextmanager
def tracing(training: Training, path: Path, every: int, size: int, warn: Callable[[str, str], None]) -> Iterator[Lines]:
    """Have every so many batches traced while the block works.

    Parameters
    ----------
    training
        What is traced.
    path
        The file.
    every
        Batches with a number that this divides are traced.
    size
        Bytes of the file to go on from; the rest is cut off.
    warn
        Is called with a word for what is wrong, and the warning; says nothing twice.

    Raises
    ------
    OSError
        The file cannot be opened. That a record cannot be written is a warning.
    """
    with Lines([path], [size]) as lines:

        def add(record: StepTrace) -> None:
            try:
                lines.write([record.line()])
            except OSError as error:
                warn("trace", f"{path}: the trace cannot be written: {error.strerror or error}")
            if words := large_update(record):
                warn("update", words)
            if words := dead_units(record):
                warn("units", words)

        TrainingTrace(training, every, add)
        yield lines
