"""Every gradient against the loss itself, computed twice beside it in float64.

    < gradient, direction >   =   (loss(a + h * direction) - loss(a - h * direction)) / 2h

where `a` are the numbers of a parameter, or the output of a layer, and the losses come from the twins in
`reference.py`. Directions are random, so that every number of a gradient counts. Shapes and options are drawn, always
the same ones. All memory of the learner is filled with NaN first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minidarknet.cfg import parse_cfg
from minidarknet.kernels.activations import ACTIVATIONS
from minidarknet.kernels.winograd_back import PIECES
from minidarknet.layers import LAYERS
from minidarknet.layers.convolutional import Convolutional
from minidarknet.layers.parameter import Array, Parameter
from minidarknet.layers.weight_gradient import PointGradient, WeightGradient, WinogradGradient
from minidarknet.learning import LOSSES, Learner
from minidarknet.network import Network
from reference import TWINS, Found, Twin
from test_determinism import NETWORKS

COMPILED = not numba.config.DISABLE_JIT

#: Half the distance between the two losses, in numbers around 1; and how near a kink may be.
STEP, MARGIN = 1e-6, 1e-5
#: How much a slope may be off: as a share of the gradient's length, and of the longest one of the network.
LIMIT, ROUNDING = 2e-4, 3e-6

drawn = settings(
    max_examples=12 if COMPILED else 4,
    derandomize=True,
    database=None,
    deadline=None,  # the first example compiles
    suppress_health_check=[HealthCheck.too_slow],
)
few = st.integers(1, 4)
sides = st.integers(1, 9)
seeds = st.integers(0, 999)
names = st.sampled_from(sorted(ACTIVATIONS))


# -- one check for all -------------------------------------------------------------------------------------------


def section(name: str, **options: Any) -> str:
    values = {key.rstrip("_"): int(value) if isinstance(value, bool) else value for key, value in options.items()}
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in values.items())


def cfg(shape: tuple[int, int, int], *sections: str) -> str:
    return section("net", channels=shape[0], height=shape[1], width=shape[2]) + "".join(sections)


def stem(channels: int) -> str:
    """A layer in front, so that there is a gradient by the next one's input."""
    return section("convolutional", filters=channels, size=1, activation="linear")


def fan_in(kind: str, parameter: Parameter) -> int:
    """How many numbers are summed up with this parameter's."""
    first = {"local": parameter.shape[2:], "deconvolutional": (parameter.shape[0], *parameter.shape[2:])}
    return max(1, int(np.prod(first.get(kind, parameter.shape[1:]))))


def build(text: str, seed: int) -> Network:
    """A network with random parameters, by which numbers keep about the size that they have."""
    network = Network.from_cfg(parse_cfg(text))
    generator = np.random.default_rng(seed)
    for layer, parameter in network.parameters():
        values = generator.standard_normal(parameter.shape)
        if parameter.name == "weights":
            values /= np.sqrt(fan_in(layer.kind, parameter))
        elif parameter.name in ("scales", "rolling_variance"):
            values = np.where(values > 0, 1, -1 if parameter.name == "scales" else 1) * (0.5 + np.abs(values))
        parameter.array = values.astype(np.float32)
    return network


def poison(learner: Learner) -> None:
    for memory in (learner._workspace, *learner._outputs, *learner._kept, *learner._grads):
        memory.fill(np.nan)


