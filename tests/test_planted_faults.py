"""Faults that were put there on purpose, each found by the command that is meant for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minidarknet import weights
from minidarknet.cfg import parse_cfg
from minidarknet.cli import main
from minidarknet.layers.parameter import Array
from minidarknet.network import Network
from minidarknet.trace import trace
from minidarknet.trace.files import save_npz
from minidarknet.trace.inputs import odd_range, relation
from minidarknet.trace.training_records import USUAL, read_training_trace
from small_training import CFG as TRAINING
from small_training import network as small_classifier
from small_training import write_files

REPOSITORY = Path(__file__).resolve().parent.parent
CFG = """[net]
height=8
width=8
channels=3
[conv]
filters=4
size=3
pad=1
batch_normalize=1
activation=leaky
[max]
size=2
stride=2
[conv]
filters=5
activation=leaky
[route]
layers=-1,1
[conn]
output=3
activation=linear
[softmax]
"""
Screen = pytest.CaptureFixture[str]


def small() -> Network:
    network = Network.from_cfg(parse_cfg(CFG, "small.cfg"))
    network.initialize(1)
    return network


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two networks, weights for the first, and a picture that is wider than high."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path, TRAINING.replace("activation=leaky", "activation=relu"))
    os.rename("small.cfg", "learner.cfg")
    Path("small.cfg").write_text(CFG)
    weights.save(small(), "small.weights")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)
    Image.fromarray(pixels).save("a.png")
    return tmp_path


# -- a number that is not finite -------------------------------------------------------------------------------------


def spoil(layer: int, name: str, place: tuple[int, ...], value: float, network: Network | None = None) -> Network:
    network = network or small()
    parameter = next(p for p in network.layers[layer].parameters() if p.name == name)
    parameter.value[place] = value
    parameter.array = parameter.value
    return network


def nan_message(network: Network, capfd: Screen) -> list[str]:
    weights.save(network, "odd.weights")
    assert main(["trace", "small.cfg", "odd.weights", "a.png", "--preprocess", "center", "--nan"]) == 4
    return [line.strip() for line in capfd.readouterr().err.replace("error: ", "").splitlines() if line.strip()]


def test_a_nan_weight_is_named_with_stage_place_and_lineage(folder: Path, capfd: Screen) -> None:
    network = spoil(4, "weights", (1, 7), np.nan, spoil(2, "weights", (3, 2, 0, 0), np.nan))
    network = spoil(2, "weights", (4, 0, 0, 0), np.inf, network)
    first, *rest = nan_message(network, capfd)
    assert first == (
        "small.cfg: layer 2 [convolutional], products has 32 of 80 numbers that are not finite, the first at (image, "
        "channel, row, column) (0, 3, 0, 0)"
    )
    assert rest[0] == (
        "its weights: 2 of 20 numbers are not finite, the first nan at (filter, channel, row, column) (3, 2, 0, 0)"
    )
    run = trace(small(), prepared(), runs=0)
    conv, pool = run.stages[3], run.stages[4]
    assert rest[1] == (f"it reads layer 1 [maxpool], maxpool, which was finite, {pool.minimum:g} to {pool.maximum:g}")
    assert rest[2] == (
        f"the way there, all of it finite: the picture, {run.input.min():g} to {run.input.max():g} "
        f"-> 0 convolutional {conv.minimum:g} to {conv.maximum:g} -> 1 maxpool {pool.minimum:g} to {pool.maximum:g}"
    )
    assert rest[3] == "further on are not finite either: the weights of layer 4 [connected]"


def prepared() -> Array:
    from minidarknet.images import read_image
    from minidarknet.preprocess import prepare

    return prepare(read_image("a.png", 3), "center", 8, 8)[None]


def test_a_nan_behind_the_products_is_found_in_its_stage(folder: Path, capfd: Screen) -> None:
    first, *rest = nan_message(spoil(2, "biases", (1,), np.nan), capfd)
    assert "layer 2 [convolutional], bias has 16 of 80 numbers" in first
    assert rest[0] == "its biases: 1 of 5 numbers are not finite, the first nan at (channel) 1"
    assert rest[1].startswith("its products were finite, ")
    first, *rest = nan_message(spoil(0, "rolling_variance", (2,), -0.5), capfd)
    assert "layer 0 [convolutional], normalised has 64 of 256 numbers" in first
    assert rest[0] == (
        "its rolling_variance: 1 of 4 numbers are below 0, whose root is NaN, the first -0.5 at (channel) 2"
    )
    assert rest[2].startswith("it reads the picture, ")


def test_numbers_that_grow_too_large_are_told_from_nan(folder: Path, capfd: Screen) -> None:
    network = spoil(4, "weights", (0, 0), 3e38, spoil(2, "weights", (0, 0, 0, 0), 3e38))
    _, *rest = nan_message(spoil(2, "weights", (0, 1, 0, 0), 3e38, network), capfd)
    assert rest[0].startswith("its parameters are all finite, the largest 3e+38 in its weights; beyond 3.4e+38 ")
    assert any(line.startswith("it reads layer 3 [route]") or "it reads layer 1" in line for line in rest)


# -- training that goes wrong ----------------------------------------------------------------------------------------


def train(*words: str) -> int:
    return main(["train", "small.npz", "learner.cfg", "--workers", "1", "--trace", "1", *words])


def layers_of(batch: int) -> list[dict[str, object]]:
    return list(read_training_trace("backup/learner.trace.jsonl"))[batch - 1]["layers"]  # type: ignore[no-any-return]


def test_an_exploding_rate_ends_with_the_first_tensor_and_the_trace_shows_it_before(
    folder: Path, capfd: Screen
) -> None:
    text = Path("learner.cfg").read_text().replace("learning_rate=0.05", "learning_rate=500").replace("burn_in=4\n", "")
    Path("learner.cfg").write_text(text)
    assert train("--chart") == 4
    err = " ".join(capfd.readouterr().err.split())
    found = re.search(
        r"learner.cfg: batch (\d+), with a loss of \S+, has numbers that are not finite, first (.*?)\. ", err
    )
    assert found, err
    assert re.search(r"(output|loss|gradient|weights) .*of layer \d+ \[", found[2]), found[2]
    assert "Likely the learning rate (500) is too high" in err
    records = list(read_training_trace("backup/learner.trace.jsonl"))
    assert len(records) == int(found[1]) - 1 > 0
    assert Path("backup/learner.png").exists(), "the pictures of a run that failed are the ones to look at"
    assert Path("backup/learner.trace.png").exists()
    ratios = [layer["norms"]["ratio"] for layer in records[0]["layers"] if layer["norms"]]
    assert max(ratios) > 1000 * USUAL
    assert "warning: batch 1: the step of layer 3 [connected] is " in err
    assert "where 0.001 is usual: the learning rate (500) is likely too high" in err


def test_a_dead_layer_is_a_warning_and_counted(folder: Path, capfd: Screen) -> None:
    network = small_classifier(Path("learner.cfg").read_text())
    for parameter in network.layers[0].parameters():
        if parameter.name == "biases":
            parameter.value[:] = -1000
    weights.save(network, "dead.weights")
    assert train("--weights", "dead.weights") == 0
    err = capfd.readouterr().err
    assert "warning: no gradient reaches layer 0 [convolutional]: it learns nothing" in " ".join(err.split())
    assert "warning: batch 1: each unit of layer 0 [convolutional] puts out one number for all pictures" in " ".join(
        err.split()
    )
    conv, pool, *_ = layers_of(1)
    assert (conv["units"], conv["same"], conv["zero"], conv["dead"]) == (4, 4, 4, [0, 1, 2, 3])
    assert conv["norms"]["gradient"] == 0  # type: ignore[index]
    assert pool["zero"] == 4
    assert train("--overwrite") == 0
    err = capfd.readouterr().err
    assert "no gradient reaches" not in err
    assert "puts out one number" not in err
    assert layers_of(1)[0]["same"] == 0


# -- pictures that were prepared in another way ----------------------------------------------------------------------


def test_another_preprocessing_parts_at_the_input(folder: Path, capfd: Screen) -> None:
    for way in ("center", "stretch"):
        words = ["trace", "small.cfg", "small.weights", "a.png", "--preprocess", way, "--npz", f"{way}.npz"]
        assert main(words) == 0
    assert "warning" not in capfd.readouterr().err, "any picture of ours lies in 0..1"
    assert main(["trace", "diff", "center.npz", "stretch.npz"]) == 1
    out, err = capfd.readouterr()
    assert "they part at input (by more than 1e-05 of the largest number)" in err
    assert out.splitlines()[1].split()[0] == "input"
    assert "second input" not in err


CHANGES: list[tuple[Callable[[Array], Array], str, str]] = [
    (
        lambda x: x[:, ::-1].copy(),
        "the second input is the first with its channels the other way round: red and blue are swapped",
        "",
    ),
    (lambda x: x[..., ::-1].copy(), "the second input is the mirror image of the first", ""),
    (
        lambda x: 255 * x,
        "the second input is 255 times the first",
        "pictures lie in 0 to 1: is it still to be divided by 255?",
    ),
    (
        lambda x: x / 255,
        "the second input is 0.003922 times the first",
        "pictures lie in 0 to 1: was it divided by 255 twice?",
    ),
    (
        lambda x: (x - np.float32(0.5)) * 4,
        "the second input is 4 times the first, plus -2",
        "pictures lie in 0 to 1: was a mean subtracted?",
    ),
]


@pytest.mark.parametrize(("change", "related", "doubt"), CHANGES)
def test_a_wrong_input_is_told_for_what_it_is(
    folder: Path, capfd: Screen, change: Callable[[Array], Array], related: str, doubt: str
) -> None:
    network, x = small(), prepared()
    for name, given in (("right", x), ("wrong", change(x))):
        run = trace(network, given, runs=0)
        assert (doubt in run.as_dict()["doubt"]) if name == "wrong" else run.as_dict()["doubt"] == ""
        save_npz(f"{name}.npz", run)
    assert main(["trace", "diff", "right.npz", "wrong.npz"]) == 1
    err = " ".join(capfd.readouterr().err.split())
    assert related in err
    assert ("warning: wrong.npz: the input lies in " in err and doubt in err) if doubt else "warning" not in err
    assert "they part at input" in err


def test_nothing_is_said_of_inputs_that_are_right_or_no_pictures() -> None:
    x = np.random.default_rng(0).random((1, 3, 8, 8), np.float32)
    assert odd_range(x) == ""
    assert odd_range(300 * x).endswith("pictures lie in 0 to 1")
    assert odd_range(np.full((1, 1, 4, 4), 0.5, np.float32)) == "the input is 0.5 everywhere: is it a picture?"
    assert odd_range(np.full((2, 3, 1, 1), 9, np.float32)) == "", "a vector"
    assert odd_range(255 * x.repeat(2, axis=1)) == "", "six channels"
    assert odd_range(np.full((1, 3, 4, 4), np.nan, np.float32)) == ""
    assert relation(x, x) == ""
    assert relation(x, x[..., :4]) == ""
    assert relation(x, np.random.default_rng(1).random(x.shape, np.float32)) == ""
    assert relation(np.ones_like(x), x) == ""


# -- the debugger ----------------------------------------------------------------------------------------------------


def debug(words: list[str], answers: str, files: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    files = ["small.weights"] if files is None else files
    line = [
        sys.executable,
        "-m",
        "minidarknet",
        "trace",
        "small.cfg",
        *files,
        "a.png",
        "--preprocess",
        "center",
        *words,
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONBREAKPOINT": ""}
    return subprocess.run(line, input=answers, capture_output=True, text=True, env=environment, timeout=120)


def test_the_debugger_opens_behind_a_layer(folder: Path) -> None:
    questions = (
        "p x.shape, y.shape, layer.index, layer.kind\np float(y.max() - outputs[1].max())\nup\np sorted(outputs)\nc\n"
    )
    done = debug(["--break", "1"], questions)
    assert done.returncode == 0, done.stderr
    assert "((1, 4, 8, 8), (1, 4, 4, 4), 1, 'maxpool')" in done.stdout
    assert "NameError" in done.stdout, "the outputs are one frame up"
    assert "[-1, 0, 1]" in done.stdout
    assert "behind layer 1 [maxpool]: x (1, 4, 8, 8), y (1, 4, 4, 4), layer." in " ".join(done.stderr.split())
    answers = re.findall(r"class \d: 0\.\d{6}$", done.stdout, re.M)
    assert len(answers) == 3
    plain = debug([], "")
    assert answers == re.findall(r"class \d: 0\.\d{6}$", plain.stdout, re.M), "the same answer as without"


def test_what_is_changed_in_the_debugger_goes_on(folder: Path) -> None:
    done = debug(["--break", "3"], "p type(x), len(x)\ny[:] = 0\nc\n")
    assert "(<class 'list'>, 2)" in done.stdout, "a route has several inputs"
    assert re.findall(r"class \d: (0\.\d{6})$", done.stdout, re.M) == ["0.333333"] * 3
    quit_at_once = debug(["--break", "3"], "q\n")
    assert quit_at_once.returncode == 0
    assert "class " not in quit_at_once.stdout.replace("<class", "")
    assert "Traceback" not in quit_at_once.stderr


def test_the_debugger_sees_a_picture_of_its_own_size(folder: Path) -> None:
    Path("small.cfg").write_text(CFG[: CFG.index("[route]")] + "[avg]\n[softmax]\n")
    done = debug(["--preprocess", "fit", "--random-weights", "1", "--break", "0"], "p x.shape, y.shape\nc\n", [])
    assert done.returncode == 0, done.stderr
    assert "((1, 3, 8, 16), (1, 4, 8, 16))" in done.stdout


def test_a_layer_that_is_not_there(folder: Path, capfd: Screen) -> None:
    assert main(["trace", "small.cfg", "small.weights", "a.png", "--preprocess", "center", "--break", "6"]) == 2
    assert "--break 6: small.cfg has layers 0 to 5" in capfd.readouterr().err
