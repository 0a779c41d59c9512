"""`explain-cfg` says everything that the parser knows, and nothing else."""

from __future__ import annotations

import dataclasses
import json

import pytest

from minidarknet import reference
from minidarknet.cli import main
from minidarknet.layers import LAYERS
from minidarknet.net_options import NetOptions


def test_every_section_and_option_is_there() -> None:
    known = reference.sections()
    assert set(known) == {"net", *(kind.kind for kind in LAYERS.values())}
    for name, facts in known.items():
        assert facts.meaning.endswith("."), name
        options = {option.name for option in (*facts.options, *facts.shared)}
        cls = NetOptions if name == "net" else LAYERS[name].Options
        assert options == {field.name.rstrip("_") for field in dataclasses.fields(cls)}
        assert all(option.meaning and option.type for option in facts.options)


def test_one_option_with_its_type_default_and_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain-cfg", "max.padding"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "padding = -1",
        "    cells outside, both ends together; -1 is size - 1",
        "    whole number from -1 to 2,147,483,647",
    ]
    assert main(["explain-cfg", "route.layers"]) == 0
    assert "layers = must be given" in capsys.readouterr().out
    assert main(["explain-cfg", "net.policy"]) == 0
    assert "one of constant, step, steps, exp, poly, sigmoid, random, sgdr" in capsys.readouterr().out


def test_lists_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain-cfg"]) == 0
    text = capsys.readouterr().out
    assert "[convolutional], also [conv]" in text
    assert "[yolo]" in text
    assert "not run" in text
    assert main(["explain-cfg", "[conv]", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["aliases"] == ["conv"]
    assert {"name": "pad", "type": "0 or 1", "default": "0"}.items() <= next(
        option for option in facts["options"] if option["name"] == "pad"
    ).items()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("maxpol", "no section is called 'maxpol'; did you mean 'maxpool'?; known are net, "),
        ("conv.strid", "[convolutional] has no option 'strid'; did you mean 'stride'?; known are filters, "),
    ],
)
def test_unknown_words(word: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain-cfg", word]) == 2
    assert message in capsys.readouterr().err
