"""The course's machinery: what `expect` and `check` say, how a learner's copy is made, and `minidarknet lesson`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from minidarknet.cli import main
from minidarknet.course import check, checking, lessons, notebooks
from minidarknet.course.checking import Exercise, Wrong, expect, fail
from minidarknet.course.stubs import learners_copy
from minidarknet.errors import InputError, MinidarknetError

REPOSITORY = Path(__file__).resolve().parent.parent
Screen = pytest.CaptureFixture[str]

LESSON = '''\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---
# %% [markdown]
# # Lesson 7: a lesson for tests
# %%
from minidarknet.course import check


# %%
def add(a, b):
    """The sum."""
    ### BEGIN SOLUTION
    # a comment is no line of the solution
    total = a + b

    return total
    ### END SOLUTION


# %%
check("7.1", add)


# %%
def largest(values):
    best = values[0]
    for value in values:
        ### BEGIN SOLUTION
        best = max(best, value)
        ### BEGIN STUB
        # if value < best:
        #     best = value
        #
        ### END SOLUTION
    return best


# %%
check("7.2", largest)
'''


def check_add(answer: Callable[..., Any]) -> None:
    expect("add(1, 2)", answer(1, 2), 3)
    expect("add(5, 5)", answer(5, 5), 10)


def check_largest(answer: Callable[..., Any]) -> None:
    expect("largest([1, 3, 2])", answer([1, 3, 2]), 3)


EXERCISES = (
    Exercise("7.1", "Add", check_add, hint="There is an operator for it."),
    Exercise("7.2", "Repair", check_largest, hint="Which way round?", stub_says="expected 3, found 1"),
)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which nothing was checked yet, and whose lesson 7 is the one above."""
    module = ModuleType("minidarknet.course.lesson07")
    module.EXERCISES = EXERCISES  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "minidarknet.course.lesson07", module)
    monkeypatch.setattr(checking, "results", [])
    monkeypatch.setattr(checking, "_failures", Counter())
    monkeypatch.delenv(checking.RESULTS_FILE, raising=False)


@pytest.fixture
def school(fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to learn in, and a course of that one lesson, for this process and for those that it starts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "course").mkdir()
    path = tmp_path / "course" / "07_add.py"
    path.write_text(LESSON)
    monkeypatch.setattr(lessons, "lessons", lambda: (lessons._lesson(path),))
    # The copy runs in a process of its own, which finds the checks by way of Python's own hook for such things.
    hook = "import importlib, sys\nsys.path.insert(0, {!r})\nimport test_course\n"
    hook += "import types\nmodule = types.ModuleType('minidarknet.course.lesson07')\n"
    hook += "module.EXERCISES = test_course.EXERCISES\nsys.modules[module.__name__] = module\n"
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(hook.format(str(REPOSITORY / "tests")))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "hook"), str(REPOSITORY)]))
    return tmp_path / "lessons-mine"


def message(found: Any, expected: Any, tolerance: float = 0.0) -> str:
    with pytest.raises(Wrong) as caught:
        expect("f(x)", found, expected, tolerance)
    return str(caught.value)


GRID = np.arange(4).reshape(2, 2)


