"""Checks of lesson 13: training the digits, and what a training tells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidarknet.course.checking import Exercise, expect, fail

Numbers = NDArray[np.float64]
HEALTHY, DEAD, RATE, LABELS, PICTURES = "healthy", "dead layer", "rate too high", "wrong labels", "wrong pictures"
#: Hidden units, pictures a batch, batches, momentum, and what share is held out.
HIDDEN, BATCH, BATCHES, MOMENTUM, HELD = 32, 64, 300, 0.9, 0.2


def loss_to_beat(answer: Callable[..., Any]) -> None:
    expect("loss_to_beat of [0, 1, 2, 3]", answer(np.array([0, 1, 2, 3])), math.log(4), 1e-9)
    expect("loss_to_beat of [5, 5, 5]", answer(np.array([5, 5, 5])), 0.0, 1e-9)
    labels = np.array([0] * 90 + [2] * 10)
    expected = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    expect("loss_to_beat of ninety 0 and ten 2", answer(labels), expected, 1e-9)


def diagnose(answer: Callable[..., Any]) -> None:
    """Small networks are trained, each with one fault or none; the answer sees what was measured."""
    for seed in range(3):
        for fault in (HEALTHY, DEAD, RATE, LABELS, PICTURES):
            trace = trained(fault, seed)
            shown = (
                f"last loss {trace['losses'][-1]:.3g}, ratios up to {max(trace['ratios']):.2g}, "
                f"dead {trace['dead']:.2f}, train {trace['train']:.2f}, held_out {trace['held_out']:.2f}"
            )
            found = answer(trace)
            if found != fault:
                fail(f"a training with seed {seed} that is {fault!r} was called {found!r}; it shows {shown}")


def suspects(answer: Callable[..., Any]) -> None:
    chance = np.random.default_rng(133)
    for count, classes, wanted in [(6, 3, 2), (50, 10, 7), (20, 2, 20)]:
        probabilities = chance.dirichlet(np.ones(classes), count)
        labels = chance.integers(0, classes, count)
        order = sorted(range(count), key=lambda i: float(probabilities[i, labels[i]]))[:wanted]
        found = answer(probabilities.copy(), labels.copy(), wanted)
        found = found.tolist() if isinstance(found, np.ndarray) else found
        expect(f"suspects of {count} pictures, the first {wanted}", found, order)


def batches(answer: Callable[..., Any]) -> None:
    pictures = np.arange(40).reshape(10, 4) // 4 * 10  # picture i is all 10 * i, and its label is i
    for size, seed in [(5, 0), (2, 1), (10, 2)]:
        call = f"batches(pictures, labels, {size}, {seed})"
        given = answer(pictures.copy(), np.arange(10), size, seed)
        if not isinstance(given, Iterable):
            fail(f"{call}: expected batches, found {type(given).__name__}: is there a `yield`?")
        given = list(given)
        expect(f"how many batches {call} gives", len(given), 10 // size)
        for x, y in given:
            expect(f"the shape of a batch's pictures, {call}", np.shape(x), (size, 4))
            expect(f"the shape of a batch's labels, {call}", np.shape(y), (size,))
            if not (np.asarray(x)[:, 0] == 10 * np.asarray(y)).all():
                fail(f"{call}: a picture no longer has its own label")
        seen = np.concatenate([np.asarray(y) for _, y in given]).tolist()
        expect(f"all labels of {call}, sorted", sorted(seen), list(range(10)))
        if seen == list(range(10)):
            fail(f"{call}: the order is still the old one")


def trained(fault: str, seed: int) -> dict[str, Any]:
    """What is measured while a small network (64 - 32 relu - 10) learns the digits, with a fault or without."""
    data = np.load(str(files("minidarknet") / "digits.npz"))
    x, y = data["x"].reshape(-1, 64) / 255, data["y"].reshape(-1).astype(int)
    chance = np.random.default_rng([13, seed])
    order = chance.permutation(len(x))
    cut = round(HELD * len(x))
    held_x, held_y, x, y = x[order[:cut]], y[order[:cut]], x[order[cut:]], y[order[cut:]]
    if fault == LABELS:
        wrong = chance.random(len(y)) < 0.3
        y = np.where(wrong, (y + chance.integers(1, 10, len(y))) % 10, y)
    if fault == PICTURES:
        held_x = 1 - held_x
    weights = [chance.standard_normal((64, HIDDEN)) / 6, chance.standard_normal((HIDDEN, 10)) / 4]
    biases = [np.full(HIDDEN, -20.0 if fault == DEAD else 0.0), np.zeros(10)]
    moved = [*weights, *biases]
    velocity = [np.zeros_like(array) for array in moved]
    trace: dict[str, Any] = {"losses": [], "ratios": []}
    with np.errstate(all="ignore"):
        for number in range(BATCHES):
            picked = chance.integers(0, len(x), BATCH)
            loss, grads, dead = _gradients(x[picked], y[picked], weights, biases)
            rate = (30.0 if fault == RATE else 0.1) * (1 - number / BATCHES)
            lengths = [float(np.linalg.norm(array)) for array in weights]
            for array, grad, v in zip(moved, grads, velocity, strict=True):
                v *= MOMENTUM
                v -= rate * grad
                array += v
            steps = [float(np.linalg.norm(v)) for v in velocity[:2]]
            trace["losses"].append(loss)
            trace["ratios"].append(max(step / length for step, length in zip(steps, lengths, strict=True)))
            trace["dead"] = dead
        for name, pictures, labels in (("train", x, y), ("held_out", held_x, held_y)):
            scores = np.maximum(pictures @ weights[0] + biases[0], 0) @ weights[1] + biases[1]
            trace[name] = float((scores.argmax(1) == labels).mean())
    return trace


def _gradients(x: Numbers, y: NDArray[np.int_], weights: list[Numbers], biases: list[Numbers]) -> Any:
    """The mean loss, the gradients by weights and biases, and the share of hidden units that are 0 for all pictures."""
    hidden = np.maximum(x @ weights[0] + biases[0], 0)
    scores = hidden @ weights[1] + biases[1]
    odds = np.exp(scores - scores.max(1, keepdims=True))
    probabilities = odds / odds.sum(1, keepdims=True)
    loss = float(-np.log(probabilities[np.arange(len(y)), y]).mean())
    grad = (probabilities - np.eye(10)[y]) / len(y)
    back = (grad @ weights[1].T) * (hidden > 0)
    return loss, (x.T @ back, hidden.T @ grad, back.sum(0), grad.sum(0)), float((hidden == 0).all(0).mean())


EXERCISES = (
    Exercise(
        "13.1",
        "Predict the loss to beat",
        loss_to_beat,
        hint="a picture of a class with the share p costs -ln(p), and p of all pictures are such; skip empty classes",
    ),
    Exercise(
        "13.2",
        "Read a trace",
        diagnose,
        hint="a step that leaps kills units too: look at the ratios first, then at the dead, then at the accuracies",
    ),
    Exercise(
        "13.3",
        "Find the wrong labels",
        suspects,
        hint="probabilities[np.arange(len(labels)), labels] is what the network thinks of each given label; np.argsort",
    ),
    Exercise(
        "13.4",
        "Repair a loop",
        batches,
        hint="pictures and labels have to be put in the same new order",
        stub_says="a picture no longer has its own label",
    ),
)
