"""`minidarknet bench`: what is counted and what is not, what follows from it, and every way to ask for nonsense."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
import pytest

from minidarknet import benchmark, console
from minidarknet.benchmark import Machine, Spread
from minidarknet.cli import main
from minidarknet.cli.bench import three_digits
from minidarknet.errors import InputError, UsageError
from minidarknet.kernels import jit, peak
from minidarknet.kernels.threads import threads
from minidarknet.network import Network

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="needs the compiler")

Screen = pytest.CaptureFixture[str]
NET = """[net]
width=8
height=6
channels=3
[conv]
filters=4
size=3
stride=2
pad=1
activation=leaky
"""
CONVOLUTIONAL = NET + "[dropout]\n[conv]\nfilters=4\nactivation=linear\n[shortcut]\nfrom=-3\n[avg]\n[softmax]\n"
MACHINE = Machine(threads=2, register_bits=512, flops=200e9, bandwidth=40e9)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with some small networks; the machine is not measured, which takes a second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(benchmark, "measure_machine", lambda count: MACHINE)
    Path("conv.cfg").write_text(CONVOLUTIONAL)
    Path("fc.cfg").write_text(NET + "[connected]\noutput=3\nactivation=linear\n")
    Path("vector.cfg").write_text("[net]\ninputs=9\n[connected]\noutput=3\n")
    Path("rnn.cfg").write_text("[net]\ninputs=9\n[rnn]\noutput=3\n")
    return tmp_path


def bench(*arguments: str) -> int:
    """The exit code, also where argparse exits by itself."""
    try:
        return main(["bench", *arguments])
    except SystemExit as exit_:
        return int(str(exit_.code))


def bench_json(capfd: Screen, *arguments: str) -> dict[str, Any]:
    assert bench(*arguments, "--json", "--runs", "4") == 0
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


# -- the numbers ---------------------------------------------------------------------------------------------------


def test_json_has_everything(folder: Path, capfd: Screen) -> None:
    found = bench_json(capfd, "conv.cfg")
    assert set(found) == {
        *("cfg", "weights", "input", "batch", "machine", "first_run", "forward", "layers", "finite"),
    }
    assert (found["cfg"], found["weights"], found["batch"], found["finite"]) == ("conv.cfg", None, 1, True)
    assert found["input"] == {"channels": 3, "height": 6, "width": 8, "is_image": True}
    assert found["machine"] == {"threads": 2, "register_bits": 512, "gflops": 200, "gigabytes_per_second": 40}
    assert set(found["first_run"]) == {"seconds", "compiled"}
    assert set(found["forward"]) == {"seconds", "images_per_second", "flops", "gflops", "peak_share"}
    assert [layer["kind"] for layer in found["layers"]] == [
        *("convolutional", "dropout", "convolutional", "shortcut", "avgpool", "softmax")
    ]
    assert set(found["layers"][0]) == {
        *("index", "kind", "window", "with", "output", "seconds", "flops", "gflops", "peak_share"),
        *("bytes", "gigabytes_per_second", "memory_share"),
    }
    assert set(found["layers"][0]["seconds"]) == {"runs", "median", "lower", "upper", "minimum", "maximum"}


@pytest.mark.parametrize("batch", [1, 3])
def test_the_numbers_agree_with_each_other(folder: Path, capfd: Screen, batch: int) -> None:
    found = bench_json(capfd, "conv.cfg", "--batch", str(batch))
    forward, layers = found["forward"], found["layers"]
    assert forward["images_per_second"] == pytest.approx(batch / forward["seconds"]["median"])
    assert forward["flops"] == batch * Network.from_cfg("conv.cfg").flops() == sum(layer["flops"] for layer in layers)
    for thing in (forward, *layers):
        seconds = thing["seconds"]
        assert seconds["runs"] == 4
        order = [seconds[name] for name in ("minimum", "lower", "median", "upper", "maximum")]
        assert order == sorted(order)
        assert order[0] > 0
        if thing["flops"]:
            assert thing["gflops"] == pytest.approx(thing["flops"] / seconds["median"] / 1e9)
            assert thing["peak_share"] == pytest.approx(thing["gflops"] / 200)
        else:
            assert (thing["gflops"], thing["peak_share"]) == (None, None)
    for layer in layers:
        if layer["bytes"]:
            assert layer["gigabytes_per_second"] == pytest.approx(layer["bytes"] / layer["seconds"]["median"] / 1e9)
            assert layer["memory_share"] == pytest.approx(layer["gigabytes_per_second"] / 40)


def test_bytes_are_inputs_and_output_and_parameters(folder: Path, capfd: Screen) -> None:
    layers = bench_json(capfd, "conv.cfg", "--batch", "2")["layers"]
    image, inner = 2 * 3 * 6 * 8, 2 * 4 * 3 * 4
    assert [layer["bytes"] for layer in layers[:4]] == [
        4 * (image + inner + 4 + 4 * 3 * 9),
        0,  # dropout passes on what it gets
        4 * (inner + inner + 4 + 4 * 4),
        4 * (inner + inner + inner),  # a shortcut reads two layers
    ]
    assert (layers[1]["gigabytes_per_second"], layers[1]["memory_share"]) == (None, None)


def test_a_spread_is_of_its_seconds() -> None:
    assert Spread.of([5, 1, 4, 2, 3]) == Spread(5, median=3, lower=2, upper=4, minimum=1, maximum=5)


class SlowStart:
    """A network whose layers take 1 and 2 seconds by a clock of its own, and the first time 100 more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.passes = 0.0, 0
        layers = [SimpleNamespace(flops=lambda: 0, output_bytes=lambda _: 0, reads=()) for _ in range(2)]
        self.steps = [SimpleNamespace(layers=(layer,), done=False) for layer in layers]
        monkeypatch.setattr(benchmark, "perf_counter", lambda: self.now)

    def fused(self, x: Any) -> Iterator[tuple[Any, Any]]:
        self.now += 0 if self.passes else 100
        self.passes += 1
        for seconds, step in enumerate(self.steps, start=1):
            self.now += seconds
            yield step, None

    def forward(self, x: Any) -> None:
        for _ in self.fused(x):
            pass


