"""The lessons of the course keep what they promise: form, text, solutions, and what a learner begins with.

`pytest -m lesson03` is all about lesson 3.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from conftest import REPOSITORY, shared_folder
from minidarknet.course import notebooks
from minidarknet.course.lessons import Lesson, lessons
from minidarknet.course.stubs import has_solution, learners_copy
from minidarknet.files import cache_folder

FOLDER = REPOSITORY / "lessons"
LESSONS = lessons()
EACH = pytest.mark.parametrize(
    "lesson",
    [
        pytest.param(lesson, id=lesson.name, marks=getattr(pytest.mark, f"lesson{lesson.number:02}"))
        for lesson in LESSONS
    ],
)
#: What the lessons are about; these two are only shown in the table, and not run.
LAYERS = [
    path
    for path in sorted((REPOSITORY / "minidarknet" / "layers").glob("*.py"))
    if path.stem not in ("__init__", "detector", "recurrent")
]
#: The course as a whole has at least these.
LEAST_LESSONS, LEAST_EXERCISES = 14, 45
CHECK = re.compile(r'^check\("(\d+\.\d+)", \w+\)$')
HEADER = ("**You will build**", "**You will learn**", "**You need**", "*In the package:*")

Cell = dict[str, Any]


def script(lesson: Lesson) -> str:
    return lesson.path.read_text("utf-8")


def committed(lesson: Lesson) -> Any:
    """The lesson's notebook as it is in the repository."""
    return nbformat.read(lesson.path.with_suffix(".ipynb"), as_version=4)


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def text(cell: Any) -> str:
    """What a cell of a notebook has printed."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the kernels that are compiled, and with Tiny Darknet's files where this machine has them."""
    folder = tmp_path_factory.mktemp("cache")
    (cache_folder() / "kernels").mkdir(parents=True, exist_ok=True)
    (folder / "kernels").symlink_to(cache_folder() / "kernels")
    for name in ("tiny.weights", "imagenet.names"):
        for place in (cache_folder() / name, shared_folder() / "data" / name):
            if place.is_file() and not (folder / name).exists():
                (folder / name).symlink_to(place)
    return folder


@pytest.fixture(scope="session")
def runs() -> dict[str, list[Cell]]:
    """One run of a lesson serves all its tests."""
    return {}


@pytest.fixture
def observed(
    lesson: Lesson, downloads: Path, runs: dict[str, list[Cell]], tmp_path_factory: pytest.TempPathFactory
) -> list[Cell]:
    """What each code cell of a lesson did in a run of its own."""
    if lesson.name not in runs:
        here, out = tmp_path_factory.mktemp(lesson.name), tmp_path_factory.mktemp("observed") / "cells.json"
        runs[lesson.name] = observe(lesson, downloads, here, out)
    return runs[lesson.name]


def observe(lesson: Lesson, downloads: Path, folder: Path, out: Path) -> list[Cell]:
    before = sorted(FOLDER.rglob("*"))
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "MINIDARKNET_CACHE": str(downloads),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, str(REPOSITORY / "tests" / "lesson_runner.py"), str(lesson.path), str(out)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"it writes to stderr: {done.stderr}"
    assert not list(folder.iterdir()), "it leaves files where it runs"
    assert sorted(FOLDER.rglob("*")) == before, "it writes into lessons/"
    return json.loads(out.read_text("utf-8"))


@EACH
def test_the_notebook_is_made_from_the_script(lesson: Lesson) -> None:
    notebook, remedy = committed(lesson), f"run `make lessons ONLY={lesson.number:02}`"
    wanted = notebooks.from_script(script(lesson))
    assert [(cell.cell_type, cell.source, tags(cell)) for cell in notebook.cells] == [
        (cell.cell_type, cell.source, tags(cell)) for cell in wanted.cells
    ], remedy
    assert [cell.id for cell in notebook.cells] == [cell.id for cell in wanted.cells], remedy
    assert notebook.metadata["minidarknet"]["generated"] == f"from {lesson.path.name} by `make lessons`"
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), remedy


@EACH
def test_every_cell_runs_and_prints_what_the_notebook_shows(
    lesson: Lesson, observed: list[Cell], downloads: Path
) -> None:
    notebook = committed(lesson)
    for cell in observed:
        assert not cell["failed"], cell["failed"]
        of_the_notebook = notebook.cells[cell["cell"]]
        if "weights" in tags(of_the_notebook) and not (downloads / "tiny.weights").exists():
            assert "minidarknet fetch tiny" in cell["printed"]
        elif "volatile" not in tags(of_the_notebook):
            assert cell["printed"] == text(of_the_notebook), f"cell {cell['cell']}:\n{of_the_notebook.source}"
    assert len(observed) == sum(cell.cell_type == "code" for cell in notebook.cells)


