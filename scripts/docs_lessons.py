"""Pages of the course: each lesson's notebook as Markdown, its pictures as files, its solutions folded away."""

from __future__ import annotations

import base64
import re

import nbformat

from minidarknet.course.lessons import Lesson, lessons
from minidarknet.course.stubs import BEGIN, END, STUB, has_solution, learners_copy

#: A line of a list; and one that can begin it below a paragraph, as a sentence with a number in it cannot.
ITEM, FIRST = r"(?:[-*]|\d+\.) ", r"(?:[-*]|1\.) "
INTRO = """\
# The course

Each lesson builds one part of a deep network by hand, from a 4x4 drawing over plain loops to a compiled kernel, and
then sets it beside the real one in the package. The exercises are checked on your machine.

    pip install 'minidarknet[course]'
    minidarknet lesson list          # which lessons there are, and how far you are
    minidarknet lesson start 3       # your copy of lesson 3, as a script and as a notebook
    minidarknet lesson check 3       # run it, and say which exercises are right

You need Python and a little NumPy; nothing about deep learning is taken for granted.
"""


def lesson_pages() -> dict[str, str | bytes]:
    """A page for each lesson with its pictures, and one that lists them: addresses and contents."""
    known = [lesson for lesson in lessons() if lesson.path.with_suffix(".ipynb").is_file()]
    rows = [f"| {one.number} | [{one.title}]({one.name}.md) | {len(one.exercises)} |" for one in known]
    table = "\n".join(["| lesson | | exercises |", "| --- | --- | --- |", *rows]) if rows else ""
    pages: dict[str, str | bytes] = {"course/index.md": f"{INTRO}\n{table}\n"}
    for lesson in known:
        pages.update(page(lesson))
    return pages


def page(lesson: Lesson) -> dict[str, str | bytes]:
    notebook = nbformat.read(lesson.path.with_suffix(".ipynb"), as_version=4)
    parts: list[str] = []
    pictures: dict[str, str | bytes] = {}
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            parts.append(linked(cell.source))
            if number == 0:
                parts.append(f'!!! tip "To work on it"\n\n    `minidarknet lesson start {lesson.number}`')
            continue
        parts.append(code(cell.source))
        for place, output in enumerate(cell.outputs):
            if output.output_type == "stream":
                parts.append(f'<div class="printed" markdown>\n{fenced(output.text, "text")}\n</div>')
            elif picture := output.get("data", {}).get("image/png"):
                name = f"{number}-{place}.png"
                pictures[f"course/{lesson.name}/{name}"] = base64.b64decode(picture)
                parts.append(f"![Picture {len(pictures)} of lesson {lesson.number}]({lesson.name}/{name})")
    return {f"course/{lesson.name}.md": "\n\n".join(parts) + "\n", **pictures}


def code(source: str) -> str:
    """A cell of code; of an exercise what a learner begins with, and the solution to unfold."""
    if not has_solution(source):
        return fenced(source, "python")
    solved = re.sub(rf"^ *{STUB}\n.*?(?=^ *{END})", "", source + "\n", flags=re.MULTILINE | re.DOTALL)
    solved = re.sub(rf"^ *(?:{BEGIN}|{END})\n", "", solved, flags=re.MULTILINE)
    folded = "\n".join(f"    {line}".rstrip() for line in fenced(solved.rstrip(), "python").split("\n"))
    return f'{fenced(learners_copy(source), "python")}\n\n??? note "A solution"\n\n{folded}'


def fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def linked(text: str) -> str:
    """Text of a notebook as MkDocs reads it.

    Links between notebooks become links between pages, those into the repository their names; and a list needs an
    empty line above it.
    """
    text = re.sub(rf"^(?!{ITEM})(\S.*\n)(?={FIRST})", r"\1\n", text, flags=re.MULTILINE)
    text = re.sub(r"\]\((\d\d_\w+)\.(?:ipynb|py)\)", r"](\1.md)", text)
    return re.sub(r"\[([^\]]+)\]\(\.\./([^)]+)\)", r"\1 (`\2`)", text)
