"""Worker processes: one engine each, so that no thread pool lives beside another one's measurement."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Timer
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent

#: Seconds that an engine may take to answer; compiling with PyTorch is the slowest of what is asked.
PATIENCE = 600

#: Packages whose name is not that of the module that they hold.
PACKAGES = {"cv2": "opencv-python-headless"}


class WorkerError(Exception):
    """The engine cannot do it; the message is one line."""


class Worker:
    """A process that runs one engine (see `worker.py`)."""

    def __init__(self, threads: int) -> None:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, str(threads))}
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
        )

    def ask(self, **job: Any) -> dict[str, Any]:
        """Send a job and wait for its answer.

        Raises
        ------
        WorkerError
            The engine's own complaint, or how its process ended.
        """
        assert self._process.stdin
        assert self._process.stdout
        alarm = Timer(PATIENCE, self._process.kill)
        alarm.start()
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            alarm.cancel()
        if not line:
            raise WorkerError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            package = PACKAGES.get(answer["missing"], answer["missing"])
            raise WorkerError(f"missing: the Python package {package}")
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; it has nothing to lose."""
        self._process.kill()
        self._process.communicate()
        self._complaints.close()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its process ended with {how}" + (f": {lines[-1].strip()}" if lines else "")
