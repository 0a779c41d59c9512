"""The command line as a person or a script meets it: what is printed where, and the exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minidarknet import zoo
from minidarknet.cli import COMMANDS, main

REPOSITORY = Path(__file__).resolve().parent.parent
NET = """[net]
width=8
height=8
channels=3
[conv]
filters=3
size=3
pad=1
activation=leaky
"""
CONVOLUTIONAL = NET + "[avg]\n[softmax]\n"
CONNECTED = NET + "[connected]\noutput=3\nactivation=linear\n[softmax]\n"

Screen = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two small networks, their class names, and pictures of several sizes."""
    monkeypatch.chdir(tmp_path)
    Path("conv.cfg").write_text(CONVOLUTIONAL)
    Path("fc.cfg").write_text(CONNECTED)
    Path("names").write_text("ant\nbee\ncat\n")
    generator = np.random.default_rng(1)
    Path("pictures").mkdir()
    for name, (height, width) in {"a": (20, 30), "b": (20, 30), "c": (30, 20), "d": (20, 30)}.items():
        pixels = generator.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(f"pictures/{name}.png")
    return tmp_path


def classify(*arguments: str) -> int:
    return main(["classify", *arguments, "--random-weights", "1"])


def test_classify_prints_results_on_stdout_and_the_rest_on_stderr(folder: Path, capfd: Screen) -> None:
    assert classify("conv.cfg", "pictures/a.png", "--names", "names") == 0
    out, err = capfd.readouterr()
    first, *classes = out.splitlines()
    assert first.startswith("pictures/a.png: Predicted in 0.")
    assert first.endswith(" seconds.")
    assert sorted(line.split(": ")[0] for line in classes) == ["ant", "bee", "cat"]
    values = [float(line.split(": ")[1]) for line in classes]
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1, abs=1e-5)
    assert "preprocess: fit (" in err


def test_top(folder: Path, capfd: Screen) -> None:
    assert classify("conv.cfg", "pictures/a.png", "--top", "1") == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("class ")


def test_folders_and_patterns_and_batches_give_the_same_as_one_by_one(folder: Path, capfd: Screen) -> None:
    answers = []
    for arguments in (["pictures"], ["pictures/*.png", "--batch", "2"], ["pictures", "--batch", "16"]):
        assert classify("conv.cfg", *arguments, "--json") == 0
        images = json.loads(capfd.readouterr().out)["images"]
        assert [image["image"] for image in images] == [f"pictures/{name}.png" for name in "abcd"]
        answers.append([(image["input"], image["top"]) for image in images])
    assert answers[0] == answers[1] == answers[2]
    assert [shape for shape, _ in answers[0]] == [[3, 8, 12], [3, 8, 12], [3, 12, 8], [3, 8, 12]]


def test_json_names_the_preprocessing(folder: Path, capfd: Screen) -> None:
    assert classify("fc.cfg", "pictures/a.png", "--json", "--preprocess", "crop") == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["cfg"], found["preprocess"]) == ("fc.cfg", "crop")
    assert set(found["images"][0]) == {"image", "seconds", "input", "top"}
    assert set(found["images"][0]["top"][0]) == {"name", "index", "probability"}


def test_one_unreadable_picture_does_not_stop_the_others(folder: Path, capfd: Screen) -> None:
    Path("pictures/bad.png").write_bytes(b"this is no picture")
    assert classify("conv.cfg", "pictures") == 3
    out, err = capfd.readouterr()
    assert out.count("Predicted in") == 4
    assert "error: pictures/bad.png" in err
    assert "1 of 5 pictures could not be read" in err


@pytest.mark.parametrize("preprocess", ["letterbox", "center", "crop", "stretch"])
def test_connected_layers_take_every_other_way(folder: Path, capfd: Screen, preprocess: str) -> None:
    assert classify("fc.cfg", "pictures/c.png", "--preprocess", preprocess) == 0


