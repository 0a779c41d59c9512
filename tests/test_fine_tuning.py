"""`new` and `partial`: a network of one's own from a known one, and the part of its weights that fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minidarknet import weights
from minidarknet.cfg import parse_cfg
from minidarknet.cli import main
from minidarknet.data import open_dataset
from minidarknet.fine_tuning import for_classes
from minidarknet.network import Network

CFG = """\
[net]
height=8
width=8
channels=3
# a comment that stays
[conv]
filters=4
size=3
[conv]
filters=6
[avg]
[softmax]
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.cfg").write_text(CFG)


def test_only_the_last_layer_and_the_frozen_one_are_changed() -> None:
    text = for_classes(CFG, "small.cfg", 9, freeze=1)
    assert text == CFG.replace("[conv]\nfilters=4", "[conv]\nstopbackward=1\nfilters=4").replace(
        "filters=6", "filters=9"
    )
    assert Network.from_cfg(parse_cfg(text)).output_shape.size == 9


def test_an_option_that_is_not_there_is_written_below_the_header() -> None:
    text = for_classes(CFG.replace("filters=6\n", ""), "small.cfg", 3)
    assert Network.from_cfg(parse_cfg(text)).output_shape.size == 3


def test_new_writes_a_cfg_and_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "my.cfg", "--from", "small.cfg", "--classes", "2"]) == 0
    out, err = capsys.readouterr()
    assert out == "my.cfg\n"
    assert "layer 1 has 2 instead of 6 outputs" in err
    assert "minidarknet train DATA my.cfg --weights FILE.weights --layers 1 --clear" in err
    assert main(["new", "my.cfg", "--from", "small.cfg", "--classes", "3"]) == 2
    assert "my.cfg is there already" in capsys.readouterr().err
    assert "filters=2" in Path("my.cfg").read_text()


def test_new_counts_the_classes_of_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("data.npz", x=np.zeros((6, 8, 8), np.uint8), y=np.arange(6) % 3)
    assert main(["new", "my.cfg", "--from", "small.cfg", "--data", "data.npz"]) == 0
    assert capsys.readouterr().out == "my.cfg\nmy.names\n"
    assert Path("my.names").read_text() == "0\n1\n2\n"
    assert Network.from_cfg("my.cfg").output_shape.size == 3
    assert main(["new", "other.cfg", "--from", "small.cfg", "--data", "data.npz", "--classes", "4"]) == 2
    assert "--classes 4, but data.npz has 3 classes" in capsys.readouterr().err


def photos() -> None:
    for name in ("cat", "dog"):
        Path("photos", name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), (50 * number, 0, 0)).save(f"photos/{name}/{number}.png")


def test_new_writes_darknets_data_file_for_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    photos()
    assert main(["new", "my.cfg", "--from", "small.cfg", "--data", "photos"]) == 0
    out, err = capsys.readouterr()
    assert out.split() == ["my.cfg", "my.names", "my.data", "my.train.list", "my.valid.list"]
    assert "minidarknet train my.data my.cfg" in err
    assert Path("my.data").read_text() == (
        "classes = 2\ntrain = my.train.list\nvalid = my.valid.list\nlabels = my.names\nnames = my.names\n"
        "backup = backup\n"
    )
    for part in ("train", "valid"):
        one, other = open_dataset("photos", part), open_dataset("my.data", part)
        listed = Path(f"my.{part}.list").read_text().splitlines()
        assert (
            listed
            == [str(Path(one.name(i)).resolve()) for i in range(len(one))]
            == list(map(other.name, range(len(one))))
        )
        assert (one.names, one.labels.tolist()) == (other.names, other.labels.tolist())


def test_new_writes_classes_into_the_lists_where_folders_do_not_tell(capsys: pytest.CaptureFixture[str]) -> None:
    photos()
    lines = [f"photos/{name}/{i}.png,{word}" for name, word in (("cat", "a cat"), ("dog", "a dog")) for i in range(5)]
    Path("pets.csv").write_text("\n".join(lines))
    assert main(["new", "my.cfg", "--from", "small.cfg", "--data", "pets.csv"]) == 0
    assert all(line.split("\t")[1] in ("a cat", "a dog") for line in Path("my.train.list").read_text().splitlines())
    one, other = open_dataset("pets.csv", "train"), open_dataset("my.data", "train")
    assert (one.names, one.labels.tolist()) == (other.names, other.labels.tolist())


def test_new_writes_over_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    photos()
    Path("my.data").write_text("mine")
    assert main(["new", "my.cfg", "--from", "small.cfg", "--data", "photos"]) == 2
    assert "my.data is there already; name another file" in capsys.readouterr().err
    assert not Path("my.cfg").exists()
    Path("my.data").unlink()
    assert main(["new", "my.cfg", "--from", "small.cfg", "--data", "photos"]) == 0
    before = Path("my.data").read_text()
    Path("my.cfg").unlink()
    assert main(["new", "my.cfg", "--from", "small.cfg", "--data", "my.data"]) == 0, "the same names are no loss"
    assert Path("my.data").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--from", "small.cfg"], "how many classes are there?", 2),
        (
            ["--from", "small.cfg", "--classes", "2", "--freeze", "2"],
            "2 layers cannot be frozen: layer 1 is the one",
            2,
        ),
        (["--from", "flat.cfg", "--classes", "2"], "no layer has as many filters or outputs as the network has", 3),
    ],
)
def test_refusals(arguments: list[str], message: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    Path("flat.cfg").write_text("[net]\nheight=4\nwidth=4\nchannels=3\n[conv]\nfilters=5\n[softmax]\n")
    assert main(["new", "my.cfg", *arguments]) == code
    assert message in capsys.readouterr().err
    assert not Path("my.cfg").exists()


def test_partial_keeps_the_first_layers(capsys: pytest.CaptureFixture[str]) -> None:
    network = Network.from_cfg("small.cfg")
    network.initialize(1)
    weights.save(network, "small.weights", weights.Header(seen=640))
    assert main(["partial", "small.cfg", "small.weights", "start.weights", "1"]) == 0
    out, err = capsys.readouterr()
    assert out == "start.weights\n"
    assert "112 numbers of layers 0 to 0" in err
    other = Network.from_cfg(parse_cfg(for_classes(CFG, "small.cfg", 9)))
    assert weights.load(other, "start.weights", layers=1).seen == 0
    for (_, a), (_, b) in zip(network.parameters(), other.parameters(), strict=True):
        if b.array is not None:
            np.testing.assert_array_equal(a.value, b.value)
    assert [parameter.array is not None for _, parameter in other.parameters()] == [True, True, False, False]


def test_partial_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["partial", "small.cfg", "none.weights", "start.weights", "5"]) == 2
    assert "small.cfg has 4 layers" in capsys.readouterr().err
    Path("start.weights").write_text("mine")
    assert main(["partial", "small.cfg", "none.weights", "start.weights", "1"]) == 2
    assert "start.weights is there already" in capsys.readouterr().err
    assert Path("start.weights").read_text() == "mine"
