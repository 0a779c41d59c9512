"""The documentation: its examples are true, and its site builds without a warning or a look elsewhere."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minidarknet.cli import COMMANDS
from minidarknet.reference import sections

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "minidarknet"
WITH_EXAMPLES = sorted(path for path in PACKAGE.rglob("*.py") if ">>> " in path.read_text("utf-8"))
#: What a browser loads by itself; a link is only followed by a reader.
LOADED = re.compile(r'<(?:script|img|iframe)\b[^>]*\bsrc="[^"]*"|<link\b[^>]*\bhref="[^"]*"|@import[^;]*|url\([^)]*')


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_true(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed


def test_the_public_functions_have_examples() -> None:
    assert {"cfg", "images", "prediction"} <= {path.stem for path in WITH_EXAMPLES}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it."""
    pytest.importorskip("mkdocs", reason="the site needs the extra `docs`")
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_MKDOCS_2_WARNING": "1"}
    # Not --quiet: it hides warnings from --strict too.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


def text(page: Path) -> str:
    return re.sub(r"<[^>]*>", "", page.read_text("utf-8"))


def test_every_command_has_a_page_with_its_options(site: Path) -> None:
    for name in COMMANDS:
        page = text(site / "commands" / f"{name}.html")
        assert f"minidarknet {name}" in page
    assert "--save-every N" in text(site / "commands" / "train.html")
    assert "Ctrl-C ends the batch and saves" in text(site / "commands" / "train.html")  # the README's section
    assert "minidarknet lesson check" in text(site / "commands" / "lesson.html")


def test_every_section_of_a_cfg_has_a_page_with_its_options(site: Path) -> None:
    for name, facts in sections().items():
        page = text(site / "layers" / f"{name}.html")
        assert all(option.name in page for option in facts.options)
    assert "5 4 | 1 1        5 2" in text(site / "layers" / "maxpool.html")


def test_every_lesson_with_a_notebook_has_a_page_with_its_pictures(site: Path) -> None:
    for notebook in (REPOSITORY / "lessons").glob("*.ipynb"):
        page = (site / "course" / f"{notebook.stem}.html").read_text("utf-8")
        pictures = re.findall(r'<img [^>]*src="([^"]+)"', page)
        assert len(pictures) >= 2
        assert all((site / "course" / picture).is_file() for picture in pictures)
        assert "raise NotImplementedError" in text(site / "course" / f"{notebook.stem}.html")
        assert "BEGIN S" not in page
        assert 'class="arithmatex"' not in page


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        for found in LOADED.finditer(page.read_text("utf-8")):
            assert "//" not in found[0].replace("data:", ""), f"{page.name} loads {found[0]}"


def test_no_page_names_a_place_of_one_machine(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert str(REPOSITORY) not in page.read_text("utf-8"), page
