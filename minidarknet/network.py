"""The network: layers in a row, each reading from earlier ones. It owns no arithmetic.

    network = Network.from_cfg("cfg/tiny.cfg")     shapes only; this is all that a table needs
    network.initialize(seed=1)                     random parameters (or: weights.load(network, "tiny.weights"))
    for layer, output in network.steps(x): ...     one layer at a time: what tracing and teaching use
    y = network.forward(x)                         the answer: the same kernels, with what can be done at once done so

Layers say which earlier ones they read; the network hands the outputs over.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from minidarknet.cfg import Cfg, Section, read_cfg
from minidarknet.errors import InputError, UsageError
from minidarknet.fusion import Step, arrange_outputs, plan
from minidarknet.kernels.threads import thread_count
from minidarknet.layers import LAYERS
from minidarknet.layers.base import Layer, Place, Run
from minidarknet.layers.cost import Cost
from minidarknet.layers.parameter import Array, Parameter, empty_aligned
from minidarknet.memory import aligned, check_memory
from minidarknet.net_options import NetOptions, check_batch, input_shape
from minidarknet.options import nearest, read_options
from minidarknet.shapes import Shape

N = TypeVar("N", bound="Network")


class Network:
    """A network as a cfg describes it.

    Parameters
    ----------
    layers
        The layers in order, not yet connected.
    shape
        One input image.
    options
        The `[net]` section.
    path, section
        The cfg, and where the options stand in it, for messages.

    Attributes
    ----------
    input_shape, output_shape
        One image at the input, and what `forward` returns of it.
    """

    def __init__(
        self,
        layers: list[Layer],
        shape: Shape,
        options: NetOptions | None = None,
        path: str = "<python>",
        section: Section | None = None,
    ) -> None:
        if not layers:
            raise InputError(f"{path}: a network needs at least one layer")
        self.layers = layers
        self.options = options or NetOptions()
        self.path, self.section = path, section or Section("net", path)
        self._connect(shape)

    @classmethod
    def from_cfg(cls: type[N], source: str | PathLike[str] | Cfg) -> N:
        """Build a network from a cfg file, or from one that `read_cfg` or `parse_cfg` has read.

        No memory for numbers is taken. Keys that Darknet does not know cause a `CfgWarning`.

        Raises
        ------
        CfgError
            With file, line, section and what was expected.
        """
        cfg = source if isinstance(source, Cfg) else read_cfg(source)
        options = read_options(NetOptions, cfg.net)
        check_batch(options, cfg.net)
        layers = []
        for index, section in enumerate(cfg.layers):
            kind = LAYERS.get(section.name)
            if kind is None:
                raise section.error(f"is no section that minidarknet knows{nearest(section.name, LAYERS)}")
            # What a section may say is only checked where we know all of it: not in detectors and recurrent layers.
            settings = read_options(kind.Options, section, warn=kind.runs)
            layers.append(kind(settings, index, section))
        return cls(layers, input_shape(options, cfg.net), options, cfg.path, cfg.net)

    # -- shapes --------------------------------------------------------------------------------------------------

    def _connect(self, shape: Shape) -> None:
        self.input_shape = shape
        self._batch, self._shared = -1, False  # no memory yet
        self._memory = empty_aligned(0)
        for layer in self.layers:
            layer.connect(*(shape if read < 0 else self.layers[read].out_shape for read in layer.reads))
        self._plan = plan(self.layers)

    def resize(self, height: int, width: int) -> None:
        """Change the input's size, keeping all parameters; a network without connected layers can take any.

        Raises
        ------
        CfgError
            A layer is made for one input size. The network is then left as it was.
        """
        before = self.input_shape
        if (height, width) == (before.height, before.width):
            return
        try:
            self._connect(Shape(before.channels, height, width))
        except InputError:
            self._connect(before)
            raise

    @property
    def output_layer(self) -> Layer:
        """The layer whose output is the network's answer: the last one that is no `[cost]`."""
        return next((layer for layer in reversed(self.layers) if not isinstance(layer, Cost)), self.layers[-1])

    @property
    def output_shape(self) -> Shape:
        return self.output_layer.out_shape

    def flops(self) -> int:
        """Operations for one image, as Darknet counts them."""
        return sum(layer.flops() for layer in self.layers)

    # -- parameters ----------------------------------------------------------------------------------------------

    def parameters(self) -> Iterator[tuple[Layer, Parameter]]:
        """Every parameter with its layer, in the order of the `.weights` file."""
        return ((layer, parameter) for layer in self.layers for parameter in layer.parameters())

    def initialize(self, seed: int) -> None:
        """Draw all parameters at random: the same seed, 0 or more, gives the same numbers, layer by layer."""
        if seed < 0:
            raise UsageError(f"a seed of {seed}: expected a whole number, 0 or more")
        self.check_memory(0)
        for layer in self.layers:
            for position, parameter in enumerate(layer.parameters()):
                generator = np.random.default_rng((seed, layer.index, position))
                parameter.array = parameter.initial.draw(parameter.shape, generator)

    # -- memory --------------------------------------------------------------------------------------------------

    def memory(self, batch: int) -> dict[str, int]:
        """Bytes that running a batch takes: for the input, parameters, outputs and the shared workspace."""
        return {
            "input": 4 * batch * self.input_shape.size,
            "parameters": 4 * sum(parameter.size for _, parameter in self.parameters()),
            "outputs": sum(layer.output_bytes(batch) for layer in self.layers),
            "workspace": 4 * max(layer.workspace_size() for layer in self.layers),
        }

    def check_memory(self, batch: int) -> None:
        """Raise where a batch would need more memory than there is."""
        what = f"{self.path}: " + (f"a batch of {batch} needs" if batch else "the parameters need")
        check_memory(what, self.memory(batch), "take a smaller batch or input")

    def allocate(self, batch: int, shared: bool = False) -> None:
        """Take the memory for batches of up to `batch` images, refused beforehand where there is not enough; shared,
        a layer's buffer is used again when nobody reads it any more, which keeps the caches warm."""
        self.check_memory(batch)
        starts, total = arrange_outputs(self._plan, self.layers, batch, shared)
        outputs = aligned(workspace := max(layer.workspace_size() for layer in self.layers))
        # One piece, so that the system can give it large pages; each part begins on a cache line.
        if len(self._memory) < outputs + total:
            self._memory = empty_aligned(outputs + total)
        self._workspace = self._memory[:workspace]
        for layer, start in zip(self.layers, starts, strict=True):
            layer.allocate(batch, self._memory[outputs + start :])
        self._batch, self._shared = batch, shared

    def prediction_bytes(self, batch: int) -> int:
        """What `forward` takes for a batch beside the input and the parameters."""
        numbers = arrange_outputs(self._plan, self.layers, batch, shared=True)[1]
        return self.memory(batch)["workspace"] + 4 * numbers

    def detach(self) -> None:
        """Leave the layers to who gives them other memory (see `learning.py`); the next pass takes them back."""
        self._batch = -1

    # -- arithmetic ----------------------------------------------------------------------------------------------

    def steps(self, x: ArrayLike, truth: ArrayLike | None = None) -> Iterator[tuple[Layer, Array]]:
        """Run layer after layer, yielding each with its output.

        Parameters
        ----------
        x
            Images, (batch, channels, height, width) or one (channels, height, width), in 0..1; or vectors,
            (batch, inputs). Taken as float32.
        truth
            (batch, outputs): then layers with a loss compute it.

        Yields
        ------
        layer, output
            The output is a view of the layer's own buffer, valid until the next pass.
        """
        images, run = self._begin(x, truth, folded=False)
        outputs: list[Array] = []
        for layer in self.layers:
            inputs = (images if read < 0 else outputs[read] for read in layer.reads)
            with np.errstate(all="ignore"):  # numbers that overflow are told by what looks at the outputs
                outputs.append(layer.forward(*inputs, run=run))
            yield layer, outputs[-1]

    def stages(self, x: ArrayLike) -> Iterator[tuple[Layer, str, Array]]:
        """As `steps`, with every stage of a layer (see `Layer.stages`); an array is valid until the next stage."""
        images, run = self._begin(x, None, folded=False)
        outputs: list[Array] = []
        for layer in self.layers:
            inputs = (images if read < 0 else outputs[read] for read in layer.reads)
            for name, array in layer.stages(*inputs, run=run):
                yield layer, name, array
            outputs.append(array)

    def fused(self, x: ArrayLike, truth: ArrayLike | None = None) -> Iterator[tuple[Step, Array]]:
        """Run as `forward` does, yielding each step, with the layers that it did at once, and their output.

        Batch norm is folded into the weights, and layers hand their work over where they can (see `fusion.py`): the
        kernels and, but for the rounding, the numbers are those of `steps`. An output is valid until the next step.
        """
        images, run = self._begin(x, truth, folded=True)
        outputs = {-1: images}
        for step in self._plan:
            with np.errstate(all="ignore"):
                self._take(step, outputs, run)
            yield step, outputs[step.layers[-1].index]

    def _take(self, step: Step, outputs: dict[int, Array], run: Run) -> None:
        """Take one step of a prediction: from the outputs that are there to that of its last layer."""
        layer, last, home = step.layers[0], step.layers[-1], step.home
        batch, run.place = len(outputs[-1]), None
        if home is layer and not step.done:
            outputs[layer.index] = layer.forward(*[outputs[read] for read in layer.reads], run=run)
            return
        numbers = home.output[:batch].reshape(batch, home.out_shape.size)
        if not step.done:
            run.place = Place(numbers, step.start, step.pooled)
            layer.forward(*[outputs[read] for read in layer.reads], run=run)
        shape = last.out_shape
        part = numbers[:, step.start : step.start + shape.size]
        outputs[last.index] = part.reshape(batch, *shape.array_shape)

    def _begin(self, x: ArrayLike, truth: ArrayLike | None, folded: bool) -> tuple[Array, Run]:
        """The images as a batch, with memory taken for it."""
        self.check_runs()
        images = self.as_batch(x)
        if len(images) > self._batch or self._shared != folded:
            self.allocate(len(images), shared=folded)
        truths = None if truth is None else np.ascontiguousarray(truth, np.float32)
        return images, Run(self._workspace, truths, folded, threads=thread_count())

    def check_runs(self) -> None:
        """Raise where a layer can only be shown: a detector's, or a recurrent one."""
        for layer in self.layers:
            if reason := layer.refusal():
                raise layer.error(f"cannot be run: {reason} (its table can be printed)")

    def forward(self, x: ArrayLike, truth: ArrayLike | None = None) -> Array:
        """The network's answer for `x` (see `steps`): (batch, channels, height, width), a view until the next pass."""
        images, run = self._begin(x, truth, folded=True)
        outputs = {-1: images}
        with np.errstate(all="ignore"):
            for step in self._plan:
                self._take(step, outputs, run)
        return outputs[self.output_layer.index]

    @property
    def loss(self) -> float | None:
        """The loss of the last pass with a truth: the mean over all layers that have one; None without any."""
        losses = [layer.loss for layer in self.layers if layer.loss is not None]
        return sum(losses) / len(losses) if losses else None

    def as_batch(self, x: ArrayLike) -> Array:
        """Images as `forward` takes them, as float32 (batch, channels, height, width)."""
        # Aligned and writeable too, or Numba would compile every kernel a second time for another kind of array.
        try:
            images = np.require(x, np.float32, ["C", "A", "W"])
        except (ValueError, TypeError) as error:
            raise InputError(f"the input is no array of numbers: {error}") from None
        shape = self.input_shape.array_shape
        if images.shape == shape:
            images = images[None]
        if images.shape[1:] in (shape, (self.input_shape.size,)):
            return images.reshape(len(images), *shape)
        raise InputError(
            f"the input has shape {images.shape}; {Path(self.path).name} expected (batch, "
            f"{', '.join(map(str, shape))}): images, channels, height, width"
        )
