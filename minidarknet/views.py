"""Several looks at one picture, whose answers are averaged: slower, and often a little more accurate.

    flip        the picture, and its mirror image

    ten-crop    stretched to 32 pixels more than     +--+--+
                the network takes on each side:      |1 |2 |   and the mirror
                the corners and the centre           +--5--+   image of each
                                                     |3 |4 |
                                                     +--+--+

Ten crops are Darknet's `classifier valid10` as it was meant. Its own begin at -32, 0 and 32, not at 0, 16 and 32: three
of its corners show bars of repeated pixels, and its centre is the upper left corner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minidarknet.errors import UsageError

if TYPE_CHECKING:
    from minidarknet.layers.parameter import Array
    from minidarknet.prediction import Classifier

#: What is typed behind --tta (test-time augmentation), and what it means.
VIEWS = {
    "none": "one look at each picture",
    "flip": "the picture and its mirror image, averaged",
    "ten-crop": "stretched; the corners and the centre, each also mirrored, averaged (Darknet's `valid10`)",
}
#: How many pixels higher and wider than the network's input a picture is that ten crops are taken of.
MARGIN = 32
#: Where the crops begin: (down, right).
CORNERS = ((0, 0), (0, MARGIN), (MARGIN, 0), (MARGIN, MARGIN), (MARGIN // 2, MARGIN // 2))


def check_views(tta: str) -> None:
    """Raise a `UsageError` where there is no such kind of looks."""
    if tta not in VIEWS:
        raise UsageError(f"tta={tta!r}: expected one of {', '.join(VIEWS)}")


def count_views(tta: str) -> int:
    """How many looks are taken at each picture."""
    check_views(tta)
    return {"none": 1, "flip": 2, "ten-crop": 2 * len(CORNERS)}[tta]


def prepare_views(net: Classifier, image: Array, tta: str) -> Array:
    """What all looks at a picture are cut from, (channels, height, width): stretched for ten crops, or as usual."""
    if tta != "ten-crop":
        return net.prepare(image)
    return net.prepare(image, "stretch", MARGIN)


def view(images: Array, tta: str, number: int) -> Array:
    """Look `number` at prepared pictures (batch, channels, height, width): a view into their memory.

    Even looks see pictures as they are, odd ones the mirror image of the look before.
    """
    if tta == "ten-crop":
        down, right = CORNERS[number // 2]
        _, _, height, width = images.shape
        images = images[:, :, down : down + height - MARGIN, right : right + width - MARGIN]
    return images[..., ::-1] if number % 2 else images
