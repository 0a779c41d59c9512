"""Proving a trace: every stage computed once more, from the recorded input, in float64 and as plainly as possible.

Nothing of the kernels is used here. What is compared is one stage at a time, so that an error does not travel: the
bound is for a single stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidarknet.layers.base import Layer
from minidarknet.network import Network
from minidarknet.trace.diff import difference
from minidarknet.trace.records import Stage, Trace

Numbers = NDArray[np.float64]
#: How far a stage may lie from its float64 value, as a share of its largest number.
BOUND = 1e-5
EPSILON, LOWEST = 1e-6, float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class Check:
    """One stage: how far it lies from its float64 value, absolute and as a share of its largest number.

    None where there is nothing to compare it with.
    """

    stage: Stage
    absolute: float | None
    relative: float | None

    def passed(self, bound: float) -> bool:
        return self.relative is None or self.relative <= bound


def verify(network: Network, run: Trace) -> list[Check]:
    """Check every stage of a trace that has kept its arrays, made with this network as it is now."""
    outputs: dict[int, Any] = {-1: run.input}
    checks: list[Check] = []
    before: Any = None
    for stage in run.stages:
        layer = network.layers[stage.layer]
        expected = _expected(layer, stage.name, [outputs[read] for read in layer.reads], before)
        if expected is None:
            checks.append(Check(stage, None, None))
        else:
            assert stage.array is not None
            found = difference(stage.name, expected.reshape(stage.array.shape), stage.array)
            checks.append(Check(stage, found.absolute, found.relative))
        before = stage.array
        outputs[stage.layer] = stage.array
    return checks


def _expected(layer: Layer, name: str, inputs: list[Any], before: Any) -> Numbers | None:
    """What a stage should be: of the layer's inputs, or of the stage before it."""
    if name in ("products", layer.kind):
        way = WAYS.get(layer.kind)
        return None if way is None else way(layer, [np.asarray(x, np.float64) for x in inputs])
    values = {p.name: p.value.astype(np.float64)[:, None, None] for p in layer.parameters() if p.name != "weights"}
    x = np.asarray(before, np.float64)
    if name == "normalised":
        return np.asarray((x - values["rolling_mean"]) / (np.sqrt(values["rolling_variance"]) + EPSILON))
    if name == "scale and bias":
        return np.asarray(values["scales"] * x + values["biases"])
    if name == "bias":
        return np.asarray(x + values["biases"])
    return curve(name, x)


# -- activations -----------------------------------------------------------------------------------------------------


def curve(name: str, x: Numbers) -> Numbers:
    """An activation, by its definition."""
    with np.errstate(over="ignore"):  # exp of a large number is infinite, and 1 / infinity the right 0
        logistic = 1 / (1 + np.exp(-x))
    power = np.expm1(np.minimum(x, 0))
    curves: dict[str, Callable[[], Any]] = {
        "linear": lambda: x,
        "logistic": lambda: logistic,
        "loggy": lambda: 2 * logistic - 1,
        "tanh": lambda: np.tanh(x),
        "relu": lambda: np.maximum(x, 0),
        "leaky": lambda: np.where(x > 0, x, 0.1 * x),
        "relie": lambda: np.where(x > 0, x, 0.01 * x),
        "ramp": lambda: np.where(x > 0, 1.1 * x, 0.1 * x),
        "elu": lambda: np.where(x >= 0, x, power),
        "selu": lambda: 1.0507 * np.where(x >= 0, x, 1.6732 * power),
        "plse": lambda: np.where(x < -4, 0.01 * (x + 4), np.where(x > 4, 0.01 * (x - 4) + 1, 0.125 * x + 0.5)),
        "hardtan": lambda: np.clip(x, -1, 1),
        "lhtan": lambda: np.where(x < 0, 0.001 * x, np.where(x > 1, 0.001 * (x - 1) + 1, x)),
        "stair": lambda: np.floor(x / 2) + (x - np.floor(x)) * (np.floor(x) % 2),
    }
    return np.asarray(curves[name]())


# -- layers ----------------------------------------------------------------------------------------------------------


