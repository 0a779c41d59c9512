"""A number is what its explanation says: at random places of every kind of layer, step by step, back to a pixel."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import golden_files
from minidarknet import weights
from minidarknet.cfg import parse_cfg
from minidarknet.cli import main
from minidarknet.errors import CfgError, UsageError
from minidarknet.explain import Explanation, Place, Seen, chain, explain, read_place, see
from minidarknet.explain.back import KINDS as BACK_KINDS
from minidarknet.explain.number import KINDS
from minidarknet.explain.photo import photo_pixel
from minidarknet.layers import LAYERS
from minidarknet.network import Network
from minidarknet.preprocess import PREPROCESSES, prepare
from test_golden_networks import load

BEGIN = "[net]\nheight=8\nwidth=8\nchannels=3\n"
#: A few layers of each kind behind the input, with what is unusual about them.
SMALL = {
    "activation": "[conv]\nfilters=4\nactivation=linear\n[activation]\nactivation=stair\n",
    "avgpool": "[avg]\n",
    "batchnorm": "[batchnorm]\n",
    "connected": "[conn]\noutput=7\nbatch_normalize=1\nactivation=selu\n[conn]\noutput=5\nactivation=loggy\n",
    "convolutional": "[conv]\nfilters=6\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\n"
    "[conv]\nfilters=4\nsize=5\nstride=2\npadding=3\ngroups=2\nactivation=elu\n",
    "cost": "[cost]\n",
    "crop": "[crop]\ncrop_height=5\ncrop_width=4\n",
    "deconvolutional": "[deconv]\nfilters=5\nsize=4\nstride=3\npadding=1\nbatch_normalize=1\nactivation=tanh\n",
    "dropout": "[conv]\nfilters=2\n[dropout]\n",
    "l2norm": "[l2norm]\n",
    "local": "[local]\nfilters=3\nsize=3\npad=1\nactivation=ramp\n[local]\nsize=3\nstride=2\nactivation=plse\n",
    "logistic": "[logistic]\n",
    "maxpool": "[max]\nsize=3\nstride=2\n[max]\nsize=2\nstride=1\n",
    "normalization": "[conv]\nfilters=7\nactivation=linear\n[lrn]\nalpha=.3\nsize=4\nkappa=2\n",
    "reorg": "[conv]\nfilters=8\n[reorg]\nstride=2\n[reorg]\nstride=2\nreverse=1\n[reorg]\nstride=1\nflatten=1\n"
    "[reorg]\nextra=5\n",
    "route": "[conv]\nfilters=4\n[max]\nsize=2\nstride=2\n[route]\nlayers=-1,0,0\n[route]\nlayers=0\n",
    "shortcut": "[conv]\nfilters=4\nsize=3\npad=1\n[conv]\nfilters=6\nsize=3\nstride=2\npad=1\n"
    "[shortcut]\nfrom=0\nactivation=leaky\nalpha=.5\nbeta=-2\n[upsample]\n[shortcut]\nfrom=1\n",
    "softmax": "[conn]\noutput=12\nactivation=linear\n[softmax]\ngroups=3\ntemperature=2.5\n",
    "upsample": "[upsample]\nstride=2\nscale=.5\n[upsample]\nstride=-3\nscale=2\n",
}
MATH = {name: getattr(math, name) for name in ("exp", "sqrt", "tanh", "floor")} | {"min": min, "max": max}


def small(kind: str) -> Network:
    network = Network.from_cfg(parse_cfg(BEGIN + SMALL[kind], "small.cfg"))
    network.initialize(1)
    generator = np.random.default_rng(2)
    for _, parameter in network.parameters():  # batch norm and biases begin as if they were not there
        if parameter.name != "weights" and parameter.stored:
            parameter.array = generator.uniform(0.5, 1.5, parameter.shape).astype(np.float32)
    return network


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)


def places(network: Network, layer: int, count: int = 50) -> list[Place]:
    generator = np.random.default_rng(layer)
    sides = network.layers[layer].out_shape.array_shape
    return [Place(layer, *(int(generator.integers(side)) for side in sides)) for _ in range(count)]


def check(seen: Seen, found: Explanation) -> None:
    """The number is the kernel's; terms hold what stands at their places; steps are what their expressions say."""
    assert found.agrees, (found.title, found.value, found.kernel, found.bound)
    for term in found.terms:
        if term.source is not None:
            assert term.value == seen.outputs[term.source.layer][term.source.index]
    assert found.bound < 1e-3 * max(1, abs(found.value), *(abs(step.value) for step in found.steps))
    for step in found.steps:
        if step.expression:
            value = eval(step.expression, {"__builtins__": {}}, MATH)
            assert value == pytest.approx(step.value, rel=1e-6, abs=1e-6 * step.size), step


