"""What every layer is: read this page first. Lesson: lessons/02_cfg_to_network.py

A cfg section becomes one layer object, and a layer goes through four moments:

    layer = Maxpool(options)          1. options     what the cfg says; nothing else is known
    layer.connect(in_shape)           2. shapes      out_shape and the parameters' shapes follow; still no memory
    layer.allocate(batch=8)           3. memory      its own output buffer
    y = layer.forward(x, run=run)     4. arithmetic  y is a view of that buffer, valid until the next forward
    layer.backward([x], dy, [dx], run)               the same way back, for training: fills dx, adds to the gradients

Layers own no printing, no files and no tracing. Arrays are float32 and C-contiguous: images (batch, channels, height,
width), weights (filters, channels / groups, size, size). A vector of n numbers is (batch, n, 1, 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from minidarknet.cfg import Section
from minidarknet.errors import CfgError, InputError
from minidarknet.kernels.threads import thread_count
from minidarknet.layers.parameter import Array, Initial, Parameter
from minidarknet.options import option
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape


@dataclass(frozen=True)
class LayerOptions:
    """The options that every section has (Darknet: parser.c, parse_network_cfg)."""

    learning_rate: float = option(1.0, "factor on the network's learning rate for this layer")
    stopbackward: bool = option(False, "training goes no further back than this layer")
    onlyforward: bool = option(False, "read by Darknet, and without effect on images here")
    dontload: bool = option(False, "weights files do not hold this layer when loading")
    dontsave: bool = option(False, "weights files do not hold this layer when saving")
    numload: int = option(0, "load only that many filters; 0 loads all", minimum=0, maximum=MAXIMUM_ELEMENTS)
    dontloadscales: bool = option(False, "weights files do not hold the batch-norm numbers when loading")
    truth: bool = option(False, "this layer's output is a truth (detectors)")
    smooth: float = option(0.0, "label smoothing (Darknet: on a GPU only)", minimum=0, maximum=1)


class Place(NamedTuple):
    """Where a layer writes its outputs: usually its own buffer, sometimes another's (see `fusion.py`).

    Attributes
    ----------
    output
        (batch, numbers).
    start
        The first number of each image that is meant.
    pooled
        Whether to write only the largest of each 2x2 outputs.
    """

    output: Array
    start: int = 0
    pooled: bool = False


@dataclass
class Run:
    """What a forward pass gives to every layer.

    Attributes
    ----------
    workspace
        One scratch array that all layers share; at least `workspace_size()` numbers, with no meaning before or after.
    truth
        What the outputs should be, (batch, outputs), or None where no loss is asked for.
    folded
        Whether only the layers' outputs matter: then batch norm may be folded into the weights, once and for all.
    threads
        How many threads the kernels run on.
    place
        Where a folded layer writes, if not into its own buffer.
    training
        Whether a backward pass follows: then batch norm takes the batch's own statistics, and dropout drops.
    seed
        What a layer that draws in training begins its generator with, beside its own number.
    quirks
        Whether gradients are Darknet's own where those are not the true ones (see `learning.py`).
    """

    workspace: Array
    truth: Array | None = None
    folded: bool = False
    threads: int = field(default_factory=thread_count)
    place: Place | None = None
    training: bool = False
    seed: int = 0
    quirks: bool = False


class Layer(ABC):
    """One section of a cfg. Subclasses give `kind`, `Options`, `infer`, `forward` and `table_row`.

    Attributes
    ----------
    runs
        False for the layers of detectors and recurrent networks, which are only shown.
    options
        What the cfg says.
    section
        Where it says so, for error messages.
    index
        The layer's number in the network, from 0.
    reads
        The numbers of the layers whose outputs it takes; -1 is the network's input.
    in_shape, out_shape
        One image before and after (after `connect`).
    loss
        For layers that have one: the loss of the last forward with a truth, summed over the batch; else None.
    kept
        What a forward in training keeps for the backward, beside the output; see `kept_size`.
    """

    kind: ClassVar[str]
    Options: ClassVar[type[LayerOptions]] = LayerOptions
    runs: ClassVar[bool] = True

    in_shape: Shape
    out_shape: Shape

    def __init__(self, options: Any = None, index: int = 0, section: Section | None = None) -> None:
        self.options: Any = self.Options() if options is None else options
        self.section = section or Section(self.kind)
        self.index = index
        self.reads: tuple[int, ...] = (index - 1,)
        self.output: Array = np.empty((0, 0, 0, 0), np.float32)
        self.kept: Array = np.empty(0, np.float32)
        self.loss: float | None = None
        self._parameters: dict[str, Parameter] = {}

    # -- shapes --------------------------------------------------------------------------------------------------

    def connect(self, *in_shapes: Shape) -> None:
        """Work out `out_shape` and the parameters' shapes; called again when the network is resized.

        Raises
        ------
        CfgError
            The layer cannot follow such an input, its output would be empty or too large, or its parameters would
            change their shape on a resize.
        """
        self.in_shape = in_shapes[0]
        self.out_shape = self.infer(*in_shapes)
        if min(self.out_shape.array_shape) < 1:
            raise self.error(f"has an empty output: {self.in_shape} comes in, {self.out_shape} would go out")
        for what, size in [("output", self.out_shape.size), *((p.name, p.size) for p in self.parameters())]:
            if size > MAXIMUM_ELEMENTS:
                raise self.error(
                    f"is too large: its {what} would have {size:,} numbers, of {MAXIMUM_ELEMENTS:,} at most"
                )

    @abstractmethod
    def infer(self, *in_shapes: Shape) -> Shape:
        """The shape of the output for these inputs; also the place to declare parameters with `declare`."""

    def declare(
        self,
        name: str,
        shape: Sequence[int],
        initial: Initial | None = None,
        stored: bool = True,
        learns: bool = True,
    ) -> Parameter:
        """A parameter of this layer, in the order of the `.weights` file; on a resize, the one that is there."""
        known = self._parameters.get(name)
        if known is None:
            known = self._parameters[name] = Parameter(name, tuple(shape), initial, stored, learns)
        elif known.shape != tuple(shape):
            raise self.error(f"is made for one input size: its {name} have {_sides(known.shape)}, not {_sides(shape)}")
        return known

    def need_image(self, shape: Shape) -> None:
        """Raise where the input is a vector that has no width and height."""
        if not shape.is_image:
            raise self.error(f"needs an image, but its input is {shape} without width and height")

    def earlier_layer(self, number: int, key: str) -> int:
        """The layer that a cfg means by `number`: negative counts back from this one, others from the first."""
        target = self.index + number if number < 0 else number
        if not 0 <= target < self.index:
            place = "before the first layer" if target < 0 else "not before this layer"
            raise self.error(
                f"{key}={number} points to layer {target}, {place}; expected {-self.index} to {self.index - 1}"
                if self.index
                else f"{key}={number}: no layer stands before the first one",
                key,
            )
        return target

    def check_truth(self, truth: Array, batch: int) -> None:
        """Raise where a truth is not (batch, numbers of this layer's input)."""
        if truth.shape != (batch, self.in_shape.size):
            raise InputError(
                f"the truth has shape {truth.shape}; layer {self.index} [{self.kind}] expected "
                f"({batch}, {self.in_shape.size}): one row for each image"
            )

    def refusal(self) -> str:
        """Why a network with this layer can be shown but not run, in one sentence; empty where it can."""
        return ""

    def error(self, message: str, key: str | None = None) -> CfgError:
        """An error that names this layer's file, line, section and number."""
        return self.section.error(f"(layer {self.index}) {message}", key)

    # -- memory --------------------------------------------------------------------------------------------------

    def allocate(self, batch: int, memory: Array | None = None) -> None:
        """Take memory for the outputs of `batch` images, from the front of `memory`, (numbers,), where it is given.

        Smaller batches use the front of it.
        """
        size = batch * self.out_shape.size
        buffer = np.empty(size, np.float32) if memory is None else memory[:size]
        self.output = buffer.reshape(batch, *self.out_shape.array_shape)

    def output_bytes(self, batch: int) -> int:
        """What `allocate` takes, in bytes."""
        return 4 * batch * self.out_shape.size

    def workspace_size(self) -> int:
        """How many numbers of the shared workspace `forward` uses."""
        return 0

    def kept_size(self, batch: int) -> int:
        """How many numbers, beside the output, a forward in training keeps in `kept` for the backward."""
        return 0

    def backward_workspace_size(self, batch: int) -> int:
        """How many numbers of the shared workspace `backward` uses."""
        return 0

    # -- arithmetic ----------------------------------------------------------------------------------------------

    @abstractmethod
    def forward(self, *inputs: Array, run: Run) -> Array:
        """Compute the output for (batch, channels, height, width) inputs, as many as `reads` has."""

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        """Take the loss's gradient from this layer's output back to its inputs, after a forward in training.

        Parameters
        ----------
        inputs
            What `forward` was given.
        grad_output
            Gradient of the loss by each output number; may be overwritten, as nobody reads it afterwards.
        grad_inputs
            For each input, the array to write its gradient into, or None where nobody asks. If several layers read
            the same earlier one, the network adds their gradients up.
        run
            The same as in `forward`.

        The gradients by the parameters are *added* to their `grad`.
        """
        raise self.error("cannot be trained: its backward pass is not known")

    @property
    def overwrites_in_darknet(self) -> bool:
        """Whether Darknet forgets the gradient that other layers gave to this one's input (see `learning.py`)."""
        return False

    def stages(self, *inputs: Array, run: Run) -> Iterator[tuple[str, Array]]:
        """The same as `forward`, in the steps that a person wants to see: each with its name and its array.

        An array is valid until the next stage; the last one is the output, with the same bits as `forward`'s.
        """
        yield self.kind, self.forward(*inputs, run=run)

    def parameters(self) -> tuple[Parameter, ...]:
        """All parameters, in the order of the `.weights` file."""
        return tuple(self._parameters.values())

    # -- what a person wants to know -----------------------------------------------------------------------------

    @abstractmethod
    def table_row(self) -> str:
        """The rest of this layer's line in Darknet's table, behind the number."""

    def flops(self) -> int:
        """Operations for one image as Darknet counts them: two for each multiply-add of a product, else none."""
        return 0

    def window(self) -> tuple[int, int] | None:
        """Side and stride of the input window behind one output number, or None where it is the whole input."""
        return 1, 1


def _sides(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
