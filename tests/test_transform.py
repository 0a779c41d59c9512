"""Which change a picture gets: the formulas of Darknet's random_augment_args, the bounds, and what the options do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from minidarknet.augment import distort, flip, rotate_crop
from minidarknet.net_options import NetOptions
from minidarknet.resize import center_crop
from minidarknet.transform import DRAWN, Change, apply, crop_range, draw

ALL = NetOptions(
    height=20, width=24, channels=3, max_crop=48, min_crop=24, angle=7, aspect=0.75, hue=0.1, saturation=1.5, exposure=2
)
NOTHING = NetOptions(height=20, width=24, channels=3, max_crop=24, min_crop=24, flip=False)


def chances(count: int, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((count, DRAWN))


def pictures(count: int, height: int = 30, width: int = 40, channels: int = 3) -> list[NDArray[np.float32]]:
    return [*np.random.default_rng(2).random((count, channels, height, width), np.float32)]


def darknet(chance: NDArray[np.float64], width: int, height: int, size: int) -> Change:
    """random_augment_args and the draws around it, line by line as in C, for a square network and the options ALL."""
    draws = iter(chance.tolist())

    def uniform(low: float, high: float) -> float:
        return next(draws) * (high - low) + low

    def scale_(most: float) -> float:
        scale = uniform(1, most)
        return scale if next(draws) < 0.5 else 1 / scale

    aspect = scale_(0.75)
    r = int(next(draws) * (48 - 24 + 1)) + 24
    low = height if height < width * aspect else int(width * aspect)
    scale = r / low
    rad = uniform(-7, 7) * 6.2831853071795864 / 360
    dx, dy = (width * scale / aspect - size) / 2, (height * scale - size) / 2
    dx = uniform(-dx, dx)
    dy = uniform(-dy, dy)
    turned = next(draws) < 0.5
    hue = uniform(-0.1, 0.1)
    return Change(rad, scale, dx, dy, aspect, turned, hue, scale_(1.5), scale_(2))


@pytest.mark.parametrize(("height", "width"), [(30, 40), (40, 30), (24, 24), (1, 5)])
def test_the_draws_are_darknets(height: int, width: int) -> None:
    options = replace(ALL, height=24)
    for chance in chances(50):
        found, expected = draw(options, (height, width), (24, 24), chance), darknet(chance, width, height, 24)
        assert vars(found) == pytest.approx(vars(expected), rel=1e-12, abs=1e-12)


def test_a_network_that_is_not_square_has_its_own_height() -> None:
    chance = np.zeros(DRAWN)
    change = draw(NOTHING, (30, 40), (20, 24), chance)
    assert change.scale == 24 / 30
    assert (change.dx, change.dy) == pytest.approx((-(40 * 0.8 - 24) / 2, -(30 * 0.8 - 20) / 2))


def test_bounds_are_reached_and_kept() -> None:
    """3,000 draws come within 2 % of both ends of every range, and half of them are mirrored."""
    found = [draw(ALL, (30, 40), (20, 24), chance) for chance in chances(3000)]
    ranges = {
        "radians": (-math.radians(7), math.radians(7)),
        "hue": (-0.1, 0.1),
        "aspect": (0.75, 1 / 0.75),
        "saturation": (1 / 1.5, 1.5),
        "exposure": (0.5, 2),
    }
    for name, (low, high) in ranges.items():
        values = [getattr(change, name) for change in found]
        assert low <= min(values) < low + 0.02 * (high - low), name
        assert high >= max(values) > high - 0.02 * (high - low), name
    sides = {round(change.scale * int(min(30, 40 * change.aspect))) for change in found}
    assert sides == {*range(24, 49)}
    assert 0.45 < np.mean([change.flip for change in found]) < 0.55
    assert 0.45 < np.mean([change.saturation > 1 for change in found]) < 0.55
    saturation, exposure = (
        np.array([getattr(change, name) for change in found]) for name in ("saturation", "exposure")
    )
    assert abs(np.corrcoef(saturation, exposure)[0, 1]) < 0.06  # drawn one apart from the other


@pytest.mark.parametrize(
    ("options", "width", "expected"),
    [
        ({}, 24, (24, 48)),
        ({"max_crop": 30}, 24, (24, 30)),
        ({"min_crop": 40, "max_crop": 30}, 24, (30, 40)),
        ({"min_ratio": 1.5, "max_ratio": 2.5, "max_crop": 30}, 24, (36, 60)),
        ({"max_crop": 30}, 48, (48, 60)),  # a network that was resized
        ({"min_ratio": 0.001}, 24, (1, 48)),
    ],
)
def test_crop_range(options: dict[str, float], width: int, expected: tuple[int, int]) -> None:
    assert crop_range(NetOptions(width=24, height=20, channels=3, **options), width) == expected  # type: ignore[arg-type]


def test_every_max_crop_is_reached_exactly() -> None:
    """Darknet rounds the ratio to float32 and cuts; 320 of 224 must not become 319."""
    for width in (28, 32, 49, 224, 227, 256, 299, 448):
        for most in range(width, 2 * width):
            assert crop_range(NetOptions(width=width, max_crop=most), width) == (width, most)


def one(image: NDArray[np.float32], change: Change, options: NetOptions) -> NDArray[np.float32]:
    """The same with the functions for one picture."""
    seen = rotate_crop(image, change.radians, change.scale, 20, 24, change.dx, change.dy, change.aspect)
    seen = flip(seen) if change.flip else seen
    return distort(seen, change.hue, change.saturation, change.exposure)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_together_are_the_same_bits_as_alone(channels: int) -> None:
    images = pictures(7, channels=channels)
    changes = [draw(ALL, (30, 40), (20, 24), chance) for chance in chances(7)]
    assert len({change.flip for change in changes}) == 2
    together = apply(images, changes, ALL, 20, 24)
    assert (together.shape, together.dtype) == ((channels, 7, 20, 24), np.float32)
    for place, (image, change) in enumerate(zip(images, changes, strict=True)):
        np.testing.assert_array_equal(together[:, place], apply([image], [change], ALL, 20, 24)[:, 0])
        np.testing.assert_array_equal(together[:, place], one(image, change, ALL))


def test_nothing_to_change_leaves_a_picture_as_it_is() -> None:
    image = pictures(1, 20, 24)[0]
    options = replace(NOTHING, max_crop=20, min_crop=20)  # the shorter side as it is
    for chance in chances(5):
        change = draw(options, (20, 24), (20, 24), chance)
        np.testing.assert_array_equal(apply([image], [change], options, 20, 24)[:, 0], image)


def test_center() -> None:
    """The largest centred square, mirrored and coloured like any other."""
    image, options = pictures(1)[0], replace(ALL, center=True)
    for chance in chances(4):
        change = draw(options, (30, 40), (20, 24), chance)
        expected = center_crop(image, 20, 24)
        expected = distort(flip(expected) if change.flip else expected, change.hue, change.saturation, change.exposure)
        np.testing.assert_array_equal(apply([image], [change], options, 20, 24)[:, 0], expected)


def test_digits_can_be_kept_the_right_way_round() -> None:
    assert not any(draw(replace(ALL, flip=False), (9, 9), (20, 24), chance).flip for chance in chances(20))
