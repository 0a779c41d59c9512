"""A trace tells the truth: its arrays are the golden ones, its numbers NumPy's, and planted faults are found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import arrays, golden_files
from minidarknet import weights
from minidarknet.cfg import parse_cfg
from minidarknet.cli import main
from minidarknet.kernels.survey import HIGH, LOW, ODD, SQUARES, SUM, ZEROS, survey
from minidarknet.network import Network
from minidarknet.trace import SCHEMA, Trace, trace
from minidarknet.trace.diff import difference, differences
from minidarknet.trace.files import read_npz, to_csv, to_json, to_timeline
from minidarknet.trace.verify import verify
from test_golden_networks import assert_close, load

CFG = """\
[net]
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
activation=logistic
[avg]
[softmax]
"""
REPOSITORY = Path(__file__).resolve().parent.parent


def small() -> Network:
    network = Network.from_cfg(parse_cfg(CFG, "small.cfg"))
    network.initialize(1)
    return network


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 3, 8, 8), np.float32)


@pytest.mark.parametrize("cfg", golden_files("nets/*.cfg"), ids=lambda path: path.stem)
def test_stages_are_the_golden_outputs_and_verify_themselves(cfg: Path) -> None:
    data = arrays(cfg.with_suffix(".npz"))
    network = load(cfg, cfg.with_suffix(".weights"))
    run = trace(network, data["x"], runs=0)
    last = {stage.layer: stage for stage in run.stages}
    for index, stage in last.items():
        assert_close(stage.array, data[f"out_{index:02d}"], 1e-5, stage.title)
    for check in verify(network, run):
        assert check.passed(1e-5), (check.stage.title, check.relative)
        assert check.relative is not None or check.stage.kind in ("local", "reorg", "deconvolutional")


@pytest.mark.parametrize("name", ["tiny", "darknet", "alexnet", "squeezenet"])
def test_the_four_systems_verify_themselves(name: str) -> None:
    network = Network.from_cfg(REPOSITORY / f"cfg/{name}.cfg")
    network.initialize(1)
    x = np.random.default_rng(0).random((1, *network.input_shape.array_shape), np.float32)
    checks = verify(network, trace(network, x, runs=0))
    assert all(check.relative is not None and check.relative <= 1e-5 for check in checks)


def test_the_stages_of_a_layer_are_those_of_steps() -> None:
    network, x = small(), picture()
    expected = [output.copy() for _, output in network.steps(x)]
    run = trace(network, x, runs=2)
    assert [stage.name for stage in run.stages] == [
        *("products", "normalised", "scale and bias", "leaky"),
        *("maxpool", "products", "bias", "logistic", "avgpool", "softmax"),
    ]
    for stage in run.stages:
        if stage.name in ("leaky", "logistic", stage.kind):
            np.testing.assert_array_equal(stage.array, expected[stage.layer])
    assert all(stage.seconds is not None and stage.seconds > 0 for stage in run.stages)
    first = run.stages[0]
    assert (first.parameters, first.flops) == (4 * 3 * 9 + 16, 2 * 4 * 27 * 64)
    assert first.bytes == 4 * (3 * 64 + 4 * 64 + 124)
    assert run.stages[1].flops == run.stages[1].bytes == 0


def test_statistics_are_numpys() -> None:
    x = np.random.default_rng(1).normal(2, 3, (6, 5001)).astype(np.float32)
    x[2, 7:9] = 0
    x[3, 4000] = np.nan
    x[4, 1] = -np.inf
    facts = np.empty((6, 6))
    survey(facts, x)
    for row, found in zip(x, facts, strict=True):
        finite = row[np.isfinite(row)].astype(np.float64)
        assert (found[LOW], found[HIGH]) == (finite.min(), finite.max())
        assert found[SUM] == pytest.approx(finite.sum(), rel=1e-5)
        assert found[SQUARES] == pytest.approx(np.square(finite).sum(), rel=1e-5)
        assert found[ZEROS] == (row == 0).sum()
        assert found[ODD] == (~np.isfinite(row)).sum()


def test_dead_channels_saturation_and_non_finite_numbers_are_seen() -> None:
    network = small()
    conv, last = network.layers[0], network.layers[2]
    conv.weights.array[1] = 0  # type: ignore[attr-defined]
    last.biases.array = np.array([50, -50, 0, 0, 0], np.float32)  # type: ignore[attr-defined]
    for parameter in conv.parameters():
        parameter.array = parameter.value
    run = trace(network, picture())
    by_name = {(stage.layer, stage.name): stage for stage in run.stages}
    assert by_name[0, "leaky"].dead == [1]
    assert by_name[2, "logistic"].saturated == pytest.approx(0.4)
    assert sum(by_name[0, "leaky"].histogram) == 256
    last.weights.array[3, 2] = np.nan  # type: ignore[attr-defined]
    last.weights.array = last.weights.array  # type: ignore[attr-defined]
    odd = trace(network, picture()).stages[5]
    assert (odd.non_finite, odd.first_non_finite) == (16, (0, 3, 0, 0))


def test_files_say_the_same(tmp_path: Path) -> None:
    from minidarknet.trace.files import save_npz

    run = trace(small(), picture())
    facts = json.loads(to_json(run))
    assert facts["schema"] == SCHEMA
    assert [stage["name"] for stage in facts["stages"]] == [stage.name for stage in run.stages]
    assert to_csv(run).splitlines()[0].startswith("layer,kind,name,inputs,shape,parameters,flops,bytes,seconds,minimum")
    assert len(to_csv(run).splitlines()) == len(run.stages) + 1
    save_npz(tmp_path / "run.npz", run)
    kept = read_npz(tmp_path / "run.npz")
    np.testing.assert_array_equal(kept["00_scale_and_bias"], run.stages[2].array)
    assert len(kept) == len(run.stages) + 1


def test_the_timeline_is_nested() -> None:
    events = json.loads(to_timeline(trace(small(), picture())))["traceEvents"]
    layers = [event for event in events if event["cat"] == "layer"]
    assert [event["name"] for event in layers] == [
        "0 convolutional",
        "1 maxpool",
        "2 convolutional",
        "3 avgpool",
        "4 softmax",
    ]
    for event in events:
        if event["cat"] == "stage":
            assert any(
                whole["ts"] - 1e-6 <= event["ts"] and event["ts"] + event["dur"] <= whole["ts"] + whole["dur"] + 1e-6
                for whole in layers
            )


def test_differences() -> None:
    one = np.array([1.0, -4.0], np.float32)
    assert difference("a", one, one + np.float32(0.5)).relative == pytest.approx(0.125)
    assert difference("a", one, np.array([1.0, np.nan], np.float32)).relative == np.inf
    run = trace(small(), picture(), runs=0)
    other = trace(small(), picture(1), runs=0)
    named = [{str(i): stage.array for i, stage in enumerate(t.stages)} for t in (run, other)]
    assert all(d.relative > 0 for d in differences(*named)[:-1])  # type: ignore[arg-type]


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("small.cfg").write_text(CFG)
    weights.save(small(), "small.weights")
    Image.fromarray((255 * picture()[0].transpose(1, 2, 0)).astype(np.uint8)).save("a.png")
    Image.fromarray((255 * picture(1)[0].transpose(1, 2, 0)).astype(np.uint8)).save("b.png")
    return tmp_path


def test_the_command_prints_every_stage_and_verifies(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "small.cfg", "small.weights", "a.png", "--verify"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["layer", "stage", "shape", "ms"]
    assert lines[1].split()[:4] == ["0", "convolutional", "products", "8x8x4"]
    assert len([line for line in lines[1:] if line.startswith((" ", "1", "2"))]) >= 10
    assert "verified 10 stages in float64: at most " in err


def test_a_bound_that_is_too_tight_is_a_failed_check(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "small.cfg", "small.weights", "a.png", "--verify", "--bound", "1e-12"]) == 1
    assert "from its float64 value" in capsys.readouterr().err


def test_nan_names_the_first_stage_and_where_it_came_from(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = small()
    network.layers[2].weights.array[0, 0] = 3e38  # type: ignore[attr-defined]
    network.layers[2].weights.array[0, 1] = 3e38  # type: ignore[attr-defined]
    network.layers[2].biases.array[0] = 3e38  # type: ignore[attr-defined]
    weights.save(network, "huge.weights")
    code = main(["trace", "small.cfg", "huge.weights", "a.png", "--nan"])
    err = capsys.readouterr().err
    assert code == 4
    assert "small.cfg: layer 2 [convolutional], " in err
    assert "it reads layer 1 [maxpool], maxpool, which was finite" in err


def test_a_silenced_channel_is_dead_and_the_answer_before_is_shown(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", "small.cfg", "small.weights", "a.png", "--zero", "0:1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["stages"][3]["dead"] == [1]
    assert main(["trace", "small.cfg", "small.weights", "a.png", "--zero", "2:4"]) == 0
    assert "before: class " in capsys.readouterr().out


def test_two_runs_part_at_the_first_layer(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        assert main(["trace", "small.cfg", "small.weights", f"{name}.png", "--npz", f"{name}.npz"]) == 0
    capsys.readouterr()
    assert main(["trace", "diff", "a.npz", "a.npz"]) == 0
    assert "they do not part" in capsys.readouterr().err
    assert main(["trace", "diff", "a.npz", "b.npz"]) == 1
    assert "they part at input" in capsys.readouterr().err
    assert main(["trace", "diff", "a.npz", "b.npz", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["stage"] == "input"


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["small.cfg", "small.weights", "a.png", "b.png"], "2 pictures were named; expected one", 2),
        (
            ["small.cfg", "small.weights", "a.png", "--zero", "9:0"],
            "expected LAYER:CHANNEL, with a layer from 0 to 4",
            2,
        ),
        (["small.cfg", "small.weights", "a.png", "--zero", "1:0"], "layer 1 [maxpool] has no channels of its own", 2),
        (["small.cfg", "small.weights", "a.png", "--zero", "0:4"], "layer 0 has channels 0 to 3", 2),
        (["diff", "a.npz"], "diff compares two traces; found 1 files", 2),
        (["diff", "none.npz", "none.npz"], "none.npz: no such file; expected a trace", 3),
        (["small.cfg", "small.weights", "a.png", "--csv", "no/where.csv"], "no/where.csv: cannot be written", 3),
    ],
)
def test_mistakes(
    files: Path, arguments: list[str], message: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", *arguments]) == code
    assert message in capsys.readouterr().err


def test_stepping_stops_where_nobody_answers(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO("\nq\n"))
    assert main(["trace", "small.cfg", "small.weights", "a.png", "--step"]) == 0
    out = capsys.readouterr().out
    assert "maxpool" in out
    assert "bias" in out.split("maxpool")[0]
    assert "avgpool" not in out


def test_the_trace_of_a_classifier_is_like_any_other() -> None:
    run = trace(small(), picture()[0], keep=False, runs=0)
    assert isinstance(run, Trace)
    assert run.output.shape == (1, 5, 1, 1)
    assert run.output.array is None
