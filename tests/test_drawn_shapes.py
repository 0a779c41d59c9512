"""The coloured shapes that scripts/draw_shapes.py draws: the same each time, and a class for each folder."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import REPOSITORY
from minidarknet.data import open_dataset, tally

Screen = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(REPOSITORY / "scripts/draw_shapes.py"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def test_a_folder_for_each_class_in_two_parts(script: dict[str, Any], tmp_path: Path, capfd: Screen) -> None:
    folder = str(tmp_path / "shapes")
    assert script["main"]([folder, "--count", "4", "--valid", "2", "--side", "16"]) == 0
    assert "4 and 2 pictures of each of circle, cross, square, star, triangle" in capfd.readouterr().out
    train, valid = (open_dataset(folder, part) for part in ("train", "valid"))
    assert train.names == valid.names == tuple(script["SHAPES"])
    assert list(tally(train).counts) == [4] * 5
    assert list(tally(valid).counts) == [2] * 5
    assert train.image(0).shape == (3, 16, 16)


def test_the_same_seed_draws_the_same_bytes_and_more_leave_the_first_ones_alone(
    script: dict[str, Any], tmp_path: Path
) -> None:
    for name, count, seed in (("a", "2", "1"), ("b", "2", "1"), ("c", "3", "1"), ("d", "2", "2")):
        assert script["main"]([str(tmp_path / name), "--count", count, "--side", "24", "--seed", seed]) == 0
    first, again, more, other = (contents(tmp_path / name) for name in "abcd")
    assert first == again
    assert len(first) == 15  # one of each shape to check with
    assert {name: more[name] for name in first} == first
    assert len(set(first.values()) | set(other.values())) == 30  # no two alike, in no part


@pytest.mark.parametrize("side", [8, 64])
def test_every_picture_shows_a_whole_shape_that_can_be_told_from_its_background(
    script: dict[str, Any], side: int
) -> None:
    shares: dict[str, list[float]] = {name: [] for name in script["SHAPES"]}
    for name, found in shares.items():
        for place in range(40):
            pixels = np.asarray(script["draw"](name, side, np.random.default_rng(place))).astype(int)
            border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
            background = np.median(border, axis=0)
            distance = abs(pixels - background).max(axis=2)
            assert distance.max() >= script["CONTRAST"]
            found.append(float((distance > distance.max() / 2).mean()))
    means = {name: np.mean(found) for name, found in shares.items()}
    # Of one radius, a circle covers the most and a star or a triangle the least.
    assert max(means, key=lambda name: means[name]) == "circle"
    assert 0.25 < means["circle"] < 0.55
    assert means["square"] > means["triangle"]


def test_corners(script: dict[str, Any]) -> None:
    areas = {}
    for name, corners in script["SHAPES"].items():
        x, y = np.array(corners()).T
        areas[name] = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert areas["circle"] == pytest.approx(np.pi, rel=1e-3)
    assert areas["square"] == pytest.approx(2)
    assert areas["triangle"] == pytest.approx(3 * np.sqrt(3) / 4)
    assert areas["cross"] == pytest.approx(4 * 5 / 9)
    assert areas["star"] == pytest.approx(10 * 0.4 * np.sin(np.pi / 5) / 2)


def test_what_is_there_is_left_alone(script: dict[str, Any], tmp_path: Path, capfd: Screen) -> None:
    assert script["main"]([str(tmp_path)]) == 2
    assert f"error: {tmp_path} is there already; name a new folder" in capfd.readouterr().err
    (tmp_path / "file").touch()
    assert script["main"]([str(tmp_path / "file/shapes"), "--count", "1"]) == 3
    assert "error: " in capfd.readouterr().err


@pytest.mark.parametrize("option", ["--count=0", "--side=7", "--seed=-1", "--valid=x"])
def test_numbers_out_of_bounds(script: dict[str, Any], tmp_path: Path, capfd: Screen, option: str) -> None:
    with pytest.raises(SystemExit) as caught:
        script["main"]([str(tmp_path / "new"), option])
    assert caught.value.code == 2
    assert "expected a whole number" in capfd.readouterr().err
    assert not (tmp_path / "new").exists()


def test_pictures_are_plain_colours(script: dict[str, Any], tmp_path: Path) -> None:
    assert script["main"]([str(tmp_path / "new"), "--count", "1"]) == 0
    with Image.open(tmp_path / "new/train/star/0000.png") as image:
        assert (image.mode, image.size) == ("RGB", (64, 64))
