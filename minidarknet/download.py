"""One file from the web into a folder of the user: complete and verified under its name, or not there at all.

Pooch sees whether a download is needed, checks the sha256 and renames. What stands here is the part that it lacks: a
downloader that goes on from where an interrupted one stopped, never takes more than the file can have, and says in
plain words what went wrong.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from minidarknet.errors import FetchError, UsageError
from minidarknet.files import atomic_write

if TYPE_CHECKING:  # requests and pooch cost 70 ms, which only a download pays
    from requests import Response, Session

Progress = Callable[[str, int, "int | None"], None]
"""Called with the name of the file, the bytes that are here, and the bytes there will be (None: nobody said)."""

CHUNK = 1 << 14  # bytes between two calls of Progress; what a cut connection may lose at the most
TIMEOUT = (10.0, 30.0)  # seconds: to connect; between two pieces of the answer
LONGEST_LIST = 1 << 20  # bytes; the ImageNet list has a quarter of it


@dataclass(frozen=True)
class RemoteFile:
    """A published file whose content is known beforehand."""

    name: str  # what it is called here
    url: str
    size: int  # in bytes; like the hash, of the file as it is kept here
    sha256: str
    lines: int | None = None  # keep so many lines of the published file; None: all of it, byte for byte

    @property
    def published_name(self) -> str:
        """What it is called there, and on a mirror."""
        return urlsplit(self.url).path.rsplit("/", 1)[-1]

    @property
    def longest(self) -> int:
        """The most bytes that a server may send for it."""
        return self.size if self.lines is None else LONGEST_LIST

    def kept(self, published: bytes) -> bytes:
        """The bytes that are kept of the published ones."""
        if self.lines is None:
            return published
        return b"".join(line + b"\n" for line in published.splitlines()[: self.lines])


def fetch_file(remote: RemoteFile, folder: Path, mirror: str | None = None, progress: Progress | None = None) -> Path:
    """Download a file unless it is there already, with the right hash.

    Parameters
    ----------
    remote
        Which file.
    folder
        Where to put it; made if needed. An unfinished download waits there as `<name>.part` for the next call.
    mirror
        Address of a folder on the web to take the file from, instead of where it was published.
    progress
        Told about each piece that comes in.

    Returns
    -------
    Path
        The complete file.

    Raises
    ------
    FetchError
        It could not be downloaded or written, or is another file than expected.
    UsageError
        `mirror` is no address.
    """
    url = remote.url if mirror is None else _on_mirror(remote, mirror)
    part = folder / f"{remote.name}.part"
    import pooch

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _silent(pooch.get_logger()):
            downloader = partial(_download, remote, part, progress)
            pooch.retrieve(url, f"sha256:{remote.sha256}", remote.name, folder, downloader=downloader)
    except (FetchError, BrokenPipeError):  # a broken pipe is about the printing of the progress
        raise
    except OSError as error:
        message = f"{folder / remote.name}: cannot be written: {_in_words(error)}.\n"
        advice = "Make room or give access there, or name another folder in the environment variable MINIDARKNET_CACHE."
        raise FetchError(message + advice) from None
    return folder / remote.name


def _download(remote: RemoteFile, part: Path, progress: Progress | None, url: str, output: str, _pooch: object) -> None:
    """Write the file to `output`, which Pooch renames. The last three arguments are those of all Pooch downloaders.

    A part with a wrong hash is thrown away, or the next call would go on with it for ever.
    """
    import requests
    import urllib3

    try:
        with requests.Session() as session:
            _complete(session, remote, part, progress, url)
    except _Refused as error:
        raise FetchError(_message(remote, url, part, str(error))) from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:  # the latter: impossible host names
        raise FetchError(_message(remote, url, part, _in_words(error))) from None
    content = remote.kept(part.read_bytes())
    if (found := hashlib.sha256(content).hexdigest()) != remote.sha256:
        part.unlink()
        raise FetchError(_message(remote, url, part, f"what came is another file, with sha256 {found}"))
    with atomic_write(output) as file:
        file.write(content)
    part.unlink(missing_ok=True)


class _Refused(Exception):
    """The server's answer cannot be used; the message says why."""


