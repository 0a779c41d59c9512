"""Pages about the commands: what the README shows of each, and its arguments, read from its own parser."""

from __future__ import annotations

import argparse
import importlib
import re
import textwrap
from functools import partial

from minidarknet.cli import COMMANDS

SECTION = re.compile(r"^## ", re.MULTILINE)
#: Letters in a line of usage.
WIDTH = 96
USED = re.compile(r"^    (?:\$ )?minidarknet ([a-z-]+)", re.MULTILINE)


def command_pages(readme: str) -> dict[str, str]:
    """A page for each command, and one that lists them: addresses and Markdown."""
    rows = [f"| [`{name}`]({name}.md) | {does} |" for name, does in COMMANDS.items()]
    table = "\n".join(["| command | |", "| --- | --- |", *rows])
    intro = "Every command says more with `--help`. Results go to stdout, all else to stderr; `--json` is for programs."
    pages = {"commands/index.md": f"# Commands\n\n{intro}\n\n{table}\n\n{exit_codes()}\n"}
    for name in COMMANDS:
        pages[f"commands/{name}.md"] = page(name, readme)
    return pages


def exit_codes() -> str:
    """What the package says about its exit codes."""
    text = importlib.import_module("minidarknet.cli").EPILOG.partition("exit codes:")[2]
    return f"Exit codes: {' '.join(text.split())}."


def page(name: str, readme: str) -> str:
    module = importlib.import_module(f"minidarknet.cli.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"minidarknet {name}", allow_abbrev=False)
    module.add_arguments(parser)
    does = COMMANDS[name]
    parts = [f"# {name}", f"{does[0].upper()}{does[1:]}.", *sections(name, readme), *arguments(parser)]
    return "\n\n".join(parts) + "\n"


def sections(name: str, readme: str) -> list[str]:
    """The README's sections that begin with this command; where there is none, those that show it."""
    found = SECTION.split(readme)[1:]
    first = [text for text in found if USED.findall(text)[:1] == [name]]
    chosen = first or [text for text in found if name in USED.findall(text)]
    # Pages lie one folder below the README's.
    return [re.sub(r"\]\((?!\w+:|#)", "](../../", f"## {text.strip()}") for text in chosen]


def arguments(parser: argparse.ArgumentParser, level: int = 2) -> list[str]:
    """A command's usage, arguments and closing words; then those of what stands below it."""
    marks = "#" * level
    parser.formatter_class = partial(parser.formatter_class, width=WIDTH)
    usage = textwrap.dedent(f"       {parser.format_usage().removeprefix('usage: ')}").strip()
    parts = [f"{marks} {'Usage' if level == 2 else parser.prog}", f"```text\n{usage}\n```"]
    formatter, rows, below = parser._get_formatter(), [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below = list(action.choices.values())
        elif action.dest != "help":
            meant = cell(formatter._expand_help(action)) if action.help else ""
            rows.append(f"| {cell(shown(action))} | {meant} |")
    if rows:
        parts.append("\n".join(["| argument | meaning |", "| --- | --- |", *rows]))
    if parser.epilog:
        parts.append(f"```text\n{parser.epilog.rstrip()}\n```")
    for one in below:
        parts += arguments(one, level + 1)
    return parts


def shown(action: argparse.Action) -> str:
    """An argument as it is typed."""
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = action.metavar or (",".join(map(str, action.choices)) if action.choices else action.dest.upper())
    takes = "" if action.nargs == 0 else f" {value}"
    return ", ".join(f"`{option}{takes}`" for option in action.option_strings)


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
