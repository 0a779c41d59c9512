"""A lesson as a notebook, and back. Needs jupytext."""

from __future__ import annotations

from typing import Any

from minidarknet.errors import InputError, UsageError

FORMAT = "py:percent"
MISSING = "a notebook of a lesson needs jupytext: pip install 'minidarknet[course]'"


def available() -> bool:
    """Whether the extra `course` is installed."""
    try:
        import jupytext  # noqa: F401  # only to see whether it is there
    except ImportError:
        return False
    return True


def from_script(text: str) -> Any:
    """The notebook (an nbformat node, without outputs) of a script in percent format; the same text, the same bytes.

    Raises
    ------
    UsageError
        jupytext is not installed.
    """
    jupytext = _jupytext()
    notebook = jupytext.reads(text, fmt=FORMAT)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03}"  # a random one otherwise
        cell.metadata.pop("lines_to_next_cell", None)  # jupytext's own
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = type(notebook.metadata)(kernelspec=kernel, language_info={"name": "python"})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def written(notebook: Any) -> bytes:
    """A notebook as the bytes of its file."""
    return str(_jupytext().writes(notebook, fmt="ipynb")).encode()


def to_script(content: bytes, place: str) -> str:
    """The script of a notebook's file.

    Raises
    ------
    InputError
        It is no notebook; `place` names it.
    UsageError
        jupytext is not installed.
    """
    jupytext = _jupytext()
    try:
        return str(jupytext.writes(jupytext.reads(content.decode(), fmt="ipynb"), fmt=FORMAT))
    except Exception as error:  # whatever a reader of notebooks can raise
        reason = str(error).split("\n")[0]
        raise InputError(f"{place}: expected a notebook, found a file that cannot be read as one: {reason}") from None


def _jupytext() -> Any:
    if not available():
        raise UsageError(MISSING)
    import jupytext

    return jupytext