@EACH
def test_every_solution_passes(lesson: Lesson, observed: list[Cell]) -> None:
    results = [cell["result"] for cell in observed if cell["result"]]
    wrong = [f"{result['number']}: {result['message']}" for result in results if not result["passed"]]
    assert not wrong
    assert [result["number"] for result in results] == [exercise.number for exercise in lesson.exercises]


@EACH
def test_what_a_learner_begins_with_fails_as_intended(lesson: Lesson, observed: list[Cell]) -> None:
    said = {cell["result"]["number"]: cell["stub"] for cell in observed if cell["result"]}
    for exercise in lesson.exercises:
        assert exercise.stub_says, f"{exercise.number}: an empty stub_says is met by any message"
        assert exercise.stub_says in said[exercise.number], exercise.number


@EACH
def test_exercises_have_a_cell_each_and_a_check_behind_it(lesson: Lesson) -> None:
    cells = notebooks.from_script(script(lesson)).cells
    numbers = []
    for number, cell in enumerate(cells):
        if cell.cell_type == "code" and has_solution(cell.source):
            found = CHECK.match(cells[number + 1].source.strip())
            assert found, f"a check is expected behind\n{cell.source}"
            assert f"# Exercise {found[1]}: " in cells[number - 1].source
            numbers.append(found[1])
    assert numbers == [exercise.number for exercise in lesson.exercises]
    assert numbers == [f"{lesson.number}.{count}" for count in range(1, len(numbers) + 1)]
    assert len(numbers) >= 3
    assert all(exercise.title and exercise.hint for exercise in lesson.exercises)
    copy = learners_copy(script(lesson), lesson.path.name)
    assert "###" not in "".join(line for line in copy.split("\n") if not line.startswith("# ###"))


@EACH
def test_form(lesson: Lesson) -> None:
    source, notebook = script(lesson), committed(lesson)
    assert 150 <= source.partition("# %% [markdown]")[2].count("\n") <= 300  # below jupytext's own header
    assert notebook.cells[0].source.startswith(f"# Lesson {lesson.number}: ")
    places = [notebook.cells[0].source.find(part) for part in HEADER]
    assert -1 not in places, f"the header has not all of {HEADER}"
    assert places == sorted(places), f"the header's order is {HEADER}"
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 2
    assert lesson.path.with_suffix(".ipynb").stat().st_size < 400_000
    assert not re.search(r"/work\b|/tmp\b|/home\b|/root\b", source)


@EACH
def test_files_that_the_header_names_exist(lesson: Lesson) -> None:
    files = files_of(lesson)
    assert files, "*In the package:* names no file"
    assert not [file for file in files if not (REPOSITORY / file).exists()]


@EACH
def test_tiny_weights_are_only_used_where_it_says_so(lesson: Lesson) -> None:
    for cell in notebooks.from_script(script(lesson)).cells:
        if cell.cell_type == "code" and re.search(r'(load|require_weights|locate)\("tiny"', cell.source):
            assert "weights" in tags(cell), cell.source


@pytest.mark.parametrize("path", LAYERS, ids=lambda path: path.stem)
def test_every_layer_file_names_a_lesson_that_names_it(path: Path) -> None:
    named = re.findall(r"lessons/(\w+)\.py", ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")
    known = {lesson.name: lesson for lesson in LESSONS}
    assert named, f"{path.name}: a line `Lesson: lessons/NN_name.py` is expected in its docstring"
    for name in named:
        assert name in known, f"{path.name} names lessons/{name}.py, which is not there"
        assert str(path.relative_to(REPOSITORY)) in files_of(known[name]), f"lessons/{name}.py does not name it"


def files_of(lesson: Lesson) -> list[str]:
    """The paths that a lesson's header names."""
    header = notebooks.from_script(script(lesson)).cells[0].source
    return re.findall(r"`([\w/]+\.\w+)`", header.partition("*In the package:*")[2])


def test_the_course_is_complete() -> None:
    assert len(LESSONS) >= LEAST_LESSONS
    assert sum(len(lesson.exercises) for lesson in LESSONS) >= LEAST_EXERCISES
    numbers = [lesson.number for lesson in LESSONS]
    assert numbers == list(range(len(numbers)))
    notes = {path.stem for path in FOLDER.glob("*.ipynb")}
    assert notes == {lesson.name for lesson in LESSONS}
