"""What the checks of lessons 12 to 15 say of plausible wrong answers: it must help the learner on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minidarknet.course.checking import examine, find
from minidarknet.zoo import cfg_path


def nothing(*_: Any) -> None:
    """An answer without a return."""


def alpha_everywhere(grad: Any, channels: int, alpha: float, beta: float) -> Any:
    """Darknet's own way back through a shortcut, which scales what was only copied."""
    earlier = np.zeros((channels, *grad.shape[1:]))
    earlier[: len(grad)] = beta * grad[:channels]
    return alpha * grad, earlier


@pytest.mark.parametrize(
    ("number", "answer", "says"),
    [
        (
            "12.2",
            nothing,
            "expected two lists of pairs (photograph, copy), as in `return learned, held`; found NoneType",
        ),
        ("12.2", lambda count, *_: (list(range(count)), []), "expected two lists of pairs"),
        ("12.2", lambda *_: ([(0, 0), (0, 0)], []), "29 are missing, 1 come more than once"),
        ("13.2", lambda _: "healthy", "seed 0 that is 'dead layer' was called 'healthy'; it shows last loss 2.3"),
        ("13.3", nothing, "found None: is there a `return`?"),
        ("13.4", nothing, "expected batches, found NoneType: is there a `yield`?"),
        (
            "13.4",
            lambda x, y, size, _: [(x[i], y[i]) for i in range(len(x) // size)],
            "the shape of a batch's pictures",
        ),
        ("14.2", nothing, "expected two arrays, (grad_x, grad_earlier); found NoneType: is there a `return`?"),
        (
            "14.2",
            alpha_everywhere,
            "grad_x of shortcut_back(grad of 4 channels, 1, -2.0, 0.25): first differing value at (1",
        ),
        ("14.3", nothing, "gradients of a chain, gradients([[], [0], [1], [2]], [1.0, 0.5, -3.0, 2.0])"),
        ("15.3", nothing, "expected the text of a cfg, found NoneType: is there a `return`?"),
        ("15.3", lambda: cfg_path("digits").read_text().replace("filters=", "filtres="), "did you mean 'filters'?"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong(number: str, answer: Callable[..., Any], says: str) -> None:
    exercise = find(number)
    assert exercise is not None
    result = examine(exercise, answer)
    assert says in result.message
    assert not result.passed