def _complete(session: Session, remote: RemoteFile, part: Path, progress: Progress | None, url: str) -> None:
    """Append to `part` what it still lacks."""
    from requests.exceptions import ChunkedEncodingError

    here = part.stat().st_size if part.exists() else 0
    if remote.lines is None and here == remote.size:
        return  # an earlier run was stopped after the last byte
    here, total, answer = _ask(session, url, here if here < remote.longest else 0)
    wanted = remote.size if remote.lines is None else total
    cut = False
    with answer:
        if total is not None and total != wanted:
            raise _Refused(f"the server has another file, of {total:,} bytes")
        with open(part, "ab" if here else "wb") as file:
            try:
                for chunk in answer.iter_content(CHUNK):
                    here += len(chunk)
                    if here > remote.longest:
                        break
                    file.write(chunk)
                    if progress is not None:
                        progress(remote.name, here, wanted)
            except ChunkedEncodingError:  # also what a reset connection and a short body are called
                cut = True
    if here > remote.longest:
        part.unlink()
        raise _Refused(f"the server sends another file, of more than {remote.longest:,} bytes")
    if here != wanted and (cut or wanted is not None):
        raise _Refused(f"the connection was cut after {here:,} {f'of {wanted:,} ' if wanted else ''}bytes")


def _ask(session: Session, url: str, start: int) -> tuple[int, int | None, Response]:
    """Request the bytes of `url` from `start` on: where the answer begins, how long all of it is, the answer."""
    headers = {"Accept-Encoding": "identity"}  # positions are those of the file, not of a compressed stream
    if start:
        headers["Range"] = f"bytes={start}-"
    answer = session.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    if answer.status_code == 200:  # all of it, whether a range was asked for or not
        length = answer.headers.get("Content-Length", "") if "Content-Encoding" not in answer.headers else ""
        return 0, int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None, answer
    place = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18})", answer.headers.get("Content-Range", ""))
    if start and answer.status_code == 206 and place is not None and int(place[1]) == start:
        return start, int(place[2]), answer
    answer.close()
    if start and answer.status_code in (206, 416):  # another range than the one asked for, or none: from the beginning
        return _ask(session, url, 0)
    raise _Refused(f"the server answered {answer.status_code} {answer.reason}")


def _on_mirror(remote: RemoteFile, mirror: str) -> str:
    """The address of a file in the folder `mirror` of the web."""
    try:
        parts = urlsplit(mirror)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"--mirror {mirror}: expected an address that begins with http:// or https://")
    return f"{mirror.rstrip('/')}/{remote.published_name}"


def _message(remote: RemoteFile, url: str, part: Path, reason: str) -> str:
    """What was asked for, what happened, and all that one can do about it."""
    here = part.stat().st_size if part.exists() else 0
    again = f"Run the same command again to go on from {here:,} bytes.\n" if here else ""
    content = remote.published_name if remote.lines is None else f"the first {remote.lines} lines of it"
    return (
        f"{remote.name}: cannot be downloaded from {url}: {reason}.\n{again}"
        f"`--mirror URL` takes {remote.published_name} from another folder of the web. "
        f"Or save {content} by hand as\n  {part.with_name(remote.name)}\n"
        f"  ({remote.size:,} bytes, sha256 {remote.sha256})"
    )


def _in_words(error: BaseException) -> str:
    """The innermost cause of an error, such as "Connection refused", without the layers around it.

    Requests puts the cause into `args`; `__context__` would lead on to errors that our caller is handling.
    """
    while isinstance(inner := error.__cause__ or next(iter(error.args), None), BaseException):
        error = inner
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Keep a logger quiet for a while: printing belongs to the command line."""
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
