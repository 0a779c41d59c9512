"""Each of the four systems learns one batch of eight pictures by heart, here with a share of its filters.

`scripts/overfit.py` does it with all of them.
"""

from __future__ import annotations

import numba
import pytest

from scripts.overfit import PLANS, Plan, overfit
from test_learning import SYSTEMS, smaller

#: The share of the filters, and how these learn. Few filters, without batch norm, take larger steps.
SMALLER = {
    "tiny": (8, PLANS["tiny"]),
    "darknet": (8, PLANS["darknet"]),
    "squeezenet": (4, Plan(adam=True, rate=0.001, steps=120)),
    "alexnet": (8, Plan(adam=True, rate=0.001, steps=80)),
}


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="too slow without the compiler")
@pytest.mark.parametrize("name", SMALLER)
def test_eight_pictures_are_learned_by_heart(name: str) -> None:
    share, plan = SMALLER[name]
    losses = overfit(smaller(name, share), plan)
    assert losses[0] > 4
    assert max(losses[-5:]) < 0.01


def test_all_systems_are_here() -> None:
    assert set(PLANS) == set(SMALLER) == set(SYSTEMS)