class Check:
    """A network that has learned once, and its twin."""

    def __init__(self, text: str, count: int, seed: int, truth: Array | None) -> None:
        self.network, self.truth = build(text, seed), truth
        self.generator = np.random.default_rng((seed, 5))
        shape = (count, *self.network.input_shape.array_shape)
        self.compared = self.skipped = 0
        self.x = self.generator.standard_normal(shape).astype(np.float32)
        self.learner = Learner(self.network, count, quirks=False)
        poison(self.learner)
        self.outputs = [output.copy() for _, output in self.learner.forward_steps(self.x, truth, seed)]
        self.twin = Twin(self.network, count)
        self.found = self.twin.forward(self.x, truth)
        read = {number for layer in self.network.layers for number in layer.reads}
        #: What the loss has, beside those of loss layers: each number of an output that nobody reads, times another.
        self.pulls = {
            layer.index: np.where(np.abs(output) < 1e30, self.generator.standard_normal(output.shape), 0)
            for layer, output in zip(self.network.layers, self.outputs, strict=True)
            if layer.index not in read and not isinstance(layer, LOSSES)
        }

    def loss(self, found: Found) -> float:
        return found.loss + sum(float((pull * found.outputs[i]).sum()) for i, pull in self.pulls.items())

    def forward_is_the_same(self) -> None:
        for layer, output, expected in zip(self.network.layers, self.outputs, self.found.outputs, strict=True):
            off = np.abs(output - expected).max(initial=0)
            assert off <= 1e-4 * max(1, np.abs(expected).max(initial=0)), f"output of {layer.index} [{layer.kind}]"

    def gradients_are_slopes(self) -> None:
        pulls = {number: pull.astype(np.float32) for number, pull in self.pulls.items()}
        grads = {layer.index: grad.copy() for layer, grad in self.learner.backward_steps(pulls)}
        longest = max(float(np.linalg.norm(grad)) for grad in grads.values())
        for index, grad in grads.items():
            if isinstance(self.network.layers[index], LOSSES):
                continue  # its loss comes from its input
            for direction in self.directions(grad):
                pair = [
                    self.twin.forward(self.x, self.truth, {index: sign * STEP * direction.reshape(grad.shape)})
                    for sign in (1, -1)
                ]
                self.compare(pair, grad, direction, longest, f"the output of {self.kind(index)}")
        for layer, parameter in self.network.parameters():
            if not parameter.learns:
                continue
            key = (layer.index, parameter.name)
            values = self.twin.values[key]
            for direction in self.directions(values):
                pair = []
                for sign in (1, -1):
                    self.twin.values[key] = values + sign * STEP * direction
                    pair.append(self.twin.forward(self.x, self.truth))
                self.twin.values[key] = values
                self.compare(
                    pair, parameter.gradient, direction, longest, f"{parameter.name} of {self.kind(layer.index)}"
                )

    def kind(self, index: int) -> str:
        return f"layer {index} [{self.network.layers[index].kind}]"

    def directions(self, like: Any) -> Iterator[Any]:
        for _ in range(2):
            yield self.generator.standard_normal(like.shape)

    def compare(self, pair: list[Found], grad: Array, direction: Any, longest: float, what: str) -> None:
        if not pair[0].same_branches(pair[1]):
            self.skipped += 1
            return
        self.compared += 1
        slope = (self.loss(pair[0]) - self.loss(pair[1])) / (2 * STEP)
        wide = grad.astype(np.float64)
        found = float((wide * direction).sum())
        allowed = LIMIT * np.linalg.norm(wide) + ROUNDING * longest
        assert abs(found - slope) <= allowed, f"gradient by {what}: {found:.7g}, the loss says {slope:.7g}"


def check(text: str, count: int = 2, seed: int = 0, truth: Array | None = None) -> Check:
    """Check all gradients of a network; near a kink, with other numbers."""
    for more in range(0, 40_000, 1000):
        found = Check(text, count, seed + more, truth)
        if found.found.margin > MARGIN:
            break
    else:
        pytest.fail("numbers were always too near a kink")
    found.forward_is_the_same()
    found.gradients_are_slopes()
    assert found.skipped <= found.compared, "too many directions cross a kink"
    return found


