"""Where the tests find the golden data and the pretrained weights, which are not part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    for number in range(16):
        config.addinivalue_line("markers", f"lesson{number:02}: all about this lesson of the course")


def shared_folder() -> Path:
    """The folder with `golden/` and `data/`: the environment variable MINIDARKNET_SHARED, or `../shared`."""
    return Path(os.environ.get("MINIDARKNET_SHARED", REPOSITORY.parent / "shared")).resolve()


def golden_files(pattern: str) -> list[Path]:
    """All golden files of a pattern such as `nets/*.cfg`, sorted; empty where the golden data is absent."""
    return sorted((shared_folder() / "golden").glob(pattern))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder; a test that needs it is skipped on a machine without it."""
    folder = shared_folder()
    if not (folder / "golden").is_dir():
        pytest.skip(f"no golden data at {folder} (set MINIDARKNET_SHARED)")
    return folder


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    return shared / "golden"


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Everything in an .npz file; the file itself is closed again."""
    with np.load(path) as data:
        return dict(data)
