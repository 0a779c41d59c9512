"""Steps of the optimizers against their formulas in float64, and the learning rate over time."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from minidarknet.cfg import parse_cfg
from minidarknet.errors import CfgError, InputError, UsageError
from minidarknet.kernels.update import adam_step, sgd_step
from minidarknet.layers.parameter import Array
from minidarknet.learning import Learner
from minidarknet.net_options import NetOptions
from minidarknet.network import Network
from minidarknet.optimizers import SGD, Adam, Optimizer, optimizer_for
from minidarknet.schedules import check_schedule, rate_at
from test_gradients import cfg, section

TEXT = cfg(
    (2, 4, 4),
    section("convolutional", filters=5, size=3, batch_normalize=1, activation="leaky", learning_rate=0.5),
    section("convolutional", filters=3, size=1, activation="linear", stopbackward=1),
    section("connected", output=4, activation="linear"),
    section("softmax"),
)


def build(**net: Any) -> Network:
    options = "".join(f"{key}={value}\n" for key, value in net.items())
    network = Network.from_cfg(parse_cfg(TEXT.replace("[net]\n", f"[net]\n{options}")))
    network.initialize(seed=2)
    for layer, parameter in network.parameters():  # no zeros: decay shall show
        generator = np.random.default_rng((layer.index, parameter.size))
        parameter.array = generator.uniform(0.5, 1, parameter.shape).astype(np.float32)
    Learner(network, 4)
    return network


def give(network: Network, seed: int) -> dict[str, Any]:
    """Random gradients, and what the numbers were before."""
    before = {}
    for layer, parameter in network.parameters():
        if parameter.learns:
            generator = np.random.default_rng((seed, layer.index, parameter.size))
            parameter.gradient[:] = generator.standard_normal(parameter.shape)
            before[f"{layer.index}.{parameter.name}"] = parameter.gradient.astype(np.float64)
    return before


def numbers(network: Network) -> dict[str, Array]:
    return {
        f"{layer.index}.{parameter.name}": parameter.value.copy()
        for layer, parameter in network.parameters()
        if parameter.learns
    }


def expected_sgd(network: Network, steps: int, rates: list[float], batch: int) -> dict[str, Any]:
    """Darknet's words: the accumulator is decayed, used, and multiplied with the momentum afterwards."""
    o, values = network.options, {name: array.astype(np.float64) for name, array in numbers(network).items()}
    accumulators = {name: np.zeros_like(array) for name, array in values.items()}
    for step in range(steps):
        for name, grad in give(network, step).items():
            rate = rates[step] * (0.5 if name.startswith("0.") else 1)
            accumulators[name] -= grad
            if name.endswith("weights"):
                accumulators[name] -= o.decay * batch * values[name]
            values[name] += rate / batch * accumulators[name]
            accumulators[name] *= o.momentum
    return values


def expected_adam(network: Network, steps: int, rates: list[float], batch: int) -> dict[str, Any]:
    o, values = network.options, {name: array.astype(np.float64) for name, array in numbers(network).items()}
    means = {name: np.zeros_like(array) for name, array in values.items()}
    squares = {name: np.zeros_like(array) for name, array in values.items()}
    for step in range(steps):
        for name, grad in give(network, step).items():
            rate = rates[step] * (0.5 if name.startswith("0.") else 1)
            g = grad / batch + (o.decay * values[name] if name.endswith("weights") else 0)
            means[name] = o.B1 * means[name] + (1 - o.B1) * g
            squares[name] = o.B2 * squares[name] + (1 - o.B2) * g * g
            mean, square = means[name] / (1 - o.B1 ** (step + 1)), squares[name] / (1 - o.B2 ** (step + 1))
            values[name] = values[name] - rate * mean / (np.sqrt(square) + o.eps)
    return values


@pytest.mark.parametrize("adam", [0, 1])
def test_steps(adam: int) -> None:
    """Also that layers have a rate of their own, and that those without a gradient decay."""
    network = build(adam=adam, momentum=0.8, decay=0.05, B1=0.7, B2=0.95, eps=1e-4, batch=6, subdivisions=3)
    optimizer, rates, batch = optimizer_for(network), [0.1, 0.3, 0.02, 0.02], 6
    assert type(optimizer) is (Adam if adam else SGD)
    expected = (expected_adam if adam else expected_sgd)(network, len(rates), rates, batch)
    for step, rate in enumerate(rates):
        give(network, step)
        versions = [parameter.version for _, parameter in network.parameters() if parameter.learns]
        optimizer.step(rate, batch)
        learning = [parameter for _, parameter in network.parameters() if parameter.learns]
        assert not any(parameter.gradient.any() for parameter in learning), "gradients are cleared"
        assert all(parameter.version > old for parameter, old in zip(learning, versions, strict=True))
    for name, found in numbers(network).items():
        np.testing.assert_allclose(found, expected[name], rtol=2e-5, atol=1e-6, err_msg=name)


