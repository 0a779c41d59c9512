"""Let each of the four systems learn one batch of eight pictures by heart, as its cfg describes it: in three minutes.

    python scripts/overfit.py
    python scripts/overfit.py alexnet

Whatever is wrong with training, this shows it: a layer that does not learn, or learns with a wrong gradient, keeps the
loss up. The pictures are patches of colour, without a sense. Exits with 1 where a loss stays at 0.001 or above.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from minidarknet.cfg import parse_cfg
from minidarknet.layers.parameter import Array
from minidarknet.learning import Learner
from minidarknet.network import Network
from minidarknet.optimizers import optimizer_for
from minidarknet.shapes import Shape

REPOSITORY = Path(__file__).resolve().parent.parent
COUNT = 8
#: A loss below this is zero.
ZERO = 0.001


class Plan(NamedTuple):
    adam: bool
    rate: float
    steps: int


#: Batch norm makes it easy. The two without it want Adam, and small steps.
PLANS = {
    "tiny": Plan(adam=False, rate=0.1, steps=60),
    "darknet": Plan(adam=False, rate=0.1, steps=40),
    "squeezenet": Plan(adam=True, rate=0.0003, steps=150),
    "alexnet": Plan(adam=True, rate=0.0001, steps=60),
}


def pictures(shape: Shape) -> Array:
    """Four by four patches of random colours with some noise."""
    generator = np.random.default_rng(1)
    rows, columns = -(-shape.height // 4), -(-shape.width // 4)
    patches = generator.random((COUNT, shape.channels, 4, 4), np.float32)
    patches = patches.repeat(rows, axis=2).repeat(columns, axis=3)[:, :, : shape.height, : shape.width]
    return np.asarray(0.9 * patches + 0.1 * generator.random((COUNT, *shape.array_shape), np.float32), np.float32)


def overfit(cfg: str, plan: Plan) -> list[float]:
    """The loss of an image, on average, at each step; with no decay and no dropout in the way."""
    text = re.sub(r"(?m)^(decay|probability)=.*$", r"\1=0", cfg)
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


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(PLANS)}; all where none is named")
    names = parser.parse_args().names or list(PLANS)
    if unknown := [name for name in names if name not in PLANS]:
        parser.error(f"no plan for {', '.join(unknown)}; there are {', '.join(PLANS)}")
    missed = False
    for name in names:
        plan, start = PLANS[name], perf_counter()
        losses = overfit((REPOSITORY / "cfg" / f"{name}.cfg").read_text(), plan)
        missed |= not losses[-1] < ZERO
        print(
            f"{name}: loss {losses[0]:.3f} at first, {losses[plan.steps // 2]:.4f} half-way, {losses[-1]:.6f} after "
            f"{plan.steps} steps of {'Adam' if plan.adam else 'SGD'}, {perf_counter() - start:.0f} s"
            f"{'' if losses[-1] < ZERO else ': not learned'}",
            flush=True,
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
