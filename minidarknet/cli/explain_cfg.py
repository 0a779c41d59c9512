"""`minidarknet explain-cfg [SECTION[.OPTION]]`: what may stand in a cfg, and what it means."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minidarknet.reference import OptionFacts, SectionFacts

EPILOG = """\
  minidarknet explain-cfg                     all sections
  minidarknet explain-cfg maxpool             all options of one
  minidarknet explain-cfg maxpool.padding     one option
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("what", nargs="?", metavar="SECTION[.OPTION]", help="what to explain (default: all sections)")
    parser.add_argument("--json", action="store_true", help="print everything for a program to read")


def run(options: argparse.Namespace) -> int:
    from minidarknet import console, reference

    if options.what is None:
        known = reference.sections()
        if options.json:
            console.result_json({name: asdict(facts) for name, facts in known.items()})
            return 0
        for facts in known.values():
            note = "" if facts.runs else " (only shown in the table, not run)"
            console.result(f"{_title(facts)}\n    {facts.meaning}{note}")
        return 0
    name, _, key = options.what.partition(".")
    facts = reference.section(name.strip("[]"))
    if key:
        found = reference.option(facts, key)
        if options.json:
            console.result_json(asdict(found))
        else:
            _explain([found])
        return 0
    if options.json:
        console.result_json(asdict(facts))
        return 0
    console.result(f"{_title(facts)}\n{facts.meaning}\n")
    _explain([*facts.options])
    if facts.shared:
        console.result("\nevery layer also has")
        _explain([*facts.shared])
    return 0


def _title(facts: SectionFacts) -> str:
    names = " or ".join(f"[{alias}]" for alias in facts.aliases)
    return f"[{facts.name}]" + (f", also {names}" if names else "")


def _explain(found: list[OptionFacts]) -> None:
    """One line for each option, and what it may be below it."""
    from minidarknet import console

    for facts in found:
        kind = facts.type
        if facts.choices:
            kind = f"one of {', '.join(facts.choices)}"
        elif facts.minimum is not None and facts.maximum is not None:
            kind += f" from {facts.minimum:,} to {facts.maximum:,}"
        elif facts.minimum is not None:
            kind += f", {facts.minimum:,} or more"
        console.result(f"{facts.name} = {facts.default}\n    {facts.meaning}\n    {kind}")
