"""The fast convolutions: each method against the definition, folded and not, on every width of register."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from minidarknet.kernels.simd import LANES
from minidarknet.layers import weight_gradient
from minidarknet.layers.base import Run
from minidarknet.layers.convolutional import (
    Convolutional,
    ConvolutionalOptions,
    convolve_plain,
    plain_back,
    plain_workspace,
)
from minidarknet.layers.parameter import Array
from minidarknet.shapes import Shape

REPOSITORY = Path(__file__).resolve().parent.parent
compiled = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="the fast kernels are made of machine code")

#: method, channels, height, width, filters, size, stride, padding, groups: every tile, remainder and share of the work
CASES = [
    ("points", 5, 4, 7, 33, 1, 1, 0, 1),
    ("points", 40, 9, 13, 70, 1, 1, 0, 1),
    ("points", 16, 14, 14, 160, 1, 1, 0, 1),  # threads share the filters
    ("points", 3, 30, 31, 16, 1, 1, 0, 1),  # a block of one vector
    ("points", 1, 1, 1, 1, 1, 1, 0, 1),
    ("columns", 1, 1, 1, 33, 1, 1, 0, 1),
    ("columns", 70, 4, 4, 130, 1, 1, 0, 1),
    ("columns", 64, 5, 3, 130, 3, 1, 1, 1),  # more than a slice of k
    ("columns", 30, 13, 13, 40, 1, 1, 1, 1),
    ("columns", 5, 9, 8, 20, 1, 2, 1, 1),
    ("columns", 6, 10, 14, 66, 5, 1, 2, 1),
    ("columns", 520, 7, 6, 9, 3, 2, 1, 1),  # images laid out one by one
    ("direct", 3, 43, 41, 20, 3, 2, 1, 1),
    ("direct", 4, 90, 83, 40, 11, 4, 2, 1),
    ("direct", 100, 24, 30, 66, 5, 1, 2, 1),
    ("direct", 9, 70, 66, 8, 7, 3, 0, 1),
    ("direct", 8, 12, 12, 24, 3, 2, 1, 4),
    ("direct", 8, 3, 2, 24, 3, 1, 1, 4),
    ("columns", 1, 10, 10, 5, 3, 1, 1, 1),
    ("direct", 2, 22, 20, 5, 3, 1, 1, 1),  # too few channels for frequencies
    ("winograd", 3, 10, 10, 5, 3, 1, 1, 1),
    ("winograd", 3, 30, 31, 16, 3, 1, 1, 1),  # a block of one vector
    ("winograd", 8, 10, 10, 33, 3, 1, 1, 1),
    ("winograd", 9, 13, 15, 40, 3, 1, 1, 1),
    ("winograd", 12, 33, 31, 65, 3, 1, 0, 1),
    ("winograd", 8, 14, 60, 34, 3, 1, 3, 1),
    ("winograd", 20, 10, 10, 200, 3, 1, 1, 1),  # threads share the filters
    ("winograd", 3, 120, 3, 4, 3, 1, 1, 1),
    ("winograd", 16, 4, 4, 33, 3, 1, 1, 1),  # a single patch
    ("winograd", 16, 7, 7, 33, 3, 1, 0, 1),
    ("winograd", 5, 11, 32, 33, 3, 1, 1, 1),  # as many patches in a row as are turned apart
    ("winograd", 5, 11, 33, 33, 3, 1, 1, 1),  # and one more
    ("winograd", 3, 2, 3, 17, 3, 1, 9, 1),  # patches that lie outside
    ("points", 40, 2, 3, 8, 1, 1, 0, 1),  # few pixels, but one block of filters
    ("winograd", 64, 5, 4, 130, 3, 1, 1, 1),
]


def layer_for(case: tuple[int, ...]) -> Convolutional:
    channels, height, width, filters, size, stride, padding, groups = case
    options = ConvolutionalOptions(
        filters=filters,
        size=size,
        stride=stride,
        padding=padding,
        groups=groups,
        activation="leaky",
        batch_normalize=True,
    )
    layer = Convolutional(options)
    layer.connect(Shape(channels, height, width))
    generator = np.random.default_rng(7)
    for parameter in layer.parameters():
        parameter.array = generator.uniform(0.5, 1.5, parameter.shape).astype(np.float32)
    layer.weights.array = generator.standard_normal(layer.weights.shape, np.float32)
    return layer


def forward(layer: Convolutional, x: Array, folded: bool) -> Array:
    layer.allocate(len(x))
    layer.output.fill(np.nan)
    return layer.forward(x, run=Run(np.full(layer.workspace_size(), np.nan, np.float32), folded=folded)).copy()


@compiled
@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize(("method", "case"), [(case[0], case[1:]) for case in CASES])
def test_every_method_equals_a_column_product(method: str, case: tuple[int, ...], batch: int, folded: bool) -> None:
    layer = layer_for(case)
    assert layer.convolver.method == method
    x = np.random.default_rng(3).standard_normal((batch, *case[:3]), np.float32)
    found = forward(layer, x, folded)
    products = np.empty((batch, *layer.out_shape.array_shape), np.float64)
    workspace = np.empty(plain_workspace(layer.convolver), np.float64)
    wide = np.asarray(layer.weights.value, np.float64)
    convolve_plain(products, x.astype(np.float64), wide, layer.convolver, workspace)  # type: ignore[arg-type]
    scales, mean, variance = (parameter.value.astype(np.float64)[:, None, None] for parameter in layer.batch_norm or ())
    y = scales * (products - mean) / (np.sqrt(variance) + 1e-6) + layer.biases.value[:, None, None]
    expected = np.where(y > 0, y, 0.1 * y)
    assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


@compiled
@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize(("method", "case"), [(case[0], case[1:]) for case in CASES])
def test_the_same_bits_on_any_threads_and_in_any_batch(method: str, case: tuple[int, ...], folded: bool) -> None:
    layer = layer_for(case)
    x = np.random.default_rng(3).standard_normal((16, *case[:3]), np.float32)
    together = forward(layer, x, folded)
    before = numba.get_num_threads()
    try:
        for threads in range(1, before + 1):
            numba.set_num_threads(threads)
            assert np.array_equal(forward(layer, x[:3], folded), together[:3])
            assert np.array_equal(forward(layer, x[5:6], folded), together[5:6])
    finally:
        numba.set_num_threads(before)


@compiled
@pytest.mark.parametrize(("method", "case"), [(case[0], case[1:]) for case in CASES])
def test_packed_weights_follow_a_change(method: str, case: tuple[int, ...]) -> None:
    layer = layer_for(case)
    x = np.random.default_rng(3).standard_normal((1, *case[:3]), np.float32)
    before = forward(layer, x, folded=True)
    layer.weights.array = layer.weights.value * np.float32(2)
    assert not np.array_equal(forward(layer, x, folded=True), before)
    layer.weights.value[:] *= np.float32(0.5)
    layer.weights.array = layer.weights.value  # what whoever changes numbers in place does
    assert np.array_equal(forward(layer, x, folded=True), before)


#: Pixels and numbers of a slab, pixels and planes of one of planes, patches of one of frequencies with few and most
#: numbers, and how many frequencies for each sum make two parts: as they are, a line or register at a time with one
#: part, some that end within an image with two.
SIZES = ("SLAB_PIXELS", "SLAB_NUMBERS", "PLANE_PIXELS", "HELD", "SLAB_PATCHES", "SLAB_FEW", "SLAB_MOST", "MANY_TIMES")
SLABS = {
    "as they are": tuple(getattr(weight_gradient, name) for name in SIZES),
    "lines": (1, 1, 1, 1, 1, 1, 1, 10**9),
    "few": (90, 9000, 3 * LANES, 15, 5, 12_000, 25_000, 0),
}


@compiled
@pytest.mark.parametrize("slabs", SLABS)
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("case", [case[1:] for case in CASES])
def test_the_way_back_equals_plain_products(
    case: tuple[int, ...], batch: int, slabs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the weights and by the input; also that the gradient by the weights is added, with the same bits on any
    threads."""
    for name, value in zip(SIZES, SLABS[slabs], strict=True):
        monkeypatch.setattr(weight_gradient, name, value)
    layer, generator = layer_for(case), np.random.default_rng(4)
    x = generator.standard_normal((batch, *case[:3]), np.float32)
    grad = generator.standard_normal((batch, *layer.out_shape.array_shape), np.float32)
    weights, geometry = layer.weights.value, layer.convolver
    wide = [np.full(weights.shape, 7, np.float64), np.empty(x.shape, np.float64)]
    plain = np.empty(2 * plain_workspace(geometry), np.float64)
    sources = [array.astype(np.float64) for array in (grad, x, weights)]
    plain_back(*wide, *sources, geometry, plain)  # type: ignore[arg-type]
    before, bits = numba.get_num_threads(), set()
    try:
        for threads in range(1, before + 1):
            numba.set_num_threads(threads)
            run = Run(np.full(layer.backward_workspace_size(batch), np.nan, np.float32))
            by_weights, by_input = np.full(weights.shape, 7, np.float32), np.full(x.shape, np.nan, np.float32)
            layer.weight_gradient.run(by_weights, grad, x, run)
            run.workspace.fill(np.nan)
            layer.input_gradient.run(by_input, grad, weights, run)
            bits.add(by_weights.tobytes() + by_input.tobytes())
            for found, expected in zip((by_weights, by_input), wide, strict=True):
                assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
    finally:
        numba.set_num_threads(before)
    assert len(bits) == 1


