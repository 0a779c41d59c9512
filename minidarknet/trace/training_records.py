"""What a traced batch is told as: plain records, and how they are written and read (docs/trace.md has the format)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

#: The version of what `StepTrace.as_dict` gives.
SCHEMA = 1
#: The usual length of a step beside that of the numbers that it changes.
USUAL = 1e-3
#: So many dead units of a layer are named; all of them are counted.
DEAD = 16


@dataclass(frozen=True)
class Norms:
    """Euclidean lengths.

    Attributes
    ----------
    gradient
        Of the loss's gradient, the mean over the batch's images, without decay.
    weight
        Of the numbers before the step.
    update
        Of what the step has changed.
    """

    gradient: float
    weight: float
    update: float

    @property
    def ratio(self) -> float | None:
        """The update beside the numbers; None where these are all 0, as biases are at first."""
        return self.update / self.weight if self.weight else None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio}


@dataclass(frozen=True)
class Drift:
    """How far a batch's own mean and variance lie from the rolling averages that a prediction would use.

    Attributes
    ----------
    mean
        The difference of the means in rolling deviations, root mean square over the channels.
    variance
        The logarithm of the variances' quotient, root mean square over the channels: 0.7 is a factor of two.
    """

    mean: float
    variance: float


@dataclass(frozen=True)
class LayerTrace:
    """One layer in one batch.

    Attributes
    ----------
    layer, kind
        Its number and kind.
    norms
        Of all that it learns; None where it learns nothing.
    parameters
        The same for each kind of parameter: weights, biases, scales.
    units
        How many channels it has.
    same, zero
        Channels whose output is the same number everywhere in the batch; those of them that are 0.
    unreached
        Channels whose output no gradient reaches: it is exactly 0 in all of the batch. None where none is asked for:
        nothing there or before learns, or the loss itself is there.
    dead
        The first channels that are `same` or `unreached`.
    drift
        For batch norm.
    """

    layer: int
    kind: str
    norms: Norms | None
    parameters: dict[str, Norms]
    units: int
    same: int
    zero: int
    unreached: int | None
    dead: list[int]
    drift: Drift | None

    @property
    def title(self) -> str:
        """As messages call it: `layer 4 [convolutional]`."""
        return f"layer {self.layer} [{self.kind}]"

    @property
    def ratio(self) -> float | None:
        """The ratio of all that it learns; None where there is none."""
        return self.norms.ratio if self.norms else None

    def as_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "norms": self.norms.as_dict() if self.norms else None,
            "parameters": {name: norms.as_dict() for name, norms in self.parameters.items()},
        }


@dataclass(frozen=True)
class StepTrace:
    """One batch: where it stands, its loss before the step, the rate of the step, and each layer."""

    batch: int
    epoch: float
    seen: int
    loss: float
    rate: float
    layers: list[LayerTrace]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, with the version of their form."""
        plain = {name: getattr(self, name) for name in ("batch", "epoch", "seen", "loss", "rate")}
        return {"schema": SCHEMA, **plain, "layers": [layer.as_dict() for layer in self.layers]}

    def line(self) -> bytes:
        """The record as a line of JSON; numbers that are not finite, which JSON lacks, become null."""
        return (json.dumps(_finite(self.as_dict()), allow_nan=False) + "\n").encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_training_trace(path: str | PathLike[str]) -> Iterator[dict[str, Any]]:
    """The records of a `.trace.jsonl` file as plain values; a last line that is not complete is left out."""
    with open(path, "rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)
