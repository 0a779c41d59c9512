"""Checks of lesson 14: fire modules and residuals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidarknet.course.checking import Exercise, expect, fail


def fire_cost(answer: Callable[..., Any]) -> None:
    expect("fire_cost(2, 1, 1, 4)", answer(2, 1, 1, 4), (15, 384))
    # SqueezeNet's fire2 and fire9.
    expect("fire_cost(96, 16, 64, 55)", answer(96, 16, 64, 55), (11_920, 71_244_800))
    expect("fire_cost(512, 64, 256, 13)", answer(512, 64, 256, 13), (197_184, 66_453_504))
    expect("fire_cost(7, 3, 5, 1)", answer(7, 3, 5, 1), (184, 342))


def shortcut_back(answer: Callable[..., Any]) -> None:
    chance = np.random.default_rng(142)
    for channels, earlier, alpha, beta in [(3, 3, 1.0, 1.0), (2, 4, 0.5, 3.0), (4, 1, -2.0, 0.25)]:
        grad = chance.standard_normal((channels, 2, 3))
        by_x, by_earlier = grad.copy(), np.zeros((earlier, 2, 3))
        for channel in range(min(channels, earlier)):
            by_x[channel], by_earlier[channel] = alpha * grad[channel], beta * grad[channel]
        found = answer(grad.copy(), earlier, alpha, beta)
        call = f"shortcut_back(grad of {channels} channels, {earlier}, {alpha}, {beta})"
        if not isinstance(found, tuple | list) or len(found) != 2:
            nothing = ": is there a `return`?" if found is None else ""
            fail(f"{call}: expected two arrays, (grad_x, grad_earlier); found {type(found).__name__}{nothing}")
        expect(f"grad_x of {call}", found[0], by_x, 1e-12)
        expect(f"grad_earlier of {call}", found[1], by_earlier, 1e-12)


def gradients(answer: Callable[..., Any]) -> None:
    chain: list[list[int]] = [[], [0], [1], [2]]
    fire: list[list[int]] = [[], [0], [1], [1], [2, 3]]
    residual: list[list[int]] = [[], [0], [1], [0, 2], [3], [4], [3, 5]]
    for name, reads in (("a chain", chain), ("a fire module", fire), ("two shortcuts", residual)):
        factors = [1.0, 0.5, -3.0, 2.0, 0.25, 5.0, 1.5][: len(reads)]
        found = answer([list(read) for read in reads], list(factors))
        expect(f"gradients of {name}, gradients({reads}, {factors})", found, _moved(reads, factors), 1e-9)


def _moved(reads: Sequence[Sequence[int]], factors: Sequence[float]) -> list[float]:
    """The same by another way: move each output by 1 and see what the last one does (the network is linear)."""
    effects = []
    for moved in range(len(reads)):
        outputs: list[float] = []
        for layer, (read, factor) in enumerate(zip(reads, factors, strict=True)):
            outputs.append(factor * sum(outputs[k] for k in read) + (layer == moved))
        effects.append(outputs[-1])
    return effects


EXERCISES = (
    Exercise(
        "14.1",
        "Predict what a module costs",
        fire_cost,
        hint="channels -> squeeze, then squeeze -> expand twice; a 3x3 filter has nine numbers for each channel",
    ),
    Exercise(
        "14.2",
        "Write the backward of a shortcut",
        shortcut_back,
        hint="only the first min(channels, earlier_channels) channels were added: further ones of x get grad as it "
        "is, further ones of earlier get 0",
    ),
    Exercise(
        "14.3",
        "Repair a way back",
        gradients,
        hint="a layer that two others read gets a gradient from both",
        stub_says="gradients of a fire module",
    ),
)
