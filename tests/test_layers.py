"""Every layer against its definition, written here once more in float64 and as plainly as possible.

Nothing of the package helps the references: they are NumPy and Python. Shapes and options are drawn (always the same
ones); without the compiler (NUMBA_DISABLE_JIT=1) fewer are. Before each forward, output and workspace are filled with
NaN, so that a number that nobody wrote, or that was read from old memory, is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import product as each
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minidarknet.cfg import parse_cfg
from minidarknet.errors import CfgError, InputError
from minidarknet.kernels.activations import ACTIVATIONS, activate
from minidarknet.kernels.im2col import im2col
from minidarknet.layers import LAYERS
from minidarknet.layers.activation import Activation
from minidarknet.layers.avgpool import Avgpool
from minidarknet.layers.base import Layer, Run
from minidarknet.layers.batchnorm import Batchnorm
from minidarknet.layers.connected import Connected
from minidarknet.layers.convolutional import Convolutional, convolutional_naive
from minidarknet.layers.cost import Cost
from minidarknet.layers.crop import Crop
from minidarknet.layers.deconvolutional import Deconvolutional
from minidarknet.layers.dropout import Dropout
from minidarknet.layers.l2norm import L2norm
from minidarknet.layers.local import Local
from minidarknet.layers.logistic import Logistic
from minidarknet.layers.maxpool import Maxpool
from minidarknet.layers.normalization import Normalization
from minidarknet.layers.parameter import Array, Initial, Parameter
from minidarknet.layers.reorg import Reorg
from minidarknet.layers.route import Route
from minidarknet.layers.shortcut import Shortcut
from minidarknet.layers.softmax import Softmax
from minidarknet.layers.upsample import Upsample
from minidarknet.network import Network
from minidarknet.shapes import Shape

COMPILED = not numba.config.DISABLE_JIT
LOWEST = np.float32(-3.4028235e38)

drawn = settings(
    max_examples=50 if COMPILED else 20,
    derandomize=True,
    database=None,
    deadline=None,  # the first example compiles
    suppress_health_check=[HealthCheck.too_slow],
)
sides = st.integers(1, 9)
few = st.integers(1, 4)
seeds = st.integers(0, 999)
batches = st.sampled_from([0, 1, 3])
names = st.sampled_from(sorted(ACTIVATIONS))


# -- helpers -----------------------------------------------------------------------------------------------------


def build(kind: type[Layer], *in_shapes: Shape, index: int = 0, seed: int = 0, **options: Any) -> Layer:
    """A connected layer with random parameters."""
    layer = kind(kind.Options(**options), index)
    layer.connect(*in_shapes)
    generator = np.random.default_rng(seed)
    for parameter in layer.parameters():
        values = generator.standard_normal(parameter.shape)
        parameter.array = (0.5 + np.abs(values) if parameter.name == "rolling_variance" else values).astype(np.float32)
    return layer


def put(layer: Layer, **values: Any) -> Layer:
    """Set parameters by their names."""
    for parameter in layer.parameters():
        if parameter.name in values:
            parameter.array = np.array(values[parameter.name], np.float32).reshape(parameter.shape)
    return layer


def forward(layer: Layer, *inputs: Array, truth: Array | None = None) -> Array:
    """One pass over dirty memory; the inputs must come out as they went in."""
    layer.allocate(len(inputs[0]))
    layer.output.fill(np.nan)
    before = [x.copy() for x in inputs]
    output = layer.forward(*inputs, run=Run(np.full(layer.workspace_size(), np.nan, np.float32), truth))
    assert output.dtype == np.float32
    assert output.shape == (len(inputs[0]), *layer.out_shape.array_shape)
    assert output.flags.c_contiguous
    for x, old in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(x, old)
    return output


def images(batch: int, shape: Shape, seed: int = 0) -> Array:
    return np.random.default_rng((seed, 7)).standard_normal((batch, *shape.array_shape)).astype(np.float32)


def picture(*rows: str) -> Array:
    """A batch of one image with one channel, from rows of numbers."""
    return np.array([[[row.split() for row in rows]]], np.float32)


def vector(*numbers: float) -> Array:
    """A batch of one vector."""
    return np.array(numbers, np.float32).reshape(1, -1, 1, 1)


def shape_of(x: Array) -> Shape:
    return Shape(*x.shape[1:])


def close(actual: Array, expected: Any, limit: float = 1e-5) -> None:
    """No number differs by more than `limit`, or by that share of the largest expected one."""
    expected = np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    assert np.abs(actual - expected).max(initial=0) <= limit * max(1.0, np.abs(expected).max(initial=0))


def silent() -> AbstractContextManager[Any]:
    """Compiled loops never warn about infinity and NaN; Python that runs the same lines does."""
    return nullcontext() if COMPILED else np.errstate(all="ignore")


# -- definitions -------------------------------------------------------------------------------------------------


def plse(x: float) -> float:
    return 0.01 * (x + 4) if x < -4 else 0.01 * (x - 4) + 1 if x > 4 else 0.125 * x + 0.5


def stair(x: float) -> float:
    n = int(np.floor(x))
    return np.floor(x / 2) if n % 2 == 0 else (x - n) + np.floor(x / 2)


FORMULAS: dict[str, Callable[[float], float]] = {
    "linear": lambda x: x,
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "loggy": lambda x: 2 / (1 + np.exp(-x)) - 1,
    "relu": lambda x: x * (x > 0),
    "elu": lambda x: (x >= 0) * x + (x < 0) * (np.exp(x) - 1),
    "selu": lambda x: (x >= 0) * 1.0507 * x + (x < 0) * 1.0507 * 1.6732 * (np.exp(x) - 1),
    "relie": lambda x: x if x > 0 else 0.01 * x,
    "ramp": lambda x: x * (x > 0) + 0.1 * x,
    "leaky": lambda x: x if x > 0 else 0.1 * x,
    "tanh": lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1),
    "plse": plse,
    "stair": stair,
    "hardtan": lambda x: min(max(x, -1.0), 1.0),
    "lhtan": lambda x: 0.001 * x if x < 0 else 0.001 * (x - 1) + 1 if x > 1 else x,
}


def activated(x: Any, name: str) -> Any:
    return np.array([FORMULAS[name](float(v)) for v in x.ravel()], np.float64).reshape(x.shape)


def finished(sums: Any, layer: Layer) -> Any:
    """Batch norm or bias, then the activation, on sums (batch, channels, height, width)."""
    p = {p.name: p.value.astype(np.float64).reshape(-1, 1, 1) for p in layer.parameters() if p.name != "weights"}
    if "scales" in p:
        sums = p["scales"] * (sums - p["rolling_mean"]) / (np.sqrt(p["rolling_variance"]) + 1e-6)
    return activated(sums + p["biases"], layer.options.activation)


def weights_of(layer: Layer) -> Any:
    return next(p.value for p in layer.parameters() if p.name == "weights").astype(np.float64)


def convolved(x: Array, weights: Any, stride: int, padding: int, groups: int) -> Any:
    filters, part, size, _ = weights.shape
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows, columns = ((side - size) // stride + 1 for side in padded.shape[2:])
    sums = np.empty((len(x), filters, rows, columns))
    for f, y, i in np.ndindex(filters, rows, columns):
        first = part * (f // (filters // groups))
        window = padded[:, first : first + part, y * stride : y * stride + size, i * stride : i * stride + size]
        sums[:, f, y, i] = (window * weights[f]).sum(axis=(1, 2, 3))
    return sums


def pooled(x: Array, size: int, stride: int, padding: int) -> Array:
    rows, columns = ((side + padding - size) // stride + 1 for side in x.shape[2:])
    wide = np.pad(
        x, ((0, 0), (0, 0), (padding // 2, padding + size), (padding // 2, padding + size)), constant_values=LOWEST
    )
    result = np.empty((*x.shape[:2], rows, columns), np.float32)
    for y, i in np.ndindex(rows, columns):
        result[:, :, y, i] = wide[:, :, y * stride : y * stride + size, i * stride : i * stride + size].max(axis=(2, 3))
    return result


# -- convolution -------------------------------------------------------------------------------------------------


def check_convolution(x: Array, seed: int = 0, **options: Any) -> Layer:
    layer = build(Convolutional, shape_of(x), seed=seed, **options)
    o = layer.options
    sums = convolved(x, weights_of(layer), o.stride, o.size // 2 if o.pad else o.padding, o.groups)
    close(forward(layer, x), finished(sums, layer))
    return layer


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Array, dict[str, Any]]:
    """Images and options that fit each other; the padding is sometimes larger than the window."""
    size, stride, groups = draw(st.integers(1, 11)), draw(few), draw(st.integers(1, 3))
    pad, padding = draw(st.booleans()), draw(st.sampled_from([0, 0, 1, 2, size // 2, size + 1]))
    around = 2 * (size // 2 if pad else padding)
    height, width = (max(1, size - around + draw(st.integers(0, 7))) for _ in range(2))
    shape = Shape(groups * draw(st.integers(1, 3)), height, width)
    options = {"size": size, "stride": stride, "groups": groups, "pad": pad, "padding": padding}
    options |= {"filters": groups * draw(few), "batch_normalize": draw(st.booleans()), "activation": draw(names)}
    return images(draw(st.sampled_from([1, 3])), shape, draw(seeds)), options


@settings(drawn, max_examples=200 if COMPILED else 60)
@given(convolutions(), seeds)
def test_convolutional(case: tuple[Array, dict[str, Any]], seed: int) -> None:
    x, options = case
    check_convolution(x, seed, **options)


HARD_CONVOLUTIONS = {
    "one pixel, window 1": (Shape(1, 1, 1), {}),
    "one pixel, window 3": (Shape(5, 1, 1), {"size": 3, "pad": True, "filters": 2}),
    "one pixel, padding larger than the window": (Shape(2, 1, 1), {"size": 2, "padding": 5, "filters": 3}),
    "window as large as the image": (Shape(3, 4, 4), {"size": 4, "filters": 18}),
    "even window": (Shape(2, 7, 5), {"size": 4, "pad": True, "filters": 3}),
    "window 1 with padding": (Shape(3, 5, 4), {"padding": 2, "filters": 4}),
    "window 1 with a stride": (Shape(3, 7, 5), {"stride": 2, "filters": 4}),
    "stride larger than the window": (Shape(2, 13, 11), {"size": 2, "stride": 5, "filters": 3}),
    "last cells unseen": (Shape(2, 8, 9), {"size": 3, "stride": 3, "filters": 3}),
    "one group for each channel": (Shape(6, 5, 7), {"size": 3, "pad": True, "groups": 6, "filters": 12}),
    "one row": (Shape(3, 1, 37), {"size": 3, "pad": True, "filters": 4}),
    "one column": (Shape(3, 37, 1), {"size": 3, "pad": True, "filters": 4}),
    "AlexNet's window": (Shape(3, 23, 19), {"size": 11, "stride": 4, "padding": 2, "filters": 2}),
    "33 filters, rows of 15": (Shape(2, 3, 15), {"size": 3, "pad": True, "filters": 33}),
    "17 filters, rows of 29": (Shape(3, 2, 29), {"size": 1, "filters": 17}),
    "64 filters, 14x14": (Shape(4, 14, 14), {"size": 3, "pad": True, "filters": 64 if COMPILED else 16}),
    "more cells than a strip": (Shape(3, 18, 17), {"size": 3, "pad": True, "filters": 9}),
    "more channels than a block": (Shape(131, 3, 3), {"size": 3, "pad": True, "filters": 8}),
}


@pytest.mark.parametrize("what", HARD_CONVOLUTIONS)
def test_convolutional_where_it_is_hard(what: str) -> None:
    shape, options = HARD_CONVOLUTIONS[what]
    check_convolution(images(2, shape), **{"activation": "leaky", **options})


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(1, 1, 0), (1, 2, 1), (2, 1, 3), (3, 1, 1), (3, 2, 1), (5, 3, 2)]
)
def test_convolutional_equals_its_naive_twin(size: int, stride: int, padding: int, groups: int) -> None:
    x = images(2, Shape(4, 7, 6))
    options = {"size": size, "stride": stride, "padding": padding, "groups": groups, "filters": 6}
    layer = put(build(Convolutional, shape_of(x), activation="linear", **options), biases=np.zeros(6))
    expected = np.full((2, *layer.out_shape.array_shape), np.nan, np.float32)
    for image, output in zip(x, expected, strict=True):
        convolutional_naive(output, image, weights_of(layer).astype(np.float32), stride, padding, groups)
    close(forward(layer, x), expected)


@pytest.mark.parametrize("size", [1, 3])
def test_convolutional_without_images(size: int) -> None:
    check_convolution(images(0, Shape(2, 4, 5)), size=size, filters=3, groups=1, pad=True)


def test_im2col() -> None:
    columns = np.full((1, 4, 4), np.nan, np.float32)
    im2col(columns, picture("1 2 3", "4 5 6", "7 8 9"), 2, 1, 0, 2, 2)
    expected = [[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]]  # as in the file's docstring
    np.testing.assert_array_equal(columns[0], np.array(expected))


# -- other layers with weights -----------------------------------------------------------------------------------


@drawn
@given(st.integers(1, 40), few, few, st.integers(1, 20), st.booleans(), names, batches, seeds)
def test_connected(
    channels: int, height: int, width: int, output: int, batch_normalize: bool, activation: str, batch: int, seed: int
) -> None:
    x = images(batch, Shape(channels, height, width), seed)
    options = {"output": output, "batch_normalize": batch_normalize, "activation": activation}
    layer = build(Connected, shape_of(x), seed=seed, **options)
    sums = x.astype(np.float64).reshape(batch, channels * height * width) @ weights_of(layer).T
    close(forward(layer, x), finished(sums.reshape(batch, output, 1, 1), layer))


@drawn
@given(few, st.integers(1, 5), st.integers(1, 5), few, st.integers(1, 5), few, st.integers(0, 2), names, batches, seeds)
def test_deconvolutional(
    channels: int,
    height: int,
    width: int,
    filters: int,
    size: int,
    stride: int,
    padding: int,
    activation: str,
    batch: int,
    seed: int,
) -> None:
    smallest = (min(height, width) - 1) * stride + size
    padding = min(padding, (smallest - 1) // 2)  # something must be left
    x = images(batch, Shape(channels, height, width), seed)
    options = {"filters": filters, "size": size, "stride": stride, "padding": padding, "activation": activation}
    layer = build(Deconvolutional, shape_of(x), seed=seed, batch_normalize=bool(seed % 2), **options)
    canvas = np.zeros((batch, filters, (height - 1) * stride + size, (width - 1) * stride + size))
    weights = weights_of(layer)
    for b, c, f, y, i in np.ndindex(batch, channels, filters, height, width):
        top, left = y * stride, i * stride
        canvas[b, f, top : top + size, left : left + size] += x[b, c, y, i] * weights[c, f]
    cut = canvas[:, :, padding : canvas.shape[2] - padding, padding : canvas.shape[3] - padding]
    close(forward(layer, x), finished(cut, layer))


def test_deconvolutional_pad_is_half_the_size() -> None:
    shapes = [build(Deconvolutional, Shape(1, 4, 5), size=5, **o).out_shape for o in ({"pad": True}, {"padding": 2})]
    assert shapes == [Shape(1, 4, 5)] * 2


@drawn
@given(few, sides, sides, few, st.integers(1, 5), few, st.integers(0, 2), names, batches, seeds)
def test_local(
    channels: int,
    height: int,
    width: int,
    filters: int,
    size: int,
    stride: int,
    pad: int,
    activation: str,
    batch: int,
    seed: int,
) -> None:
    height, width = max(height, size), max(width, size)
    x = images(batch, Shape(channels, height, width), seed)
    options = {"filters": filters, "size": size, "stride": stride, "pad": pad, "activation": activation}
    layer = build(Local, shape_of(x), seed=seed, **options)
    around = (pad, pad + size)  # with pad, the windows may reach out further than it
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), around, around))
    reach = 1 if pad else size
    rows, columns = (height - reach) // stride + 1, (width - reach) // stride + 1
    weights, biases = weights_of(layer), layer.parameters()[0].value.reshape(filters, rows, columns)
    sums = np.empty((batch, filters, rows, columns))
    for place, (y, i) in enumerate(np.ndindex(rows, columns)):
        window = padded[:, None, :, y * stride : y * stride + size, i * stride : i * stride + size]
        sums[:, :, y, i] = (window * weights[place]).sum(axis=(2, 3, 4)) + biases[:, y, i]
    close(forward(layer, x), activated(sums, activation))


@drawn
@given(few, few, few, batches, seeds)
def test_batchnorm(channels: int, height: int, width: int, batch: int, seed: int) -> None:
    x = images(batch, Shape(channels, height, width), seed)
    layer = build(Batchnorm, shape_of(x), seed=seed)
    biases, scales, mean, variance = (p.value.astype(np.float64).reshape(-1, 1, 1) for p in layer.parameters())
    close(forward(layer, x), scales * (x - mean) / (np.sqrt(variance) + 1e-6) + biases)


def test_batch_norm_adds_its_epsilon_outside_the_root() -> None:
    layer = put(build(Batchnorm, Shape(1)), biases=[0], scales=[1], rolling_mean=[1], rolling_variance=[0])
    np.testing.assert_allclose(forward(layer, vector(1.5)), vector(5e5), rtol=1e-6)


# -- pooling and shapes ------------------------------------------------------------------------------------------


@drawn
@given(few, sides, sides, st.integers(0, 7), few, st.integers(-1, 20), batches, seeds)
def test_maxpool(
    channels: int, height: int, width: int, size: int, stride: int, padding: int, batch: int, seed: int
) -> None:
    window = size or stride
    total = window - 1 if padding < 0 else padding
    height, width = max(height, window - total), max(width, window - total)
    x = images(batch, Shape(channels, height, width), seed)
    layer = build(Maxpool, shape_of(x), size=size, stride=stride, padding=padding)
    np.testing.assert_array_equal(forward(layer, x), pooled(x, window, stride, total))


def test_maxpool_of_nothing_but_padding() -> None:
    layer = build(Maxpool, Shape(1, 1, 1), size=2, stride=2, padding=9)
    expected = np.full((1, 1, 5, 5), LOWEST)
    expected[0, 0, 2, 2] = -5  # the windows begin at -4, -2, 0, 2 and 4
    np.testing.assert_array_equal(forward(layer, picture("-5")), expected)


def test_maxpool_default_padding() -> None:
    def out(side: int, **options: int) -> int:
        return build(Maxpool, Shape(1, side, side), **options).out_shape.width

    assert [out(side, size=2, stride=2) for side in (1, 2, 7, 8)] == [1, 1, 4, 4]  # half, rounded up
    assert [out(side, size=2, stride=1) for side in (1, 2, 7, 8)] == [1, 2, 7, 8]  # the side is kept
    assert out(13, stride=3) == out(13, size=3, stride=3)
    assert out(7, size=2, stride=2, padding=0) == 3


@drawn
@given(few, sides, sides, batches, seeds)
def test_avgpool(channels: int, height: int, width: int, batch: int, seed: int) -> None:
    x = images(batch, Shape(channels, height, width), seed)
    close(forward(build(Avgpool, shape_of(x)), x), x.astype(np.float64).mean(axis=(2, 3), keepdims=True))


@drawn
@given(few, sides, sides, st.integers(0, 4), st.integers(0, 4), st.booleans(), batches, seeds)
def test_crop(
    channels: int, height: int, width: int, less_high: int, less_wide: int, noadjust: bool, batch: int, seed: int
) -> None:
    x = images(batch, Shape(channels, height + less_high, width + less_wide), seed)
    layer = build(Crop, shape_of(x), crop_height=height, crop_width=width, noadjust=noadjust)
    expected = x[:, :, less_high // 2 :, less_wide // 2 :][:, :, :height, :width]
    close(forward(layer, x), expected if noadjust else 2 * expected.astype(np.float64) - 1)


@drawn
@given(few, sides, sides, st.integers(-4, 4).filter(bool), st.floats(-2, 2, width=32), batches, seeds)
def test_upsample(channels: int, height: int, width: int, stride: int, scale: float, batch: int, seed: int) -> None:
    height, width = max(height, -stride), max(width, -stride)
    x = images(batch, Shape(channels, height, width), seed)
    layer = build(Upsample, shape_of(x), stride=stride, scale=scale)
    wide = x.astype(np.float64)
    expected = np.empty((batch, *layer.out_shape.array_shape))
    for y, i in np.ndindex(expected.shape[2:]):
        if stride > 0:
            expected[:, :, y, i] = wide[:, :, y // stride, i // stride]
        else:
            top, left = -stride * y, -stride * i
            expected[:, :, y, i] = wide[:, :, top : top - stride, left : left - stride].sum(axis=(2, 3))
    close(forward(layer, x), scale * expected)


def reorganized(x: Array, s: int, reverse: bool) -> Array:
    """Darknet's loop over one image (channels, height, width), which takes memory for another shape than it has."""
    channels, height, width = x.shape
    part = channels // (s * s)
    small, large, output = x.ravel(), x.ravel(), np.empty(x.size, np.float32)
    for k, j, i in np.ndindex(channels, height, width):
        offset = k // part
        here = i + width * (j + height * k)
        there = i * s + offset % s + width * s * (j * s + offset // s + height * s * (k % part))
        if reverse:
            output[there] = small[here]
        else:
            output[here] = large[there]
    return output


@drawn
@given(few, few, few, st.integers(1, 3), st.booleans(), batches, seeds)
def test_reorg(part: int, height: int, width: int, stride: int, reverse: bool, batch: int, seed: int) -> None:
    shape = Shape(part * stride**2, height * stride, width * stride)
    x = images(batch, shape, seed)
    layer = build(Reorg, shape, stride=stride, reverse=reverse)
    sides = (part, height * stride**2, width * stride**2) if reverse else (part * stride**4, height, width)
    assert layer.out_shape == Shape(*sides)
    expected = [reorganized(image, stride, reverse).reshape(sides) for image in x]
    output = forward(layer, x)
    np.testing.assert_array_equal(output, np.array(expected).reshape(batch, *sides))
    back = build(Reorg, shape, stride=stride, reverse=not reverse)  # the same moves in memory, backwards
    np.testing.assert_array_equal(forward(back, output.reshape(x.shape)).reshape(x.shape), x)


@drawn
@given(sides, few, few, st.booleans(), st.integers(0, 5), batches, seeds)
def test_reorg_flatten_and_extra(
    channels: int, height: int, width: int, reverse: bool, extra: int, batch: int, seed: int
) -> None:
    x = images(batch, Shape(channels, height, width), seed)
    layer = build(Reorg, shape_of(x), flatten=True, reverse=reverse, extra=extra)
    cells = height * width
    expected = x.copy().reshape(batch, x[0].size if batch else channels * cells)
    for c, i in each(range(channels), range(cells)):
        if extra:
            break
        if reverse:
            expected[:, c * cells + i] = x.reshape(batch, channels * cells)[:, i * channels + c]
        else:
            expected[:, i * channels + c] = x.reshape(batch, channels * cells)[:, c * cells + i]
    expected = np.pad(expected, ((0, 0), (0, extra)))
    np.testing.assert_array_equal(forward(layer, x).reshape(batch, channels * cells + extra), expected)
    assert layer.out_shape == (Shape.flat(channels * cells + extra) if extra else shape_of(x))


# -- layers that read earlier ones -------------------------------------------------------------------------------


@drawn
@given(st.lists(few, min_size=1, max_size=3), sides, sides, st.booleans(), batches, seeds)
def test_route(channels: list[int], height: int, width: int, other: bool, batch: int, seed: int) -> None:
    shapes = [Shape(c, height, width + (other and number > 0)) for number, c in enumerate(channels)]
    inputs = [images(batch, shape, seed + number) for number, shape in enumerate(shapes)]
    layer = build(Route, *shapes, index=5, layers=tuple(range(len(shapes))))
    total = sum(shape.size for shape in shapes)
    image = len(shapes) == 1 or not other
    assert layer.out_shape == (Shape(sum(channels), height, width) if image else Shape.flat(total))
    expected = np.concatenate([x.reshape(batch, s.size) for x, s in zip(inputs, shapes, strict=True)], axis=1)
    np.testing.assert_array_equal(forward(layer, *inputs).reshape(batch, total), expected)


def test_route_counts_from_both_ends() -> None:
    assert Route(Route.Options(layers=(-1, 2, -3)), index=6).reads == (5, 2, 3)


def test_route_of_a_vector_is_a_vector() -> None:
    assert build(Route, Shape.flat(3), index=1, layers=(0,)).out_shape == Shape.flat(3)


SHORTCUTS = {
    "the same": ((3, 4, 6), (3, 4, 6)),
    "more channels there": ((2, 4, 6), (5, 4, 6)),
    "fewer channels there": ((5, 4, 6), (2, 4, 6)),
    "twice as large there": ((3, 4, 6), (2, 8, 12)),
    "half as large there": ((3, 4, 6), (4, 2, 3)),
    "three times as large and a rest": ((2, 2, 3), (2, 7, 11)),
    "a third and a rest": ((2, 7, 11), (2, 2, 3)),
    "one pixel there": ((2, 5, 5), (3, 1, 1)),
    "one pixel here": ((2, 1, 1), (3, 5, 5)),
}


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.7, -0.4)])
@pytest.mark.parametrize("what", SHORTCUTS)
def test_shortcut(what: str, alpha: float, beta: float, batch: int) -> None:
    here, there = (Shape(*sides) for sides in SHORTCUTS[what])
    x, earlier = images(batch, here, 1), images(batch, there, 2)
    layer = build(Shortcut, here, there, index=4, from_=-3, alpha=alpha, beta=beta, activation="leaky")
    assert layer.reads == (3, 1)
    expected = x.astype(np.float64)
    stride, sample = max(1, there.width // here.width), max(1, here.width // there.width)
    shared = (min(a, b) for a, b in zip(here.array_shape, there.array_shape, strict=True))
    for k, j, i in np.ndindex(*shared):
        added = beta * earlier[:, k, j * stride, i * stride].astype(np.float64)
        expected[:, k, j * sample, i * sample] = alpha * expected[:, k, j * sample, i * sample] + added
    close(forward(layer, x, earlier), activated(expected, "leaky"))


def test_dropout_passes_its_input_on() -> None:
    x = images(3, Shape(2, 3, 4))
    layer = build(Dropout, shape_of(x), probability=0.9)
    np.testing.assert_array_equal(forward(layer, x), x.copy())
    assert layer.output_bytes(3) == 0


# -- numbers to numbers ------------------------------------------------------------------------------------------


BREAKPOINTS = np.array([0, 1, 2, 3, 4, 5, 0.5, 1.5, 2.5, 20], np.float32)
PROBES = np.concatenate(
    [
        f(s * BREAKPOINTS)
        for s in (1, -1)
        for f in (np.float32, *(lambda x, to=to: np.nextafter(x, np.float32(to)) for to in (-np.inf, np.inf)))
    ]
)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_at_their_breakpoints(name: str) -> None:
    x = vector(*PROBES, -0.0)
    output = forward(build(Activation, shape_of(x), activation=name), x)
    np.testing.assert_allclose(output, activated(x, name), rtol=3e-7, atol=1e-7)


@drawn
@given(names, batches, seeds)
def test_activation(name: str, batch: int, seed: int) -> None:
    x = 3 * images(batch, Shape(3, 5, 7), seed)
    close(forward(build(Activation, shape_of(x), activation=name), x), activated(x, name), 1e-6)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_keep_nan_and_bear_infinity(name: str) -> None:
    x = vector(np.nan, np.inf, -np.inf, 3e38, -3e38, 1000, -1000)
    layer = build(Activation, shape_of(x), activation=name)
    with silent():
        output = forward(layer, x).ravel()
    assert np.isnan(output[0])
    if name != "stair":  # whose infinities are neither even nor odd
        assert not np.isnan(output[1:]).any()
    limits = {"logistic": (1, 0), "loggy": (1, -1), "tanh": (1, -1), "hardtan": (1, -1), "elu": (1000, -1)}
    if name in limits:
        assert tuple(output[-2:]) == limits[name]


def test_activate_in_place() -> None:
    x = np.array([-1, 2], np.float32)
    activate(x, x, ACTIVATIONS["relu"])
    np.testing.assert_array_equal(x, [0, 2])


def test_activations_are_known_by_fourteen_names() -> None:
    assert sorted(ACTIVATIONS) == sorted(FORMULAS)
    assert sorted(ACTIVATIONS.values()) == list(range(14))


@drawn
@given(st.integers(1, 12), few, few, st.integers(1, 14), batches, seeds)
def test_normalization(channels: int, height: int, width: int, size: int, batch: int, seed: int) -> None:
    alpha, beta, kappa = 0.02, 0.75, 1.5
    x = images(batch, Shape(channels, height, width), seed)
    layer = build(Normalization, shape_of(x), size=size, alpha=alpha, beta=beta, kappa=kappa)
    wide = x.astype(np.float64)
    expected = np.empty(x.shape)
    for c in range(channels):
        near = range(c - (size - 1) // 2, c + size // 2 + 1)
        squares = sum(wide[:, n] ** 2 for n in near if 0 <= n < channels)
        if size // 2 < channels:  # the channel that Darknet forgets
            squares -= wide[:, size // 2] ** 2
        expected[:, c] = wide[:, c] * (kappa + alpha * squares) ** -beta
    close(forward(layer, x), expected)


@drawn
@given(st.integers(1, 8), few, few, batches, seeds)
def test_l2norm(channels: int, height: int, width: int, batch: int, seed: int) -> None:
    x = images(batch, Shape(channels, height, width), seed)
    wide = x.astype(np.float64)
    close(forward(build(L2norm, shape_of(x)), x), wide / np.sqrt((wide**2).sum(axis=1, keepdims=True)))


def test_l2norm_of_zeros_is_nan() -> None:
    with silent():
        assert np.isnan(forward(build(L2norm, Shape(2)), vector(0, 0))).all()


# -- answers and losses ------------------------------------------------------------------------------------------


def soft(x: Any, temperature: float) -> Any:
    powers = np.exp((x - x.max(axis=-1, keepdims=True)) / temperature)
    return powers / powers.sum(axis=-1, keepdims=True)


@drawn
@given(sides, few, st.floats(0.25, 8, width=32), batches, seeds)
def test_softmax(size: int, groups: int, temperature: float, batch: int, seed: int) -> None:
    x = 4 * images(batch, Shape(size * groups), seed)
    layer = build(Softmax, shape_of(x), groups=groups, temperature=temperature)
    expected = soft(x.astype(np.float64).reshape(batch, groups, size), np.float64(temperature))
    output = forward(layer, x)
    assert layer.out_shape == Shape.flat(size * groups)
    close(output, expected.reshape(x.shape), 1e-6)
    np.testing.assert_allclose(output.reshape(batch, groups, size).sum(axis=2), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((1e30, 1e30, -1e30), (0.5, 0.5, 0)),
        ((3e38, -3e38), (1, 0)),
        ((-3e38, -3e38), (0.5, 0.5)),
        ((1000, 999), (0.7310586, 0.2689414)),
        ((0, -np.inf), (1, 0)),
    ],
)
def test_softmax_of_huge_scores(scores: tuple[float, ...], expected: tuple[float, ...]) -> None:
    x = vector(*scores)
    with silent():
        np.testing.assert_allclose(forward(build(Softmax, shape_of(x)), x).ravel(), expected, rtol=1e-5)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_softmax_does_not_hide_nan(place: int) -> None:
    x = vector(1, 2, 3)
    x[0, place] = np.nan
    with silent():
        assert np.isnan(forward(build(Softmax, shape_of(x)), x)).all()


def test_softmax_loss() -> None:
    x, truth = images(2, Shape(3)), np.array([[0, 1, 0], [0.5, 0, 2]], np.float32)
    layer = build(Softmax, Shape(3))
    p = soft(x.astype(np.float64).reshape(2, 3), 1.0)
    forward(layer, x, truth=truth)
    assert layer.loss == pytest.approx(-np.log([p[0, 1], p[1, 0], p[1, 2]]).sum())
    forward(layer, x)
    assert layer.loss is None
    quiet = build(Softmax, Shape(3), noloss=True)
    forward(quiet, x, truth=truth)
    assert quiet.loss == 0


def test_softmax_loss_of_an_impossible_class() -> None:
    layer = build(Softmax, Shape(2))
    forward(layer, vector(0, -1e4), truth=np.array([[0, 1]], np.float32))
    assert layer.loss == np.inf


@drawn
@given(sides, batches, seeds)
def test_logistic(size: int, batch: int, seed: int) -> None:
    x = 3 * images(batch, Shape(size), seed)
    truth = (images(batch, Shape(size), seed + 1).reshape(batch, size) > 0).astype(np.float32)
    layer = build(Logistic, shape_of(x))
    p = 1 / (1 + np.exp(-x.astype(np.float64)))
    close(forward(layer, x, truth=truth), p, 1e-6)
    q = p.reshape(truth.shape)
    assert layer.loss == pytest.approx(-np.log(np.where(truth == 1, q, 1 - q)).sum(), rel=1e-4, abs=1e-6)
    forward(layer, x)
    assert layer.loss is None


ERRORS: dict[str, Callable[[float, float], float]] = {
    "sse": lambda x, t: (t - x) ** 2,
    "seg": lambda x, t: (t - x) ** 2,
    "wgan": lambda x, t: (t - x) ** 2,
    "L1": lambda x, t: abs(t - x),
    "smooth": lambda x, t: (t - x) ** 2 if abs(t - x) < 1 else 2 * abs(t - x) - 1,
    "masked": lambda x, t: 0 if t == -1234 else (t - x) ** 2,
}


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("kind", ERRORS)
def test_cost(kind: str, batch: int) -> None:
    x, truth = images(batch, Shape(7)), 2 * images(batch, Shape(7), 5).reshape(batch, 7)
    truth[:, ::3] = -1234
    truth[:, 1] = x[:, 1, 0, 0] + np.float32(1)  # a distance of about 1, where "smooth" changes
    layer = build(Cost, Shape(7), type=kind)
    expected = np.vectorize(ERRORS[kind], otypes=[np.float64])(x.reshape(batch, 7), truth)
    output = forward(layer, x, truth=truth)
    np.testing.assert_allclose(output.reshape(batch, 7), expected, rtol=1e-5, atol=1e-6)
    assert layer.loss == pytest.approx(expected.sum(), rel=1e-6)
    np.testing.assert_array_equal(forward(layer, x), np.zeros_like(x))
    assert layer.loss is None


@pytest.mark.parametrize("kind", [Cost, Logistic, Softmax])
def test_truth_of_another_shape(kind: type[Layer]) -> None:
    layer = build(kind, Shape(3), index=4)
    message = rf"the truth has shape (2, 4); layer 4 [{layer.kind}] expected (2, 3): one row for each image"
    with pytest.raises(InputError, match=re.escape(message)):
        forward(layer, images(2, Shape(3)), truth=np.zeros((2, 4), np.float32))


# -- the examples in the files' docstrings -----------------------------------------------------------------------


def lines(*rows: str) -> Any:
    return picture(*rows)[0, 0]


def example(layer: Layer, *inputs: Array) -> Any:
    """The output for one image, without sides of 1."""
    return forward(layer, *inputs).squeeze()


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        pytest.param(
            lambda: example(build(Activation, Shape(4), activation="leaky"), vector(-2, -1, 0, 1)),
            [-0.2, -0.1, 0, 1],
            id="activation",
        ),
        pytest.param(
            lambda: example(build(Avgpool, Shape(1, 4, 4)), picture("1 3 2 0", "5 4 1 1", "0 2 7 8", "1 0 3 6")),
            2.75,
            id="avgpool",
        ),
        pytest.param(
            lambda: example(
                put(
                    build(Batchnorm, Shape(1, 1, 4)),
                    scales=[1],
                    biases=[0],
                    rolling_mean=[2.5],
                    rolling_variance=[1.25],
                ),
                picture("1 2 3 4"),
            ),
            [-1.34, -0.45, 0.45, 1.34],
            id="batchnorm",
        ),
        pytest.param(
            lambda: example(
                put(
                    build(Connected, Shape(3), output=2, activation="linear"),
                    weights=[[1, 0, 1], [0, 2, 0]],
                    biases=[0.5, -1],
                ),
                vector(1, 2, 3),
            ),
            [4 + 0.5, 4 - 1],
            id="connected",
        ),
        pytest.param(
            lambda: example(
                put(
                    build(Convolutional, Shape(1, 4, 4), size=3, activation="linear"),
                    weights=lines("1 0 0", "0 1 0", "0 0 1"),
                    biases=[0],
                ),
                picture("1 0 2 1", "0 1 0 2", "3 1 2 0", "1 0 1 1"),
            ),
            [[4, 0], [2, 4]],
            id="convolutional",
        ),
        pytest.param(
            lambda: example(
                build(Crop, Shape(1, 4, 4), crop_height=2, crop_width=2),
                picture("9 9 9 9", "9 0 1 9", "9 0.5 0.25 9", "9 9 9 9"),
            ),
            [[-1, 1], [0, -0.5]],
            id="crop",
        ),
        pytest.param(
            lambda: example(
                put(
                    build(Deconvolutional, Shape(1, 2, 2), size=2, activation="linear"),
                    weights=lines("1 1", "0 2"),
                    biases=[0],
                ),
                picture("1 2", "0 3"),
            ),
            [[1, 3, 2], [0, 5, 7], [0, 0, 6]],
            id="deconvolutional",
        ),
        pytest.param(lambda: example(build(Dropout, Shape(4)), vector(1, 2, 3, 4)), [1, 2, 3, 4], id="dropout"),
        pytest.param(lambda: example(build(L2norm, Shape(2)), vector(3, 4)), [0.6, 0.8], id="l2norm"),
        pytest.param(
            lambda: example(
                put(
                    build(Local, Shape(1, 2, 3), size=2, activation="linear"),
                    weights=[lines("1 0", "0 1"), lines("0 1", "1 0")],
                    biases=[0, 0],
                ),
                picture("1 2 3", "4 5 6"),
            ),
            [6, 8],
            id="local",
        ),
        pytest.param(lambda: example(build(Logistic, Shape(3)), vector(2, 0, -2)), [0.88, 0.5, 0.12], id="logistic"),
        pytest.param(
            lambda: example(
                build(Maxpool, Shape(1, 4, 4), stride=2), picture("1 3 2 0", "5 4 1 1", "0 2 7 8", "1 0 3 6")
            ),
            [[5, 2], [2, 8]],
            id="maxpool",
        ),
        pytest.param(
            lambda: example(build(Normalization, Shape(3), size=3, alpha=1.0, beta=1.0, kappa=1.0), vector(1, 2, 3)),
            [1 / (1 + 1), 2 / (1 + 1 + 9), 3 / (1 + 9)],
            id="normalization",
        ),
        pytest.param(
            lambda: example(
                build(Reorg, Shape(4, 2, 2), stride=2), np.arange(1, 17, dtype=np.float32).reshape(1, 4, 2, 2)
            ),
            [1, 3, 9, 11, 2, 4, 10, 12, 5, 7, 13, 15, 6, 8, 14, 16],
            id="reorg",
        ),
        pytest.param(
            lambda: example(build(Route, Shape(1), Shape(2), index=5, layers=(-1, 2)), vector(3), vector(1, 2)),
            [3, 1, 2],
            id="route",
        ),
        pytest.param(
            lambda: example(
                build(Shortcut, Shape(1, 2, 2), Shape(1, 2, 2), index=2, from_=0),
                picture("1 2", "3 4"),
                picture("10 20", "30 40"),
            ),
            [[11, 22], [33, 44]],
            id="shortcut",
        ),
        pytest.param(
            lambda: example(build(Softmax, Shape(4)), vector(2, 1, 0, 0)), [0.61, 0.22, 0.08, 0.08], id="softmax"
        ),
        pytest.param(
            lambda: example(build(Upsample, Shape(1, 2, 2)), picture("1 2", "3 4")),
            [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]],
            id="upsample",
        ),
        pytest.param(
            lambda: example(
                build(Upsample, Shape(1, 4, 4), stride=-2), picture("1 1 2 2", "1 1 2 2", "3 3 4 4", "3 3 4 4")
            ),
            [[4, 8], [12, 16]],
            id="upsample, negative",
        ),
    ],
)
def test_examples_in_docstrings(actual: Callable[[], Any], expected: Any) -> None:
    np.testing.assert_allclose(actual(), np.array(expected), atol=0.005, rtol=1e-6)


