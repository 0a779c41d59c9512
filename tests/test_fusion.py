"""Predicting fuses layers; its kernels and its numbers are those of the layer by layer pass."""

from __future__ import annotations

from pathlib import Path

import numba
import numpy as np
import pytest

from conftest import arrays, golden_files
from minidarknet import weights
from minidarknet.cfg import parse_cfg
from minidarknet.network import Network

compiled = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="without a compiler, pooling is not fused")

CONV = "[convolutional]\nfilters={}\nsize={}\npad=1\nactivation={}\nbatch_normalize=1\n"


def network_of(*sections: str, height: int = 16, width: int = 12, channels: int = 3) -> Network:
    net = f"[net]\nheight={height}\nwidth={width}\nchannels={channels}\n"
    network = Network.from_cfg(parse_cfg(net + "\n".join(sections)))
    network.initialize(seed=5)
    generator = np.random.default_rng(2)
    for _, parameter in network.parameters():
        if parameter.name != "weights":
            parameter.array = generator.uniform(0.5, 1.5, parameter.shape).astype(np.float32)
    return network


def fused_layers(network: Network) -> list[tuple[int, ...]]:
    x = np.zeros(network.input_shape.array_shape, np.float32)
    return [tuple(layer.index for layer in step.layers) for step, _ in network.fused(x)]


def assert_same_numbers(network: Network, batch: int = 2) -> None:
    """All outputs that a prediction computes are those of `steps`, to 1e-5 of the largest."""
    x = np.random.default_rng(batch).standard_normal((batch, *network.input_shape.array_shape)).astype(np.float32)
    plain = [output.copy() for _, output in network.steps(x)]
    network.allocate(batch)
    for layer in network.layers:
        layer.output.fill(np.nan)
    seen = set()
    for step, output in network.fused(x):
        last = step.layers[-1]
        expected = plain[last.index]
        assert output.shape == expected.shape
        error = np.abs(output - expected).max()
        assert error <= 1e-5 * max(1.0, float(np.abs(expected).max())), f"layer {last.index} [{last.kind}]"
        seen |= {layer.index for layer in step.layers}
    assert seen == set(range(len(network.layers)))
    expected = plain[network.output_layer.index]
    answer = network.forward(x)
    assert np.abs(answer - expected).max() <= 1e-5 * max(1.0, float(np.abs(expected).max()))


@pytest.mark.parametrize("cfg", golden_files("nets/*.cfg"), ids=lambda path: path.stem)
def test_golden_networks(cfg: Path) -> None:
    network = Network.from_cfg(cfg)
    weights.load(network, cfg.with_suffix(".weights"), check=False)
    x = arrays(cfg.with_suffix(".npz"))["x"]
    plain = [output.copy() for _, output in network.steps(x)]
    for step, output in network.fused(x):
        last = step.layers[-1]
        expected = plain[last.index]
        bound = 1e-5 * max(1.0, float(np.abs(expected).max()))
        assert np.abs(output - expected).max() <= bound, f"layer {last.index} [{last.kind}]"


@compiled
@pytest.mark.parametrize("activation", ["leaky", "relu", "linear", "relie"])
@pytest.mark.parametrize(("filters", "height", "width"), [(5, 12, 10), (16, 10, 40), (33, 18, 60), (70, 14, 16)])
def test_a_convolution_pools_at_once(activation: str, filters: int, height: int, width: int) -> None:
    network = network_of(CONV.format(filters, 3, activation), "[maxpool]\nsize=2\nstride=2", height=height, width=width)
    assert fused_layers(network) == [(0, 1)]
    for batch in (1, 2, 3):
        assert_same_numbers(network, batch)


@pytest.mark.parametrize(
    ("sections", "height", "width"),
    [
        ([CONV.format(4, 3, "leaky"), "[maxpool]\nsize=2\nstride=2"], 9, 12),  # an odd side
        ([CONV.format(4, 3, "leaky"), "[maxpool]\nsize=2\nstride=2"], 12, 9),
        ([CONV.format(4, 3, "tanh"), "[maxpool]\nsize=2\nstride=2"], 12, 12),  # no slope
        ([CONV.format(4, 1, "leaky"), "[maxpool]\nsize=2\nstride=2"], 12, 12),  # not Winograd's
        ([CONV.format(4, 3, "leaky"), "[maxpool]\nsize=3\nstride=2"], 12, 12),  # another window
        ([CONV.format(4, 3, "leaky"), "[maxpool]\nsize=2\nstride=1"], 12, 12),
        ([CONV.format(4, 3, "leaky"), "[maxpool]\nsize=2\nstride=2\npadding=2"], 12, 12),
    ],
)
def test_what_is_not_fused(sections: list[str], height: int, width: int) -> None:
    network = network_of(*sections, height=height, width=width)
    assert fused_layers(network) == [(0,), (1,)]
    assert_same_numbers(network)


def test_a_convolution_that_others_read_too_is_not_fused() -> None:
    pool = "[maxpool]\nsize=2\nstride=2"
    network = network_of(CONV.format(4, 3, "leaky"), pool, "[route]\nlayers=0", CONV.format(3, 1, "leaky"))
    assert fused_layers(network) == [(0,), (1,), (2,), (3,)]
    assert_same_numbers(network)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("batch", [1, 3])
def test_convolutions_write_into_a_route(size: int, batch: int) -> None:
    """A fire module: the squeezed layer is read twice, and both expansions end up in one buffer."""
    network = network_of(
        CONV.format(8, 1, "relu"),
        CONV.format(20, 1, "relu"),
        "[route]\nlayers=-2",
        CONV.format(7, size, "leaky"),
        "[route]\nlayers=-3,-1",
        CONV.format(5, 3, "leaky"),
    )
    assert_same_numbers(network, batch)
    if not numba.config.DISABLE_JIT:
        route = network.layers[4].output
        outputs = {step.layers[0].index: output for step, output in network.fused(np.zeros((batch, 3, 16, 12)))}
        assert np.shares_memory(outputs[1], route)
        assert np.shares_memory(outputs[3], route)


def test_routes_that_need_a_copy() -> None:
    network = network_of(
        CONV.format(4, 3, "leaky"),
        CONV.format(4, 3, "leaky"),
        "[route]\nlayers=-1,0",  # layer 0 is read by layer 1 as well
        CONV.format(6, 3, "elu"),
        CONV.format(6, 3, "leaky"),
        "[route]\nlayers=-1,-2",  # no slope
        "[route]\nlayers=-1,-1",  # twice the same
    )
    assert_same_numbers(network)


def test_batches_of_many_sizes() -> None:
    network = network_of(CONV.format(8, 3, "leaky"), "[maxpool]\nsize=2\nstride=2", CONV.format(9, 3, "leaky"))
    for batch in (4, 1, 3, 0):
        if batch:
            assert_same_numbers(network, batch)
        assert network.forward(np.zeros((batch, 3, 16, 12))).shape == (batch, 9, 8, 6)
