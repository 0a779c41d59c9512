"""`minidarknet validate`: what it prints, what it writes, its exit codes, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from PIL import Image

from minidarknet import console, validation, zoo
from minidarknet.cli import main

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="needs the compiler")

Screen = pytest.CaptureFixture[str]

# Its three numbers are the means of red, green and blue, times nine: it tells colours, and is sure of them.
COLOURS = "[net]\nwidth=4\nheight=4\nchannels=3\n[conv]\nfilters=3\nactivation=linear\n[avg]\n[softmax]\n"
HEADER = np.array([0, 2, 0, 0, 0], "<i4").tobytes()
PALETTE = {"red": "red", "green": "lime", "blue": "blue", "dark": "black"}
COMMON = ("colours.cfg", "colours.weights")


def weights(*rows: list[float]) -> bytes:
    return HEADER + np.concatenate([np.zeros(len(rows)), np.ravel(rows)]).astype("<f4").tobytes()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network that knows three colours, and a list of seven pictures of which two are not what they are called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zoo, "cache_folder", lambda: tmp_path / "cache")
    Path("colours.cfg").write_text(COLOURS)
    Path("colours.weights").write_bytes(weights([9, 0, 0], [0, 9, 0], [0, 0, 9]))
    Path("names").write_text("red\ngreen\nblue\n")
    lines = []
    pictures = ["red red", "red red", "red green", "green green", "green green", "blue blue", "blue red"]
    for number, picture in enumerate(pictures):
        truth, colour = picture.split()
        Image.new("RGB", (8, 4), PALETTE[colour]).save(f"{number}.png")
        lines.append(f"{number}.png,{truth}\n")
    Path("list.csv").write_text("".join(lines))
    return tmp_path


def validate(*arguments: str) -> int:
    """The exit code, also where argparse exits by itself."""
    try:
        return main(["validate", *arguments])
    except SystemExit as exit_:
        return int(str(exit_.code))


def run(*arguments: str, names: bool = True) -> int:
    """On the list and the network that tells colours."""
    return validate("list.csv", *COMMON, "--part", "all", *(("--names", "names") if names else ()), *arguments)


def run_json(capfd: Screen, *arguments: str) -> dict[str, Any]:
    assert run(*arguments, "--json") == 0
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


# -- what it says --------------------------------------------------------------------------------------------------


def test_the_text(folder: Path, capfd: Screen) -> None:
    assert run("--top", "2") == 0
    out, err = capfd.readouterr()
    p, q = np.exp(9) / (np.exp(9) + 2), 1 / (np.exp(9) + 2)
    expected = f"""\
   pictures  7 of list.csv
prepared by  center
      top-1  71.43 %  (5 of 7)
      top-2  85.71 %  (6 of 7)
  mean loss  {-(5 * np.log(p) + 2 * np.log(q)) / 7:.6f}

class   pictures right  recall precision most often taken for
0 red          3     2  66.7 %    66.7 % 1 green (1)
1 green        2     2 100.0 %    66.7 %
2 blue         2     1  50.0 %   100.0 % 0 red (1)

Right classes in rows, answers in columns:
class   0 1 2
0 red   2 1 .
1 green . 2 .
2 blue  1 . 1

