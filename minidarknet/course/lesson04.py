"""Checks of lesson 4: the speed ladder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from types import FunctionType
from typing import Any

import numpy as np

from minidarknet.course.checking import Exercise, expect, fail

#: How many times as fast as the plain loops 4.3 must be; the right order of loops gains about fifty.
BAR = 5.0
#: How often a compiled answer is run: a race may not show in one run, and of times the shortest counts.
RUNS = 5


def least(answer: Callable[..., Any]) -> None:
    for operations, moved, flops, bandwidth in [(1e9, 1e6, 1e11, 2e10), (2e6, 1e8, 1e11, 2e10), (6e8, 3e8, 4e9, 1e9)]:
        expected = max(operations / flops, moved / bandwidth)
        waits = "memory" if moved / bandwidth > operations / flops else "arithmetic"
        what = f"least({operations:g}, {moved:g}, {flops:g}, {bandwidth:g}), which is (seconds, what it waits for)"
        expect(what, answer(operations, moved, flops, bandwidth), (expected, waits), 1e-12)


def histogram(answer: Callable[..., Any]) -> None:
    generator = np.random.default_rng(42)
    few = generator.integers(0, 4, 23)
    for parts in (1, 2, 5, 23):
        found = answer(few.copy(), 6, parts)  # not compiled: here prange is range
        expect(f"23 values in 6 bins, parts={parts}, without a compiler", found, np.bincount(few, minlength=6))
    if "prange" not in answer.__code__.co_names:
        fail("no loop runs in parallel: expected a loop over prange(parts)")
    one_writer(answer, generator.integers(0, 4, 100), 4, 5)

    from numba import get_num_threads, njit

    compiled, parts = njit(parallel=True)(answer), max(2, get_num_threads())
    for number in range(RUNS):
        many = generator.integers(0, 10, 200_000 + number)
        found = compiled(many, 10, parts)
        what = f"{len(many):,} values in 10 bins, parts={parts}, compiled, run {number + 1}"
        if isinstance(found, np.ndarray) and (lost := len(many) - int(found.sum())) > 0:
            fail(f"{what}: {lost:,} counts are lost; do two threads add to the same place?")
        expect(what, found, np.bincount(many, minlength=10))


class Watched(np.ndarray[Any, Any]):
    """An array that knows whether something was added to it as a whole: Numba adds such sums up without a race."""

    is_sum = False

    def __iadd__(self, other: Any) -> Any:  # type: ignore[misc]  # NumPy's has many overloads
        self.is_sum = True
        return super().__iadd__(other)


class WatchedNumPy:
    """NumPy, but it remembers the arrays that were made."""

    def __init__(self) -> None:
        self.made: list[Watched] = []

    def __getattr__(self, name: str) -> Any:
        if name.removesuffix("_like") not in ("zeros", "ones", "full", "empty"):
            return getattr(np, name)
        maker = getattr(np, name.replace("empty", "zeros"))

        def make(*arguments: Any, **options: Any) -> Watched:
            self.made.append(maker(*arguments, **options).view(Watched))
            return self.made[-1]

        return make


def one_writer(answer: Callable[..., Any], *arguments: Any) -> None:
    """Fail where two rounds of a `prange` change the same number.

    On a busy machine the threads of a compiled loop hardly ever meet, and then a race does not show in what it counts.
    So the rounds are run one after another, without a compiler, and what each has changed is looked at.
    """
    numpy = WatchedNumPy()

    def rounds(*limits: int) -> Iterator[int]:
        writers: dict[tuple[int, ...], int] = {}
        for number in range(*limits):
            before = [np.array(array) for array in numpy.made]
            yield number
            for which, (array, old) in enumerate(zip(numpy.made, before, strict=False)):
                changed = [] if array.is_sum else np.argwhere(np.asarray(array) != old).tolist()
                for place in changed:
                    first = writers.setdefault((which, *place), number)
                    if first != number:
                        fail(f"a race: rounds {first} and {number} of prange both write to place {place} of one array")

    names = {**answer.__globals__, "np": numpy, "prange": rounds}
    FunctionType(answer.__code__, names, answer.__name__, answer.__defaults__, answer.__closure__)(*arguments)


def plain_loops(output: Any, a: Any, b: Any) -> None:
    """The definition of a matrix product, which 4.3 is measured against."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = np.float32(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            output[i, j] = total


def multiply_quickly(answer: Callable[..., Any]) -> None:
    generator = np.random.default_rng(43)
    a, b = generator.standard_normal((3, 5), np.float32), generator.standard_normal((5, 7), np.float32)
    output = np.full((3, 7), np.nan, np.float32)
    answer(output, a.copy(), b.copy())
    expect("output, which was all nan before, after 3x5 @ 5x7", output, a @ b, 1e-4)

    from numba import njit

    theirs, ours = njit(answer), njit(plain_loops)
    a, b = generator.standard_normal((64, 144), np.float32), generator.standard_normal((144, 1024), np.float32)
    output, expected = np.full((64, 1024), np.nan, np.float32), np.empty((64, 1024), np.float32)
    ours(expected, a, b)  # the first calls compile
    try:
        theirs(output, a.copy(), b.copy())
    except ImportError:  # what Numba makes of @ is SciPy's
        fail("for @ and np.dot, Numba asks another library, SciPy: expected loops of your own")
    expect("64x144 @ 144x1024, compiled", output, expected, 1e-3)
    their_seconds = min(_seconds(theirs, output, a, b) for _ in range(RUNS))
    our_seconds = min(_seconds(ours, output, a, b) for _ in range(RUNS))
    if our_seconds < BAR * their_seconds:
        fail(
            f"{1000 * their_seconds:.2f} ms, and the plain loops take {1000 * our_seconds:.2f} ms: "
            f"{our_seconds / their_seconds:.1f} times as fast; expected {BAR:g} times or more"
        )


def _seconds(call: Callable[..., Any], *arguments: Any) -> float:
    start = perf_counter()
    call(*arguments)
    return perf_counter() - start


EXERCISES = (
    Exercise("4.1", "Under which roof?", least, hint="Arithmetic and memory work at once: the slower of them decides."),
    Exercise(
        "4.2",
        "Parallel without a race",
        histogram,
        hint="Take counts of shape (parts, bins): part p writes only row p. Add the rows up when all are through.",
    ),
    Exercise(
        "4.3",
        "Reach a bar",
        multiply_quickly,
        hint="Which loop must be innermost, so that neighbouring numbers of b and output are used one after another?",
    ),
)
