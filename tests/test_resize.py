"""Darknet's geometry: every recorded result, the edges, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from conftest import shared_folder
from minidarknet import resize as module
from minidarknet.errors import InputError
from minidarknet.images import read_image
from minidarknet.resize import center_crop, cover, crop, letterbox, resize, resize_max, resize_min

PICTURES = ("dog", "eagle", "horses")
LIMIT = 2e-6  # what the golden data's README promises for single operations
GEOMETRY = ("letterbox", "resize", "resize_min", "resize_max", "center_crop", "crop")


def ramp(height: int, width: int, channels: int = 3) -> NDArray[np.float32]:
    """A picture of which every pixel is different."""
    values = np.arange(channels * height * width, dtype=np.float32) / np.float32(channels * height * width)
    return values.reshape(channels, height, width)


def golden_operations(wanted: tuple[str, ...]) -> list[str]:
    """The names of the recorded single operations of some kinds, empty where the golden data is absent."""
    index = shared_folder() / "golden" / "images" / "ops_visible.json"
    if not index.is_file():
        return []
    return [name for name, entry in json.loads(index.read_text()).items() if entry["op"] in wanted]


def sizes_first(operation: str, arguments: list[int]) -> list[int]:
    """Darknet says width before height, minidarknet height before width: turn the recorded arguments around."""
    if operation in ("letterbox", "resize", "center_crop"):
        return arguments[::-1]
    if operation == "crop":
        dx, dy, width, height = arguments
        return [dx, dy, height, width]
    return arguments


@pytest.mark.parametrize("operation", ["letterbox224", "resizemin224", "centercrop224"])
@pytest.mark.parametrize("picture", PICTURES)
def test_preprocess_bits(golden: Path, picture: str, operation: str) -> None:
    """The sha256 of the whole result is Darknet's; the sampled values and moments say where it is not."""
    recorded = np.load(golden / "images" / "preprocess.npz")
    image = read_image(golden / "images" / f"{picture}.png")
    width, height = recorded[f"{picture}_size_wh"]
    assert image.shape == (3, height, width)
    if operation == "letterbox224":
        result = letterbox(image, 224, 224)
    else:
        result = resize_min(image, 224)
        if operation == "centercrop224":  # recorded as: resize, then cut out
            _, height, width = result.shape
            result = crop(result, (width - 224) // 2, (height - 224) // 2, 224, 224)
    key = f"{picture}_{operation}"
    assert result.shape == tuple(recorded[f"{key}_shape"])
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result.ravel()[recorded[f"{key}_idx"]], recorded[f"{key}_val"])
    assert result.mean(dtype=np.float64) == pytest.approx(float(recorded[f"{key}_mean"]), abs=1e-12)
    assert result.std(dtype=np.float64) == pytest.approx(float(recorded[f"{key}_std"]), abs=1e-12)
    assert hashlib.sha256(result.astype("<f4").tobytes()).hexdigest() == str(recorded[f"{key}_sha256"])


@pytest.mark.parametrize("picture", PICTURES)
def test_preprocess_resize(golden: Path, picture: str) -> None:
    recorded = np.load(golden / "images" / "preprocess.npz")
    result = resize(read_image(golden / "images" / f"{picture}.png"), 60, 100)
    np.testing.assert_array_equal(result, recorded[f"{picture}_resize100x60"])


def test_every_preprocess_entry_is_tested(golden: Path) -> None:
    """Should the golden file grow, this says so."""
    operations = [f"{name}224_{what}" for name in ("letterbox", "resizemin", "centercrop") for what in
                  ("shape", "sha256", "idx", "val", "mean", "std")]  # fmt: skip
    expected = {f"{picture}_{what}" for picture in PICTURES for what in [*operations, "resize100x60", "size_wh"]}
    assert set(np.load(golden / "images" / "preprocess.npz").files) == expected


@pytest.mark.parametrize("name", golden_operations(GEOMETRY))
def test_golden_operation(golden: Path, name: str) -> None:
    entry = json.loads((golden / "images" / "ops_visible.json").read_text())[name]
    expected = np.load(golden / "images" / "ops_visible.npz")[name]
    image = read_image(golden / "images" / entry["src"])
    function = getattr(module, entry["op"])
    result = function(image, *sizes_first(entry["op"], entry["args"]))
    assert result.shape == tuple(entry["shape"])
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, expected, rtol=0, atol=LIMIT)


