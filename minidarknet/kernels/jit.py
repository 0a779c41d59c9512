"""How every loop of this package is compiled: the only place that says `njit`, `parallel=` or `cache=`.

    @kernel
    def scale_rows(output, x, factors): ...    # output first, then inputs; loops over prange

Numba keeps compiled kernels on disk, but notices only edits of a kernel's own file, not of the helpers that it calls
from other files. So the folder's name carries a digest of *all* kernel sources: whoever edits one is never served
stale code. The same folder serves an installation that is read-only.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import numba
from numba.core import event

from minidarknet.files import cache_folder

F = TypeVar("F", bound=Callable[..., Any])

#: Folders of older kernels that are kept; each has a few MB, and an editing learner makes many.
_KEPT_FOLDERS = 8


def kernel(function: F) -> F:
    """Compile a function whose outer loops run over `prange`, in parallel over all threads.

    A `prange` index is unsigned, and unsigned with signed makes a float: write `np.int64(plane) // channels` to count
    with it. Division by zero gives infinity or NaN as in C (`error_model="numpy"`), because a check in an inner loop
    would keep it from being vectorised.
    """
    return _compile(function, parallel=True)


def reduction(function: F) -> F:
    """Compile a small function that sums up a run of numbers in whatever order suits the registers.

    A sum in the order of the definition cannot use vector instructions, because each addition waits for the last. The
    order is the compiler's, and the same in every call, so the bits do not depend on the threads.
    """
    return _compile(function, parallel=False, more=("reassoc",))


def scalar(function: F) -> F:
    """Compile a small function that kernels call from inside their loops."""
    return _compile(function, parallel=False)


def _compile(function: F, parallel: bool, more: tuple[str, ...] = ()) -> F:
    folder = kernel_folder()
    with _numba_cache_in(folder):
        compiled = numba.njit(
            parallel=parallel,
            cache=folder is not None,
            error_model="numpy",
            # Only this one of the fastmath flags: a * b + c may be rounded once instead of twice. The others reorder
            # sums, which `reduction` asks for, or forget about NaN (docs/decisions/0003).
            fastmath={"contract", *more},
        )(function)
    return cast(F, compiled)


def is_compiled() -> bool:
    """Whether kernels become machine code: not where NUMBA_DISABLE_JIT is set, and then no speed means anything."""
    return not numba.config.DISABLE_JIT


@cache
def kernel_folder() -> Path | None:
    """The folder for the compiled kernels of exactly these sources, or None where no place can be written."""
    name = _digest()
    for base in _cache_bases():
        folder = base / "kernels" / name
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError:
            continue
        _forget_old(folder)
        return folder
    return None


def _cache_bases() -> Iterator[Path]:
    """Where to try: the wished place, the user's cache, and a private folder beside other temporary files."""
    yield cache_folder()
    if os.environ.get("MINIDARKNET_CACHE"):
        return
    user = os.getuid() if hasattr(os, "getuid") else 0
    try:
        private = Path(tempfile.gettempdir()) / f"minidarknet-{user}"
        private.mkdir(mode=0o700, exist_ok=True)
        state = private.lstat()
    except OSError:
        return
    # Compiled code is loaded from here, so nobody else may have made this folder or be able to write into it.
    if not private.is_symlink() and state.st_uid == user and not state.st_mode & 0o022:
        yield private


def _digest() -> str:
    """A name for these sources, compiled by this Numba, for this processor."""
    state = hashlib.sha256()
    package = Path(__file__).resolve().parent.parent
    for path in sorted([*package.glob("kernels/*.py"), *package.glob("layers/*.py")]):
        state.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    config = numba.config
    processor = config.CPU_NAME or llvmlite.binding.get_host_cpu_name()
    versions = (numba.__version__, llvmlite.__version__, platform.python_version(), platform.machine())
    settings = (processor, config.CPU_FEATURES, config.OPT, config.BOUNDSCHECK, config.DEBUGINFO_DEFAULT)
    state.update(repr((*versions, *settings)).encode())
    return state.hexdigest()[:16]


def _forget_old(current: Path) -> None:
    """Delete the folders of sources that have not been used for longest."""
    try:
        os.utime(current)
        siblings = sorted(current.parent.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in siblings[_KEPT_FOLDERS:]:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # another process is tidying up at the same moment


@contextmanager
def _numba_cache_in(folder: Path | None) -> Iterator[None]:
    """Numba reads its cache folder from a global setting when a function is decorated; set it just for that long."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = "" if folder is None else str(folder)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


class _CompileListener(event.Listener):  # type: ignore[misc]  # Numba has no annotations
    def __init__(self, started: Callable[[str], None]) -> None:
        self.started = started

    def on_start(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        if function.__module__.startswith("minidarknet."):
            self.started(function.__name__)

    def on_end(self, event: Any) -> None:
        pass


@contextmanager
def announce_compiling(started: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, call `started(name)` whenever one of our kernels is really compiled, not loaded."""
    listener = _CompileListener(started)
    event.register("numba:compile", listener)
    try:
        yield
    finally:
        event.unregister("numba:compile", listener)
