"""Every layer's forward in training, once more: float64, NumPy, and as plainly as possible.

    twin = Twin(network, count)              takes the parameters' numbers, and what was drawn for the images
    found = twin.forward(x, truth)           found.outputs[i] of layer i; found.loss, the sum over all layers with one
    twin.forward(x, truth, {i: nudge})       the same with `nudge` added to the output of layer i

Nothing of the package computes here. What a layer has drawn (dropout, crop) is looked up in its own output.

A function with a kink has no gradient at it, and float32 may see a number on its other side. So every twin says which
`branches` it took, and how far, at the least, the nearest other branch was: its `margin`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minidarknet.layers.base import Layer
from minidarknet.layers.dropout import Dropout
from minidarknet.network import Network

LOWEST = -3.4028235e38
Forward = Callable[["Found", Any, dict[str, Any], list[Any]], Any]


class Found:
    """What a pass has found."""

    def __init__(self, truth: Any) -> None:
        self.truth = truth
        self.outputs: list[Any] = []
        self.loss = 0.0
        self.branches: list[Any] = []
        self.margin = np.inf

    def branch(self, taken: Any, distances: Any) -> None:
        self.branches.append(taken)
        self.margin = min(self.margin, float(np.min(distances, initial=np.inf)))

    def same_branches(self, other: Found) -> bool:
        return all(np.array_equal(a, b) for a, b in zip(self.branches, other.branches, strict=True))


class Twin:
    """The twin of a network that has just learned from `count` images."""

    def __init__(self, network: Network, count: int) -> None:
        self.layers = network.layers
        self.values = {
            (layer.index, parameter.name): parameter.value.astype(np.float64)
            for layer, parameter in network.parameters()
        }
        self.drawn = {layer.index: self._drawn(layer, count) for layer in network.layers}

    def _drawn(self, layer: Layer, count: int) -> Any:
        """What tells what a layer has drawn in its last forward: dropout's factors, and what was cut out."""
        if isinstance(layer, Dropout):
            size = count * layer.out_shape.size
            return layer.kept[size : 2 * size].astype(np.float64)
        return layer.output[:count].astype(np.float64) if layer.kind == "crop" else None

    def forward(self, x: Any, truth: Any = None, nudges: Mapping[int, Any] | None = None) -> Found:
        images = np.asarray(x, np.float64).reshape(len(x), *self.layers[0].in_shape.array_shape)
        found = Found(None if truth is None else np.asarray(truth, np.float64))
        for layer in self.layers:
            inputs = [images if read < 0 else found.outputs[read] for read in layer.reads]
            values = {name: array for (index, name), array in self.values.items() if index == layer.index}
            values["drawn"] = self.drawn[layer.index]
            output = TWINS[layer.kind](found, layer, values, inputs)
            output = output.reshape(len(x), *layer.out_shape.array_shape)
            if nudges and layer.index in nudges:
                output = output + nudges[layer.index]
            found.outputs.append(output)
        return found


# -- what stands behind a product --------------------------------------------------------------------------------


def piecewise(kinks: list[float], *pieces: Callable[[Any], Any]) -> tuple[list[float], Callable[[Any], Any]]:
    """A function of several pieces, each up to the next kink."""
    return kinks, lambda x: np.choose(sum((x > kink).astype(int) for kink in kinks), [piece(x) for piece in pieces])


def logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def line(slope: float, shift: float = 0) -> Callable[[Any], Any]:
    return lambda x: slope * x + shift


CURVES: dict[str, tuple[list[float], Callable[[Any], Any]]] = {
    "linear": ([], lambda x: x),
    "logistic": ([], logistic),
    "loggy": ([], lambda x: 2 * logistic(x) - 1),
    "tanh": ([], np.tanh),
    "relu": piecewise([0], line(0), line(1)),
    "leaky": piecewise([0], line(0.1), line(1)),
    "relie": piecewise([0], line(0.01), line(1)),
    "ramp": piecewise([0], line(0.1), line(1.1)),
    "elu": piecewise([0], lambda x: np.exp(np.minimum(x, 0)) - 1, line(1)),
    "selu": piecewise([0], lambda x: 1.0507 * 1.6732 * (np.exp(np.minimum(x, 0)) - 1), line(1.0507)),
    "plse": piecewise([-4, 4], line(0.01, 0.04), line(0.125, 0.5), line(0.01, 0.96)),
    "hardtan": piecewise([-1, 1], line(0, -1), line(1), line(0, 1)),
    "lhtan": piecewise([0, 1], line(0.001), line(1), line(0.001, 0.999)),
    "stair": (
        [float(kink) for kink in range(-60, 60)],
        lambda x: np.floor(x / 2) + (x - np.floor(x)) * (np.floor(x) % 2),
    ),
}


def activated(found: Found, name: str, x: Any) -> Any:
    kinks, curve = CURVES[name]
    for kink in kinks:
        found.branch(x > kink, np.abs(x - kink))
    return curve(x)


