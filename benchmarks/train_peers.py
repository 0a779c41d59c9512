"""Learning beside PyTorch: a training step of an MNIST network and the four systems, with the same weights and images.

    python -m benchmarks.train_peers                          mnist with 128 images, the others with 16
    python -m benchmarks.train_peers --networks mnist --quick

Engines take turns in processes of their own, as in peers.py. Before that, the probabilities after some steps, which
depend on gradients and updates, are held against ours. Memory is the most that each process had, with its libraries.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace

from benchmarks import machine
from benchmarks.figures import flat, quartiles, ratio, table
from benchmarks.options import add_common, names
from benchmarks.results import write
from benchmarks.rounds import Case, Plan, Row, compare
from benchmarks.training import TRAINING
from minidarknet.memory import mebibytes

OURS = "train-minidarknet"
#: Images of a step, and what our time divided by that of PyTorch, channels last, may be at most.
BATCHES = {"tiny": 16, "mnist": 128, "darknet": 16, "squeezenet": 16, "alexnet": 16}
BARS = {"tiny": 0.75, "mnist": 0.6}
#: Where answers after some steps are further apart than predictions may be. Darknet divides batch norm's variance by
#: one less than the numbers, of which there are 256 in its Reference's last layer. And where two numbers of a pool's
#: window are the same but for rounding, as in AlexNet, one engine teaches the one and another the other.
TOLERANCES = {"darknet": 5e-3, "alexnet": 5e-3}


def lines(case: Case, rows: list[Row]) -> list[list[str]]:
    """The printed table."""
    ours = next(row for row in rows if row.engine == OURS)
    cells = [["engine", "version", "ms an image", "quartiles", "memory", "ours / theirs", "bar"]]
    for row in rows:
        title = TRAINING[row.engine].title
        if row.problem:
            cells.append([title, row.version, row.problem])
            continue
        low, middle, high = (1000 * seconds / case.batch for seconds in quartiles(flat(row.rounds)))
        measured = None if row is ours or ours.problem else ratio(ours.rounds, row.rounds)
        bar = ""
        if measured and row.engine == "train-torch-channels-last" and case.network in BARS:
            reached = "reached" if measured.value <= BARS[case.network] else "missed"
            bar = f"{reached} (at most {BARS[case.network]:.2f})"
        spread = f"{low:.3f} .. {high:.3f}"
        cells.append([title, row.version, f"{middle:.3f}", spread, mebibytes(row.memory), str(measured or ""), bar])
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train_peers", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--networks", type=names(BATCHES), default=list(BATCHES), help=",".join(BATCHES))
    parser.add_argument("--rounds", type=int, default=8, help="8")
    add_common(parser, quick="2 rounds: only to see whether everything works")
    chosen = parser.parse_args()
    plan = Plan(rounds=2 if chosen.quick else chosen.rounds, block_seconds=1.5)
    facts = machine.describe(chosen.threads)
    print(f"{machine.in_words(facts)}\nmethod: {plan.in_words()}\n", flush=True)
    results = []
    for network in chosen.networks:
        case = Case(network, BATCHES[network], chosen.threads)
        tolerance = TOLERANCES.get(network, plan.tolerance)
        rows = compare(case, list(TRAINING), replace(plan, tolerance=tolerance), reference=OURS)
        print(f"{network}, {case.batch} images a step\n{table(lines(case, rows), left=(0, 1, 6))}\n", flush=True)
        results.append({**asdict(case), "rows": [asdict(row) for row in rows]})
    write(chosen.output, "train_peers", {"machine": facts, "method": plan.in_words(), "results": results})


if __name__ == "__main__":
    main()
