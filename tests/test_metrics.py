"""Metrics: one record a line in both files, and none twice after a break."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest

from minidarknet.metrics import FIELDS, Metrics, read_metrics


def step(batch: int) -> dict[str, float]:
    return {"batch": batch, "epoch": batch / 3, "seen": 8 * batch, "loss": 1 / batch, "average_loss": 0.5, "rate": 0.1}


def test_both_files_have_every_record(tmp_path: Path) -> None:
    with Metrics(tmp_path / "run") as metrics:
        metrics.add(step(1))
        assert len(list(read_metrics(tmp_path / "run.jsonl"))) == 1, "at once"
        metrics.add({"batch": 1, "epoch": 0.3, "seen": 8, "valid_loss": math.inf, "top1": 0.25})
        metrics.add({"batch": 1, "epoch": 0.3, "seen": 8, "valid_loss": None, "top1": 0.5})
    records = list(read_metrics(tmp_path / "run.jsonl"))
    assert records[0] == step(1)
    assert [record.get("valid_loss", "no") for record in records] == ["no", None, None]
    with open(tmp_path / "run.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == FIELDS
    assert [row["top1"] for row in rows] == ["", "0.25", "0.5"]
    assert [row["valid_loss"] for row in rows] == ["", "inf", ""]
    assert rows[0]["loss"] == "1.0"


def test_going_on_cuts_off_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    with Metrics(tmp_path / "run") as metrics:
        for batch in (1, 2):
            metrics.add(step(batch))
        sizes = metrics.sizes()
        metrics.add(step(3))
    with open(tmp_path / "run.jsonl", "a") as file:
        file.write('{"batch": 4, "ep')  # killed in the middle of a line
    assert [record["batch"] for record in read_metrics(tmp_path / "run.jsonl")] == [1, 2, 3]
    with Metrics(tmp_path / "run", sizes):
        assert [record["batch"] for record in read_metrics(tmp_path / "run.jsonl")] == [1, 2]
        assert len((tmp_path / "run.csv").read_text().splitlines()) == 3
    with Metrics(tmp_path / "run", sizes) as metrics:
        for batch in (3, 4):
            metrics.add(step(batch))
    assert [record["batch"] for record in read_metrics(tmp_path / "run.jsonl")] == [1, 2, 3, 4]
    assert len((tmp_path / "run.csv").read_text().splitlines()) == 5


def test_beginning_anew_forgets_what_was_there(tmp_path: Path) -> None:
    for batch in (1, 2):
        with Metrics(tmp_path / "run") as metrics:
            metrics.add(step(batch))
    assert [record["batch"] for record in read_metrics(tmp_path / "run.jsonl")] == [2]
    assert len((tmp_path / "run.csv").read_text().splitlines()) == 2


def test_fewer_bytes_than_the_checkpoint_says_leave_complete_lines(tmp_path: Path) -> None:
    with Metrics(tmp_path / "run") as metrics:
        for batch in (1, 2, 3):
            metrics.add(step(batch))
        sizes = metrics.sizes()
    for ending in (".jsonl", ".csv"):
        path = tmp_path / f"run{ending}"
        path.write_bytes(path.read_bytes()[:-5])
    with Metrics(tmp_path / "run", sizes) as metrics:
        metrics.add(step(4))
    assert [record["batch"] for record in read_metrics(tmp_path / "run.jsonl")] == [1, 2, 4]
    (tmp_path / "run.csv").unlink()
    with Metrics(tmp_path / "run", sizes) as metrics:
        metrics.add(step(5))
    assert [line.split(",")[0] for line in (tmp_path / "run.csv").read_text().splitlines()] == ["batch", "5"]


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Metrics(tmp_path / "run") as metrics:
        metrics.add(step(1))

        class Full(io.FileIO):
            def write(self, data: object) -> int:
                return super().write(bytes(data)[:7])  # type: ignore[call-overload]

        file = metrics._files[1]
        metrics._files[1] = Full(file.fileno(), "r+", closefd=False)
        metrics._files[1].seek(file.tell())
        with pytest.raises(OSError, match="No space left"):
            metrics.add(step(2))
        metrics._files[1] = file
        metrics.add(step(3))
    assert [record["batch"] for record in read_metrics(tmp_path / "run.jsonl")] == [1, 3]
    assert [line.split(",")[0] for line in (tmp_path / "run.csv").read_text().splitlines()] == ["batch", "1", "3"]