def test_every_kind_of_layer_that_runs_is_explained() -> None:
    running = {layer.kind for layer in LAYERS.values() if layer.runs}
    assert set(KINDS) == set(BACK_KINDS) == set(SMALL) == running


@pytest.mark.parametrize("kind", SMALL)
def test_the_explained_number_is_the_kernels(kind: str) -> None:
    network = small(kind)
    seen = see(network, picture())
    for layer in network.layers:
        for place in places(network, layer.index):
            found = explain(seen, place)
            check(seen, found)
            if kind == "maxpool":  # also where all numbers are negative
                assert found.lead is not None
                assert found.lead.value == found.kernel


@pytest.mark.parametrize("cfg", golden_files("nets/*.cfg"), ids=lambda path: path.stem)
def test_golden_networks_are_explained_and_chains_end_at_pixels(cfg: Path) -> None:
    network = load(cfg, cfg.with_suffix(".weights"))
    with np.load(cfg.with_suffix(".npz")) as data:
        seen = see(network, data["x"][:1])
    for layer in network.layers:
        for place in places(network, layer.index):
            check(seen, explain(seen, place))
        last = chain(seen, places(network, layer.index, 1)[0])[-1]
        assert last.lead is None or last.lead.source.layer == -1  # type: ignore[union-attr]


def test_a_kind_without_a_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    network = small("avgpool")
    seen = see(network, picture())
    monkeypatch.delitem(KINDS, "avgpool")
    with pytest.raises(CfgError, match=r"small.cfg:5: \[avg\] \(layer 0\) cannot be explained: this kind of layer"):
        explain(seen, Place(0, 1))


def test_a_convolution_by_hand() -> None:
    network = Network.from_cfg(
        parse_cfg("[net]\nheight=2\nwidth=2\nchannels=1\n[conv]\nsize=3\npad=1\nactivation=leaky")
    )
    network.initialize(1)
    layer = network.layers[0]
    layer.weights.array = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)  # type: ignore[attr-defined]
    layer.biases.array = np.array([-100], np.float32)  # type: ignore[attr-defined]
    found = explain(see(network, np.array([[[[1, 2], [3, 4]]]], np.float32)), Place(0, 0, 0, 0))
    assert [term.product for term in found.terms] == [0, 0, 0, 0, 4 * 1, 5 * 2, 0, 7 * 3, 8 * 4]
    assert [term.source for term in found.terms[:5]] == [None] * 4 + [Place(-1, 0, 0, 0)]
    assert found.grid == (1, 3, 3)
    assert [(step.name, step.value) for step in found.steps] == [
        ("sum of 9 products", 67),
        ("bias", -33),
        ("leaky", pytest.approx(-3.3)),
    ]
    assert found.steps[1].expression == "67 + (-100)"
    assert [str(term.source) for term in found.largest(2)] == ["input:0,1,1", "input:0,1,0"]
    assert found.lead == found.terms[8]


def test_a_wrong_number_is_found() -> None:
    network = small("convolutional")
    seen = see(network, picture())
    for place in places(network, 0, 10):
        right = explain(seen, place)
        seen.outputs[0][place.index] += np.float32(20 * right.bound)
        assert not explain(seen, place).agrees


@pytest.mark.parametrize("kind", SMALL)
def test_numbers_that_are_not_finite_are_explained(kind: str) -> None:
    network = small(kind)
    x = picture()
    x[0, 0, 3, 3], x[0, :, 2, 2], x[0, 1, 5, 5], x[0, 0, 6, 6] = np.nan, 0, np.inf, -np.inf
    seen = see(network, x)
    for layer in network.layers:
        for place in places(network, layer.index):
            found = explain(seen, place)
            if layer.kind != "maxpool":  # whose kernel passes NaN over
                assert found.agrees, (found.title, found.value, found.kernel)