def test_cost_example_in_docstring() -> None:
    layer = build(Cost, Shape(3))
    output = forward(layer, vector(0.7, 0.2, 0.1), truth=np.array([[1, 0, 0]], np.float32))
    np.testing.assert_allclose(output.ravel(), [0.09, 0.04, 0.01], rtol=1e-5)
    assert layer.loss == pytest.approx(0.14)


# -- errors ------------------------------------------------------------------------------------------------------


NEEDS = "needs an image, but its input is 12 numbers without width and height"
PLACE = "<python>: [{kind}] (layer 5) "


@pytest.mark.parametrize(
    ("kind", "shapes", "options", "message"),
    [
        (
            Convolutional,
            [Shape(3, 4, 5)],
            {"size": 6},
            "has an empty output: 5 x 4 x 3 comes in, 0 x -1 x 1 would go out",
        ),
        (
            Maxpool,
            [Shape(3, 1, 1)],
            {"size": 2, "padding": 0},
            "has an empty output: 1 x 1 x 3 comes in, 0 x 0 x 3 would",
        ),
        (
            Deconvolutional,
            [Shape(2, 1, 1)],
            {"size": 2, "pad": True},
            "has an empty output: 1 x 1 x 2 comes in, 0 x 0 x 1",
        ),
        (Local, [Shape(1, 2, 2)], {"size": 3}, "has an empty output: 2 x 2 x 1 comes in, 0 x 0 x 1 would go out"),
        (Upsample, [Shape(1, 2, 2)], {"stride": -3}, "has an empty output: 2 x 2 x 1 comes in, 0 x 0 x 1 would go out"),
        (Upsample, [Shape(1, 2, 2)], {"stride": 0}, "stride=0 makes no picture; expected for example 2"),
        *((kind, [Shape.flat(12)], {}, NEEDS) for kind in (Avgpool, Batchnorm, Convolutional, Crop, Deconvolutional)),
        *((kind, [Shape.flat(12)], {}, NEEDS) for kind in (Local, Maxpool, Normalization, Reorg, Upsample)),
        (Shortcut, [Shape.flat(12), Shape(1)], {"from_": 0}, NEEDS),
        (Shortcut, [Shape(1), Shape.flat(12)], {"from_": 0}, NEEDS),
        (Convolutional, [Shape(3, 4, 5)], {"groups": 2}, "groups=2 does not divide the 3 channels of the input"),
        (Convolutional, [Shape(4, 4, 5)], {"groups": 2, "filters": 3}, "groups=2 does not divide the 3 filters"),
        (Softmax, [Shape(7)], {"groups": 2}, "groups=2 does not divide its 7 numbers"),
        (Softmax, [Shape(7)], {"temperature": 0.0}, "temperature=0 would divide by zero; expected for example 1"),
        (
            Crop,
            [Shape(3, 4, 5)],
            {"crop_height": 4, "crop_width": 6},
            "cannot cut 6 x 4 (width x height) out of 5 x 4 x 3",
        ),
        (Crop, [Shape(3, 4, 5)], {"crop_height": 5, "crop_width": 5}, "cannot cut 5 x 5 (width x height) out of 5 x 4"),
        (
            Shortcut,
            [Shape(2, 4, 4), Shape(2, 4, 8)],
            {"from_": 1},
            "cannot add layer 1 (8 x 4 x 2) to 4 x 4 x 2: width and height differ by another factor",
        ),
        (
            Reorg,
            [Shape(3, 4, 4)],
            {"stride": 2},
            "needs a number of channels that 4 divides, but its input is 4 x 4 x 3",
        ),
        (
            Reorg,
            [Shape(5, 4, 4)],
            {"stride": 2, "flatten": True, "reverse": True},
            "needs a number of channels that 4 divides, but its input is 4 x 4 x 5",
        ),
        (Reorg, [Shape(4, 3, 4)], {"stride": 2}, "stride=2 does not divide the sides of 4 x 3 x 4"),
        (Reorg, [Shape(3, 3, 3)], {"stride": 2, "flatten": True}, "stride=2 does not divide the sides of 3 x 3 x 3"),
        (
            Upsample,
            [Shape(512, 2048, 2048)],
            {"stride": 2},
            "is too large: its output would have 8,589,934,592 numbers, of 2,147,483,647 at most",
        ),
        (
            Connected,
            [Shape(2**20)],
            {"output": 2**20},
            "is too large: its weights would have 1,099,511,627,776 numbers, of 2,147,483,647 at most",
        ),
    ],
)
def test_layers_that_cannot_be(kind: type[Layer], shapes: list[Shape], options: dict[str, Any], message: str) -> None:
    with pytest.raises(CfgError, match=re.escape(PLACE.format(kind=kind.kind) + message)):
        build(kind, *shapes, index=5, **options)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (3, "layers=3 points to layer 3, not before this layer; expected -3 to 2"),
        (-4, "layers=-4 points to layer -1, before the first layer; expected -3 to 2"),
    ],
)
def test_route_to_no_earlier_layer(number: int, message: str) -> None:
    with pytest.raises(CfgError, match=re.escape("[route] (layer 3) " + message)):
        Route(Route.Options(layers=(0, number)), index=3)


