"""What often goes wrong in training, and how it shows: numbers that are not finite, dead layers, silent classes.

    the loss begins far from ln(classes)     an untrained network guesses: its loss is that of equal probabilities
    a layer is dead                          no gradient reaches it, so that it will never learn (mostly relu, all < 0)
    a step is huge                           far more than the usual 0.001 of the numbers that it changes
    a class is silent                        no picture is ever taken for it (few pictures of it, or wrong labels)

Each of them is found by a function that returns what it found, in words for who trains.
"""

from __future__ import annotations

import math

import numpy as np

from minidarknet.layers.base import Layer
from minidarknet.layers.parameter import Array
from minidarknet.layers.softmax import Softmax
from minidarknet.learning import Learner
from minidarknet.network import Network
from minidarknet.trace.training_records import USUAL, StepTrace
from minidarknet.validation import Validation

#: A first loss is far off when it is so many times larger or smaller than ln(classes).
FAR = 2.0
#: A step is huge when it is so many times longer than usual.
HUGE = 300.0


def all_finite(array: Array) -> bool:
    """Whether an array has no NaN and no infinity."""
    with np.errstate(all="ignore"):
        quick = np.isfinite(array.sum(dtype=np.float32))  # one pass, no copy; large numbers may overflow in a sum
    return bool(quick) or bool(np.isfinite(array).all())


def is_finite(network: Network, which: str) -> bool:
    """Whether the gradients ("gradient") or the numbers ("value") of all parameters are finite."""
    return all(
        all_finite(getattr(parameter, which))
        for _, parameter in network.parameters()
        if which == "value" or parameter.learns
    )


def non_finite_parameter(network: Network, learned: bool = False) -> str:
    """The first parameter with NaN or infinity, in words; empty where there is none. Or only of those that learn."""
    for layer, parameter in network.parameters():
        if (parameter.learns or not learned) and not all_finite(parameter.value):
            return f"{_first(parameter.value)} in the {parameter.name} of {_title(layer)}"
    return ""


def find_non_finite(learner: Learner, images: Array, truths: Array, seed: int) -> str:
    """Where the first NaN or infinity comes up in a pass that had some, in words.

    The pass is run again, layer by layer: numbers, outputs, then gradients on the way back. The gradients are lost.
    Rolling averages are no place to look: the pass has moved them already.
    """
    network = learner.network
    if place := non_finite_parameter(network, learned=True):
        return place
    if not all_finite(images):
        return f"{_first(images)} in the network's input"
    learner.zero_grad()
    for layer, output in learner.forward_steps(images, truths, seed):
        if not all_finite(output):
            return f"{_first(output)} in the output of {_title(layer)}"
        if layer.loss is not None and not math.isfinite(layer.loss):
            return f"{layer.loss:g}, the loss of {_title(layer)}: a right class has a probability of 0"
    for layer, grad in learner.backward_steps():
        if not all_finite(grad):
            return f"{_first(grad)} in the gradient by the output of {_title(layer)}"
    for layer, parameter in network.parameters():
        if parameter.learns and not all_finite(parameter.gradient):
            return f"{_first(parameter.gradient)} in the gradient of the {parameter.name} of {_title(layer)}"
    return "in a place that did not show again"


def dead_layers(learner: Learner) -> list[Layer]:
    """The layers whose gradients are all exactly 0, though others' are not; asked before the step clears them."""
    alive, dead = 0, []
    for layer in learner.layers:
        gradients = [parameter.gradient for parameter in layer.parameters() if parameter.learns]
        if gradients and learner.wanted[layer.index]:
            reached = any(grad.any() for grad in gradients)
            alive += reached
            if not reached:
                dead.append(layer)
    return dead if alive else []


def dead_in_words(dead: list[Layer]) -> str:
    """What to say of dead layers."""
    names = ", ".join(map(_title, dead))
    return (
        f"no gradient reaches {names}: {'it learns' if len(dead) == 1 else 'they learn'} nothing. Numbers that are all "
        "below 0 before a relu do that; look at the layers behind, take leaky or a lower learning rate"
    )


def large_update(record: StepTrace) -> str:
    """What is odd about the steps of a traced batch; empty where nothing is."""
    huge = [(layer.ratio, layer) for layer in record.layers if layer.ratio is not None and layer.ratio > HUGE * USUAL]
    if not huge:
        return ""
    ratio, layer = max(huge, key=lambda pair: pair[0])
    others = f" (and {len(huge) - 1} more)" if len(huge) > 1 else ""
    return (
        f"batch {record.batch:,}: the step of {layer.title} is {ratio:.3g} of the length of its numbers{others}, where "
        f"{USUAL:g} is usual: the learning rate ({record.rate:g}) is likely too high, or rises too fast (burn_in)"
    )


def dead_units(record: StepTrace) -> str:
    """The first layer of a traced batch whose units are all the same for every picture; empty where there is none."""
    dead = [layer for layer in record.layers if layer.norms and layer.same == layer.units]
    if not dead:
        return ""
    others = f" (and of {len(dead) - 1} more)" if len(dead) > 1 else ""
    return (
        f"batch {record.batch:,}: each unit of {dead[0].title} puts out one number for all pictures{others}, so that "
        "nothing behind can tell them apart. Take leaky for relu, or a lower learning rate"
    )


def far_first_loss(network: Network, loss: float) -> str:
    """What is odd about the first loss of a network that has learned nothing yet; empty where nothing is."""
    last = next((layer for layer in reversed(network.layers) if layer.loss is not None), None)
    if not isinstance(last, Softmax) or last.options.groups > 1 or last.options.noloss or last.in_shape.size < 2:
        return ""
    guess = math.log(last.in_shape.size)
    if guess / FAR <= loss <= guess * FAR:
        return ""
    return (
        f"the loss begins at {loss:.3g}, far from {guess:.3g}, which is ln({last.in_shape.size}) and what guessing "
        "gives. Are labels, the inputs' range, and the first weights as they should be?"
    )


def silent_classes(seen: Validation) -> list[str]:
    """The classes that have pictures, and that not one picture was taken for."""
    return [score.name for score in seen.scores() if score.pictures and not score.said]


def silent_in_words(names: list[str], pictures: int) -> str:
    """What to say of silent classes."""
    some = ", ".join(names[:8]) + (f" and {len(names) - 8:,} more" if len(names) > 8 else "")
    what = "class is" if len(names) == 1 else "classes are"
    return f"{len(names):,} {what} not predicted for any of {pictures:,} pictures, twice in a row: {some}"


class Silence:
    """Finds classes that are silent twice in a row (once is no wonder at the beginning), and names each once."""

    def __init__(self) -> None:
        self._silent, self._told = set[str](), set[str]()

    def look(self, seen: Validation) -> str:
        """What to say of a validation; empty where there is nothing new."""
        silent = silent_classes(seen)
        again = [name for name in silent if name in self._silent]
        new = not self._told.issuperset(again)
        self._silent = set(silent)
        self._told.update(again)
        return silent_in_words(again, seen.count) if new else ""


def _title(layer: Layer) -> str:
    return f"layer {layer.index} [{layer.kind}]"


def _first(array: Array) -> str:
    """The first number that is not finite, and its place."""
    place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    return f"{array[place]:g} at {list(place)}"
