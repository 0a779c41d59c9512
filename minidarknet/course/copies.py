"""A learner's folder: the copies of lessons in it, what was found out about them, and running one.

`progress.json` beside the copies holds for each exercise whether it passed when it was last checked, and how many
tries went wrong, from which the hint follows.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from minidarknet.course import notebooks
from minidarknet.course.checking import PACKAGE, RESULTS_FILE, Result
from minidarknet.course.lessons import Lesson
from minidarknet.course.stubs import learners_copy
from minidarknet.errors import InputError, UsageError
from minidarknet.files import atomic_write

FOLDER = "lessons-mine"
PROGRESS = "progress.json"


@dataclass(frozen=True)
class Standing:
    """How an exercise stands in a folder: whether it passed when last checked, and the tries that went wrong."""

    passed: bool = False
    failures: int = 0


@dataclass(frozen=True)
class Checked:
    """One run of a copy: the file, the last result of each exercise, and why it stopped early, if it did."""

    file: Path
    results: dict[str, Result]
    stopped: str


def copies(lesson: Lesson, folder: Path) -> tuple[Path, Path]:
    """Where a lesson's copies are in a learner's folder: the script and the notebook."""
    return folder / f"{lesson.name}.py", folder / f"{lesson.name}.ipynb"


def start(lesson: Lesson, folder: Path, overwrite: bool = False) -> list[Path]:
    """Write a learner's copies of a lesson: the script, and the notebook where jupytext is installed.

    Raises
    ------
    UsageError
        A copy is there already, and `overwrite` was not wished.
    InputError
        A file cannot be written.
    """
    text = learners_copy(lesson.path.read_text("utf-8"), lesson.path.name)
    script, notebook = copies(lesson, folder)
    for path in (script, notebook):
        if path.exists() and not overwrite:
            raise UsageError(f"{path} is there already; go on with it, or begin anew with --overwrite")
    files = {script: text.encode()}
    if notebooks.available():
        files[notebook] = notebooks.written(notebooks.from_script(text))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            with atomic_write(path) as file:
                file.write(content)
        for path in files:  # neither is the newer one until it is changed
            os.utime(path, (script.stat().st_atime, script.stat().st_mtime))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to: {error.strerror or error}") from None
    known = progress(folder)
    if begun := {exercise.number for exercise in lesson.exercises} & set(known):
        _keep(folder, {number: standing for number, standing in known.items() if number not in begun})
    return list(files)


def progress(folder: Path) -> dict[str, Standing]:
    """How the exercises stand that were checked in a folder.

    Raises
    ------
    InputError
        The file that says so cannot be read.
    """
    path = folder / PROGRESS
    try:
        found = json.loads(path.read_text("utf-8"))
        return {number: Standing(bool(one["passed"]), int(one["failures"])) for number, one in found.items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: expected what `lesson check` writes; delete it to begin anew ({reason})") from None


def record(folder: Path, results: Iterable[Result]) -> dict[str, Standing]:
    """Add results to a folder's progress; returns how all exercises stand now."""
    known = progress(folder)
    for result in results:
        failures = known.get(result.number, Standing()).failures + result.failed
        known[result.number] = Standing(result.passed, failures)
    try:
        _keep(folder, known)
    except OSError as error:
        raise InputError(f"{folder / PROGRESS}: cannot be written: {error.strerror or error}") from None
    return known


def run(lesson: Lesson, folder: Path) -> Checked:
    """Run the copy that was changed last, as a script in a process of its own, and collect what `check` found.

    Raises
    ------
    InputError
        There is no copy, or its notebook cannot be read.
    UsageError
        It is a notebook, and jupytext is not installed.
    """
    here = [path for path in copies(lesson, folder) if path.is_file()]
    if not here:
        remedy = f"`minidarknet lesson start {lesson.number}` writes it"
        raise InputError(f"{folder / lesson.name}.py: there is no such copy of lesson {lesson.number}; {remedy}")
    newest = max(here, key=lambda path: path.stat().st_mtime)  # the script, where both are as old
    with tempfile.TemporaryDirectory(prefix="minidarknet-lesson-") as aside:
        script = newest.resolve()
        if newest.suffix == ".ipynb":
            script = Path(aside).resolve() / f"{lesson.name}.py"
            script.write_text(notebooks.to_script(newest.read_bytes(), str(newest)), "utf-8")
        found = Path(aside) / "results.json"
        environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8", RESULTS_FILE: str(found)}
        if (PACKAGE.parent / "pyproject.toml").is_file():  # a clone, which may not be installed
            places = [str(PACKAGE.parent), environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, places))
        command = [sys.executable, str(script)]
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        results = [Result(**one) for one in json.loads(found.read_bytes())] if found.is_file() else []
    stopped = _why(done.returncode, done.stderr, script)
    return Checked(newest, {result.number: result for result in results}, stopped)


def _why(code: int, errors: str, script: Path) -> str:
    """Why a script ended before its end: what Python says of it, and the last line of the script that led there."""
    if code == 0:
        return ""
    said = [line for line in errors.splitlines() if line and not line[0].isspace()]
    lines = re.findall(rf'File "{re.escape(str(script))}", line (\d+)', errors)
    reason = said[-1] if said and lines else f"exit code {code}"
    if not lines:
        return reason
    text = script_line(script, int(lines[-1]))
    return f"{reason} (line {lines[-1]}{text})"


def script_line(script: Path, number: int) -> str:
    """A line of a script behind a colon, or nothing where the script is gone."""
    try:
        return f": {script.read_text('utf-8').splitlines()[number - 1].strip()}"
    except (OSError, IndexError):
        return ""


def _keep(folder: Path, known: dict[str, Standing]) -> None:
    content = {number: vars(standing) for number, standing in sorted(known.items())}
    with atomic_write(folder / PROGRESS) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())