All that is wrong:
picture  is     answer  probability
2.png    0 red  1 green    0.999753
6.png    2 blue 0 red      0.999753
"""
    assert out == expected
    assert "list.csv: validating on 7 pictures ..." in err


def test_top_beyond_the_classes(folder: Path, capfd: Screen) -> None:
    assert run() == 0
    assert "top-5  100.00 %  (7 of 7), as there are only 3 classes" in capfd.readouterr().out
    assert run("--top", "1") == 0
    assert capfd.readouterr().out.count("top-") == 1


def test_json_has_everything(folder: Path, capfd: Screen) -> None:
    found = run_json(capfd, "--top", "2", "--batch", "2", "--threads", "1", "--min-top1", "0.5")
    scores, confusion, mistakes = (found.pop(key) for key in ("per_class", "confusion", "mistakes"))
    expected = {"cfg": "colours.cfg", "weights": "colours.weights", "data": "list.csv", "part": "all", "pictures": 7}
    expected |= {"preprocess": "center", "tta": "none", "batch": 2, "threads": 1, "min_top1": 0.5, "unreadable": []}
    expected |= {"classes": 3, "top1": 5 / 7, "top1_right": 5, "top": 2, "topk": 6 / 7, "topk_right": 6}
    assert found == expected | {"loss": pytest.approx(2.571595, abs=1e-4)}
    expected = {"index": 0, "name": "red", "pictures": 3, "right": 2, "said": 3, "recall": 2 / 3, "precision": 2 / 3}
    assert scores[0] == expected | {"confused_with": 1, "confused": 1}
    assert confusion == [[0, 0, 2], [0, 1, 1], [1, 1, 2], [2, 0, 1], [2, 2, 1]]
    assert [(m["picture"], m["truth"], m["answer"]) for m in mistakes] == [("2.png", 0, 1), ("6.png", 2, 0)]
    assert mistakes[0]["probability"] == pytest.approx(0.999753, abs=1e-6)
    assert mistakes[0]["truth_probability"] == pytest.approx(0.000123, abs=1e-6)


def test_one_picture(folder: Path, capfd: Screen) -> None:
    Path("list.csv").write_text("0.png,red\n")
    assert run() == 0
    out, err = capfd.readouterr()
    assert "top-1  100.00 %  (1 of 1)" in out
    assert out.endswith("No picture was given a wrong class.\n")
    assert "validating on 1 picture ..." in err


def test_two_classes_with_the_datas_own_names(folder: Path, capfd: Screen) -> None:
    """Without names, classes are those of the data in their order: green comes before red."""
    Path("two.cfg").write_text(COLOURS.replace("filters=3", "filters=2"))
    Path("two.weights").write_bytes(weights([0, 1, 0], [1, 0, 0]))
    Path("list.csv").write_text("0.png,red\n3.png,green\n4.png,red\n")
    assert validate("list.csv", "two.cfg", "two.weights", "--part", "all") == 0
    out, err = capfd.readouterr()
    assert "top-1  66.67 %  (2 of 3)" in out
    assert "taking the network's outputs as green, red: the classes of list.csv" in err
    assert "class   0 1\n0 green 1 .\n1 red   1 1\n" in out


def test_a_class_without_pictures(folder: Path, capfd: Screen) -> None:
    Path("list.csv").write_text("0.png,red\n3.png,green\n")
    assert run() == 0
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert ["2", "blue", "0", "0"] in lines


def test_of_many_classes_the_worst_are_listed(folder: Path, capfd: Screen) -> None:
    """30 classes, each with two pictures that are given class 0; class 29 has three."""
    Path("many.cfg").write_text(COLOURS.replace("filters=3", "filters=30"))
    Path("many.weights").write_bytes(weights([1, 1, 1], *([[0, 0, 0]] * 29)))
    Path("names").write_text("".join(f"class {i}\n" for i in range(30)))
    numbers = [*range(30), *range(30), 29]
    Path("list.csv").write_text("".join(f"0.png,class {i}\n" for i in numbers))
    assert validate("list.csv", "many.cfg", "many.weights", "--names", "names", "--part", "all") == 0
    out = capfd.readouterr().out
    table = out.split("\n\n")[1].splitlines()
    assert table[1].split()[:5] == ["29", "class", "29", "3", "0"]
    assert table[2].startswith("1 class 1 ")
    assert len(table) == 22
    assert table[-1] == "... and 9 more classes with mistakes (--json has all)"
    assert "Right classes in rows" not in out
    assert "Surest of what is wrong:" in out
    assert out.count("0.png") == 5


def test_an_infinite_loss(folder: Path, capfd: Screen) -> None:
    Path("colours.weights").write_bytes(weights([900, 0, 0], [0, 900, 0], [0, 0, 900]))
    assert run() == 0
    assert "mean loss  infinite: the right class of 2 pictures has a probability of 0" in capfd.readouterr().out
    assert run_json(capfd)["loss"] is None


def test_a_network_without_a_loss(folder: Path, capfd: Screen) -> None:
    Path("colours.cfg").write_text(COLOURS.replace("[softmax]\n", ""))
    assert run() == 0
    assert "mean loss  none: this network has no layer with a loss" in capfd.readouterr().out


def test_several_looks_are_said(folder: Path, capfd: Screen) -> None:
    assert run("--tta", "flip") == 0
    out, err = capfd.readouterr()
    assert "prepared by  center, flip: the mean of 2 looks at each" in out
    assert "(of the single looks)" in out
    assert "warning" not in err
    assert run("--tta", "ten-crop") == 0
    out, err = capfd.readouterr()
    assert "prepared by  stretch, ten-crop: the mean of 10 looks at each" in out
    assert "each of the ten crops shows 1 % of the picture" in err


def test_a_part_is_held_out(folder: Path, capfd: Screen) -> None:
    Path("list.csv").write_text("".join(f"{i}.png,{truth}\n" for i, truth in enumerate(["red"] * 5)))
    assert validate("list.csv", *COMMON, "--names", "names") == 0
    out, err = capfd.readouterr()
    assert "pictures  1 of list.csv" in out
    assert "validating on 1 picture of 5 (--part all takes all) ..." in err


def test_progress_in_a_log(folder: Path, capfd: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run() == 0
    assert "pictures: " not in capfd.readouterr().err
    monkeypatch.setattr(console, "LOG_SECONDS", 0)
    assert run() == 0
    out, err = capfd.readouterr()
    assert err.splitlines()[1:8] == [f"pictures: {i} of 7" for i in range(1, 8)]
    assert "pictures: " not in out


# -- files ---------------------------------------------------------------------------------------------------------


def test_files(folder: Path, capfd: Screen) -> None:
    pytest.importorskip("matplotlib")
    assert run("--confusion", "a.csv", "--confusion", "a.PNG", "--mistakes", "m.png") == 0
    err = capfd.readouterr().err
    assert [line for line in err.splitlines() if line.startswith("wrote")] == [
        "wrote a.csv",
        "wrote a.PNG",
        "wrote m.png",
    ]
    assert Path("a.csv").read_text() == "class,red,green,blue\nred,2,1,0\ngreen,0,2,0\nblue,1,0,1\n"
    with Image.open("m.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert (pixels == [0, 255, 0]).all(axis=2).sum() == (pixels == [255, 0, 0]).all(axis=2).sum() == 168 * 84


def test_a_sheet_without_mistakes(folder: Path) -> None:
    Path("list.csv").write_text("0.png,red\n")
    Path("m.png").write_bytes(b"of an earlier run")
    assert run("--mistakes", "m.png") == 0
    with Image.open("m.png") as sheet:
        assert sheet.height < 60


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_file_that_cannot_be_written(folder: Path, capfd: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minidarknet.confusion.write_csv", full)
    assert run("--confusion", "a.csv") == 3
    out, err = capfd.readouterr()
    assert "top-1" in out  # what was found out is not lost
    assert "a.csv: cannot be written: No space left on device" in err


# -- exit codes ----------------------------------------------------------------------------------------------------


def test_min_top1(folder: Path, capfd: Screen) -> None:
    assert run("--min-top1", "0.72") == 1
    out, err = capfd.readouterr()
    assert "71.43 %" in out
    assert "top-1 is 0.7143 (5 of 7 pictures), below the 0.72 of --min-top1" in err
    assert run("--min-top1", "0.71") == 0
    Path("list.csv").write_text("".join(f"{i}.png,red\n" for i in (0, 1, 0, 1, 0, 1, 0, 1, 0, 2)))
    assert run("--min-top1", "0.9") == 0  # nine of ten are not below


def test_unreadable_pictures(folder: Path, capfd: Screen) -> None:
    Path("1.png").write_bytes(b"no picture")
    Path("4.png").write_bytes(b"")
    assert run("--min-top1", "0.9") == 3
    out, err = capfd.readouterr()
    assert "pictures  5 of list.csv, without 2 that could not be read" in out
    assert "1.png: not a picture that can be read" in err
    assert "4.png: expected a picture, found an empty file" in err
    assert "2 pictures could not be read, and did not count" in err
    assert "below the 0.9" in err
    assert run("--json") == 3
    found = json.loads(capfd.readouterr().out)
    assert (found["pictures"], [entry["picture"] for entry in found["unreadable"]]) == (5, ["1.png", "4.png"])
    for i in range(7):
        Path(f"{i}.png").write_bytes(b"")
    assert run() == 3
    out, err = capfd.readouterr()
    assert out == ""
    assert "list.csv: none of 7 pictures could be read" in err


def test_nan_is_told(folder: Path, capfd: Screen) -> None:
    Path("colours.weights").write_bytes(weights([3e38, 0, 0], [0, 9, 0], [0, 0, 9]))
    assert run() == 4
    out, err = capfd.readouterr()
    assert (out, "puts out NaN or infinity" in err) == ("", True)


def test_interrupted(folder: Path, capfd: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(validation, "_judge", stop)
    Path("m.png").write_bytes(b"of an earlier run")
    assert run("--mistakes", "m.png") == 130
    out, err = capfd.readouterr()
    assert (out, "interrupted" in err) == ("", True)
    assert Path("m.png").read_bytes() == b"of an earlier run"


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (3, ["absent", *COMMON], "absent: no such file or folder"),
        (3, ["list.csv", "no.cfg", "colours.weights"], "no.cfg: no such file"),
        (3, ["list.csv", "colours.cfg", "no.weights"], "no.weights"),
        (2, ["list.csv", "colours.cfg"], "colours.cfg: no weights were given"),
        (2, ["list.csv", "tinny"], "tinny: no such file, nor a known network"),
        (3, ["list.csv", *COMMON, "--part", "test"], "list.csv: has no part 'test'"),
        (2, ["list.csv", *COMMON, "--part", "best"], "'best': expected one of train, valid, test, all"),
        (2, ["list.csv", *COMMON, "--labels", "any"], "'any': expected one of folder, substring"),
        (3, ["one.csv", *COMMON, "--names", "names"], "one.csv: its part 'valid' has no picture; --part all takes all"),
        (
            3,
            ["four.csv", *COMMON, "--part", "all"],
            "has 3 outputs, but four.csv has 4 classes; expected as many. Name",
        ),
        (
            3,
            ["four.csv", *COMMON, "--part", "all", "--names", "names"],
            "its class 'dark' is none of the 3 class names",
        ),
        (2, ["list.csv", *COMMON, "--min-top1", "90"], "'90': expected a share from 0 to 1, such as 0.9"),
        (2, ["list.csv", *COMMON, "--min-top1", "nan"], "'nan': expected a share from 0 to 1"),
        (2, ["list.csv", *COMMON, "--top", "0"], "--top"),
        (2, ["list.csv", *COMMON, "--tta", "twice"], "invalid choice: 'twice'"),
        (
            2,
            ["list.csv", *COMMON, "--tta", "ten-crop", "--preprocess", "fit"],
            "--preprocess fit: --tta ten-crop stretch",
        ),
        (2, ["list.csv", *COMMON, "--threads", "100000"], "100000 threads were asked for"),
        (2, ["list.csv", *COMMON, "--confusion", "a.txt"], "a.txt: expected a file that ends in .csv or .png"),
        (2, ["list.csv", *COMMON, "--mistakes", "a.csv"], "--mistakes a.csv: expected a file that ends in .png"),
        (3, ["list.csv", *COMMON, "--confusion", "no/a.csv"], "no/a.csv: there is no folder no to write it to"),
        (3, ["list.csv", *COMMON, "--mistakes", "folder.png"], "folder.png: expected a file to write, found a folder"),
    ],
)
def test_nonsense_is_refused(folder: Path, capfd: Screen, code: int, arguments: list[str], message: str) -> None:
    Path("folder.png").mkdir()
    Path("one.csv").write_text("0.png,red\n")
    Path("four.csv").write_text("0.png,red\n1.png,green\n2.png,blue\n3.png,dark\n")
    assert validate(*arguments) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_a_batch_that_does_not_fit(folder: Path, capfd: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDARKNET_MEMORY", "1")
    Path("colours.cfg").write_text(COLOURS.replace("=4", "=100"))
    assert run("--batch", "2000000000") == 3
    assert "a batch of 7 needs" in capfd.readouterr().err
    assert run("--batch", "1") == 0


def test_fit_needs_a_network_of_any_size(folder: Path, capfd: Screen) -> None:
    assert run("--preprocess", "fit") == 0
    assert "prepared by  fit" in capfd.readouterr().out
    Path("fixed.cfg").write_text(COLOURS.replace("[avg]", "[connected]\noutput=3\nactivation=linear"))
    Path("fixed.weights").write_bytes(weights(*[[0] * 3] * 3) + np.zeros(3 + 3 * 48, "<f4").tobytes())
    assert validate("list.csv", "fixed.cfg", "fixed.weights", "--part", "all", "--preprocess", "fit") == 2
    assert "fit keeps the whole picture" in capfd.readouterr().err


def test_help_is_quick() -> None:
    code = (
        "import sys; from minidarknet.cli import main\ntry: main(['validate', '--help'])\nfinally: print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--min-top1" in run.stdout
    assert not {"numba", "numpy", "PIL", "rich", "matplotlib"} & set(run.stdout.split())
