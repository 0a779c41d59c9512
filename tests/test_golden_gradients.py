"""Gradients of every layer type equal the original C program's, layer by layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import arrays, golden_files
from minidarknet.layers.activation import Activation
from minidarknet.layers.base import Layer, Run
from minidarknet.layers.batchnorm import Batchnorm
from minidarknet.layers.finish import Finished
from minidarknet.layers.local import Local
from minidarknet.layers.parameter import Array
from minidarknet.layers.shortcut import Shortcut
from minidarknet.learning import LOSSES, Learner
from test_golden_networks import assert_close, load, name

UPDATES = {"weights": "weight_updates", "biases": "bias_updates", "scales": "scale_updates"}
#: Layers of which the golden data has the gradient after their own way back.
INWARD = (Finished, Local, Batchnorm, Activation, Shortcut)
#: Ours leaves the gradient by its output as it is.
KEEPS = (Activation,)
CASES = [path.with_name(path.name.replace(".grad.npz", ".cfg")) for path in golden_files("layers/*.grad.npz")]


@pytest.mark.parametrize("cfg", CASES, ids=lambda path: path.stem)
def test_gradients(cfg: Path) -> None:
    data = arrays(cfg.with_suffix(".npz")) | arrays(cfg.with_suffix(".grad.npz"))
    network = load(cfg, cfg.with_suffix(".weights"))
    truth = data.get("truth")
    x = data["input"]
    learner = Learner(network, len(x), quirks=True)
    for layer, output in learner.forward_steps(x, truth):
        step_over_kinks(layer, output, data)
        if f"rolling_mean_{layer.index:02d}" in data:
            for parameter in layer.parameters():
                if parameter.name.startswith("rolling"):
                    assert_close(parameter.value, data[f"{parameter.name}_{layer.index:02d}"], 1e-5, name(layer))
    given = {int(key[-2:]): -array for key, array in data.items() if key.startswith("delta_in_")}
    if truth is not None:  # then a loss layer's is its own
        given = {number: grad for number, grad in given.items() if not isinstance(network.layers[number], LOSSES)}
    before: tuple[Layer, Array] | None = None
    for layer, grad in learner.backward_steps(given):
        compare_inward(before, data)
        if not isinstance(layer, (*INWARD, *LOSSES)):
            compare(layer, grad, data)
        before = layer, grad
    compare_inward(before, data)
    for layer, parameter in network.parameters():
        key = f"{UPDATES.get(parameter.name)}_{layer.index:02d}"
        if parameter.learns and key in data:
            assert_close(-parameter.gradient, data[key], 1e-4, f"{name(layer)} {parameter.name}")


def step_over_kinks(layer: Layer, output: Array, data: dict[str, Array]) -> None:
    """Where rounding has put a number on the other side of an activation's kink, move its product across."""
    if not isinstance(layer, Finished) or layer.batch_norm is None:
        return
    expected = data[f"out_{layer.index:02d}"].reshape(output.shape)
    crossed = ((output > 0) != (expected > 0)) & (np.abs(output - expected) < 1e-6)
    products = layer.products(len(output), Run(layer.kept, training=True))
    signs = np.sign(layer.batch_norm.scales.value)[:, None, None]
    across = np.where(expected > 0, signs, -signs) * np.float32(1e-5)
    products[crossed] += across[crossed]


def compare(layer: Layer, grad: Array, data: dict[str, Array]) -> None:
    key = f"delta_{layer.index:02d}"
    if key in data:
        assert_close(-grad, data[key], 1e-4, f"{name(layer)} gradient")


def compare_inward(before: tuple[Layer, Array] | None, data: dict[str, Array]) -> None:
    if before is not None and isinstance(before[0], INWARD) and not isinstance(before[0], KEEPS):
        compare(*before, data)


def test_the_golden_gradients_are_complete(golden: Path) -> None:
    assert len(CASES) == 30
