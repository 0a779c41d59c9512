"""Each of the four systems learns one batch of eight pictures by heart: whatever is wrong with training, this shows it.

The pictures are patches of colour, without a sense. With a share of the filters it takes seconds.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numba
import numpy as np
import pytest

from minidarknet.cfg import parse_cfg
from minidarknet.layers.parameter import Array
from minidarknet.learning import Learner
from minidarknet.network import Network
from minidarknet.optimizers import optimizer_for
from minidarknet.shapes import Shape
from test_learning import SYSTEMS, smaller

COUNT = 8


class Plan(NamedTuple):
    share: int
    adam: bool
    rate: float
    steps: int


#: Batch norm makes it easy. The two without it want Adam, and SqueezeNet's narrowest layers a few more filters.
PLANS = {
    "tiny": Plan(share=8, adam=False, rate=0.1, steps=60),
    "darknet": Plan(share=8, adam=False, rate=0.1, steps=40),
    "squeezenet": Plan(share=4, adam=True, rate=0.001, steps=120),
    "alexnet": Plan(share=8, adam=True, rate=0.001, steps=80),
}


def pictures(shape: Shape) -> Array:
    """Patches of random colours with some noise."""
    generator = np.random.default_rng(1)
    patches = generator.random((COUNT, shape.channels, 4, 4), np.float32).repeat(25, axis=2).repeat(25, axis=3)
    noise = generator.random((COUNT, *shape.array_shape), np.float32)
    return np.asarray(0.9 * patches[:, :, : shape.height, : shape.width] + 0.1 * noise, np.float32)


def overfit(name: str, plan: Plan) -> list[float]:
    """The loss of an image, on average, at each step; with no decay and no dropout in the way."""
    text = re.sub(r"(?m)^(decay|probability)=.*$", r"\1=0", smaller(name, plan.share))
    network = Network.from_cfg(parse_cfg(text.replace("[net]", f"[net]\nadam={int(plan.adam)}")))
    network.initialize(seed=1)
    for _, parameter in network.parameters():
        if parameter.name == "biases" and parameter.size == network.output_shape.size:
            parameter.array = np.ones(parameter.shape, np.float32)  # or SqueezeNet's last relu loses classes at once
    learner, optimizer = Learner(network, COUNT), optimizer_for(network)
    x, truth = pictures(network.input_shape), np.eye(network.output_shape.size, dtype=np.float32)[:COUNT]
    losses = []
    for _ in range(plan.steps):
        losses.append(learner.step(x, truth) / COUNT)
        optimizer.step(plan.rate, COUNT)
    return losses


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="too slow without the compiler")
@pytest.mark.parametrize("name", PLANS)
def test_eight_pictures_are_learned_by_heart(name: str) -> None:
    losses = overfit(name, PLANS[name])
    assert losses[0] > 4
    assert max(losses[-5:]) < 0.01


def test_all_systems_are_here() -> None:
    assert set(PLANS) == set(SYSTEMS)
