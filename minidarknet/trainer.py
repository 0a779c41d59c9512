"""A training run that nothing can take away: batches, validation, metrics, checkpoints, and stopping when asked.

The order of things after each batch is what makes the run whole: its record, then validation where a round is
complete, then a checkpoint, which says how many records there were. Nothing here changes what is learned.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

from minidarknet import chart, weights
from minidarknet.checkpoint import Checkpoint
from minidarknet.dataset import Dataset
from minidarknet.errors import CheckpointError, InputError, NonFiniteError
from minidarknet.metrics import Lines, Metrics
from minidarknet.prediction import Classifier
from minidarknet.run_files import Files
from minidarknet.stopping import Stop
from minidarknet.symptoms import Silence, dead_in_words, far_first_loss
from minidarknet.training import Step, Training
from minidarknet.validation import Validation, validate

#: Seconds between two checkpoints, and how many times longer than writing one that is at least.
PAUSE, SHARE = 60.0, 20.0
#: How much of the running speed stays with a batch.
SMOOTH = 0.9


class Watcher(Protocol):
    """Who shows a run to people; see console.py."""

    def on_step(self, step: Step, speed: float, left: float | None) -> None:
        """A batch is done: images a second, and seconds to the end (None: nobody knows)."""

    def on_record(self, record: dict[str, Any]) -> None:
        """What has just been written to the metrics."""

    def on_validation(self, epoch: float, seen: Validation, best: float) -> None:
        """After so many rounds; `best` is the highest top-1 so far, this one included."""

    def note(self, text: str) -> None: ...

    def warning(self, text: str) -> None: ...


class _Stopped(Exception):
    """Validation was broken off."""


@dataclass
class Trainer:
    """One run.

    Attributes
    ----------
    training
        What is trained; its network is a `Classifier` whose `preprocess` is how validation prepares pictures.
    valid
        The pictures to check with.
    files
        Where everything goes; the folder and that of the checkpoints are there.
    watcher
        Who is told.
    settings
        What belongs into every checkpoint besides.
    every
        Batches between two checkpoints; None for one a minute or so.
    chart
        Whether to draw one.
    untrained
        Whether the network has only its first random numbers.
    trace
        Batches between two that are traced (see trace/training.py); 0 for no trace.
    """

    training: Training
    valid: Dataset
    files: Files
    watcher: Watcher
    settings: dict[str, Any] = field(default_factory=dict)
    every: int | None = None
    chart: bool = False
    untrained: bool = False
    trace: int = 0
    #: Bytes of the trace to go on from.
    traced: int = 0
    #: Images seen at the last validation, its top-1, and the best one yet.
    validated: int = -1
    top1: float | None = None
    best: float = 0.0

    @property
    def done(self) -> bool:
        """Whether all batches were learned from and the last validation is made."""
        return self.training.finished and self.validated == self.training.seen

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint; call this before `run`."""
        self.training.restore(checkpoint)
        record = checkpoint.record
        self.validated, self.top1, self.best = record["validated"], record["top1"], record["best"]
        self.traced = record.get("trace", 0)

    def run(self, stop: Stop, sizes: list[int] | None = None) -> None:
        """Train until `max_batches`, or until someone asks to stop; then save.

        Parameters
        ----------
        stop
            Looked at after each batch.
        sizes
            Sizes of the metrics files to go on from; None begins anew.

        Raises
        ------
        NonFiniteError
            A number became NaN or infinite; the message names the last checkpoint, which is from before.
        CheckpointError
            The first or the last checkpoint cannot be written.
        """
        self._stop, self._failing = stop, set[str]()
        self._silence, self._dead = Silence(), set[int]()
        self._saved, self._saving = monotonic(), 0.0
        if self.validated < 0:
            self.validated = self.training.seen
        try:
            with Metrics(self.files.stem, sizes) as self._metrics, self._tracing(sizes is not None) as self._lines:
                try:
                    self._run(begun=sizes is not None)
                except InputError as error:
                    if not isinstance(error, CheckpointError):  # a picture that cannot be read: no batch shall be lost
                        self._save_or_warn()
                    raise
        except NonFiniteError as error:
            with suppress(OSError):
                self._draw()  # the course that led there
            raise NonFiniteError(f"{error}. {self._last_checkpoint()}") from None
        except OSError as error:
            raise InputError(f"{error.filename or self.files.folder}: {error.strerror or error}") from None

    def _run(self, begun: bool) -> None:
        if not begun:
            self.save()  # also to see that this is possible, before anybody waits
            self.files.store.keep_newest()  # another run's, which this one replaces
        self._validate_where_due()  # who was stopped just then
        speed, clock = 0.0, monotonic()
        first = clock
        with closing(self.training.steps()) as steps:  # here, so that a Ctrl-C while it closes is not lost
            for taken, step in enumerate(steps):
                now = monotonic()
                latest = self.training.options.batch / max(now - clock, 1e-9)
                # In the first batch kernels may have been compiled. Only the time left counts validation and saving.
                speed = latest if taken < 2 else SMOOTH * speed + (1 - SMOOTH) * latest
                first = first if taken else now
                left = self.training.options.max_batches - step.batch
                self.watcher.on_step(step, speed, left * (now - first) / taken if taken and left >= 0 else None)
                self._show(step, speed)
                self._validate_where_due()
                if self._stop.signal:
                    break
                if self._due(step.batch) and not self.training.finished:
                    self._save_or_warn()
                clock = monotonic()
        try:
            self.save()
        except CheckpointError as error:
            raise CheckpointError(f"{error}. {self._last_checkpoint()} Make room, and go on with --resume") from None
        self.finish()

    def finish(self) -> None:
        """Write the `.weights` file for any Darknet, and the chart."""
        weights.save(self.training.network, self.files.weights, weights.Header(seen=self.training.seen))
        self._draw()

    def _draw(self) -> None:
        if self.chart:
            chart.draw(self.files.metrics, self.files.chart, self.files.name)
        if self.chart and self.trace and self.files.trace.exists():
            from minidarknet.trace.training_chart import draw

            draw(self.files.trace, self.files.trace_chart, self.files.name)

    def _tracing(self, begun: bool) -> AbstractContextManager[Lines | None]:
        """What has batches traced, where that was asked for; the trace of another run goes."""
        if not (self.trace or begun):
            self.files.trace.unlink(missing_ok=True)
        if not self.trace:
            return nullcontext()
        from minidarknet.trace.training_file import tracing

        return tracing(self.training, self.files.trace, self.trace, self.traced, self._warn_once)

    def _show(self, step: Step, speed: float) -> None:
        self._record(
            {
                **self._place(),
                "loss": step.loss,
                "average_loss": step.average,
                "rate": step.rate,
                "images_per_second": round(speed, 1),
            }
        )
        if self.untrained and (odd := far_first_loss(self.training.network, step.loss)):
            self.watcher.warning(odd)
        self.untrained = False
        if new := [layer for layer in step.dead if layer.index not in self._dead]:
            self._dead.update(layer.index for layer in new)
            self.watcher.warning(dead_in_words(new))

    def _place(self) -> dict[str, Any]:
        training = self.training
        epoch = round(training.seen / len(training.dataset), 4)
        return {"batch": training.batch, "epoch": epoch, "seen": training.seen}

    def _record(self, record: dict[str, Any]) -> None:
        self.watcher.on_record(record)
        try:
            self._metrics.add(record)
            self._failing.discard("metrics")
        except OSError as error:
            self._warn_once("metrics", f"{self.files.metrics}: metrics cannot be written: {error.strerror or error}")

    # -- validation ----------------------------------------------------------------------------------------------

    def _validate_where_due(self) -> None:
        """Validate after each round, and at the very end; not where someone has asked to stop."""
        training, size = self.training, len(self.training.dataset)
        due = training.seen // size > self.validated // size or (training.finished and self.validated < training.seen)
        if not due or self._stop.signal:
            return
        training.check_finite()
        network = training.network
        assert isinstance(network, Classifier)
        try:
            seen = validate(network, self.valid, batch=training.learner.batch, counted=self._look_for_stop)
        except _Stopped:
            return
        self.validated, self.top1 = training.seen, seen.top1
        self.best = max(self.best, seen.top1)
        self._record({**self._place(), "valid_loss": seen.loss, "top1": seen.top1})
        self.watcher.on_validation(training.seen / size, seen, self.best)
        if words := self._silence.look(seen):
            self.watcher.warning(words)

    def _look_for_stop(self) -> None:
        if self._stop.signal:
            raise _Stopped

    # -- saving --------------------------------------------------------------------------------------------------

    def _due(self, batch: int) -> bool:
        if self.every is not None:
            return batch % self.every == 0
        return monotonic() - self._saved > max(PAUSE, SHARE * self._saving)

    def save(self) -> None:
        """Write a checkpoint."""
        self.training.check_finite()
        start = monotonic()
        record = {
            **self.training.record(),
            **self.settings,
            "validated": self.validated,
            "top1": self.top1,
            "best": self.best,
            "metrics": self._metrics.sizes(),
            "trace": self._lines.sizes()[0] if self._lines else self.traced,
        }
        try:
            self._metrics.sync()
            if self._lines:
                self._lines.sync()
            self.files.store.write(self.training.network, self.training.seen, self.training.state(), record)
        except OSError as error:
            raise CheckpointError(f"{self.files.folder}: cannot be written: {error.strerror or error}") from None
        self._saved = monotonic()
        self._saving = self._saved - start

    def _save_or_warn(self) -> None:
        """Write a checkpoint; where that fails, go on, and try again later."""
        try:
            self.save()
            self._draw()
            self._failing.discard("checkpoint")
        except CheckpointError as error:
            self._saved = monotonic()
            self._warn_once("checkpoint", f"{error}. {self._last_checkpoint()} Training goes on, and will try again")

    def _warn_once(self, what: str, text: str) -> None:
        """Say that something fails, but not again before it has gone well."""
        if what not in self._failing:
            self.watcher.warning(text)
        self._failing.add(what)

    def _last_checkpoint(self) -> str:
        paths = self.files.store.paths()
        return f"The last checkpoint is kept: {paths[-1]}." if paths else "There is no checkpoint yet."
