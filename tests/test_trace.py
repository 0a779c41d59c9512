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
from minidarknet.kernels.survey import HIGH, LOW, ODD, SQUARES, SUM, ZEROS, sampled_histogram, survey
from minidarknet.network import Network
from minidarknet.trace import SCHEMA, Trace, onnx_check, trace
from minidarknet.trace.diff import difference, differences
from minidarknet.trace.dump import compare, read_dump
from minidarknet.trace.files import read_npz, to_csv, to_json, to_timeline
from minidarknet.trace.verify import verify
from test_explain import SMALL
from test_explain import picture as picture_of
from test_explain import small as small_of
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
    dump = compare(read_dump(cfg.with_suffix(".npz")), run)
    assert [check.stage.layer for check in dump if check.relative is not None] == [*last]
    for check in [*verify(network, run), *dump]:
        assert check.passed(1e-5), (check.stage.title, check.relative)
    assert all(check.relative is not None for check in verify(network, run))


@pytest.mark.parametrize("name", ["tiny", "darknet", "alexnet", "squeezenet"])
def test_the_four_systems_verify_themselves(name: str) -> None:
    network = Network.from_cfg(REPOSITORY / f"cfg/{name}.cfg")
    network.initialize(1)
    x = np.random.default_rng(0).random((1, *network.input_shape.array_shape), np.float32)
    checks = verify(network, trace(network, x, runs=0))
    assert all(check.relative is not None and check.relative <= 1e-5 for check in checks)


@pytest.mark.parametrize("kind", SMALL)
def test_every_kind_of_layer_is_verified(kind: str) -> None:
    network = small_of(kind)
    run = trace(network, picture_of(), runs=0)
    for check in verify(network, run):
        assert check.relative is not None, check.stage.title
        assert check.relative <= 1e-5, check.stage.title
    stage = run.stages[-1]
    if kind != "cost":  # a wrong number is found
        stage.array.reshape(-1)[-1] += 0.1 + np.abs(stage.array).max()  # type: ignore[union-attr]
        assert not verify(network, run)[-1].passed(1e-2)


@pytest.mark.parametrize("kind", SMALL)
def test_onnx_runtime_says_the_same(kind: str) -> None:
    if not onnx_check.installed():
        pytest.skip("ONNX Runtime is not installed (pip install 'minidarknet[onnx]')")
    network = small_of(kind)
    run = trace(network, picture_of(), runs=0)
    checks = onnx_check.check(network, run)
    assert all(check.passed(1e-5) for check in checks), [(c.stage.title, c.relative) for c in checks]
    first = next(check for check in checks if check.stage.kind == kind)
    assert (first.relative is None) == (kind in ("activation", "cost", "local", "normalization", "reorg", "shortcut"))


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
    x[5, 2:4] = -3e25, 1e30  # whose squares are too large for float32
    facts = np.empty((6, 6))
    with np.errstate(all="ignore"):
        survey(facts, x)
    for row, found in zip(x, facts, strict=True):
        finite = row[np.isfinite(row)].astype(np.float64)
        assert (found[LOW], found[HIGH]) == (finite.min(), finite.max())
        assert found[SUM] == pytest.approx(finite.sum(), rel=1e-5)
        assert found[SQUARES] == pytest.approx(np.square(finite).sum(), rel=1e-5)
        assert found[ZEROS] == (row == 0).sum()
        assert found[ODD] == (~np.isfinite(row)).sum()


def test_a_plane_without_a_finite_number_has_no_bounds() -> None:
    facts = np.empty((1, 6))
    with np.errstate(all="ignore"):
        survey(facts, np.full((1, 3000), np.nan, np.float32))
    assert (facts[0, SUM], facts[0, SQUARES], facts[0, ODD]) == (0, 0, 3000)
    assert facts[0, LOW] > facts[0, HIGH]


@pytest.mark.parametrize("step", [1, 3])
def test_histograms_are_numpys(step: int) -> None:
    x = np.random.default_rng(1).normal(0, 1, 1000).astype(np.float32)
    counts = np.empty(16, np.int64)
    low, high = float(x.min()), float(x.max())
    sampled_histogram(counts, x, step, low, high)
    expected, _ = np.histogram(x[::step].astype(np.float64), 16, (low, high))
    np.testing.assert_array_equal(counts, expected)
    x[::3] = np.nan
    x[1::3] = 7
    sampled_histogram(counts, x[:2].copy(), 1, 7.0, 7.0)
    assert counts.tolist() == [0] * 8 + [1] + [0] * 7
    sampled_histogram(counts, x, 3, 7.0, 7.0)
    assert not counts.any()
    sampled_histogram(counts, np.array([-3e38, 3e38, 0], np.float32), 1, -3e38, 3e38)
    assert counts.tolist() == [1] + [0] * 7 + [1] + [0] * 6 + [1]


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


