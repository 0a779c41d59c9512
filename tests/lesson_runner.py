"""Run a lesson cell by cell, as a notebook does, and write down what happened: `lesson_runner.py LESSON.py OUT.json`.

Behind each exercise's check, the cell is run once more as a learner gets it, and checked again. The learner's version
then stays: a later cell that needs the solution fails here.
"""

from __future__ import annotations

import contextlib
import io
import json
import linecache
import sys
import traceback
import types
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

from minidarknet.course import checking, notebooks, stubs


def run(source: str, filename: str, namespace: dict[str, Any]) -> tuple[str, str]:
    """Run a cell; returns what it printed, and the traceback where it failed."""
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(source, filename, "exec"), namespace)
    except Exception:
        return printed.getvalue(), traceback.format_exc()
    return printed.getvalue(), ""


def main(path: Path, out: Path) -> None:
    cells = notebooks.from_script(path.read_text("utf-8")).cells
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    pyplot.show = lambda *_, **__: pyplot.close("all")
    exercise = ""
    found = []
    for number, cell in enumerate(cells):
        if cell.cell_type != "code":
            continue
        name = f"{path.stem}, cell {number}"
        printed, failed = run(cell.source, name, vars(module))
        record = {"cell": number, "printed": printed, "failed": failed, "result": None, "stub": None}
        found.append(record)
        if failed:
            break
        if exercise and checking.results:
            last = checking.results[-1]
            record["result"] = {"number": last.number, "passed": last.passed, "message": last.message}
            _, failed = run(stubs.learners_copy(exercise), f"{name}, as a learner gets it", vars(module))
            if not failed:
                _, failed = run(cell.source, name, vars(module))
            record["stub"] = failed or checking.results[-1].message
        exercise = cell.source if stubs.has_solution(cell.source) else ""
    out.write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
