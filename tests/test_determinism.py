"""The same bits whatever the number of threads, the batch, the place in it, the run, and what memory held before."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import pytest

import minidarknet.kernels
import minidarknet.layers
from conftest import golden_files
from minidarknet.cfg import parse_cfg
from minidarknet.layers import LAYERS
from minidarknet.layers.parameter import Array
from minidarknet.network import Network

compiled = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="needs the compiler")

#: Two networks that need no other files and have every layer type that runs, and every branch of those.
PICTURE = """
[net]
height=19
width=23
channels=3
[crop]
crop_height=17
crop_width=21
[convolutional]
filters=16
size=3
pad=1
batch_normalize=1
activation=leaky
[maxpool]
size=2
stride=2
[convolutional]
filters=36
size=3
stride=1
pad=1
activation=relu
[convolutional]
filters=16
size=1
batch_normalize=1
activation=elu
[shortcut]
from=2
activation=leaky
alpha=0.5
[convolutional]
filters=8
size=5
stride=2
padding=3
groups=2
activation=selu
[upsample]
stride=2
[deconvolutional]
filters=5
size=3
stride=2
padding=1
activation=tanh
batch_normalize=1
[normalization]
size=5
alpha=0.01
[route]
layers=-1
[reorg]
stride=1
flatten=1
[upsample]
stride=-2
scale=0.25
[batchnorm]
[local]
filters=4
size=3
pad=1
activation=plse
[l2norm]
[dropout]
[route]
layers=2,-1
[connected]
output=33
batch_normalize=1
activation=loggy
[activation]
activation=stair
[connected]
output=12
activation=linear
[softmax]
groups=3
temperature=2
[cost]
"""
CLASSIFIER = """
[net]
height=30
width=22
channels=3
[convolutional]
filters=33
size=3
pad=1
activation=ramp
[maxpool]
size=3
stride=2
[convolutional]
filters=64
size=3
pad=1
batch_normalize=1
activation=leaky
[convolutional]
filters=10
size=1
activation=linear
[avgpool]
[logistic]
"""


def texts() -> Iterator[tuple[str, str]]:
    yield "every layer", PICTURE
    yield "classifier", CLASSIFIER
    for path in golden_files("nets/*.cfg"):
        yield path.stem, path.read_text()


NETWORKS = dict(texts())


def build(name: str) -> Network:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some golden files have unknown keys on purpose
        network = Network.from_cfg(parse_cfg(NETWORKS[name], name))
    network.initialize(seed=3)
    return network


def images(network: Network, count: int) -> Array:
    shape = (count, *network.input_shape.array_shape)
    return np.random.default_rng(count).random(shape, np.float32)


def outputs(network: Network, x: Array) -> list[Array]:
    """Every layer's output, copied."""
    return [output.copy() for _, output in network.steps(x)]


def assert_same_bits(actual: list[Array], expected: list[Array]) -> None:
    for number, (a, b) in enumerate(zip(actual, expected, strict=True)):
        assert a.tobytes() == b.tobytes(), f"layer {number} differs"


@pytest.fixture
def threads() -> Iterator[None]:
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


def test_every_layer_type_is_here() -> None:
    kinds = {type(layer) for name in ("every layer", "classifier") for layer in build(name).layers}
    assert kinds == {kind for kind in LAYERS.values() if kind.runs}, "a new layer wants a section in 'every layer'"


@compiled
@pytest.mark.usefixtures("threads")
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one processor")
@pytest.mark.parametrize("name", NETWORKS)
def test_threads(name: str) -> None:
    network = build(name)
    x = images(network, 3)
    numba.set_num_threads(1)
    alone = outputs(network, x)
    for _ in range(5):
        numba.set_num_threads(2)
        assert_same_bits(outputs(network, x), alone)


