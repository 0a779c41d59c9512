"""The `[net]` section: the input's size, and how the network is trained."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from minidarknet.cfg import Section
from minidarknet.errors import CfgWarning
from minidarknet.options import option
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape

POLICIES = ("constant", "step", "steps", "exp", "poly", "sigmoid", "random", "sgdr")

#: What is less than 1 in float32 too: with 1, Adam would divide 0 by 0.
BELOW_ONE = 0.9999999


@dataclass(frozen=True)
class NetOptions:
    """Every option that Darknet reads from `[net]` (Darknet: parser.c, parse_net_options)."""

    height: int = option(0, "input height in pixels", minimum=0, maximum=MAXIMUM_ELEMENTS)
    width: int = option(0, "input width in pixels", minimum=0, maximum=MAXIMUM_ELEMENTS)
    channels: int = option(0, "input channels: 3 for colour, 1 for grey", minimum=0, maximum=MAXIMUM_ELEMENTS)
    inputs: int = option(0, "numbers of an input that is no image", minimum=0, maximum=MAXIMUM_ELEMENTS)

    batch: int = option(1, "images per training step", minimum=1, maximum=MAXIMUM_ELEMENTS)
    subdivisions: int = option(1, "parts that a batch is split into, to save memory", minimum=1)
    time_steps: int = option(1, "steps of a recurrent network, which can only be shown", minimum=1)
    max_batches: int = option(0, "training steps in all; 0 is no end", minimum=0)
    notruth: bool = option(False, "train without labels (not known here)")

    learning_rate: float = option(0.001, "size of a training step")
    momentum: float = option(0.9, "share of the last step that is kept")
    decay: float = option(0.0001, "pull of the weights towards 0")
    policy: str = option("constant", "how the learning rate changes over time", choices=POLICIES)
    burn_in: int = option(0, "training steps over which the learning rate rises at the start", minimum=0)
    power: float = option(4.0, "exponent of the policies poly and random, and of burn_in")
    step: int = option(
        1, "training steps between two changes of the policy step; the middle of sigmoid; sgdr's first turn", minimum=1
    )
    scale: float = option(1.0, "factor of the policy step, and on the length of each turn of sgdr")
    steps: tuple[int, ...] = option((), "training steps at which the policy steps changes the rate", minimum=0)
    scales: tuple[float, ...] = option((), "factors of the policy steps, one for each of steps")
    gamma: float = option(1.0, "base of the policy exp; slope of sigmoid")
    adam: bool = option(False, "train with Adam instead of momentum")
    B1: float = option(0.9, "Adam's decay of the mean", minimum=0, maximum=BELOW_ONE)
    B2: float = option(0.999, "Adam's decay of the variance", minimum=0, maximum=BELOW_ONE)
    eps: float = option(1e-7, "Adam's guard against division by 0", minimum=1e-30)
    clip: float = option(
        0.0, "bound of the absolute value of convolutions' weights; 0 is none (Darknet: on a GPU only)", minimum=0
    )

    darknet_quirks: bool = option(False, "train with Darknet's own gradients where those are not the true ones")

    max_crop: int = option(0, "longest shorter side that augmentation resizes to; 0 is twice the width", minimum=0)
    min_crop: int = option(0, "shortest such side; 0 is the width", minimum=0)
    max_ratio: float = option(0.0, "max_crop as a multiple of the width", minimum=0)
    min_ratio: float = option(0.0, "min_crop as a multiple of the width", minimum=0)
    center: bool = option(False, "crop the centre instead of a random place")
    flip: bool = option(True, "mirror every second picture; 0 for digits and letters (AlexeyAB's Darknet has it too)")
    angle: float = option(0.0, "largest rotation by augmentation, in degrees")
    aspect: float = option(1.0, "largest stretch by augmentation")
    saturation: float = option(1.0, "largest factor on the saturation by augmentation")
    exposure: float = option(1.0, "largest factor on the brightness by augmentation")
    hue: float = option(0.0, "largest turn of the hue by augmentation, 1 being the full circle")
    random: bool = option(False, "change the input's size during training (not heeded here, with a warning)")


def input_shape(options: NetOptions, section: Section) -> Shape:
    """The shape of the network's input, checked.

    Raises
    ------
    CfgError
        Neither a complete height, width and channels nor `inputs` is given, or the input is too large.
    """
    sides = {"height": options.height, "width": options.width, "channels": options.channels}
    missing = [name for name, side in sides.items() if side == 0]
    if len(missing) == 3:
        if options.inputs == 0:
            raise section.error("has no input size; expected height, width and channels, or inputs")
        return Shape.flat(options.inputs)
    if missing:
        raise section.error(f"has no {' and no '.join(missing)}; expected height, width and channels together")
    shape = Shape(options.channels, options.height, options.width)
    if shape.size > MAXIMUM_ELEMENTS:
        raise section.error(f"an input of {shape} has {shape.size:,} numbers, more than {MAXIMUM_ELEMENTS:,}")
    return shape


def check_batch(options: NetOptions, section: Section) -> None:
    """Raise where a batch cannot be split into its subdivisions."""
    if options.batch % options.subdivisions:
        part = options.batch // options.subdivisions
        raise section.error(
            f"batch={options.batch} is not a multiple of subdivisions={options.subdivisions}; "
            f"expected for example batch={max(part, 1) * options.subdivisions}",
            "subdivisions",
        )


def check_training(options: NetOptions, section: Section) -> None:
    """Refuse what changes a training and is not known here; warn of what only makes it a little other.

    Raises
    ------
    CfgError
        `time_steps`, by which Darknet multiplies a batch, or `notruth`.
    """
    if options.time_steps > 1:
        raise section.error(
            f"time_steps={options.time_steps} is for recurrent networks, which cannot be trained here; expected 1 (in "
            "Darknet it multiplies the batch)",
            "time_steps",
        )
    if options.notruth:
        raise section.error("notruth=1 trains without labels, which is not known here; expected 0", "notruth")
    if options.random:
        text = str(
            section.error(
                f"random=1 is not heeded: the input stays {options.width} x {options.height} all the time, where "
                "Darknet takes another size every 40 batches",
                "random",
            )
        )
        warnings.warn(text, CfgWarning, stacklevel=3)