def test_shortcut_from_the_first_layer() -> None:
    with pytest.raises(CfgError, match=re.escape("(layer 0) from=-1: no layer stands before the first one")):
        Shortcut(Shortcut.Options(from_=-1), index=0)


def test_an_error_names_file_and_line() -> None:
    text = "[net]\nheight=4\nwidth=4\nchannels=3\n[convolutional]\nsize=3\npad=1\ngroups=2\n"
    with pytest.raises(CfgError, match=re.escape("my.cfg:8: [convolutional] (layer 0) groups=2 does not divide")):
        Network.from_cfg(parse_cfg(text, "my.cfg"))


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("convolutional", {"xnor": True}, "xnor=1 asks for arithmetic with weights of two values"),
        ("convolutional", {"binary": True}, "binary=1 asks for arithmetic with weights of two values"),
        ("softmax", {"tree": "9k.tree"}, "tree= asks for a tree of classes"),
        ("yolo", {}, "[yolo] belongs to a detector"),
        ("gru", {}, "[gru] is recurrent"),
        ("crnn", {}, "[crnn] is recurrent"),
    ],
)
def test_layers_that_are_only_shown(kind: str, options: dict[str, Any], reason: str) -> None:
    layer = build(LAYERS[kind], Shape(1, 3, 3), **options)
    assert reason in layer.refusal()
    network = Network([layer], Shape(1, 3, 3))
    with pytest.raises(CfgError, match=re.escape(reason)):
        network.forward(images(1, Shape(1, 3, 3)))


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm", "crnn", "yolo", "region", "detection", "iseg"])
def test_layers_without_arithmetic(kind: str) -> None:
    layer = build(LAYERS[kind], Shape(1, 3, 3))
    with pytest.raises(CfgError, match=re.escape(f"[{kind}]")):
        layer.forward(images(1, Shape(1, 3, 3)), run=Run(np.empty(0, np.float32)))


