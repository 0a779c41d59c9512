"""The records of a trace: one for each stage of each layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minidarknet.kernels.survey import HIGH, LOW, ODD, SQUARES, SUM, ZEROS, sampled_histogram, survey
from minidarknet.layers.base import Layer
from minidarknet.layers.parameter import Array
from minidarknet.network import Network
from minidarknet.shapes import Shape
from minidarknet.trace.inputs import odd_range

#: The version of what `Trace.as_dict` gives; see docs/trace.md.
SCHEMA = 1
#: Bars of a histogram, and how many numbers it is drawn from: some, at even distances, as all would take too long.
BARS, SAMPLE = 16, 2048
#: Activations whose curve is flat at both ends, and from where on a number counts as saturated.
SATURATED = {"logistic": (0.01, 0.99), "tanh": (-0.99, 0.99), "loggy": (-0.99, 0.99), "hardtan": (-1.0, 1.0)}


@dataclass
class Stage:
    """What one stage of a layer has made of a batch.

    Attributes
    ----------
    layer, kind, name
        The layer's number and kind; the stage: products, normalised, scale and bias, leaky, maxpool, ...
    inputs, shape
        Shapes of what the layer reads, and of this array, (images, channels, height, width).
    parameters, flops, bytes
        Of the layer, at its first stage, else 0: learned numbers, operations for one image by Darknet's count, and
        bytes of its inputs, outputs and parameters, each once, for the batch.
    seconds
        The median time of the stage; None where nothing was timed.
    minimum, maximum, mean, std
        Of the finite numbers; 0 where there are none.
    zeros, saturated
        Shares of the numbers that are 0, or at the flat ends of an activation.
    dead
        Channels that are the same everywhere in the batch.
    non_finite, first_non_finite
        How many numbers are NaN or infinite, and the place of the first, (image, channel, row, column).
    histogram
        Counts of a sample of the numbers, in equal bars from the minimum to the maximum.
    array
        A copy of the array, where it was kept.
    """

    layer: int
    kind: str
    name: str
    inputs: list[tuple[int, ...]]
    shape: tuple[int, ...]
    parameters: int
    flops: int
    bytes: int
    seconds: float | None
    minimum: float
    maximum: float
    mean: float
    std: float
    zeros: float
    saturated: float
    dead: list[int]
    non_finite: int
    first_non_finite: tuple[int, ...] | None
    histogram: list[int]
    array: Array | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        """As messages call it: `layer 4 [convolutional], scale and bias`."""
        return f"layer {self.layer} [{self.kind}], {self.name}"

    def as_dict(self) -> dict[str, Any]:
        """Everything but the array, as plain values."""
        values = asdict(Stage(**{**self.__dict__, "array": None}))
        del values["array"]
        return values


@dataclass
class Trace:
    """A run of a network, stage by stage.

    Attributes
    ----------
    cfg
        The network's path.
    input
        What went in, (images, channels, height, width).
    stages
        In their order.
    """

    cfg: str
    input: Array
    stages: list[Stage]

    @property
    def output(self) -> Stage:
        return self.stages[-1]

    def as_dict(self) -> dict[str, Any]:
        """Everything but the arrays, as plain values."""
        return {
            "schema": SCHEMA,
            "cfg": self.cfg,
            "input": list(self.input.shape),
            "doubt": odd_range(self.input),
            "stages": [stage.as_dict() for stage in self.stages],
        }


def trace(network: Network, x: ArrayLike, keep: bool = True, runs: int = 3) -> Trace:
    """Run a network and record every stage.

    Parameters
    ----------
    network
        With values for all parameters.
    x
        Images as `Network.steps` takes them.
    keep
        Whether to keep a copy of every array.
    runs
        How many passes are timed first; 0 for none. The first pass of all, in which kernels may be compiled, is not.
    """
    images = network.as_batch(x)
    return Trace(network.path, images.copy(), list(stages(network, images, keep, runs)))


def stages(network: Network, images: Array, keep: bool = False, runs: int = 0) -> Iterator[Stage]:
    """The same, one record after the other, as the layers are run."""
    times = _times(network, images, runs)
    before: Layer | None = None
    for number, (layer, name, array) in enumerate(network.stages(images)):
        seconds = median(times[number]) if times else None
        read = [network.input_shape if index < 0 else network.layers[index].out_shape for index in layer.reads]
        yield describe(layer, name, array, read, layer is not before, seconds, keep)
        before = layer


def _times(network: Network, images: Array, runs: int) -> list[list[float]]:
    """The seconds of each stage in each of some passes, behind a first one that is not counted."""
    times: list[list[float]] = []
    for run in range(runs + 1 if runs else 0):
        start = perf_counter()
        for number, _ in enumerate(network.stages(images)):
            now = perf_counter()
            if run == 0:
                times.append([])
            else:
                times[number].append(now - start)
            start = perf_counter()
    return times


def describe(
    layer: Layer, name: str, array: Array, read: list[Shape], first: bool, seconds: float | None, keep: bool
) -> Stage:
    """The record of one stage; `read` are the shapes that its layer reads, `first` is the layer's first stage."""
    batch, channels = array.shape[:2]
    facts = np.empty((batch * channels, 6))
    with np.errstate(all="ignore"):  # numbers that are not finite are counted
        survey(facts, array.reshape(batch * channels, -1))
    totals = facts.sum(axis=0)
    odd = int(totals[ODD])
    count = max(array.size - odd, 1)
    mean, std = _moments(array, totals[SUM] / count, totals[SQUARES] / count)
    lows = facts[:, LOW].reshape(batch, channels).min(axis=0)
    highs = facts[:, HIGH].reshape(batch, channels).max(axis=0)
    low, high = (float(lows.min()), float(highs.max())) if odd < array.size else (0.0, 0.0)
    dead = [int(channel) for channel in np.flatnonzero(lows == highs)] if array.size > batch * channels else []
    histogram = np.empty(BARS, np.int64)
    sampled_histogram(histogram, array.reshape(-1), max(1, array.size // SAMPLE), low, high)
    parameters = sum(parameter.size for parameter in layer.parameters()) if first else 0
    numbers = batch * (sum(shape.size for shape in read) + layer.out_shape.size)
    return Stage(
        layer=layer.index,
        kind=layer.kind,
        name=name,
        inputs=[(batch, *shape.array_shape) for shape in read],
        shape=array.shape,
        parameters=parameters,
        flops=layer.flops() if first else 0,
        bytes=4 * (numbers + parameters) if first else 0,
        seconds=seconds,
        minimum=low,
        maximum=high,
        mean=mean,
        std=std,
        zeros=float(totals[ZEROS] / array.size),
        saturated=_saturated(name, array),
        dead=dead,
        non_finite=odd,
        first_non_finite=first_odd(array) if odd else None,
        histogram=histogram.tolist(),
        array=array.copy() if keep else None,
    )


def _moments(array: Array, mean: float, squares: float) -> tuple[float, float]:
    """Mean and deviation from the means of numbers and squares, unless these were too large for float32."""
    if math.isfinite(mean) and math.isfinite(squares):
        return float(mean), math.sqrt(max(squares - mean * mean, 0.0))
    some = array[np.isfinite(array)].astype(np.float64)
    return float(some.mean()), float(some.std())


def first_odd(array: Array) -> tuple[int, ...]:
    """The place of the first number that is not finite."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmin(np.isfinite(array).reshape(-1))), array.shape))


def sample(array: Array) -> NDArray[np.float32]:
    """Some finite numbers of an array, at even distances."""
    flat = array.reshape(-1)
    some = flat[:: max(1, flat.size // SAMPLE)]
    return some[np.isfinite(some)]


def _saturated(name: str, array: Array) -> float:
    if name not in SATURATED:
        return 0.0
    low, high = SATURATED[name]
    some = sample(array)
    return float(((some <= low) | (some >= high)).mean()) if some.size else 0.0
