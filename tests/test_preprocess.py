"""The five named ways to bring a picture to a network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from minidarknet.errors import InputError, UsageError
from minidarknet.images import read_image
from minidarknet.preprocess import PREPROCESSES, prepare
from minidarknet.resize import center_crop, cover, crop, cut_center, letterbox, resize, resize_min


def test_names_and_descriptions() -> None:
    assert list(PREPROCESSES) == ["fit", "letterbox", "center", "crop", "stretch"]
    image = np.zeros((3, 30, 40), np.float32)
    for name, meaning in PREPROCESSES.items():
        assert meaning
        assert "\n" not in meaning
        assert prepare(image, name, 8, 8).shape == ((3, 8, 10) if name == "fit" else (3, 8, 8))


@pytest.mark.parametrize(
    ("name", "recorded_as"), [("fit", "resizemin224"), ("letterbox", "letterbox224"), ("crop", "centercrop224")]
)
@pytest.mark.parametrize("picture", ["dog", "eagle", "horses"])
def test_darknets_bits(golden: Path, picture: str, name: str, recorded_as: str) -> None:
    recorded = np.load(golden / "images" / "preprocess.npz")
    result = prepare(read_image(golden / "images" / f"{picture}.png"), name, 224, 224)
    assert hashlib.sha256(result.astype("<f4").tobytes()).hexdigest() == str(
        recorded[f"{picture}_{recorded_as}_sha256"]
    )


@pytest.mark.parametrize(
    ("name", "darknets"),
    [
        ("center", "dog_small__center_crop_56x56"),
        ("center", "dog_small__center_crop_40x64"),
        ("letterbox", "dog_small__letterbox_50x70"),
        ("stretch", "dog_small__resize_33x130"),
    ],
)
def test_darknets_values(golden: Path, name: str, darknets: str) -> None:
    expected = np.load(golden / "images" / "ops_visible.npz")[darknets]
    result = prepare(read_image(golden / "images" / "dog_small.png"), name, *expected.shape[1:])
    np.testing.assert_allclose(result, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", list(PREPROCESSES))
def test_a_picture_of_the_right_size_stays_as_it_is(name: str) -> None:
    generator = np.random.default_rng(4)
    for side in (1, 8, 28, 224):
        image = generator.random((3, side, side), np.float32)
        result = prepare(image, name, side, side)
        by_hand = {"fit": cover, "letterbox": letterbox, "center": center_crop, "crop": cut_center, "stretch": resize}
        np.testing.assert_array_equal(result, image)
        np.testing.assert_array_equal(by_hand[name](image, side, side), image)
        assert not np.shares_memory(result, image)
    wide = generator.random((3, 8, 16), np.float32)
    np.testing.assert_array_equal(prepare(wide, "center", 8, 16), center_crop(wide, 8, 16))  # not the whole of it


@pytest.mark.parametrize("old", [(1, 1), (1, 9), (9, 1), (31, 47), (64, 48), (200, 100)])
@pytest.mark.parametrize("new", [(8, 8), (7, 13), (13, 7), (1, 1)])
@pytest.mark.parametrize("name", list(PREPROCESSES))
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(old: tuple[int, int], new: tuple[int, int], name: str, channels: int) -> None:
    image = np.full((channels, *old), 0.25, np.float32)
    result = prepare(image, name, *new)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    if name == "fit":
        assert all(size >= wanted for size, wanted in zip(result.shape[1:], new, strict=True))
        assert any(size == wanted for size, wanted in zip(result.shape[1:], new, strict=True))
    else:
        assert result.shape == (channels, *new)
    values = {0.25, 0.5} if name == "letterbox" else {0.25}
    assert all(min(abs(value - v) for v in values) < 1e-4 for value in np.unique(result))


def test_crop_offset_is_rounded_down() -> None:
    """298 - 224 is even in the golden data; here the difference is odd."""
    image = np.random.default_rng(0).random((3, 10, 17), np.float32)
    np.testing.assert_array_equal(prepare(image, "crop", 10, 10), image[:, :, 3:13])
    smaller = resize_min(image, 8)
    assert smaller.shape == (3, 8, 13)
    np.testing.assert_array_equal(prepare(image, "crop", 8, 8), crop(smaller, 2, 0, 8, 8))
    upright = np.ascontiguousarray(image.transpose(0, 2, 1))
    np.testing.assert_array_equal(prepare(upright, "crop", 10, 10), upright[:, 3:13])


def test_fit_of_a_network_that_is_not_square() -> None:
    image = np.random.default_rng(0).random((3, 100, 200), np.float32)
    np.testing.assert_array_equal(prepare(image, "fit", 50, 120), resize(image, 60, 120))
    assert prepare(image, "crop", 50, 120).shape == (3, 50, 120)


def test_unknown_name() -> None:
    with pytest.raises(UsageError) as caught:
        prepare(np.zeros((3, 4, 4), np.float32), "sqash", 4, 4)
    assert str(caught.value) == (
        "unknown way to prepare a picture: 'sqash'; expected one of fit, letterbox, center, crop, stretch"
    )


@pytest.mark.parametrize("name", list(PREPROCESSES))
def test_size_below_one(name: str) -> None:
    with pytest.raises(InputError, match="both must be at least 1"):
        prepare(np.zeros((3, 4, 4), np.float32), name, 0, 4)


@pytest.mark.parametrize("name", ["fit", "crop"])
def test_thin_picture_is_refused_before_memory_is_taken(name: str) -> None:
    with pytest.raises(InputError, match=r"would become 1120000 x 224 = 250,880,000 pixels; the limit is 100,000,000"):
        prepare(np.zeros((3, 1, 5000), np.float32), name, 224, 224)
