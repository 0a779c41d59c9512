"""Every layer of every small golden network equals the original C program's."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from conftest import arrays, golden_files
from minidarknet import weights
from minidarknet.cfg import parse_cfg
from minidarknet.layers.base import Layer
from minidarknet.layers.parameter import Array
from minidarknet.network import Network

MASKED = -1234  # Darknet's masked cost writes this into the output of the layer before it


def load(cfg: Path, weights_file: Path) -> Network:
    text = cfg.read_text()
    if cfg.stem == "syntax":  # a cfg of oddities: two of them are errors here (see test_cfg.py)
        text = text.replace("filters=77\n", "").replace("noSuchActivation", "relu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unknown keys are on purpose
        network = Network.from_cfg(parse_cfg(text, str(cfg)))
    weights.load(network, weights_file)
    return network


def assert_close(actual: Array, expected: Array, limit: float, what: str, floor: float = 1.0) -> None:
    """Largest difference, as a share of the largest expected number (of `floor` where that is smaller)."""
    actual = actual.reshape(expected.shape)
    assert np.isfinite(actual).all(), f"{what} is not finite"
    bound = limit * max(floor, float(np.abs(expected).max(initial=0)))
    assert np.abs(actual - expected).max(initial=0) <= bound, what


def poison(network: Network) -> None:
    """Nothing may depend on what the shared workspace held before."""
    network._workspace.fill(np.nan)


def name(layer: Layer) -> str:
    return f"layer {layer.index} [{layer.kind}]"


@pytest.mark.parametrize("cfg", golden_files("nets/*.cfg"), ids=lambda path: path.stem)
def test_nets(cfg: Path) -> None:
    data = arrays(cfg.with_suffix(".npz"))
    network = load(cfg, cfg.with_suffix(".weights"))
    network.allocate(len(data["x"]))
    poison(network)
    for layer, output in network.steps(data["x"]):
        assert_close(output, data[f"out_{layer.index:02d}"], 1e-5, name(layer))
        poison(network)
    assert_close(network.forward(data["x"]), data["net_output"], 5e-5, "the network's answer")
    if "truth" in data:
        for layer, output in network.steps(data["x"], data["truth"]):
            if layer.loss is not None and f"truth_cost_{layer.index:02d}" in data:
                expected = float(data[f"truth_cost_{layer.index:02d}"].sum())
                assert layer.loss == pytest.approx(expected, rel=5e-5), name(layer)
                assert_close(output, data[f"truth_out_{layer.index:02d}"], 5e-5, f"{name(layer)} with a truth")
        assert network.loss == pytest.approx(float(data["truth_net_cost"]), rel=5e-5)


@pytest.mark.parametrize("header", ["weights", "v1.weights"])
@pytest.mark.parametrize("cfg", golden_files("layers/*.cfg"), ids=lambda path: path.stem)
def test_layers(cfg: Path, header: str) -> None:
    data = arrays(cfg.with_suffix(".npz"))
    network = load(cfg, cfg.with_suffix(f".{header}"))
    # Darknet's strided 1x1 convolution reads wrong pixels; the golden data has the right numbers beside them.
    prefix = "correct_out" if cfg.stem.startswith("quirk") else "out"
    for layer, output in network.steps(data["input"], data.get("truth")):
        expected = data[f"{prefix}_{layer.index:02d}"]
        output = np.where(expected == MASKED, np.float32(MASKED), output.reshape(expected.shape))
        assert_close(output, expected, 1e-5, name(layer), floor=1e-3)
        if f"cost_{layer.index:02d}" in data:
            assert layer.loss == pytest.approx(float(data[f"cost_{layer.index:02d}"].sum()), rel=1e-5)
    if "net_cost" in data:
        assert network.loss == pytest.approx(float(data["net_cost"]), rel=1e-5)
    if "resized_input" in data:
        network.resize(*data["resized_input"].shape[-2:])
        for layer, output in network.steps(data["resized_input"]):
            assert_close(output, data[f"resized_out_{layer.index:02d}"], 1e-5, f"{name(layer)}, resized")


def test_the_golden_data_is_complete(golden: Path) -> None:
    assert len(golden_files("nets/*.cfg")) == 20
    assert len(golden_files("layers/*.cfg")) == 35
