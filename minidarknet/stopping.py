"""Ctrl-C and SIGTERM while training: the first asks to stop after this batch, a second one stops at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether someone has asked to stop.

    Attributes
    ----------
    signal
        The signal that asked; 0 before.
    """

    def __init__(self) -> None:
        self.signal = 0

    @property
    def exit_code(self) -> int:
        """What a program returns that was stopped so: 130 for Ctrl-C, 143 for SIGTERM; 0 where nobody asked."""
        return 128 + self.signal if self.signal else 0

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        self.signal = number


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Within the block, SIGINT and SIGTERM only ask to stop. One that is ignored, as by `nohup`, stays so."""
    stop = Stop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    caught = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in caught:
        signal.signal(number, stop._ask)
    try:
        yield stop
    finally:
        for number in caught:
            signal.signal(number, before[number])
