"""A learner's behaviour: the same bits whatever the threads, the run and the memory; and what it refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import pytest

import test_determinism
from conftest import REPOSITORY
from minidarknet.cfg import parse_cfg
from minidarknet.errors import CfgError, InputError, MinidarknetError
from minidarknet.layers.convolutional import Convolutional
from minidarknet.layers.parameter import Array
from minidarknet.learning import Learner, training_memory
from minidarknet.network import Network
from minidarknet.optimizers import optimizer_for
from test_gradients import cfg, one_hot, poison, section, stem

COMPILED = not numba.config.DISABLE_JIT
compiled = pytest.mark.skipif(not COMPILED, reason="needs the compiler")

#: The sides of the pictures that the four systems learn from here.
SIDES = {"tiny": 40, "darknet": 64, "squeezenet": 67, "alexnet": 67}
SYSTEMS = {name: (REPOSITORY / "cfg" / f"{name}.cfg").read_text() for name in SIDES}


def smaller(name: str, share: int = 8) -> str:
    """A system with a share of its filters, for small pictures."""
    text = re.sub(r"(?m)^(width|height)=.*$", rf"\1={SIDES[name]}", SYSTEMS[name])
    return re.sub(r"(?m)^(filters|output)=(\d+)$", lambda found: f"{found[1]}={max(2, int(found[2]) // share)}", text)


NETWORKS = {name: smaller(name) for name in SIDES} | {
    "every layer": test_determinism.PICTURE,
    "classifier": test_determinism.CLASSIFIER,
}

PICTURES = cfg(
    (3, 6, 7),
    section("convolutional", filters=5, size=3, pad=1, batch_normalize=1, activation="leaky"),
    section("maxpool", size=2, stride=2),
    section("convolutional", filters=4, size=1, activation="tanh"),
    section("shortcut", from_=-2, activation="linear"),
    section("dropout", probability=0.3),
    section("connected", output=6, batch_normalize=1, activation="linear"),
    section("softmax"),
)


def build(text: str, seed: int = 3) -> Network:
    network = Network.from_cfg(parse_cfg(text))
    network.initialize(seed)
    return network


def examples(network: Network, count: int, seed: int = 0) -> tuple[Array, Array]:
    x = np.random.default_rng((seed, count)).random((count, *network.input_shape.array_shape), np.float32)
    groups = max(getattr(layer.options, "groups", 1) if layer.kind == "softmax" else 1 for layer in network.layers)
    return x, one_hot(count, network.output_shape.size, groups, seed)


def gradients(network: Network) -> dict[str, Array]:
    return {
        f"{layer.index}.{parameter.name}": parameter.gradient.copy()
        for layer, parameter in network.parameters()
        if parameter.learns
    }


def learned(text: str, count: int, batch: int | None = None) -> tuple[float, dict[str, Array]]:
    """Loss and gradients of one step in memory that was NaN."""
    network = build(text)
    learner = Learner(network, batch or count)
    poison(learner)
    return learner.step(*examples(network, count), seed=7), gradients(network)


def assert_same_bits(actual: dict[str, Array], expected: dict[str, Array]) -> None:
    assert list(actual) == list(expected)
    for name, array in actual.items():
        assert array.tobytes() == expected[name].tobytes(), name


@pytest.fixture
def threads() -> Iterator[None]:
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


# -- the same bits -----------------------------------------------------------------------------------------------


@compiled
@pytest.mark.usefixtures("threads")
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one processor")
@pytest.mark.parametrize("name", NETWORKS)
def test_threads_and_runs(name: str) -> None:
    numba.set_num_threads(1)
    loss, expected = learned(NETWORKS[name], 3)
    assert np.isfinite(loss)
    assert all(np.isfinite(array).all() for array in expected.values())
    assert sum(array.any() for array in expected.values()) > len(expected) / 2
    for count in (1, 2, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(count)
        again, found = learned(NETWORKS[name], 3)
        assert again == loss
        assert_same_bits(found, expected)


@pytest.mark.parametrize("name", NETWORKS if COMPILED else ["every layer"])
def test_a_smaller_batch_than_there_is_memory_for(name: str) -> None:
    loss, expected = learned(NETWORKS[name], 2)
    again, found = learned(NETWORKS[name], 2, batch=5)
    assert again == loss
    assert_same_bits(found, expected)


@pytest.mark.parametrize("name", NETWORKS if COMPILED else ["every layer"])
def test_memory_may_hold_anything_between_two_steps(name: str) -> None:
    """And the network may predict meanwhile, with more images than it learns from."""
    networks = [build(NETWORKS[name]) for _ in range(2)]
    learners = [Learner(network, 4) for network in networks]
    for number in range(3):
        x, truth = examples(networks[0], 4 - number, number)
        losses = [learner.step(x, truth, seed=number) for learner in learners]
        assert losses[0] == losses[1]
        poison(learners[1])
        answer = networks[1].forward(examples(networks[1], 5)[0])
        assert np.isfinite(answer).all()
        for _ in networks[1].steps(x):
            pass
    assert_same_bits(gradients(networks[1]), gradients(networks[0]))


@pytest.mark.parametrize("adam", [0, 1])
def test_predicting_uses_what_was_learned(adam: int) -> None:
    network = build(PICTURES.replace("[net]", f"[net]\nadam={adam}"))
    learner, optimizer = Learner(network, 4), optimizer_for(network)
    x, truth = examples(network, 4)
    before = network.forward(x).copy()
    for number in range(3):
        learner.step(x, truth, number)
        optimizer.step(0.1, 4)
    fresh = build(PICTURES)
    for (_, mine), (_, other) in zip(fresh.parameters(), network.parameters(), strict=True):
        mine.array = other.value.copy()
    assert network.forward(x).tobytes() == fresh.forward(x).tobytes()
    assert np.abs(network.forward(x) - before).max() > 1e-3
    assert [a.tobytes() for _, a in network.steps(x)] == [a.tobytes() for _, a in fresh.steps(x)]


def test_images_are_left_as_they_were() -> None:
    network = build(PICTURES)
    x, truth = examples(network, 3)
    copies = x.copy(), truth.copy()
    Learner(network, 3).step(x, truth)
    np.testing.assert_array_equal(x, copies[0])
    np.testing.assert_array_equal(truth, copies[1])


def test_another_seed_drops_other_numbers() -> None:
    network = build(PICTURES)
    learner, (x, truth) = Learner(network, 3), examples(network, 3)
    losses = [learner.step(x, truth, seed) for seed in (1, 2, 1)]
    assert losses[0] == losses[2] != losses[1]


# -- gradients ---------------------------------------------------------------------------------------------------


def test_gradients_add_up_until_they_are_cleared() -> None:
    network = build(PICTURES)
    learner = Learner(network, 3)
    batches = [examples(network, 3, seed) for seed in (1, 2)]
    alone = []
    for x, truth in batches:
        learner.zero_grad()
        learner.step(x, truth)
        alone.append(gradients(network))
    learner.zero_grad()
    assert not any(array.any() for array in gradients(network).values())
    for x, truth in batches:
        learner.step(x, truth)
    for name, total in gradients(network).items():
        np.testing.assert_allclose(total, alone[0][name] + alone[1][name], rtol=1e-4, atol=1e-5, err_msg=name)
        assert np.abs(total).max() > 1e-3, name


def test_rolling_averages_move_once_for_each_step() -> None:
    network = build(PICTURES)
    layer = network.layers[0]
    assert isinstance(layer, Convolutional)
    assert layer.batch_norm
    learner, (x, truth) = Learner(network, 3), examples(network, 3)
    for _ in range(2):
        before = [parameter.value.copy() for parameter in layer.batch_norm[1:]]
        learner.step(x, truth)
        for parameter, old, seen in zip(layer.batch_norm[1:], before, layer.statistics, strict=True):
            np.testing.assert_allclose(parameter.value, 0.99 * old + 0.01 * seen, rtol=1e-6)
            assert parameter.grad is None
    products = layer.products(3, learner._run).astype(np.float64)
    np.testing.assert_allclose(layer.statistics[0], products.mean(axis=(0, 2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.statistics[1], products.var(axis=(0, 2, 3), ddof=1), rtol=1e-5)


def test_stopbackward() -> None:
    """Nothing goes back to that layer or any before it, also not past it; what is behind learns as ever."""
    hidden = section("convolutional", filters=3, size=1, activation="tanh", batch_normalize=1)
    end = section("route", layers="-1,0") + section("connected", output=4, activation="linear") + section("softmax")
    texts = [cfg((2, 3, 3), stem(3), hidden, middle, end) for middle in (hidden, hidden + "stopbackward=1\n")]
    networks = [build(text) for text in texts]
    x, truth = examples(networks[0], 4)
    losses = [Learner(network, 4).step(x, truth) for network in networks]
    assert losses[0] == losses[1]
    free, stopped = (gradients(network) for network in networks)
    for name, array in stopped.items():
        if int(name.split(".")[0]) <= 2:
            assert not array.any()
            assert free[name].any()
        else:
            assert array.tobytes() == free[name].tobytes()
    moved = [parameter.value for _, parameter in networks[1].parameters() if parameter.name == "rolling_mean"]
    assert len(moved) == 2
    assert all(array.any() for array in moved)


QUIRKS = {
    "batch norm": section("connected", output=6, batch_normalize=1, activation="linear") + section("softmax"),
    "overwriting": section("convolutional", filters=2, size=1, activation="linear")
    + section("route", layers="-2")
    + section("activation", activation="tanh")
    + section("shortcut", from_=-3, activation="linear")
    + section("connected", output=6, activation="linear")
    + section("softmax"),
    "temperature": section("connected", output=6, activation="linear") + section("softmax", temperature=3),
    "behind softmax": section("connected", output=6, activation="linear") + section("softmax") + section("cost"),
    "behind logistic": section("connected", output=6, activation="linear") + section("logistic") + section("cost"),
    "smooth": section("connected", output=6, activation="linear") + section("cost", type="smooth"),
    "normalization": section("normalization", alpha=0.5)
    + section("connected", output=6, activation="linear")
    + section("softmax"),
    "l2norm": section("l2norm") + section("connected", output=6, activation="linear") + section("softmax"),
    "shortcut": section("maxpool", size=2, stride=2)
    + section("convolutional", filters=4, size=1, activation="linear")
    + section("shortcut", from_=-2, alpha=3, activation="linear")
    + section("connected", output=6, activation="linear")
    + section("softmax"),
}


@pytest.mark.parametrize("name", QUIRKS)
def test_darknets_quirks_are_taken_over_where_the_cfg_says_so(name: str) -> None:
    text = cfg((2, 4, 4), stem(2), QUIRKS[name])
    asking = text.replace("[net]", "[net]\ndarknet_quirks=1")
    x, truth = examples(build(text), 5)
    truth = truth * 3  # far enough for costs that are straight
    found = []
    for source, quirks in [(text, None), (text, True), (asking, None), (asking, False)]:
        network = build(source)
        learner = Learner(network, 5, quirks)
        learner.step(x, truth)
        found.append(gradients(network))
        assert learner.quirks == (quirks if quirks is not None else source is asking)
    assert_same_bits(found[1], found[2])
    assert_same_bits(found[0], found[3])
    assert any(np.abs(found[0][key] - found[1][key]).max() > 1e-4 * np.abs(found[0][key]).max() for key in found[0])


# -- refusals ----------------------------------------------------------------------------------------------------


def message(
    error: type[MinidarknetError], text: str, count: int = 2, batch: int = 2, outputs: int | None = None
) -> str:
    network = build(text)
    x, truth = examples(network, count)
    with pytest.raises(error) as caught:
        Learner(network, batch).step(x, truth if outputs is None else np.zeros((count, outputs)))
    return str(caught.value)


def test_a_network_without_a_loss() -> None:
    text = cfg((2, 3, 3), stem(2), section("connected", output=4))
    assert message(CfgError, text).endswith(
        "[connected] (layer 1) is the last layer, and no layer has a loss; expected [softmax], [logistic] or [cost]"
    )


def test_a_network_that_cannot_be_run() -> None:
    network = Network.from_cfg(parse_cfg(cfg((2, 3, 3), stem(2), section("yolo"))))
    with pytest.raises(CfgError, match="belongs to a detector"):
        Learner(network, 1)


def test_a_network_without_numbers() -> None:
    network = Network.from_cfg(parse_cfg(PICTURES))
    with pytest.raises(InputError, match="without values: load a weights file or draw random ones"):
        Learner(network, 2)


def test_a_wrong_truth() -> None:
    assert message(InputError, PICTURES, outputs=5).startswith(
        "the truth has shape (2, 5); layer 6 [softmax] expected (2, 6)"
    )


def test_more_images_than_there_is_memory_for() -> None:
    assert message(InputError, PICTURES, count=3) == "3 images to learn from; expected 1 to 2"
    assert message(InputError, PICTURES, count=0) == "0 images to learn from; expected 1 to 2"


def test_a_network_that_was_resized() -> None:
    text = cfg((2, 8, 8), stem(2), section("avgpool"), section("softmax"))
    network = build(text)
    learner = Learner(network, 2)
    network.resize(16, 8)
    with pytest.raises(InputError, match="resized"):
        learner.step(*examples(network, 2))
    network.resize(8, 8)
    learner.step(*examples(network, 2))


def test_batch_norm_of_a_single_number() -> None:
    text = message(CfgError, PICTURES, count=1)
    assert text.endswith("batch norm cannot learn from a single number for each channel: take a larger batch")


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(PICTURES)
    parts = training_memory(network, 4)
    total = sum(parts.values())
    monkeypatch.setenv("MINIDARKNET_MEMORY", repr((total - 1) / 2**20))
    with pytest.raises(InputError) as caught:
        Learner(network, 4)
    text = str(caught.value)
    assert ": learning from 4 images at a time needs " in text
    assert all(f"{name} " in text for name in parts)
    assert "take more subdivisions or a smaller input, or set MINIDARKNET_MEMORY (MiB)" in text
    assert all(parameter.grad is None for _, parameter in network.parameters()), "nothing was taken"
    monkeypatch.setenv("MINIDARKNET_MEMORY", repr(total / 2**20))
    learner = Learner(network, 4)
    monkeypatch.delenv("MINIDARKNET_MEMORY")
    # What was counted is what was taken, but for the alignment.
    taken = sum(array.nbytes for array in (learner._workspace, *learner._outputs, *learner._kept))
    counted = parts["workspace"] + parts["outputs"] + parts["kept"]
    assert counted <= taken <= counted + 64 * (2 * len(network.layers) + 1)


# -- other processes ---------------------------------------------------------------------------------------------


def small_training() -> list[float]:
    """Losses of a few steps of a small network with most kinds of layers, and a sum of its gradients."""
    network = build(PICTURES)
    learner, optimizer, losses = Learner(network, 3), optimizer_for(network), []
    for number in range(4):
        losses.append(learner.step(*examples(network, 3), seed=number))
        optimizer.step(0.1, 3)
    learner.step(*examples(network, 3))
    return [*losses, float(sum(np.abs(array).sum() for array in gradients(network).values()))]


def run(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=Path(__file__).parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@compiled
def test_training_without_the_compiler() -> None:
    printed = run("import test_learning as t; print(*t.small_training())", NUMBA_DISABLE_JIT="1")
    np.testing.assert_allclose([float(word) for word in printed.split()], small_training(), rtol=2e-4)


def learn_in_many_ways() -> None:
    for name in ("every layer", "classifier"):
        network = build(NETWORKS[name])
        learner, optimizer = Learner(network, 4), optimizer_for(network)
        x, truth = examples(network, 4)
        for images, truths in [(x, truth), (x[:2], truth[:2]), (x.astype(np.float64), truth.astype(int))]:
            learner.step(images, truths)
            optimizer.step(0.001, 4)
        network.forward(x)


@compiled
def test_learning_compiles_no_second_version() -> None:
    script = "import test_learning as t, test_determinism as d; t.learn_in_many_ways(); "
    assert run(script + "print({k: v for k, v in d.versions().items() if v > 1})") == "{}\n"
