"""Checkpoints: whole or not there, whatever happens while they are written, and damage is noticed."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minidarknet import checkpoint, weights
from minidarknet.checkpoint import Store, read
from minidarknet.errors import CheckpointError, InputError
from minidarknet.files import only_one
from small_training import network

STATE = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "steps": np.array([7], np.int64)}


def no_damage(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def write(store: Store, number: int) -> Path:
    return store.write(network(), number, STATE, {"number": number, "half": 0.5, "none": None})


def test_what_comes_back_is_what_was_written(store: Store) -> None:
    path = write(store, 12)
    found = store.newest(no_damage)
    assert found is not None
    assert (found.path, found.record) == (path, {"number": 12, "half": 0.5, "none": None})
    for name, array in STATE.items():
        assert found.state[name].dtype == array.dtype
        np.testing.assert_array_equal(found.state[name], array)
    assert sorted(file.name for file in path.iterdir()) == ["meta.json", "network.weights", "state.safetensors"]
    assert weights.load(network(seed=5), path / "network.weights").seen == 12
    assert len({file.stat().st_mode for file in path.iterdir()}) == 1


def test_nothing_there_is_no_damage(store: Store) -> None:
    assert store.newest(no_damage) is None
    assert Store(store.folder / "missing").newest(no_damage) is None


def test_the_last_three_stay_and_their_numbers_grow(store: Store) -> None:
    for number in range(12):
        write(store, number)
    assert [path.name for path in store.paths()] == ["000010", "000011", "000012"]
    store.keep_newest()
    assert write(store, 99).name == "000013"
    assert [path.name for path in store.paths()] == ["000012", "000013"]


def test_what_a_killed_process_left_is_removed(store: Store) -> None:
    (store.folder / ".000001.abc.tmp").mkdir()
    (store.folder / ".000001.abc.tmp" / "network.weights").write_bytes(b"half")
    write(store, 1)
    assert [path.name for path in store.folder.iterdir()] == ["000001"]


@pytest.mark.parametrize("name", ["network.weights", "state.safetensors", "meta.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "longer", "bit", "empty"])
def test_a_damaged_one_is_left_out_with_a_note(store: Store, name: str, damage: str) -> None:
    good, bad = write(store, 1), write(store, 2)
    data = bytearray((bad / name).read_bytes())
    if damage == "missing":
        (bad / name).unlink()
    else:
        data[len(data) // 2] ^= 1
        new = {"cut": data[:-10], "longer": data + b"0", "bit": data, "empty": b""}[damage]
        (bad / name).write_bytes(new)
    notes: list[str] = []
    found = store.newest(notes.append)
    assert found is not None
    assert found.path == good
    assert len(notes) == 1
    assert notes[0].startswith(f"{bad} is damaged and left out: ")
    assert name in notes[0]


def test_every_bit_of_the_counters_counts(store: Store) -> None:
    path = write(store, 1) / "meta.json"
    text = path.read_bytes()
    for place in range(0, len(text), 7):
        path.write_bytes(text[:place] + bytes([text[place] ^ 4]) + text[place + 1 :])
        try:
            found = store.newest(lambda _: None)
        except CheckpointError:
            continue
        assert found is not None
        assert found.record["number"] == 1, "a blank that has become another one"


def test_all_damaged_is_an_error_and_so_is_another_format(store: Store) -> None:
    path = write(store, 1)
    meta = json.loads((path / "meta.json").read_text())
    del meta["sha256"]
    meta["version"] = 2
    (path / "meta.json").write_text(json.dumps({**meta, "sha256": checkpoint._digest(meta)}))
    with pytest.raises(CheckpointError, match="of format 2; this minidarknet knows format 1"):
        store.newest(no_damage)
    (path / "meta.json").unlink()
    with pytest.raises(CheckpointError, match="all 1 checkpoints are damaged"):
        store.newest(lambda _: None)


def test_a_full_disk_keeps_the_newest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        write(store, number)

    def full(arrays: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CheckpointError, match="000004: cannot be written: No space left on device"):
        write(store, 4)
    assert [path.name for path in store.folder.iterdir()] == ["000003"], "older ones made room, half ones are gone"
    assert read(store.paths()[-1]).record["number"] == 3


#: Writes checkpoints in a child that is killed at its n-th call to the system, for every n; looks at what is there.
CRASHES = """
import builtins, os, sys
from pathlib import Path
import numpy as np
from minidarknet.checkpoint import Store, read
from small_training import network

net, state = network(), {"a": np.arange(1000, dtype=np.float32)}
store = Store(Path(sys.argv[1]))
store.write(net, 0, state, {"number": 0})
calls = ["fsync", "open", "rename", "replace", "mkdir", "rmdir", "unlink", "close"]
killed = number = 0
while True:
    number += 1
    child = os.fork()
    if child == 0:
        left = killed
        def counted(real):
            def call(*arguments, **options):
                global left
                if left == 0:
                    os._exit(9)
                left -= 1
                return real(*arguments, **options)
            return call
        for name in calls:
            setattr(os, name, counted(getattr(os, name)))
        builtins.open = counted(open)
        store.write(net, number, state, {"number": number})
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    found = store.newest(lambda text: sys.exit(f"killed at call {killed}: {text}"))
    assert all(read(path) for path in store.paths()), "old ones are whole or gone"
    assert found.record["number"] in (number - 1, number, last), (killed, found.record, number)
    last = found.record["number"]
    np.testing.assert_array_equal(found.state["a"], state["a"])
    if code == 0:
        assert last == number
        break
    assert code == 9, code
    killed += 1
print(killed)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_call_there_is_a_whole_one(tmp_path: Path) -> None:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parent), str(here)])}
    script = CRASHES.replace("killed = number = 0", "killed = number = last = 0")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 15


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(InputError, match="another process is at work"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass
