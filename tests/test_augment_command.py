"""`minidarknet augment`: a contact sheet of what the network will see, and how many pictures each class has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minidarknet.cli import main
from minidarknet.cli.augment import changes, one_of_each, tiles
from minidarknet.cli.tally import print_tally
from minidarknet.contact_sheet import draw_sheet
from minidarknet.data import Tally, open_dataset
from minidarknet.net_options import NetOptions
from minidarknet.network import Network

Screen = pytest.CaptureFixture[str]
CFG = "[net]\nwidth=8\nheight=8\nchannels=3\nmax_crop=10\nangle=7\n[connected]\noutput=2\n[softmax]\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("my.cfg").write_text(CFG)
    for name, count, colour in (("apples", 3, "red"), ("pears", 1, "lime")):
        for number in range(count):
            Path("fruit", name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 8), colour).save(f"fruit/{name}/{number}.png")
    return tmp_path


def augment(*arguments: str) -> int:
    return main(["augment", *arguments])


def test_the_sheet_and_the_table(capfd: Screen) -> None:
    assert augment("fruit", "my.cfg", "--part", "all", "--pictures", "2") == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["class", "pictures"], ["apples", "3"], ["pears", "1"]]
    assert "to beat  75.00 % are right by always saying 'apples'" in out
    assert "angle  up to 7 degrees either way" in out
    assert err == "wrote augment.png\n"
    with Image.open("augment.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    colours = {tuple(colour) for colour in pixels.reshape(-1, 3)[::97].tolist()}
    assert {(255, 0, 0), (0, 255, 0)} <= colours  # one of each class
    found = tiles(open_dataset("fruit", "all"), Network.from_cfg("my.cfg"), 2, 0)
    assert [tile.lines[1][0] for tile in found[:6]] == ["unchanged", *(f"epoch {number}" for number in range(1, 6))]
    assert pixels.shape == (np.asarray(draw_sheet("", found)).shape)  # two rows of six


def test_the_same_seed_draws_the_same_sheet() -> None:
    for seed, name in (("1", "a"), ("1", "b"), ("2", "c")):
        assert augment("fruit", "my.cfg", "--seed", seed, "--output", f"{name}.png") == 0
    a, b, c = (Path(f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


def test_classes_that_do_not_fit_are_a_warning(capfd: Screen) -> None:
    Path("my.cfg").write_text(CFG.replace("output=2", "output=5"))
    assert augment("fruit", "my.cfg") == 0
    assert "fruit has 2 classes, but my.cfg has 5 outputs" in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fruit", "my.cfg", "--output", "sheet.jpg"], 2, "sheet.jpg: expected a file that ends in .png"),
        (["fruit", "my.cfg", "--output", "no/sheet.png"], 3, "no/sheet.png: expected a file in a folder that exists"),
        (["fruit", "my.cfg", "--seed", "-1"], 2, "--seed -1: expected 0 or more"),
        (["fruit", "my.cfg", "--part", "valid", "--labels", "x"], 2, "'x': expected one of folder, substring"),
        (["nuts", "my.cfg"], 3, "nuts: no such file or folder"),
        (["fruit", "no.cfg"], 3, "no.cfg: no such file"),
        (["fruit", "flat.cfg"], 3, "flat.cfg: the network takes 64 numbers, not pictures"),
        (["lone", "my.cfg", "--part", "valid"], 3, "lone: its part 'valid' has no picture"),
        (["broken", "my.cfg"], 3, "1.png: not a picture that can be read"),
    ],
)
def test_mistakes(arguments: list[str], code: int, message: str, capfd: Screen) -> None:
    Path("flat.cfg").write_text("[net]\ninputs=64\n[connected]\noutput=2\n[softmax]\n")
    for name in ("lone", "broken"):
        Path(name, "a").mkdir(parents=True)
        Path(name, "a", "1.png").write_bytes(b"no picture")
    assert augment(*arguments) == code
    out, err = capfd.readouterr()
    assert message in err
    assert not out
    assert not Path("augment.png").exists()


def test_one_of_each_class_in_turn() -> None:
    labels = [0, 0, 0, 2, 2, 1]
    assert one_of_each(labels, 3) == [0, 5, 3]
    assert one_of_each(labels, 5) == [0, 5, 3, 1, 4]
    assert one_of_each(labels, 99) == [0, 5, 3, 1, 4, 2]


def test_changes_in_words() -> None:
    options = NetOptions(width=8, height=8, channels=3, aspect=0.5, hue=0.1, exposure=1.5, flip=False)
    assert changes(options, 8) == [
        ("window", "8 wide, out of a shorter side of 8 to 16"),
        ("mirrored", "none"),
        ("aspect", "times 0.5 to 2"),
        ("exposure", "times 0.667 to 1.5"),
        ("hue", "moved by up to 0.1 of the circle either way"),
    ]
    assert changes(NetOptions(width=8, center=True, angle=3, aspect=2), 8) == [
        ("window", "the largest centred square"),
        ("mirrored", "every second picture"),
    ]


def test_a_table_of_many_classes_shows_the_largest_and_the_smallest(capfd: Screen) -> None:
    print_tally(Tally(tuple(f"class{i}" for i in range(100)), np.arange(100)))
    out, err = capfd.readouterr()
    assert [line.split()[0] for line in out.splitlines()[1:4]] == ["class99", "class98", "class97"]
    assert "(70 more)" in out
    assert "pictures  4,950 of 100 classes" in out
    assert err == "warning: 1 of 100 classes have no picture: class0\n"


def test_a_sheet_without_pictures_has_a_title_all_the_same() -> None:
    assert min(draw_sheet("nothing", []).size) > 0
