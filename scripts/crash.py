"""Kill training with SIGKILL at random moments, again and again: every run must end with the very same bits.

    python scripts/crash.py --kills 100

A small network learns from small pictures, and saves after every second batch, so that many kills hit the writing
of a checkpoint. Each run is killed and gone on with until it has reached its end. Then its weights and its last
checkpoint are those of a run that was left in peace, and its metrics have every batch once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
BATCHES = 400
#: How often one run is killed, at the most.
EACH = 5
CFG = f"""[net]
batch=8
subdivisions=2
height=8
width=8
channels=1
learning_rate=0.05
momentum=0.9
policy=poly
power=2
max_batches={BATCHES}
angle=10
flip=0
[convolutional]
batch_normalize=1
filters=8
size=3
pad=1
activation=leaky
[maxpool]
size=2
stride=2
[dropout]
probability=.2
[connected]
output=4
activation=linear
[softmax]
"""


class Runs:
    """Runs in one folder of files; `kills` counts those that were killed while they worked."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.chance, self.kills = folder, random.Random(seed), 0
        generator = np.random.default_rng(seed)
        labels = np.arange(60) % 4
        pictures = generator.integers(0, 100, (60, 8, 8), np.uint8)
        for picture, label in zip(pictures, labels, strict=True):
            picture[2 * label : 2 * label + 2] += 120
        (folder / "crash.cfg").write_text(CFG)
        np.savez(folder / "crash.npz", x=pictures, y=labels)

    def start(self, backup: str, threads: int) -> subprocess.Popen[str]:
        words = ["train", "crash.npz", "crash.cfg", "--resume", "--save-every", "2", "--backup", backup]
        return subprocess.Popen(
            [sys.executable, "-m", "minidarknet", *words, "--threads", str(threads), "--seed", "5"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self, backup: str) -> tuple[str, ...]:
        """Hashes of the final weights and arrays, and all batches that were measured."""
        folder = self.folder / backup
        last = max(path for path in (folder / "crash.checkpoints").iterdir() if path.name.isdecimal())
        files = [folder / "crash.weights", last / "network.weights", last / "state.safetensors"]
        records = [json.loads(line) for line in (folder / "crash.jsonl").read_text().splitlines()]
        batches = [record["batch"] for record in records if "loss" in record]
        assert batches == list(range(1, BATCHES + 1)), f"{backup}: batches are missing or there twice"
        rounds = [record["batch"] for record in records if "top1" in record]
        assert len(rounds) == len(set(rounds)), f"{backup}: a round was validated twice"
        assert len((folder / "crash.csv").read_text().splitlines()) == len(records) + 1
        return (*(hashlib.sha256(file.read_bytes()).hexdigest() for file in files), str(rounds))

    def undisturbed(self, backup: str, threads: int) -> tuple[str, ...]:
        process = self.start(backup, threads)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        return self.result(backup)

    def live_and_die(self, backup: str, threads: int) -> bool:
        """Go on, and be killed at a random moment; returns whether the run came to its end before that."""
        process = self.start(backup, threads)
        measured = self.folder / backup / "crash.jsonl"
        before = measured.stat().st_mtime_ns if measured.exists() else 0
        if self.chance.random() < 0.9:  # otherwise while it starts
            while process.poll() is None and (not measured.exists() or measured.stat().st_mtime_ns == before):
                time.sleep(0.002)
            time.sleep(0.4 * self.chance.random())
        else:
            time.sleep(2 * self.chance.random())
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        if process.returncode == 0:
            return True
        assert process.returncode == -signal.SIGKILL, errors
        assert "damaged" not in errors, errors
        self.kills += 1
        return False


def crash(kills: int, seed: int = 1, say: bool = False) -> int:
    """Kill so many times, at least; returns how many runs there were, or raises AssertionError."""
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder), seed)
        expected = runs.undisturbed("undisturbed", threads=1)
        while runs.kills < kills:
            count += 1
            backup = f"run-{count}"
            for _ in range(EACH):
                if runs.kills == kills or runs.live_and_die(backup, threads=1 + count % 2):
                    break
            # Then it is left in peace.
            assert runs.undisturbed(backup, threads=1 + count % 2) == expected, f"{backup} has come to other bits"
            if say:
                print(f"run {count}, {runs.kills} kills so far: the bits are the same", file=sys.stderr)
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how often to kill (default 20)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    options = parser.parse_args()
    done = crash(options.kills, options.seed, say=True)
    print(f"{options.kills} kills in {done} runs: every one ended with the same bits")
