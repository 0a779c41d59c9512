"""The network that comes with minidarknet, and its pictures."""

from __future__ import annotations

import hashlib
import json
import runpy
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import REPOSITORY, arrays
from minidarknet import data, zoo
from minidarknet.cli import main
from minidarknet.errors import InputError
from minidarknet.network import Network
from minidarknet.prediction import Classifier, load
from minidarknet.summary import describe
from minidarknet.validation import validate

PACKAGE = REPOSITORY / "minidarknet"
SET = PACKAGE / "digits.npz"
#: Of the pictures and classes as scikit-learn has them, its shades 0..16 as 0..255.
SHA256 = "a19cb3d96bba7deace8ee5a513a6eb7bad0403d528f00bf4d351b6a7a55baa91"

Screen = pytest.CaptureFixture[str]


def held_out() -> data.Dataset:
    return data.open_dataset("digits", "valid", channels=1)


@pytest.fixture
def digits() -> Classifier:
    network = load("digits")
    network.preprocess = "center"
    return network


# -- the pictures ------------------------------------------------------------------------------------------------


def test_the_set_is_the_known_one() -> None:
    found = arrays(SET)
    assert found["x"].shape == (1797, 1, 8, 8)
    assert found["y"].shape == (1797,)
    assert found["x"].dtype == found["y"].dtype == np.uint8
    assert hashlib.sha256(found["x"].tobytes() + found["y"].tobytes()).hexdigest() == SHA256
    assert len(np.unique(found["x"])) == 17
    assert (found["x"].min(), found["x"].max()) == (0, 255)
    assert SET.stat().st_size < 50_000


def test_its_file_has_no_dates_and_the_same_bytes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = runpy.run_path(str(REPOSITORY / "scripts/make_digits.py"))["pack"]
    first = pack(arrays(SET))
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert pack(arrays(SET)) == first
    with zipfile.ZipFile(SET) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_fifth_of_each_class_is_held_out_and_always_the_same() -> None:
    train, valid = data.open_dataset("digits", "train", channels=1), held_out()
    assert (len(train), len(valid)) == (1438, 359)
    names = {valid.name(place) for place in range(len(valid))}
    assert names == {held_out().name(place) for place in range(len(valid))}
    assert not names & {train.name(place) for place in range(len(train))}
    assert set(data.tally(valid).counts) == {35, 36, 37}
    assert valid.names == train.names == tuple("0123456789")


def test_the_credit_is_kept() -> None:
    credit = (PACKAGE / "digits.txt").read_text()
    for words in ("E. Alpaydin and C. Kaynak", "CC BY 4.0", "https://doi.org/10.24432/C50P49"):
        assert words in credit
        assert words in (REPOSITORY / "README.md").read_text()


# -- the network -------------------------------------------------------------------------------------------------


def test_it_reads_what_it_has_not_learned_from(digits: Classifier) -> None:
    seen = validate(digits, held_out(), batch=64)
    assert seen.count == 359
    assert seen.top1 >= 0.98


def test_its_weights_are_those_of_its_cfg(digits: Classifier) -> None:
    options = digits.options
    assert digits.header.seen == options.batch * options.max_batches
    assert not digits.options.flip
    assert digits.names == list(arrays(SET)["names"])
    assert f"{describe(digits, 1)['parameters']:,} parameters" in zoo.cfg_path("digits").read_text()


def test_everything_is_found_without_a_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINIDARKNET_CACHE", str(tmp_path / "cache"))
    weights, names = PACKAGE / "digits.weights", PACKAGE / "digits.names"
    assert zoo.locate("digits") == zoo.Located(REPOSITORY / "cfg/digits.cfg", weights, names)
    assert zoo.fetch("digits") == [weights, names]
    assert not (tmp_path / "cache").exists()


def test_an_installation_without_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(zoo, "PACKAGE", tmp_path)
    (tmp_path / "cfg").mkdir()
    (tmp_path / "cfg/digits.cfg").touch()
    assert zoo.locate("digits") == zoo.Located(tmp_path / "cfg/digits.cfg", None, None)
    with pytest.raises(InputError, match=r"digits\.weights is missing from this installation: looked for it in "):
        zoo.require_weights("digits")
    with pytest.raises(InputError, match=r"digits\.names is missing from this installation"):
        zoo.require_names("digits")


def test_fetch_says_what_to_run_next(capfd: Screen) -> None:
    assert main(["fetch", "digits"]) == 0
    out, err = capfd.readouterr()
    assert out.splitlines() == [str(PACKAGE / "digits.weights"), str(PACKAGE / "digits.names")]
    assert "minidarknet classify digits PICTURE" in err


def test_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Screen) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()
    assert main(["summary", "digits"]) == 3
    assert "error: digits: cannot be read" in capfd.readouterr().err


def test_pictures_of_any_size(tmp_path: Path, capfd: Screen) -> None:
    valid = held_out()
    paths = []
    for place in (0, 50, 150, 250):
        pixels = np.rint(255 * valid.image(place)[0]).astype(np.uint8)
        paths.append(str(tmp_path / f"{place}.png"))
        Image.fromarray(pixels).convert("RGB").resize((80, 80)).save(paths[-1])
    assert main(["classify", "digits", *paths, "--preprocess", "center", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)["images"]
    assert [image["top"][0]["index"] for image in found] == [valid.label(place) for place in (0, 50, 150, 250)]


def test_its_table(capfd: Screen) -> None:
    assert main(["summary", "digits"]) == 0
    assert capfd.readouterr().out.count("conv ") == 4
    network = Network.from_cfg(zoo.cfg_path("digits"))
    assert network.output_shape.size == 10


def test_the_demo_reads_three_digits(monkeypatch: pytest.MonkeyPatch, capfd: Screen, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["demo.py"])
    runpy.run_path(str(REPOSITORY / "scripts/demo.py"), run_name="__main__")
    lines = capfd.readouterr().out.splitlines()
    answers = [(line, lines[number + 1]) for number, line in enumerate(lines) if ": Predicted in " in line]
    assert len(answers) == 3
    assert {line.split("a-")[-1][0] for line, _ in answers} >= {answer[0] for _, answer in answers}
    assert all(line.split("a-")[-1][0] == answer[0] for line, answer in answers)