def test_a_layer_made_for_one_input_size() -> None:
    layer = build(Connected, Shape(3, 4, 4), index=2, output=5)
    layer.connect(Shape(4, 4, 3))  # as many numbers
    with pytest.raises(CfgError, match=re.escape("is made for one input size: its weights have 5x48, not 5x75")):
        layer.connect(Shape(3, 5, 5))


def test_a_parameter_without_values() -> None:
    with pytest.raises(InputError, match=r"biases \(.*\) without values: load a weights file or draw random ones"):
        _ = Parameter("biases", (2,)).value


def test_initial_values() -> None:
    generator = np.random.default_rng(0)
    np.testing.assert_array_equal(Initial(constant=2).draw((3,), generator), [2, 2, 2])
    normal = Initial(constant=1, normal=0.5).draw((100, 100), generator)
    assert (normal.mean(), normal.std()) == (pytest.approx(1, abs=0.02), pytest.approx(0.5, abs=0.02))
    uniform = Initial(uniform=3).draw((100, 100), generator)
    assert (uniform.min(), uniform.max()) == (pytest.approx(-3, abs=0.01), pytest.approx(3, abs=0.01))
    assert uniform.dtype == np.float32


def test_every_layer_that_runs_is_tested_here() -> None:
    tested = {
        *(Activation, Avgpool, Batchnorm, Connected, Convolutional, Cost, Crop, Deconvolutional, Dropout, L2norm),
        *(Local, Logistic, Maxpool, Normalization, Reorg, Route, Shortcut, Softmax, Upsample),
    }
    assert {kind for kind in LAYERS.values() if kind.runs} == tested, "a new layer wants a test here, and its name"
