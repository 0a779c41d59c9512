"""The Python interface: the README's example, and what a wrong call is told."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minidarknet as md
from minidarknet.errors import InputError, UsageError

REPOSITORY = Path(__file__).resolve().parent.parent
CFG = """[net]
width=8
height=8
channels=3
[conv]
filters=3
size=3
pad=1
activation=leaky
[avg]
[softmax]
"""


@pytest.fixture
def net(tmp_path: Path) -> md.Classifier:
    (tmp_path / "conv.cfg").write_text(CFG)
    return md.load(tmp_path / "conv.cfg", random_weights=1)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).random((3, height, width), np.float32)


def test_the_readmes_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code = re.search(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert code is not None
    Image.fromarray((picture(20, 30) * 255).astype(np.uint8).transpose(1, 2, 0)).save(tmp_path / "dog.jpg")
    (tmp_path / "imagenet.names").write_text("".join(f"thing {i}\n" for i in range(1000)))
    (tmp_path / "cfg").symlink_to(REPOSITORY / "cfg")
    network = md.Network.from_cfg(REPOSITORY / "cfg/tiny.cfg")
    network.initialize(1)
    from minidarknet import weights

    weights.save(network, tmp_path / "tiny.weights")
    monkeypatch.chdir(tmp_path)
    exec(code.group(1), {})
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 5 + 22
    assert lines[-1].startswith("21 softmax (1, 1000, 1, 1) ")


def test_steps_take_pictures_of_any_size(net: md.Classifier) -> None:
    for height, width in ((8, 12), (8, 8), (30, 9)):
        answer = [output for _, output in net.steps(picture(height, width))][-1]
        assert answer.shape == (1, 3, 1, 1)
    assert net.prepare(picture(20, 40)).shape == (3, 8, 16)  # the cfg's size, not the last picture's


def test_equal_probabilities_keep_the_order_of_the_classes(net: md.Classifier) -> None:
    assert [p.index for p in net.rank(np.array([0.2, 0.3, 0.2, 0.3], np.float32))] == [1, 3, 0, 2]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 8, 8), np.uint8), "the picture has numbers of type uint8; expected float32 in 0..1"),
        (np.zeros((8, 8, 3), np.float32), r"the picture has shape \(8, 8, 3\); .* with 3 channels"),
        (np.zeros((8, 8), np.float32), r"the picture has shape \(8, 8\)"),
        ("dog.jpg", "the picture has numbers of type"),
    ],
)
def test_pictures_that_are_none(net: md.Classifier, image: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        net.predict(image)


def test_wrong_calls(net: md.Classifier) -> None:
    with pytest.raises(UsageError, match="top=0: expected 1 or more"):
        net.predict(picture(8, 8), top=0)
    with pytest.raises(UsageError, match="a seed of -1: expected a whole number, 0 or more"):
        net.initialize(-1)
    with pytest.raises(InputError, match="the input is no array of numbers"):
        net.forward("abc")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"the input has shape \(5,\); conv.cfg expected \(batch, 3, 8, 8\)"):
        net.forward(np.zeros(5, np.float32))
    with pytest.raises(InputError, match="a network needs at least one layer"):
        md.Network([], net.input_shape)
    with pytest.raises(UsageError, match="unknown way to prepare a picture: 'fill'; expected one of fit, letterbox"):
        md.load("tiny", preprocess="fill")
