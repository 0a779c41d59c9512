"""Watching a network learn: for chosen batches, how far each layer moves, and which of its units take part.

    trace = TrainingTrace(training, every=10)       of every tenth batch; training is a `training.Training`
    for step in training.steps(): ...
    for layer in trace.records[-1].layers:
        print(layer.title, layer.norms and layer.norms.ratio, layer.same, layer.unreached)

The ratio is the length of a step beside the length of the numbers that it changes. Around 0.001 is usual: where it is
far less, a layer hardly learns; where it is far more, a step leaps over what it looks for. That is a rule of thumb, of
Karpathy's (CS231n, "Ratio of weights:updates"), not a law.

A traced batch goes through the same kernels in the same order (`Learner.forward_steps` and `backward_steps`), so that
training ends with the same bits. Of a batch that nobody traces nothing is recorded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minidarknet.errors import UsageError
from minidarknet.kernels.survey import HIGH, LOW, ZEROS, survey
from minidarknet.layers.base import Layer
from minidarknet.layers.batchnorm import Batchnorm
from minidarknet.layers.finish import Finished
from minidarknet.layers.parameter import Array, Parameter
from minidarknet.learning import LOSSES
from minidarknet.trace.training_records import DEAD, Drift, LayerTrace, Norms, StepTrace
from minidarknet.training import Step, Training

#: Numbers that are added up in float64 at a time, so that no copy of a whole layer is made.
PIECE = 1 << 20


@dataclass
class _Units:
    """What was seen of a layer's channels so far in a batch: bounds of their numbers, and whether a gradient came."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    several: bool = False
    asked: bool = False
    reached: NDArray[np.bool_] | bool = False


class TrainingTrace:
    """Records of a training, one for each traced batch. Making one is enough: the training tells it everything.

    Parameters
    ----------
    training
        What is watched.
    every
        Batches with a number that this divides are traced.
    told
        Is called with each record; None keeps them all in `records`.

    Attributes
    ----------
    records
        In the order of the batches.

    Raises
    ------
    UsageError
        `every` is less than 1.
    """

    def __init__(self, training: Training, every: int = 1, told: Callable[[StepTrace], object] | None = None) -> None:
        if every < 1:
            raise UsageError(f"a trace of every {every} batches: expected 1 or more")
        self.every, self.records = every, list[StepTrace]()
        self._learner, self._batch = training.learner, training.options.batch
        self._told = told or self.records.append
        training.watch = self

    # -- what the training calls ---------------------------------------------------------------------------------

    def due(self, batch: int) -> bool:
        """Whether the batch of this number is traced; clears what was seen of the one before."""
        self._units: dict[int, _Units] = {}
        self._statistics: dict[int, list[tuple[Array, Array]]] = {}
        return batch % self.every == 0

    def learn(self, x: ArrayLike, truth: ArrayLike, seed: int) -> float:
        """The same as `Learner.step`, watched; called for each part of a batch."""
        for layer, output in self._learner.forward_steps(x, truth, seed):
            self._see_output(layer, output)
            if (seen := _statistics(layer)) is not None:
                self._statistics.setdefault(layer.index, []).append(seen)
        for layer, grad in self._learner.backward_steps():
            if not isinstance(layer, LOSSES):  # whose own gradient comes up inside of it
                units = self._units[layer.index]
                units.asked, units.reached = True, units.reached | ~_zero(grad)
        loss = self._learner.network.loss
        assert loss is not None, "a training has a loss"
        return loss

    def before_update(self) -> None:
        """Remember what the optimizer is about to change."""
        learning = [(layer, p) for layer, p in self._learner.network.parameters() if p.learns]
        self._before = {(layer.index, p.name): p.value.copy() for layer, p in learning}
        self._gradients = {(layer.index, p.name): length(p.gradient) / self._batch for layer, p in learning}

    def after_update(self, step: Step) -> None:
        """Make the record."""
        layers = [self._layer(layer) for layer in self._learner.layers]
        self._before.clear()
        self._told(StepTrace(step.batch, step.epoch, step.seen, step.loss, step.rate, layers))

    # -- one layer -----------------------------------------------------------------------------------------------

    def _see_output(self, layer: Layer, output: Array) -> None:
        low, high = _bounds(output)
        units = self._units.setdefault(layer.index, _Units(low, high))
        units.several |= output.size > output.shape[1] or units.low is not low
        units.low, units.high = np.minimum(units.low, low), np.maximum(units.high, high)

    def _layer(self, layer: Layer) -> LayerTrace:
        units = self._units[layer.index]
        same = (units.low == units.high) & units.several  # a single number is no constant
        zero = same & (units.low == 0)
        unreached = ~np.broadcast_to(units.reached, same.shape) if units.asked else np.zeros_like(same)
        norms = {p.name: self._norms(layer, p) for p in layer.parameters() if p.learns}
        return LayerTrace(
            layer=layer.index,
            kind=layer.kind,
            norms=together(list(norms.values())) if norms else None,
            parameters=norms,
            units=len(same),
            same=int(same.sum()),
            zero=int(zero.sum()),
            unreached=int(unreached.sum()) if units.asked else None,
            dead=[int(channel) for channel in np.flatnonzero(same | unreached)[:DEAD]],
            drift=self._drift(layer),
        )

    def _norms(self, layer: Layer, parameter: Parameter) -> Norms:
        key = (layer.index, parameter.name)
        before = self._before[key]
        return Norms(self._gradients[key], length(before), length(parameter.value, before))

    def _drift(self, layer: Layer) -> Drift | None:
        """How far the batch lies from the rolling averages; of several parts, the mean of their statistics."""
        seen = self._statistics.get(layer.index)
        if seen is None:
            return None
        mean, variance = (np.mean(parts, axis=0, dtype=np.float64) for parts in zip(*seen, strict=True))
        norm = layer.batch_norm  # type: ignore[attr-defined]  # who has statistics has it
        rolling_mean, rolling_variance = (p.value.astype(np.float64) for p in (norm.mean, norm.variance))
        usual = np.maximum(rolling_variance, np.finfo(np.float32).tiny)
        away = (mean - rolling_mean) / np.sqrt(usual)
        times = np.log(np.maximum(variance, np.finfo(np.float32).tiny) / usual)
        return Drift(float(np.sqrt(np.square(away).mean())), float(np.sqrt(np.square(times).mean())))