def test_a_stage_without_a_finite_number_has_no_bounds() -> None:
    network = small()
    network.layers[2].weights.array[:] = np.nan  # type: ignore[attr-defined]
    odd = trace(network, picture()).stages[5]
    assert odd.non_finite == np.prod(odd.shape)
    assert (odd.minimum, odd.maximum, odd.mean, odd.std, sum(odd.histogram)) == (0, 0, 0, 0, 0)


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


def test_the_table_of_errors_and_its_json(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "small.cfg", "small.weights", "a.png", "--verify"]) == 0
    table = capsys.readouterr().out.partition("largest error of each stage\n")[2].splitlines()
    assert table[0].split()[:4] == ["layer", "stage", "float64", "relative"]
    assert len(table) == 11
    assert table[1].split()[:3] == ["0", "convolutional", "products"]
    assert main(["trace", "small.cfg", "small.weights", "a.png", "--verify", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    verified = facts["verified"]
    assert verified["bound"] == 1e-5
    assert verified["compared_with"][0] == "float64"
    assert [stage["name"] for stage in verified["stages"]] == [stage["name"] for stage in facts["stages"]]
    assert all(stage["float64"]["passed"] for stage in verified["stages"])


def test_one_line_says_that_onnx_runtime_is_missing(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnx_check, "installed", lambda: False)
    assert main(["trace", "small.cfg", "small.weights", "a.png", "--verify"]) == 0
    assert "ONNX Runtime: not installed (pip install 'minidarknet[onnx]')\n" in capsys.readouterr().err


def test_a_dump_of_the_original_program(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = picture()
    outputs = {f"out_{layer.index:02d}": output.copy() for layer, output in small().steps(x)}
    np.savez("whole.npz", x=x, types=np.array(["conv"]), **outputs)
    command = ["trace", "small.cfg", "small.weights", "--verify", "--darknet"]
    assert main([*command, "whole.npz"]) == 0
    assert "verified 5 stages with Darknet: at most 0.0e+00" in capsys.readouterr().err
    assert main(["trace", "small.cfg", "small.weights", "b.png", "--verify", "--darknet", "whole.npz"]) == 1
    assert "whole.npz is of another input, up to 0.9" in capsys.readouterr().err
    outputs["out_02"][0, 3, 1, 1] += np.float32(0.01)
    np.savez("wrong.npz", x=x, **outputs)
    assert main([*command, "wrong.npz"]) == 1
    assert "layer 2 [convolutional], logistic: 1.00e-02 from Darknet" in capsys.readouterr().err
    some = {"00_idx": np.array([3, 200]), "00_val": outputs["out_00"].reshape(-1)[[3, 200]] + np.float32([0, 0.5])}
    np.savez("some.npz", input=x, **some)
    assert main([*command, "some.npz", "--json"]) == 1
    stages = json.loads(capsys.readouterr().out)["verified"]["stages"]
    assert [stage["darknet"] is None for stage in stages] == [True] * 3 + [False] + [True] * 6
    assert stages[3]["darknet"]["absolute"] == pytest.approx(0.5, rel=1e-5)
    np.savez("bare.npz", out_04=outputs["out_04"])  # no input: then a picture is needed
    assert main([*command, "bare.npz"]) == 2
    assert main(["trace", "small.cfg", "small.weights", "a.png", "--verify", "--darknet", "bare.npz"]) == 1


def test_dumps_that_do_not_fit(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("none.npz", types=np.array(["conv"]))
    np.savez("other.npz", out_00=np.zeros((1, 4, 9, 9), np.float32))
    np.savez("more.npz", out_07=np.zeros(5, np.float32))
    np.savez("places.npz", **{"00_idx": np.array([256]), "00_val": np.array([1.0])})
    Path("text.npz").write_text("no archive")
    for name, message in [
        ("none.npz", "none.npz: has no layer's outputs; expected out_00"),
        ("other.npz", "layer 0 has 324 numbers, and here it has 1x4x8x8: expected a dump of the same network"),
        ("more.npz", "more.npz: has a layer 7, but small.cfg has 0 to 4: another network?"),
        ("places.npz", "layer 0 has places outside of it"),
        ("text.npz", "text.npz: cannot be read as a dump"),
        ("gone.npz", "gone.npz: no such file; expected out_00"),
    ]:
        assert main(["trace", "small.cfg", "small.weights", "a.png", "--verify", "--darknet", name]) == 3
        assert message in capsys.readouterr().err


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
        (["small.cfg"], "nothing stands behind small.cfg; expected NAME IMAGE, or CFG WEIGHTS IMAGE", 2),
        (["small.cfg", "small.weights", "a.png", "--darknet", "a.npz"], "something to verify with: add --verify", 2),
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
