"""What every section and option of a cfg means: taken from the very tables that the parser reads by."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import Any, get_type_hints

from minidarknet.errors import UsageError
from minidarknet.layers import LAYERS
from minidarknet.layers.base import LayerOptions
from minidarknet.net_options import NetOptions
from minidarknet.options import nearest

#: How a type is called in a cfg.
TYPES: dict[Any, str] = {
    int: "whole number",
    float: "number",
    bool: "0 or 1",
    str: "word",
    tuple[int, ...]: "whole numbers, parted by commas",
    tuple[float, ...]: "numbers, parted by commas",
}


@dataclass(frozen=True)
class OptionFacts:
    """One option: what it may be, what it is where the cfg does not say, and what it means."""

    name: str
    type: str
    default: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    meaning: str


@dataclass(frozen=True)
class SectionFacts:
    """One section: its other names, what it does, whether it can be run, and its options, own ones first."""

    name: str
    aliases: tuple[str, ...]
    meaning: str
    runs: bool
    options: tuple[OptionFacts, ...]
    shared: tuple[OptionFacts, ...]


def sections() -> dict[str, SectionFacts]:
    """Every section by its full name: `net` first, then the layers."""
    meaning = "The input, and how the network is trained."
    found = {"net": SectionFacts("net", ("network",), meaning, True, _options(NetOptions), ())}
    shared = _options(LayerOptions)
    names = {option.name for option in shared}
    for kind in dict.fromkeys(LAYERS.values()):
        aliases = tuple(name for name, other in LAYERS.items() if other is kind and name != kind.kind)
        own = tuple(option for option in _options(kind.Options) if option.name not in names)
        found[kind.kind] = SectionFacts(kind.kind, aliases, _first_sentence(kind), kind.runs, own, shared)
    return found


def section(name: str) -> SectionFacts:
    """The section of a name or an alias; a `UsageError` says which there are."""
    known = sections()
    for facts in known.values():
        if name in (facts.name, *facts.aliases):
            return facts
    raise UsageError(f"no section is called {name!r}{nearest(name, known)}; known are {', '.join(known)}")


def option(facts: SectionFacts, name: str) -> OptionFacts:
    """One option of a section; a `UsageError` says which there are."""
    options = {found.name: found for found in (*facts.options, *facts.shared)}
    if name not in options:
        hint = nearest(name, options)
        raise UsageError(f"[{facts.name}] has no option {name!r}{hint}; known are {', '.join(options)}")
    return options[name]


def _options(cls: Any) -> tuple[OptionFacts, ...]:
    types = get_type_hints(cls)
    found = []
    for field in dataclasses.fields(cls):
        limits = field.metadata
        choices = tuple(limits["choices"] or ())
        found.append(
            OptionFacts(
                field.name.rstrip("_"),
                TYPES[types[field.name]],
                "must be given" if field.default is dataclasses.MISSING else _written(field.default),
                limits["minimum"],
                limits["maximum"],
                choices,
                limits["doc"],
            )
        )
    return tuple(found)


def _written(value: Any) -> str:
    """A default as it would stand in a cfg."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"


def _first_sentence(kind: Any) -> str:
    """What the layer's file says of it in its first sentence."""
    text = " ".join((sys.modules[kind.__module__].__doc__ or "").split("\n\n")[0].split())
    return text if text.endswith(".") else text.split(". ")[0].rstrip(".:") + "."
