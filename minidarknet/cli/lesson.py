"""`minidarknet lesson list | start N | check N`: the course on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minidarknet.course.copies import Checked, Standing
    from minidarknet.course.lessons import Lesson

EPILOG = """\
  minidarknet lesson list          which lessons there are, and how far you are
  minidarknet lesson start 3       your copy of lesson 3, as a script and as a notebook
  minidarknet lesson check 3       run it, and say which exercises are right

Copies lie in the folder lessons-mine of where you are, unless --folder names another. Of script and notebook, the
one that you changed last is checked. What the lesson itself prints and draws, `python lessons-mine/03_*.py` shows.

exit codes of check: 0 all exercises are right, 1 not all, 3 there is no such copy
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    lister = actions.add_parser("list", help="which lessons there are, and how many exercises are right")
    starter = actions.add_parser("start", help="write a copy of a lesson with its exercises open")
    checker = actions.add_parser("check", help="run your copy, and say which exercises are right")
    for action in (starter, checker):
        action.add_argument("number", type=number, metavar="N", help="the number of the lesson")
    for action in (lister, starter, checker):
        where = "the folder of your copies (default lessons-mine, or the current one where that is its name)"
        action.add_argument("--folder", help=where)
    starter.add_argument("--overwrite", action="store_true", help="begin anew, over a copy that is there")
    for action in (lister, checker):
        action.add_argument("--json", action="store_true", help="print everything for a program to read")


def number(text: str) -> int:
    """The number of a lesson, as 3 or 03, for argparse."""
    if not text.isdecimal() or len(text) > 2:
        raise argparse.ArgumentTypeError(f"{text!r}: expected the number of a lesson, such as 3")
    return int(text)


def run(options: argparse.Namespace) -> int:
    folder = _folder(options.folder)
    if options.action == "list":
        return _list(folder, options.json)
    from minidarknet.course.lessons import find_lesson

    lesson = find_lesson(options.number)
    if options.action == "start":
        return _start(lesson, folder, options.overwrite)
    return _check(lesson, folder, options.json)


def _folder(wish: str | None) -> Path:
    from minidarknet.course.copies import FOLDER

    if wish is not None:
        return Path(wish)
    return Path(".") if Path.cwd().name == FOLDER else Path(FOLDER)


def _list(folder: Path, as_json: bool) -> int:
    from minidarknet import console
    from minidarknet.course.copies import copies, progress
    from minidarknet.course.lessons import lessons

    standings, found = progress(folder), lessons()
    if as_json:
        console.result_json({"folder": str(folder), "lessons": [_facts(lesson, folder, standings) for lesson in found]})
        return 0
    if not found:
        console.result("this installation has no lessons")
        return 0
    rows = []
    for lesson in found:
        passed = sum(standings[one.number].passed for one in lesson.exercises if one.number in standings)
        begun = any(path.is_file() for path in copies(lesson, folder))
        state = f"{passed} right" if begun else "-"
        rows.append((str(lesson.number), lesson.title, str(len(lesson.exercises)), state))
    console.table(("lesson", "title ", "exercises", "yours "), rows)
    console.note(f"yours: in {folder}, when last checked. `minidarknet lesson start N` begins a lesson.")
    return 0


def _facts(lesson: Lesson, folder: Path, standings: dict[str, Standing]) -> dict[str, object]:
    from minidarknet.course.copies import Standing, copies

    exercises = []
    for one in lesson.exercises:
        standing = standings.get(one.number, Standing())
        exercises.append({"number": one.number, "title": one.title, **vars(standing)})
    started = [str(path) for path in copies(lesson, folder) if path.is_file()]
    return {"number": lesson.number, "title": lesson.title, "copies": started, "exercises": exercises}


def _start(lesson: Lesson, folder: Path, overwrite: bool) -> int:
    from minidarknet import console
    from minidarknet.course.copies import start

    files = start(lesson, folder, overwrite)
    for path in files:
        console.result(str(path))
    if len(files) == 1:
        console.note("without a notebook, which needs jupytext: pip install 'minidarknet[course]'")
    where = f" --folder {folder}" if _folder(None) != folder else ""
    console.note(
        f"lesson {lesson.number}: {lesson.title}. Read it, replace each `raise NotImplementedError`, and then\n"
        f"  minidarknet lesson check {lesson.number}{where}"
    )
    return 0


def _check(lesson: Lesson, folder: Path, as_json: bool) -> int:
    from minidarknet import console
    from minidarknet.course import copies

    copies.progress(folder)  # a file that cannot be read is found before the lesson runs
    checked = copies.run(lesson, folder)
    standings = copies.record(folder, checked.results.values())
    numbers = [exercise.number for exercise in lesson.exercises]
    passed = sum(number in checked.results and checked.results[number].passed for number in numbers)
    if as_json:
        console.result_json(_findings(lesson, checked, standings))
        return int(passed < len(numbers))
    console.note(f"{checked.file}: lesson {lesson.number}, {lesson.title}")
    for exercise in lesson.exercises:
        if result := checked.results.get(exercise.number):
            console.result(result.told(standings[exercise.number].failures))
        else:
            console.result(f"{exercise.number} not checked: {exercise.title}")
    if checked.stopped:
        console.error(f"{checked.file} stopped before its end: {checked.stopped}")
    console.result(f"{passed} of {len(numbers)} exercises are right")
    return int(passed < len(numbers))


def _findings(lesson: Lesson, checked: Checked, standings: dict[str, Standing]) -> dict[str, object]:
    from minidarknet.course.checking import HINT_FROM

    exercises = []
    for exercise in lesson.exercises:
        result, standing = checked.results.get(exercise.number), standings.get(exercise.number)
        failures = standing.failures if standing else 0
        exercises.append(
            {
                "number": exercise.number,
                "title": exercise.title,
                "checked": result is not None,
                "passed": result is not None and result.passed,
                "message": result.message if result else "",
                "failures": failures,
                "hint": exercise.hint if result and result.failed and failures >= HINT_FROM else "",
            }
        )
    return {
        "lesson": lesson.number,
        "title": lesson.title,
        "file": str(checked.file),
        "stopped": checked.stopped or None,
        "passed": sum(bool(one["passed"]) for one in exercises),
        "exercises": exercises,
    }
