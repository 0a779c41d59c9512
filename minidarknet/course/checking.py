"""Checking an exercise: what a check is, what it says, and when it gives a hint.

A check is a function that gets the learner's function, tries it, and raises `Wrong` at the first thing that does not
hold. `check` runs the one of a number and prints one line or two; it never raises, so that a notebook goes on.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from minidarknet.course.comparing import difference
from minidarknet.files import atomic_write

#: Names the file that results are written to, for `minidarknet lesson check`.
RESULTS_FILE = "MINIDARKNET_LESSON_RESULTS"
#: The failed try from which on the hint is given.
HINT_FROM = 2
UNWRITTEN = "not written yet"
#: Lines that are shown of the message of an exception.
LINES = 12
#: What Numba's messages are painted with.
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
PACKAGE = Path(__file__).resolve().parent.parent


class Wrong(Exception):
    """An answer is not right; the message says where, what was expected, and what was found."""


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    `check` is called with the learner's function. `stub_says` is a part of what it must say about the copy that a
    learner begins with.
    """

    number: str
    title: str
    check: Callable[[Callable[..., Any]], None]
    hint: str = ""
    stub_says: str = UNWRITTEN


@dataclass(frozen=True)
class Result:
    """What became of one call of `check`; `message` is empty where it passed."""

    number: str
    title: str
    passed: bool
    message: str
    hint: str = ""

    @property
    def failed(self) -> bool:
        """Whether this was a try that went wrong; an exercise that nobody has begun is none."""
        return not self.passed and self.message != UNWRITTEN

    def told(self, failures: int) -> str:
        """The line to print, and the hint where the exercise has failed `failures` times with this one."""
        if self.passed:
            return f"{self.number} passed: {self.title}"
        if not self.failed:
            return f"{self.number} {UNWRITTEN}: {self.title}"
        text = f"{self.number} not right yet: {self.message}"
        return f"{text}\n    Hint: {self.hint}" if self.hint and failures >= HINT_FROM else text


#: Every result of this process, in order.
results: list[Result] = []
_failures: Counter[str] = Counter()


def check(number: str, answer: Callable[..., Any]) -> None:
    """Try an answer and print what is found: it passed, is not written yet, or what is wrong; a hint the second time.

    Parameters
    ----------
    number
        The exercise, as "3.1".
    answer
        The function that was written for it.
    """
    exercise = find(number)
    if exercise is None:
        print(f"{number}: there is no such exercise, so nothing was checked")
        return
    result = examine(exercise, answer)
    results.append(result)
    _failures[number] += result.failed
    print(result.told(_failures[number]))
    if path := os.environ.get(RESULTS_FILE):
        with atomic_write(path) as file:
            file.write(json.dumps([asdict(found) for found in results]).encode())


def exercises(lesson: int) -> tuple[Exercise, ...]:
    """The exercises of a lesson; none where it has no module of checks."""
    name = f"minidarknet.course.lesson{lesson:02}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return ()
    return tuple(module.EXERCISES)


def find(number: str) -> Exercise | None:
    """The exercise of a number such as "3.1"; None where there is none."""
    lesson = number.partition(".")[0]
    known = exercises(int(lesson)) if lesson.isdecimal() and len(lesson) < 3 else ()
    return next((exercise for exercise in known if exercise.number == number), None)


def examine(exercise: Exercise, answer: Callable[..., Any]) -> Result:
    """Run an exercise's check; whatever the answer raises becomes a message."""
    message = ""
    try:
        exercise.check(answer)
    except Wrong as wrong:
        message = str(wrong)
    except NotImplementedError:
        message = UNWRITTEN
    except (Exception, SystemExit) as error:
        message = _raised(error)
    return Result(exercise.number, exercise.title, not message, message, exercise.hint)


def expect(what: str, found: Any, expected: Any, tolerance: float = 0.0) -> None:
    """Hold that an answer is what was expected.

    Parameters
    ----------
    what
        What was computed, as the learner would write it: "output_side(5, 3, 1, 0)".
    found
        What the learner's function returned.
    expected
        A number, text, None, an array, or a tuple, list or dict of such. A whole number must be met by a whole number,
        an array by an array of the same shape; whether a sequence is a tuple or a list does not matter.
    tolerance
        How far each number may be off.

    Raises
    ------
    Wrong
        Something differs: the type, the shape, or the first value that does, with its place.
    """
    if problem := difference(found, expected, tolerance):
        raise Wrong(f"{what}: {problem}")


def fail(message: str) -> NoReturn:
    """Say that an answer is wrong, where there is more to say than `expect` can.

    Raises
    ------
    Wrong
        Always.
    """
    raise Wrong(message)


def _raised(error: BaseException) -> str:
    """An exception of the learner's code: its type, its message, and the last line of theirs that led to it."""
    lines = [line for line in COLOURS.sub("", str(error)).splitlines() if line.strip()][:LINES]
    text = ": ".join(filter(None, [type(error).__name__, "\n    ".join(lines)]))
    theirs = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_the_learners(frame.filename)]
    if not theirs:
        return text
    return f"{text} (line {theirs[-1].lineno}: {theirs[-1].line})"


def _is_the_learners(filename: str) -> bool:
    """Whether a file is neither this package's nor Python's own nor an installed library's."""
    place = Path(filename).resolve()
    libraries = {Path(folder).resolve() for folder in sys.path if folder.endswith(("site-packages", "dist-packages"))}
    ours = {PACKAGE, Path(os.__file__).resolve().parent, *libraries}
    return not any(folder in place.parents for folder in ours) and not filename.startswith("<frozen")
