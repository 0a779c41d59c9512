"""What people see of a training run: on a terminal three lines that stay up to date, in a log a line now and then."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from minidarknet import console
from minidarknet.metrics import json_line

if TYPE_CHECKING:
    from minidarknet.stopping import Stop
    from minidarknet.training import Step
    from minidarknet.validation import Validation

#: Letters of the bar, and of the curve of the running loss.
WIDE, CURVE = 30, 60


class TrainingScreen:
    """Told by the trainer what happens (see `trainer.Watcher`).

    Parameters
    ----------
    batches
        The number of the last batch; 0 where there is none.
    as_json
        Whether every record goes to stdout as a line of JSON.
    stop
        Whether someone has asked to stop, which is told at once.
    """

    note, warning = staticmethod(console.note), staticmethod(console.warning)

    def __init__(self, batches: int, as_json: bool = False, stop: Stop | None = None) -> None:
        self.batches, self.as_json, self.live, self.stop = batches, as_json, False, stop
        self._step: Step | None = None
        self._losses: list[float] = []
        self._speed, self._left, self._top1 = 0.0, "", ""
        self._said = -math.inf
        self._stride = 1  # one in so many batches is a point of the curve

    def on_step(self, step: Step, speed: float, left: float | None) -> None:
        self._step, self._speed = step, speed
        self._left = "" if left is None else f"{clock(left)} left"
        if step.batch % self._stride == 0:
            # A logarithm, or all but the beginning would be flat. A new list, as another thread reads the old one.
            self._losses = [*self._losses, math.log(max(step.average, 1e-12))]
        if len(self._losses) >= 2 * CURVE:
            self._losses, self._stride = self._losses[1::2], 2 * self._stride
        if not self.live and monotonic() - self._said >= console.LOG_SECONDS:
            self._said = monotonic()
            console.note(f"{self._where(step)}: {self._numbers(step)}" + (f", {self._left}" if self._left else ""))

    def on_record(self, record: dict[str, Any]) -> None:
        if self.as_json:
            console.result(json_line(record).removesuffix("\n"))
            sys.stdout.flush()

    def on_validation(self, epoch: float, seen: Validation, best: float) -> None:
        self._top1 = f"{100 * seen.top1:.2f} %"
        others = "the best so far" if seen.top1 >= best else f"the best {100 * best:.2f} %"
        loss = "" if seen.loss is None else f", loss {seen.loss:.4f}"
        running = f"running loss {self._step.average:.4f}; " if self._step else ""
        console.note(f"epoch {epoch:.4g}: {running}held out: top-1 {self._top1} ({others}){loss}")

    def _where(self, step: Step) -> str:
        total = f" of {self.batches:,}" if self.batches else ""
        return f"batch {step.batch:,}{total}, epoch {step.epoch:.2f}"

    def _numbers(self, step: Step) -> str:
        speed = f"{self._speed:,.0f}" if self._speed >= 10 else f"{self._speed:.2f}"
        return f"loss {step.loss:.4f}, running {step.average:.4f}, rate {step.rate:.3g}, {speed} images a second"

    def render(self) -> str:
        """The lines on a terminal: where it is, the numbers, and the curve of the running loss."""
        asked = self.stop is not None and self.stop.signal
        end = "\n[yellow]stopping after this batch; Ctrl-C again stops at once, without saving[/]" if asked else ""
        step = self._step
        if step is None:
            return f"[dim]the first batch ...[/]{end}"
        where = self._where(step)
        if self.batches:
            done = step.batch / self.batches
            bar = console.bar(done, WIDE)
            where += f"  [cyan]{bar}[/][dim]{'.' * (WIDE - len(bar))}[/] {100 * done:3.0f} %  {self._left}"
        top1 = f", [bold]top-1 {self._top1}[/]" if self._top1 else ""
        # Each letter stands for two neighbours once there are more points than letters.
        points, pair = self._losses, 1 + (len(self._losses) > CURVE)
        curve = console.spark([points[i] for i in range(len(points) - 1, -1, -pair)][::-1]) if points else ""
        return f"{where}\n{self._numbers(step)}{top1}\nrunning loss [cyan]{curve}[/]{end}"


def clock(seconds: float) -> str:
    """A time as people read it: `0:42`, `3:05`, `2:03:05`, `4 days 2:03:05`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    text = f"{hour}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return f"{days} day{'s' if days > 1 else ''} {text}" if days else text


@contextmanager
def training_screen(batches: int, as_json: bool, stop: Stop) -> Iterator[TrainingScreen]:
    """Show a training run while the block works; the block tells the screen what happens."""
    screen = TrainingScreen(batches, as_json, stop)
    with console.live(screen.render) as screen.live:
        yield screen