def test_fit_says_why_it_cannot(folder: Path, capfd: Screen) -> None:
    assert classify("fc.cfg", "pictures/a.png") == 2
    err = capfd.readouterr().err
    assert "fit keeps the whole picture and resizes the network to it, which fc.cfg does not allow" in err
    assert "fc.cfg:10: [connected] (layer 1) is made for one input size: its weights have 3x192, not 3x768" in err
    assert "Choose another --preprocess: letterbox, center, crop, stretch" in err


def test_fit_needs_an_answer_of_fixed_size(folder: Path, capfd: Screen) -> None:
    Path("open.cfg").write_text(NET + "[softmax]\n")
    assert classify("open.cfg", "pictures/a.png") == 2
    assert "its answer would grow from 192 numbers to 768 numbers" in capfd.readouterr().err


@pytest.mark.parametrize("pictures", [["pictures/a.png"], ["pictures/a.png", "pictures/b.png"]])
def test_no_weights_is_an_error_that_says_what_to_do(folder: Path, capfd: Screen, pictures: list[str]) -> None:
    assert main(["classify", "conv.cfg", *pictures]) == 2
    err = capfd.readouterr().err
    assert "no weights were given: conv.cfg is followed by pictures/a.png" in err
    assert "minidarknet fetch tiny" in err
    assert "--random-weights SEED" in err


def test_weights_without_pictures(folder: Path, capfd: Screen) -> None:
    assert main(["classify", "conv.cfg", "net.weights"]) == 2
    assert "no picture was given behind the weights net.weights" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.cfg", "pictures/a.png"], "nothing.cfg: no such file; expected a Darknet cfg"),
        (["conv.cfg", "absent.weights", "pictures/a.png"], "absent.weights: no such file; expected a Darknet .weights"),
        (["conv.cfg", "short.weights", "pictures/a.png"], "short.weights: the file has 24 bytes; the cfg needs 352"),
        (["conv.cfg", "pictures/missing.png"], "pictures/missing.png: there is no such file"),
        (["conv.cfg", "empty"], "empty"),
        (["conv.cfg", "pictures/*.gif"], "pictures/*.gif"),
        (["conv.cfg", "pictures/a.png", "--names", "few"], "few: has 1 names, but the network has 3 outputs"),
        (["conv.cfg", "pictures/a.png", "--names", "absent"], "absent: no such file; expected class names"),
        (["rnn.cfg", "pictures/a.png"], "[rnn] is recurrent, and minidarknet runs networks without a memory"),
        (["vector.cfg", "pictures/a.png"], "vector.cfg takes 9 numbers, not pictures"),
        (["yolo.cfg", "pictures/a.png"], "[yolo] belongs to a detector, and minidarknet runs classifiers"),
        (["deep.cfg", "pictures/a.png"], "4"),  # a picture has 1 or 3 channels
    ],
)
def test_bad_files_exit_with_3(folder: Path, capfd: Screen, arguments: list[str], message: str) -> None:
    Path("short.weights").write_bytes(bytes([0, 0, 0, 0, 1, 0, 0, 0]) + bytes(16))
    Path("empty").mkdir()
    Path("few").write_text("ant\n")
    Path("rnn.cfg").write_text("[net]\ninputs=9\n[rnn]\noutput=3\n")
    Path("vector.cfg").write_text("[net]\ninputs=9\n[connected]\noutput=3\n")
    Path("yolo.cfg").write_text(NET + "[yolo]\nclasses=80\nmask=1\n")
    Path("deep.cfg").write_text(NET.replace("channels=3", "channels=4") + "[avg]\n[softmax]\n")
    assert classify(*arguments) == 3
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err


def test_more_names_than_classes_is_a_warning(folder: Path, capfd: Screen) -> None:
    Path("names").write_text("ant\nbee\ncat\ndog\n")
    assert classify("conv.cfg", "pictures/a.png", "--names", "names") == 0
    assert "warning: names: has 4 names; the network's 3 outputs take the first ones" in capfd.readouterr().err


