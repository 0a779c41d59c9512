"""Flips, rotations and colours against Darknet's recorded results and against the standard library's colorsys."""

from __future__ import annotations

import colorsys
import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import shared_folder
from minidarknet import augment
from minidarknet.augment import distort, flip, grayscale, hsv_to_rgb, rgb_to_hsv, rotate, rotate_crop
from minidarknet.errors import InputError
from minidarknet.images import read_image

OPERATIONS = ("flip", "distort", "rgb_to_hsv", "rotate_crop", "rotate", "grayscale")
GEOMETRY = ("letterbox", "resize", "resize_min", "resize_max", "center_crop", "crop")  # tests/test_resize.py


def golden_operations() -> list[str]:
    index = shared_folder() / "golden" / "images" / "ops_visible.json"
    if not index.is_file():
        return []
    return [name for name, entry in json.loads(index.read_text()).items() if entry["op"] in OPERATIONS]


@pytest.mark.parametrize("name", golden_operations())
def test_golden_operation(golden: Path, name: str) -> None:
    entry = json.loads((golden / "images" / "ops_visible.json").read_text())[name]
    expected = np.load(golden / "images" / "ops_visible.npz")[name]
    image = read_image(golden / "images" / entry["src"])
    arguments = entry["args"]
    if entry["op"] == "rotate_crop":  # recorded with width before height
        radians, scale, width, height, *shift = arguments
        arguments = [radians, scale, height, width, *shift]
    result = getattr(augment, entry["op"])(image, *arguments)
    assert result.shape == tuple(entry["shape"])
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    limit = 2e-5 if entry["op"].startswith("rotate") else 2e-6
    np.testing.assert_allclose(result, expected, rtol=0, atol=limit, equal_nan=True)


def test_every_recorded_operation_is_tested(golden: Path) -> None:
    index = json.loads((golden / "images" / "ops_visible.json").read_text())
    assert set(np.load(golden / "images" / "ops_visible.npz").files) == set(index)
    assert {entry["op"] for entry in index.values()} == {*OPERATIONS, *GEOMETRY}


def noise(height: int = 9, width: int = 12, channels: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(1).random((channels, height, width), np.float32)


def test_all_return_new_arrays() -> None:
    image = noise()
    before = image.copy()
    for result in (
        flip(image),
        rotate(image, 0.0),
        rotate_crop(image, 0.0, 1.0, 9, 12, 0.0, 0.0, 1.0),
        grayscale(image),
        rgb_to_hsv(image),
        hsv_to_rgb(image),
        distort(image, 0.2, 1.3, 0.7),
        distort(image[:1], 0.0, 1.0, 1.0),
    ):
        assert not np.shares_memory(result, image)
        assert result.dtype == np.float32
        assert result.flags.c_contiguous
    np.testing.assert_array_equal(image, before)


def test_flip() -> None:
    image = noise()
    assert flip(image)[1, 2, 0] == image[1, 2, -1]
    np.testing.assert_array_equal(flip(flip(image)), image)
    np.testing.assert_array_equal(flip(image[:, :, :1]), image[:, :, :1])


def test_rotate_nothing() -> None:
    np.testing.assert_array_equal(rotate(noise(), 0.0), noise())


def test_rotate_turns_counter_clockwise() -> None:
    """A dot right of the middle goes up, not down."""
    image = np.zeros((1, 11, 11), np.float32)
    image[0, 5, 9] = 1
    y, x = np.unravel_index(rotate(image, math.pi / 4)[0].argmax(), (11, 11))
    assert y < 5
    assert x > 5


def test_outside_is_black() -> None:
    image = np.ones((3, 6, 8), np.float32)
    window = rotate_crop(image, 0.0, 1.0, 10, 10, 0.0, 0.0, 1.0)
    assert (window[:, 2:8, 1:9] == 1).all()
    assert window.sum() == 3 * 6 * 8
    assert (rotate_crop(image, 0.0, 1.0, 4, 4, 1e30, -1e30, 1.0) == 0).all()


def test_a_place_between_inside_and_outside_is_half_black() -> None:
    window = rotate_crop(np.ones((1, 4, 4), np.float32), 0.0, 1.0, 4, 4, 0.5, 0.0, 1.0)
    np.testing.assert_array_equal(window[0, 0], [1, 1, 1, 0.5])
    window = rotate_crop(np.ones((1, 4, 4), np.float32), 0.0, 1.0, 4, 4, -0.5, 0.0, 1.0)
    np.testing.assert_array_equal(window[0, 0], [0.5, 1, 1, 1])


def test_scale_aspect_and_shift() -> None:
    image = noise(8, 8)
    np.testing.assert_array_equal(rotate_crop(image, 0.0, 2.0, 8, 8, 0.0, 0.0, 1.0)[:, ::2, ::2], image[:, 2:6, 2:6])
    np.testing.assert_array_equal(rotate_crop(image, 0.0, 1.0, 8, 4, 0.0, 0.0, 2.0), image[:, :, ::2])
    np.testing.assert_array_equal(rotate_crop(image, 0.0, 1.0, 4, 4, 1.0, -2.0, 1.0), image[:, 0:4, 3:7])


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1)])
def test_smallest_pictures(shape: tuple[int, int]) -> None:
    image = noise(*shape)
    assert rotate(image, 0.3).shape == (3, *shape)
    assert rotate_crop(image, 0.3, 1.5, 5, 4, 0.0, 0.0, 1.0).shape == (3, 5, 4)
    np.testing.assert_allclose(hsv_to_rgb(rgb_to_hsv(image)), image, atol=1e-6)


