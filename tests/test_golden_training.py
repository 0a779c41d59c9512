"""Whole training runs, step by step, equal the original C program's, within the tolerances of its README."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import arrays, golden_files
from minidarknet import weights
from minidarknet.cfg import parse_cfg
from minidarknet.layers.base import Layer
from minidarknet.layers.finish import Finished
from minidarknet.layers.parameter import Array
from minidarknet.learning import LOSSES, Learner
from minidarknet.net_options import NetOptions
from minidarknet.network import Network
from minidarknet.optimizers import optimizer_for
from minidarknet.schedules import rate_at

#: Gradients are by Darknet's words: negative, and named after what they change.
GRADIENTS = {"weights": "weight_updates", "biases": "bias_updates", "scales": "scale_updates"}
CASES = golden_files("train/*.cfg")
#: Runs that no quirk touches but the way back of batch norm, which all of them have.
PLAIN = [path for path in CASES if not path.stem.startswith("q_")]


class Run:
    """A golden run and the network that repeats it."""

    def __init__(self, cfg: Path, quirks: bool) -> None:
        self.name, self.data = cfg.stem, arrays(cfg.with_suffix(".npz"))
        self.network = Network.from_cfg(parse_cfg(cfg.read_text(), str(cfg)))
        header = weights.load(self.network, cfg.with_suffix(".weights"))
        self.seen, self.options = header.seen, self.network.options
        self.parts = self.options.subdivisions
        self.learner = Learner(self.network, self.options.batch // self.parts, quirks)
        self.optimizer = optimizer_for(self.network)

    def part(self, step: int, part: int) -> tuple[Array, Array]:
        number, size = step % len(self.data["X"]), self.learner.batch
        rows = slice(part * size, (part + 1) * size)
        return self.data["X"][number][rows], self.data["y"][number][rows]

    def compare(self, actual: Array, key: str, limit: float) -> None:
        """Largest difference as a share of the largest expected number, where the run has kept that array."""
        if key not in self.data:
            return
        expected = self.data[key]
        actual = actual.reshape(-1)[: expected.size].reshape(expected.shape)
        off, largest = np.abs(actual - expected).max(), np.abs(expected).max()
        assert off <= limit * largest, f"{self.name} {key}: {off / largest:.1e} of the largest, {limit:.0e} allowed"

    def compare_parameters(self, prefix: str, limit: float) -> None:
        for layer, parameter in self.network.parameters():
            self.compare(parameter.value, f"{prefix}/{layer.index}/{parameter.name}", limit)

    def compare_gradients(self, prefix: str) -> None:
        for layer, parameter in self.network.parameters():
            if parameter.learns:
                self.compare(-parameter.gradient, f"{prefix}/{layer.index}/{GRADIENTS[parameter.name]}", 2e-4)

    @property
    def steps(self) -> int:
        return len(self.data["loss"])

    def limit(self, usual: float) -> float:
        return 2e-4 if self.name == "d_tiny" else usual


def compare_first_pass(run: Run) -> float:
    """The first part of the first batch, layer by layer forward and back; returns its loss."""
    x, y = run.part(0, 0)
    for layer, output in run.learner.forward_steps(x, y):
        run.compare(output, f"fwd/{layer.index}/output", 2e-5)
        if isinstance(layer, Finished) and layer.batch_norm:
            for name, numbers in zip(("mean", "variance"), layer.statistics, strict=True):
                run.compare(numbers, f"fwd/{layer.index}/{name}", 2e-5)
    before: tuple[Layer, Array] | None = None
    for layer, grad in back_and_end(run.learner):
        if before is not None and isinstance(before[0], Finished):
            run.compare(-before[1], f"bwd/{before[0].index}/delta_pre", 3e-5)
        if layer is not None:
            # Darknet puts a loss layer's own gradient there already.
            key = "none" if isinstance(layer, LOSSES) else f"bwd/{layer.index}/delta_out"
            run.compare(-grad, key, 3e-5)
            before = layer, grad
    loss = run.network.loss
    assert loss is not None
    return loss


def back_and_end(learner: Learner) -> Iterator[tuple[Layer | None, Array]]:
    yield from learner.backward_steps()
    yield None, np.empty(0, np.float32)


def train(run: Run) -> None:
    data, size = run.data, run.learner.batch
    for step in range(run.steps):
        total = 0.0
        for part in range(run.parts):
            run.seen += size
            total += compare_first_pass(run) if step == part == 0 else run.learner.step(*run.part(step, part))
            if step == part == 0:
                assert total == pytest.approx(float(data["first/cost"].sum()), rel=1e-5)
                run.compare_gradients("grad_sub0")
        if step == 0:
            run.compare_gradients("grad")
        assert total / run.options.batch == pytest.approx(float(data["loss"][step]), rel=1e-5), f"loss of step {step}"
        number = run.seen // run.options.batch
        assert (run.seen, number) == (data["seen"][step], data["batch_num"][step])
        rate = rate_at(run.options, number, run.learner.quirks)
        assert rate == pytest.approx(float(data["rate_after"][step]), rel=2e-6)
        run.optimizer.step(rate, run.options.batch)
        if step == 0:
            run.compare_parameters("step1", run.limit(2e-6))
        if step == 4:
            run.compare_parameters("step5", run.limit(1e-5))
    run.compare_parameters("final", run.limit(3e-5))
    momentum = np.float32(run.options.momentum)
    for name, velocity in run.optimizer.state().items():
        if name != "steps":
            index, parameter, _ = name.split(".")
            run.compare(momentum * velocity, f"finalm/{index}/{GRADIENTS[parameter]}", 3e-4)
    if "pred_final" in data:
        answer = run.network.forward(run.part(0, 0)[0]).reshape(data["pred_final"].shape)
        assert np.abs(answer - data["pred_final"]).max() <= 3e-5


@pytest.mark.parametrize("cfg", CASES, ids=lambda path: path.stem)
def test_every_run_with_darknets_quirks(cfg: Path) -> None:
    train(Run(cfg, quirks=True))


@pytest.mark.parametrize("cfg", PLAIN, ids=lambda path: path.stem)
def test_without_quirks_all_is_equal_up_to_the_last_batch_norm(cfg: Path) -> None:
    run = Run(cfg, quirks=False)
    normalized = [layer.index for layer in run.network.layers if isinstance(layer, Finished) and layer.batch_norm]
    run.data = {key: array for key, array in run.data.items() if not is_behind(key, max(normalized))}
    assert compare_first_pass(run) == pytest.approx(float(run.data["first/cost"].sum()), rel=1e-5)
    run.compare_gradients("grad" if run.parts == 1 else "grad_sub0")


def is_behind(key: str, layer: int) -> bool:
    """Whether a gradient has come through this layer's batch norm."""
    kind, *rest = key.split("/")
    behind = kind in ("bwd", "grad", "grad_sub0") and int(rest[0]) <= layer
    return behind and rest != [str(layer), "delta_out"]


