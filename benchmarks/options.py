"""What the scripts understand on their command lines."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Container
from pathlib import Path

from benchmarks import machine
from benchmarks.processes import REPOSITORY


def names(known: Container[str]) -> Callable[[str], list[str]]:
    """A reader of words separated by commas, each of them known."""

    def read(text: str) -> list[str]:
        words = text.split(",")
        for word in words:
            if word not in known:
                raise argparse.ArgumentTypeError(f"{word!r} is none of those that are known")
        return words

    return read


def numbers(text: str) -> list[int]:
    """Whole numbers of 1 or more, separated by commas."""
    try:
        values = [int(word) for word in text.split(",")]
    except ValueError:
        values = [0]
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected whole numbers of 1 or more, separated by commas")
    return values


def add_common(parser: argparse.ArgumentParser, quick: str) -> None:
    """The options that all scripts have."""
    cores = machine.cores()
    parser.add_argument("--threads", type=int, default=cores, choices=range(1, cores + 1), help="all cores")
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "benchmarks/results", help="folder for the results")
