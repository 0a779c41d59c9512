"""Darknet's geometry: resize, letterbox and crop, bit for bit.

Two rules explain all the numbers. Resizing lines up the centres of the corner pixels, so the first and last pixel of
a row stay what they are and `scale = (old - 1) / (new - 1)`. Sizes and offsets are whole numbers, rounded down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minidarknet.errors import InputError

# A picture one pixel high, its shorter side brought to 224, would be 224 times as wide as before. The limit is what
# `images.py` reads too: 1.2 GB in three channels.
MAX_PIXELS = 100_000_000


def resize(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Stretch a picture to a size, bilinearly: first along the rows, then along the columns.

    Parameters
    ----------
    image
        float32, (channels, old height, old width).
    height, width
        The new size, at least 1.

    Returns
    -------
    ndarray
        float32, (channels, height, width), within the range of the input (but see the notes).

    Raises
    ------
    InputError
        The image is not of three dimensions or is empty; a size is below 1; the result is above `MAX_PIXELS`.

    Notes
    -----
    Darknet: image.c, resize_image; the same operations in the same order in float32, hence the same bits, with two
    exceptions. (1) Width 1 takes the last column; height 1 takes the last row, where Darknet fails. (2) For some
    pairs of heights (16 to 224, 46 to 168; one old height in twenty for 224) float32 puts the last row a hair above
    the picture's end; Darknet then multiplies it by almost zero and the row turns black. Here it is the last row.
    Where float32 puts it a hair below the end, Darknet dims the row by that hair (about 3e-5), and so do we.
    """
    _check(image, height, width)
    _, old_height, old_width = image.shape
    left, right, near_x, far_x, _ = _neighbours(old_width, width)
    top, bottom, near_y, far_y, beyond = _neighbours(old_height, height)
    near_y[-1] = np.float32(1) - beyond

    # Only the rows that the second pass will look at: 448 of a photo's 3000 when the new height is 224.
    rows, place = np.unique(np.concatenate((top, bottom)), return_inverse=True)
    strip = image[:, rows]  # (channels, rows, old width)
    part = near_x * strip.take(left, axis=2) + far_x * strip.take(right, axis=2)  # (channels, rows, width)

    resized: NDArray[np.float32] = near_y[:, None] * part.take(place[:height], axis=1)  # (channels, height, width)
    resized += far_y[:, None] * part.take(place[height:], axis=1)
    return resized


def _neighbours(
    old: int, new: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32], NDArray[np.float32], np.float32]:
    """Where along one axis each new pixel lies: the pixels before and after it, their weights, and the overshoot.

    The overshoot says how far float32 puts the last pixel beyond the end, at least 0.
    """
    scale = np.float32(old - 1) / np.float32(max(new - 1, 1))
    position = np.arange(new, dtype=np.float32) * scale
    before = np.minimum(position.astype(np.intp), old - 1)
    far = position - before.astype(np.float32)
    beyond = max(position[-1] - np.float32(old - 1), np.float32(0))
    before[-1], far[-1] = old - 1, 0  # the last pixel is the last pixel, whatever the rounding
    return before, np.minimum(before + 1, old - 1), np.float32(1) - far, far, beyond


