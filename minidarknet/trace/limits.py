"""What bounds a layer's speed, in words: arithmetic or memory, measured against what this machine can do at the most.

A layer has to do its operations, and to move its numbers. At the machine's measured peak both take some time; the
longer of the two is the least that the layer can take (the roofline). Source: Williams, Waterman and Patterson,
Roofline, 2009, https://doi.org/10.1145/1498765.1498785.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from minidarknet.benchmark import Machine
from minidarknet.layers.base import Layer
from minidarknet.layers.convolutional import Convolutional
from minidarknet.trace.records import Stage

#: Below this share of its limit, neither arithmetic nor memory explains a layer's time.
FAR = 0.25
#: Seconds of a layer that is so short that starting its loops counts.
SHORT = 2e-4
#: Between a number and its unit, which belong on one line.
SPACE = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Speed:
    """The time of a layer, stage by stage, and what bounds it.

    Attributes
    ----------
    layer
        The layer.
    seconds
        Of all of its stages.
    share
        Of the time of all layers.
    flops, moved
        Operations for the batch, and bytes: inputs, outputs and parameters once, and the outputs read and written
        once more by each stage behind the first.
    stages
        How many stages that are.
    machine
        What it is measured against; None where that is not known.
    """

    layer: Layer
    seconds: float
    share: float
    flops: int
    moved: int
    stages: int
    machine: Machine | None

    @property
    def gflops(self) -> float | None:
        """10^9 operations a second; None for a layer without any that Darknet counts."""
        return self.flops / self.seconds / 1e9 if self.flops and self.seconds else None

    @property
    def arithmetic(self) -> float:
        """The seconds of its operations at the machine's peak."""
        return self.flops / self.machine.flops if self.machine else 0.0

    @property
    def memory(self) -> float:
        """The seconds of its bytes at the machine's peak."""
        return self.moved / self.machine.bandwidth if self.machine else 0.0

    @property
    def bound(self) -> str:
        """`arithmetic` or `memory`; nothing where the peak is not known."""
        return "" if self.machine is None else "arithmetic" if self.arithmetic > self.memory else "memory"

    @property
    def reached(self) -> float | None:
        """The share of that peak."""
        return max(self.arithmetic, self.memory) / self.seconds if self.machine and self.seconds else None

    def reason(self) -> str:
        """Why it takes that long, in a sentence or two; nothing where the peak is not known."""
        if self.machine is None or self.reached is None:
            return ""
        moving = f"moving its {self.moved / 1e6:.2f} MB"
        passes = " (each stage behind the first reads and writes all outputs once more)" if self.stages > 1 else ""
        text = (
            f"At this machine's peak, its {amount(self.flops)} operations would take {ms(self.arithmetic)}, and "
            f"{moving} {ms(self.memory)}{passes}"
            if self.flops
            else f"There is next to nothing to calculate; {moving} would take {ms(self.memory)} at this machine's peak"
        )
        text += f": it is bound by {self.bound}, and reaches {whole_percent(self.reached)} of that limit."
        return text + self._odd()

    def _odd(self) -> str:
        """What there is to say of a share that is too good to be true, or poor."""
        if self.machine is None or self.reached is None or FAR <= self.reached <= 1:
            return ""
        if self.reached > 1 and self.bound == "memory":
            return " That is more than memory gives: its numbers were still in a cache."
        if self.reached > 1:
            winograd = isinstance(self.layer, Convolutional) and self.layer.convolver.method == "winograd"
            return " Winograd's method needs fewer multiplications than are counted." if winograd else ""
        if self.seconds < SHORT:
            return f" In so short a time, starting its loops on {self.machine.threads} threads counts."
        return " What takes the rest, these numbers do not tell."


def speeds(layers: Sequence[Layer], stages: Sequence[Stage], machine: Machine | None) -> list[Speed]:
    """The speed of every layer of a trace that was timed."""
    whole = sum(stage.seconds or 0.0 for stage in stages)
    found = []
    for layer in layers:
        first, *others = [stage for stage in stages if stage.layer == layer.index]
        seconds = sum(stage.seconds or 0.0 for stage in (first, *others))
        moved = first.bytes + sum(2 * 4 * prod(stage.shape) for stage in others)
        share = seconds / whole if whole else 0.0
        found.append(Speed(layer, seconds, share, first.flops * first.shape[0], moved, 1 + len(others), machine))
    return found


def amount(operations: int) -> str:
    """Operations in words: `0.058 billion`, or all digits of a few."""
    return f"{operations / 1e9:.3f} billion" if operations >= 5_000_000 else f"{operations:,}"


def ms(seconds: float) -> str:
    """Seconds as milliseconds, or as millionths, with as many digits as mean something."""
    if 0 < seconds < 1e-5:
        return f"{1e6 * seconds:.2g}{SPACE}\N{MICRO SIGN}s"
    return f"{1e3 * seconds:.3g}{SPACE}ms"


def whole_percent(share: float) -> str:
    """A share as whole per cent; one that would be 0 as less than 1."""
    return f"{100 * share:.0f}{SPACE}%" if share >= 0.005 or share == 0 else f"less than 1{SPACE}%"
