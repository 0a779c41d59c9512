"""`minidarknet compare`: the page's table, accuracy on labelled pictures, and the argument that the numbers make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from PIL import Image

from minidarknet import comparison, zoo
from minidarknet.benchmark import Spread
from minidarknet.cli import main
from minidarknet.errors import InputError
from minidarknet.labelled import class_numbers, read_labelled
from minidarknet.network import Network

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="needs the compiler")

REPOSITORY = Path(__file__).resolve().parent.parent
Screen = pytest.CaptureFixture[str]

# Its three numbers are the means of red, green and blue: with the weights 1 0 0, 0 1 0, 0 0 1 it tells colours.
COLOURS = "[net]\nwidth=4\nheight=4\nchannels=3\n[conv]\nfilters=3\nactivation=linear\n[avg]\n[softmax]\n"
HEADER = np.array([0, 2, 0, 0, 0], "<i4").tobytes()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network that knows colours, its weights and names, and pictures of which one is in the wrong folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zoo, "cache_folder", lambda: tmp_path / "cache")
    Path("colours.cfg").write_text(COLOURS)
    Path("colours.weights").write_bytes(
        HEADER + np.concatenate([np.zeros(3), np.eye(3).ravel()]).astype("<f4").tobytes()
    )
    Path("names").write_text("deep red\ngreen\nblue\n")
    Path("wide.cfg").write_text(COLOURS.replace("filters=3", "filters=7"))
    for path, colour in {"deep_red/1": "red", "deep_red/2": "red", "green/1": "lime", "green/2": "blue"}.items():
        Path("pictures", path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 4), colour).save(f"pictures/{path}.png")
    return tmp_path


def compare(*arguments: str) -> int:
    """The exit code, also where argparse exits by itself; one run is enough for all that is tested here."""
    try:
        return main(["compare", *arguments, "--runs", "1"])
    except SystemExit as exit_:
        return int(str(exit_.code))


def compare_json(capfd: Screen, *arguments: str) -> dict[str, Any]:
    assert compare(*arguments, "--json") == 0
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


# -- labelled pictures ---------------------------------------------------------------------------------------------


def test_a_folder_for_each_class(folder: Path) -> None:
    Path("pictures/.hidden").mkdir()
    Path("pictures/readme.txt").write_text("not a class")
    found = [(picture.path, picture.classes) for picture in read_labelled("pictures")]
    assert found == [
        *(("pictures/deep_red/1.png", ("deep_red",)), ("pictures/deep_red/2.png", ("deep_red",))),
        *(("pictures/green/1.png", ("green",)), ("pictures/green/2.png", ("green",))),
    ]


@pytest.mark.parametrize("heading", ["", "file,class\n", "Path , whatever\n", "image,a,b,c\n"])
def test_a_list(folder: Path, heading: str) -> None:
    Path("sub").mkdir()
    Path("sub/list.csv").write_text(f'\ufeff{heading}a.png, deep red\n\n"b, c.png",green,extra\n', "utf-8")
    found = [(picture.path, picture.classes) for picture in read_labelled("sub/list.csv")]
    assert found == [("sub/a.png", ("deep red",)), ("sub/b, c.png", ("green", "extra"))]


def test_a_list_with_tabs_has_commas_in_its_names(folder: Path) -> None:
    Path("list").write_text("/elsewhere/a, b.png\tgreen, or so\r\n")
    (picture,) = read_labelled("list")
    assert (picture.path, picture.classes) == ("/elsewhere/a, b.png", ("green, or so",))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent", None, "absent: no such file or folder; expected a folder with a folder for each class, a list"),
        ("empty", b"", "empty: lists no picture"),
        ("heading", b"file,class\n", "heading: lists no picture"),
        ("lone", b"a.png,green\nb.png\n", "lone:2: found 'b.png'; expected"),
        ("blank", b"a.png,\n", "blank:1: found 'a.png,'; expected"),
        ("binary", b"\xff\xfe\x00", "binary: cannot be read as a list of pictures"),
    ],
)
def test_what_is_no_list(folder: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_labelled(name)
    assert message in str(caught.value)


def test_a_folder_without_classes(folder: Path) -> None:
    with pytest.raises(InputError, match="green: has no folders of classes"):
        read_labelled("pictures/green")
    Path("pictures/yellow").mkdir()
    with pytest.raises(InputError, match="yellow: no picture in this folder"):
        read_labelled("pictures")


def test_classes_are_lines_of_the_names(folder: Path) -> None:
    pictures = read_labelled("pictures")
    assert class_numbers(pictures, ["deep red", "green", "blue"]) == [{0}, {0}, {1}, {1}]
    assert class_numbers(pictures, ["green", "blue", " deep_red "]) == [{2}, {2}, {0}, {0}]
    with pytest.raises(InputError) as caught:
        class_numbers(pictures, ["deep red", "greens"])
    message = ": its class 'green' is none of the 2 class names; did you mean 'greens'?"
    lines = [f"pictures/green/{number}.png{message}" for number in (1, 2)]
    assert str(caught.value).split("\n  ") == ["2 pictures cannot be used", *lines]


def test_the_first_column_counts_whose_every_class_is_known(folder: Path) -> None:
    Path("list").write_text("a.png,n01,red,lime\nb.png,n02,lime,red\n")
    pictures = read_labelled("list")
    assert class_numbers(pictures, ["n02", "n01"]) == [{1}, {0}]
    assert class_numbers(pictures, ["red", "lime", "n01"]) == [{0}, {1}]
    assert class_numbers(pictures, ["crane", "lime", "red", "lime"]) == [{2}, {1, 3}]


@pytest.mark.parametrize("column", ["names", "synsets"])
def test_sixty_photos(shared: Path, column: str, capfd: Screen) -> None:
    """The accuracies that the C program and PyTorch reach, by the photos' names and by their synsets."""
    data, files = shared / "data", []
    for name, order in (("tiny", "imagenet"), ("squeezenet", "imagenet.sorted")):
        files += ["--weights", f"{name}={data / name}.weights", "--names", f"{name}={data / order}.{column}"]
    found = compare_json(capfd, "tiny", "squeezenet", "--data", str(data / "photos/photos.csv"), *files)
    accuracies = [network["accuracy"] for network in found["networks"]]
    assert [(a["pictures"], a["top1_right"], a["top5_right"]) for a in accuracies] == [(60, 48, 56), (60, 39, 50)]
    assert [(a["top1"], a["top5"]) for a in accuracies] == [(48 / 60, 56 / 60), (39 / 60, 50 / 60)]
    assert found["preprocess"] == "center"