def one_hot(count: int, outputs: int, groups: int = 1, seed: int = 0) -> Array:
    truth = np.zeros((count * groups, outputs // groups), np.float32)
    truth[np.arange(len(truth)), np.random.default_rng(seed).integers(outputs // groups, size=len(truth))] = 1
    return truth.reshape(count, outputs)


def test_every_layer_that_runs_has_a_twin() -> None:
    assert set(TWINS) == {kind.kind for kind in LAYERS.values() if kind.runs}


# -- products ----------------------------------------------------------------------------------------------------


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[tuple[int, int, int], dict[str, Any]]:
    """Shapes and options that fit each other; the padding is sometimes larger than the window, and the stride too."""
    size, stride, groups = draw(st.integers(1, 7)), draw(few), draw(st.integers(1, 3))
    pad, padding = draw(st.booleans()), draw(st.sampled_from([0, 0, 1, 2, size // 2, size + 1]))
    around = 2 * (size // 2 if pad else padding)
    height, width = (max(1, size - around + draw(st.integers(0, 7))) for _ in range(2))
    shape = groups * draw(st.integers(1, 3)), height, width
    options = {"size": size, "stride": stride, "groups": groups, "pad": pad, "padding": padding}
    return shape, options | {"filters": groups * draw(few), "batch_normalize": draw(st.booleans())}


@settings(drawn, max_examples=30 if COMPILED else 10)
@given(convolutions(), names, st.sampled_from([2, 3, 5]), seeds)
def test_convolutional(case: tuple[tuple[int, int, int], dict[str, Any]], name: str, count: int, seed: int) -> None:
    shape, options = case
    count = max(count, 5) if options["batch_normalize"] else count
    check(cfg(shape, stem(shape[0]), section("convolutional", activation=name, **options)), count, seed)


#: How it is computed forward, and back by the input; then channels, height, width and options.
HARD = [
    ("points", "points", (1, 1, 1), {"filters": 1}),
    ("columns", "points", (3, 1, 2), {"filters": 70}),
    ("columns", "columns", (5, 1, 1), {"size": 3, "pad": 1, "filters": 2}),
    ("columns", "columns", (2, 1, 1), {"size": 2, "padding": 5, "filters": 3}),
    ("columns", "columns", (2, 1, 2), {"size": 2, "padding": 5, "stride": 20, "filters": 3}),
    ("columns", "columns", (3, 4, 4), {"size": 4, "filters": 18}),
    ("columns", "columns", (2, 7, 5), {"size": 4, "pad": 1, "filters": 3}),
    ("columns", "points", (3, 5, 4), {"padding": 2, "filters": 4}),
    ("columns", "points", (3, 7, 5), {"stride": 2, "filters": 4}),
    ("columns", "columns", (2, 13, 11), {"size": 2, "stride": 5, "filters": 3}),
    ("direct", "direct", (6, 5, 7), {"size": 3, "pad": 1, "groups": 6, "filters": 12}),
    ("direct", "direct", (34, 5, 3), {"size": 3, "pad": 1, "groups": 2, "filters": 70}),
    ("columns", "columns", (3, 1, 37), {"size": 3, "pad": 1, "filters": 4}),
    ("columns", "columns", (3, 37, 1), {"size": 3, "pad": 1, "filters": 4}),
    ("columns", "direct", (3, 23, 19), {"size": 11, "stride": 4, "padding": 2, "filters": 2}),
    ("winograd", "winograd", (17, 5, 7), {"size": 3, "pad": 1, "filters": 33}),  # small, but with so many filters
    ("columns", "columns", (17, 3, 5), {"size": 3, "pad": 1, "filters": 33}),
    ("points", "points", (17, 5, 7), {"filters": 33}),
    ("points", "points", (33, 9, 13), {"filters": 16}),
    ("winograd", "winograd", (17, 12, 13), {"size": 3, "pad": 1, "filters": 35}),
    ("winograd", "winograd", (3, 12, 13), {"size": 3, "padding": 0, "filters": 16}),
    ("winograd", "winograd", (3, 9, 12), {"size": 3, "padding": 2, "filters": 5}),
    ("winograd", "winograd", (3, 9, 12), {"size": 3, "padding": 4, "filters": 5}),
    ("columns", "winograd", (5, 13, 11), {"size": 3, "stride": 2, "pad": 1, "filters": 7}),
    ("direct", "direct", (3, 30, 31), {"size": 5, "pad": 1, "filters": 6}),
    ("direct", "winograd", (3, 43, 45), {"size": 3, "stride": 2, "pad": 1, "filters": 20}),
    ("winograd", "winograd", (3, 70, 66), {"size": 3, "pad": 1, "filters": 40}),  # several parts and slabs
    ("winograd", "winograd", (18, 58, 41), {"size": 3, "pad": 1, "filters": 40}),  # the same, by frequencies
    ("direct", "direct", (48, 7, 9), {"size": 3, "padding": 2, "groups": 2, "filters": 34}),
    ("points", "points", (70, 60, 50), {"filters": 10}),
    ("points", "points", (340, 6, 6), {"filters": 4}),  # so many channels that each thread has some
    ("points", "points", (4, 6, 6), {"filters": 340}),  # the same with filters
    ("points", "points", (5, 62, 61), {"filters": 40}),  # more pixels than a slab
    ("direct", "direct", (48, 6, 7), {"groups": 2, "filters": 60}),
    ("direct", "direct", (60, 6, 7), {"groups": 2, "filters": 48}),
    ("direct", "direct", (12, 80, 40), {"size": 5, "groups": 2, "pad": 1, "filters": 4}),
]


@pytest.mark.skipif(not COMPILED, reason="too slow without the compiler")
@pytest.mark.parametrize("batch_normalize", [0, 1])
@pytest.mark.parametrize(("forward", "back", "shape", "options"), HARD)
def test_convolutional_where_it_is_hard(
    forward: str, back: str, shape: tuple[int, int, int], options: dict[str, Any], batch_normalize: int
) -> None:
    large = shape[1] * shape[2] > 300  # among so many numbers, one is always near a kink
    name = "tanh" if large else "leaky"
    text = section("convolutional", activation=name, batch_normalize=batch_normalize, **options)
    layer = check(cfg(shape, stem(shape[0]), text), 5, 1).network.layers[1]
    assert isinstance(layer, Convolutional)
    assert (layer.convolver.method, layer.input_gradient.convolver.method) == (forward, back)


@pytest.mark.skipif(not COMPILED, reason="too slow without the compiler")
def test_the_hard_cases_have_one_part_and_several() -> None:
    parts, slabs = set(), set()
    for *_, shape, options in HARD:
        layer = build(cfg(shape, section("convolutional", **options)), 0).layers[0]
        assert isinstance(layer, Convolutional)
        method = layer.weight_gradient
        parts.add((type(method), min(2, method.parts(5))))
        if isinstance(method, WinogradGradient):  # each piece's patches come in slabs
            slabs.add(min(2, -(-5 * method.patches[0] // (PIECES * method.slab(5)))))
    assert slabs == {1, 2}
    assert parts == {(kind, count) for kind in (WeightGradient, WinogradGradient, PointGradient) for count in (1, 2)}


@pytest.mark.parametrize("shape", [(16, 12, 464), (16, 112, 112), (32, 4, 700), (64, 14, 14), (16, 3, 5)])
def test_fewer_images_need_no_more_workspace(shape: tuple[int, int, int]) -> None:
    """The last batch of an epoch, which is smaller, runs in the memory of the others."""
    for size in (1, 3, 5):
        layer = build(cfg(shape, section("convolutional", filters=128, size=size, pad=1)), 0).layers[0]
        assert isinstance(layer, Convolutional)
        sizes = [layer.weight_gradient.workspace_size(batch) for batch in range(1, 34)]
        assert sizes == sorted(sizes)


@drawn
@given(st.integers(1, 40), few, few, st.integers(1, 40), st.booleans(), names, st.sampled_from([1, 5, 20]), seeds)
def test_connected(
    channels: int, height: int, width: int, output: int, batch_normalize: bool, name: str, count: int, seed: int
) -> None:
    count = max(count, 5) if batch_normalize else count
    text = section("connected", output=output, batch_normalize=batch_normalize, activation=name)
    check(cfg((channels, height, width), stem(channels), text), count, seed)


@drawn
@given(st.data())
def test_deconvolutional(data: st.DataObject) -> None:
    channels, height, width, filters, size, stride = (data.draw(few) for _ in range(6))
    smallest = (min(height, width) - 1) * stride + size
    padding = min(data.draw(st.integers(0, 2)), (smallest - 1) // 2)  # something must be left
    options = {"filters": filters, "size": size, "stride": stride, "padding": padding}
    text = section("deconvolutional", batch_normalize=data.draw(st.booleans()), activation=data.draw(names), **options)
    check(cfg((channels, height, width), stem(channels), text), 5, data.draw(seeds))


@pytest.mark.skipif(not COMPILED, reason="too slow without the compiler")
@pytest.mark.parametrize("options", [{"size": 2, "stride": 2}, {"size": 3, "pad": 1}, {"size": 5, "stride": 3}])
def test_large_deconvolutional(options: dict[str, Any]) -> None:
    text = section("deconvolutional", filters=18, batch_normalize=1, activation="tanh", **options)
    check(cfg((20, 19, 17), stem(20), text))


@drawn
@given(st.data())
def test_local(data: st.DataObject) -> None:
    channels, filters, size, stride = (data.draw(few) for _ in range(4))
    shape = channels, max(size, data.draw(sides)), max(size, data.draw(sides))
    options = {"filters": filters, "size": size, "stride": stride, "pad": data.draw(st.integers(0, 2))}
    check(cfg(shape, stem(channels), section("local", activation=data.draw(names), **options)), 3, data.draw(seeds))


# -- normalizing -------------------------------------------------------------------------------------------------


@drawn
@given(st.integers(1, 20), few, few, st.sampled_from([4, 7]), seeds)
def test_batchnorm(channels: int, height: int, width: int, count: int, seed: int) -> None:
    found = check(cfg((channels, height, width), stem(channels), section("batchnorm")), count, seed)
    assert found.network.layers[1].parameters()[0].grad is None  # its biases stay 0


@pytest.mark.parametrize("kind", ["batchnorm", "connected", "convolutional"])
def test_batch_norm_goes_back_with_darknets_quirks(kind: str) -> None:
    """By Darknet's formula: its epsilon is inside the root, and it divides by N, though the variance has N - 1."""
    options = {"connected": {"output": 5}, "convolutional": {"filters": 5}}
    more = {"batch_normalize": 1, "activation": "linear"} if kind in options else {}
    network = build(cfg((3, 2, 1), stem(3), section(kind, **options.get(kind, {}), **more)), 3)
    layer, learner = network.layers[1], Learner(network, 4, quirks=True)
    generator = np.random.default_rng(1)
    outputs = [y for _, y in learner.forward_steps(generator.standard_normal((4, 3, 2, 1)).astype(np.float32), None)]
    pull = generator.standard_normal(outputs[1].shape).astype(np.float32)
    sums = outputs[0] if kind == "batchnorm" else layer.products(4, learner._run)  # type: ignore[attr-defined]
    x, d = sums.astype(np.float64), pull.astype(np.float64)
    values = {parameter.name: parameter.value.astype(np.float64) for parameter in layer.parameters()}
    axes, n = (0, 2, 3), x.size / x.shape[1]
    mean, variance = x.mean(axis=axes, keepdims=True), x.var(axis=axes, ddof=1, keepdims=True)
    root = np.sqrt(variance + 1e-5)
    d = d * values["scales"].reshape(-1, 1, 1)
    by_mean = -d.sum(axis=axes, keepdims=True) / root
    by_variance = -0.5 * (d * (x - mean)).sum(axis=axes, keepdims=True) / root**3
    d = d / root + 2 * by_variance * (x - mean) / n + by_mean / n
    found = [grad for _, grad in learner.backward_steps({1: pull})]
    expected, by_products = d, found[1 if kind == "batchnorm" else 0]  # what the layer has made of it
    np.testing.assert_allclose(by_products, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("count", [2, 3])
def test_batch_norm_of_few_numbers(count: int) -> None:
    """Of two numbers, batch norm always makes the same two: nothing goes back, or hardly anything."""
    text = section("connected", output=40, batch_normalize=1, activation="tanh")
    check(cfg((6, 1, 1), stem(6), text), count, 3)


@pytest.mark.skipif(not COMPILED, reason="too slow without the compiler")
def test_batch_norm_of_more_numbers_than_a_run() -> None:
    check(cfg((2, 61, 53), stem(2), section("batchnorm"), section("avgpool")), 2)
    check(cfg((2, 61, 53), stem(2), section("batchnorm"), section("local", filters=1, activation="tanh")), 2)


@drawn
@given(st.integers(1, 9), few, few, st.integers(1, 7), st.sampled_from([0.01, 0.3]), seeds)
def test_normalization(channels: int, height: int, width: int, size: int, alpha: float, seed: int) -> None:
    text = section("normalization", size=size, alpha=alpha, beta=0.75, kappa=30 * alpha + 1)
    check(cfg((channels, height, width), stem(channels), text), 2, seed)


@drawn
@given(st.integers(2, 9), few, few, seeds)
def test_l2norm(channels: int, height: int, width: int, seed: int) -> None:
    check(cfg((channels, height, width), stem(channels), section("l2norm")), 2, seed)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("kind", ["activation", "convolutional", "connected", "normed"])
def test_activations(kind: str, name: str) -> None:
    options = {"activation": {}, "convolutional": {"filters": 5}, "connected": {"output": 60}}
    text = section(kind, activation=name, **options.get(kind, {}))
    if kind == "normed":
        text = section("convolutional", activation=name, filters=5, batch_normalize=1)
    found = check(cfg((3, 5, 4), stem(3), text, section("activation", activation="tanh")), 3)
    # All pieces were there.
    if len(found.found.branches) == 1:
        assert set(np.unique(found.found.branches[0])) == {False, True}


# -- pooling and shapes ------------------------------------------------------------------------------------------


@settings(drawn, max_examples=25 if COMPILED else 8)
@given(few, sides, sides, st.integers(0, 5), few, st.integers(-1, 12), seeds)
def test_maxpool(channels: int, height: int, width: int, size: int, stride: int, padding: int, seed: int) -> None:
    window = size or stride
    total = window - 1 if padding < 0 else padding
    shape = channels, max(height, window - total), max(width, window - total)
    check(cfg(shape, stem(channels), section("maxpool", size=size, stride=stride, padding=padding)), 2, seed)


@pytest.mark.parametrize("padding", [-1, 0, 1, 2])
@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 34), (6, 30), (5, 32), (8, 7), (2, 70)])
def test_maxpool_of_squares(height: int, width: int, padding: int) -> None:
    check(cfg((3, height, width), stem(3), section("maxpool", size=2, stride=2, padding=padding)), 2)


@pytest.mark.parametrize(("size", "side", "firsts"), [(2, 4, [0, 2, 8, 10]), (3, 5, [0, 1, 3, 5, 6, 8, 15, 16, 18])])
def test_maxpool_of_equal_cells(size: int, side: int, firsts: list[int]) -> None:
    """The first of them gets the gradient; windows of 3 begin one cell outside."""
    network = build(cfg((1, side, side), stem(1), section("maxpool", size=size, stride=2)), 0)
    for parameter in network.layers[0].parameters():
        parameter.array = np.zeros(parameter.shape, np.float32)
    learner = Learner(network, 1)
    for _ in learner.forward_steps(np.ones((1, 1, side, side)), None):
        pass
    pull = np.arange(1, len(firsts) + 1, dtype=np.float32)
    *_, (_, found) = learner.backward_steps({1: pull})
    expected = np.zeros(side * side)
    expected[firsts] = pull
    np.testing.assert_array_equal(found.reshape(-1), expected)


@drawn
@given(few, sides, sides, seeds)
def test_avgpool(channels: int, height: int, width: int, seed: int) -> None:
    check(cfg((channels, height, width), stem(channels), section("avgpool")), 2, seed)


@drawn
@given(few, sides, sides, st.sampled_from([-3, -2, -1, 1, 2, 3]), st.sampled_from([1, -0.5]), seeds)
def test_upsample(channels: int, height: int, width: int, stride: int, scale: float, seed: int) -> None:
    shape = channels, max(height, -stride), max(width, -stride)
    check(cfg(shape, stem(channels), section("upsample", stride=stride, scale=scale)), 2, seed)


@drawn
@given(few, few, few, st.integers(1, 3), st.booleans(), st.booleans(), st.sampled_from([0, 0, 5]), seeds)
def test_reorg(
    part: int, height: int, width: int, stride: int, reverse: bool, flatten: bool, extra: int, seed: int
) -> None:
    shape = part * stride**2, height * stride, width * stride
    text = section("reorg", stride=stride, reverse=reverse, flatten=flatten, extra=extra)
    check(cfg(shape, stem(shape[0]), text), 2, seed)


@pytest.mark.parametrize("noadjust", [0, 1])
@pytest.mark.parametrize("seed", range(6))  # both mirrored and not
def test_crop(noadjust: int, seed: int) -> None:
    text = section("crop", crop_height=4, crop_width=3, flip=1, noadjust=noadjust)
    check(cfg((2, 6, 7), stem(2), text, section("activation", activation="tanh")), 2, seed)


@pytest.mark.parametrize("probability", [0, 0.3, 0.9, 1])
def test_dropout(probability: float) -> None:
    text = section("dropout", probability=probability)
    found = check(cfg((3, 9, 8), stem(3), text, section("activation", activation="logistic")), 2)
    factors = found.twin.drawn[1]
    kept = {float(np.float32(1) / (np.float32(1) - np.float32(probability)))} if probability < 1 else set()
    assert set(np.unique(factors)) <= {0.0} | kept
    assert abs((factors == 0).mean() - probability) < 0.12


# -- several inputs, several readers -----------------------------------------------------------------------------


@pytest.mark.parametrize("layers", ["-1", "0", "-1,0", "0,1,2", "1,1", "0,2,0,-1", "-3,-3,-2,-1"])
def test_route(layers: str) -> None:
    """Also of one layer twice, and of layers that others have read."""
    wider = section("convolutional", filters=3, size=3, pad=1, activation="tanh")
    text = cfg((2, 4, 5), stem(2), wider, wider, section("route", layers=layers), wider)
    check(text, 2)


def test_route_of_different_sizes() -> None:
    text = cfg((2, 4, 5), stem(2), section("maxpool", size=2, stride=2), section("route", layers="-1,0,-1"))
    check(text + section("connected", output=4, activation="tanh"))


@pytest.mark.parametrize("name", ["linear", "leaky", "tanh"])
@pytest.mark.parametrize(("alpha", "beta"), [(1, 1), (0.5, -2)])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((3, 4, 5), (3, 4, 5)),
        ((2, 4, 6), (5, 4, 6)),
        ((5, 2, 3), (2, 4, 6)),
        ((3, 8, 6), (3, 4, 3)),
        ((2, 7, 5), (4, 3, 2)),
        ((4, 3, 4), (2, 9, 14)),
    ],
)
def test_shortcut(
    first: tuple[int, int, int], second: tuple[int, int, int], alpha: float, beta: float, name: str
) -> None:
    """Of the input's shape, with fewer or more channels, larger and smaller, with sides that do not fit."""
    pictures = [
        section("crop", crop_height=height, crop_width=width, noadjust=1) + stem(channels)
        for channels, height, width in (first, second)
    ]
    text = cfg((2, 9, 14), stem(2), pictures[0], section("route", layers="0"), pictures[1])
    text += section("shortcut", from_=2, alpha=alpha, beta=beta, activation=name)
    check(text + section("activation", activation="tanh"), 2)


def test_shortcut_to_the_layer_itself() -> None:
    text = cfg((3, 4, 5), stem(3), section("shortcut", from_=-1, alpha=0.5, beta=3, activation="tanh"), stem(2))
    check(text)


# -- losses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1, 0.5, 3])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("noloss", [0, 1])
def test_softmax(groups: int, temperature: float, noloss: int) -> None:
    softmax = section("softmax", groups=groups, temperature=temperature, noloss=noloss)
    text = cfg((5, 1, 1), section("connected", output=12, activation="linear"), softmax)
    check(text, 3, truth=None if noloss else one_hot(3, 12, groups))
    # Behind it another layer, and a cost.
    check(text + section("activation", activation="tanh") + section("cost"), 3, truth=one_hot(3, 12, groups))


def test_logistic() -> None:
    truth = np.random.default_rng(1).integers(2, size=(3, 12)).astype(np.float32)
    text = cfg((5, 1, 1), section("connected", output=12, activation="linear"), section("logistic"))
    check(text, 3, truth=truth)
    check(text + section("activation", activation="tanh"), 3, truth=truth)
    check(text + section("activation", activation="tanh"), 3)


@pytest.mark.parametrize("scale", [1, 0.3])
@pytest.mark.parametrize("kind", ["sse", "L1", "smooth", "masked", "seg", "wgan"])
def test_cost(kind: str, scale: float) -> None:
    truth = np.random.default_rng(1).standard_normal((3, 12)).astype(np.float32)
    if kind == "masked":
        truth[:, ::5] = -1234
    text = cfg((5, 1, 1), section("connected", output=12, activation="linear"), section("cost", type=kind, scale=scale))
    check(text, 3, truth=truth)


def test_losses_at_several_places() -> None:
    linear = section("connected", output=6, activation="linear")
    sides_ = section("softmax") + section("route", layers="0") + linear + section("logistic") + section("cost")
    check(cfg((5, 1, 1), section("connected", output=9, activation="tanh"), linear, sides_), 4, truth=one_hot(4, 6))


# -- whole networks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["every layer", "classifier"] if COMPILED else ["every layer"])
def test_whole_networks(name: str) -> None:
    text = NETWORKS[name]
    outputs = Network.from_cfg(parse_cfg(text)).output_shape.size
    check(text, 3, 2, one_hot(3, outputs, 3 if name == "every layer" else 1))
