"""Checks of lesson 15: a network under a budget."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from minidarknet.course.checking import Exercise, expect, fail

#: The budget of 15.3, and what is to be reached with it.
OPERATIONS, PARAMETERS, BATCHES, RIGHT = 45_000, 3_500, 600, 342


def separable_cost(answer: Callable[..., Any]) -> None:
    expect("separable_cost(4, 2, 3)", answer(4, 2, 3), (68, 792))
    expect("separable_cost(1, 1, 1)", answer(1, 1, 1), (18, 20))
    expect("separable_cost(32, 64, 112)", answer(32, 64, 112), (2_720, 58_605_568))
    expect("separable_cost(3, 5, 7)", answer(3, 5, 7), (74, 4_116))


def depthwise_back(answer: Callable[..., Any]) -> None:
    chance = np.random.default_rng(152)
    for channels, height, width in [(1, 3, 3), (2, 4, 6), (3, 1, 5)]:
        grad, weights = chance.standard_normal((channels, height, width)), chance.standard_normal((channels, 3, 3))
        # The loss is the sum of grad * output; it is linear in x, so poking one pixel by 1 gives its gradient.
        expected = np.zeros((channels, height, width))
        for channel, row, column in np.ndindex(expected.shape):
            for i in range(3):
                for j in range(3):
                    y, z = row + 1 - i, column + 1 - j  # the output that has read this pixel with weight (i, j)
                    if 0 <= y < height and 0 <= z < width:
                        expected[channel, row, column] += weights[channel, i, j] * grad[channel, y, z]
        call = f"depthwise_back of {channels} x {height} x {width} numbers"
        expect(call, answer(grad.copy(), weights.copy()), expected, 1e-9)


def my_network(answer: Callable[..., Any]) -> None:
    """Count first, as that costs nothing; then train and ask."""
    from minidarknet.cfg import parse_cfg
    from minidarknet.data import open_dataset
    from minidarknet.errors import CfgWarning
    from minidarknet.prediction import Classifier
    from minidarknet.training import Training
    from minidarknet.validation import validate

    text = answer()
    if not isinstance(text, str):
        nothing = ": is there a `return`?" if text is None else ""
        fail(f"my_network(): expected the text of a cfg, found {type(text).__name__}{nothing}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", CfgWarning)  # an option with a typing mistake would be trained without
        network = Classifier.from_cfg(parse_cfg(text, "my_network()"))
    expect("the input of my_network()", network.input_shape.array_shape, (1, 8, 8))
    expect("the outputs of my_network()", network.output_shape.size, 10)
    parameters = sum(parameter.size for _, parameter in network.parameters())
    images = network.options.batch * network.options.max_batches
    for found, most, what in [
        (network.flops(), OPERATIONS, "operations"),
        (parameters, PARAMETERS, "parameters"),
        (images, 64 * BATCHES, "pictures in training (batch * max_batches)"),
    ]:
        if not 0 < found <= most:
            fail(f"my_network(): {found:,} {what}; expected at most {most:,}, and more than none")
    network.preprocess = "center"
    network.initialize(seed=0)
    for _ in Training(network, open_dataset("digits", "train", channels=1), seed=0).steps():
        pass
    seen = validate(network, open_dataset("digits", "valid", channels=1), batch=64)
    if seen.count_right() < RIGHT:
        fail(
            f"my_network(): {network.flops():,} operations and {parameters:,} parameters are within the budget, but "
            f"{seen.count_right()} of {seen.count} held-out digits are right; expected {RIGHT}"
        )


EXERCISES = (
    Exercise(
        "15.1",
        "Predict the price of a separable block",
        separable_cost,
        hint="a depthwise 3x3 has nine weights for each channel; batch norm has four numbers for each filter",
    ),
    Exercise(
        "15.2",
        "Write the backward of a depthwise convolution",
        depthwise_back,
        hint="add weights[:, i, j] * grad to a frame, moved by (i, j), for all nine; then cut the frame off",
    ),
    Exercise(
        "15.3",
        "Your own Tiny Darknet",
        my_network,
        hint="the first 3x3 on 8x8 pixels costs most for what it does; pool early, and twice",
    ),
)