def test_the_first_run_is_told_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    network: Any = SlowStart(monkeypatch)
    x = np.zeros((1, 3), np.float32)
    assert benchmark.run_first(network, x).seconds == 103
    assert benchmark.time_forward(network, x, 4) == Spread(4, 3, 3, 3, 3, 3)
    assert network.passes == 1 + benchmark.WARM_RUNS + 4
    assert [layer.seconds.median for layer in benchmark.time_layers(network, x, 4)] == [1, 2]


def test_even_without_a_first_run_warm_ones_come_before_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    network: Any = SlowStart(monkeypatch)
    assert benchmark.time_forward(network, np.zeros((1, 3), np.float32), 4).maximum == 3
    network = SlowStart(monkeypatch)
    assert [layer.seconds.maximum for layer in benchmark.time_layers(network, np.zeros((1, 3)), 4)] == [1, 2]


def test_a_clock_that_stands_still_is_no_division_by_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    network: Any = SlowStart(monkeypatch)
    monkeypatch.setattr(benchmark, "perf_counter", lambda: 7.0)
    x = np.zeros((1, 3), np.float32)
    assert benchmark.time_forward(network, x).minimum > 0
    assert benchmark.time_layers(network, x)[0].seconds.minimum > 0


def test_what_is_compiled_in_the_first_run_is_named() -> None:
    def doubled(x: int) -> int:
        return 2 * x

    doubled.__module__ = "minidarknet.kernels.example"
    compiled = numba.njit(doubled)
    network: Any = SimpleNamespace(forward=lambda x: compiled(x))
    assert benchmark.run_first(network, 1).compiled == ("doubled",)  # type: ignore[arg-type]
    assert benchmark.run_first(network, 1).compiled == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(("seconds", "runs"), [(benchmark.SHORTEST, 200), (1e-4, 200), (0.1, 20), (3, 5)])
def test_slow_networks_run_less_often(seconds: float, runs: int) -> None:
    assert benchmark._runs_for(seconds) == runs