@pytest.mark.parametrize("name", NETWORKS)
def test_runs(name: str) -> None:
    first, second = build(name), build(name)
    x = images(first, 2)
    expected = outputs(first, x)
    assert_same_bits(outputs(first, x), expected)
    assert_same_bits(outputs(second, x), expected)
    assert all(np.isfinite(output).all() for output in expected)


@compiled
@pytest.mark.parametrize("count", [5, 16])
@pytest.mark.parametrize("name", NETWORKS)
def test_an_image_alone_and_in_any_place_of_a_batch(name: str, count: int) -> None:
    network = build(name)
    x = images(network, count)
    together = outputs(network, x)
    alone = build(name)
    for b in range(count):
        assert_same_bits(outputs(alone, x[b : b + 1]), [output[b : b + 1] for output in together])
    turned = outputs(network, np.roll(x, 3, axis=0))
    assert_same_bits(turned, [np.roll(output, 3, axis=0) for output in together])


@pytest.mark.parametrize("name", NETWORKS)
def test_memory_may_hold_anything(name: str) -> None:
    network = build(name)
    x = images(network, 2)
    expected = outputs(network, x)
    for layer in network.layers:
        layer.output.fill(np.nan)
    network._workspace.fill(np.nan)
    for number, (_, output) in enumerate(network.steps(x)):
        assert output.tobytes() == expected[number].tobytes(), f"layer {number} differs"
        network._workspace.fill(np.nan)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_smaller_batch_after_a_larger_one(name: str) -> None:
    network, fresh = build(name), build(name)
    x = images(network, 4)
    outputs(network, x)
    buffers = [layer.output for layer in network.layers]
    assert_same_bits(outputs(network, x[2:3]), outputs(fresh, x[2:3]))
    assert all(layer.output is buffer for layer, buffer in zip(network.layers, buffers, strict=True))
    assert_same_bits([o[:1] for o in outputs(network, x[2:])], outputs(fresh, x[2:3]))


def test_an_input_is_left_as_it_was() -> None:
    for name in NETWORKS:
        network = build(name)
        x = images(network, 2)
        before = x.copy()
        network.forward(x)
        np.testing.assert_array_equal(x, before, err_msg=name)


# -- one compiled version of each kernel -------------------------------------------------------------------------


def versions() -> dict[str, int]:
    """How many versions each kernel of the package has been compiled to."""
    found = {}
    for package in (minidarknet.kernels, minidarknet.layers):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            for name, value in vars(importlib.import_module(module.name)).items():
                if hasattr(value, "signatures") and hasattr(value, "py_func"):
                    found[f"{value.py_func.__module__}.{name}"] = len(value.signatures)
    return found


def run_in_many_ways() -> None:
    for name in ("every layer", "classifier"):
        network = build(name)
        x = images(network, 3)
        network.forward(x)
        network.forward(x[:1])  # views of the front
        network.forward(np.asfortranarray(x))
        network.forward(x[:, :, ::-1])
        network.forward(x.astype(np.float64))
        network.resize(network.input_shape.height, network.input_shape.width)
        network.allocate(1)
        network.forward(x[0])


@compiled
def test_batch_and_contiguity_compile_no_second_version() -> None:
    """In a process of its own, because other tests may call kernels in other ways."""
    script = (
        "import test_determinism as t; t.run_in_many_ways(); print({k: v for k, v in t.versions().items() if v > 1})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout == "{}\n"


@compiled
def test_versions_are_counted() -> None:
    run_in_many_ways()
    counts = versions()
    assert counts["minidarknet.layers.maxpool.maxpool"] >= 1
    assert counts["minidarknet.kernels.activations.activate"] >= 1


@compiled
def test_a_read_only_input_compiles_no_second_version() -> None:
    network = build("classifier")
    x = images(network, 1)
    network.forward(x)
    before = versions()
    x.flags.writeable = False
    network.forward(x)
    unaligned = np.frombuffer(bytearray(x.nbytes + 1), np.uint8)[1:].view(np.float32).reshape(x.shape)
    network.forward(unaligned)
    assert versions() == before
