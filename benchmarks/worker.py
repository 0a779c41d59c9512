"""One engine in a process of its own, told by lines of JSON what to do; `processes.py` starts it.

    -> {"engine": "onnxruntime", "cfg": ..., "weights": null, "input": "x.npy", "output": "y.npy", "threads": 2}
    <- {"version": "1.32.0", "prepared": 0.4, "seconds": [0.0047, 0.0047, 0.0046]}    y.npy holds the engine's output
    -> {"warm_up": 3, "runs": 20}
    <- {"seconds": [...], "memory": 209715200}                                    and so on, until its input ends

Memory is the most that the process has had so far, in bytes.

Whatever goes wrong is an answer too: {"error": ...}, with "missing" where a package is.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.engines import ENGINES, REFERENCE, Runner
from benchmarks.training import TRAINING
from minidarknet import weights
from minidarknet.network import Network


def prepare(job: dict[str, Any]) -> tuple[Runner, dict[str, Any]]:
    """Make the engine ready, run it once, keep its output, and see how long a run takes."""
    start = perf_counter()
    engine = {**ENGINES, **TRAINING}.get(job["engine"], REFERENCE)
    version = engine.version()
    network = Network.from_cfg(job["cfg"])
    network.initialize(seed=1)
    if job["weights"]:
        weights.load(network, job["weights"])
    x = np.load(job["input"], allow_pickle=False)
    runner = engine.prepare(network, x, job["threads"])
    np.save(job["output"], runner().reshape(len(x), -1), allow_pickle=False)
    prepared = perf_counter() - start
    return runner, {"version": version, "prepared": prepared, "seconds": timed(runner, 2, 3)}


def timed(runner: Runner, warm_up: int, runs: int) -> list[float]:
    """The seconds of each of `runs` runs, after `warm_up` ones that are not counted."""
    for _ in range(warm_up):
        runner()
    seconds = []
    for _ in range(runs):
        start = perf_counter()
        runner()
        seconds.append(round(perf_counter() - start, 7))
    return seconds


def problem(error: Exception) -> dict[str, str]:
    """What went wrong, in one line."""
    lines = str(error).strip().splitlines() or [""]
    answer = {"error": f"{type(error).__name__}: {lines[0]}"}
    return {**answer, "missing": error.name or ""} if isinstance(error, ModuleNotFoundError) else answer


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the engines print must not get between the answers
    runner: Runner | None = None
    for line in sys.stdin:
        job = json.loads(line)
        try:
            if runner is None:
                runner, answer = prepare(job)
            else:
                memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                answer = {"seconds": timed(runner, job["warm_up"], job["runs"]), "memory": memory}
        except Exception as error:
            answer = problem(error)
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
