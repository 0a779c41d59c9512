"""Where a training run keeps what it makes. Everything is called after the cfg:

backup/
  digits.weights            the network, whenever the run stops: for any Darknet
  digits.checkpoints/       what --resume goes on from (see checkpoint.py)
  digits.jsonl  digits.csv  what was measured (see metrics.py)
  digits.png                the same as a picture (see chart.py)
  digits.trace.jsonl        what --trace has recorded (see trace/training.py), and digits.trace.png
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minidarknet.checkpoint import Store


@dataclass(frozen=True)
class Files:
    """The folder and the name of a run."""

    folder: Path
    name: str

    @property
    def weights(self) -> Path:
        return self.folder / f"{self.name}.weights"

    @property
    def stem(self) -> Path:
        """The files of the metrics without their endings."""
        return self.folder / self.name

    @property
    def metrics(self) -> Path:
        return self.folder / f"{self.name}.jsonl"

    @property
    def chart(self) -> Path:
        return self.folder / f"{self.name}.png"

    @property
    def trace(self) -> Path:
        return self.folder / f"{self.name}.trace.jsonl"

    @property
    def trace_chart(self) -> Path:
        return self.folder / f"{self.name}.trace.png"

    @property
    def store(self) -> Store:
        return Store(self.folder / f"{self.name}.checkpoints")