def by_loops(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    """Corners aligned, pixel by pixel in float64: what `resize` should give up to rounding."""
    channels, old_height, old_width = image.shape
    result = np.empty((channels, height, width))
    for y in range(height):
        for x in range(width):
            at_y = y * (old_height - 1) / (height - 1) if height > 1 else old_height - 1
            at_x = x * (old_width - 1) / (width - 1) if width > 1 else old_width - 1
            top, left = int(at_y), int(at_x)
            bottom, right = min(top + 1, old_height - 1), min(left + 1, old_width - 1)
            dy, dx = at_y - top, at_x - left
            above = (1 - dx) * image[:, top, left] + dx * image[:, top, right]
            below = (1 - dx) * image[:, bottom, left] + dx * image[:, bottom, right]
            result[:, y, x] = (1 - dy) * above + dy * below
    return result


@pytest.mark.parametrize("old", [(1, 1), (1, 7), (7, 1), (2, 2), (5, 9), (31, 3)])
@pytest.mark.parametrize("new", [(1, 1), (1, 6), (6, 1), (2, 2), (9, 5), (4, 40), (40, 4)])
def test_resize_against_loops(old: tuple[int, int], new: tuple[int, int]) -> None:
    image = ramp(*old)
    result = resize(image, *new)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, by_loops(image, *new), rtol=0, atol=1e-5)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_resize_keeps_corners_and_range(old_height: int, old_width: int, height: int, width: int) -> None:
    image = ramp(old_height, old_width)
    result = resize(image, height, width)
    assert result.min() >= image.min()
    assert result.max() <= image.max() + 1e-6
    rows = (0, -1) if height > 1 else (-1,)
    columns = (0, -1) if width > 1 else (-1,)
    for y in rows:
        for x in columns:
            np.testing.assert_allclose(result[:, y, x], image[:, y, x], atol=1e-4)


def test_resize_to_same_size_is_a_copy() -> None:
    image = ramp(5, 7)
    result = resize(image, 5, 7)
    np.testing.assert_array_equal(result, image)
    assert not np.shares_memory(result, image)


@pytest.mark.parametrize(("old", "new"), [(16, 224), (46, 168), (61, 224), (117, 28)])
def test_last_row_is_not_black(old: int, new: int) -> None:
    """Where float32 falls short of the end, Darknet's last row is almost black."""
    scale = np.float32(old - 1) / np.float32(new - 1)
    assert np.float32(new - 1) * scale < old - 1, "this pair does not show the problem"
    assert resize(np.ones((3, old, 4), np.float32), new, 4).min() == 1


def test_resize_leaves_input_alone() -> None:
    image = ramp(6, 8)
    before = image.copy()
    for result in (resize(image, 3, 4), letterbox(image, 4, 4), crop(image, 0, 0, 6, 8), center_crop(image, 6, 6)):
        assert not np.shares_memory(result, image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("old", "side", "shorter", "longer"),
    [
        ((480, 640), 224, (224, 298), (168, 224)),
        ((640, 480), 224, (298, 224), (224, 168)),
        ((50, 50), 30, (30, 30), (30, 30)),
        ((3, 7), 5, (5, 11), (2, 5)),
        ((1, 1), 4, (4, 4), (4, 4)),
        ((5000, 1), 2, (10000, 2), (2, 1)),
        ((1, 5000), 2, (2, 10000), (1, 2)),
    ],
)
def test_proportions(old: tuple[int, int], side: int, shorter: tuple[int, int], longer: tuple[int, int]) -> None:
    image = ramp(*old, channels=1)
    assert resize_min(image, side).shape == (1, *shorter)
    assert resize_max(image, side).shape == (1, *longer)


@pytest.mark.parametrize(
    ("old", "new", "covering"),
    [
        ((100, 200), (50, 50), (50, 100)),
        ((100, 200), (50, 120), (60, 120)),
        ((100, 200), (50, 100), (50, 100)),
        ((200, 100), (30, 70), (140, 70)),
        ((7, 3), (5, 5), (11, 5)),
    ],
)
def test_cover(old: tuple[int, int], new: tuple[int, int], covering: tuple[int, int]) -> None:
    assert cover(ramp(*old), *new).shape == (3, *covering)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=100, deadline=None)
