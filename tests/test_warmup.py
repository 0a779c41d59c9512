"""`minidarknet warmup`: afterwards nothing is compiled any more; a second time there is nothing to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import pytest

from minidarknet import benchmark, zoo
from minidarknet.cli import main
from minidarknet.kernels import jit
from minidarknet.network import Network

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="needs the compiler")

Screen = pytest.CaptureFixture[str]
NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"
SMALL = NET + "[maxpool]\nsize=2\nstride=2\n[avg]\n[softmax]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("small.cfg").write_text(SMALL)
    return tmp_path


def in_a_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command with a cache of its own, as the kernels of this process are in the ordinary one."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_")}
    return subprocess.run(
        [sys.executable, "-m", "minidarknet", *arguments],
        env={"PYTHONPATH": str(Path(jit.__file__).parents[2]), **inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_compiles_once_and_says_what_and_where(folder: Path) -> None:
    cache = str(folder / "cache")
    first = in_a_process("warmup", "small.cfg", MINIDARKNET_CACHE=cache)
    assert first.returncode == 0, first.stderr
    names = [line.split()[1] for line in first.stderr.splitlines() if line.startswith("compiling ")]
    assert {"maxpool_halving", "softmax"} <= set(names)
    assert "running small.cfg ..." in first.stderr
    begin, seconds, end = first.stdout.split(" s; ")[0].rpartition(" in ")
    assert (begin, end.replace(".", "").isdecimal(), seconds) == (f"compiled {len(names)} kernels", True, " in ")
    kept = first.stdout.split("they are kept in ")[1].strip()
    assert Path(kept).parent == folder / "cache/kernels"
    assert any(Path(kept).rglob("*.nbc"))

    second = in_a_process("warmup", "small.cfg", MINIDARKNET_CACHE=cache)
    assert (second.returncode, second.stdout) == (0, f"nothing to compile: all kernels are in {kept}\n")
    assert "compiling" not in second.stderr

    after = in_a_process("bench", "small.cfg", "--runs", "1", MINIDARKNET_CACHE=cache)
    assert "nothing had to be compiled" in after.stdout


def test_without_a_place_to_keep_them(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Screen) -> None:
    Path("file").write_text("")
    monkeypatch.setenv("MINIDARKNET_CACHE", str(folder / "file" / "below"))
    jit.kernel_folder.cache_clear()
    try:
        assert main(["warmup", "small.cfg"]) == 3
    finally:
        jit.kernel_folder.cache_clear()
    out, err = capfd.readouterr()
    assert out == ""
    place = folder / "file" / "below"
    assert f"there is no folder to keep compiled kernels in: {place} cannot be written. Set MINIDARKNET_CACHE" in err


def test_without_a_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Screen) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert main(["warmup", "small.cfg"]) == 2
    assert "NUMBA_DISABLE_JIT is set" in capfd.readouterr().err


def test_without_a_name_it_is_all_known_networks_and_what_bench_needs(
    monkeypatch: pytest.MonkeyPatch, capfd: Screen
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(benchmark, "run_all_kernels", lambda network: seen.append(Path(network.path).stem))
    monkeypatch.setattr(benchmark, "run_peak_kernels", lambda: seen.append("peak"))
    assert main(["warmup"]) == 0
    assert seen == [*zoo.SYSTEMS, "peak"]
    assert main(["warmup", "tiny"]) == 0
    assert seen[-1] == "tiny"


def test_every_way_to_run_is_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ways: list[tuple[int, str]] = []

    def note(name: str) -> None:
        original = getattr(Network, name)

        def noted(self: Network, x: Any, truth: Any = None) -> Iterator[Any]:
            ways.append((len(x), name))
            yield from original(self, x, truth)

        monkeypatch.setattr(Network, name, noted)

    note("steps")
    note("fused")
    benchmark.run_all_kernels(Network.from_cfg("small.cfg"))
    assert sorted(ways) == [(1, "fused"), (1, "steps"), (2, "fused"), (2, "steps")]


@pytest.mark.parametrize(
    ("code", "word", "message"),
    [
        (2, "tinny", "tinny: no such file, nor a known network"),
        (3, "no.cfg", "no.cfg: no such file"),
        (3, "rnn.cfg", "[rnn] is recurrent"),
    ],
)
def test_nonsense_is_refused(folder: Path, capfd: Screen, code: int, word: str, message: str) -> None:
    Path("rnn.cfg").write_text("[net]\ninputs=9\n[rnn]\noutput=3\n")
    assert main(["warmup", "small.cfg", word]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert "running" not in err  # found before anything is run
