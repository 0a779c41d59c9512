"""The loss's gradient by one output number: what each layer that has read the number adds to it.

The pass is one of learning (`learning.py`): batch norm takes the picture's own mean and variance, dropout and random
crops are drawn from seed 0. So the number may be another than when predicting. Nothing of the network is changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minidarknet.errors import InputError, UsageError
from minidarknet.explain import back_moves as moves
from minidarknet.explain import back_norms as norms
from minidarknet.explain import readers
from minidarknet.explain.places import INPUT, Place
from minidarknet.explain.readers import BackTerm, Reader
from minidarknet.explain.terms import BOUND, add_up
from minidarknet.layers.batchnorm import Batchnorm
from minidarknet.layers.finish import Finished
from minidarknet.layers.parameter import Array
from minidarknet.learning import LOSSES, Learner, asked, check_loss
from minidarknet.network import Network

KINDS: dict[str, Callable[[Reader, Place], list[BackTerm]]] = {
    "activation": moves.activation,
    "avgpool": moves.avgpool,
    "batchnorm": norms.batchnorm,
    "connected": readers.connected,
    "convolutional": readers.convolutional,
    "cost": moves.cost,
    "crop": moves.crop,
    "deconvolutional": readers.deconvolutional,
    "dropout": moves.dropout,
    "l2norm": norms.l2norm,
    "local": readers.local,
    "logistic": moves.logistic,
    "maxpool": moves.maxpool,
    "normalization": norms.normalization,
    "reorg": moves.reorg,
    "route": moves.route,
    "shortcut": moves.shortcut,
    "softmax": moves.softmax,
    "upsample": moves.upsample,
}


@dataclass(frozen=True)
class Gradient:
    """The loss's gradient by one number, explained.

    Attributes
    ----------
    place, kind
        Where the number stands, and its layer's kind.
    number
        What it is in this pass.
    loss
        Of the picture.
    terms
        What the layers that have read it add.
    learned
        The gradient that learning has computed, in float32.
    inward
        What the layer has made of it: the gradient by the product, before batch norm and activation; None elsewhere.
    size
        What rounding is measured by.
    """

    place: Place
    kind: str
    number: float
    loss: float
    terms: list[BackTerm]
    learned: float
    inward: float | None
    size: float

    @property
    def value(self) -> float:
        """The sum of the terms, in float64."""
        return add_up([term.product for term in self.terms])

    @property
    def off(self) -> float:
        return abs(self.value - self.learned)

    @property
    def bound(self) -> float:
        return BOUND * self.size

    @property
    def agrees(self) -> bool:
        return self.off <= self.bound

    def largest(self, count: int | None = None) -> list[BackTerm]:
        """The terms that add most first, of either sign."""
        return sorted(self.terms, key=lambda term: -abs(term.product))[:count]

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "place": [self.place.layer, *self.place.index],
            "kind": self.kind,
            "number": self.number,
            "loss": self.loss,
            "terms": [term.as_dict() for term in self.terms],
            "value": self.value,
            "learned": self.learned,
            "inward": self.inward,
            "off": self.off,
            "bound": self.bound,
            "agrees": self.agrees,
        }


def explain_back(network: Network, x: ArrayLike, truth: ArrayLike, place: Place) -> Gradient:
    """Explain the gradient by one number.

    Parameters
    ----------
    network
        With values for all parameters.
    x
        One picture, (channels, height, width) or a batch of one.
    truth
        (numbers,), of the losses.
    place
        In a layer that gradients go back to.

    Raises
    ------
    CfgError
        No layer has a loss, or one that has read the number is of a kind that `KINDS` does not have.
    UsageError
        No gradient goes back to that layer.
    InputError
        A batch norm has one number for each channel, from which no spread can be learned; the truth does not fit.
    """
    check_place(network, place)
    wanted = np.ascontiguousarray(truth, np.float32).reshape(1, -1)
    with _kept_as_it_is(network):
        learner = Learner(network, 1, quirks=False)
        outputs = {layer.index: output for layer, output in learner.forward_steps(x, wanted)}
        outputs[INPUT] = network.as_batch(x)
        before: dict[int, Array] = {}
        after: dict[int, Array] = {}
        last: tuple[int, Array] | None = None
        for layer, grad in learner.backward_steps():
            if last:
                after[last[0]] = last[1].copy()  # now it holds what that layer has made of it
            if place.layer in after:
                break
            before[layer.index], last = grad.copy(), (layer.index, grad)
        else:
            assert last is not None
            after[last[0]] = last[1].copy()
        terms: list[BackTerm] = []
        for layer in network.layers[place.layer + 1 :]:
            start = 0
            for position, read in enumerate(layer.reads):
                if read == place.layer and layer.index in before:
                    source, output = outputs[read][0], outputs[layer.index][0]
                    grads = before[layer.index][0], after[layer.index][0]
                    reader = Reader(layer, position, start, source, output, *grads, wanted[0])
                    with np.errstate(all="ignore"):
                        terms += KINDS[layer.kind](reader, place)
                start += outputs[read][0].size
        own = before[place.layer][0]
        layer = network.layers[place.layer]
        size = max(add_up([abs(term.product) for term in terms]), float(np.abs(own).max()))
        loss = network.loss
        return Gradient(
            place,
            layer.kind,
            float(outputs[place.layer][0][place.index]),
            math.nan if loss is None else loss,
            terms,
            float(own[place.index]),
            float(after[place.layer][0][place.index]) if isinstance(layer, Finished) else None,
            size,
        )


def check_place(network: Network, place: Place) -> None:
    """Raise where no gradient can be learned by numbers of that layer from one picture."""
    check_loss(network)
    reached = [index for index, wanted in enumerate(asked(network.layers)) if wanted]
    if place.layer not in reached:
        layer = network.layers[place.layer]
        raise UsageError(
            f"{place}: no gradient goes back to layer {place.layer} [{layer.kind}], as nothing is learned there or "
            f"before it; expected one of the layers {', '.join(map(str, reached))}"
        )
    for layer in network.layers:
        if place.layer in layer.reads and layer.kind not in KINDS:
            raise layer.error("cannot be explained: this kind of layer has no line in minidarknet/explain/back.py")
        norm = isinstance(layer, Batchnorm) or (isinstance(layer, Finished) and layer.batch_norm is not None)
        if norm and layer.out_shape.height * layer.out_shape.width < 2:
            raise InputError(
                f"{network.path}: layer {layer.index} [{layer.kind}] normalises by the batch, and one picture gives it "
                "a single number for each channel: no gradient can be learned from that"
            )


def truth_size(network: Network) -> int:
    """How many numbers a truth has; an error where no layer has a loss."""
    check_loss(network)
    losses = [layer for layer in network.layers if isinstance(layer, LOSSES)]
    silent = [layer for layer in losses if getattr(layer.options, "noloss", False)]  # they take any truth
    return next(layer.in_shape.size for layer in [*(layer for layer in losses if layer not in silent), *silent])


@contextmanager
def _kept_as_it_is(network: Network) -> Iterator[None]:
    """Undo what learning leaves behind: gradients, and rolling averages that have moved."""
    kept = [(parameter, parameter.array, parameter.grad) for _, parameter in network.parameters()]
    try:
        yield
    finally:
        for parameter, array, grad in kept:
            parameter.grad = grad
            if array is not None and parameter.array is not array:
                parameter.array = array
        network.detach()
