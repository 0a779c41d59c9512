"""Kernels made of registers equal their plain twins, at every size around a register's and a tile's."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from minidarknet.kernels.dots import IMAGES, ROWS, dots, dots_naive
from minidarknet.kernels.halving import maxpool_halving, squares_back
from minidarknet.kernels.outer import outer_products, outer_products_naive
from minidarknet.kernels.simd import BLOCK, LANES
from minidarknet.kernels.tile import WIDE
from minidarknet.layers.maxpool import maxpool, maxpool_back

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="the fast kernels are made of machine code")


@pytest.mark.parametrize("batch", [0, 1, 2, IMAGES, IMAGES + 1, 2 * IMAGES + 1])
@pytest.mark.parametrize("outputs", [1, ROWS - 1, ROWS, ROWS + 1, 4 * ROWS + 3])
@pytest.mark.parametrize("inputs", [1, LANES - 1, LANES, LANES + 1, 5 * LANES + 3])
def test_dots(batch: int, outputs: int, inputs: int) -> None:
    generator = np.random.default_rng(inputs)
    source = generator.standard_normal((batch, inputs)).astype(np.float32)
    weights = generator.standard_normal((outputs, inputs)).astype(np.float32)
    # What stands behind both arrays is not read: a NaN would show.
    padded = [np.full(array.size + 2 * LANES, np.nan, np.float32) for array in (source, weights)]
    for memory, array in zip(padded, (source, weights), strict=True):
        memory[: array.size] = array.reshape(-1)
    source, weights = (memory[: a.size].reshape(a.shape) for memory, a in zip(padded, (source, weights), strict=True))
    output, expected = np.full((batch, outputs), np.nan, np.float32), np.empty((batch, outputs), np.float32)
    dots_naive(expected, source, weights)
    for threads in (1, 2, 3):
        output.fill(np.nan)
        dots(output, source, weights, threads)
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5 * inputs**0.5)


@pytest.mark.parametrize("count", [1, 2, IMAGES, IMAGES + 3])
def test_dots_have_the_same_bits_in_any_batch(count: int) -> None:
    generator = np.random.default_rng(count)
    source = generator.standard_normal((count, 217)).astype(np.float32)
    weights = generator.standard_normal((23, 217)).astype(np.float32)
    together, alone = np.empty((count, 23), np.float32), np.empty((1, 23), np.float32)
    dots(together, source, weights, 2)
    for b in range(count):
        dots(alone, source[b : b + 1], weights, 1)
        assert alone.tobytes() == together[b : b + 1].tobytes()


@pytest.mark.parametrize(("size", "offset"), [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)])
@pytest.mark.parametrize("width", [1, 2, 3, 2 * LANES - 2, 2 * LANES - 1, 2 * LANES, 2 * LANES + 1, 5 * LANES])
@pytest.mark.parametrize("height", [1, 2, 7])
def test_maxpool_halving(size: int, offset: int, width: int, height: int) -> None:
    """Windows that reach beyond the plane on both sides, or lie outside it altogether."""
    generator = np.random.default_rng(width)
    memory = np.full(3 * height * width + 4 * LANES, np.inf, np.float32)
    source = memory[LANES : LANES + 3 * height * width].reshape(3, height, width)  # infinity on both sides
    source[:] = generator.standard_normal(source.shape)
    rows, columns = (height + 2 * offset) // 2 + 1, (width + 2 * offset) // 2 + 1
    output, expected = np.full((2, 3, rows, columns), np.nan, np.float32)
    maxpool(expected, source, size, 2, offset)
    maxpool_halving(output, source, size, 2, offset)
    assert output.tobytes() == expected.tobytes()


@pytest.mark.parametrize("columns", [1, 2, LANES // 2, LANES - 1, LANES, LANES + 1, 3 * LANES + 2])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("odd", [0, 1])
def test_squares_back(rows: int, columns: int, odd: int) -> None:
    """Of few different numbers, so that many are equal: then the first of a square gets the gradient."""
    generator = np.random.default_rng(columns)
    source = generator.integers(-2, 1, size=(5, 2 * rows - odd, 2 * columns - odd)).astype(np.float32)
    grad, output = generator.standard_normal((2, 5, rows, columns)).astype(np.float32)
    maxpool(output, source, 2, 2, 0)
    memory = np.full(source.size + 2 * LANES, np.nan, np.float32)
    found, expected = memory[LANES:-LANES].reshape(source.shape), np.empty_like(source)
    maxpool_back(expected, source, output, grad, 2, 2, 0)
    squares_back(found, source, output, grad)
    assert (found + 0).tobytes() == (expected + 0).tobytes()  # -0 is 0
    assert np.isnan(memory[:LANES]).all()
    assert np.isnan(memory[-LANES:]).all()
    whole = np.pad(expected, ((0, 0), (0, odd), (0, odd)))
    assert ((whole != 0).reshape(5, rows, 2, columns, 2).sum(axis=(2, 4)) == 1).all()


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("depth", [0, 1, 9, 130])
@pytest.mark.parametrize("outputs", [1, WIDE - 1, WIDE, WIDE + 1, 3 * WIDE + 2])
@pytest.mark.parametrize("inputs", [1, BLOCK - 1, BLOCK, BLOCK + 1, 4 * BLOCK + 5, 300 * BLOCK + 7])
def test_outer_products(inputs: int, outputs: int, depth: int, adds: bool) -> None:
    generator = np.random.default_rng(inputs)
    sizes = [depth * outputs, depth * inputs, outputs * inputs]
    padded = [np.full(size + 2 * BLOCK, np.nan, np.float32) for size in sizes]
    factors, rows, output = (memory[:size] for memory, size in zip(padded, sizes, strict=True))
    for array in (factors, rows):
        array[:] = generator.standard_normal(array.size)
    shapes = (depth, outputs), (depth, inputs), (outputs, inputs)
    factors, rows, output = (a.reshape(shape) for a, shape in zip((factors, rows, output), shapes, strict=True))
    expected, bits = np.full((outputs, inputs), 3, np.float32), set()
    outer_products_naive(expected, factors, rows, adds)
    for threads in (1, 2, 3):
        output.fill(3 if adds else np.nan)
        outer_products(output, factors, rows, adds, threads)
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-6 * max(depth, 10))
        bits.add(output.tobytes())
        assert np.isnan(padded[2][sizes[2] :]).all(), "nothing behind it is written"
    assert len(bits) == 1