def test_a_pool_and_a_route_that_are_done_with_others(folder: Path, capfd: Screen) -> None:
    conv = "[conv]\nfilters=4\nsize=3\npad=1\nactivation=leaky\n"
    route = "[conv]\nfilters=2\nactivation=relu\n[route]\nlayers=-2\n"
    Path("fire.cfg").write_text(
        f"[net]\nwidth=24\nheight=20\nchannels=3\n{conv}[maxpool]\nsize=2\nstride=2\n{route}{conv}[route]\nlayers=-1,-3\n"
    )
    assert bench("fire.cfg", "--runs", "1") == 0
    assert " 0 convolutional 3x3 +1 " in capfd.readouterr().out
    layers = bench_json(capfd, "fire.cfg")["layers"]
    assert [(layer["index"], layer["with"]) for layer in layers] == [(0, [1]), (2, []), (3, []), (4, []), (5, [])]
    pooled = 4 * 12 * 10
    assert [layer["bytes"] for layer in layers] == [
        4 * (3 * 24 * 20 + pooled + 4 + 4 * 27),
        4 * (pooled + pooled // 2 + 2 + 8),
        0,  # one layer, passed on
        4 * (pooled + pooled + 4 + 4 * 36),
        0,  # both wrote into its buffer
    ]


# -- the machine ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_multiply_adds_compute_what_they_say(count: int) -> None:
    """A loop that the compiler had shortened would come out otherwise, or be the same for any number of rounds."""
    numbers = np.arange(count * peak.NUMBERS, dtype=np.float32).reshape(count, -1)
    expected = numbers.copy()
    peak.multiply_adds(numbers, 5, np.float32(0.75), np.float32(-1))
    for _ in range(5):
        expected = expected * np.float32(0.75) - np.float32(1)
    assert np.allclose(numbers, expected, rtol=1e-6)
    assert peak.OPERATIONS * count == 2 * numbers.size


def test_memory_is_written_and_read_to_the_end() -> None:
    numbers, sums = np.zeros((3, 1001), np.int64), np.zeros(3, np.int64)
    peak.write_all(numbers, 2)
    assert (numbers == 2).all()
    numbers[1, -1] = 7
    peak.read_all(sums, numbers)
    assert sums.tolist() == [2002, 2007, 2002]


def test_the_machine_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that moves a second at each look, so every run takes one."""
    ticks = iter(range(10_000))
    monkeypatch.setattr(benchmark, "perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(benchmark, "STREAM_BYTES", 1 << 16)
    found = benchmark.measure_machine(2)
    assert (found.threads, found.register_bits) == (2, peak.REGISTER_BITS)
    assert found.flops == 2 * benchmark.ROUNDS * peak.OPERATIONS
    assert found.bandwidth == 4 << 16


def test_the_better_of_two_measurements_counts() -> None:
    assert Machine(2, 512, 9, 4).best(Machine(2, 512, 8, 5)) == Machine(2, 512, 9, 5)


def test_too_little_memory_to_measure_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDARKNET_MEMORY", "255")
    with pytest.raises(InputError, match=r"256\.0 MiB of it are read, and there are only 255\.0 MiB"):
        benchmark.measure_machine(1)


def test_threads_are_put_back() -> None:
    before = numba.get_num_threads()
    with threads(1) as count:
        assert count == 1 == numba.get_num_threads()
    assert numba.get_num_threads() == before
    with threads() as count:
        assert count == before
    with pytest.raises(UsageError, match="0 threads were asked for; expected 1 to"), threads(0):
        pass


# -- the command ---------------------------------------------------------------------------------------------------


def test_the_table_in_a_pipe(folder: Path, capfd: Screen) -> None:
    assert bench("conv.cfg", "--runs", "3") == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["layer", "output", "ms", "GFLOP/s", "peak", "GB/s", "memory"]
    assert [" ".join(line.split()[:3]) for line in lines[1:7]] == [
        *("0 convolutional 3x3/2", "1 dropout 4x3x4", "2 convolutional 4x3x4"),
        *("3 shortcut 4x3x4", "4 avgpool 1x1x4", "5 softmax 1x1x4"),
    ]
    assert [line[:12].strip() for line in lines[8:]] == [
        *("network", "forward", "images", "speed", "first run", "this machine")
    ]
    assert "conv.cfg, 8 x 6 x 3, 1 image at a time" in out
    assert "of 3 runs" in out
    assert "200 GFLOP/s multiply-add, 40.0 GB/s from memory, 2 threads with 512-bit registers" in out
    assert "\x1b" not in out
    assert all(line == line.rstrip() and len(line) <= 100 for line in lines[:7])
    assert "no weights were given: random ones (seed 1)" in err


def test_the_widest_table_fits_an_ordinary_terminal(monkeypatch: pytest.MonkeyPatch, capfd: Screen) -> None:
    monkeypatch.setattr(benchmark, "measure_machine", lambda count: MACHINE)
    assert bench("alexnet", "--runs", "1") == 0
    assert max(map(len, capfd.readouterr().out.split("\n\n")[0].splitlines())) <= 84


def test_weights_of_ones_own(folder: Path, capfd: Screen) -> None:
    header = np.array([0, 2, 0, 0, 0], "<i4").tobytes()
    numbers = np.ones(4 + 4 * 27 + 4 + 16, "<f4")
    Path("my.weights").write_bytes(header + numbers.tobytes())
    assert bench("conv.cfg", "my.weights", "--runs", "1", "--json") == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["weights"] == "my.weights"
    assert "no weights were given" not in err


def test_numbers_that_are_not_finite_are_told_behind_the_result(folder: Path, capfd: Screen) -> None:
    header = np.array([0, 2, 0, 0, 0], "<i4").tobytes()
    numbers = np.ones(4 + 4 * 27 + 4 + 16, "<f4")
    numbers[-16:] = 3e38  # of the second convolution: its sums are beyond float32
    Path("my.weights").write_bytes(header + numbers.tobytes())
    assert bench("conv.cfg", "my.weights", "--runs", "1", "--json") == 4
    out, err = capfd.readouterr()
    assert json.loads(out)["finite"] is False
    assert "error: conv.cfg: layer 2 [convolutional] puts out NaN or infinity; the times above are right" in err


def test_batch_size_and_threads(folder: Path, capfd: Screen) -> None:
    found = bench_json(capfd, "conv.cfg", "--size", "16x10", "--batch", "2")
    assert (found["input"]["width"], found["input"]["height"]) == (16, 10)
    assert found["layers"][0]["output"] == {"channels": 4, "height": 5, "width": 8, "is_image": True}
    assert bench_json(capfd, "conv.cfg", "--size", "12")["input"]["height"] == 12
    counts: list[int] = []

    def measured(count: int) -> Machine:
        counts.append(count)
        return Machine(count, 512, flops=100e9 * len(counts), bandwidth=40e9)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "measure_machine", measured)
        assert bench_json(capfd, "conv.cfg", "--threads", "1")["machine"]["gflops"] == 200
    assert counts == [1, 1]  # before and after


def test_a_vector_network_can_be_measured(folder: Path, capfd: Screen) -> None:
    assert bench_json(capfd, "vector.cfg")["input"]["is_image"] is False


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (2, ["tinny"], "tinny: no such file, nor a known network"),
        (3, ["no.cfg"], "no.cfg: no such file"),
        (3, ["conv.cfg", "no.weights"], "no.weights: no such file"),
        (3, ["rnn.cfg"], "[rnn] is recurrent"),
        (3, ["conv.cfg", "--batch", "2000000000"], "a batch of 2000000000 needs"),
        (2, ["conv.cfg", "--batch", "0"], "'0': expected a whole number, 1 or more"),
        (2, ["conv.cfg", "--runs", "none"], "'none': expected a whole number, 1 or more"),
        (2, ["conv.cfg", "--threads", "100000"], "100000 threads were asked for; expected 1 to"),
        (2, ["conv.cfg", "--size", "0"], "'0': expected pixels, as 224 or 320x240 (width x height)"),
        (2, ["conv.cfg", "--size", "8x8x3"], "'8x8x3': expected pixels"),
        (2, ["conv.cfg", "--size", "x8"], "'x8': expected pixels"),
        (
            2,
            ["fc.cfg", "--size", "9"],
            "--size 9x9: fc.cfg cannot be resized: fc.cfg:11: [connected] (layer 1) is made",
        ),
        (2, ["vector.cfg", "--size", "9"], "--size 9x9: vector.cfg cannot be resized: it takes 9 numbers, not images"),
    ],
)
def test_nonsense_is_refused(folder: Path, capfd: Screen, code: int, arguments: list[str], message: str) -> None:
    assert bench(*arguments) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_without_a_compiler_nothing_is_measured(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Screen) -> None:
    monkeypatch.setattr(jit.numba.config, "DISABLE_JIT", 1)
    assert bench("conv.cfg") == 2
    assert "NUMBA_DISABLE_JIT is set, so kernels are interpreted and no time means anything" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0512, "0.0512"), (5.128, "5.13"), (51.2, "51.2"), (160.2, "160"), (51234.5, "51,234"), (9.999, "10.00")],
)
def test_three_digits(number: float, text: str) -> None:
    assert three_digits(number) == text


# -- bars ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "expected"), [(0, ""), (-1, ""), (1 / 32, "▏"), (0.25, "█"), (0.6, "██▍"), (1, "████"), (7, "████")]
)
def test_bars_end_at_an_eighth_of_a_letter(share: float, expected: str) -> None:
    assert console.bar(share, 4) == expected


def test_bars_for_screens_without_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console._out, "_file", SimpleNamespace(encoding="ascii"))
    assert console.bar(0.6, 4) == "##"