@pytest.mark.parametrize(
    ("found", "expected", "says"),
    [
        (4, 3, "f(x): expected 3, found 4"),
        (3.0, 3, "f(x): expected the whole number 3, found 3.0, a float"),
        (None, 3, "f(x): expected 3, found None: is there a `return`?"),
        (True, 1, "f(x): expected 1, found True (bool)"),
        (1, True, "f(x): expected True, found 1 (int)"),
        ("3", 3, "f(x): expected 3, found '3' (str)"),
        (np.float32(0.1), 0.1, "f(x): expected 0.1, found 0.10000000149011612"),
        (float("nan"), 0.5, "f(x): expected 0.5, found nan"),
        ("conv", "max", "f(x): expected 'max', found 'conv' (str)"),
        (0, None, "f(x): expected None, found 0 (int)"),
        ((1, 2), (1, 3), "f(x): value 1: expected 3, found 2"),
        ((1, 2), (1, 2, 3), "f(x): expected 3 values, as a tuple; found 2"),
        (7, (1, 2), "f(x): expected 2 values, as a tuple; found 7 (int)"),
        ({"a": 1}, {"a": 2}, "f(x): for 'a': expected 2, found 1"),
        ({}, {"a": 2}, "f(x): nothing found for 'a', expected 2"),
        ({"a": 2, "b": 1}, {"a": 2}, "f(x): nothing was expected for 'b', found 1 (int)"),
        ([[0, 1], [2, 3]], GRID, "f(x): expected an array of shape (2, 2), found [[0, 1], [2, 3]] (list)"),
        (GRID[0], GRID, "f(x): expected an array of shape (2, 2), found shape (2)"),
        (GRID * 1j, GRID, "f(x): expected an array of shape (2, 2) of numbers, found one of complex128"),
        (GRID * 2, GRID, "f(x): first differing value at (0, 1): expected 1, found 2 (3 of 4 differ)"),
        (np.array([np.nan]), np.array([0.5]), "f(x): first differing value at (0): expected 0.5, found nan"),
        (np.array([2**60 + 1]), np.array([2**60]), f"f(x): first differing value at (0): expected {2**60}, found"),
    ],
)
def test_expect_says_what_differs(found: Any, expected: Any, says: str) -> None:
    assert message(found, expected).startswith(says)


@pytest.mark.parametrize(
    ("found", "expected", "tolerance"),
    [
        (np.int64(3), 3, 0),
        (3, 3.0, 0),
        (np.float32(0.1), 0.1, 1e-7),
        (np.array(3.5), 3.5, 0),
        (float("nan"), float("nan"), 0),
        (float("inf"), float("inf"), 0),
        ([1, (2, "a")], (1.0, [2, "a"]), 0),
        ({"a": GRID}, {"a": GRID.copy()}, 0),
        (GRID.astype(np.float32), GRID, 0),
        (GRID + 0.01, GRID.astype(float), 0.011),
        (np.array([np.nan, np.inf]), np.array([np.nan, np.inf]), 0),
        (np.zeros((0, 3)), np.zeros((0, 3)), 0),
    ],
)
def test_expect_accepts_the_same_in_other_clothes(found: Any, expected: Any, tolerance: float) -> None:
    expect("f(x)", found, expected, tolerance)


def test_expect_holds_the_tolerance() -> None:
    assert "first differing value at (0, 0)" in message(GRID + 0.01, GRID.astype(float), 0.009)


def test_fail() -> None:
    with pytest.raises(Wrong, match="the input was changed"):
        fail("the input was changed")


def test_check_says_passed_or_what_is_wrong_with_a_hint_from_the_second_time(fresh: None, capsys: Screen) -> None:
    wrong = "7.1 not right yet: add(1, 2): expected 3, found -1\n"
    hint = "    Hint: There is an operator for it.\n"
    for expected in (wrong, wrong + hint, wrong + hint):
        check("7.1", lambda a, b: a - b)
        assert capsys.readouterr().out == expected
    check("7.2", min)  # another exercise counts for itself
    assert capsys.readouterr().out == "7.2 not right yet: largest([1, 3, 2]): expected 3, found 1\n"
    check("7.1", lambda a, b: a + b)
    assert capsys.readouterr().out == "7.1 passed: Add\n"


def test_what_is_not_written_yet_is_no_failure(fresh: None, capsys: Screen) -> None:
    def add(a: int, b: int) -> int:
        raise NotImplementedError

    for _ in range(3):
        check("7.1", add)
    assert capsys.readouterr().out == 3 * "7.1 not written yet: Add\n"
    check("7.1", lambda a, b: 0)
    assert "Hint" not in capsys.readouterr().out