def resize_min(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Make the shorter side `side` long and keep the proportions. Darknet: image.c, resize_min."""
    return cover(image, side, side)


def resize_max(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Make the longer side `side` long and keep the proportions. Darknet: image.c, resize_max."""
    _check(image, side, side)
    return resize(image, *_contained(image, side, side))


def cover(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize, proportions kept, to the smallest picture that covers height x width.

    Parameters
    ----------
    image
        float32, (channels, old height, old width).
    height, width
        What must be covered, at least 1 each.

    Returns
    -------
    ndarray
        float32, (channels, at least height, at least width); one of the two is exact, the other rounded down.

    Raises
    ------
    InputError
        As `resize`; a very long and thin picture may need more than `MAX_PIXELS`.

    Notes
    -----
    For a square this is Darknet's resize_min (image.c). Darknet has no rule for others.
    """
    _check(image, height, width)
    _, old_height, old_width = image.shape
    if width * old_height >= height * old_width:
        return resize(image, old_height * width // old_width, width)
    return resize(image, height, old_width * height // old_height)


def letterbox(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize, proportions kept, to the largest picture that fits into height x width, and centre it on grey.

    Parameters
    ----------
    image
        float32, (channels, old height, old width).
    height, width
        The size of the result, at least 1 each.

    Returns
    -------
    ndarray
        float32, (channels, height, width); the bars are 0.5. A picture so thin that its shorter side would vanish
        keeps one pixel of it.

    Raises
    ------
    InputError
        As `resize`.

    Notes
    -----
    Darknet: image.c, letterbox_image.
    """
    _check(image, height, width)
    inner_height, inner_width = _contained(image, height, width)
    boxed = np.full((image.shape[0], height, width), 0.5, np.float32)
    y, x = (height - inner_height) // 2, (width - inner_width) // 2
    boxed[:, y : y + inner_height, x : x + inner_width] = resize(image, inner_height, inner_width)
    return boxed


def _contained(image: NDArray[np.float32], height: int, width: int) -> tuple[int, int]:
    """Height and width of the largest picture of the same proportions inside height x width, never below 1."""
    _, old_height, old_width = image.shape
    if width * old_height < height * old_width:
        return max(old_height * width // old_width, 1), width
    return height, max(old_width * height // old_height, 1)


def crop(image: NDArray[np.float32], dx: int, dy: int, height: int, width: int) -> NDArray[np.float32]:
    """Cut out a rectangle; where it reaches beyond the picture, the picture's edge is repeated.

    Parameters
    ----------
    image
        float32, (channels, old height, old width).
    dx, dy
        Column and row of the picture at which the rectangle's upper left corner lies; may be negative.
    height, width
        The size of the rectangle, at least 1.

    Returns
    -------
    ndarray
        float32, (channels, height, width), a copy.

    Raises
    ------
    InputError
        As `resize`.

    Notes
    -----
    Darknet: image.c, crop_image.
    """
    _check(image, height, width)
    _, old_height, old_width = image.shape
    rows = np.clip(np.arange(dy, dy + height), 0, old_height - 1)
    columns = np.clip(np.arange(dx, dx + width), 0, old_width - 1)
    return np.ascontiguousarray(image[:, rows[:, None], columns])


def center_crop(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Cut out the largest centred square, then stretch it to height x width.

    The picture that Darknet's `classifier valid` shows to the network. Arguments and errors as `resize`.
    Darknet: image.c, center_crop_image.
    """
    _check(image, height, width)
    _, old_height, old_width = image.shape
    side = min(old_height, old_width)
    x, y = (old_width - side) // 2, (old_height - side) // 2
    square = image[:, y : y + side, x : x + side]  # a view: `crop` would copy all of a large photo
    return resize(square, height, width)


def cut_center(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Cover height x width with the picture as `cover` does, then cut off what stands over, equally on both sides.

    Parameters
    ----------
    image
        float32, (channels, any height, any width).
    height, width
        The size of the result.

    Returns
    -------
    ndarray
        float32, (channels, height, width).

    Raises
    ------
    InputError
        As `cover`.

    Notes
    -----
    AlexeyAB's Darknet: classifier.c, predict_classifier (resize_min, then crop_image at half the difference, rounded
    down).
    """
    covering = cover(image, height, width)
    _, covering_height, covering_width = covering.shape
    return crop(covering, (covering_width - width) // 2, (covering_height - height) // 2, height, width)


def _check(image: NDArray[np.float32], height: int, width: int) -> None:
    """Refuse what cannot be a picture and sizes that cannot be made, before any memory is taken."""
    if image.ndim != 3 or image.size == 0:
        raise InputError(f"expected a picture of shape (channels, height, width), none of them 0, found {image.shape}")
    if height < 1 or width < 1:
        raise InputError(f"a picture cannot become {width} x {height} pixels (width x height): both must be at least 1")
    if height * width > MAX_PIXELS:
        was = f"{image.shape[2]} x {image.shape[1]}"
        pixels = f"{width} x {height} = {height * width:,} pixels"
        raise InputError(f"a picture of {was} pixels would become {pixels}; the limit is {MAX_PIXELS:,}")