def test_colours_against_colorsys() -> None:
    image = noise(20, 20)
    hsv = rgb_to_hsv(image)
    for y in range(20):
        for x in range(20):
            np.testing.assert_allclose(hsv[:, y, x], colorsys.rgb_to_hsv(*image[:, y, x].tolist()), atol=1e-5)
    np.testing.assert_allclose(hsv_to_rgb(hsv), image, atol=1e-6)


@pytest.mark.parametrize(
    ("rgb", "hsv"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((0.5, 0.5, 0.5), (math.nan, 0, 0.5)),
        ((1, 1, 1), (math.nan, 0, 1)),
        ((1, 0, 0), (0, 1, 1)),
        ((1, 1, 0), (1 / 6, 1, 1)),
        ((0, 1, 0), (1 / 3, 1, 1)),
        ((0, 1, 1), (1 / 2, 1, 1)),
        ((0, 0, 1), (2 / 3, 1, 1)),
        ((1, 0, 1), (5 / 6, 1, 1)),
    ],
)
def test_named_colours(rgb: tuple[float, ...], hsv: tuple[float, ...]) -> None:
    image = np.array(rgb, np.float32).reshape(3, 1, 1)
    np.testing.assert_allclose(rgb_to_hsv(image).ravel(), hsv, atol=1e-6)
    np.testing.assert_allclose(hsv_to_rgb(rgb_to_hsv(image)).ravel(), rgb, atol=1e-6)


def test_hue_of_exactly_one_jumps() -> None:
    """Darknet's last branch catches hue 1 and gives (value, p, value)."""
    image = np.array([1, 0.75, 0.5], np.float32).reshape(3, 1, 1)
    np.testing.assert_array_equal(hsv_to_rgb(image).ravel(), [0.5, 0.125, 0.5])


def test_distort_hue_wraps_both_ways() -> None:
    red = np.array([1, 0, 0], np.float32).reshape(3, 1, 1)
    np.testing.assert_allclose(distort(red, 1 / 3, 1, 1).ravel(), [0, 1, 0], atol=1e-5)
    np.testing.assert_allclose(distort(red, -1 / 3, 1, 1).ravel(), [0, 0, 1], atol=1e-5)
    blue = np.array([0, 0, 1], np.float32).reshape(3, 1, 1)
    np.testing.assert_allclose(distort(blue, 0.5, 1, 1).ravel(), [1, 1, 0], atol=1e-5)


def test_distort_clamps_and_leaves_grey_grey() -> None:
    assert distort(noise(), 0.0, 1.0, 5.0).max() == 1
    assert distort(noise(), 0.0, 5.0, 1.0).min() == 0
    grey = np.full((3, 2, 2), 0.4, np.float32)
    np.testing.assert_allclose(distort(grey, 0.3, 1.5, 0.5), 0.2, atol=1e-7)
    np.testing.assert_array_equal(distort(np.zeros((3, 2, 2), np.float32), 0.3, 1.5, 2.0), 0)


def test_distort_of_one_channel_changes_brightness_only() -> None:
    image = noise(channels=1)
    np.testing.assert_array_equal(distort(image, 0.3, 0.1, 1.5), np.minimum(image * np.float32(1.5), 1))


@pytest.mark.parametrize("function", [grayscale, rgb_to_hsv, hsv_to_rgb, lambda image: distort(image, 0.1, 1, 1)])
@pytest.mark.parametrize("shape", [(2, 4, 4), (4, 4, 4), (3, 4)])
def test_colours_need_three_channels(function: object, shape: tuple[int, ...]) -> None:
    assert callable(function)
    with pytest.raises(InputError) as caught:
        function(np.zeros(shape, np.float32))
    assert str(caught.value) == f"expected a colour picture of shape (3, height, width), found {shape}"


@pytest.mark.parametrize(
    ("radians", "scale", "aspect"), [(math.nan, 1, 1), (0, 0, 1), (0, -1, 1), (0, 1, 0), (0, math.inf, 1)]
)
def test_impossible_rotations(radians: float, scale: float, aspect: float) -> None:
    with pytest.raises(InputError) as caught:
        rotate_crop(noise(), radians, scale, 4, 4, 0.0, 0.0, aspect)
    assert str(caught.value) == (
        "expected finite numbers, scale and aspect above 0, "
        f"found angle {radians}, scale {scale}, dx 0.0, dy 0.0, aspect {aspect}"
    )


def test_impossible_windows() -> None:
    with pytest.raises(InputError) as caught:
        rotate_crop(noise(), 0.0, 1.0, 0, 4, 0.0, 0.0, 1.0)
    assert str(caught.value) == "cannot cut out 4 x 0 pixels (width x height): both must be at least 1"
    with pytest.raises(InputError, match="angle inf"):
        rotate(noise(), math.inf)