def test_an_exception_is_told_by_type_message_and_line(
    fresh: None, capsys: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("import json\n\ndef add(a, b):\n    return json.loads('{')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import mine

    check("7.1", mine.add)
    out = capsys.readouterr().out
    assert out.startswith("7.1 not right yet: JSONDecodeError: Expecting property name")
    assert out.endswith("(line 4: return json.loads('{'))\n")


def test_a_long_message_is_cut_and_its_colours_are_taken_off(fresh: None, capsys: Screen) -> None:
    def add(a: int, b: int) -> int:
        raise ValueError("\x1b[1mfirst\x1b[0m\n\x1b[0m\n" + "more\n" * 20)

    check("7.1", add)
    out = capsys.readouterr().out
    assert out.startswith("7.1 not right yet: ValueError: first\n    more\n    more\n")
    assert out.count("more") == checking.LINES - 1 + 1  # one more in the line that raised it


@pytest.mark.parametrize("answer", [None, 3, lambda: None, lambda a, b: sys.exit(1)])
def test_check_never_raises(fresh: None, capsys: Screen, answer: Any) -> None:
    check("7.1", answer)
    assert capsys.readouterr().out.startswith("7.1 not right yet: ")


@pytest.mark.parametrize("number", ["7.9", "98.1", "", "x", "7", "1000.1"])
def test_check_of_an_exercise_that_is_not_there(fresh: None, capsys: Screen, number: str) -> None:
    check(number, check_add)
    assert capsys.readouterr().out == f"{number}: there is no such exercise, so nothing was checked\n"


def test_a_lesson_whose_own_import_fails_is_not_taken_for_one_without_checks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import minidarknet.course

    (tmp_path / "lesson97.py").write_text("import a_module_that_nobody_has\n")
    monkeypatch.setattr(minidarknet.course, "__path__", [str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        checking.exercises(97)
    assert checking.exercises(96) == ()


def test_results_are_written_where_the_environment_says(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(checking.RESULTS_FILE, str(tmp_path / "results.json"))
    check("7.1", lambda a, b: a + b)
    check("7.2", min)
    found = json.loads((tmp_path / "results.json").read_text())
    assert [(one["number"], one["passed"], one["message"]) for one in found] == [
        ("7.1", True, ""),
        ("7.2", False, "largest([1, 3, 2]): expected 3, found 1"),
    ]


def test_a_learners_copy() -> None:
    copy = learners_copy(LESSON)
    assert '"""The sum."""\n    # about 2 lines\n    raise NotImplementedError\n\n\n# %%' in copy
    assert "        if value < best:\n            best = value\n\n    return best\n" in copy
    assert "max(" not in copy
    assert "SOLUTION" not in copy
    assert "STUB" not in copy
    assert "# about 1 line\n" in learners_copy("    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("### BEGIN SOLUTION\nx", "c.py: '### BEGIN SOLUTION' without '### END SOLUTION'"),
        ("x\n### END SOLUTION", "c.py:2: '### END SOLUTION': expected '### BEGIN SOLUTION' and a solution above it"),
        ("### BEGIN SOLUTION\n\n### END SOLUTION", "c.py:3: '### END SOLUTION': expected"),
        ("### BEGIN SOLUTION\nx\n### BEGIN SOLUTION", "c.py:3: '### BEGIN SOLUTION' before the '### END SOLUTION'"),
        ("### BEGIN STUB", "c.py:1: '### BEGIN STUB': expected it once, between"),
        ("### BEGIN SOLUTION\nx\n### BEGIN STUB\ny\n### END SOLUTION", "c.py:4: 'y': expected '# ' and a line"),
    ],
)
def test_markers_that_do_not_belong_together(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        learners_copy(text, "c.py")
    assert str(caught.value).startswith(says)


def lesson(*arguments: str) -> int:
    return main(["lesson", *arguments])


def test_start_writes_both_copies_and_never_over_one(school: Path, capfd: Screen) -> None:
    assert lesson("start", "07") == 0
    script, notebook = school / "07_add.py", school / "07_add.ipynb"
    assert capfd.readouterr().out == "lessons-mine/07_add.py\nlessons-mine/07_add.ipynb\n"
    assert script.read_text() == learners_copy(LESSON)
    found = json.loads(notebook.read_text())
    assert "raise NotImplementedError" in "".join(found["cells"][2]["source"])
    assert all(not cell.get("outputs") for cell in found["cells"])
    script.write_text("mine")
    assert lesson("start", "7") == 2
    assert "lessons-mine/07_add.py is there already" in capfd.readouterr().err
    script.unlink()
    assert lesson("start", "7") == 2  # the notebook is there still
    assert "07_add.ipynb is there already; go on with it, or begin anew with --overwrite" in capfd.readouterr().err
    assert not script.exists()
    assert lesson("start", "7", "--overwrite") == 0
    assert script.read_text() == learners_copy(LESSON)


def test_start_without_jupytext(school: Path, capfd: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jupytext", None)
    assert lesson("start", "7") == 0
    out, err = capfd.readouterr()
    assert out == "lessons-mine/07_add.py\n"
    assert "pip install 'minidarknet[course]'" in err
    (school / "07_add.ipynb").write_text("{}")
    os.utime(school / "07_add.ipynb", (2**31, 2**31))
    assert lesson("check", "7") == 2
    assert "a notebook of a lesson needs jupytext: pip install 'minidarknet[course]'" in capfd.readouterr().err


def test_check_runs_the_copy_and_counts_failures_over_runs(school: Path, capfd: Screen) -> None:
    lesson("start", "7")
    capfd.readouterr()
    assert lesson("check", "7") == 1
    out, err = capfd.readouterr()
    wrong = "7.2 not right yet: largest([1, 3, 2]): expected 3, found 1\n"
    assert out == f"7.1 not written yet: Add\n{wrong}0 of 2 exercises are right\n"
    assert "lessons-mine/07_add.py: lesson 7, a lesson for tests" in err
    assert lesson("check", "7") == 1
    assert f"{wrong}    Hint: Which way round?\n" in capfd.readouterr().out
    lesson("list")
    assert capfd.readouterr().out.splitlines()[1].split() == ["7", "a", "lesson", "for", "tests", "2", "0", "right"]

    (school / "07_add.py").write_text(LESSON)
    assert lesson("check", "7") == 0
    assert capfd.readouterr().out == "7.1 passed: Add\n7.2 passed: Repair\n2 of 2 exercises are right\n"
    assert lesson("list", "--json") == 0
    found = json.loads(capfd.readouterr().out)["lessons"][0]
    assert found["exercises"][1] == {"number": "7.2", "title": "Repair", "passed": True, "failures": 2}
    lesson("start", "7", "--overwrite")
    capfd.readouterr()
    lesson("list", "--json")
    assert [one["failures"] for one in json.loads(capfd.readouterr().out)["lessons"][0]["exercises"]] == [0, 0]


def test_check_takes_the_copy_that_was_changed_last(school: Path, capfd: Screen) -> None:
    lesson("start", "7")
    (school / "07_add.ipynb").write_bytes(notebooks.written(notebooks.from_script(LESSON)))
    os.utime(school / "07_add.ipynb", (2**31, 2**31))
    capfd.readouterr()
    assert lesson("check", "7", "--json") == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["file"], found["passed"], found["stopped"]) == ("lessons-mine/07_add.ipynb", 2, None)
    (school / "07_add.ipynb").write_text("no notebook")
    os.utime(school / "07_add.ipynb", (2**31, 2**31))
    assert lesson("check", "7") == 3
    assert "lessons-mine/07_add.ipynb: expected a notebook, found" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nothing_of_this_name\n", "NameError: name 'nothing_of_this_name' is not defined (line 31: nothing"),
        ("def (:\n", "SyntaxError: invalid syntax (line 31: def (:)"),
        ("raise SystemExit(5)\n", "exit code 5"),
    ],
)
def test_check_says_where_a_copy_stops(school: Path, capfd: Screen, line: str, says: str) -> None:
    lesson("start", "7")
    copy = learners_copy(LESSON).replace('check("7.1", add)\n', 'check("7.1", add)\n' + line)
    (school / "07_add.py").write_text(copy.replace("raise NotImplementedError", "return a + b"))
    place = copy.split("\n").index(line.strip()) + 1
    capfd.readouterr()
    assert lesson("check", "7") == 1
    out, err = capfd.readouterr()
    assert "7.2 not checked: Repair\n" in out
    assert f"lessons-mine/07_add.py stopped before its end: {says.replace('31', str(place))}" in err
    assert "Traceback" not in err
    assert out.startswith("7.1 not checked" if "Syntax" in says else "7.1 passed")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["check", "7"], 3, "lessons-mine/07_add.py: there is no such copy of lesson 7; `minidarknet lesson start 7`"),
        (["check", "8"], 2, "there is no lesson 8; expected one of 7"),
        (["start", "8"], 2, "there is no lesson 8; expected one of 7"),
        (["start", "7", "--folder", "course/07_add.py"], 3, "course/07_add.py: cannot be written to"),
    ],
)
def test_mistakes_are_named(school: Path, capfd: Screen, arguments: list[str], code: int, says: str) -> None:
    assert lesson(*arguments) == code
    assert says in capfd.readouterr().err


@pytest.mark.parametrize("arguments", [["start", "x"], ["check", "-1"], ["start"], [], ["other"]])
def test_arguments_that_make_no_sense(school: Path, capfd: Screen, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        lesson(*arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"7.1": 3}', '{"7.1": {}}'])
def test_progress_that_cannot_be_read(school: Path, capfd: Screen, content: str) -> None:
    school.mkdir()
    (school / "progress.json").write_text(content)
    for arguments in (["list"], ["check", "7"]):
        assert lesson(*arguments) == 3
        assert "lessons-mine/progress.json: expected what `lesson check` writes; delete it" in capfd.readouterr().err


def test_the_folder_of_copies_is_its_own_default(school: Path, capfd: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    school.mkdir()
    monkeypatch.chdir(school)
    assert lesson("start", "7") == 0
    assert (school / "07_add.py").is_file()
    assert lesson("start", "7", "--folder", "other") == 0
    out, err = capfd.readouterr()
    assert "other/07_add.py" in out
    assert "minidarknet lesson check 7 --folder other" in err


def test_an_installation_without_lessons(fresh: None, capfd: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "lessons", tuple)
    assert lesson("list") == 0
    assert capfd.readouterr().out == "this installation has no lessons\n"
    assert lesson("start", "1") == 2
    assert "this installation has no lessons: looked for NN_name.py in" in capfd.readouterr().err


def test_control_c_ends_a_check_with_130(tmp_path: Path) -> None:
    """One that loops for ever, and has said that it began."""
    copy = tmp_path / "00_loop.py"
    copy.write_text("from pathlib import Path\nPath('begun').write_text('')\nwhile True:\n    pass\n")
    code = "import sys\nfrom pathlib import Path\nfrom minidarknet.course import lessons\n"
    code += "lessons.lessons = lambda: (lessons.Lesson(0, 'loop', Path('00_loop.py')),)\n"
    code += "from minidarknet.cli import main\nsys.exit(main(['lesson', 'check', '0', '--folder', '.']))"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, start_new_session=True, stderr=subprocess.PIPE
    )
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"interrupted" in err
    assert b"Traceback" not in err


def test_notebooks_are_the_same_bytes_each_time_and_hold_text_and_pictures_only() -> None:
    from nbformat.v4 import new_output

    from scripts.make_lessons import joined, tidied

    one, other = (notebooks.written(notebooks.from_script(LESSON)) for _ in range(2))
    assert one == other
    assert b'"id": "cell-000"' in one
    pieces = [new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n")]
    picture = new_output("display_data", data={"image/png": ""})
    assert [output.get("text") for output in joined([*pieces, picture])] == ["a\nb\n", None]
    assert tidied(picture, "cell 1") is picture
    for output, says in (
        (new_output("stream", name="stderr", text="careful"), "cell 1 writes to stderr, .*: careful"),
        (new_output("execute_result", data={"text/plain": "3"}), "cell 1 ends with a bare expression"),
    ):
        with pytest.raises(MinidarknetError, match=says):
            tidied(output, "cell 1")


def test_a_notebook_goes_back_to_the_script_that_it_was_made_from() -> None:
    again = notebooks.to_script(notebooks.written(notebooks.from_script(LESSON)), "x.ipynb")
    assert [cell.source for cell in notebooks.from_script(again).cells] == [
        cell.source for cell in notebooks.from_script(LESSON).cells
    ]