def test_numbers_that_are_not_finite_exit_with_4(folder: Path, capfd: Screen) -> None:
    Path("l2.cfg").write_text(NET.replace("activation=leaky", "activation=relu") + "[l2norm]\n[avg]\n[softmax]\n")
    Image.new("RGB", (8, 8)).save("black.png")  # all zeros have no length to be divided by
    assert classify("l2.cfg", "black.png") == 4
    assert "l2.cfg: layer 1 [l2norm] puts out NaN or infinity" in capfd.readouterr().err


def test_some_layers_only(folder: Path, capfd: Screen) -> None:
    header = np.array([0, 2, 0, 0, 0], "<i4").tobytes()
    Path("first.weights").write_bytes(header + np.zeros(3 + 81, "<f4").tobytes())
    assert main(["classify", "fc.cfg", "first.weights", "pictures/a.png", "--layers", "1", "--preprocess", "crop"]) == 2
    assert "the biases of layer 1 [connected] are not in what was loaded" in capfd.readouterr().err
    assert classify("fc.cfg", "first.weights", "pictures/a.png", "--layers", "1", "--preprocess", "crop") == 0
    values = [float(line.split(": ")[1]) for line in capfd.readouterr().out.splitlines()[1:]]
    assert values == pytest.approx([1 / 3] * 3, abs=1e-5)  # the first layer passes nothing on


def test_grey_networks_get_grey_pictures(folder: Path, capfd: Screen) -> None:
    Path("grey.cfg").write_text(CONVOLUTIONAL.replace("channels=3", "channels=1"))
    assert classify("grey.cfg", "pictures/a.png", "--json") == 0
    assert json.loads(capfd.readouterr().out)["images"][0]["input"] == [1, 8, 12]


def test_summary_footer_and_batch(folder: Path, capfd: Screen) -> None:
    assert main(["summary", "conv.cfg", "--batch", "4"]) == 0
    out = capfd.readouterr().out
    assert "operations  0.000 BFLOPs (10,368 for one image, by Darknet's count)" in out
    assert "parameters  84" in out
    assert "weights file  356 bytes" in out
    assert "for 4 images" in out
    assert "the whole input; 3 x 3 pixels at layer 0" in out