def test_a_number_beyond_float32_agrees_with_infinity() -> None:
    network = small("upsample")
    network.layers[0].options = type(network.layers[0].options)(stride=2, scale=3e38)
    found = explain(see(network, 100 + 0 * picture()), Place(0, 0, 0, 0))
    assert (found.kernel, found.value) == (np.inf, pytest.approx(3e40))
    assert found.agrees


def test_a_chain_follows_the_winner_and_the_own_score() -> None:
    network = Network.from_cfg(parse_cfg(BEGIN + SMALL["softmax"].replace("[conn]", "[max]\nsize=2\nstride=2\n[conn]")))
    network.initialize(1)
    seen = see(network, picture())
    links = chain(seen, Place(2, 5))
    assert [link.place.layer for link in links] == [2, 1, 0]
    for score in range(12):
        assert chain(seen, Place(2, score))[1].place == Place(1, score)
    product = max(links[1].terms, key=lambda term: abs(term.product))
    assert links[2].place == product.source
    pixel = links[2].lead
    assert pixel is not None
    assert pixel.source is not None
    c, y, x = links[2].place.index
    assert pixel.value == seen.outputs[-1][c, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].max()


def test_a_chain_that_ends_in_a_constant_says_so() -> None:
    network = small("reorg")
    links = chain(see(network, picture()), Place(4, 8 * 64 + 2))
    assert len(links) == 1
    assert links[0].lead is None
    assert links[0].value == links[0].kernel == 0


