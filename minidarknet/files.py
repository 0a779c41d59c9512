"""Where files are kept, and how they are written.

Files are written aside, synced and renamed: a reader sees the old file or the new one, never half of it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO


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
        The file to write. Its folder must exist. A symbolic link is followed, not replaced.

    Yields
    ------
    BinaryIO
        A binary file in the same folder, renamed onto `path` when the block ends without an exception.
    """
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
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` last; systems that cannot open folders (Windows) do it by themselves."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
