"""`minidarknet train`: files, exit codes, stopping, going on, and being killed."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minidarknet import chart, checkpoint, trainer, weights
from minidarknet.cli import main
from minidarknet.cli.train_screen import TrainingScreen, clock
from minidarknet.data import open_dataset
from minidarknet.loader import Loader
from minidarknet.stopping import Stop, stop_on_signals
from minidarknet.training import Step, Training
from scripts.crash import crash
from small_training import CFG, write_files

REPOSITORY = Path(__file__).resolve().parent.parent
Screen = pytest.CaptureFixture[str]
ENDLESS = CFG.replace("max_batches=20", "max_batches=0")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    return tmp_path


def train(*words: str) -> int:
    return main(["train", "small.npz", "small.cfg", "--workers", "1", *words])


def digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def records(path: str = "backup/small.jsonl") -> list[dict[str, float]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_a_run_from_beginning_to_end(folder: Path, capfd: Screen) -> None:
    assert train() == 0
    out, err = capfd.readouterr()
    assert "3 pictures" not in out
    assert "30 of 3 classes" in out
    assert "20 of 20, running loss" in out
    assert "of memory for 4 images at a time" in err
    lines = [line for line in err.splitlines() if line.startswith("epoch ")]
    assert [line.split(":")[0] for line in lines] == [
        "epoch 1.067",
        "epoch 2.133",
        "epoch 3.2",
        "epoch 4",
        "epoch 5.067",
        "epoch 5.333",
    ]
    assert weights.load(trainer.Classifier.from_cfg("small.cfg"), "backup/small.weights").seen == 160
    steps = [record for record in records() if "loss" in record]
    assert [record["batch"] for record in steps] == list(range(1, 21))
    assert [record["batch"] for record in records() if "top1" in record] == [4, 8, 12, 15, 19, 20]
    with open("backup/small.csv", newline="") as file:
        assert [row["loss"] for row in csv.DictReader(file) if row["loss"]] == [str(record["loss"]) for record in steps]


def test_the_seed_decides(folder: Path) -> None:
    hashes = []
    for words in (["--seed", "1"], ["--seed", "1", "--threads", "1"], ["--seed", "2"]):
        assert train(*words, "--overwrite") == 0
        hashes.append(digest("backup/small.weights"))
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_finished_run_says_so_and_is_left_alone(folder: Path, capfd: Screen) -> None:
    assert train() == 0
    before = {path: path.read_bytes() for path in Path("backup").rglob("*") if path.is_file()}
    capfd.readouterr()
    assert train("--resume") == 0
    assert "this run is finished: there is nothing left to do" in capfd.readouterr().err
    assert {path: path.read_bytes() for path in Path("backup").rglob("*") if path.is_file()} == before
    Path("backup/small.weights").unlink()
    assert train("--resume") == 0
    assert Path("backup/small.weights").read_bytes() == before[Path("backup/small.weights")], "killed before writing it"


def test_another_end_goes_on(folder: Path) -> None:
    assert train("--batches", "30") == 0
    straight = digest("backup/small.weights")
    assert train("--batches", "10", "--overwrite") == 0
    assert train("--resume") == 0  # the end of the run, not that of the cfg
    assert records()[-1]["batch"] == 10
    assert train("--resume", "--batches", "30") == 0
    assert digest("backup/small.weights") == straight
    assert train("--epochs", "2", "--overwrite") == 0
    assert records()[-1]["batch"] == 8
    kept = [checkpoint.read(path).record["batch"] for path in sorted(Path("backup/small.checkpoints").glob("0*"))]
    assert kept == [0, 8], "nothing of the other run"


def test_a_run_is_not_overwritten_by_accident(folder: Path, capfd: Screen) -> None:
    assert train() == 0
    before = digest("backup/small.weights")
    assert train() == 2
    assert "go on with --resume, begin anew with --overwrite" in capfd.readouterr().err
    assert digest("backup/small.weights") == before
    assert train("--resume", "--seed", "1") == 2
    assert "has seed 0, not 1; leave that option out" in capfd.readouterr().err
    assert train("--resume", "--darknet-quirks") == 2


def test_what_decides_the_result_stands_in_the_checkpoint(folder: Path, capfd: Screen) -> None:
    settings = ["--seed", "4", "--no-augment", "--darknet-quirks", "--batches", "12"]
    assert train(*settings) == 0
    straight = digest("backup/small.weights")
    assert train(*settings[:-1], "5", "--overwrite") == 0
    assert train("--resume", "--batches", "12") == 0
    assert digest("backup/small.weights") == straight
    with open("small.cfg", "a") as file:
        file.write("# another line\n")
    assert train("--resume", "--batches", "13") == 0
    err = capfd.readouterr().err
    assert "the cfg changed since the checkpoint" in err
    assert "the classes changed" not in err


def test_names_put_the_classes_in_the_order_of_the_outputs(folder: Path, capfd: Screen) -> None:
    for place, name in enumerate(("dark", "light")):
        Path("photos", name).mkdir(parents=True)
        for number in range(6):
            Image.new("L", (8, 8), 150 * place + number).save(f"photos/{name}/{number}.png")
    Path("my.names").write_text("light\nother\ndark\n")
    words = ["train", "photos", "small.cfg", "--workers", "1", "--batches", "2"]
    assert main([*words, "--names", "my.names"]) == 0
    out, err = capfd.readouterr()
    assert "10 of 3 classes" in out
    assert "1 of 3 classes have no picture: other" in err
    Path("my.names").write_text("dark\nother\nlight\n")
    assert main([*words[:-1], "3", "--names", "my.names", "--resume"]) == 0
    assert "the classes changed since the checkpoint" in capfd.readouterr().err
    Path("my.names").write_text("dark\nlight\n")
    assert main([*words, "--names", "my.names", "--overwrite"]) == 3
    assert "my.names: has 2 names, but the network has 3 outputs" in capfd.readouterr().err


def test_nothing_to_resume_begins_and_says_so(folder: Path, capfd: Screen) -> None:
    assert train("--resume") == 0
    assert "there is nothing to go on from" in capfd.readouterr().err
    assert len(records()) == 26


def test_a_damaged_checkpoint_is_skipped_and_the_end_is_the_same(folder: Path, capfd: Screen) -> None:
    assert train("--save-every", "6") == 0
    straight = digest("backup/small.weights")
    newest = sorted(Path("backup/small.checkpoints").glob("0*"))[-1]
    state = newest / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1] + b"!")
    Path("backup/small.weights").unlink()
    assert train("--resume", "--save-every", "6") == 0
    assert f"{newest} is damaged and left out: state.safetensors has other bytes" in capfd.readouterr().err
    assert digest("backup/small.weights") == straight
    assert [record["batch"] for record in records() if "loss" in record] == list(range(1, 21))


def test_begin_with_weights(folder: Path, capfd: Screen) -> None:
    assert train() == 0
    os.rename("backup/small.weights", "first.weights")
    assert train("--weights", "first.weights", "--overwrite") == 2
    assert "has seen 160 images, batch 20 of 20: there is nothing left to do. --clear" in capfd.readouterr().err
    assert train("--weights", "first.weights", "--overwrite", "--batches", "25") == 0
    assert [record["batch"] for record in records() if "loss" in record] == list(range(21, 26))
    assert train("--weights", "first.weights", "--clear", "--overwrite", "--batches", "3") == 0
    assert [record["batch"] for record in records() if "loss" in record] == [1, 2, 3]
    assert train("--weights", "first.weights", "--layers", "1", "--clear", "--overwrite", "--batches", "3") == 0
    assert train("--clear", "--overwrite") == 2
    assert train("--weights", "missing.weights", "--overwrite") == 3


def test_numbers_that_are_not_finite_end_with_4_and_the_last_checkpoint(folder: Path, capfd: Screen) -> None:
    wild = CFG.replace("policy=steps", "policy=exp\ngamma=1e30").replace("steps=10,15\nscales=.5,.5\n", "")
    Path("small.cfg").write_text(wild)
    assert train("--save-every", "1", "--batches", "50") == 4
    err = capfd.readouterr().err
    assert "not finite, first " in err
    assert "The last checkpoint is kept: backup/small.checkpoints/" in err
    kept = checkpoint.read(sorted(Path("backup/small.checkpoints").glob("0*"))[-1])
    assert all(np.isfinite(array).all() for array in kept.state.values())
    assert not Path("backup/small.weights").exists()


def test_a_full_disk_is_told_once_and_training_goes_on(
    folder: Path, capfd: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, full = checkpoint.save_file, {"now": False}

    def save_file(arrays: dict[str, np.ndarray], path: Path) -> None:
        if full["now"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(arrays, path)

    step = Training._step

    def stepped(self: Training, batches: object) -> Step:
        done = step(self, batches)  # type: ignore[arg-type]
        full["now"] = 5 <= done.batch < full["until"]
        return done

    monkeypatch.setattr(checkpoint, "save_file", save_file)
    monkeypatch.setattr(Training, "_step", stepped)
    full["until"] = 10
    assert train("--save-every", "2") == 0
    err = capfd.readouterr().err
    assert err.count("No space left on device") == 1
    assert "The last checkpoint is kept: backup/small.checkpoints/000003. Training goes on" in err
    straight = digest("backup/small.weights")
    full["until"] = 99
    assert train("--save-every", "2", "--overwrite") == 3
    err = capfd.readouterr().err
    assert "Make room, and go on with --resume" in err
    full["until"] = 0
    assert train("--resume") == 0
    assert digest("backup/small.weights") == straight


def test_a_folder_that_cannot_be_written_is_found_before_training(folder: Path, capfd: Screen) -> None:
    Path("file").write_text("")
    assert train("--backup", "file/below") == 3
    assert "file/below/small.checkpoints: cannot be made: Not a directory" in capfd.readouterr().err


def test_a_picture_that_cannot_be_read_loses_no_batch(folder: Path, capfd: Screen) -> None:
    for number in range(24):
        path = Path(f"pictures/{'ab'[number % 2]}/{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 10 * number, np.uint8)).save(path)
    Path("two.cfg").write_text(CFG.replace("output=3", "output=2"))
    words = ["train", "pictures", "two.cfg", "--save-every", "100"]
    assert main([*words, "--backup", "whole"]) == 0
    data, net = open_dataset("pictures", channels=1), trainer.Classifier.from_cfg("two.cfg")
    index = Loader(data, net.options, net.input_shape, batch=4).places(3)[0][1]
    broken = Path(data.name(index))
    good = broken.read_bytes()
    broken.write_bytes(b"no picture")
    code = main(words)
    assert code == 3
    assert f"{broken}" in capfd.readouterr().err
    assert checkpoint.read(sorted(Path("backup/two.checkpoints").glob("0*"))[-1]).record["batch"] == 1
    broken.write_bytes(good)
    assert main([*words, "--resume"]) == 0
    assert digest("backup/two.weights") == digest("whole/two.weights")


def test_json_prints_every_record(folder: Path, capfd: Screen) -> None:
    assert train("--json") == 0
    assert [json.loads(line) for line in capfd.readouterr().out.splitlines()] == records()


def test_the_backup_of_a_data_file(folder: Path) -> None:
    for number in range(9):
        path = Path(f"pictures/{'abc'[number % 3]}/{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 10 * number, np.uint8)).save(path)
    Path("list").write_text("".join(f"{path}\n" for path in sorted(Path("pictures").rglob("*.png"))))
    Path("names").write_text("a\nb\nc\n")
    Path("my.data").write_text("train=list\nvalid=list\nnames=names\nbackup=kept\n")
    assert main(["train", "my.data", "small.cfg", "--batches", "2"]) == 0
    assert Path("kept/small.weights").exists()
    assert main(["train", "my.data"]) == 2


def test_a_chart(folder: Path, capfd: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    assert train("--chart") == 0
    with Image.open("backup/small.png") as image:
        assert image.size == (960, 960)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert train("--chart", "--overwrite") == 2
    assert "pip install 'minidarknet[chart]'" in capfd.readouterr().err
    with pytest.raises(Exception, match="needs matplotlib"):
        chart.check_matplotlib()


# -- the screen ------------------------------------------------------------------------------------------------------


def test_the_screen_keeps_a_short_curve_of_the_whole_run(capfd: Screen) -> None:
    stop = Stop()
    screen = TrainingScreen(100_000, stop=stop)
    screen.live = True
    assert screen.render() == "[dim]the first batch ...[/]"
    for batch in range(1, 5001):
        screen.on_step(Step(batch, 8 * batch, batch / 10, 1.5, 2.0 ** (-batch / 500), 0.05, []), 1234.5, 7384.0)
    where, numbers, curve = screen.render().splitlines()
    assert where.startswith("batch 5,000 of 100,000, epoch 500.00  [cyan]")
    assert where.endswith("5 %  2:03:04 left")
    assert numbers == "loss 1.5000, running 0.0010, rate 0.05, 1,234 images a second"
    letters = curve.removeprefix("running loss [cyan]").removesuffix("[/]")
    assert 30 <= len(letters) <= 60
    assert letters[0] == "█"
    assert letters[-1] == "▁"
    assert list(letters) == sorted(letters, reverse=True)
    stop.signal = 2
    assert "Ctrl-C again stops at once" in screen.render()
    assert capfd.readouterr().err == ""


def test_clock() -> None:
    assert [clock(seconds) for seconds in (0.4, 61, 3600, 90061, 200000)] == [
        "0:00",
        "1:01",
        "1:00:00",
        "1 day 1:01:01",
        "2 days 7:33:20",
    ]


# -- signals ---------------------------------------------------------------------------------------------------------


def test_the_first_signal_asks_and_the_second_stops() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    for number, error, code in ((signal.SIGINT, KeyboardInterrupt, 130), (signal.SIGTERM, SystemExit, 143)):
        with stop_on_signals() as stop:
            assert stop.exit_code == 0
            signal.raise_signal(number)
            assert stop.exit_code == code
            with pytest.raises(error):
                signal.raise_signal(number)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGINT)
        assert stop.exit_code == 0
    finally:
        signal.signal(signal.SIGINT, before)


def start(*words: str) -> subprocess.Popen[str]:
    """An endless run that has begun to learn."""
    process = subprocess.Popen(
        [sys.executable, "-m", "minidarknet", "train", "small.npz", "small.cfg", *words],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    measured = Path("backup/small.jsonl")
    while process.poll() is None and not (measured.exists() and measured.stat().st_size > 3000):
        time.sleep(0.01)
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_run_goes_on_to_the_same_bits(folder: Path, number: signal.Signals, code: int) -> None:
    Path("small.cfg").write_text(ENDLESS)
    process = start()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "stopped and saved; the same command with --resume goes on" in err
    assert "Traceback" not in err
    (newest,) = sorted(Path("backup/small.checkpoints").glob("0*"))[-1:]
    batch = checkpoint.read(newest).record["batch"]
    assert batch == records()[-1]["batch"]
    assert weights.load(trainer.Classifier.from_cfg("small.cfg"), "backup/small.weights").seen == 8 * batch
    end = str(batch + 5)
    assert train("--resume", "--batches", end) == 0
    assert train("--batches", end, "--backup", "straight") == 0
    assert digest("backup/small.weights") == digest("straight/small.weights")


def test_a_second_signal_stops_at_once(folder: Path) -> None:
    Path("small.cfg").write_text(ENDLESS)
    process = start("--save-every", "1")
    process.send_signal(signal.SIGINT)
    time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert train("--resume", "--batches", "1") == 0  # there is a whole checkpoint


def test_killed_at_random_moments_it_ends_with_the_same_bits() -> None:
    crash(int(os.environ.get("MINIDARKNET_KILLS", "3")))