def test_cover_covers_and_letterbox_fits(old_height: int, old_width: int, height: int, width: int) -> None:
    image = np.ones((1, old_height, old_width), np.float32)
    _, covering_height, covering_width = cover(image, height, width).shape
    assert covering_height >= height
    assert covering_width >= width
    assert covering_height == height or covering_width == width
    assert letterbox(image, height, width).shape == (1, height, width)


def test_letterbox_bars() -> None:
    image = np.ones((3, 10, 20), np.float32)
    boxed = letterbox(image, 21, 40)  # the picture becomes 20 x 40; the odd row of grey goes below
    assert (boxed[:, :20] == 1).all()
    assert (boxed[:, 20:] == 0.5).all()
    boxed = letterbox(image, 8, 9)  # 4 x 9, two rows of grey on each side
    assert (boxed[:, 2:6] == 1).all()
    assert (boxed[:, :2] == 0.5).all()
    assert (boxed[:, 6:] == 0.5).all()


@pytest.mark.parametrize("shape", [(5000, 1), (1, 5000)])
def test_letterbox_keeps_a_line_of_the_thinnest_picture(shape: tuple[int, int]) -> None:
    boxed = letterbox(np.ones((3, *shape), np.float32), 224, 224)
    assert (boxed == 1).sum() == 3 * 224


@pytest.mark.parametrize(
    ("dx", "dy", "height", "width"),
    [(0, 0, 4, 5), (1, 2, 2, 2), (-3, -2, 4, 5), (3, 3, 6, 6), (-9, 0, 4, 3), (50, 60, 1, 2)],
)
def test_crop_repeats_edges(dx: int, dy: int, height: int, width: int) -> None:
    image = ramp(4, 5)
    result = crop(image, dx, dy, height, width)
    assert result.shape == (3, height, width)
    for y in range(height):
        for x in range(width):
            expected = image[:, min(max(y + dy, 0), 3), min(max(x + dx, 0), 4)]
            np.testing.assert_array_equal(result[:, y, x], expected)


def test_center_crop_takes_the_middle_square() -> None:
    image = ramp(5, 8)
    np.testing.assert_array_equal(center_crop(image, 5, 5), image[:, :, 1:6])
    np.testing.assert_array_equal(center_crop(image.transpose(0, 2, 1), 5, 5), image.transpose(0, 2, 1)[:, 1:6])
    assert center_crop(image, 3, 11).shape == (3, 3, 11)


@pytest.mark.parametrize("function", [resize, letterbox, cover, center_crop])
@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, 0), (-1, 5)])
def test_sizes_below_one(function: object, height: int, width: int) -> None:
    assert callable(function)
    with pytest.raises(InputError) as caught:
        function(ramp(4, 4), height, width)
    assert str(caught.value) == (
        f"a picture cannot become {width} x {height} pixels (width x height): both must be at least 1"
    )


def test_more_sizes_below_one() -> None:
    for call in (lambda: resize_min(ramp(4, 4), 0), lambda: resize_max(ramp(4, 4), 0)):
        with pytest.raises(InputError, match=r"cannot become 0 x 0 pixels"):
            call()
    with pytest.raises(InputError, match=r"cannot become 3 x -2 pixels"):
        crop(ramp(4, 4), 0, 0, -2, 3)


@pytest.mark.parametrize("shape", [(4, 4), (3, 0, 4), (0, 4, 4), (1, 3, 4, 4)])
def test_not_a_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        resize(np.zeros(shape, np.float32), 2, 2)
    assert str(caught.value) == f"expected a picture of shape (channels, height, width), none of them 0, found {shape}"


@pytest.mark.parametrize("shape", [(5000, 1), (1, 5000)])
def test_enormous_results_are_refused(shape: tuple[int, int]) -> None:
    """Refused before memory is taken: 250 million pixels would be 3 GB."""
    with pytest.raises(InputError) as caught:
        resize_min(np.zeros((3, *shape), np.float32), 224)
    message = str(caught.value)
    assert message.startswith(f"a picture of {shape[1]} x {shape[0]} pixels would become ")
    assert message.endswith("= 250,880,000 pixels; the limit is 100,000,000")
    with pytest.raises(InputError, match="would become 1000000 x 1000000"):
        crop(np.zeros((3, 2, 2), np.float32), 0, 0, 1_000_000, 1_000_000)
    with pytest.raises(InputError, match="would become 1000000 x 1000000"):
        letterbox(np.zeros((3, 2, 2), np.float32), 1_000_000, 1_000_000)
