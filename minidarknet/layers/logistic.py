"""Logistic outputs: each number becomes a probability of its own, for labels that do not exclude each other.

    scores 2 0 -2   ->   0.88 0.50 0.12        1 / (1 + exp(-score)), loss -log(p) where the truth is 1, else -log(1-p)

Source: Darknet, logistic_layer.c.

Lesson: lessons/08_softmax_and_loss.py
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidarknet.kernels.activations import LOGISTIC, activate
from minidarknet.layers.base import Layer, Run
from minidarknet.layers.parameter import Array
from minidarknet.shapes import Shape


class Logistic(Layer):
    """The `[logistic]` section."""

    kind = "logistic"

    def infer(self, *in_shapes: Shape) -> Shape:
        return Shape.flat(in_shapes[0].size)

    def forward(self, *inputs: Array, run: Run) -> Array:
        (x,) = inputs
        output = self.output[: len(x)]
        activate(output.reshape(-1), x.reshape(-1), LOGISTIC)
        self.loss = None if run.truth is None else self._loss(output, run.truth)
        return output

    def _loss(self, output: Array, truth: Array) -> float:
        self.check_truth(truth, len(output))
        p = output.reshape(truth.shape)
        with np.errstate(divide="ignore", invalid="ignore"):  # a sure and wrong answer has an infinite loss
            return float(np.sum(-truth * np.log(p) - (1 - truth) * np.log(1 - p)))

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        (grad_input,) = grad_inputs
        if grad_input is None:
            return
        p = self.output[: len(grad_output)]
        # The loss's gradient by the score is p - truth. Darknet passes those of later layers on as they are.
        grad_input[:] = (grad_output if run.quirks else grad_output * p * (1 - p)).reshape(grad_input.shape)
        if run.truth is not None:
            grad_input += (p.reshape(run.truth.shape) - run.truth).reshape(grad_input.shape)

    def table_row(self) -> str:
        return f"logistic x entropy                             {self.in_shape.size:4d}"
