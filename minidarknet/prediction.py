"""From a picture to class names: a network together with its names and its way to prepare pictures."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from minidarknet import weights as weights_file
from minidarknet import zoo
from minidarknet.errors import CfgWarning, InputError, NonFiniteError, UsageError
from minidarknet.labelled import read_lines
from minidarknet.layers.base import Run
from minidarknet.layers.parameter import Array
from minidarknet.network import Network
from minidarknet.preprocess import PREPROCESSES, check_preprocess, prepare

if TYPE_CHECKING:
    from minidarknet.trace.records import Trace

K = TypeVar("K")


@dataclass(frozen=True)
class Prediction:
    """One class and how probable the network finds it."""

    name: str
    probability: float
    index: int


class Classifier(Network):
    """A network that classifies pictures; made by `load`.

    Attributes
    ----------
    names
        The name of each class.
    preprocess
        One of `PREPROCESSES`: how a picture is brought to the network.
    header
        The header of the weights file; None with random weights.
    home
        The input that the cfg describes, whatever the network has been resized to since.
    """

    names: Sequence[str] = ()
    preprocess: str = "fit"
    header: weights_file.Header | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.home = self.input_shape

    def predict(self, image: Array, top: int = 5) -> list[Prediction]:
        """The most probable classes of one picture.

        Parameters
        ----------
        image
            float32 (channels, height, width) of any size, in 0..1, as `read_image` gives it.
        top
            How many classes to return.

        Returns
        -------
        list of Prediction
            Most probable first; equal ones in the order of their numbers.
        """
        return self.rank(self.probabilities(self.prepare(image)[None])[0], top)

    def prepare(self, image: Array, way: str | None = None, margin: int = 0) -> Array:
        """The picture as the network gets it, float32 (channels, height, width).

        `way` is another than `preprocess`; with a margin the picture is made for an input that much higher and wider.
        """
        way = way or self.preprocess
        self.check_preprocess(way)
        image = np.asarray(image)
        if not np.issubdtype(image.dtype, np.floating):
            raise InputError(
                f"the picture has numbers of type {image.dtype}; expected float32 in 0..1 (see read_image)"
            )
        if image.ndim != 3 or len(image) != self.home.channels:
            raise InputError(
                f"the picture has shape {image.shape}; {self.path} expected (channels, height, width) "
                f"with {self.home.channels} channels"
            )
        height, width = self.home.height + margin, self.home.width + margin
        return prepare(image.astype(np.float32, copy=False), way, height, width)

    def check_preprocess(self, way: str | None = None) -> None:
        """Raise where the network takes no pictures, or takes one size only and they are to keep their proportions."""
        if not self.home.is_image:
            raise InputError(f"{self.path} takes {self.home}, not pictures")
        if (way or self.preprocess) == "fit" and self.why_not_fit:
            others = ", ".join(name for name in PREPROCESSES if name != "fit")
            raise UsageError(
                f"fit keeps the whole picture and resizes the network to it, which {self.path} does not allow: "
                f"{self.why_not_fit}. Choose another --preprocess: {others}"
            )

    @cached_property
    def why_not_fit(self) -> str:
        """Why this network takes pictures of one size only; empty where it takes any.

        Found out by resizing it and back, which takes no memory, but drops its buffers: so this is done once.
        """
        now, outputs = self.input_shape, self.output_shape
        try:
            self.resize(2 * now.height, 2 * now.width)
        except InputError as error:
            return str(error)
        grown = self.output_shape
        self.resize(now.height, now.width)
        return "" if grown.size == outputs.size else f"its answer would grow from {outputs} to {grown}"

    def probabilities(self, images: Array, truth: Array | None = None) -> Array:
        """What the network says of prepared pictures (batch, channels, height, width): (batch, classes), a copy.

        With a truth (batch, classes), `loss` is that of these pictures afterwards.

        Raises
        ------
        NonFiniteError
            A layer put out NaN or infinity; the message names the first.
        """
        answers = self.forward(images, truth).reshape(len(images), -1).copy()
        if not np.isfinite(answers).all():
            for layer, output in self.steps(images):
                if not np.isfinite(output).all():
                    raise NonFiniteError(f"{self.path}: layer {layer.index} [{layer.kind}] puts out NaN or infinity")
        return answers

    def trace(self, x: ArrayLike, keep: bool = True, runs: int = 3) -> Trace:
        """Every stage of every layer, with its numbers: `minidarknet.trace.trace` for prepared pictures of any size."""
        from minidarknet.trace.records import trace  # which stands on this floor too, and need not be there to predict

        shape = np.shape(x)
        if self.home.is_image and len(shape) in (3, 4):
            self.resize(*shape[-2:])
        return trace(self, x, keep, runs)

    def _begin(self, x: ArrayLike, truth: ArrayLike | None, folded: bool) -> tuple[Array, Run]:
        """As any network, and for pictures of any size that the network can be resized to."""
        shape = np.shape(x)
        if self.home.is_image and len(shape) in (3, 4):
            self.resize(*shape[-2:])
        return super()._begin(x, truth, folded)

    def warm_up(self) -> None:
        """Run once on an empty picture, so that kernels are compiled or loaded before anybody looks at the clock."""
        self.probabilities(np.zeros((1, *self.home.array_shape), np.float32))

    def rank(self, probabilities: Array, top: int = 5) -> list[Prediction]:
        """The `top` most probable classes of (classes,) probabilities; of equal ones, the lower number first."""
        if top < 1:
            raise UsageError(f"top={top}: expected 1 or more")
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [Prediction(self._name(int(i)), float(probabilities[i]), int(i)) for i in order]

    def _name(self, index: int) -> str:
        return self.names[index] if self.names else f"class {index}"


def in_batches(prepared: Iterable[tuple[K, Array]], batch: int) -> Iterator[tuple[list[K], Array]]:
    """Gather neighbours of one shape, up to `batch` of them, as (keys, pictures (batch, channels, height, width))."""
    keys: list[K] = []
    images: list[Array] = []
    for key, image in prepared:
        if images and images[0].shape != image.shape:
            yield keys, np.stack(images)
            keys, images = [], []
        keys.append(key)
        images.append(image)
        if len(images) == batch:
            yield keys, np.stack(images)
            keys, images = [], []
    if images:
        yield keys, np.stack(images)


def load(
    network: str | PathLike[str],
    weights: str | PathLike[str] | None = None,
    *,
    names: str | PathLike[str] | None = None,
    preprocess: str = "fit",
    layers: int | None = None,
    random_weights: int | None = None,
    check: bool = True,
) -> Classifier:
    """Load a network that is ready to classify.

    Parameters
    ----------
    network
        The path of a cfg, or the name of a known network (`tiny`), whose fetched files then serve as defaults.
    weights
        The path of its `.weights` file.
    names
        A text file with one class name a line, in the order of the network's outputs.
    preprocess
        One of `PREPROCESSES`.
    layers
        Load only the first so many layers from the file.
    random_weights
        A seed: draw random weights (before a file with only some layers is loaded, or instead of one).
    check
        Whether to refuse a file with numbers that are not finite.

    Raises
    ------
    InputError, UsageError
        A file is missing or does not fit, or there are no weights: a network is never run on random ones in silence.

    Examples
    --------
    The network that comes with minidarknet, and one of the digits that it has not learned from:

    >>> from minidarknet import load
    >>> from minidarknet.data import open_dataset
    >>> held_out = open_dataset("digits", "valid", channels=1)
    >>> network = load("digits", preprocess="center")
    >>> network.predict(held_out.image(0))[0].name
    '0'
    """
    check_preprocess(preprocess)
    cfg = zoo.find_cfg(fspath(network))
    if zoo.is_name(fspath(network)):
        names = names or zoo.locate(fspath(network)).names
        if weights is None and random_weights is None:
            weights = zoo.require_weights(fspath(network))
    net = Classifier.from_cfg(cfg)
    net.check_runs()
    net.preprocess = preprocess
    if weights is None and random_weights is None:
        raise UsageError(
            f"{fspath(network)}: no weights were given. Name a .weights file, fetch one (`minidarknet fetch tiny`), "
            "or ask for random ones (--random-weights SEED)"
        )
    if random_weights is not None:
        net.initialize(random_weights)
    if weights is not None:
        net.header = weights_file.load(net, weights, layers, check)
    missing = next(((layer, p) for layer, p in net.parameters() if p.array is None), None)
    if missing:
        raise UsageError(
            f"the {missing[1].name} of layer {missing[0].index} [{missing[0].kind}] are not in what was loaded; "
            "draw random ones for the others (--random-weights SEED)"
        )
    if names is not None:
        net.names = read_names(names, net.output_shape.size)
    return net


def read_names(path: str | PathLike[str], classes: int) -> list[str]:
    """The class names in a text file, one a line; a file with fewer lines than classes is an error.

    Darknet's own list of names goes on behind the classes of its networks, so more lines are only a warning.
    """
    lines = read_lines(path)
    if len(lines) < classes:
        raise InputError(f"{fspath(path)}: has {len(lines):,} names, but the network has {classes:,} outputs")
    if len(lines) > classes:
        text = f"{fspath(path)}: has {len(lines):,} names; the network's {classes:,} outputs take the first ones"
        warnings.warn(text, CfgWarning, stacklevel=2)
    return lines[:classes]