def test_weights_without_a_gradient_decay_but_no_bias_or_scale_does() -> None:
    network = build(decay=0.1, momentum=0)
    before = numbers(network)
    SGD(network).step(0.5, 4)
    for name, found in numbers(network).items():
        rate = 0.25 if name.startswith("0.") else 0.5
        share = 1 - rate * 0.1 if name.endswith("weights") else 1
        np.testing.assert_allclose(found, share * before[name], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("adam", [0, 1])
def test_clip_bounds_the_weights_of_convolutions_and_nothing_else(adam: int) -> None:
    networks = [build(adam=adam, clip=clip) for clip in (0, 0.25)]
    for network in networks:
        give(network, 0)
        optimizer_for(network).step(0.5, 4)
    free, bound = map(numbers, networks)
    for layer, parameter in networks[0].parameters():
        if not parameter.learns:
            continue
        name = f"{layer.index}.{parameter.name}"
        clipped = layer.kind == "convolutional" and parameter.name == "weights"
        expected = np.clip(free[name], -0.25, 0.25) if clipped else free[name]
        np.testing.assert_array_equal(bound[name], expected, err_msg=name)
        if parameter.name == "weights":
            assert np.abs(free[name]).max() > 0.25


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("B2=1", "B2=1: expected a number from 0 to 0.9999999"),
        ("B1=1", "B1=1: expected a number from 0 to 0.9999999"),
        ("eps=0", "eps=0: expected a number, 1e-30 or more"),
    ],
)
def test_what_would_make_adam_divide_by_0_is_refused(option: str, expected: str) -> None:
    with pytest.raises(CfgError, match=re.escape(f"a.cfg:3: [net] {expected}")):
        Network.from_cfg(parse_cfg(f"[net]\ninputs=3\n{option}\n[conn]\n[softmax]\n", "a.cfg"))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 1000])
