"""Where files are kept, and how they are written.

Files are written aside, synced and renamed: a reader sees the old file or the new one, never half of it. So are
folders whose files belong together.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from minidarknet.errors import InputError


def cache_folder() -> Path:
    """Where downloads and compiled kernels are kept: `MINIDARKNET_CACHE` where set, else the user's cache folder."""
    if wish := os.environ.get("MINIDARKNET_CACHE", ""):
        return Path(os.path.expanduser(wish)).absolute()  # unlike Path.expanduser, leaves an unknown ~name alone
    from platformdirs import user_cache_path  # not needed by `--help`

    return user_cache_path("minidarknet", appauthor=False).absolute()


@contextmanager
def atomic_write(path: str | PathLike[str]) -> Iterator[BinaryIO]:
    """Open `path` for writing such that it changes at the end of the block, all at once, or not at all.

    Parameters
    ----------
    path
        The file to write. Its folder must exist. A symbolic link is followed, not replaced. A device or a pipe
        (`/dev/null`, `/dev/stdout`) is written to as it stands: renaming a file onto it would take its place.

    Yields
    ------
    BinaryIO
        A binary file in the same folder, renamed onto `path` when the block ends without an exception.
    """
    if _is_device(path):
        with open(path, "wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    aside = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        with open(aside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def _is_device(path: str | PathLike[str]) -> bool:
    """Whether something stands at `path` that is neither a file nor a folder: a device, a pipe, a socket."""
    place = Path(path)
    return place.exists() and not place.is_file() and not place.is_dir()


@contextmanager
def atomic_folder(path: str | PathLike[str]) -> Iterator[Path]:
    """Make a folder of files such that it is there with all of them, each complete, or not there at all.

    Parameters
    ----------
    path
        The folder, which is not there yet; the one that it lies in is.

    Yields
    ------
    Path
        A folder beside it to put files into, renamed to `path` when the block ends without an exception. One that a
        killed process leaves behind is called `.NAME.RANDOM.tmp`.
    """
    target = Path(path)
    aside = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    aside.mkdir()
    try:
        yield aside
        for file in sorted(aside.iterdir()):
            _sync(file)
        _sync(aside)
        os.rename(aside, target)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    _sync(target.parent)


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Within the block, no other process is in such a block for this folder; it ends with the process at the latest.

    Raises
    ------
    InputError
        Another one is.
    """
    try:
        import fcntl
    except ImportError:  # Windows, where nobody looks
        yield
        return
    with open(folder / ".lock", "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{folder}: another process is at work in it; wait for it, or take another folder"
            ) from None
        yield


def remove_folder(path: Path) -> None:
    """Delete a folder of files such that nobody sees half of it: it loses its name first."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    os.rename(path, aside)
    shutil.rmtree(aside, ignore_errors=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk.

    Systems that cannot open folders (Windows) see to those by themselves.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        if path.is_dir():
            return
        raise
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
