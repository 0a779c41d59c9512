"""Small changes to a picture that do not change what it shows: flipped, rotated, other colours.

Training shows each picture a little differently every time; which change and how much is drawn elsewhere, here are
the changes themselves, as Darknet computes them. All of them return new arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from minidarknet.errors import InputError

Amount = float | NDArray[np.float64]
GREY_WEIGHTS = (0.299, 0.587, 0.114)  # how bright red, green and blue look to the eye: ITU-R BT.601


def flip(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mirror left and right; (channels, height, width) in and out. Darknet: image.c, flip_image."""
    return np.ascontiguousarray(image[:, :, ::-1])


def rotate(image: NDArray[np.float32], radians: float) -> NDArray[np.float32]:
    """Turn a picture about its middle, counter-clockwise as seen; what turns in from outside is black.

    (channels, height, width) in and out, so the corners are cut off. InputError for an infinite angle or NaN.
    Darknet: image.c, rotate_image.
    """
    _, height, width = image.shape
    return rotate_crop(image, radians, 1.0, height, width, 0.0, 0.0, 1.0)


def rotate_crop(
    image: NDArray[np.float32],
    radians: float,
    scale: float,
    height: int,
    width: int,
    dx: float,
    dy: float,
    aspect: float,
) -> NDArray[np.float32]:
    """Cut a turned, scaled and shifted window out of a picture, in one step.

    Parameters
    ----------
    image
        float32, (channels, old height, old width).
    radians
        The angle by which the picture turns, counter-clockwise as seen.
    scale
        The enlargement, above 0.
    height, width
        The size of the window, at least 1.
    dx, dy
        How far the window's middle lies right of and below the picture's middle, in pixels of the window.
    aspect
        How many times narrower than before things become, above 0.

    Returns
    -------
    ndarray
        float32, (channels, height, width), bilinear between the four nearest pixels, black outside the picture.

    Raises
    ------
    InputError
        A size, the scale or the aspect is not positive, or a number is infinite or NaN.

    Notes
    -----
    Darknet: image.c, rotate_crop_image; coordinates in double, then rounded to float as there.
    """
    if height < 1 or width < 1:
        raise InputError(f"cannot cut out {width} x {height} pixels (width x height): both must be at least 1")
    if not all(math.isfinite(number) for number in (radians, scale, dx, dy, aspect)) or scale <= 0 or aspect <= 0:
        found = f"angle {radians}, scale {scale}, dx {dx}, dy {dy}, aspect {aspect}"
        raise InputError(f"expected finite numbers, scale and aspect above 0, found {found}")
    return rotate_crops(image[:, None], [radians], [scale], height, width, [dx], [dy], [aspect])[:, 0]


def rotate_crops(
    images: NDArray[np.float32],
    radians: Sequence[float],
    scale: Sequence[float],
    height: int,
    width: int,
    dx: Sequence[float],
    dy: Sequence[float],
    aspect: Sequence[float],
) -> NDArray[np.float32]:
    """Do `rotate_crop` for several pictures of one size, which is quicker for small ones; nothing is checked here.

    (channels, pictures, old height, old width) in, (channels, pictures, height, width) out.
    """
    old_height, old_width = images.shape[2:]

    def each(numbers: Iterable[float]) -> NDArray[np.float64]:
        return np.array([*numbers])[:, None, None]  # (pictures, 1, 1)

    enlarged = each(scale)
    x = (np.arange(width) - width / 2 + each(dx)) / enlarged * each(aspect)  # (pictures, 1, width), from the middle
    y = (np.arange(height)[:, None] - height / 2 + each(dy)) / enlarged  # (pictures, height, 1)
    sine, cosine = each(map(math.sin, radians)), each(map(math.cos, radians))
    source_x = cosine * x - sine * y + old_width / 2  # (pictures, height, width)
    source_y = sine * x + cosine * y + old_height / 2
    return _bilinear(images, source_x.astype(np.float32), source_y.astype(np.float32))