def test_summary_json(folder: Path, capfd: Screen) -> None:
    assert main(["summary", "conv.cfg", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["layers"][0]["output"] == {"channels": 3, "height": 8, "width": 8, "is_image": True}
    assert [layer["kind"] for layer in found["layers"]] == ["convolutional", "avgpool", "softmax"]
    assert [layer["line"] for layer in found["layers"]] == [5, 10, 11]


def test_summary_of_a_known_name(capfd: Screen) -> None:
    assert main(["summary", "tiny", "--plain"]) == 0
    assert capfd.readouterr().out.count("BFLOPs") == 16


def test_warnings_are_shown_once_and_the_table_still_comes(folder: Path, capfd: Screen) -> None:
    Path("typo.cfg").write_text(CONVOLUTIONAL.replace("pad=1", "padd=1"))
    assert main(["summary", "typo.cfg", "--plain"]) == 0
    out, err = capfd.readouterr()
    assert out.count("\n") == 4
    assert err == "warning: typo.cfg:8: [conv] has no option 'padd', ignored; did you mean 'pad'?\n"


def test_fetch_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Screen) -> None:
    monkeypatch.setenv("MINIDARKNET_CACHE", str(tmp_path))
    assert main(["fetch", "tiny", "--mirror", "http://127.0.0.1:9/"]) == 3
    err = capfd.readouterr().err
    assert "f1c3fe6b9bab9af69ae2a090682df3e5b9d83accba69551315f030ce1b37ea81" in err
    assert str(tmp_path / "tiny.weights") in err


def test_classify_by_name_wants_the_weights_fetched(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Screen
) -> None:
    monkeypatch.setattr(zoo, "cache_folder", lambda: folder)
    assert main(["classify", "tiny", "pictures/a.png"]) == 3
    assert "run `minidarknet fetch tiny`" in capfd.readouterr().err


def test_classify_by_name(folder: Path, shared: Path, monkeypatch: pytest.MonkeyPatch, capfd: Screen) -> None:
    monkeypatch.setattr(zoo, "cache_folder", lambda: folder)
    for name in ("tiny.weights", "imagenet.names"):
        (folder / name).symlink_to(shared / "data" / name)
    assert main(["classify", "tiny", str(shared / "golden/images/dog.png")]) == 0
    assert [line.split(": ")[0] for line in capfd.readouterr().out.splitlines()[1:3]] == ["malamute", "Eskimo dog"]


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["classify"], ["summary", "x.cfg", "--batch", "0"], ["fetch"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capfd: Screen) -> None:
    try:
        code = main(arguments)
    except SystemExit as exit_:
        code = int(str(exit_.code))
    assert code == 2
    assert "usage: minidarknet" in capfd.readouterr().err


def test_a_misspelt_network(folder: Path, capfd: Screen) -> None:
    assert classify("tinny", "pictures/a.png") == 2
    err = capfd.readouterr().err
    assert "tinny: no such file, nor a known network (tiny, darknet, alexnet, squeezenet, digits)" in err
    assert "; did you mean 'tiny'?" in err


def test_a_seed_is_no_negative_number(folder: Path, capfd: Screen) -> None:
    assert main(["classify", "conv.cfg", "pictures/a.png", "--random-weights", "-1"]) == 2
    assert "a seed of -1: expected a whole number, 0 or more" in capfd.readouterr().err


def test_a_picture_too_long_to_prepare_does_not_stop_the_others(folder: Path, capfd: Screen) -> None:
    Path("wide.cfg").write_text(CONVOLUTIONAL.replace("=8", "=4000"))
    Image.new("RGB", (60_000, 1)).save("line.png")
    assert classify("wide.cfg", "line.png", "gone.png") == 3
    err = capfd.readouterr().err
    assert "2 of 2 pictures could not be read" in err


def test_json_lists_what_could_not_be_read(folder: Path, capfd: Screen) -> None:
    assert classify("conv.cfg", "pictures/a.png", "gone.png", "--json") == 3
    found = json.loads(capfd.readouterr().out)
    assert [error["image"] for error in found["errors"]] == ["gone.png"]
    assert len(found["images"]) == 1


def test_unknown_network_name(capfd: Screen) -> None:
    assert main(["fetch", "yolo"]) == 2
    assert "tiny, darknet, alexnet, squeezenet, digits" in capfd.readouterr().err


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_loads_nothing_heavy(command: str | None) -> None:
    words = [command, "--help"] if command else ["--help"]
    script = (
        "import sys\nfrom minidarknet.cli import main\n"
        f"try: main({words!r})\nexcept SystemExit as e: assert e.code == 0\n"
        "heavy = {'numba', 'numpy', 'PIL', 'rich', 'pooch'} & set(sys.modules)\nassert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "usage: minidarknet" in result.stdout


def test_version_and_module(capfd: Screen) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "minidarknet", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout == "minidarknet 0.1.0\n"


def test_interrupt_exits_with_130(folder: Path) -> None:
    arguments = ["classify", "conv.cfg", *["pictures"] * 20_000, "--random-weights", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "minidarknet", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()  # it is at work
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err


def test_with_a_bar_on_the_screen_results_still_go_to_the_file(folder: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    arguments = ["classify", "conv.cfg", "pictures", "--random-weights", "1", "--top", "1"]
    with open("out.txt", "w") as out:
        run = subprocess.run([sys.executable, "-m", "minidarknet", *arguments], stdout=out, stderr=theirs, check=False)
    os.close(theirs)
    screen = os.read(ours, 100_000).decode()
    os.close(ours)
    assert run.returncode == 0
    assert Path("out.txt").read_text().count("Predicted in") == 4
    assert "4/4" in screen
    assert "Predicted" not in screen


def test_a_closed_pipe_is_no_traceback(folder: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(
        [sys.executable, "-m", "minidarknet", "summary", "conv.cfg"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert result.returncode == 141
    assert result.stderr == ""
