"""Compiled kernels on disk: an edit is seen by the next run, nothing is compiled twice, and no folder is needed."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numba
import platformdirs
import pytest

import minidarknet
from minidarknet.kernels import jit

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="needs the compiler")

#: Applies the leaky activation to -1; prints the result, what was compiled, the cache folder, the package's place.
SCRIPT = """
import json
import numpy as np
import minidarknet
from minidarknet.kernels.activations import LEAKY, activate
from minidarknet.kernels.jit import announce_compiling, kernel_folder
compiled, x = [], np.array([-1, 1], np.float32)
with announce_compiling(compiled.append):
    activate(x, x, LEAKY)
print(json.dumps([float(x[0]), compiled, str(kernel_folder()), minidarknet.__file__]))
"""


class Copy:
    """A copy of the package, to be edited, and a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.package = folder / "source" / "minidarknet"
        self.cache = folder / "cache"
        shutil.copytree(
            Path(minidarknet.__file__).parent, self.package, ignore=shutil.ignore_patterns("__pycache__", "cfg")
        )

    def run(self, **environment: str) -> tuple[float, list[str], str]:
        """The activation of -1, the names of the kernels that were compiled, and the cache folder."""
        mine = {"PYTHONPATH": str(self.package.parent), "MINIDARKNET_CACHE": str(self.cache)}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_")}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT],
            env={**inherited, **mine, **environment},
            cwd=self.package.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        value, compiled, folder, place = json.loads(done.stdout)
        assert Path(place).parent == self.package
        return value, compiled, folder

    def replace(self, path: str, old: str, new: str) -> None:
        """Edit a source, leaving its size and its time as they were."""
        file = self.package / path
        text, before = file.read_text(), file.stat()
        assert text.count(old) == 1
        assert len(old) == len(new)
        file.write_text(text.replace(old, new))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_an_edit_is_seen_and_nothing_is_compiled_twice(copy: Copy) -> None:
    value, compiled, first = copy.run()
    assert value == pytest.approx(-0.1)
    assert "activate" in compiled
    assert copy.run() == (value, [], first)
    copy.replace("kernels/activations.py", "(0.1, 0.01,", "(0.3, 0.01,")
    # Python's own cache looks at size and time, which the edit has kept.
    shutil.rmtree(copy.package / "kernels" / "__pycache__", ignore_errors=True)
    value, compiled, second = copy.run()
    assert value == pytest.approx(-0.3)
    assert "activate" in compiled
    assert second != first
    copy.replace("kernels/activations.py", "(0.3, 0.01,", "(0.1, 0.01,")
    shutil.rmtree(copy.package / "kernels" / "__pycache__", ignore_errors=True)
    value, compiled, third = copy.run()
    assert (value, compiled, third) == (pytest.approx(-0.1), [], first)


def test_an_edit_of_a_helper_in_another_file_is_seen(copy: Copy) -> None:
    """What Numba alone does not notice: the kernel's own file stays as it is."""
    helper = copy.package / "kernels" / "helper.py"
    helper.write_text(
        "from minidarknet.kernels.jit import scalar\n\n@scalar\ndef factor(code):\n    return 2.0 + 0 * code\n"
    )
    file = copy.package / "kernels" / "activations.py"
    file.write_text(
        file.read_text()
        .replace("import kernel, scalar\n", "import kernel, scalar\nfrom minidarknet.kernels.helper import factor\n")
        .replace("output[i] = activation(x[i], code)", "output[i] = factor(code) * activation(x[i], code)")
    )
    assert copy.run()[0] == pytest.approx(-0.2)
    helper.write_text(helper.read_text().replace("2.0", "3.00"))
    assert copy.run()[0] == pytest.approx(-0.3)


def test_without_a_place_for_the_cache(copy: Copy, tmp_path: Path) -> None:
    """A path below a plain file cannot be made, not even by root; nor is anything written into the package."""
    (tmp_path / "file").write_text("")
    nowhere = str(tmp_path / "file" / "below")
    before = sorted(copy.package.rglob("*"))
    value, compiled, folder = copy.run(MINIDARKNET_CACHE=nowhere, PYTHONDONTWRITEBYTECODE="1")
    assert value == pytest.approx(-0.1)
    assert "activate" in compiled
    assert folder == "None"
    assert sorted(copy.package.rglob("*")) == before