def normalized(values: dict[str, Any], x: Any) -> Any:
    """Batch norm of (batch, channels, height, width) by the batch itself, with the scales and no biases."""
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    variance = x.var(axis=(0, 2, 3), ddof=1, keepdims=True)
    return values["scales"][:, None, None] * (x - mean) / (np.sqrt(variance) + 1e-6)


def finished(found: Found, layer: Any, values: dict[str, Any], products: Any) -> Any:
    if "scales" in values:
        products = normalized(values, products)
    return activated(found, layer.options.activation, products + values["biases"][:, None, None])


# -- layers ------------------------------------------------------------------------------------------------------


def convolutional(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    o, weights = layer.options, values["weights"]
    padding = o.size // 2 if o.pad else o.padding
    padded = np.pad(inputs[0], ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    batch, filters, part = len(padded), len(weights), weights.shape[1]
    rows, columns = ((side - o.size) // o.stride + 1 for side in padded.shape[2:])
    products = np.zeros((batch, o.groups, filters // o.groups, rows * columns))
    for ky, kx in np.ndindex(o.size, o.size):
        seen = padded[:, :, ky : ky + rows * o.stride : o.stride, kx : kx + columns * o.stride : o.stride]
        seen = seen[:, :, :rows, :columns].reshape(batch, o.groups, part, rows * columns)
        products += weights[:, :, ky, kx].reshape(o.groups, -1, part) @ seen
    return finished(found, layer, values, products.reshape(batch, filters, rows, columns))


def connected(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    products = inputs[0].reshape(len(inputs[0]), -1) @ values["weights"].T
    return finished(found, layer, values, products[:, :, None, None])


def deconvolutional(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    o, (x,), weights = layer.options, inputs, values["weights"]
    padding = o.size // 2 if o.pad else o.padding
    batch, _, height, width = x.shape
    canvas = np.zeros((batch, o.filters, (height - 1) * o.stride + o.size, (width - 1) * o.stride + o.size))
    for y, i in np.ndindex(height, width):
        painted = np.tensordot(x[:, :, y, i], weights, 1)
        canvas[:, :, y * o.stride : y * o.stride + o.size, i * o.stride : i * o.stride + o.size] += painted
    cut = canvas[:, :, padding : canvas.shape[2] - padding, padding : canvas.shape[3] - padding]
    return finished(found, layer, values, cut)


def local(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    o, (x,), weights = layer.options, inputs, values["weights"]
    around = (o.pad, o.pad + o.size)  # with pad, windows may reach out further than it
    padded = np.pad(x, ((0, 0), (0, 0), around, around))
    out = layer.out_shape
    sums = np.empty((len(x), *out.array_shape))
    for place, (y, i) in enumerate(np.ndindex(out.height, out.width)):
        window = padded[:, None, :, y * o.stride : y * o.stride + o.size, i * o.stride : i * o.stride + o.size]
        sums[:, :, y, i] = (window * weights[place]).sum(axis=(2, 3, 4))
    return activated(found, o.activation, sums + values["biases"].reshape(out.array_shape))


def batchnorm(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    return normalized(values, inputs[0]) + values["biases"][:, None, None]


def maxpool(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    o, (x,), out = layer.options, inputs, layer.out_shape
    size = o.size or o.stride
    padding = size - 1 if o.padding < 0 else o.padding
    result = np.empty((len(x), *out.array_shape))
    for y, i in np.ndindex(out.height, out.width):
        top, left = y * o.stride - padding // 2, i * o.stride - padding // 2
        window = x[:, :, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)]
        cells = np.sort(window.reshape(*x.shape[:2], -1), axis=2)
        if cells.shape[2] == 0:
            result[:, :, y, i] = LOWEST
            continue
        result[:, :, y, i] = cells[:, :, -1]
        if cells.shape[2] > 1:
            winner = window.reshape(*x.shape[:2], -1).argmax(axis=2)
            found.branch(winner, cells[:, :, -1] - cells[:, :, -2])
    return result


def avgpool(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    return inputs[0].mean(axis=(2, 3))


def route(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    return np.concatenate([x.reshape(len(x), -1) for x in inputs], axis=1)


def shortcut(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    """Cell by cell, as the definition says: what both have is added, all else of `own` is copied."""
    o, (own, earlier) = layer.options, inputs
    result = own.copy()
    stride = max(1, earlier.shape[3] // own.shape[3])
    sample = max(1, own.shape[3] // earlier.shape[3])
    channels, height, width = (min(a, b) for a, b in zip(own.shape[1:], earlier.shape[1:], strict=True))
    for c, y, x in np.ndindex(channels, height, width):
        mine = own[:, c, y * sample, x * sample]
        result[:, c, y * sample, x * sample] = o.alpha * mine + o.beta * earlier[:, c, y * stride, x * stride]
    return activated(found, o.activation, result)


def upsample(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    o, (x,), out = layer.options, inputs, layer.out_shape
    result = np.zeros((len(x), *out.array_shape))
    if o.stride > 0:
        for y, i in np.ndindex(out.height, out.width):
            result[:, :, y, i] = o.scale * x[:, :, y // o.stride, i // o.stride]
    else:
        for y, i in np.ndindex(out.height * -o.stride, out.width * -o.stride):
            result[:, :, y // -o.stride, i // -o.stride] += o.scale * x[:, :, y, i]
    return result


def reorg(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    """Darknet's loops: the places of the numbers, worked out one by one."""
    o, (x,) = layer.options, inputs
    batch, channels, height, width = x.shape
    flat = x.reshape(batch, -1)
    if o.extra:
        return np.concatenate([flat, np.zeros((batch, o.extra))], axis=1)
    result = np.empty_like(flat)
    for c, y, i in np.ndindex(channels, height, width):
        here = (c * height + y) * width + i
        if o.flatten:
            there = (y * width + i) * channels + c
            if o.reverse:  # the numbers come as row, column, channel
                here, there = there, here
            result[:, there] = flat[:, here]
            continue
        part = channels // o.stride**2
        row, column = y * o.stride + c // part // o.stride, i * o.stride + c // part % o.stride
        there = (c % part * height * o.stride + row) * width * o.stride + column
        if o.reverse:
            result[:, there] = flat[:, here]
        else:
            result[:, here] = flat[:, there]
    return result


def crop(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    """The window, perhaps mirrored, that comes nearest to the layer's own output."""
    (x,), out, best = inputs, layer.out_shape, []
    for top, left in np.ndindex(x.shape[2] - out.height + 1, x.shape[3] - out.width + 1):
        window = x[:, :, top : top + out.height, left : left + out.width]
        window = window if layer.options.noadjust else 2 * window - 1
        for candidate in (window, window[..., ::-1]) if layer.options.flip else (window,):
            best.append((np.abs(candidate - values["drawn"]).max(), len(best), candidate))
    off, _, nearest = min(best, key=lambda entry: entry[:2])
    assert off < 1e-3, "what was cut out is no window of the picture"
    return nearest


def dropout(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    return inputs[0] * values["drawn"].reshape(inputs[0].shape)


def normalization(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    o, (x,) = layer.options, inputs
    before, after = (o.size - 1) // 2, o.size // 2
    squares = np.zeros_like(x)
    for c in range(x.shape[1]):
        for neighbour in range(max(0, c - before), min(x.shape[1], c + after + 1)):
            squares[:, c] += x[:, neighbour] ** 2
    if after < x.shape[1]:
        squares -= x[:, after : after + 1] ** 2
    return x * (o.kappa + o.alpha * squares) ** -o.beta


def l2norm(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    return inputs[0] / np.sqrt((inputs[0] ** 2).sum(axis=1, keepdims=True))


def activation(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    return activated(found, layer.options.activation, inputs[0])


# -- losses ------------------------------------------------------------------------------------------------------


def softmax(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    o, x = layer.options, inputs[0].reshape(len(inputs[0]), layer.options.groups, -1)
    powers = np.exp((x - x.max(axis=2, keepdims=True)) / o.temperature)
    p = (powers / powers.sum(axis=2, keepdims=True)).reshape(len(x), -1)
    if found.truth is not None and not o.noloss:
        found.loss -= np.log(p[found.truth != 0]).sum()
    return p


def logistic_layer(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    p = logistic(inputs[0].reshape(len(inputs[0]), -1))
    if found.truth is not None:
        found.loss -= (found.truth * np.log(p) + (1 - found.truth) * np.log(1 - p)).sum()
    return p


def cost(found: Found, layer: Any, values: dict[str, Any], inputs: list[Any]) -> Any:
    """The loss whose derivative Darknet takes is half the one that it prints, where that is a square."""
    if found.truth is None:
        return np.zeros_like(inputs[0])
    o, off = layer.options, inputs[0].reshape(len(inputs[0]), -1) - found.truth
    if o.type == "masked":
        off = np.where(found.truth == -1234, 0, off)
    distance = np.abs(off)
    printed, learned = distance**2, distance**2 / 2
    if o.type == "L1":
        found.branch(off > 0, distance)
        printed = learned = distance
    elif o.type == "smooth":
        found.branch(distance < 1, np.abs(distance - 1))
        printed = np.where(distance < 1, printed, 2 * distance - 1)
        learned = np.where(distance < 1, learned, distance - 0.5)
    found.loss += o.scale * learned.sum()
    return printed


TWINS: dict[str, Forward] = {
    "convolutional": convolutional,
    "connected": connected,
    "deconvolutional": deconvolutional,
    "local": local,
    "batchnorm": batchnorm,
    "maxpool": maxpool,
    "avgpool": avgpool,
    "route": route,
    "shortcut": shortcut,
    "upsample": upsample,
    "reorg": reorg,
    "crop": crop,
    "dropout": dropout,
    "normalization": normalization,
    "l2norm": l2norm,
    "activation": activation,
    "softmax": softmax,
    "logistic": logistic_layer,
    "cost": cost,
}
