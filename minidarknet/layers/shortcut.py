"""Shortcut: add the output of an earlier layer to this one, which lets a deep network begin as a shallow one.

    input 1 2    +    earlier 10 20    ->    11 22        alpha * input + beta * earlier, then the activation
          3 4                 30 40          33 44

Where the two differ in size, only what they share is added: the first channels of the one with more, and every k-th
pixel where one is k times as large. What is not shared is copied as it is, without alpha. Source: Darknet, blas.c
(shortcut_cpu), shortcut_layer.c.

Lesson: lessons/14_fire_and_residuals.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import prange

from minidarknet.cfg import Section
from minidarknet.kernels.activations import ACTIVATIONS, activate, activate_back, activation
from minidarknet.kernels.jit import kernel
from minidarknet.layers.base import Layer, LayerOptions, Run
from minidarknet.layers.parameter import Array
from minidarknet.options import REQUIRED, option
from minidarknet.shapes import Shape


@kernel
def add_scaled(output: Array, x: Array, earlier: Array, alpha: np.float32, beta: np.float32, code: int) -> None:
    """Write the activation numbered `code` of alpha * x + beta * earlier into output; all (n,)."""
    for i in prange(output.size):
        output[i] = activation(alpha * x[i] + beta * earlier[i], code)


@kernel
def add_shared(output: Array, earlier: Array, alpha: np.float32, beta: np.float32) -> None:
    """Turn output (images, channels, height, width) into alpha times itself and beta times earlier, in its place."""
    images, channels, height, width = output.shape
    for number in prange(images * channels):
        image, channel = np.int64(number) // channels, np.int64(number) % channels
        for row in range(height):
            own, other = output[image, channel, row], earlier[image, channel, row]
            for i in range(width):
                own[i] = alpha * own[i] + beta * other[i]


@kernel
def scale(output: Array, x: Array, factor: np.float32) -> None:
    """Write factor * x into output; both (n,)."""
    for i in prange(output.size):
        output[i] = factor * x[i]


@dataclass(frozen=True)
class ShortcutOptions(LayerOptions):
    from_: int = option(REQUIRED, "the layer to add; negative counts back from here")
    activation: str = option("linear", "function of each output number", choices=ACTIVATIONS)
    alpha: float = option(1.0, "factor on the input")
    beta: float = option(1.0, "factor on the earlier layer's output")


class Shortcut(Layer):
    """The `[shortcut]` section."""

    kind = "shortcut"
    Options = ShortcutOptions

    def __init__(self, options: Any = None, index: int = 0, section: Section | None = None) -> None:
        super().__init__(options, index, section)
        self.reads = (index - 1, self.earlier_layer(self.options.from_, "from"))

    def infer(self, *in_shapes: Shape) -> Shape:
        own, earlier = in_shapes
        self.need_image(own)
        self.need_image(earlier)
        # every `stride`-th pixel of the earlier one is added to every `sample`-th pixel of this one
        self.stride = max(1, earlier.width // own.width)
        self.sample = max(1, own.width // earlier.width)
        if (self.stride, self.sample) != (max(1, earlier.height // own.height), max(1, own.height // earlier.height)):
            raise self.error(
                f"cannot add layer {self.reads[1]} ({earlier}) to {own}: width and height differ by another factor",
                "from",
            )
        self.earlier_shape = earlier
        return own

    def forward(self, *inputs: Array, run: Run) -> Array:
        x, earlier = inputs
        output, code = self.output[: len(x)], ACTIVATIONS[self.options.activation]
        alpha, beta = np.float32(self.options.alpha), np.float32(self.options.beta)
        if x.shape == earlier.shape:
            add_scaled(output.reshape(-1), x.reshape(-1), earlier.reshape(-1), alpha, beta, code)
            return output
        scale(output.reshape(-1), x.reshape(-1), np.float32(1))
        add_shared(*self._shared(output, earlier), alpha, beta)
        activate(output.reshape(-1), output.reshape(-1), code)
        return output

    def _shared(self, own: Array, earlier: Array) -> tuple[Array, Array]:
        """Of both pictures what is added: views of the same shape."""
        channels = min(self.in_shape.channels, self.earlier_shape.channels)
        height = min(self.in_shape.height, self.earlier_shape.height)
        width = min(self.in_shape.width, self.earlier_shape.width)
        return (
            own[:, :channels, : height * self.sample : self.sample, : width * self.sample : self.sample],
            earlier[:, :channels, : height * self.stride : self.stride, : width * self.stride : self.stride],
        )

    def backward(
        self, inputs: Sequence[Array], grad_output: Array, grad_inputs: Sequence[Array | None], run: Run
    ) -> None:
        grad_own, grad_earlier = grad_inputs
        alpha, beta = np.float32(self.options.alpha), np.float32(self.options.beta)
        output = self.output[: len(grad_output)]
        activate_back(grad_output.reshape(-1), output.reshape(-1), ACTIVATIONS[self.options.activation])
        if grad_output.shape == inputs[1].shape:
            for grad, factor in ((grad_own, alpha), (grad_earlier, beta)):
                if grad is not None:
                    scale(grad.reshape(-1), grad_output.reshape(-1), factor)
            return
        if grad_own is not None:
            grad_own[:] = grad_output
            scaled = grad_own if run.quirks else self._shared(grad_own, inputs[1])[0]
            scaled *= alpha
        if grad_earlier is not None:
            grad_earlier[:] = 0
            shared, added = self._shared(grad_output, grad_earlier)
            added[:] = beta * shared

    def table_row(self) -> str:
        source = self.earlier_shape.table_cells()
        return f"res  {self.reads[1]:3d}                {source}   ->  {self.out_shape.table_cells()}"