# -- the comparison ------------------------------------------------------------------------------------------------


def row(title: str, parameters: int, operations: int, seconds: float) -> dict[str, Any]:
    return {"title": title, "parameters": parameters, "operations": operations, "seconds_per_image": seconds}


def test_the_argument_takes_the_pair_that_shows_it_best() -> None:
    rows = [row("A", 60, 20, 4.0), row("B", 8, 4, 1.0), row("C", 2, 8, 3.0), row("D", 4, 5, 2.0)]
    # Fewer parameters and even more operations, but less time; and fewer parameters, but hardly more operations.
    rows += [row("E", 1, 36, 0.9), row("F", 1, 5, 2.0)]
    expected = (
        "C has 4.0 times fewer parameters than B, needs 2.0 times its operations, and took 3.0 times its time: "
        "few parameters do not mean few operations, nor little time."
    )
    assert comparison.argument(rows) == expected


def test_the_argument_claims_no_more_than_was_measured() -> None:
    quick = [row("B", 8, 4, 1.0), row("C", 2, 8, 0.5)]
    assert comparison.argument(quick) == (
        "C has 4.0 times fewer parameters than B, needs 2.0 times its operations, and took 0.5 times its time: "
        "few parameters do not mean few operations (though here it took less time)."
    )
    ordered = [row("B", 80, 40, 1.0), row("C", 20, 20, 0.5), row("D", 2, 4, 0.125)]
    text = "D has 40.0 times fewer parameters than B, 10.0 times fewer operations, and took 0.12 of its time."
    assert comparison.argument(ordered) == text
    assert comparison.argument([row("B", 8, 4, 1.0)]) == ""
    assert comparison.argument([row("B", 8, 4, 1.0), row("C", 8, 4, 1.0)]) == ""
    assert comparison.argument([row("B", 0, 0, 1.0), row("C", 8, 0, 1.0)]) != ""


