"""The screen: results on stdout, everything else on stderr. The only file that imports rich.

On a terminal there are colours and moving bars; in a pipe or a log there are plain lines, and none of them twice.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

#: In a log, seconds between two lines that say how far something is.
LOG_SECONDS = 15.0

_out = Console(file=None, highlight=False, markup=False, emoji=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def result(text: str) -> None:
    """Print a result on stdout, exactly as it is."""
    sys.stdout.write(text + "\n")


def result_json(value: Any) -> None:
    """Print a result for a program to read. NaN and infinity, which JSON lacks, are an error before this point."""
    result(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False))


def facts(pairs: list[tuple[str, str]]) -> None:
    """Print titles and values in two columns on stdout, the titles dimmed on a terminal."""
    width = max(len(title) for title, _ in pairs)
    for title, value in pairs:
        _out.print(f"{title:>{width}}", style="dim", end="  ")
        _out.print(value)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], dim: Collection[int] = ()) -> None:
    """Print a table on stdout, in a terminal as in a pipe, without cutting anything off.

    A title that ends in a blank has its column on the left; a column without a title holds bars (see `bar`). `dim` has
    the numbers of the rows that matter less.
    """
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for number, row in enumerate([titles, *rows], start=-1):
        line = Text(style="dim" if number < 0 or number in dim else "")
        for title, cell, width in zip(titles, row, widths, strict=True):
            left = not title or title.endswith(" ")
            line.append(f"{cell:<{width}} " if left else f"{cell:>{width}} ", style="" if title else "cyan")
        line.rstrip()
        _out.print(line)


def bar(share: float, width: int) -> str:
    """A bar of `width` letters for a share of 1, to an eighth of a letter; never longer than that."""
    eighths = round(8 * width * min(max(share, 0.0), 1.0))
    if _out.options.ascii_only:
        return "#" * round(eighths / 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def spark(values: Sequence[float]) -> str:
    """A curve of one letter for each value, from the smallest to the largest."""
    letters = "_.-~^" if _out.options.ascii_only else "▁▂▃▄▅▆▇█"
    low, high = min(values), max(values)
    steps = [(value - low) / (high - low or 1) * len(letters) for value in values]
    return "".join(letters[min(int(step), len(letters) - 1)] for step in steps)


def note(text: str) -> None:
    """Say on stderr what is going on."""
    _err.print(escape(text), style="dim")


def error(text: str) -> None:
    """Say on stderr what went wrong."""
    _err.print(f"[bold red]error:[/] {escape(text)}")


def warning(text: str) -> None:
    """Say on stderr what probably is not meant."""
    _err.print(f"[yellow]warning:[/] {escape(text)}")


def go_on() -> bool:
    """Wait for Enter; False where the answer begins with q, or nobody is there to answer."""
    _err.print("[dim]Enter: next layer, q: quit[/] ", end="")
    answer = sys.stdin.readline()
    return bool(answer) and not answer.lower().startswith("q")


@contextmanager
def warnings_on_screen() -> Iterator[None]:
    """Within the block, Python's warnings are shown as ours, without file names of this package."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = lambda message, *_, **__: warning(str(message))
        yield


@contextmanager
def compiling_announced() -> Iterator[None]:
    """Within the block, say so when the first kernel is compiled: all together take some ten seconds, once."""
    from minidarknet.kernels.jit import announce_compiling, kernel_folder

    said = False

    def started(name: str) -> None:
        nonlocal said
        if not said:
            kept = "kept for the next time" if kernel_folder() else "not kept: no cache folder can be written"
            note(f"compiling kernels: some ten seconds ({kept}) ...")
        said = True

    with announce_compiling(started):
        yield


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show how far a loop over `total` things is; the block calls what it gets after each of them."""
    if not _err.is_terminal or total < 2:
        yield _counting_plainly(what, total)
        return
    columns = (TextColumn("[dim]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Results that go to the same screen are printed above the bar; those that go to a file must reach the file.
    with Progress(*columns, console=_err, transient=True, redirect_stdout=sys.stdout.isatty()) as progress:
        task = progress.add_task(escape(what), total=total)
        yield lambda: progress.advance(task)


def _counting_plainly(what: str, total: int) -> Callable[[], None]:
    """As `counting` for a log: a line now and then, and none where it is soon over."""
    done, said = 0, monotonic()

    def counted() -> None:
        nonlocal done, said
        done += 1
        if monotonic() - said >= LOG_SECONDS:
            note(f"{what}: {done:,} of {total:,}")
            said = monotonic()

    return counted


@contextmanager
def downloading() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show downloads; the block calls what it gets with (file name, bytes so far, bytes in all or None)."""
    if not _err.is_terminal:
        seen: set[str] = set()

        def plain(name: str, done: int, total: int | None) -> None:
            if name not in seen:
                note(f"downloading {name} ...")
            seen.add(name)

        yield plain
        return
    columns = (TextColumn("[dim]{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_err, redirect_stdout=sys.stdout.isatty()) as progress:
        tasks: dict[str, Any] = {}

        def moved(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(escape(name), total=total)
            progress.update(tasks[name], completed=done, total=total)

        yield moved


@contextmanager
def live(render: Callable[[], str]) -> Iterator[bool]:
    """On a terminal, show on stderr what `render` returns, rich's markup, and keep it up to date while the block works.

    Yields whether there is a terminal; where there is none, the block shows what it has to say by itself.
    """
    if not _err.is_terminal:
        yield False
        return

    def text() -> Text:
        return Text.from_markup(render(), emoji=False)

    with Live(console=_err, get_renderable=text, transient=True, redirect_stdout=sys.stdout.isatty()):
        yield True
