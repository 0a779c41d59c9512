"""Where a network looks: two ways to ask which part of a picture speaks for a class.

Grad-CAM    the maps of the last convolution, added up; each weighs what the class's score gains, on average over the
            map, when its numbers grow. One pass back. What is below 0 speaks for other classes, and is left out.
Occlusion   a grey patch moves over the picture: where it lies, what happens to the class's probability? Some dozens of
            passes, but no gradient, and nothing that is particular to convolutions.

Source: Selvaraju et al., Grad-CAM, 2017, https://arxiv.org/abs/1610.02391; Zeiler and Fergus, Visualizing and
Understanding Convolutional Networks, 2014, https://arxiv.org/abs/1311.2901.
"""

from __future__ import annotations

import numpy as np

from minidarknet.errors import InputError, UsageError
from minidarknet.layers.base import Layer
from minidarknet.layers.convolutional import Convolutional
from minidarknet.layers.logistic import Logistic
from minidarknet.layers.parameter import Array
from minidarknet.layers.softmax import Softmax
from minidarknet.learning import Learner, asked
from minidarknet.network import Network
from minidarknet.options import nearest
from minidarknet.prediction import Classifier

#: Places of the patch along the shorter side, about, and the pictures of one pass.
PLACES, BATCH = 8, 8


def find_class(net: Classifier, wish: str) -> int:
    """The number of a class by its name, or by the number itself where no class has such a name."""
    count = net.output_shape.size
    found = [index for index, name in enumerate(net.names) if name.casefold() == wish.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{wish!r} is the name of several classes: name one by its number, {_listed(found)}")
    number = wish.removeprefix("class ")
    if number.isdecimal() and int(number) < count:
        return int(number)
    raise UsageError(
        f"no class is called {wish!r}{nearest(wish, net.names)}; expected a name of --names, or a number "
        f"from 0 to {count - 1}"
    )


def _listed(numbers: list[int]) -> str:
    return " or ".join(map(str, numbers))


def last_map(network: Network) -> Convolutional:
    """The last convolution with a map: one of more than a single number for each channel."""
    for layer in reversed(network.layers):
        if isinstance(layer, Convolutional) and layer.out_shape.height * layer.out_shape.width > 1:
            return layer
    raise InputError(f"{network.path}: Grad-CAM needs a convolution, and there is none with more than one place")


def scores(network: Network) -> Layer:
    """The layer whose outputs are the classes' scores: the one before a softmax or a logistic layer."""
    last = network.output_layer
    if isinstance(last, (Softmax, Logistic)) and last.reads[0] >= 0:
        return network.layers[last.reads[0]]
    return last


def grad_cam(network: Network, image: Array, index: int) -> Array:
    """Grad-CAM of class `index` for one prepared picture.

    Parameters
    ----------
    network
        With values for all parameters.
    image
        (1, channels, height, width).
    index
        The class's number.

    Returns
    -------
    ndarray
        (rows, columns) of the last convolution's map, 0 or more; all 0 where nothing speaks for the class.

    Raises
    ------
    InputError
        There is no convolution with a map, or the way back to it is closed.
    """
    network.resize(*image.shape[2:])
    target, top = last_map(network), scores(network)
    between = network.layers[target.index + 1 : top.index + 1]
    for layer in between:
        if layer.kind == "batchnorm" or getattr(layer, "batch_norm", None):
            raise layer.error("normalises a batch behind the last map, through which Grad-CAM does not go back")
    if not asked(network.layers)[target.index]:
        raise target.error("gets no gradient (stopbackward): Grad-CAM cannot go back to it")
    before = [(parameter, parameter.grad) for _, parameter in network.parameters()]
    learner = Learner(network, 1, quirks=False)
    try:
        for _ in learner.forward_steps(image, None, training=False):
            pass
        wanted = np.zeros((1, *top.out_shape.array_shape), np.float32)
        wanted.reshape(-1)[index] = 1
        for layer, grad in learner.backward_steps({top.index: wanted}):
            if layer is target:
                weights = grad[0].mean(axis=(1, 2), dtype=np.float64)
                break
        maps = target.output[0].astype(np.float64)
    finally:
        for parameter, grad_before in before:
            parameter.grad = grad_before
        network.detach()
    return np.maximum(np.tensordot(weights, maps, 1), 0).astype(np.float32)


def occlusion(net: Classifier, image: Array, index: int) -> Array:
    """How much of class `index`'s probability is lost when a patch lies there, for one prepared picture.

    The patch has the picture's mean colour, and moves by half of its side.

    Returns
    -------
    ndarray
        (rows, columns), a number for each half of a patch: the mean loss over the patches that covered it; below 0
        where the probability grew.
    """
    height, width = image.shape[2:]
    step = -(-min(height, width) // PLACES)
    side = min(2 * step, height, width)
    places = [(y, x) for y in _places(height, side, step) for x in _places(width, side, step)]
    whole = float(net.probabilities(image)[0, index])
    paint = image[0].mean(axis=(1, 2))[:, None, None]
    lost, covered = np.zeros((height, width)), np.zeros((height, width))  # by pixels, as the last patches overlap more
    for start in range(0, len(places), BATCH):
        some = places[start : start + BATCH]
        pictures = np.repeat(image, len(some), axis=0)
        for picture, (y, x) in zip(pictures, some, strict=True):
            picture[:, y : y + side, x : x + side] = paint
        for (y, x), found in zip(some, net.probabilities(pictures)[:, index], strict=True):
            lost[y : y + side, x : x + side] += whole - float(found)
            covered[y : y + side, x : x + side] += 1
    blocks = np.add.reduceat(np.add.reduceat(lost / covered, _starts(height, step), 0), _starts(width, step), 1)
    sizes = np.outer(*(np.diff([*_starts(length, step), length]) for length in (height, width)))
    return (blocks / sizes).astype(np.float32)


def _starts(length: int, step: int) -> list[int]:
    return list(range(0, length, step))


def _places(length: int, side: int, step: int) -> list[int]:
    """Where a patch begins, such that the last one reaches the end."""
    return [*range(0, length - side, step), length - side]
