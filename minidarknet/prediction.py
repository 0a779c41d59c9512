"""From a picture to class names: a network together with its names and its way to prepare pictures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from minidarknet import weights as weights_file
from minidarknet import zoo
from minidarknet.errors import CfgWarning, InputError, NonFiniteError, UsageError
from minidarknet.layers.base import Array
from minidarknet.network import Network
from minidarknet.preprocess import PREPROCESSES, check_preprocess, prepare
from minidarknet.shapes import Shape


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
    """

    names: Sequence[str] = ()
    preprocess: str = "fit"
    header: weights_file.Header | None = None

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

    def prepare(self, image: Array) -> Array:
        """The picture as the network gets it: float32 (channels, height, width)."""
        home = self._home
        if image.ndim != 3 or len(image) != home.channels:
            raise InputError(
                f"the picture has shape {image.shape}; {self.path} expected (channels, height, width) "
                f"with {home.channels} channels"
            )
        if self.preprocess == "fit" and self.why_not_fit:
            others = ", ".join(name for name in PREPROCESSES if name != "fit")
            raise UsageError(
                f"fit keeps the whole picture and resizes the network to it, which {self.path} does not allow: "
                f"{self.why_not_fit}. Choose another --preprocess: {others}"
            )
        return prepare(image, self.preprocess, home.height, home.width)

    @cached_property
    def _home(self) -> Shape:
        """The input that the cfg describes, whatever the network has been resized to."""
        if not self.input_shape.is_image:
            raise InputError(f"{self.path} takes {self.input_shape}, not pictures")
        return self.input_shape

    @cached_property
    def why_not_fit(self) -> str:
        """Why this network takes pictures of one size only; empty where it takes any. No memory is taken."""
        home, outputs = self._home, self.output_shape
        try:
            self.resize(2 * home.height, 2 * home.width)
        except InputError as error:
            return str(error)
        grown = self.output_shape
        self.resize(home.height, home.width)
        return "" if grown.size == outputs.size else f"its answer would grow from {outputs} to {grown}"

    def probabilities(self, images: Array) -> Array:
        """What the network says of prepared pictures (batch, channels, height, width): (batch, classes), a copy.

        Raises
        ------
        NonFiniteError
            A layer put out NaN or infinity; the message names the first.
        """
        self.resize(*images.shape[2:])
        answers = self.forward(images).reshape(len(images), -1).copy()
        if not np.isfinite(answers).all():
            for layer, output in self.steps(images):
                if not np.isfinite(output).all():
                    raise NonFiniteError(f"{self.path}: layer {layer.index} [{layer.kind}] puts out NaN or infinity")
        return answers

    def warm_up(self) -> None:
        """Run once on an empty picture, so that kernels are compiled or loaded before anybody looks at the clock."""
        self.probabilities(np.zeros((1, *self._home.array_shape), np.float32))

    def rank(self, probabilities: Array, top: int = 5) -> list[Prediction]:
        """The `top` most probable classes of (classes,) probabilities; of equal ones, the lower number first."""
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [Prediction(self._name(int(i)), float(probabilities[i]), int(i)) for i in order]

    def _name(self, index: int) -> str:
        return self.names[index] if self.names else f"class {index}"


def load(
    network: str | PathLike[str],
    weights: str | PathLike[str] | None = None,
    *,
    names: str | PathLike[str] | None = None,
    preprocess: str = "fit",
    layers: int | None = None,
    random_weights: int | None = None,
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

    Raises
    ------
    InputError, UsageError
        A file is missing or does not fit, or there are no weights: a network is never run on random ones in silence.
    """
    check_preprocess(preprocess)
    cfg: str | PathLike[str] = network
    if fspath(network) in zoo.SYSTEMS and not Path(network).exists():
        known = zoo.locate(fspath(network))
        cfg, names = known.cfg, names or known.names
        if weights is None and random_weights is None:
            weights = zoo.require_weights(fspath(network))
    net = Classifier.from_cfg(cfg)
    net.preprocess = preprocess
    if weights is None and random_weights is None:
        raise UsageError(
            f"{fspath(network)}: no weights were given. Name a .weights file, fetch one (`minidarknet fetch tiny`), "
            "or ask for random ones (--random-weights SEED)"
        )
    if random_weights is not None:
        net.initialize(random_weights)
    if weights is not None:
        net.header = weights_file.load(net, weights, layers)
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
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"{fspath(path)}: no such file; expected class names, one a line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{fspath(path)}: cannot be read as class names, one a line: {error}") from None
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) < classes:
        raise InputError(f"{fspath(path)}: has {len(lines):,} names, but the network has {classes:,} outputs")
    if len(lines) > classes:
        text = f"{fspath(path)}: has {len(lines):,} names; the network's {classes:,} outputs take the first ones"
        warnings.warn(text, CfgWarning, stacklevel=2)
    return [line.strip() for line in lines[:classes]]
