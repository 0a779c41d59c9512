"""Softmax: turn any numbers into probabilities, positive and with the sum 1.

    scores 2 1 0 0   ->   exp 7.39 2.72 1 1   ->   divided by their sum 12.11   ->   0.61 0.22 0.08 0.08

The largest score is subtracted first, so that exp never overflows; the result is the same. A temperature above 1 makes
the probabilities more alike. With groups, the numbers are split into that many equal runs, each with the sum 1.

The loss of a truth is the sum of -log(p) over the classes whose truth is not 0. Darknet does not weigh it with the
truth's value, and neither does this. Source: Darknet, softmax_layer.c, blas.c.

Lesson: lessons/08_softmax_and_loss.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import prange

from minidarknet.kernels.jit import kernel
from minidarknet.layers.base import Layer, LayerOptions, Run
from minidarknet.layers.parameter import Array
from minidarknet.options import option
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape


@dataclass(frozen=True)
class SoftmaxOptions(LayerOptions):
    groups: int = option(1, "equal runs that the numbers are split into", minimum=1, maximum=MAXIMUM_ELEMENTS)
    temperature: float = option(1.0, "divides the scores; above 1 makes them more alike")
    noloss: bool = option(False, "this layer adds nothing to the loss")
    spatial: bool = option(False, "one softmax for each pixel (Darknet: on a GPU only)")
    tree: str = option("", "file of a tree of classes (YOLO9000; not supported)")


@kernel
def softmax(output: Array, source: Array, temperature: np.float32) -> None:
    """Write the softmax of each row of source (rows, numbers) into output of the same shape."""
    rows, count = source.shape
    for row in prange(rows):
        largest = source[row, 0]
        for i in range(1, count):
            if source[row, i] > largest:
                largest = source[row, i]
        total = np.float32(0)
        for i in range(count):
            output[row, i] = np.exp((source[row, i] - largest) / temperature)
            total += output[row, i]
        for i in range(count):
            output[row, i] /= total


class Softmax(Layer):
    """The `[softmax]` or `[soft]` section."""

    kind = "softmax"
    Options = SoftmaxOptions

    def infer(self, *in_shapes: Shape) -> Shape:
        (shape,) = in_shapes
        if shape.size % self.options.groups:
            raise self.error(f"groups={self.options.groups} does not divide its {shape.size} numbers", "groups")
        if np.float32(self.options.temperature) == 0:
            raise self.error("temperature=0 would divide by zero; expected for example 1", "temperature")
        return Shape.flat(shape.size)

    def refusal(self) -> str:
        return "tree= asks for a tree of classes, which is not supported" if self.options.tree else ""

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        output = self.output[: len(x)]
        runs = (len(x) * self.options.groups, self.in_shape.size // self.options.groups)
        softmax(output.reshape(runs), x.reshape(runs), np.float32(self.options.temperature))
        self.loss = None if run.truth is None else self._loss(output, run.truth)
        return output

    def _loss(self, output: Array, truth: Array) -> float:
        if self.options.noloss:
            return 0.0
        self.check_truth(truth, len(output))
        with np.errstate(divide="ignore"):  # a probability of 0 has an infinite loss
            return float(-np.log(output.reshape(truth.shape)[truth != 0]).sum())

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        """With the loss, the gradient by the scores is p - truth; other gradients go through the function itself.

        Darknet forgets the temperature, and passes the gradients of later layers on as they are.
        """
        (grad_input,) = grad_inputs
        if grad_input is None:
            return
        runs = (-1, self.in_shape.size // self.options.groups)
        p, grad, target = self.output[: len(grad_output)].reshape(runs), grad_output.reshape(runs), grad_input
        own = np.zeros_like(p)
        if run.truth is not None and not self.options.noloss:
            own = p - run.truth.reshape(runs)
        if run.quirks:
            target[:] = (own + grad).reshape(target.shape)
            return
        through = p * (grad - (p * grad).sum(axis=1, keepdims=True))
        target[:] = ((own + through) / np.float32(self.options.temperature)).reshape(target.shape)

    def table_row(self) -> str:
        return f"softmax                                        {self.in_shape.size:4d}"

    def window(self) -> None:
        return None