def test_kernels(count: int) -> None:
    generator = np.random.default_rng(count)
    w, g, v, m = generator.standard_normal((4, count)).astype(np.float32)
    s = generator.random(count, np.float32)
    wide = [array.astype(np.float64) for array in (w, g, v, m, s)]
    one, grad = w.copy(), g.copy()
    sgd_step(one, grad, v, np.float32(0.25), np.float32(0.5), np.float32(0.75))
    velocity = 0.75 * wide[2] - wide[1] - 0.5 * wide[0]
    np.testing.assert_allclose(v, velocity, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one, wide[0] + 0.25 * velocity, rtol=1e-5, atol=1e-6)
    assert not grad.any()
    one, grad = w.copy(), g.copy()
    adam_step(one, grad, m, s, *(np.float32(number) for number in (0.5, 0.25, 0.75, 0.875, 0.125, 0.5, 0.0625)))
    total = 0.5 * wide[1] + 0.25 * wide[0]
    mean, square = 0.75 * wide[3] + 0.25 * total, 0.875 * wide[4] + 0.125 * total**2
    np.testing.assert_allclose(m, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(s, square, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one, wide[0] - 0.125 * mean / (np.sqrt(square / 0.5) + 0.0625), rtol=1e-5, atol=1e-6)
    assert not grad.any()


# -- state -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adam", [0, 1])
def test_going_on_from_a_state(adam: int) -> None:
    network, other = build(adam=adam), build(adam=adam)
    optimizer, resumed = optimizer_for(network), optimizer_for(other)
    for step in range(3):
        give(network, step)
        optimizer.step(0.1, 4)
    for (_, mine), (_, theirs) in zip(other.parameters(), network.parameters(), strict=True):
        mine.array = theirs.value.copy()
    stored = {name: array.copy() for name, array in optimizer.state().items()}
    resumed.restore(stored)
    for array in stored.values():
        array.fill(0)  # what was restored is a copy
    for step in range(3, 6):
        for one, by in ((network, optimizer), (other, resumed)):
            give(one, step)
            by.step(0.1, 4)
    assert optimizer.steps == resumed.steps == 6
    for name, array in numbers(network).items():
        assert array.tobytes() == numbers(other)[name].tobytes(), name
    for name, array in optimizer.state().items():
        assert array.tobytes() == resumed.state()[name].tobytes(), name


def test_names_of_the_state() -> None:
    assert set(SGD(build()).state()) == {
        "0.biases.velocity",
        "0.scales.velocity",
        "0.weights.velocity",
        "1.biases.velocity",
        "1.weights.velocity",
        "2.biases.velocity",
        "2.weights.velocity",
        "steps",
    }
    assert {"0.weights.mean", "0.weights.square"} < set(Adam(build(adam=1)).state())


def wrong_states(optimizer: Optimizer) -> list[tuple[dict[str, Array], str]]:
    right = {name: array.copy() + 1 for name, array in optimizer.state().items()}
    name = "2.weights.velocity"
    return [
        ({}, "nothing for 0.biases.velocity"),
        ({key: array for key, array in right.items() if key != name}, f"nothing for {name}"),
        ({key: array for key, array in right.items() if key != "steps"}, "nothing for steps"),
        ({**right, name: right[name].T.copy()}, rf"float32 \(12, 4\) for {name}; expected float32 \(4, 12\)"),
        ({**right, name: right[name].astype(np.float64)}, f"float64 .* for {name}; expected float32"),
        ({**right, "steps": np.array(3)}, r"int64 \(\) for steps; expected int64 \(1,\)"),
        (Adam(build(adam=1)).state(), "nothing for 0.biases.velocity"),
    ]


@pytest.mark.parametrize("number", range(7))
def test_a_wrong_state_changes_nothing(number: int) -> None:
    optimizer = SGD(build())
    state, text = wrong_states(optimizer)[number]
    with pytest.raises(InputError, match=text):
        optimizer.restore(state)
    assert not any(array.any() for array in optimizer.state().values())
    assert optimizer.steps == 0


# -- the learning rate -------------------------------------------------------------------------------------------


def rates(count: int, **net: Any) -> list[float]:
    return [rate_at(NetOptions(learning_rate=1, **net), number) for number in range(1, count + 1)]


def test_schedules() -> None:
    half = 0.5
    assert rates(3) == [1, 1, 1]
    assert rates(5, policy="step", step=2, scale=half) == [1, half, half, 0.25, 0.25]
    assert rates(5, policy="steps", steps=(2, 4), scales=(half, 4.0)) == [1, half, half, 2, 2]
    assert rates(3, policy="exp", gamma=half) == [half, 0.25, 0.125]
    assert rates(4, policy="poly", power=2.0, max_batches=4) == [0.5625, 0.25, 0.0625, 0]
    assert rates(3, policy="sigmoid", gamma=0.0, step=2) == [half] * 3
    assert rates(6, burn_in=4, power=1.0) == [0.25, half, 0.75, 1, 1, 1]
    assert rates(3, policy="step", step=1, scale=half, burn_in=2) == [0.5**4, 0.25, 0.125]  # no shift afterwards


def test_sgdr_restarts() -> None:
    turns = rates(14, policy="sgdr", step=4, scale=2.0)
    wave = [(1 + np.cos(np.pi * share)) / 2 for share in (0.25, 0.5, 0.75)]
    np.testing.assert_allclose(turns[:3], wave, rtol=1e-6)
    assert turns[3] == turns[11] == 1  # the numbers 4 and 12
    np.testing.assert_allclose(turns[4:11], [(1 + np.cos(np.pi * k / 8)) / 2 for k in range(1, 8)], rtol=1e-6)
    assert rates(30, policy="sgdr", step=4, scale=0.1)[4:] == [1] * 26  # turns of one batch each


def test_random_rates_are_the_same_each_time() -> None:
    drawn = rates(50, policy="random", power=1.0)
    assert drawn == rates(50, policy="random", power=1.0)
    assert len(set(drawn)) == 50
    assert 0 <= min(drawn) < 0.2 < 0.8 < max(drawn) <= 1


def test_options_that_make_no_schedule() -> None:
    poly = NetOptions(policy="poly")
    steps = NetOptions(policy="steps", steps=(1, 2), scales=(0.1,))
    for options, text in [
        (poly, "policy=poly goes to 0 at max_batches; expected max_batches above 0"),
        (steps, "policy=steps has 2 steps and 1 scales; expected one for each"),
    ]:
        with pytest.raises(UsageError, match=text):
            check_schedule(options)
        with pytest.raises(UsageError, match=text):
            rate_at(options, 5)
    for options in (NetOptions(), NetOptions(policy="poly", max_batches=1), NetOptions(policy="steps")):
        check_schedule(options)
