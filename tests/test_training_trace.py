"""The trace of a training: it changes nothing, its numbers are NumPy's, and it survives a break."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minidarknet.cli import main
from minidarknet.errors import UsageError
from minidarknet.layers.base import Layer
from minidarknet.symptoms import large_update
from minidarknet.trace.training import TrainingTrace, length
from minidarknet.trace.training_chart import draw
from minidarknet.trace.training_records import SCHEMA, Norms, StepTrace, read_training_trace
from minidarknet.training import Training
from small_training import CFG, network, pictures, write_files

REPOSITORY = Path(__file__).resolve().parent.parent
#: Everything in one part, so that a test can look at all that a batch has left behind.
WHOLE = CFG.replace("subdivisions=2", "subdivisions=1").replace("probability=.25", "probability=0")
TRACE = "backup/small.trace.jsonl"


def begin(text: str = CFG) -> Training:
    return Training(network(text), pictures(), seed=3, workers=1)


def traced(text: str = CFG, every: int = 1) -> list[StepTrace]:
    training = begin(text)
    trace = TrainingTrace(training, every)
    list(training.steps())
    return trace.records


def bits(training: Training) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in training.state().items()}


def test_a_traced_training_ends_with_the_same_bits() -> None:
    plain, watched = begin(), begin()
    trace = TrainingTrace(watched)
    losses = [[step.loss for step in training.steps()] for training in (plain, watched)]
    assert losses[0] == losses[1]
    assert bits(plain) == bits(watched)
    assert [record.batch for record in trace.records] == list(range(1, 21))
    assert [record.loss for record in trace.records] == losses[0]


def test_only_every_nth_batch_is_looked_into() -> None:
    training, looked = begin(), []
    forward = training.learner.forward_steps
    TrainingTrace(training, 8, told=lambda record: looked.append(record.batch))
    watch = training.watch
    assert watch is not None
    learn, calls = watch.learn, []
    watch.learn = lambda *given: calls.append(1) or learn(*given)  # type: ignore[method-assign,func-returns-value]
    list(training.steps())
    assert looked == [8, 16]
    assert len(calls) == 4, "two batches of two parts"
    assert training.learner.forward_steps == forward
    with pytest.raises(UsageError, match="a trace of every 0 batches: expected 1 or more"):
        TrainingTrace(training, 0)


def test_the_norms_are_numpys() -> None:
    training = begin(WHOLE)
    trace = TrainingTrace(training)
    before: dict[tuple[int, str], Any] = {}
    gradients: dict[tuple[int, str], Any] = {}
    step = training.optimizer.step

    def noted(rate: float, batch: int) -> None:
        for layer, p in training.network.parameters():
            before[layer.index, p.name] = p.value.astype(np.float64)
            gradients[layer.index, p.name] = p.gradient.astype(np.float64) / batch if p.learns else None
        step(rate, batch)

    training.optimizer.step = noted  # type: ignore[method-assign]
    for _ in training.steps():
        record = trace.records[-1]
        for layer in training.network.layers:
            found = record.layers[layer.index]
            assert (found.layer, found.kind, found.title) == (
                layer.index,
                layer.kind,
                f"layer {layer.index} [{layer.kind}]",
            )
            assert set(found.parameters) == {p.name for p in layer.parameters() if p.learns}
            for p in layer.parameters():
                if p.learns:
                    norms, key = found.parameters[p.name], (layer.index, p.name)
                    assert norms.gradient == pytest.approx(np.linalg.norm(gradients[key]), rel=1e-12)
                    assert norms.weight == pytest.approx(np.linalg.norm(before[key]), rel=1e-12)
                    assert norms.update == pytest.approx(np.linalg.norm(p.value - before[key]), rel=1e-12)
                    assert norms.ratio == (norms.update / norms.weight if norms.weight else None)
            if found.norms:
                total = math.sqrt(sum(norms.update**2 for norms in found.parameters.values()))
                assert found.norms.update == pytest.approx(total, rel=1e-12)
    first = trace.records[0].layers
    assert first[0].parameters["biases"].ratio is None, "they begin at 0"
    assert first[1].norms is None
    assert length(np.full(3_000_000, 2, np.float32)) == pytest.approx(2 * math.sqrt(3_000_000))


def test_the_drift_is_that_of_the_batch_from_the_rolling_averages() -> None:
    training = begin(WHOLE)
    trace = TrainingTrace(training)
    for _ in training.steps():
        layer: Any = training.network.layers[0]
        products = layer.kept[8 : 8 + 8 * 4 * 64].reshape(8, 4, 8, 8).astype(np.float64)
        mean, variance = products.mean(axis=(0, 2, 3)), products.var(axis=(0, 2, 3), ddof=1)
        rolling_mean, rolling = layer.batch_norm.mean.value, layer.batch_norm.variance.value
        drift = trace.records[-1].layers[0].drift
        assert drift is not None
        assert drift.mean == pytest.approx(np.sqrt(np.mean((mean - rolling_mean) ** 2 / rolling)), rel=1e-4)
        assert drift.variance == pytest.approx(np.sqrt(np.mean(np.log(variance / rolling) ** 2)), rel=1e-4)
    assert trace.records[-1].layers[3].drift is None
    two = begin()
    seen: list[Any] = []
    TrainingTrace(two, told=seen.append)
    next(iter(two.steps()))
    assert seen[0].layers[0].drift is not None


def test_dead_units_are_counted() -> None:
    """Channel 1 is far below 0 before its relu: always 0, and no gradient comes back. Channel 3 is a constant."""
    training = begin(CFG.replace("batch_normalize=1\n", "").replace("activation=leaky", "activation=relu"))
    first, last = training.network.layers[0], training.network.layers[3]
    parameters = {p.name: p for p in first.parameters()}
    parameters["biases"].value[1] = -100
    parameters["weights"].value[3] = 0
    parameters["biases"].value[3] = 1
    trace = TrainingTrace(training)
    steps = training.steps()
    next(steps)
    conv, pool, dropout, connected, softmax = trace.records[0].layers
    assert (conv.units, conv.same, conv.zero) == (4, 2, 1)
    assert conv.dead == [1, 3]
    assert conv.unreached == 0, "a gradient comes as far as the output of a relu, and ends there"
    assert (pool.same, pool.zero, pool.unreached, pool.dead) == (2, 1, 0, [1, 3])
    assert dropout.zero == 1
    assert (connected.same, connected.units) == (0, 3)
    assert softmax.unreached is None, "the loss is there"
    # What the connected layer does not ask for gets no gradient.
    weights = {p.name: p for p in last.parameters()}["weights"].value.reshape(3, 4, 16)
    weights[:, 2] = 0
    next(steps)
    assert [layer.unreached for layer in trace.records[1].layers] == [1, 1, 1, 0, None]
    assert 2 in trace.records[1].layers[1].dead


def test_the_parts_of_a_batch_are_one_batch() -> None:
    """Channel 0 is a constant in the first part only, channel 1 another one in each, channel 2 the same in both."""
    training = begin()
    trace, layer = TrainingTrace(training), training.network.layers[0]
    assert trace.due(1)
    one, other = np.ones((2, 4, 1, 2), np.float32), np.ones((2, 4, 1, 2), np.float32)
    other[1, 0, 0, 1] = 5
    other[:, 1] = 2
    for part in (one, other):
        trace._see_output(layer, part)
    units = trace._units[0]
    assert (units.low == units.high).tolist() == [False, False, True, True]
    assert trace.due(2)
    assert not trace._units


def test_no_gradient_is_asked_for_before_a_layer_that_ends_the_way_back() -> None:
    (record, *_) = traced(CFG.replace("[maxpool]", "[maxpool]\nstopbackward=1"))
    assert [layer.unreached for layer in record.layers] == [None, None, None, 0, None]
    norms = record.layers[0].norms
    assert norms is not None
    assert norms.gradient == 0
    assert norms.update > 0, "the decay"


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    return tmp_path


def train(*words: str) -> int:
    return main(["train", "small.npz", "small.cfg", "--workers", "1", *words])


def batches() -> list[int]:
    return [record["batch"] for record in read_training_trace(TRACE)]


def test_the_file_has_what_the_page_says(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("--trace", "5", "--chart") == 0
    records = [json.loads(line) for line in Path(TRACE).read_text().splitlines()]
    assert [(record["schema"], record["batch"]) for record in records] == [(SCHEMA, n) for n in (5, 10, 15, 20)]
    page = (REPOSITORY / "docs" / "trace.md").read_text()
    layer = records[0]["layers"][0]
    for key in [*records[0], *layer, *layer["norms"], *layer["drift"]]:
        assert f"`{key}`" in page, key
    assert "trace  backup/small.trace.png" in capfd.readouterr().out
    with Image.open("backup/small.trace.png") as picture:
        assert picture.size == (960, 960)
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 50


def test_the_same_lines_after_a_break(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train("--trace", "2") == 0
    whole = Path(TRACE).read_text()
    assert train("--trace", "2", "--overwrite", "--save-every", "3", "--batches", "14") == 0
    for newest in sorted(Path("backup/small.checkpoints").iterdir())[1:]:  # killed behind batch 9 or so, not stopped
        for file in newest.iterdir():
            file.unlink()
        newest.rmdir()
    assert batches() == [2, 4, 6, 8, 10, 12, 14]
    assert train("--trace", "2", "--resume", "--batches", "20") == 0
    assert Path(TRACE).read_text() == whole


def test_a_break_without_a_trace_keeps_the_lines_before(folder: Path) -> None:
    assert train("--trace", "2", "--batches", "4") == 0
    assert train("--resume", "--batches", "8") == 0
    assert batches() == [2, 4]
    assert train("--resume", "--batches", "10", "--trace", "5") == 0
    assert batches() == [2, 4, 10]
    assert train("--resume", "--batches", "10", "--trace", "5", "--chart") == 0, "there is nothing left to do"
    Path(TRACE).unlink()
    assert train("--resume", "--batches", "10", "--trace", "5", "--chart") == 0
    assert train("--overwrite", "--batches", "2", "--trace", "1") == 0
    assert batches() == [1, 2]
    assert train("--overwrite", "--batches", "2") == 0
    assert not Path(TRACE).exists(), "that of another run"


def test_a_disk_that_is_full_is_a_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(self: StepTrace) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StepTrace, "line", full)
    assert train("--trace", "1") == 0
    err = capfd.readouterr().err
    assert err.count("backup/small.trace.jsonl: the trace cannot be written: No space left on device") == 1


def test_numbers_that_json_lacks_are_null(tmp_path: Path) -> None:
    record = traced()[0]
    record.layers[0].parameters["weights"] = Norms(math.inf, 1.0, math.nan)
    line = json.loads(record.line())
    weights = line["layers"][0]["parameters"]["weights"]
    assert weights == {"gradient": None, "weight": 1.0, "update": None, "ratio": None}
    path = tmp_path / "a.jsonl"
    path.write_bytes(record.line() + b'{"schema": 1, "ba')
    assert [found["batch"] for found in read_training_trace(path)] == [1]
    draw(path, tmp_path / "a.png", "a")
    path.write_bytes(b"")
    draw(path, tmp_path / "a.png", "no batch yet")


def test_a_huge_step_is_pointed_out() -> None:
    assert large_update(traced()[0]) == ""
    fast = CFG.replace("learning_rate=0.05", "learning_rate=50").replace("burn_in=4\n", "")
    (record,) = traced(fast.replace("max_batches=20", "max_batches=1"))
    words = large_update(record)
    assert words.startswith("batch 1: the step of layer 3 [connected] is ")
    assert "where 0.001 is usual: the learning rate (50) is likely too high" in words


def test_layers_without_units_of_their_own_are_there() -> None:
    layers: list[Layer] = network().layers
    assert [layer.kind for layer in traced(every=20)[0].layers] == [layer.kind for layer in layers]
