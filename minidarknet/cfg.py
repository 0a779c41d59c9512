"""The cfg file: sections in square brackets, `key=value` lines below them.

Darknet's reader drops every blank, even inside a value (`layers = -1, 8`), and so does this one. It also accepts what
other editors and people leave in such files: CRLF line ends, a byte-order mark, a comment behind a value. What Darknet
reads wrongly without a word (a key given twice, text outside a section) is an error with its line here.

What the sections and keys *mean* is not known on this page: see `minidarknet.options` and `minidarknet.layers`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike, fspath

from minidarknet.errors import CfgError

#: The largest cfg that Darknet ships has 20 kB; a file beyond this is something else (most often the weights).
MAXIMUM_BYTES = 1 << 18

NET = ("net", "network")


def quoted(text: str) -> str:
    """Text of a cfg as messages show it: not endless, and nothing in it that would steer a terminal."""
    short = text if len(text) <= 80 else f"{text[:80]}..."
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in short)


@dataclass(frozen=True)
class Entry:
    """The value of one key as written, without blanks, and the line that it stands on."""

    value: str
    line: int


@dataclass(frozen=True)
class Section:
    """One section: its name as written, the line of its header, its entries in order."""

    name: str
    path: str = "<python>"
    line: int | None = None
    entries: dict[str, Entry] = field(default_factory=dict)

    def error(self, message: str, key: str | None = None) -> CfgError:
        """An error at this section, or at one of its keys, that begins with `file:line: [name]`."""
        entry = self.entries.get(key) if key else None
        return CfgError(self.path, entry.line if entry else self.line, f"[{quoted(self.name)}] {message}")


@dataclass(frozen=True)
class Cfg:
    """A cfg file: the path it came from, its `[net]` section, and one section for each layer."""

    path: str
    net: Section
    layers: tuple[Section, ...]


def read_cfg(path: str | PathLike[str]) -> Cfg:
    """Read a cfg file.

    Parameters
    ----------
    path
        The file to read.

    Returns
    -------
    Cfg
        Its sections. Names and keys are not checked here.

    Raises
    ------
    CfgError
        The file cannot be read, is no text, or a line is neither a section, `key=value` nor a comment.
    """
    path = fspath(path)
    try:
        with open(path, "rb") as file:
            data = file.read(MAXIMUM_BYTES + 1)  # no more, as a device may be endless
    except FileNotFoundError:
        raise CfgError(path, None, "no such file; expected a Darknet cfg, for example cfg/tiny.cfg") from None
    except OSError as error:
        raise CfgError(path, None, f"cannot be read: {error.strerror}") from None
    if b"\0" in data:
        raise CfgError(path, None, "this is a binary file; expected a Darknet cfg, which is text (is it the weights?)")
    if len(data) > MAXIMUM_BYTES:
        raise CfgError(path, None, f"this file has more than {MAXIMUM_BYTES:,} bytes, too many for a cfg")
    # A byte that is no UTF-8 can only matter in a comment; in a name or value it is caught where that is looked up.
    return parse_cfg(data.decode("utf-8-sig", errors="replace"), path)


def parse_cfg(text: str, path: str = "<text>") -> Cfg:
    r"""Split the text of a cfg file into sections; `path` is what error messages call it (see `read_cfg`).

    Examples
    --------
    A network without a file:

    >>> from minidarknet import Network, parse_cfg
    >>> cfg = parse_cfg("[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nfilters=4\nsize=3\n[avgpool]")
    >>> network = Network.from_cfg(cfg)
    >>> [(layer.kind, str(layer.out_shape)) for layer in network.layers]
    [('convolutional', '6 x 6 x 4'), ('avgpool', '1 x 1 x 4')]
    """
    sections: list[Section] = []
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, raw in enumerate(lines, start=1):
        line = "".join(raw.replace(";", "#").split("#", 1)[0].split())
        if not line:
            continue
        if line.startswith("["):
            if not line.endswith("]") or len(line) == 2:
                raise CfgError(path, number, f"'{quoted(line)}' is no section header; expected for example '[conv]'")
            sections.append(Section(line[1:-1], path, number))
            continue
        if not sections:
            raise CfgError(path, number, f"'{quoted(line)}' stands before the first section; expected '[net]' first")
        key, equals, value = line.partition("=")
        if not (key and equals and value):
            raise CfgError(
                path, number, f"cannot read '{quoted(line)}'; expected 'key=value', '[section]' or '# comment'"
            )
        entries = sections[-1].entries
        if key in entries:
            raise sections[-1].error(
                f"has '{quoted(key)}' twice, on line {entries[key].line} (={quoted(entries[key].value)}) and on line "
                f"{number} (={quoted(value)}); remove one (Darknet takes the first)",
                key,
            )
        entries[key] = Entry(value, number)
    if not sections:
        raise CfgError(path, None, "the file is empty; expected a Darknet cfg that begins with '[net]'")
    if sections[0].name not in NET:
        raise sections[0].error("cannot come first; a cfg begins with '[net]'")
    for section in sections[1:]:
        if section.name in NET:
            raise section.error(f"stands here again, after line {sections[0].line}; a cfg has one, at its beginning")
    if len(sections) == 1:
        raise sections[0].error("is the only section; expected layers after it, for example '[convolutional]'")
    return Cfg(path, sections[0], tuple(sections[1:]))
