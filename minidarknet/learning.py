"""Learning: a pass forward and back, which adds the loss's gradient to every parameter. No rates, no steps, no data.

    learner = Learner(network, batch=16)      takes the memory, once
    learner.zero_grad()
    loss = learner.step(images, truths)       forward, then backward: network.parameters()[...].grad
    ...                                       what is done with the gradients is in optimizers.py

The gradients are the true ones. Darknet's differ in a few places, which are taken over where `quirks` is set, for who
wants to train exactly as it does:

- batch norm goes back with another epsilon and divisor than forward (`kernels/statistics.py`)
- some layers *overwrite* the gradient that another branch has given to their input: convolutions of 1x1 and a few
  others (`overwrites_in_darknet`)
- `smooth` costs have the wrong sign where they are straight, and `L1` takes a hit for a miss (`layers/cost.py`)
- softmax forgets its temperature, and softmax and logistic pass later layers' gradients on unchanged
- local response normalization only goes back approximately, l2norm not at all
- a shortcut multiplies all of its input's gradient with alpha, also what was copied without

A seventh is the schedule `sigmoid`, in schedules.py. Dropout is not among them: Darknet's works in place, so that the
layer before sees dropped numbers, which matters to activations like the logistic one only; ours never does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike

from minidarknet.errors import InputError, UsageError
from minidarknet.kernels.threads import thread_count
from minidarknet.layers.base import Layer, Run
from minidarknet.layers.cost import Cost
from minidarknet.layers.logistic import Logistic
from minidarknet.layers.parameter import Array, empty_aligned
from minidarknet.layers.softmax import Softmax
from minidarknet.memory import aligned, arrange_centred, check_memory
from minidarknet.network import Network

LOSSES = (Softmax, Logistic, Cost)


def asked(layers: list[Layer]) -> list[bool]:
    """For each layer whether the gradient by its output is wanted: it learns, or one behind it does.

    A layer with `stopbackward` ends the way back, for itself and all layers before it.
    """
    stop = max((layer.index for layer in layers if layer.options.stopbackward), default=-1)
    wanted: list[bool] = []
    for layer in layers:
        learns = any(parameter.learns for parameter in layer.parameters())
        wanted.append(layer.index > stop and (learns or any(wanted[read] for read in layer.reads if read >= 0)))
    return wanted


class Learner:
    """A network with the memory that learning takes.

    Parameters
    ----------
    network
        With values for all parameters.
    batch
        The most images of a pass.
    quirks
        Whether gradients are Darknet's own; None is what the cfg says (`darknet_quirks` in `[net]`).

    Raises
    ------
    CfgError
        A layer cannot be run.
    InputError
        There is not enough memory for such a batch, or a parameter has no values.
    """

    def __init__(self, network: Network, batch: int, quirks: bool | None = None) -> None:
        network.check_runs()
        self.network, self.layers, self.batch = network, network.layers, batch
        self.quirks = network.options.darknet_quirks if quirks is None else quirks
        self.wanted, self.shape = asked(self.layers), network.input_shape
        what = f"{network.path}: learning from {batch} images at a time needs"
        check_memory(what, training_memory(network, batch), "take more subdivisions or a smaller input")
        for _, parameter in network.parameters():
            if parameter.learns:
                parameter.grad = np.zeros_like(parameter.value)
        self._take_memory()

    # -- memory --------------------------------------------------------------------------------------------------

    def _take_memory(self) -> None:
        """One aligned piece for all arrays, in which gradients that are through make room for others."""
        sizes, lives = grad_lives(self.layers, self.wanted, self.batch)
        starts, total = arrange_centred(sizes, lives)
        outputs = [aligned(layer.output_bytes(self.batch) // 4) for layer in self.layers]
        kept = [aligned(layer.kept_size(self.batch)) for layer in self.layers]
        workspace = aligned(learning_workspace(self.layers, self.batch))
        memory = empty_aligned(workspace + sum(outputs) + sum(kept) + total)
        self._workspace, *rest = np.split(memory, np.cumsum([workspace, *outputs, *kept]))
        self._outputs, self._kept, grads = rest[: len(outputs)], rest[len(outputs) : -1], rest[-1]
        self._grads = [grads[start : start + size] for start, size in zip(starts, sizes, strict=True)]

    def _attach(self) -> None:
        """Give the layers this memory, as the network may have predicted in its own meanwhile."""
        self.network.detach()
        for layer, output, kept in zip(self.layers, self._outputs, self._kept, strict=True):
            layer.allocate(self.batch, output)
            layer.kept = kept

    # -- arithmetic ----------------------------------------------------------------------------------------------

    def step(self, x: ArrayLike, truth: ArrayLike, seed: int = 0) -> float:
        """Learn from up to `batch` images: add their gradients to every parameter's `grad`.

        Parameters
        ----------
        x
            Images (images, channels, height, width) in 0..1, or vectors (images, inputs); taken as float32.
        truth
            (images, outputs).
        seed
            What dropout and random crops are drawn from.

        Returns
        -------
        float
            The loss, summed over the images; where several layers have one, their mean.

        Raises
        ------
        CfgError
            The network has no loss.
        InputError
            There is no truth to learn from, or a shape does not fit.
        """
        check_loss(self.network)
        if truth is None:
            raise InputError(f"{self.network.path}: no truth was given; expected an array (images, outputs)")
        for _ in self.forward_steps(x, truth, seed):
            pass
        for _ in self.backward_steps():
            pass
        loss = self.network.loss
        assert loss is not None
        return loss

    def forward_steps(
        self, x: ArrayLike, truth: ArrayLike | None, seed: int = 0, training: bool = True
    ) -> Iterator[tuple[Layer, Array]]:
        """The first half of `step`, layer by layer: each with its output.

        Not in training, layers do what they do when predicting; then the way back may not pass through batch norm.
        """
        if self.network.input_shape != self.shape:
            raise InputError(
                f"the network was resized from {self.shape} to {self.network.input_shape}: take a new Learner"
            )
        images = self.network.as_batch(x)
        if seed < 0:
            raise UsageError(f"a seed of {seed}: expected a whole number, 0 or more")
        if not 0 < len(images) <= self.batch:
            raise InputError(f"{len(images)} images to learn from; expected 1 to {self.batch}")
        truths = None if truth is None else np.ascontiguousarray(truth, np.float32)
        self._attach()
        self._run = Run(
            self._workspace, truths, threads=thread_count(), training=training, seed=seed, quirks=self.quirks
        )
        self._values = {-1: images}
        for layer in self.layers:
            with np.errstate(all="ignore"):  # numbers that overflow are told by what looks at the gradients
                inputs = [self._values[read] for read in layer.reads]
                self._values[layer.index] = layer.forward(*inputs, run=self._run)
            yield layer, self._values[layer.index]

    def backward_steps(self, more: Mapping[int, Array] | None = None) -> Iterator[tuple[Layer, Array]]:
        """The second half, from the last layer on: each with the gradient of the loss by its output.

        When the next one is yielded, the array holds what the layer has made of it: for convolutions and connected
        layers the gradient by their products, before batch norm and activation.

        Parameters
        ----------
        more
            Gradients, by layer number, to be added to what comes from the loss.
        """
        given = dict(more or {})
        count = len(self._values[-1])
        begun = [False] * len(self.layers)
        for layer in reversed(self.layers):
            if not self.wanted[layer.index]:
                continue
            grad = self._grad(layer.index, count)
            if not begun[layer.index]:
                grad[:] = 0
            if layer.index in given:
                grad += given[layer.index].reshape(grad.shape)
            yield layer, grad
            targets: list[Array | None] = []
            scratch = self._grads[len(self.layers) + layer.index]
            for position, read in enumerate(layer.reads):
                if read < 0 or not self.wanted[read]:
                    targets.append(None)
                elif begun[read] or read in layer.reads[:position]:
                    part = scratch[: count * self.layers[read].out_shape.size]
                    targets.append(part.reshape(self._shape(read, count)))
                    scratch = scratch[aligned(len(part)) :]
                else:
                    targets.append(self._grad(read, count))
            inputs = [self._values[read] for read in layer.reads]
            with np.errstate(all="ignore"):
                layer.backward(inputs, grad, targets, self._run)
            for read, target in zip(layer.reads, targets, strict=True):
                if target is None:
                    continue
                total = self._grad(read, count)
                if self.quirks and layer.overwrites_in_darknet:
                    total[:] = target
                    given.pop(read, None)
                elif begun[read]:
                    total += target
                begun[read] = True

    def _shape(self, index: int, count: int) -> tuple[int, int, int, int]:
        return (count, *self.layers[index].out_shape.array_shape)

    def _grad(self, index: int, count: int) -> Array:
        size = count * self.layers[index].out_shape.size
        return self._grads[index][:size].reshape(self._shape(index, count))

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for _, parameter in self.network.parameters():
            if parameter.grad is not None:
                parameter.grad.fill(0)


def check_loss(network: Network) -> None:
    """Raise where no layer has a loss to learn from."""
    if not any(isinstance(layer, LOSSES) for layer in network.layers):
        last = network.layers[-1]
        raise last.error("is the last layer, and no layer has a loss; expected [softmax], [logistic] or [cost]")


def learning_workspace(layers: list[Layer], batch: int) -> int:
    """Numbers of the workspace that all layers share."""
    return max(max(layer.workspace_size(), layer.backward_workspace_size(batch)) for layer in layers)


def grad_lives(layers: list[Layer], wanted: list[bool], batch: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Sizes of all gradients in numbers, and from which to which moment of the way back each is needed.

    First those by each layer's output; then, for each layer that reads what another one has read, scratch.
    """
    count = len(layers)
    birth = [count - 1 - index for index in range(count)]  # of what nobody reads: when its own turn comes
    sizes, extra = [0] * count, [0] * count
    for layer in reversed(layers):
        if not wanted[layer.index]:
            continue
        sizes[layer.index] = aligned(batch * layer.out_shape.size)
        for position, read in enumerate(layer.reads):
            if read >= 0:
                again = birth[read] < count - 1 - read or read in layer.reads[:position]
                birth[read] = min(birth[read], count - 1 - layer.index)
                if again and wanted[read]:
                    extra[layer.index] += aligned(batch * layers[read].out_shape.size)
    own = [count - 1 - index for index in range(count)]
    lives = [*zip(birth, own, strict=True), *zip(own, own, strict=True)]
    return [*sizes, *extra], lives


def training_memory(network: Network, batch: int) -> dict[str, int]:
    """Bytes that learning from `batch` images at a time takes, by what they are for."""
    sizes, lives = grad_lives(network.layers, asked(network.layers), batch)
    learned = sum(parameter.size for _, parameter in network.parameters() if parameter.learns)
    return {
        "input": 4 * batch * network.input_shape.size,
        "parameters": 4 * sum(parameter.size for _, parameter in network.parameters()),
        "their gradients": 4 * learned,
        "outputs": sum(layer.output_bytes(batch) for layer in network.layers),
        "kept": 4 * sum(layer.kept_size(batch) for layer in network.layers),
        "gradients": 4 * arrange_centred(sizes, lives)[1],
        "workspace": 4 * learning_workspace(network.layers, batch),
    }