@pytest.mark.parametrize("name", ["q_fire_1x1_first", "q_residual_1x1", "q_cost_smooth"])
def test_without_quirks_the_gradients_are_others(golden: Path, name: str) -> None:
    run = Run(golden / "train" / f"{name}.cfg", quirks=False)
    with pytest.raises(AssertionError, match=r"(bwd|grad)/"):
        train(run)


def test_schedules(golden: Path) -> None:
    cases = json.loads((golden / "train" / "schedules.json").read_text())["cases"]
    assert len(cases) > 5
    for case in cases:
        text = "[net]\ninputs=1\n" + "".join(f"{key}={value}\n" for key, value in case["net"].items())
        options = Network.from_cfg(parse_cfg(text + "[softmax]\n")).options
        for row in case["rows"]:
            near_end = options.policy == "poly" and row["batch_num"] >= 0.9 * options.max_batches
            expected = pytest.approx(row["rate"], rel=2e-4 if near_end else 2e-6, abs=1e-30)
            assert rate_at(options, row["batch_num"], quirks=True) == expected, (case["net"], row)


def test_sigmoid_without_the_quirk_rises_to_its_middle() -> None:
    options = NetOptions(policy="sigmoid", gamma=-0.1, step=100, learning_rate=1)
    assert rate_at(options, 100) == pytest.approx(0.5)
    assert rate_at(options, 50) == pytest.approx(1 / (1 + np.exp(5)), rel=1e-5)
    assert rate_at(options, 50, quirks=True) == 1


def test_the_golden_runs_are_complete(golden: Path) -> None:
    assert len(CASES) == 13
    assert len(PLAIN) >= 2