@pytest.mark.parametrize("name", zoo.SYSTEMS)
def test_known_systems_are_told_by_their_parameters(name: str) -> None:
    network = Network.from_cfg(zoo.cfg_path(name))
    assert comparison.recognise(network) == zoo.SYSTEMS[name]


def test_the_page_prints() -> None:
    """As on the page, with the size that its own counts give, except for SqueezeNet's operations."""
    printed = {name: system.printed for name, system in zoo.SYSTEMS.items() if name != "digits"}
    assert printed == {
        "alexnet": zoo.Printed(2.27, 57.0, 80.3, 238),
        "darknet": zoo.Printed(0.81, 61.1, 83.0, 28),
        "squeezenet": zoo.Printed(2.17, 57.5, 80.3, 4.8),
        "tiny": zoo.Printed(0.98, 58.7, 81.7, 4.0),
    }
    for name, page in printed.items():
        found = comparison.describe(Network.from_cfg(zoo.cfg_path(name)), name, 1, Spread.of([1.0]), None)
        assert page is not None
        assert found["page"]["megabytes"] == pytest.approx(found["weights_bytes"] / 2**20, abs=0.07)
        operations = 1.72 if name == "squeezenet" else page.operations
        assert found["operations"] / 1e9 == pytest.approx(operations, abs=0.005)
        assert found["accuracy"] is None


def test_json_has_everything(folder: Path, capfd: Screen) -> None:
    found = compare_json(capfd, "colours.cfg", "wide.cfg", "--batch", "2", "--threads", "1")
    assert set(found) == {
        *("batch", "threads", "data", "preprocess", "networks", "argument", "unreadable"),
    }
    assert (found["batch"], found["threads"], found["data"], found["unreadable"]) == (2, 1, None, [])
    network = found["networks"][1]
    assert set(network) == {
        *("title", "cfg", "known_as", "operations", "parameters", "weights_bytes", "seconds", "seconds_per_image"),
        *("gflops", "accuracy", "page", "weights", "names"),
    }
    assert (network["title"], network["cfg"], network["known_as"], network["page"]) == ("wide", "wide.cfg", None, None)
    assert (network["operations"], network["parameters"], network["weights_bytes"]) == (2 * 3 * 7 * 16, 28, 132)
    seconds = network["seconds"]["median"]
    assert network["seconds_per_image"] == pytest.approx(seconds / 2)
    assert network["gflops"] == pytest.approx(2 * network["operations"] / seconds / 1e9)
    assert found["argument"].startswith("colours has 2.3 times fewer parameters than wide, 2.3 times fewer operations")


def test_the_table(folder: Path, capfd: Screen) -> None:
    arguments = ("colours.cfg", "wide.cfg", "--data", "pictures", "--weights", "colours=colours.weights")
    assert compare(*arguments, "--names", "colours.cfg=names") == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    columns = ["network", "operations", "parameters", "weights", "time", "GFLOP/s", "top-1", "top-5"]
    assert lines[0].split() == columns
    assert lines[1].endswith(" 75.0 % 100.0 %")
    assert "%" not in lines[2]
    assert lines[4].split() == ["network", "parameters", "operations", "time"]
    assert [line.count("█") for line in lines[5:7]][1] >= 20  # the largest has whole bars
    assert "Accuracy: of 4 pictures of pictures, prepared by center" in out
    assert "2.17" not in out
    assert "wide: its accuracy stays empty, as no weights were given (--weights wide.cfg=FILE)" in err
    assert compare(*arguments) == 0
    assert (
        "colours: its accuracy stays empty, as no names were given (--names colours.cfg=FILE)" in capfd.readouterr().err
    )


def test_the_page_stands_below_the_systems(capfd: Screen) -> None:
    assert compare("tiny", "squeezenet") == 0
    out = capfd.readouterr().out
    lines = out.splitlines()
    assert lines[1].split()[:8] == ["Tiny", "Darknet", "0.98", "Bn", "1,046,488", "4.0", "MB", lines[1].split()[7]]
    assert lines[2].split() == ["the", "page", "prints", "0.98", "Bn", "4.0", "MB", "58.7", "%", "81.7", "%"]
    assert lines[4].split() == ["the", "page", "prints", "2.17", "Bn", "4.8", "MB", "57.5", "%", "80.3", "%"]
    assert "the page prints 2.17 Bn operations" in " ".join(out.split())
    assert "no published geometry gives 2.17" in " ".join(out.split())
    assert max(map(len, lines)) <= 84
    assert "Accuracy" not in out


