"""Pages about the sections of a cfg: a layer's own docstring, and its options from the tables of the parser."""

from __future__ import annotations

import inspect
import re
import sys

from minidarknet import net_options
from minidarknet.course.lessons import lessons
from minidarknet.layers import LAYERS
from minidarknet.reference import OptionFacts, SectionFacts, sections

LESSON = re.compile(r"^Lesson: lessons/(\w+)\.py$", re.MULTILINE)


def layer_pages() -> dict[str, str]:
    """A page for each section, and one that lists them: addresses and Markdown."""
    found = sections()
    rows = [f"| [`[{name}]`]({name}.md) | {facts.meaning} |" for name, facts in found.items()]
    intro = "What may stand in a cfg. `minidarknet explain-cfg` tells the same on the command line."
    table = "\n".join(["| section | |", "| --- | --- |", *rows])
    pages = {"layers/index.md": f"# Sections of a cfg\n\n{intro}\n\n{table}\n"}
    for name, facts in found.items():
        pages[f"layers/{name}.md"] = page(facts)
    return pages


def page(facts: SectionFacts) -> str:
    names = ", ".join(f"`[{alias}]`" for alias in facts.aliases)
    parts = [f"# [{facts.name}]"]
    if names:
        parts.append(f"Also written {names}.")
    module = net_options if facts.name == "net" else sys.modules[LAYERS[facts.name].__module__]
    parts.append(described(inspect.cleandoc(module.__doc__ or "")))
    parts.append(f"In the code: `{module.__name__.replace('.', '/')}.py`.")
    if not facts.runs:
        parts.append("It is shown in the layer table, and not run.")
    if facts.options:
        parts += ["## Options", options(facts.options)]
    if facts.shared:
        parts += ["## Options that every layer has", options(facts.shared)]
    return "\n\n".join(parts) + "\n"


def described(text: str) -> str:
    """A docstring as Markdown, with a link to the lesson that it names."""

    known = {lesson.name: lesson for lesson in lessons() if lesson.path.with_suffix(".ipynb").is_file()}

    def linked(found: re.Match[str]) -> str:
        name = found[1]
        if name not in known:
            return found[0]
        return f"**Build it yourself**: [lesson {known[name].number}, {known[name].title}](../course/{name}.md)."

    return LESSON.sub(linked, text)


def options(found: tuple[OptionFacts, ...]) -> str:
    rows = [f"| `{one.name}` | `{one.default}` | {one.meaning} | {may_be(one)} |" for one in found]
    return "\n".join(["| option | default | meaning | may be |", "| --- | --- | --- | --- |", *rows])


def may_be(facts: OptionFacts) -> str:
    """The values that an option takes."""
    if facts.choices:
        return ", ".join(f"`{choice}`" for choice in facts.choices)
    if facts.minimum is not None and facts.maximum is not None:
        return f"{facts.type}, {facts.minimum:,} to {facts.maximum:,}"
    return facts.type if facts.minimum is None else f"{facts.type}, {facts.minimum:,} or more"
