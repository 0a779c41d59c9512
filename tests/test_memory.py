"""Where parts of memory are put: none where another one lives, and those that follow each other about one middle."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidarknet.memory import aligned, arrange, arrange_centred

moments = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda pair: (min(pair), max(pair)))
Part = tuple[int, tuple[int, int]]
some_parts = st.lists(st.tuples(st.integers(0, 40).map(lambda lines: 16 * lines), moments), max_size=12)


@pytest.mark.parametrize("arranged", [arrange, arrange_centred])
@given(parts=some_parts)
def test_no_two_that_live_overlap(arranged: Callable[..., tuple[list[int], int]], parts: list[Part]) -> None:
    sizes, lives = [size for size, _ in parts], [life for _, life in parts]
    starts, total = arranged(sizes, lives)
    assert all(start >= 0 and start % 16 == 0 for start in starts)
    assert all(start + size <= total for start, size in zip(starts, sizes, strict=True))
    for one, other in combinations(range(len(parts)), 2):
        if lives[one][0] <= lives[other][1] and lives[other][0] <= lives[one][1]:
            assert starts[one] + sizes[one] <= starts[other] or starts[other] + sizes[other] <= starts[one]


@given(parts=some_parts)
def test_what_shares_memory_has_one_middle(parts: list[Part]) -> None:
    sizes, lives = [size for size, _ in parts], [life for _, life in parts]
    starts, _ = arrange_centred(sizes, lives)
    for one, other in combinations(range(len(parts)), 2):
        if starts[one] < starts[other] + sizes[other] and starts[other] < starts[one] + sizes[one]:
            assert abs(starts[one] + sizes[one] / 2 - starts[other] - sizes[other] / 2) <= 16


def test_a_chain_takes_no_more_than_its_two_largest_neighbours() -> None:
    sizes = [320, 80, 160, 48, 96]
    lives = [(4 - i, 5 - i) for i in range(5)]
    assert arrange_centred(sizes, lives) == ([0, 320, 80, 336, 112], 400)
    assert arrange(sizes, lives)[1] == aligned(400)


def test_what_takes_no_memory_is_in_nobodys_way() -> None:
    lives = [(0, 9), (0, 1), (1, 2), (2, 3)]
    assert arrange_centred([0, 64, 32, 64], lives) == ([0, 0, 64, 0], 96)
    assert arrange_centred([64, 0, 32, 0], [(0, 1), (0, 9), (2, 3), (1, 2)]) == ([0, 0, 16, 0], 64)
