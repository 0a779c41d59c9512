"""The last layers of detectors. This package classifies: it shows them in the table and does not run them.

Source: Darknet, yolo_layer.c, region_layer.c, detection_layer.c, iseg_layer.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minidarknet.layers.base import Layer, LayerOptions, Run
from minidarknet.layers.parameter import Array
from minidarknet.shapes import Shape


@dataclass(frozen=True)
class DetectorOptions(LayerOptions):
    """None of a detector's many options matters for the table."""


class Detector(Layer):
    """A section that ends a detector; the concrete ones below only differ in their name."""

    Options = DetectorOptions
    runs = False
    word: ClassVar[str]

    def infer(self, *in_shapes: Shape) -> Shape:
        return in_shapes[0]

    def refusal(self) -> str:
        return f"[{self.kind}] belongs to a detector, and minidarknet runs classifiers"

    def forward(self, *inputs: Array, run: Run) -> Array:
        raise self.error(self.refusal())

    def table_row(self) -> str:
        return self.word


class Yolo(Detector):
    kind = "yolo"
    word = "yolo"


class Region(Detector):
    kind = "region"
    word = "detection"


class Detection(Detector):
    kind = "detection"
    word = "Detection Layer"


class Iseg(Detector):
    kind = "iseg"
    word = "iseg"