@pytest.mark.parametrize("way", PREPROCESSES)
def test_the_photos_pixel(way: str) -> None:
    photo = (np.arange(30, dtype=np.float32)[:, None] * 100 + np.arange(45, dtype=np.float32))[None].repeat(3, axis=0)
    shown = prepare(photo, way, 12, 10)
    seen = 0
    for row, column in np.ndindex(*shown.shape[1:]):
        found = photo_pixel(30, 45, way, (12, 10), Place(-1, 1, row, column))
        if found is None:
            assert shown[1, row, column] == 0.5
        else:
            assert 100 * found[0] + found[1] == pytest.approx(shown[1, row, column], rel=1e-4, abs=1e-3)
            seen += 1
    assert seen == shown[0].size if way != "letterbox" else 0 < seen < shown[0].size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2", "2: expected LAYER:CHANNEL,ROW,COLUMN such as 4:7,20,31"),
        ("0:1,2", "0:1,2: expected LAYER:CHANNEL,ROW,COLUMN"),
        ("0:-1,2,2", "0:-1,2,2: expected LAYER:CHANNEL,ROW,COLUMN"),
        ("2:0", "2:0: small.cfg has no layer 2; expected 0 to 1"),
        (
            "0:6,0,0",
            "there is no channel 6; layer 0 [convolutional] has channels 0 to 5, rows 0 to 7 and columns 0 to 7",
        ),
        ("0:0,8,0", "there is no row 8; layer 0"),
        ("0:0,0,9", "there is no column 9; layer 0"),
        ("0:3", "0:3: names no row and column, and layer 0 [convolutional] has channels 0 to 5"),
    ],
)
def test_wrong_places(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        read_place(text, small("convolutional"))
    assert message in str(error.value)


def test_a_vectors_place_needs_no_row_and_column() -> None:
    network = small("connected")
    assert read_place("1:4", network) == read_place("1:4,0,0", network) == Place(1, 4, 0, 0)
    with pytest.raises(ValueError, match="expected one"):
        see(network, np.zeros((2, 3, 8, 8), np.float32))


# -- the command -----------------------------------------------------------------------------------------------------

CFG = BEGIN + SMALL["convolutional"] + "[avg]\n[softmax]\n"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("small.cfg").write_text(CFG)
    network = Network.from_cfg(parse_cfg(CFG, "small.cfg"))
    network.initialize(1)
    weights.save(network, "small.weights")
    photo = np.random.default_rng(5).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(photo).save("a.png")
    return tmp_path


COMMAND = ["explain", "small.cfg", "small.weights", "a.png"]


def test_the_command_prints_patch_kernel_products_and_steps(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "0:3,0,2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("layer 0 [convolutional], channel 3, row 0, column 2 = ")
    assert "it reads the input (8 rows, 12 columns, 3 channels)" in out
    assert "what its 3 channels add" in out
    assert out.count("products, sum ") == 3
    assert "rows 0 to 1, columns 1 to 3" in out
    lines = [line.split() for line in out.splitlines()]
    assert "18 terms, the 10 that add most; 9 lie outside of the picture" in out
    steps = [line[0] for line in lines[-5:]]
    assert steps == ["sum", "normalised", "scale", "leaky", "the"]
    assert main([*COMMAND, "0:3,0,2", "--all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(lines) + 8


def test_the_command_tells_everything_as_json(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "1:3,0,2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["schema"] == 1
    assert facts["place"] == [1, 3, 0, 2]
    assert facts["grid"] == [3, 5, 5]
    assert len(facts["terms"]) == 75
    assert math.fsum(term["product"] for term in facts["terms"]) == pytest.approx(facts["steps"][0]["value"])
    assert facts["agrees"] is True


def test_the_command_follows_a_chain_to_the_photo(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "3:2", "--chain"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines()[1:5]] == [
        "softmax",
        "avgpool",
        "convolutional",
        "convolutional",
    ]
    assert "of the photo, 30 x 20" in out
    assert main([*COMMAND, "3:2", "--chain", "--json", "--preprocess", "stretch"]) == 0
    facts = json.loads(capsys.readouterr().out)
    pixel, last = facts["pixel"], facts["chain"][-1]
    assert last["terms"][0]["source"] == [-1, pixel["channel"], pixel["row"], pixel["column"]]
    assert pixel["photo"]["row"] == pytest.approx(pixel["row"] * 19 / 7, abs=1e-3)
    assert pixel["photo"]["column"] == pytest.approx(pixel["column"] * 29 / 7, abs=1e-3)


def test_a_kernel_that_is_wrong_is_a_failed_check(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(network: Network, x: np.ndarray) -> Seen:
        seen = see(network, x)
        seen.outputs[0][3, 0, 2] += np.float32(0.01)
        return seen

    monkeypatch.setattr("minidarknet.explain.see", wrong)
    assert main([*COMMAND, "0:3,0,2"]) == 1
    err = capsys.readouterr().err
    assert "layer 0 [convolutional], channel 3, row 0, column 2: the kernel says " in err
    assert "1.00e-02 apart, where rounding explains" in err


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["small.cfg", "small.weights", "a.png"], "a.png: expected one picture and one place behind it", 2),
        (["small.cfg", "small.weights", "a.png", "0:9,0,0"], "0:9,0,0: there is no channel 9", 2),
        (["small.cfg", "a.png", "0:1,0,0"], "no weights were given", 2),
        (["small.cfg", "small.weights", "b.png", "0:1,0,0"], "b.png: there is no such file", 3),
        (["small.cfg", "small.weights", "a.png", "0:1,0,0", "--truth", "1"], "--backward and --truth CLASS belong", 2),
        (["small.cfg", "small.weights", "a.png", "0:1,0,0", "--backward"], "--backward and --truth CLASS belong", 2),
        (
            ["small.cfg", "small.weights", "a.png", "0:1,0,0", "--backward", "--truth", "1", "--chain"],
            "--chain follows numbers, and --backward gradients",
            2,
        ),
    ],
)
def test_mistakes(
    files: Path, arguments: list[str], message: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *arguments]) == code
    assert message in capsys.readouterr().err


def test_numbers_that_are_not_finite_have_an_exit_code(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = Network.from_cfg(parse_cfg(CFG, "small.cfg"))
    network.initialize(1)
    network.layers[0].weights.array[3] = 3e38  # type: ignore[attr-defined]
    weights.save(network, "huge.weights")
    for more in ([], ["--json"]):
        assert main(["explain", "small.cfg", "huge.weights", "a.png", "0:3,4,4", *more]) == 4
        out, err = capsys.readouterr()
        assert "small.cfg: layer 0 [convolutional], channel 3, row 4, column 4 is inf" in err
        assert bool(out) is not bool(more)