def convolutional(layer: Any, inputs: list[Numbers]) -> Numbers:
    """Cell by cell of the window: a product of matrices for each."""
    o, p, (x,) = layer.options, layer.padding, inputs
    weights = layer.weights.value.astype(np.float64)
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    rows, columns = layer.out_shape.height, layer.out_shape.width
    sums = np.zeros((len(x), o.groups, o.filters // o.groups, rows * columns))
    for ky, kx in np.ndindex(o.size, o.size):
        seen = padded[:, :, ky : ky + rows * o.stride : o.stride, kx : kx + columns * o.stride : o.stride]
        seen = seen[:, :, :rows, :columns].reshape(len(x), o.groups, -1, rows * columns)
        sums += weights[:, :, ky, kx].reshape(o.groups, -1, weights.shape[1]) @ seen
    return sums


def connected(layer: Any, inputs: list[Numbers]) -> Numbers:
    return np.asarray(inputs[0].reshape(len(inputs[0]), -1) @ layer.weights.value.astype(np.float64).T)


def local(layer: Any, inputs: list[Numbers]) -> Numbers:
    """Place by place: the window there, with the filters and biases of that place."""
    o, p, out = layer.options, layer.options.pad, layer.out_shape
    weights = layer.weights.value.astype(np.float64).reshape(out.height * out.width, o.filters, -1)
    biases = layer.biases.value.astype(np.float64).reshape(o.filters, out.height, out.width)
    reach = o.size + o.stride  # with pad=1 and other sizes than 3, windows go further out than the padding
    padded = np.pad(inputs[0], ((0, 0), (0, 0), (p, p + reach), (p, p + reach)))
    sums = np.zeros((len(padded), o.filters, out.height, out.width))
    for y, x in np.ndindex(out.height, out.width):
        top, left = y * o.stride, x * o.stride
        seen = padded[:, :, top : top + o.size, left : left + o.size].reshape(len(padded), -1)
        sums[:, :, y, x] = seen @ weights[y * out.width + x].T
    return curve(o.activation, sums + biases)


def deconvolutional(layer: Any, inputs: list[Numbers]) -> Numbers:
    """Cell by cell of the filters: what each paints, all over the picture; then the padding is cut off."""
    o, p, (x,), out = layer.options, layer.padding, inputs, layer.out_shape
    weights = layer.weights.value.astype(np.float64)
    height, width = ((side - 1) * o.stride + o.size for side in x.shape[2:])
    painted = np.zeros((len(x), o.filters, height, width))
    for ky, kx in np.ndindex(o.size, o.size):
        share = np.tensordot(x, weights[:, :, ky, kx], axes=(1, 0)).transpose(0, 3, 1, 2)
        painted[:, :, ky :: o.stride, kx :: o.stride][:, :, : x.shape[2], : x.shape[3]] += share
    return painted[:, :, p : p + out.height, p : p + out.width]


def reorg(layer: Any, inputs: list[Numbers]) -> Numbers:
    """Number by number, by Darknet's own formula (blas.c, reorg_cpu and flatten)."""
    o, shape, (x,) = layer.options, layer.in_shape, inputs
    flat = x.reshape(len(x), -1)
    if o.extra:
        return np.concatenate([flat, np.zeros((len(x), o.extra))], axis=1)
    if o.flatten:
        order = np.arange(shape.size).reshape(shape.channels, -1).T.reshape(-1)  # channels innermost
        return flat[:, np.argsort(order) if o.reverse else order]
    s, part = o.stride, shape.channels // o.stride**2
    k, j, i = (axis.reshape(-1) for axis in np.indices(shape.array_shape))
    offset = k // part
    far = i * s + offset % s + shape.width * s * (j * s + offset // s + shape.height * s * (k % part))
    result = np.empty_like(flat)
    if o.reverse:
        result[:, far] = flat
    else:
        result[:] = flat[:, far]
    return result


def maxpool(layer: Any, inputs: list[Numbers]) -> Numbers:
    """Cell by cell of the window: the larger of what was and what is there."""
    stride, before, out = layer.options.stride, layer.padding // 2, layer.out_shape
    reach = [(side - 1) * stride + layer.size for side in (out.height, out.width)]
    padded = np.full((*inputs[0].shape[:2], *reach), LOWEST)
    part = inputs[0][:, :, : reach[0] - before, : reach[1] - before]
    padded[:, :, before : before + part.shape[2], before : before + part.shape[3]] = part
    largest = np.full((*padded.shape[:2], out.height, out.width), LOWEST)
    for ky, kx in np.ndindex(layer.size, layer.size):
        cells = padded[:, :, ky : ky + out.height * stride : stride, kx : kx + out.width * stride : stride]
        largest = np.maximum(largest, cells[:, :, : out.height, : out.width])
    return largest


def softmax(layer: Any, inputs: list[Numbers]) -> Numbers:
    x = inputs[0].reshape(len(inputs[0]), layer.options.groups, -1)
    powers = np.exp((x - x.max(axis=2, keepdims=True)) / layer.options.temperature)
    return np.asarray(powers / powers.sum(axis=2, keepdims=True))


def shortcut(layer: Any, inputs: list[Numbers]) -> Numbers:
    o, own = layer.options, inputs[0].copy()
    channels, height, width = (min(a, b) for a, b in zip(own.shape[1:], inputs[1].shape[1:], strict=True))
    step, sample = layer.stride, layer.sample
    mine = own[:, :channels, : height * sample : sample, : width * sample : sample]
    mine[:] = o.alpha * mine + o.beta * inputs[1][:, :channels, : height * step : step, : width * step : step]
    return curve(o.activation, own)


def upsample(layer: Any, inputs: list[Numbers]) -> Numbers:
    o, (x,) = layer.options, inputs
    factor = abs(o.stride)
    if o.stride > 0:
        return np.asarray(o.scale * x.repeat(factor, axis=2).repeat(factor, axis=3))
    height, width = layer.out_shape.height, layer.out_shape.width
    total = np.zeros((*x.shape[:2], height, width))
    for ky, kx in np.ndindex(factor, factor):
        total += x[:, :, ky : height * factor : factor, kx : width * factor : factor]
    return o.scale * total


def batchnorm(layer: Any, inputs: list[Numbers]) -> Numbers:
    scales, mean, variance = (p.value.astype(np.float64)[:, None, None] for p in layer.batch_norm)
    return np.asarray(scales * (inputs[0] - mean) / (np.sqrt(variance) + EPSILON))


def normalization(layer: Any, inputs: list[Numbers]) -> Numbers:
    o, (x,) = layer.options, inputs
    before, after, channels = (o.size - 1) // 2, o.size // 2, x.shape[1]
    squares = np.stack(
        [np.square(x[:, max(0, c - before) : c + after + 1]).sum(axis=1) for c in range(channels)], axis=1
    )
    if after < channels:
        squares -= np.square(x[:, after : after + 1])
    with np.errstate(invalid="ignore"):
        return np.asarray(x * (o.kappa + o.alpha * squares) ** -o.beta)


def crop(layer: Any, inputs: list[Numbers]) -> Numbers:
    out, shape = layer.out_shape, layer.in_shape
    top, left = (shape.height - out.height) // 2, (shape.width - out.width) // 2
    window = inputs[0][:, :, top : top + out.height, left : left + out.width]
    return window if layer.options.noadjust else 2 * window - 1


WAYS: dict[str, Callable[[Any, list[Numbers]], Numbers]] = {
    "convolutional": convolutional,
    "connected": connected,
    "deconvolutional": deconvolutional,
    "local": local,
    "reorg": reorg,
    "maxpool": maxpool,
    "avgpool": lambda layer, inputs: np.asarray(inputs[0].mean(axis=(2, 3))),
    "softmax": softmax,
    "route": lambda layer, inputs: np.concatenate([x.reshape(len(x), -1) for x in inputs], axis=1),
    "shortcut": shortcut,
    "dropout": lambda layer, inputs: inputs[0],
    "upsample": upsample,
    "batchnorm": batchnorm,
    "normalization": normalization,
    "crop": crop,
    "activation": lambda layer, inputs: curve(layer.options.activation, inputs[0]),
    "logistic": lambda layer, inputs: curve("logistic", inputs[0]),
    "l2norm": lambda layer, inputs: np.asarray(inputs[0] / np.sqrt(np.square(inputs[0]).sum(axis=1, keepdims=True))),
    "cost": lambda layer, inputs: np.zeros_like(inputs[0]),
}