def test_without_a_home_the_cache_is_in_a_private_temporary_folder(copy: Copy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = str(tmp_path / "file" / "below")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {"MINIDARKNET_CACHE": "", "HOME": nowhere, "XDG_CACHE_HOME": nowhere, "TMPDIR": str(temporary)}
    value, _, folder = copy.run(**environment)
    private = temporary / f"minidarknet-{os.getuid()}"
    assert value == pytest.approx(-0.1)
    assert Path(folder).parent.parent == private
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


# -- where the cache may be, without starting a process ----------------------------------------------------------

PRIVATE = f"minidarknet-{os.getuid()}"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files; the user's own cache is below a plain file, so that it cannot be made."""
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("MINIDARKNET_CACHE", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_, **__: tmp_path / "file" / "below")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def fresh() -> Iterator[None]:
    """`kernel_folder` remembers its answer; let it look again, and again afterwards."""
    jit.kernel_folder.cache_clear()
    yield
    jit.kernel_folder.cache_clear()


def test_the_private_folder_is_made_for_its_owner_alone(temporary: Path) -> None:
    assert list(jit._cache_bases())[1:] == [temporary / PRIVATE]
    assert stat.S_IMODE((temporary / PRIVATE).stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
@pytest.mark.usefixtures("fresh")
def test_a_folder_that_others_can_write_is_refused(temporary: Path, mode: int) -> None:
    (temporary / PRIVATE).mkdir()
    (temporary / PRIVATE).chmod(mode)
    assert len(list(jit._cache_bases())) == 1
    assert jit.kernel_folder() is None


def test_a_link_to_a_folder_is_refused(temporary: Path) -> None:
    (temporary / "elsewhere").mkdir(mode=0o700)
    (temporary / PRIVATE).symlink_to(temporary / "elsewhere")
    assert len(list(jit._cache_bases())) == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give folders away")
def test_a_folder_of_somebody_else_is_refused(temporary: Path) -> None:
    (temporary / PRIVATE).mkdir(mode=0o700)
    os.chown(temporary / PRIVATE, 12345, 12345)
    assert len(list(jit._cache_bases())) == 1


def test_a_file_in_place_of_the_private_folder(temporary: Path) -> None:
    (temporary / PRIVATE).write_text("")
    assert len(list(jit._cache_bases())) == 1


@pytest.mark.usefixtures("temporary", "fresh")
def test_without_any_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_usable() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none_usable)
    assert jit.kernel_folder() is None


@pytest.mark.usefixtures("fresh")
def test_a_wished_folder_is_the_only_one_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDARKNET_CACHE", str(tmp_path / "wish"))
    folder = jit.kernel_folder()
    assert folder is not None
    assert folder.parent == tmp_path / "wish" / "kernels"
    assert list(jit._cache_bases()) == [tmp_path / "wish"]


@pytest.mark.usefixtures("fresh")
def test_the_oldest_folders_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDARKNET_CACHE", str(tmp_path))
    for age in range(20):
        (tmp_path / "kernels" / f"old{age}").mkdir(parents=True)
        os.utime(tmp_path / "kernels" / f"old{age}", (1e9 - age, 1e9 - age))
    folder = jit.kernel_folder()
    assert folder is not None
    kept = {path.name for path in (tmp_path / "kernels").iterdir()}
    assert kept == {folder.name, *(f"old{age}" for age in range(7))}


@pytest.mark.parametrize(("setting", "value"), [("BOUNDSCHECK", 1), ("OPT", 0)])
def test_settings_that_change_the_code_have_their_own_folder(
    setting: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = jit._digest()
    monkeypatch.setattr(numba.config, setting, value)
    assert jit._digest() != before


def test_the_global_setting_is_put_back(tmp_path: Path) -> None:
    before = numba.config.CACHE_DIR
    with jit._numba_cache_in(tmp_path):
        assert str(tmp_path) == numba.config.CACHE_DIR
    assert before == numba.config.CACHE_DIR


def test_only_our_own_kernels_are_announced() -> None:
    names: list[str] = []

    @numba.njit
    def other(x: int) -> int:
        return x + 1

    with jit.announce_compiling(names.append):
        assert other(1) == 2
    assert names == []
