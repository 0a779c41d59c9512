"""The benchmarks' own arithmetic and manners: never their speed. Peers that are not installed are not needed."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import charts, ladder, peers, results, rounding, rounds, scaling, training, weight_gradients
from benchmarks.figures import TOLERANCE, block_length, difference, quartiles, ratio, table
from benchmarks.models import folded, pool_pads
from benchmarks.processes import Worker, WorkerError
from benchmarks.rounds import Case, Plan, Row, compare, rotated
from minidarknet.cfg import parse_cfg
from minidarknet.network import Network

SMALL = """[net]
channels=3
height=9
width=12
[convolutional]
batch_normalize=1
filters=6
size=3
pad=1
activation=leaky
[maxpool]
size=2
stride=2
[convolutional]
filters=4
size=1
pad=1
padding=1
activation=relu
[route]
layers=-1,-2
[convolutional]
filters=8
size=1
padding=1
activation=linear
[avgpool]
[connected]
output=5
activation=linear
[softmax]
"""
SHORT = Plan(rounds=3, block_seconds=0.01, most_runs=4, warm_up=1, pause=0.0)


def network(text: str = SMALL) -> Network:
    """A network whose parameters are all random, those of batch norm too."""
    net = Network.from_cfg(parse_cfg(text))
    generator = np.random.default_rng(5)
    for _, parameter in net.parameters():
        parameter.array = generator.uniform(0.2, 1.0, parameter.shape).astype(np.float32)
        if parameter.name == "weights":
            parameter.array = parameter.array - np.float32(0.6)
    return net


def pictures(net: Network, batch: int) -> np.ndarray:
    return np.random.default_rng(6).random((batch, *net.input_shape.array_shape), np.float32)


# -- what other engines are told ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["size=2\nstride=2", "size=3\nstride=2\npadding=0", "size=3\nstride=1", "size=4"])
@pytest.mark.parametrize("side", [7, 8])
def test_pads_make_the_same_pool(options: str, side: int) -> None:
    net = network(f"[net]\nchannels=2\nheight={side}\nwidth={side + 1}\n[maxpool]\n{options}\n")
    (pool,) = net.layers
    x = pictures(net, 1)
    top, left, bottom, right = pool_pads(pool)
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=-np.inf)
    size, stride = pool.size, pool.options.stride  # type: ignore[attr-defined]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (2, 3))[:, :, ::stride, ::stride]
    np.testing.assert_array_equal(windows.max((4, 5)), net.forward(x))


def test_folded_weights_do_what_batch_norm_did() -> None:
    text = "[net]\nchannels=3\nheight=6\nwidth=6\n[convolutional]\n{}filters=4\nsize=3\npad=1\nactivation=linear\n"
    normal, plain = network(text.format("batch_normalize=1\n")), network(text.format(""))
    weights, biases = folded(normal.layers[0])
    layer: Any = plain.layers[0]
    layer.weights.array, layer.biases.array = weights, biases
    x = pictures(plain, 2)
    (_, expected) = next(normal.steps(x))
    (_, output) = next(plain.steps(x))
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pad_points", [False, True])
def test_the_onnx_model_gives_our_answer(pad_points: bool) -> None:
    pytest.importorskip("onnx", reason="the Python package onnx is missing")
    from onnx import checker
    from onnx.reference import ReferenceEvaluator

    from benchmarks.to_onnx import to_onnx

    net = network()
    x = pictures(net, 2)
    model = to_onnx(net, 2, pad_points=pad_points)
    checker.check_model(model, full_check=True)
    assert ("Pad" in {node.op_type for node in model.graph.node}) == pad_points
    (answer,) = ReferenceEvaluator(model).run(None, {"input": x})
    assert difference(answer, net.forward(x).reshape(2, -1)) < 1e-5


def test_the_torch_module_gives_our_answer() -> None:
    torch = pytest.importorskip("torch", reason="the Python package torch is missing")
    from benchmarks.to_torch import to_torch

    net = network()
    x = pictures(net, 2)
    with torch.no_grad():
        answer = to_torch(net)(torch.from_numpy(x)).numpy()
    assert difference(answer, net.forward(x).reshape(2, -1)) < 1e-5


TRAINED = """[net]
channels=3
height=9
width=9
momentum=0.9
decay=0.01
[convolutional]
batch_normalize=1
filters=8
size=3
pad=1
activation=leaky
[maxpool]
size=2
stride=2
[convolutional]
filters=5
activation=linear
[avgpool]
[softmax]
"""


def learner(text: str = TRAINED) -> Network:
    net = Network.from_cfg(parse_cfg(text))
    net.initialize(seed=1)
    return net


@pytest.mark.parametrize("engine", ["train-torch", "train-torch-channels-last"])
def test_torch_learns_the_same(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="the Python package torch is missing")
    monkeypatch.setattr(training, "LARGE", 0.1)
    x = pictures(learner(), 64)

    def answer(name: str, text: str = TRAINED) -> np.ndarray:
        return training.TRAINING[name].prepare(learner(text), x, 1)().reshape(64, -1)

    expected = answer("train-minidarknet")
    assert difference(answer(engine), expected) < TOLERANCE
    for right, wrong in (("momentum=0.9", "momentum=0.8"), ("decay=0.01", "decay=0.1")):  # each of which shows
        assert difference(answer(engine, TRAINED.replace(right, wrong)), expected) > TOLERANCE


def test_an_answer_depends_on_gradients_and_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    x = pictures(learner(), 4)
    right = training.classes(learner(), 4)

    def answer() -> np.ndarray:
        return training.minidarknet(learner(), x, 1)().reshape(4, -1).copy()

    after = answer()
    monkeypatch.setattr(training, "LEARNED", 0)
    before = answer()
    assert -np.log(after[range(4), right]).mean() < -np.log(before[range(4), right]).mean()
    assert difference(after, before) > TOLERANCE


@pytest.mark.parametrize(("package", "writer"), [("onnx", "to_onnx"), ("torch", "to_torch")])
@pytest.mark.parametrize(
    ("section", "name"), [("[upsample]", r"\[upsample\]"), ("[convolutional]\nactivation=tanh", "activation=tanh")]
)
def test_what_cannot_be_written_down_is_refused_by_name(package: str, writer: str, section: str, name: str) -> None:
    pytest.importorskip(package, reason=f"the Python package {package} is missing")
    write = getattr(import_module(f"benchmarks.{writer}"), writer)
    net = network(f"[net]\nchannels=3\nheight=6\nwidth=6\n{section}\n")
    with pytest.raises(NotImplementedError, match=name):
        write(net, *[1] * (package == "onnx"))


# -- figures -----------------------------------------------------------------------------------------------------------


def test_ratios_are_those_of_each_rounds_medians() -> None:
    measured = ratio([[1, 2, 9], [4, 4, 4], [3, 3, 3]], [[4, 4, 4], [4, 1, 4], [2, 2, 2]])
    assert (measured.value, measured.lowest, measured.highest) == (1.0, 0.5, 1.5)
    assert str(measured) == "1.00  (0.50 .. 1.50)"


def test_quartiles() -> None:
    assert quartiles([5, 1, 2, 3, 4]) == (2, 3, 4)


def test_difference_tells_answers_apart() -> None:
    expected = np.array([[0.5, 0.25, 0.25 - 1e-6, 1e-6]], np.float32)
    assert difference(expected, expected) == 0
    nearly = expected * np.float32(1 + 1e-6)
    assert 0 < difference(nearly, expected) < 1e-6
    assert difference(expected[:, ::-1], expected) == pytest.approx(1)  # as far as the answers are spread
    assert difference(expected[:, :3], expected) == np.inf
    assert difference(expected * np.nan, expected) == np.inf


def test_blocks_last_about_as_long_as_wished() -> None:
    assert [block_length(seconds, 0.3, most=20, fewest=3) for seconds in (0.001, 0.03, 1)] == [20, 10, 3]
    assert [Plan().runs(seconds) for seconds in (0.005, 0.03, 0.2)] == [(3, 30), (3, 10), (1, 3)]


def test_tables_stand_in_columns_and_remarks_run_on() -> None:
    rows = [["engine", "ms", "bar"], ["a", "1.000", "reached"], ["bcd", "missing: the Python package of a long name"]]
    assert table(rows, left=(0, 2)).splitlines() == [
        "engine     ms  bar",
        "a       1.000  reached",
        "bcd     missing: the Python package of a long name",
    ]


def test_every_engine_comes_first_in_turn() -> None:
    rows = [Row(name) for name in "abc"]
    assert ["".join(row.engine for row in rotated(rows, number)) for number in range(4)] == ["abc", "bca", "cab", "abc"]
    assert rotated([], 1) == []


# -- rows --------------------------------------------------------------------------------------------------------------


def measured_rows() -> list[Row]:
    return [
        Row("minidarknet", "0.1.0", rounds=[[0.008, 0.008], [0.008, 0.008]]),
        Row("onnxruntime", "1.32.0", rounds=[[0.010, 0.010], [0.008, 0.008]]),
        Row("torch", problem="missing: the Python package torch"),
    ]


def test_rows_say_how_fast_and_whether_the_bar_is_reached() -> None:
    rows, case = measured_rows(), Case("darknet", 2, 1)
    ours, theirs, missing = (peers.line(case, rows, row) for row in rows)
    assert ours == ["minidarknet", "0.1.0", "4.000", "4.000 .. 4.000", "250.0", "", ""]
    assert theirs[2:] == ["4.500", "4.000 .. 5.000", "222.2", "0.90  (0.80 .. 1.00)", ""]  # no bar for batch 2
    assert missing == ["PyTorch, eager", "", "missing: the Python package torch"]
    measured = peers.ratio_to(rows, rows[1])
    assert peers.verdict(Case("darknet", 1, 1), rows[1], measured) == "reached (at most 0.95)"
    assert peers.verdict(Case("tiny", 16, 1), rows[1], measured) == "missed (at most 0.85)"


def test_no_ratio_where_ours_failed() -> None:
    rows = measured_rows()
    rows[0].problem = "another answer"
    assert peers.ratio_to(rows, rows[1]) is None
    assert peers.line(Case("tiny", 1, 1), rows, rows[1])[-2:] == ["", ""]


@pytest.mark.parametrize("words", [["--networks", "vgg"], ["--batches", "0"], ["--peers", "x"], ["--weights", "tiny"]])
def test_words_that_are_not_understood(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        peers.options(words)
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err


# -- processes ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Case:
    cfg = tmp_path / "small.cfg"
    cfg.write_text(SMALL)

    class Small(Case):
        @property
        def cfg(self) -> str:
            return str(cfg)

    return Small("small", batch=2, threads=1)


def test_an_engine_is_measured_in_blocks(small: Case) -> None:
    (row,) = compare(small, ["minidarknet"], SHORT)
    assert row.problem == ""
    assert row.version
    assert row.difference < 1e-5
    assert len(row.rounds) == 3
    assert all(3 <= len(block) <= 4 and min(block) > 0 for block in row.rounds)


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        ("raise ModuleNotFoundError('nothing there', name='torch')", "missing: the Python package torch"),
        ("raise RuntimeError('no such card\\nmore')", "RuntimeError: no such card"),
        ("print('{}'); import os; os.write(2, b'out of luck\\n'); os._exit(3)", "exit code 3: out of luck"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "its process ended with SIGABRT"),
    ],
)
def test_an_engine_that_fails_is_a_row(
    module: str, problem: str, small: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text(module)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    broken, ours = compare(small, ["torch", "minidarknet"], SHORT)
    assert problem in broken.problem
    assert "\n" not in broken.problem
    assert broken.rounds == []
    assert ours.problem == ""
    assert len(ours.rounds) == 3


def test_another_answer_gets_no_times(small: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "difference", lambda answer, expected: 0.25)
    (row,) = compare(small, ["minidarknet"], SHORT)
    assert row.problem == "another answer: log-probabilities differ by 2.5e-01 of their spread"
    assert row.rounds == []


def test_an_engine_without_an_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.processes.PATIENCE", 0.0)
    with Worker(threads=1) as worker, pytest.raises(WorkerError, match="SIGKILL"):
        worker.ask(engine="minidarknet")


# -- the other two scripts ---------------------------------------------------------------------------------------------


def test_steps_in_a_curve_are_marked() -> None:
    points = [scaling.Point("batch", batch, 224, 2, rounds=[[0.001 * ms]]) for batch, ms in ((1, 5), (2, 10), (4, 24))]
    assert [point.costs()[1] for point in points] == pytest.approx([5, 5, 6])
    assert scaling.steps(points) == ["", "", "+20%"]
    assert scaling.lines(points)[3][-1] == "+20%"
    points[2].rounds = [[0.016, 0.024, 0.024]]  # the fast ones are as fast as before
    assert scaling.steps(points) == ["", "", ""]


def test_winograds_matrices_compute_a_convolution() -> None:
    for side, numbers in rounding.KINDS.values():
        back, into_filter, into_image = rounding.matrices(side, numbers)
        filter_, patch = np.random.default_rng(side).random(3), np.random.default_rng(1).random(side + 2)
        expected = [patch[i : i + 3] @ filter_ for i in range(side)]
        np.testing.assert_allclose(back @ ((into_filter @ filter_) * (into_image @ patch)), expected, rtol=1e-10)
    assert rounding.winograd_error(2, (0, 1, -1), 4) < 1e-6


def test_costs_are_divided_by_what_grew() -> None:
    side = scaling.Point("side", 1, 112, 2, flops=2_000_000_000, rounds=[[0.1]])
    threads = scaling.Point("threads", 1, 112, 2, rounds=[[0.1]])
    assert (side.costs()[1], side.value) == (pytest.approx(50), 112)
    assert (threads.costs()[1], threads.value) == (pytest.approx(200), 2)


def test_points_are_measured_at_their_own_size() -> None:
    net = network("[net]\nchannels=3\nheight=8\nwidth=8\n[convolutional]\nfilters=2\nsize=3\npad=1\n[avgpool]\n")
    points = [scaling.Point("side", 2, side, 1) for side in (8, 16)]
    scaling.measure(net, points, rounds=1)
    assert points[1].flops == 4 * points[0].flops
    assert all(len(point.rounds) == 1 for point in points)


def test_a_network_for_one_size_has_no_sweep_over_sides() -> None:
    fixed = "[net]\nchannels=3\nheight=8\nwidth=8\n[connected]\noutput=2\n"
    assert set(scaling.sweeps(network(fixed), 2, quick=True)) == {"batch", "threads"}
    assert set(scaling.sweeps(network(), 2, quick=True)) == {"batch", "side", "threads"}


def test_all_rungs_give_the_same_output() -> None:
    rungs = ladder.climb(3, 10, 5)
    ladder.check(rungs)
    assert [rung.crop for rung in rungs] == [True] + [False] * 6
    wrong = rungs[4].run
    rungs[4].run = lambda: wrong() * 1.001
    with pytest.raises(SystemExit, match=r"columns.*off by 1.0e-03"):
        ladder.check(rungs)


# -- what is written ---------------------------------------------------------------------------------------------------


def test_results_come_without_a_picture_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def draw(report: dict[str, Any]) -> Any:
        raise ModuleNotFoundError("no matplotlib", name="matplotlib")

    results.write(tmp_path / "new", "peers", {"a": 1}, draw)
    assert (tmp_path / "new/peers.json").read_text() == '{"a": 1}\n'
    assert "matplotlib is missing" in capsys.readouterr().err


def test_pictures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the Python package matplotlib is missing")
    machine = {"processor": "a processor", "threads": 2, "date": "today"}
    rows = measured_rows()
    entries = [peers.entry(Case("tiny", batch, 2), rows) for batch in (1, 16)]
    results.write(tmp_path, "peers", {"machine": machine, "results": entries}, charts.peers)
    points = [{"batch": batch, "cost": (1.0, 2.0, 3.0)} for batch in (1, 2)]
    sweep = {"network": "tiny", "sweep": "batch", "unit": "ms an image", "points": points}
    results.write(tmp_path, "scaling", {"machine": machine, "results": [sweep]}, charts.scaling)
    rungs = [{"title": "loops", "gflops": 0.01}, {"title": "tile", "gflops": 200.0}]
    report = {"machine": machine, "peak": 229.0, "results": [{"layer": "a layer", "rungs": rungs}]}
    results.write(tmp_path, "ladder", report, charts.ladder)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".png"}


def test_weight_gradients_below_the_bar_are_named() -> None:
    text = "[net]\nwidth=8\nheight=8\nchannels=3\n" + "[convolutional]\nfilters=16\nsize=1\n" * 3
    layers = Network.from_cfg(parse_cfg(text)).layers
    work = [weight_gradients.IMAGES * layer.flops() for layer in layers]
    # In rounds at another pace, a layer is as quick as its own round allows.
    rows = [
        weight_gradients.Row(layer, "point", [[flops / 40], [flops / 10]], [[flops / 80], [flops / 20]])
        for layer, flops in zip(layers, work, strict=True)
    ]
    rows[2].step = [[work[2] / 80], [work[2] / 20]]
    peaks = [100.0, 25.0]
    assert rows[1].share(rows[1].step, peaks) == pytest.approx(0.4)
    assert weight_gradients.verdict(rows, peaks) == (
        "below 65 %, of the 2 with 16 or more channels: in a step: 1 (1); repeated: 0"
    )  # the first has three channels
    cells = weight_gradients.lines(rows, peaks)[2]
    assert cells[1:3] == ["16 of 8x8 to 16, 1x1", "point"]
    assert (cells[5], cells[7]) == ("40 %", "80 %")
