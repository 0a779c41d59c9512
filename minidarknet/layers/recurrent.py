"""Layers with a memory of earlier inputs. This package runs pictures: it shows them in the table and does not run them.

Each is built of connected layers (of convolutions in [crnn]), which Darknet prints below it, indented. Source: Darknet,
rnn_layer.c, gru_layer.c, lstm_layer.c, crnn_layer.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minidarknet.layers.base import Layer, LayerOptions, Run
from minidarknet.layers.connected import connected_row
from minidarknet.layers.convolutional import Convolutional, ConvolutionalOptions
from minidarknet.layers.parameter import Array
from minidarknet.options import option
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape


@dataclass(frozen=True)
class RecurrentOptions(LayerOptions):
    output: int = option(1, "number of output numbers", minimum=1, maximum=MAXIMUM_ELEMENTS)
    batch_normalize: bool = option(False, "normalise inside")


class Recurrent(Layer):
    """A recurrent layer made of connected ones: `into` of them take the input, `onto` the layer's own last output."""

    Options = RecurrentOptions
    runs = False
    into: ClassVar[int]
    onto: ClassVar[int]
    alternating: ClassVar[bool] = False

    def infer(self, *in_shapes: Shape) -> Shape:
        return Shape.flat(self.options.output)

    def refusal(self) -> str:
        return f"[{self.kind}] is recurrent, and minidarknet runs networks without a memory"

    def forward(self, *inputs: Array, run: Run) -> Array:
        raise self.error(self.refusal())

    def table_row(self) -> str:
        inputs, outputs = self.in_shape.size, self.options.output
        into, onto = connected_row(inputs, outputs), connected_row(outputs, outputs)
        rows = [into, onto] * self.into if self.alternating else [into] * self.into + [onto] * self.onto
        title = f"{self.kind.upper()} Layer: {inputs} inputs, {outputs} outputs"
        return "\n\t\t".join([title, *rows])

    def flops(self) -> int:
        outputs = self.options.output
        return 2 * outputs * (self.into * self.in_shape.size + self.onto * outputs)


class Rnn(Recurrent):
    kind = "rnn"
    into, onto = 1, 2


class Gru(Recurrent):
    kind = "gru"
    into, onto = 3, 3
    alternating = True


class Lstm(Recurrent):
    kind = "lstm"
    into, onto = 4, 4


@dataclass(frozen=True)
class CrnnOptions(LayerOptions):
    output_filters: int = option(1, "number of filters of the output", minimum=1, maximum=MAXIMUM_ELEMENTS)
    hidden_filters: int = option(1, "number of filters of the memory", minimum=1, maximum=MAXIMUM_ELEMENTS)
    batch_normalize: bool = option(False, "normalise inside")


class Crnn(Layer):
    """The `[crnn]` section: a recurrent layer made of three 3x3 convolutions."""

    kind = "crnn"
    Options = CrnnOptions
    runs = False

    def infer(self, *in_shapes: Shape) -> Shape:
        (shape,) = in_shapes
        self.need_image(shape)
        hidden, output = self.options.hidden_filters, self.options.output_filters
        self.parts = []
        for filters, before in ((hidden, shape.channels), (hidden, hidden), (output, hidden)):
            part = Convolutional(ConvolutionalOptions(filters=filters, size=3, pad=True), self.index, self.section)
            part.connect(Shape(before, shape.height, shape.width))
            self.parts.append(part)
        return self.parts[-1].out_shape

    def refusal(self) -> str:
        return f"[{self.kind}] is recurrent, and minidarknet runs networks without a memory"

    def forward(self, *inputs: Array, run: Run) -> Array:
        raise self.error(self.refusal())

    def table_row(self) -> str:
        i = self.in_shape
        title = f"CRNN Layer: {i.height} x {i.width} x {i.channels} image, {self.options.output_filters} filters"
        return "\n\t\t".join([title, *(part.table_row() for part in self.parts)])

    def flops(self) -> int:
        return sum(part.flops() for part in self.parts)
