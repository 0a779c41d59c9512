"""The records of an explanation: terms, which are put together, and steps, which make a number of their total."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidarknet.explain.places import Place

#: How far a kernel's float32 number may lie from its float64 explanation, as a share of the size of what went in.
BOUND = 1e-5


@dataclass(frozen=True)
class Term:
    """One number that goes in, and what it adds.

    Attributes
    ----------
    source
        Where the number comes from; None for what lies outside of the picture, and for constants.
    value, factor
        The number there, and what it is multiplied with (1 where nothing is).
    product
        What goes into the total: value * factor; for a softmax the exponential, for a normalisation the square.
    own
        Whether the number is made *of* this one, not only changed by it: what a chain may follow.
    """

    source: Place | None
    value: float
    factor: float
    product: float
    own: bool = True

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        source = None if self.source is None else [self.source.layer, *self.source.index]
        return {"source": source, "value": self.value, "factor": self.factor, "product": self.product, "own": self.own}


@dataclass(frozen=True)
class Step:
    """What is done behind the terms, one thing at a time.

    Attributes
    ----------
    name
        As in a trace: normalised, scale and bias, leaky, ...
    expression
        Plain Python that gives the value, with sqrt and exp from `math`; empty for the first step, the total.
    value
        In float64.
    size
        The sizes, added up, of what has gone in: what rounding is measured by, as differences may be small.
    """

    name: str
    expression: str
    value: float
    size: float


def add_up(numbers: list[float]) -> float:
    """The sum, rounded once; NaN and infinity as in any sum."""
    return math.fsum(numbers) if all(map(math.isfinite, numbers)) else float(np.sum(numbers))


@dataclass
class Working:
    """An explanation as it is written down: `then` adds a step."""

    terms: list[Term]
    steps: list[Step] = field(default_factory=list)
    grid: tuple[int, int, int] | None = None

    @property
    def value(self) -> float:
        return self.steps[-1].value

    @property
    def size(self) -> float:
        return self.steps[-1].size

    def total(self, what: str, size: float = 0.0) -> Working:
        """The sum of the terms, as the first step; `size` is that of more numbers that the kernel's rounding sees."""
        products = [term.product for term in self.terms]
        count = len(products)
        name = "the number" if count == 1 else f"sum of {count:,} {what}"
        return self.then(name, "", add_up(products), max(size, add_up([abs(product) for product in products])))

    def then(self, name: str, expression: str, value: float, size: float) -> Working:
        self.steps.append(Step(name, expression, float(value), float(size)))
        return self


@dataclass(frozen=True)
class Explanation:
    """One number of a layer's output, explained.

    Attributes
    ----------
    place, kind
        Where it stands, and the layer's kind.
    terms
        All that went in, in the layer's own order.
    grid
        The sides (channels, rows, columns) of the window that the terms are, where they are one.
    steps
        The total of the terms first; the last one's value is the number.
    kernel
        The number that the layer's kernel has computed, in float32.
    """

    place: Place
    kind: str
    terms: list[Term]
    grid: tuple[int, int, int] | None
    steps: list[Step]
    kernel: float

    @property
    def title(self) -> str:
        return f"layer {self.place.layer} [{self.kind}], {where(self.place)}"

    @property
    def value(self) -> float:
        """The number, in float64."""
        return self.steps[-1].value

    @property
    def bound(self) -> float:
        """How far the kernel's number may be off."""
        return BOUND * self.steps[-1].size

    @property
    def off(self) -> float:
        """How far the kernel's number is off; 0 where both are NaN, or beyond the range of a float32."""
        with np.errstate(over="ignore"):
            rounded = float(np.float32(self.value))
        if self.kernel in (self.value, rounded) or (math.isnan(self.value) and math.isnan(self.kernel)):
            return abs(self.value - self.kernel) if math.isfinite(self.kernel) else 0.0
        off = abs(self.value - self.kernel)
        return off if math.isfinite(off) else math.inf

    @property
    def agrees(self) -> bool:
        return self.off == 0 or self.off <= self.bound

    @property
    def lead(self) -> Term | None:
        """The term that adds most, of either sign, among those that the number is made of and that stand somewhere."""
        there = [term for term in self.terms if term.own and term.source is not None]
        return max(there, key=lambda term: (abs(term.product), abs(term.factor)), default=None)

    def largest(self, count: int | None = None) -> list[Term]:
        """The terms that stand somewhere, those that add most first, of either sign; at most `count` of them."""
        return sorted((t for t in self.terms if t.source is not None), key=lambda t: -abs(t.product))[:count]

    def as_dict(self, terms: int | None = None) -> dict[str, Any]:
        """As plain values; with `terms`, only so many of the largest."""
        chosen = self.terms if terms is None else self.largest(terms)
        return {
            "place": [self.place.layer, *self.place.index],
            "kind": self.kind,
            "terms": [term.as_dict() for term in chosen],
            "grid": None if self.grid is None or terms is not None else list(self.grid),
            "steps": [{"name": s.name, "expression": s.expression, "value": s.value} for s in self.steps],
            "value": self.value,
            "kernel": self.kernel,
            "off": self.off,
            "bound": self.bound,
            "agrees": self.agrees,
        }


def where(place: Place) -> str:
    """A place inside its layer, in words."""
    return f"channel {place.channel}, row {place.row}, column {place.column}"


def n(value: float | np.floating[Any]) -> str:
    """A number as it stands in an expression: a float32 can be told from its nine digits; negative ones in brackets."""
    text = f"{float(value):.9g}"
    return f"({text})" if text.startswith("-") else text
