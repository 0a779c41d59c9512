"""One number of one layer: which terms it is made of, and which steps make it of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minidarknet.errors import InputError
from minidarknet.explain.curves import activate
from minidarknet.explain.inputs import Input
from minidarknet.explain.moves import avgpool, cost, crop, maxpool, reorg, route, same, shortcut, upsample
from minidarknet.explain.norms import batchnorm, l2norm, normalization, softmax
from minidarknet.explain.places import INPUT, Place
from minidarknet.explain.sums import connected, convolutional, deconvolutional, local
from minidarknet.explain.terms import Explanation, Working
from minidarknet.layers.parameter import Array
from minidarknet.network import Network

#: For each kind of layer, what its number is made of.
KINDS: dict[str, Callable[[Any, list[Input], Place], Working]] = {
    "activation": lambda layer, inputs, place: activate(same(layer, inputs, place), layer.options.activation),
    "avgpool": avgpool,
    "batchnorm": batchnorm,
    "connected": connected,
    "convolutional": convolutional,
    "cost": cost,
    "crop": crop,
    "deconvolutional": deconvolutional,
    "dropout": same,
    "l2norm": l2norm,
    "local": local,
    "logistic": lambda layer, inputs, place: activate(same(layer, inputs, place), "logistic"),
    "maxpool": maxpool,
    "normalization": normalization,
    "reorg": reorg,
    "route": route,
    "shortcut": shortcut,
    "softmax": softmax,
    "upsample": upsample,
}


@dataclass(frozen=True)
class Seen:
    """A forward pass of one picture, with all that the layers have put out.

    Attributes
    ----------
    network
        As it was run.
    outputs
        (channels, height, width) for each layer, and under -1 the input; copies.
    """

    network: Network
    outputs: dict[int, Array]


def see(network: Network, x: ArrayLike) -> Seen:
    """Run a network on one picture, (channels, height, width) or a batch of one, and keep everything."""
    outputs = {layer.index: output.copy() for layer, output in network.steps(x)}
    images = network.as_batch(x)
    if len(images) != 1:
        raise InputError(f"{len(images)} pictures to explain a number of; expected one")
    return Seen(network, {INPUT: images[0].copy(), **{index: output[0] for index, output in outputs.items()}})


def explain(seen: Seen, place: Place) -> Explanation:
    """Explain one number of a pass: in float64, from what the layer has read.

    Raises
    ------
    CfgError
        The layer is of a kind that `KINDS` does not have.
    """
    layer = seen.network.layers[place.layer]
    if layer.kind not in KINDS:
        raise layer.error("cannot be explained: this kind of layer has no line in minidarknet/explain/number.py")
    inputs = [Input(read, seen.outputs[read]) for read in layer.reads]
    with np.errstate(all="ignore"):  # what is not finite is told by the result
        working = KINDS[layer.kind](layer, inputs, place)
    kernel = float(seen.outputs[place.layer][place.index])
    return Explanation(place, layer.kind, working.terms, working.grid, working.steps, kernel)