@compiled
@pytest.mark.parametrize("activation", ["linear", "relu", "leaky", "relie", "logistic", "tanh"])
def test_folding_hides_no_nan(activation: str) -> None:
    layer = Convolutional(ConvolutionalOptions(filters=2, size=1, activation=activation))
    layer.connect(Shape(1, 2, 2))
    layer.biases.array = np.zeros(2, np.float32)
    layer.weights.array = np.ones((2, 1, 1, 1), np.float32)
    x = np.array([[[[np.nan, 1], [-1, 0]]]], np.float32)
    for folded in (False, True):
        found = forward(layer, x, folded)
        assert np.isnan(found[0, :, 0, 0]).all()
        assert np.isfinite(found[0, :, 1]).all()


@compiled
@pytest.mark.parametrize(
    ("processor", "features", "lanes"),
    [("haswell", "+sse2,+avx,+avx2,+fma", 8), ("x86-64", "+sse2", 4)],
)
def test_narrower_registers(processor: str, features: str, lanes: int) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("these are x86 processors")
    environment = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features}
    files = [str(REPOSITORY / f"tests/test_{name}.py") for name in ("convolution", "golden_networks", "fast_twins")]
    check = subprocess.run(
        [sys.executable, "-c", "from minidarknet.kernels.simd import LANES; print(LANES)"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert check.stdout == f"{lanes}\n"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "not narrower", *files],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:]
