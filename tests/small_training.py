"""A small network and small pictures that tests of training share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minidarknet.cfg import parse_cfg
from minidarknet.dataset import Pixels
from minidarknet.prediction import Classifier

#: Everything that has a state of its own: batch norm, dropout, momentum, subdivisions, changes of the pictures.
CFG = """[net]
batch=8
subdivisions=2
height=8
width=8
channels=1
learning_rate=0.05
momentum=0.9
decay=0.0005
burn_in=4
policy=steps
steps=10,15
scales=.5,.5
max_batches=20
angle=10
flip=0
[convolutional]
batch_normalize=1
filters=4
size=3
pad=1
activation=leaky
[maxpool]
size=2
stride=2
[dropout]
probability=.25
[connected]
output=3
activation=linear
[softmax]
"""


def network(text: str = CFG, seed: int = 1) -> Classifier:
    made = Classifier.from_cfg(parse_cfg(text, "small.cfg"))
    made.initialize(seed)
    made.preprocess = "center"
    return made


def pictures(count: int = 30, seed: int = 0) -> Pixels:
    """Three classes: bright on the left, in the middle, on the right."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    pixels = generator.integers(0, 100, (count, 8, 8, 1), np.uint8)
    for picture, label in zip(pixels, labels, strict=True):
        picture[:, 3 * label : 3 * label + 2] += 150
    return Pixels(pixels, labels, ("left", "middle", "right"), 1)


def write_files(folder: Path, text: str = CFG) -> None:
    """small.cfg and small.npz, for the command line."""
    data, valid = pictures(30, 0), pictures(9, 1)
    (folder / "small.cfg").write_text(text)
    np.savez(
        folder / "small.npz",
        x_train=data.pixels[..., 0],
        y_train=data.labels,
        x_test=valid.pixels[..., 0],
        y_test=valid.labels,
        names=np.array(data.names),
    )