def _statistics(layer: Layer) -> tuple[Array, Array] | None:
    """A copy of the mean and the variance that a layer with batch norm has just seen."""
    if isinstance(layer, Batchnorm) or (isinstance(layer, Finished) and layer.batch_norm):
        mean, variance = layer.statistics
        return mean.copy(), variance.copy()
    return None


def _facts(array: Array) -> NDArray[np.float64]:
    """What `survey` says of each channel of each image, (batch, channels, 6)."""
    batch, channels = array.shape[:2]
    facts = np.empty((batch * channels, 6))
    survey(facts, array.reshape(batch * channels, -1))
    return facts.reshape(batch, channels, 6)


def _bounds(array: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The smallest and the largest number of each channel in a batch."""
    facts = _facts(array)
    return facts[..., LOW].min(axis=0), facts[..., HIGH].max(axis=0)


def _zero(array: Array) -> NDArray[np.bool_]:
    """For each channel whether it is 0 in all of the batch."""
    cells = array.shape[2] * array.shape[3]
    return np.asarray((_facts(array)[..., ZEROS] == cells).all(axis=0))


def length(array: Array, other: Array | None = None) -> float:
    """The Euclidean length of an array, or of its difference from another, added up in float64."""
    flat, total = array.reshape(-1), 0.0
    for start in range(0, flat.size, PIECE):
        part = flat[start : start + PIECE].astype(np.float64)
        if other is not None:
            part -= other.reshape(-1)[start : start + PIECE]
        total += float(np.square(part).sum())
    return math.sqrt(total)


def together(parts: list[Norms]) -> Norms:
    """The lengths of several arrays as if they were one."""
    return Norms(*(math.hypot(*(getattr(part, name) for part in parts)) for name in ("gradient", "weight", "update")))