def test_fetched_weights_and_names_are_used(folder: Path, shared: Path, capfd: Screen) -> None:
    (folder / "cache").mkdir()
    for name in ("tiny.weights", "imagenet.names"):
        (folder / "cache" / name).symlink_to(shared / "data" / name)
    Path("list").write_text(f"{shared / 'golden/images/dog.png'},malamute\n")
    (network,) = compare_json(capfd, str(REPOSITORY / "cfg/tiny.cfg"), "--data", "list")["networks"]
    assert network["weights"] == str(folder / "cache/tiny.weights")
    assert network["accuracy"]["pictures"] == 1


def test_networks_of_the_same_title_are_told_apart(folder: Path, capfd: Screen) -> None:
    Path("other").mkdir()
    Path("other/colours.cfg").write_text(COLOURS)
    networks = compare_json(capfd, "colours.cfg", "other/colours.cfg", "wide.cfg")["networks"]
    assert [network["title"] for network in networks] == ["colours.cfg", "other/colours.cfg", "wide"]


def test_an_unreadable_picture_is_told_once_and_does_not_count(folder: Path, capfd: Screen) -> None:
    Path("pictures/green/3.png").write_bytes(b"no picture")
    Path("other.cfg").write_text(COLOURS)
    files = [f"--{what}={name}={file}" for name in ("colours", "other") for what, file in FILES.items()]
    assert compare("colours.cfg", "other.cfg", "--data", "pictures", "--json", *files) == 3
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert found["unreadable"] == ["pictures/green/3.png"]
    assert [network["accuracy"]["pictures"] for network in found["networks"]] == [4, 4]
    assert err.count("pictures/green/3.png") == 1
    assert "1 picture could not be read, and did not count" in err


FILES = {"weights": "colours.weights", "names": "names"}


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (2, ["tinny"], "tinny: no such file, nor a known network"),
        (3, ["colours.cfg", "no.cfg"], "no.cfg: no such file"),
        (3, ["colours.cfg", "rnn.cfg"], "[rnn] is recurrent"),
        (3, ["colours.cfg", "--data", "absent"], "absent: no such file or folder"),
        (3, ["colours.cfg", "--data", "pictures", "--part", "test"], "pictures: has no part 'test'"),
        (
            2,
            ["colours.cfg", "--weights", "colours.weights"],
            "--weights colours.weights: expected NAME=FILE, for example",
        ),
        (2, ["colours.cfg", "--names", "=names"], "--names =names: expected NAME=FILE"),
        (
            2,
            ["colours.cfg", "--weights", "wide=x"],
            "--weights wide=x: no network is called 'wide' here; expected colours",
        ),
        (3, ["colours.cfg", "--weights", "colours=x"], "--weights colours=x: there is no file x"),
        (3, ["wide.cfg", "--weights", "wide=colours.weights"], "colours.weights: the file has 68 bytes; the cfg needs"),
        (3, ["colours.cfg", "--batch", "2000000000"], "a batch of 2000000000 needs"),
        (2, ["colours.cfg", "--threads", "100000"], "100000 threads were asked for; expected 1 to"),
        (2, ["colours.cfg", "--preprocess", "squash"], "invalid choice: 'squash'"),
    ],
)
def test_nonsense_is_refused(folder: Path, capfd: Screen, code: int, arguments: list[str], message: str) -> None:
    Path("rnn.cfg").write_text("[net]\ninputs=9\n[rnn]\noutput=3\n")
    assert compare(*arguments) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_classes_that_a_network_does_not_know_are_told_before_anything_is_measured(folder: Path, capfd: Screen) -> None:
    Path("others").write_text("deep red\ngreens\nblue\n")
    files = ["--weights", "colours=colours.weights", "--names", "colours=others"]
    assert compare("wide.cfg", "colours.cfg", "--data", "pictures", *files) == 3
    err = capfd.readouterr().err
    assert "its class 'green' is none of the 3 class names; did you mean 'greens'?" in err
    assert "measuring" not in err
