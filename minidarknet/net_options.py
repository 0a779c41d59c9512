"""The `[net]` section: the input's size, and how the network is trained."""

from __future__ import annotations

from dataclasses import dataclass

from minidarknet.cfg import Section
from minidarknet.options import option
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape

POLICIES = ("constant", "step", "steps", "exp", "poly", "sigmoid", "random", "sgdr")


@dataclass(frozen=True)
class NetOptions:
    """Every option that Darknet reads from `[net]` (Darknet: parser.c, parse_net_options)."""

    height: int = option(0, "input height in pixels", minimum=0, maximum=MAXIMUM_ELEMENTS)
    width: int = option(0, "input width in pixels", minimum=0, maximum=MAXIMUM_ELEMENTS)
    channels: int = option(0, "input channels: 3 for colour, 1 for grey", minimum=0, maximum=MAXIMUM_ELEMENTS)
    inputs: int = option(0, "numbers of an input that is no image", minimum=0, maximum=MAXIMUM_ELEMENTS)

    batch: int = option(1, "images per training step", minimum=1, maximum=MAXIMUM_ELEMENTS)
    subdivisions: int = option(1, "parts that a batch is split into, to save memory", minimum=1)
    time_steps: int = option(1, "steps of a recurrent network", minimum=1)
    max_batches: int = option(0, "training steps in all; 0 is no end", minimum=0)
    notruth: bool = option(False, "train without labels")

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
    B1: float = option(0.9, "Adam's decay of the mean", minimum=0, maximum=1)
    B2: float = option(0.999, "Adam's decay of the variance", minimum=0, maximum=1)
    eps: float = option(1e-7, "Adam's guard against division by 0", minimum=0)
    clip: float = option(0.0, "bound of the weights' absolute value; 0 is none (Darknet: on a GPU only)", minimum=0)

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
    random: bool = option(False, "change the input's size during training")


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
