"""Checks of lesson 6: activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minidarknet.course.checking import Exercise, expect, fail


def softplus_slope(answer: Callable[..., Any]) -> None:
    for x in (0.0, -3.0, -0.4, 0.7, 2.5, 6.0):
        y = math.log1p(math.exp(x))
        expect(f"softplus_slope({y:.6f}), where x was {x:g}", answer(y), 1 / (1 + math.exp(-x)), 1e-9)


def dead(answer: Callable[..., Any]) -> None:
    generator = np.random.default_rng(62)
    for examples, units, silenced in [(20, 6, [1, 4]), (5, 3, []), (50, 8, [0, 2, 3, 7]), (4, 2, [0, 1])]:
        outputs = np.maximum(generator.standard_normal((examples, units)), 0)
        outputs[generator.integers(examples), :] = 1.5  # one example wakes every unit that is not silenced
        outputs[:, silenced] = 0
        found = answer(outputs.copy())
        what = f"the numbers of the dead, in outputs of {examples} examples and {units} units"
        listed = found.tolist() if isinstance(found, np.ndarray) else found
        if isinstance(listed, (list, tuple)) and len(listed) != len(silenced):
            fail(f"{what}: expected {silenced}, found {listed}")
        expect(what, listed, silenced)


def swish_layer(answer: Callable[..., Any]) -> None:
    from minidarknet.layers.base import Layer, Run
    from minidarknet.network import Network
    from minidarknet.shapes import Shape

    swish = answer()
    if not (isinstance(swish, type) and issubclass(swish, Layer)):
        fail(f"expected a class that inherits from Layer, found {swish!r}")
    expect("the class's kind", swish.kind, "swish")
    first, second = layers = [swish(index=0), swish(index=1)]
    net = Network(layers, Shape(2, 3, 5))
    expect("the shape behind a 5 x 3 x 2 input", str(first.out_shape), "5 x 3 x 2")
    expect("the type of table_row()", type(first.table_row()).__name__, "str")

    generator = np.random.default_rng(63)
    x = 3 * generator.standard_normal((4, 2, 3, 5), np.float32)
    for images in (x, x[:2]):  # the second time, the output's buffer is larger than the batch
        expected = _swish(images.astype(np.float64))
        outputs = [output.copy() for _, output in net.steps(images.copy())]
        expect(f"the output for {len(images)} images", outputs[0], expected, 1e-5)
        expect(f"the output of a second [swish] for {len(images)} images", outputs[1], _swish(expected), 1e-5)

    run = Run(np.empty(0, np.float32), training=True)
    layer_input, grad = first.forward(x, run=run).copy(), generator.standard_normal(x.shape, np.float32)
    wide, step = layer_input.astype(np.float64), 1e-6
    slopes = (_swish(wide + step) - _swish(wide - step)) / (2 * step)
    second.forward(layer_input, run=run)
    by_input = np.full_like(x, np.nan)
    second.backward([layer_input], grad.copy(), [by_input], run)
    expect("the gradient by the input, in an array that was all nan before", by_input, grad * slopes, 1e-4)
    second.backward([layer_input], grad.copy(), [None], run)  # nobody asks, as behind the network's input


def _swish(x: Any) -> Any:
    return x / (1 + np.exp(-x))


EXERCISES = (
    Exercise(
        "6.1",
        "A slope from the output",
        softplus_slope,
        hint="By x the slope is e^x / (1 + e^x) = 1 - 1 / (1 + e^x); and 1 + e^x is e^y.",
    ),
    Exercise(
        "6.2",
        "Repair the count",
        dead,
        hint="A unit that is 0 for one example lives: dead is who is 0 for all of them.",
        stub_says="outputs of 20 examples and 6 units",
    ),
    Exercise(
        "6.3",
        "Add a layer in five steps",
        swish_layer,
        hint="With s = logistic(x), the slope of x * s is s + x * s * (1 - s), times grad_output. Write into the array "
        "that you get: grad_input[:] = ..., unless it is None.",
    ),
)
