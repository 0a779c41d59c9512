"""What bounds a layer's speed, in words: arithmetic or memory, measured against what this machine can do at the most.

A layer has to do its operations, and to move its numbers, each at least once. At the machine's measured peak both take
some time; the longer of the two is the least that the layer can take (the roofline). Source: Williams, Waterman and
Patterson, Roofline, 2009, https://doi.org/10.1145/1498765.1498785.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minidarknet.benchmark import Machine
from minidarknet.trace.records import Stage

#: Below this share of its limit, neither arithmetic nor memory explains a layer's time.
FAR = 0.25


@dataclass(frozen=True)
class Speed:
    """The time of a layer, and what bounds it.

    Attributes
    ----------
    layer, kind
        Its number and kind.
    seconds
        Of all of its stages.
    share
        Of the time of all layers.
    flops, moved
        Operations, and bytes of inputs, outputs and parameters, for the batch.
    least
        Seconds that the operations and the bytes take at the machine's peak; None where that is not known.
    parts
        The stages with their seconds.
    """

    layer: int
    kind: str
    seconds: float
    share: float
    flops: int
    moved: int
    least: tuple[float, float] | None
    parts: tuple[tuple[str, float], ...]

    @property
    def gflops(self) -> float | None:
        """10^9 operations a second; None for a layer without any that Darknet counts."""
        return self.flops / self.seconds / 1e9 if self.flops and self.seconds else None

    @property
    def of_peak(self) -> float | None:
        """Operations a second as a share of the peak."""
        return self.least[0] / self.seconds if self.least and self.flops and self.seconds else None

    @property
    def of_memory(self) -> float | None:
        """Bytes a second as a share of what memory gives."""
        return self.least[1] / self.seconds if self.least and self.moved and self.seconds else None

    @property
    def bound(self) -> str:
        """`arithmetic`, `memory`, or nothing where the peak is not known."""
        if self.least is None:
            return ""
        return "arithmetic" if self.least[0] > self.least[1] else "memory"

    def reason(self, machine: Machine | None) -> str:
        """Why it takes that long, in a sentence or two."""
        if machine is None or self.least is None:
            return ""
        arithmetic, memory = self.least
        what = (
            f"At this machine's peak its {self.flops / 1e9:.3f} billion operations would take {ms(arithmetic)}, and "
            f"its {self.moved / 1e6:.2f} MB {ms(memory)}."
            if self.flops
            else f"There is next to nothing to calculate; at the peak its {self.moved / 1e6:.2f} MB take {ms(memory)}."
        )
        if not self.seconds:
            return what
        reached = max(self.least) / self.seconds
        text = f"{what} So it is bound by {self.bound}, and reaches {100 * reached:.0f} % of that limit."
        if reached > 1:
            why = (
                "Winograd's method needs fewer multiplications than are counted"
                if self.bound == "arithmetic"
                else "its numbers were still in a cache"
            )
            return f"{text} More than all is possible: {why}."
        if reached < FAR:
            text += self._elsewhere(machine)
        return text

    def _elsewhere(self, machine: Machine) -> str:
        """Where the time goes that the limit does not explain."""
        others = [(name, seconds) for name, seconds in self.parts[1:]]
        rest = sum(seconds for _, seconds in others)
        if self.flops and rest > self.seconds / 2:
            names = ", ".join(name for name, _ in others)
            return f" Most of its time goes to what comes behind the products ({names}): passes over memory, no products."
        if self.seconds < 2e-4:
            return " It is too small to keep the machine busy: starting its loops takes longer than the work."
        return f" The rest is lost inside of its loop, or in waiting for the {machine.threads} threads."


def speeds(stages: Sequence[Stage], machine: Machine | None) -> list[Speed]:
    """The speed of every layer of a trace that was timed."""
    layers: dict[int, list[Stage]] = {}
    for stage in stages:
        layers.setdefault(stage.layer, []).append(stage)
    whole = sum(stage.seconds or 0.0 for stage in stages)
    found = []
    for index, own in layers.items():
        seconds = sum(stage.seconds or 0.0 for stage in own)
        flops, moved = own[0].flops * own[0].shape[0], own[0].bytes
        least = (flops / machine.flops, moved / machine.bandwidth) if machine else None
        parts = tuple((stage.name, stage.seconds or 0.0) for stage in own)
        share = seconds / whole if whole else 0.0
        found.append(Speed(index, own[0].kind, seconds, share, flops, moved, least, parts))
    return found


def ms(seconds: float) -> str:
    """Seconds as milliseconds, with as many digits as mean something."""
    return f"{1e3 * seconds:.3g} ms"
