"""The lessons there are: `lessons/NN_name.py` of the repository, which an installed package carries too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from minidarknet.course.checking import Exercise, exercises
from minidarknet.errors import UsageError

PACKAGE = Path(__file__).resolve().parent.parent
TITLE = re.compile(r"^# # Lesson \d+: (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Lesson:
    """One lesson: its number, the title in its header, and its file."""

    number: int
    title: str
    path: Path

    @property
    def name(self) -> str:
        """As `03_convolution`."""
        return self.path.stem

    @property
    def exercises(self) -> tuple[Exercise, ...]:
        return exercises(self.number)


def lessons() -> tuple[Lesson, ...]:
    """Every lesson, in order; none in an installation without them."""
    for folder in (PACKAGE / "lessons", PACKAGE.parent / "lessons"):
        if files := sorted(folder.glob("[0-9][0-9]_*.py")):
            return tuple(_lesson(path) for path in files)
    return ()


def find_lesson(number: int) -> Lesson:
    """The lesson of a number; a `UsageError` says which there are."""
    known = {lesson.number: lesson for lesson in lessons()}
    if not known:
        raise UsageError(f"this installation has no lessons: looked for NN_name.py in {PACKAGE / 'lessons'}")
    if number not in known:
        raise UsageError(f"there is no lesson {number}; expected one of {', '.join(map(str, known))}")
    return known[number]


def _lesson(path: Path) -> Lesson:
    number, _, name = path.stem.partition("_")
    title = TITLE.search(path.read_text("utf-8"))
    return Lesson(int(number), title[1].strip() if title else name.replace("_", " "), path)
