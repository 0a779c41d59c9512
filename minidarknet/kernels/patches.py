"""The patches of an image for Winograd's convolution: where each lies, and the two ways to turn them into frequencies.

Patches are numbered row by row through all images; each is IN x IN numbers and begins OUT columns right of the one
before it, or OUT rows below. Their frequencies are what `winograd.py` multiplies.
"""

from __future__ import annotations

from minidarknet.kernels.frequencies import IN, OUT, to_frequencies, to_frequencies_apart
from minidarknet.kernels.jit import scalar
from minidarknet.kernels.simd import LANES
from minidarknet.kernels.tile import Floats, Offsets

#: Up to so many patches in a row, most lanes would be idle if they were turned side by side.
FEW = LANES // 2


@scalar
def turn_patches(
    frequencies: Floats,
    images: Floats,
    first: int,
    count: int,
    pitch: int,
    step: int,
    padding: int,
    patch_rows: int,
    patch_columns: int,
) -> None:
    """Turn `count` patches of images (batch, channels, height, width), from number `first` on.

    Frequency q of channel c is at frequencies[q * step + c * pitch:].
    """
    _, channels, height, width = images.shape
    flat = images.reshape(-1)
    i = 0
    while i < count:
        line, column = (first + i) // patch_columns, (first + i) % patch_columns
        b, top, left = line // patch_rows, OUT * (line % patch_rows) - padding, OUT * column - padding
        for c in range(channels):
            s = ((b * channels + c) * height + top) * width + left
            to_frequencies(frequencies, c * pitch + i, step, flat, s, top, left, height, width)
        # What was turned beyond these, the next ones write over.
        i += min(count - i, patch_columns - column, LANES - 1)


@scalar
def turn_patches_apart(
    frequencies: Floats,
    images: Floats,
    first: int,
    count: int,
    pitch: int,
    step: int,
    padding: int,
    patch_rows: int,
    patch_columns: int,
    corners: Offsets,
    masks: Offsets,
) -> None:
    """The same where rows have few patches: as many as there are lanes, from any rows and images.

    corners and masks are scratch, for `count` patches and LANES more.
    """
    _, channels, height, width = images.shape
    flat = images.reshape(-1)
    masks[count * IN :] = 0
    for i in range(count):
        line, column = (first + i) // patch_columns, (first + i) % patch_columns
        b, top, left = line // patch_rows, OUT * (line % patch_rows) - padding, OUT * column - padding
        corners[i] = (b * channels * height + top) * width + left
        before, end = min(IN, max(0, -left)), min(IN, max(0, width - left))  # columns left of the plane, and its end
        inside = ((1 << end) - 1) & ~((1 << before) - 1)
        for y in range(IN):
            masks[i * IN + y] = inside if 0 <= top + y < height else 0
    for c in range(channels):
        for i in range(0, count, LANES):
            v, s = c * pitch + i, c * height * width
            to_frequencies_apart(frequencies, v, step, flat, s, corners, masks, i, width)
