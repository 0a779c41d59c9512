"""Imports go down only: people, uses, network, layers, kernels, words. A newcomer can read from the bottom up."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "minidarknet"

#: Each module's floor; a folder stands for all files in it. A new file needs a place here.
FLOORS = {
    "errors": 0,
    "shapes": 0,
    "options": 0,
    "cfg": 0,
    "net_options": 0,
    "memory": 0,
    "files": 0,
    "kernels": 1,
    "layers": 2,
    "fusion": 3,
    "network": 3,
    "learning": 3,
    "summary": 4,
    "weights": 4,
    "images": 4,
    "resize": 4,
    "preprocess": 4,
    "augment": 4,
    "download": 4,
    "zoo": 4,
    "prediction": 4,
    "benchmark": 4,
    "optimizers": 4,
    "schedules": 4,
    "labelled": 4,
    "dataset": 4,
    "npz": 4,
    "data_file": 4,
    "data": 4,
    "data_lists": 4,
    "transform": 4,
    "loader": 4,
    "views": 4,
    "validation": 4,
    "confusion": 4,
    "contact_sheet": 4,
    "reference": 4,
    "fine_tuning": 4,
    "trace": 4,
    "explain": 4,
    "comparison": 4,
    "checkpoint": 4,
    "symptoms": 4,
    "training": 4,
    "training_memory": 4,
    "metrics": 4,
    "chart": 4,
    "stopping": 4,
    "run_files": 4,
    "trainer": 4,
    "course": 5,
    "console": 5,
    "cli": 5,
    "__main__": 5,
    "__init__": 5,
}
FILES = sorted(PACKAGE.rglob("*.py"))


def module(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function, by its full name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are written in full"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_file_has_a_floor() -> None:
    assert {module(path) for path in FILES} == set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return  # it only names what the others offer
    for name in imports(path):
        if name.startswith("minidarknet."):
            target = name.split(".")[1]
            if target != "__version__":
                assert FLOORS[target] <= FLOORS[module(path)], f"{path.name} imports {name}, which is above it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_library_has_its_place(path: Path) -> None:
    names = {name.split(".")[0] for name in imports(path)}
    floor = FLOORS[module(path)]
    assert "rich" not in names or module(path) == "console", "only console.py prints"
    compiled = floor in (1, 2) or module(path) == "course"  # an exercise may be a compiled function
    assert "numba" not in names or compiled, "compiled code lives in kernels and layers"
    assert not names & {"pickle", "marshal", "shelve"}, "files that run code when they are read"
    if floor == 0:
        assert "numpy" not in names, "the lowest floor imports in milliseconds"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_people_print_and_no_file_is_too_long(path: Path) -> None:
    text = path.read_text()
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"eval", "exec", "compile"}
    assert "print" not in calls or FLOORS[module(path)] == 5
    assert text.count("\n") <= 300


def test_every_kernel_is_compiled_in_one_place() -> None:
    users = [path.name for path in FILES if "njit" in path.read_text() and module(path) != "course"]  # hints name it
    assert users == ["jit.py"]
