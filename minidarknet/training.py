"""Training: batch after batch, forward and back through each of its parts, then one step of the optimizer.

    training = Training(network, dataset, seed=0)
    for step in training.steps():                  # until max_batches; break off whenever you like
        print(step.batch, step.loss, step.average)

Counting is Darknet's. `seen` counts images, and goes on from the weights file. The batch with which `seen` images will
have been seen has the number seen / batch, so that the first one is number 1, and the rate is that of this number. A
batch comes in `subdivisions` parts, whose gradients add up: less memory, the same step (but for batch norm, which looks
at one part at a time). The loss is the mean over the images, and the running one .9 of itself and .1 of the new one.

What a batch shows, and what dropout drops, follow from the seed and the batch's number alone. So whoever goes on from
`state` and `record` ends with the same bits as who was never interrupted. Source: Darknet, network.c, classifier.c.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from minidarknet.checkpoint import Checkpoint, State
from minidarknet.data import check_dataset
from minidarknet.dataset import Dataset
from minidarknet.errors import CfgWarning, InputError, NonFiniteError, UsageError
from minidarknet.layers.base import Layer
from minidarknet.layers.parameter import Array
from minidarknet.learning import Learner, check_loss
from minidarknet.loader import Batch, Loader
from minidarknet.net_options import NetOptions, check_training
from minidarknet.network import Network
from minidarknet.optimizers import optimizer_for
from minidarknet.schedules import check_schedule, rate_at
from minidarknet.symptoms import dead_layers, find_non_finite, is_finite, non_finite_parameter
from minidarknet.training_memory import check_memory

#: Dead layers are looked for once in so many batches, from the first one on.
LOOK = 100
#: What a seed is used for here; loader.py has its own numbers.
DROPPED = 3


@dataclass(frozen=True)
class Step:
    """What a batch has shown.

    Attributes
    ----------
    batch
        Its number, from 1.
    seen
        Images so far.
    epoch
        The same, in rounds through all pictures.
    loss, average
        The mean loss of its images, before the step; and the running one.
    rate
        The learning rate of the step.
    dead
        Layers that nothing reaches, where they were looked for.
    """

    batch: int
    seen: int
    epoch: float
    loss: float
    average: float
    rate: float
    dead: list[Layer]


class Watch(Protocol):
    """Who looks into batches; see trace/training.py."""

    def due(self, batch: int) -> bool:
        """Whether it wants to look into the batch of this number."""

    def learn(self, x: Array, truth: Array, seed: int) -> float:
        """Do what `Learner.step` does."""

    def before_update(self) -> None: ...

    def after_update(self, step: Step) -> None: ...


class Training:
    """A network, its pictures, and how far it has come.

    Parameters
    ----------
    network
        With values for all parameters. Its `[net]` options say how it is trained.
    dataset
        What it learns from.
    seed
        Chooses the order of the pictures, their changes, and what dropout drops.
    seen
        The images that the network has learned from before.
    quirks
        Whether gradients and schedule are Darknet's own; None is what the cfg says.
    augment
        False leaves pictures as they are, but for their order.
    workers
        Threads that prepare pictures; None for one for each processor.

    Raises
    ------
    InputError
        Pictures and network do not fit together, or there is not enough memory.
    CfgError
        The cfg asks for a training that is not known here.
    UsageError
        The options make no schedule, or the seed is negative.
    """

    def __init__(
        self,
        network: Network,
        dataset: Dataset,
        *,
        seed: int = 0,
        seen: int = 0,
        quirks: bool | None = None,
        augment: bool = True,
        workers: int | None = None,
    ) -> None:
        if seed < 0:
            raise UsageError(f"a seed of {seed}: expected a whole number, 0 or more")
        network.check_runs()
        check_training(network.options, network.section)
        _tell_unheeded(network)
        check_loss(network)
        check_schedule(network.options)
        check_dataset(dataset, network)
        check_memory(network)
        self.network, self.dataset, self.options = network, dataset, network.options
        self.seed, self.seen, self.average = seed, seen, math.nan
        self.watch: Watch | None = None
        part = self.options.batch // self.options.subdivisions
        self.learner = Learner(network, part, quirks)
        self.optimizer = optimizer_for(network)
        changes = self.options if augment else unchanged(self.options)
        self.loader = Loader(dataset, changes, network.input_shape, part, seed, workers)

    # -- how far it is -------------------------------------------------------------------------------------------

    @property
    def batch(self) -> int:
        """The number of batches so far, as Darknet counts them."""
        return self.seen // self.options.batch

    @property
    def finished(self) -> bool:
        """Whether `max_batches` has been reached; 0 never is."""
        return 0 < self.options.max_batches <= self.batch

    # -- going on ------------------------------------------------------------------------------------------------

    def steps(self) -> Generator[Step, None, None]:
        """Learn from batch after batch, yielding after each.

        Raises
        ------
        NonFiniteError
            A loss or a gradient is NaN or infinite; the step was not taken. The message names the first place.
        """
        batches = self.loader.start(at=self.batch * self.options.subdivisions)
        try:
            while not self.finished:
                yield self._step(batches)
        finally:
            self.loader.close()

    def _step(self, batches: Iterator[Batch]) -> Step:
        options, number = self.options, self.batch + 1
        # All of the batch before any of it is learned from: where a picture cannot be read, not even the rolling
        # averages have moved, and a checkpoint is one of complete batches.
        parts = [next(batches) for _ in range(options.subdivisions)]
        watch = self.watch if self.watch is not None and self.watch.due(number) else None
        learn, total = self.learner.step if watch is None else watch.learn, 0.0
        for part, (images, truths) in enumerate(parts):
            chance = int(np.random.SeedSequence([self.seed, DROPPED, number, part]).generate_state(1)[0])
            loss = learn(images, truths, chance)
            total += loss
            if not (math.isfinite(loss) and is_finite(self.network, "gradient")):
                place = find_non_finite(self.learner, images, truths, chance)
                raise NonFiniteError(
                    f"{self.network.path}: batch {number:,}, with a loss of {loss / len(images):g}, has numbers that "
                    f"are not finite, first {place}. The step was not taken. Likely the learning rate "
                    f"({rate_at(options, number, self.learner.quirks):g}) is too high, or rises too fast (burn_in)"
                )
        dead = dead_layers(self.learner) if number % LOOK == 1 else []
        rate = rate_at(options, number, self.learner.quirks)
        if watch is not None:
            watch.before_update()
        self.optimizer.step(rate, options.batch)
        self.seen += options.batch
        mean = total / options.batch
        self.average = mean if math.isnan(self.average) else 0.9 * self.average + 0.1 * mean
        step = Step(number, self.seen, self.seen / len(self.dataset), mean, self.average, rate, dead)
        if watch is not None:
            watch.after_update(step)
        return step

    # -- stopping and beginning again ----------------------------------------------------------------------------

    def check_finite(self) -> None:
        """Raise where a parameter has become NaN or infinite, so that no checkpoint is made of it."""
        if place := non_finite_parameter(self.network):
            raise NonFiniteError(
                f"{self.network.path}: after batch {self.batch:,} numbers are not finite, first {place}. "
                "Likely the learning rate is too high"
            )

    def state(self) -> State:
        """All arrays that are needed to go on bit by bit; the arrays themselves, not copies."""
        parameters = {f"parameters/{layer.index}.{p.name}": p.value for layer, p in self.network.parameters()}
        return {**parameters, **{f"optimizer/{name}": array for name, array in self.optimizer.state().items()}}

    def record(self) -> dict[str, Any]:
        """The counters, which are needed too."""
        average = None if math.isnan(self.average) else self.average
        return {"batch": self.batch, "seen": self.seen, "average_loss": average}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint that an object with the same arguments has made.

        Raises
        ------
        InputError
            It is of another network; nothing is changed then.
        """
        state, record = checkpoint.state, checkpoint.record
        found = []
        for layer, parameter in self.network.parameters():
            name = f"{layer.index}.{parameter.name}"
            array = state.get(f"parameters/{name}")
            if array is None or array.shape != parameter.shape or array.dtype != np.float32:
                what = "none" if array is None else f"{array.dtype} {array.shape}"
                raise InputError(
                    f"{checkpoint.path}: is of another network than {self.network.path}: of the {parameter.name} of "
                    f"layer {layer.index} [{layer.kind}], (shape {parameter.shape}), it has {what}"
                )
            found.append((parameter, array))
        try:
            stored = {name.removeprefix("optimizer/"): array for name, array in state.items() if "optimizer/" in name}
            self.optimizer.restore(stored)
        except InputError as error:
            raise InputError(f"{checkpoint.path}: {error}") from None
        for parameter, array in found:
            parameter.value[:] = array
            parameter.array = parameter.value  # it has changed
        self.seen = int(record["seen"])
        self.average = math.nan if record["average_loss"] is None else float(record["average_loss"])


def _tell_unheeded(network: Network) -> None:
    """Warn of options of layers that change a training in Darknet and not here."""
    for layer in network.layers:
        if layer.options.smooth:
            text = "is not heeded: labels stay as they are (Darknet smooths them on a GPU, before [cost], only)"
            error = layer.error(f"smooth={layer.options.smooth:g} {text}", "smooth")
            warnings.warn(str(error), CfgWarning, stacklevel=3)


def unchanged(options: NetOptions) -> NetOptions:
    """The same options, with no change of pictures but the centred square that `validate` takes too."""
    return replace(options, flip=False, center=True, hue=0.0, saturation=1.0, exposure=1.0)
