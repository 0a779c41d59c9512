"""Writing a file: all at once or not at all, and never in the place of a device."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from minidarknet.files import atomic_write

pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")


def test_a_file_stays_as_it_was_where_writing_fails(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"before")
    with pytest.raises(TypeError), atomic_write(target) as file:
        file.write("no bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["target"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


@pipes
def test_a_pipe_is_written_to_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    with atomic_write(pipe) as file:
        file.write(b"through")
    assert stat.S_ISFIFO(pipe.stat().st_mode)  # before join: nobody writes to a reader of a pipe that was replaced
    reader.join()
    assert read == [b"through"]
    assert os.listdir(tmp_path) == ["pipe"]