def _bilinear(images: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Look up pictures at fractional places x, y of shape (pictures, height, width); zero outside.

    Darknet: image.c, bilinear_interpolate and get_pixel_extend.
    """
    channels, pictures, height, width = images.shape
    # Whatever lies outside is looked up in a border of zeros, one pixel wide.
    bordered = np.zeros((channels, pictures, height + 2, width + 2), np.float32)
    bordered[:, :, 1:-1, 1:-1] = images
    bordered = bordered.reshape(channels, -1)
    left, top = np.floor(x), np.floor(y)
    far_x, far_y = x - left, y - top
    near_x, near_y = np.float32(1) - far_x, np.float32(1) - far_y
    # Clipped as floats, since a far-away place need not fit an integer; clipped apart, since a place just outside
    # still has a neighbour inside.
    start = (np.arange(pictures) * (height + 2) * (width + 2))[:, None, None]
    columns = [np.clip(left + step, -1, width).astype(np.intp) + 1 for step in (0, 1)]
    rows = [(np.clip(top + step, -1, height).astype(np.intp) + 1) * (width + 2) + start for step in (0, 1)]
    result: NDArray[np.float32] = near_y * near_x * bordered.take(rows[0] + columns[0], axis=1)
    result += far_y * near_x * bordered.take(rows[1] + columns[0], axis=1)
    result += near_y * far_x * bordered.take(rows[0] + columns[1], axis=1)
    result += far_y * far_x * bordered.take(rows[1] + columns[1], axis=1)
    return result


def grayscale(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weigh red, green, blue (3, height, width) into one grey plane (1, height, width).

    Darknet: image.c, grayscale_image. InputError unless there are 3 channels.
    """
    red, green, blue = _three_planes(image)
    weights = np.array(GREY_WEIGHTS, np.float32)
    grey: NDArray[np.float32] = weights[0] * red + weights[1] * green + weights[2] * blue
    return grey[None]


def rgb_to_hsv(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Red, green, blue become hue, saturation, value.

    Parameters
    ----------
    image
        float32, (3, height, width), 0..1.

    Returns
    -------
    ndarray
        float32, (3, height, width): hue 0..1 once around the colours (0 red, 1/3 green, 2/3 blue), saturation 0..1,
        value 0..1. A grey pixel has no hue: NaN, as 0/0 in Darknet, and saturation 0; black has hue 0.

    Raises
    ------
    InputError
        There are not 3 channels.

    Notes
    -----
    Darknet: image.c, rgb_to_hsv.
    """
    red, green, blue = _three_planes(image)
    value = image.max(axis=0)
    spread = value - image.min(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # the 0/0 of grey and black pixels
        sixth = np.where(
            red == value,
            (green - blue) / spread,
            np.where(green == value, 2 + (blue - red) / spread, 4 + (red - green) / spread),
        )
        saturation = np.where(value == 0, np.float32(0), spread / value)
    sixth = np.where(sixth < 0, sixth + 6, sixth)
    hue = np.where(value == 0, np.float32(0), sixth / 6)
    return np.stack((hue, saturation, value))


def hsv_to_rgb(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Hue, saturation, value become red, green, blue; the way back from `rgb_to_hsv`.

    Parameters
    ----------
    image
        float32, (3, height, width); hue 0..1, ignored (it may be NaN) where the saturation is 0.

    Returns
    -------
    ndarray
        float32, (3, height, width). A hue of exactly 1 gives (value, p, value) rather than what hue 0 gives, a jump
        that Darknet has too.

    Raises
    ------
    InputError
        There are not 3 channels.

    Notes
    -----
    Darknet: image.c, hsv_to_rgb.
    """
    hue, saturation, value = _three_planes(image)
    sixth = np.where(saturation == 0, np.float32(0), hue * 6)
    sector = np.floor(sixth)
    along = sixth - sector
    low = value * (1 - saturation)
    falling = value * (1 - saturation * along)
    rising = value * (1 - saturation * (1 - along))
    sectors = [sector == number for number in range(5)]  # the sixth is what is left
    red = np.select(sectors, [value, falling, low, low, rising], value)
    green = np.select(sectors, [rising, value, value, falling, low], low)
    blue = np.select(sectors, [low, low, rising, value, value], falling)
    return np.stack((red, green, blue))


def distort(image: NDArray[np.float32], hue: Amount, saturation: Amount, exposure: Amount) -> NDArray[np.float32]:
    """Shift the hue, multiply saturation and brightness, clamp to 0..1.

    Parameters
    ----------
    image
        float32, (3, height, width), or (1, height, width), of which only the brightness changes.
    hue
        Added to the hue, -1..1, of which 1 is once around all colours.
    saturation, exposure
        Factors; 1 changes nothing. Each of the three may be an array that fits (height, width), to treat pictures
        that lie below one another differently.

    Returns
    -------
    ndarray
        float32, of the same shape, 0..1.

    Raises
    ------
    InputError
        There are neither 1 nor 3 channels.

    Notes
    -----
    Darknet: image.c, distort_image.
    """
    if image.shape[0] == 1:
        brighter: NDArray[np.float32] = image * np.asarray(exposure, np.float32)
        return np.clip(brighter, 0, 1)
    hsv = rgb_to_hsv(image)
    hsv[1] *= np.asarray(saturation, np.float32)
    hsv[2] *= np.asarray(exposure, np.float32)
    hsv[0] += np.asarray(hue, np.float32)
    hsv[0] = np.where(hsv[0] > 1, hsv[0] - 1, hsv[0])
    hsv[0] = np.where(hsv[0] < 0, hsv[0] + 1, hsv[0])
    return np.clip(hsv_to_rgb(hsv), 0, 1)


def _three_planes(
    image: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    if image.ndim != 3 or image.shape[0] != 3:
        raise InputError(f"expected a colour picture of shape (3, height, width), found {image.shape}")
    return image[0], image[1], image[2]
