"""Known networks and their downloads, against a real web server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import logging
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pooch
import pytest

from minidarknet import download, zoo
from minidarknet.download import CHUNK, RemoteFile
from minidarknet.errors import FetchError, InputError, UsageError

WEIGHTS = bytes(range(256)) * 300  # 76,800 bytes: four chunks and a piece
LIST = b"".join(b"class %d\n" % number for number in range(5000))
NAMES = b"".join(b"class %d\n" % number for number in range(1000))
DAMAGED = b"x" + WEIGHTS[1:]


@dataclass
class Site:
    """A web server that can misbehave."""

    url: str
    files: dict[str, bytes] = field(default_factory=lambda: {"toy.weights": WEIGHTS, "toy.list": LIST})
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range header of each request
    bytes_sent: int = 0
    cut_after: int | None = None  # close the connection after so many bytes of the body
    status: int | None = None  # answer everything with this
    ranges: str = "honoured"  # or "ignored", "refused", "shifted"
    chunked: bool = False  # no Content-Length, but HTTP's own chunks


class Handler(http.server.BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site, wanted = self.site, self.headers["Range"]
        site.requests.append((self.path, wanted))
        self.close_connection = True
        body = site.files.get(self.path.rsplit("/", 1)[-1])
        if body is None or site.status is not None:
            return self.send_error(site.status or 404)
        start = int(wanted[len("bytes=") : -1]) if wanted and site.ranges != "ignored" else 0
        if wanted and (site.ranges == "refused" or start >= len(body)):
            return self.send_error(416)
        total = len(body)
        self.send_response(206 if start else 200)
        if start:
            if site.ranges == "shifted":
                start += 1
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if site.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(total - start))
        self.end_headers()
        body = body[start:][: site.cut_after]
        site.bytes_sent += len(body)
        if not site.chunked:
            self.wfile.write(body)
        else:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
            if site.cut_after is None:
                self.wfile.write(b"0\r\n\r\n")
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    handler = type("SiteHandler", (Handler,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.site = Site(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield handler.site
        server.shutdown()
        thread.join()


def toy_weights(url: str) -> RemoteFile:
    return RemoteFile("toy.weights", f"{url}/files/toy.weights", len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())


def toy_names(url: str) -> RemoteFile:
    return RemoteFile("toy.names", f"{url}/data/toy.list", len(NAMES), hashlib.sha256(NAMES).hexdigest(), lines=1000)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, which does not exist yet; no proxy stands between the tests and their server."""
    monkeypatch.setenv("MINIDARKNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "cache"


@pytest.fixture
def toy(site: Site, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a small network whose files are on the site."""
    system = zoo.System("toy", "Toy Network", toy_weights(site.url), toy_names(site.url))
    monkeypatch.setitem(zoo.SYSTEMS, "toy", system)
    return "toy"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def failure(remote: RemoteFile, folder: Path, mirror: str | None = None) -> str:
    with pytest.raises(FetchError) as caught:
        download.fetch_file(remote, folder, mirror)
    assert caught.value.__cause__ is None  # nothing of requests or pooch in a traceback
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def test_fetch_leaves_the_weights_and_the_first_thousand_names(toy: str, folder: Path) -> None:
    assert zoo.fetch(toy) == [folder / "toy.weights", folder / "toy.names"]
    assert contents(folder) == {"toy.weights": WEIGHTS, "toy.names": NAMES}


def test_second_fetch_makes_no_request(toy: str, site: Site) -> None:
    first = zoo.fetch(toy)
    site.requests.clear()
    assert zoo.fetch(toy) == first
    assert site.requests == []


def test_fetched_files_have_the_permissions_of_any_new_file(toy: str, folder: Path) -> None:
    paths = zoo.fetch(toy)
    (folder / "other").touch()
    assert {path.stat().st_mode for path in paths} == {(folder / "other").stat().st_mode}


def test_progress_hears_name_bytes_and_total(toy: str) -> None:
    heard: list[tuple[str, int, int | None]] = []
    zoo.fetch(toy, progress=lambda name, done, total: heard.append((name, done, total)))
    sizes = {"toy.weights": len(WEIGHTS), "toy.names": len(LIST)}
    for name, size in sizes.items():
        steps = [(done, total) for heard_name, done, total in heard if heard_name == name]
        assert steps == [(min(done, size), size) for done in range(CHUNK, size + CHUNK, CHUNK)]


def test_nothing_is_printed_or_logged(
    toy: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(caplog.handler)
    try:
        zoo.fetch(toy)
        assert logger.level == logging.INFO  # as it was before
    finally:
        logger.removeHandler(caplog.handler)
        logger.setLevel(level)
    captured = capfd.readouterr()
    assert (captured.out, captured.err, caplog.text) == ("", "", "")


def test_mirror_has_the_published_names(toy: str, site: Site, folder: Path) -> None:
    zoo.fetch(toy, mirror=f"{site.url}/a/mirror/")
    assert [path for path, _ in site.requests] == ["/a/mirror/toy.weights", "/a/mirror/toy.list"]
    assert contents(folder) == {"toy.weights": WEIGHTS, "toy.names": NAMES}


@pytest.mark.parametrize("mirror", ["pjreddie.com/media", "ftp://host/x", "/home/me", "http://", "http://[x/", ""])
def test_mirror_that_is_no_web_address(toy: str, site: Site, mirror: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--mirror {mirror}: expected an address that begins with http")):
        zoo.fetch(toy, mirror=mirror)
    assert site.requests == []


def test_damaged_file_is_replaced(toy: str, folder: Path) -> None:
    folder.mkdir()
    (folder / "toy.weights").write_bytes(DAMAGED)
    zoo.fetch(toy)
    assert contents(folder) == {"toy.weights": WEIGHTS, "toy.names": NAMES}


def test_damaged_file_stays_until_the_good_one_is_complete(site: Site, folder: Path) -> None:
    folder.mkdir()
    (folder / "toy.weights").write_bytes(DAMAGED)
    site.status = 500
    failure(toy_weights(site.url), folder)
    assert contents(folder) == {"toy.weights": DAMAGED}


@pytest.mark.parametrize("chunked", [False, True])
def test_cut_connection_is_continued_by_the_next_run(site: Site, folder: Path, chunked: bool) -> None:
    site.cut_after, site.chunked = 2 * CHUNK, chunked
    message = failure(toy_weights(site.url), folder)
    assert "the connection was cut after 32,768 of 76,800 bytes.\nRun the same command again to go on from 32,768" in (
        message
    )
    assert contents(folder) == {"toy.weights.part": WEIGHTS[: 2 * CHUNK]}
    site.cut_after, site.bytes_sent = None, 0
    path = download.fetch_file(toy_weights(site.url), folder)
    assert site.requests == [("/files/toy.weights", None), ("/files/toy.weights", "bytes=32768-")]
    assert site.bytes_sent == len(WEIGHTS) - 2 * CHUNK
    assert path.read_bytes() == WEIGHTS
    assert contents(folder) == {"toy.weights": WEIGHTS}


@pytest.mark.parametrize("chunked", [False, True])
def test_cut_list_is_continued_too(site: Site, folder: Path, chunked: bool) -> None:
    site.files["toy.list"], site.cut_after, site.chunked = LIST * 2, CHUNK // 4, chunked
    message = failure(toy_names(site.url), folder)
    assert "the connection was cut after " in message
    site.cut_after = None
    assert download.fetch_file(toy_names(site.url), folder).read_bytes() == NAMES


@pytest.mark.parametrize("ranges", ["ignored", "refused", "shifted"])
def test_server_without_usable_ranges_means_starting_over(site: Site, folder: Path, ranges: str) -> None:
    folder.mkdir()
    (folder / "toy.weights.part").write_bytes(DAMAGED[:1000])  # would show if anything were appended to it
    site.ranges = ranges
    download.fetch_file(toy_weights(site.url), folder)
    first = ("/files/toy.weights", "bytes=1000-")
    assert site.requests == ([first] if ranges == "ignored" else [first, ("/files/toy.weights", None)])
    assert contents(folder) == {"toy.weights": WEIGHTS}


def test_complete_part_needs_no_request(site: Site, folder: Path) -> None:
    folder.mkdir()
    (folder / "toy.weights.part").write_bytes(WEIGHTS)
    download.fetch_file(toy_weights(site.url), folder)
    assert site.requests == []
    assert contents(folder) == {"toy.weights": WEIGHTS}


def test_part_that_is_too_long_is_not_continued(site: Site, folder: Path) -> None:
    folder.mkdir()
    (folder / "toy.weights.part").write_bytes(WEIGHTS + b"!")
    download.fetch_file(toy_weights(site.url), folder)
    assert site.requests == [("/files/toy.weights", None)]
    assert contents(folder) == {"toy.weights": WEIGHTS}


def test_wrong_content_is_refused_and_thrown_away(site: Site, folder: Path) -> None:
    site.files["toy.weights"] = DAMAGED
    message = failure(toy_weights(site.url), folder)
    assert message == (
        f"toy.weights: cannot be downloaded from {site.url}/files/toy.weights: "
        f"what came is another file, with sha256 {hashlib.sha256(DAMAGED).hexdigest()}.\n"
        f"`--mirror URL` takes toy.weights from another folder of the web. Or save toy.weights by hand as\n"
        f"  {folder / 'toy.weights'}\n"
        f"  (76,800 bytes, sha256 {hashlib.sha256(WEIGHTS).hexdigest()})"
    )
    assert contents(folder) == {}


def test_part_of_another_file_is_given_up_after_one_run(site: Site, folder: Path) -> None:
    folder.mkdir()
    (folder / "toy.weights.part").write_bytes(DAMAGED[:1000])
    assert "what came is another file" in failure(toy_weights(site.url), folder)
    assert contents(folder) == {}
    download.fetch_file(toy_weights(site.url), folder)
    assert contents(folder) == {"toy.weights": WEIGHTS}


def test_file_of_another_size_is_not_downloaded(site: Site, folder: Path) -> None:
    site.files["toy.weights"] = b"<html>Please log in</html>"
    folder.mkdir()
    (folder / "toy.weights.part").write_bytes(WEIGHTS[:1000])
    site.ranges = "ignored"
    message = failure(toy_weights(site.url), folder)
    assert "the server has another file, of 26 bytes.\nRun the same command again to go on from 1,000 bytes." in message
    assert contents(folder) == {"toy.weights.part": WEIGHTS[:1000]}


def test_endless_answer_is_left_off(site: Site, folder: Path) -> None:
    site.files = {"toy.weights": WEIGHTS * 100, "toy.list": b"x" * (download.LONGEST_LIST + 1)}
    site.chunked = True
    assert "sends another file, of more than 76,800 bytes" in failure(toy_weights(site.url), folder)
    assert "sends another file, of more than 1,048,576 bytes" in failure(toy_names(site.url), folder)
    assert contents(folder) == {}


@pytest.mark.parametrize(
    ("status", "words"), [(404, "404 Not Found"), (500, "500 Internal Server Error"), (206, "206 Partial Content")]
)
def test_server_that_refuses(site: Site, folder: Path, status: int, words: str) -> None:
    site.status = status
    message = failure(toy_names(site.url), folder)
    assert message == (
        f"toy.names: cannot be downloaded from {site.url}/data/toy.list: the server answered {words}.\n"
        f"`--mirror URL` takes toy.list from another folder of the web. Or save the first 1000 lines of it by hand as\n"
        f"  {folder / 'toy.names'}\n"
        f"  ({len(NAMES):,} bytes, sha256 {hashlib.sha256(NAMES).hexdigest()})"
    )
    assert contents(folder) == {}


def test_connection_refused(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    try:
        raise KeyError("an error that the caller is busy with")
    except KeyError:
        message = failure(toy_weights(url), folder)
    assert message.startswith(
        f"toy.weights: cannot be downloaded from {url}/files/toy.weights: Connection refused.\n`--mirror URL` takes"
    )
    assert contents(folder) == {}


def test_unknown_host(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    assert "http://nowhere.invalid/files/toy.weights: Name or service not known.\n" in (
        failure(toy_weights("http://nowhere.invalid"), folder)
    )


def test_impossible_host(folder: Path) -> None:
    message = failure(toy_weights("http://host"), folder, mirror=f"http://{'a' * 70}")
    assert "label empty or too long" in message
    assert "Or save toy.weights by hand as" in message


def test_silent_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", (0.1, 0.1))
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes the connection and never says a word
        message = failure(toy_weights(f"http://127.0.0.1:{mute.getsockname()[1]}"), folder)
    assert "/files/toy.weights: timed out.\n" in message


def test_server_that_falls_silent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", (1.0, 0.1))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_half() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(CHUNK)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(WEIGHTS))
                connection.sendall(WEIGHTS[:CHUNK])
                connection.recv(1)  # until the client has had enough

        thread = threading.Thread(target=answer_half)
        thread.start()
        message = failure(toy_weights(f"http://127.0.0.1:{server.getsockname()[1]}"), folder)
        thread.join()
    assert "/files/toy.weights: timed out.\nRun the same command again to go on from 16,384 bytes.\n" in message
    assert contents(folder) == {"toy.weights.part": WEIGHTS[:CHUNK]}


def test_folder_that_cannot_be_made(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = failure(toy_weights(site.url), tmp_path / "file" / "cache")
    assert message == (
        f"{tmp_path / 'file' / 'cache' / 'toy.weights'}: cannot be written: Not a directory.\n"
        "Make room or give access there, or name another folder in the environment variable MINIDARKNET_CACHE."
    )


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_write_access(site: Site, folder: Path) -> None:
    folder.mkdir(mode=0o500)
    assert "toy.weights: cannot be written: Permission denied.\n" in failure(toy_weights(site.url), folder)


def test_interrupt_leaves_only_the_part(site: Site, folder: Path) -> None:
    def interrupt(_name: str, done: int, _total: int | None) -> None:
        if done >= 2 * CHUNK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download.fetch_file(toy_weights(site.url), folder, progress=interrupt)
    assert contents(folder) == {"toy.weights.part": WEIGHTS[: 2 * CHUNK]}
    download.fetch_file(toy_weights(site.url), folder)
    assert site.requests[1:] == [("/files/toy.weights", "bytes=32768-")]
    assert contents(folder) == {"toy.weights": WEIGHTS}


@pytest.mark.parametrize("error", [BrokenPipeError("no more readers"), ValueError("a bug in the progress bar")])
def test_errors_of_the_progress_are_not_errors_of_the_download(site: Site, folder: Path, error: Exception) -> None:
    def fail(_name: str, _done: int, _total: int | None) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        download.fetch_file(toy_weights(site.url), folder, progress=fail)
    assert caught.value is error


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_names_are_the_first_lines(ending: bytes) -> None:
    remote = RemoteFile("x.names", "http://host/x.list", 0, "", lines=2)
    assert remote.kept(ending.join([b"kit fox", b"English setter", b"Siberian husky"])) == b"kit fox\nEnglish setter\n"
    assert remote.kept(b"kit fox" + ending + b"English setter") == b"kit fox\nEnglish setter\n"


@pytest.mark.parametrize("name", ["darknet", "alexnet", "squeezenet"])
def test_system_without_published_files(name: str, folder: Path) -> None:
    wanted = rf"no weights .* published for .*: tiny\.\n.*`minidarknet classify {name} FILE.weights photo.jpg --names "
    for ask in (zoo.fetch, zoo.require_weights, zoo.require_names):
        with pytest.raises(FetchError, match=wanted):
            ask(name)
    assert not folder.exists()


def test_unknown_name() -> None:
    for ask in (zoo.fetch, zoo.locate, zoo.cfg_path, zoo.require_weights, zoo.require_names):
        with pytest.raises(
            UsageError, match="no network is called 'yolo': known are tiny, darknet, alexnet, squeezenet"
        ):
            ask("yolo")


def test_table() -> None:
    assert list(zoo.SYSTEMS) == ["tiny", "darknet", "alexnet", "squeezenet", "digits"]
    assert all(name == system.name for name, system in zoo.SYSTEMS.items())


@pytest.mark.parametrize("remote", [zoo.TINY_WEIGHTS, zoo.IMAGENET_NAMES], ids=lambda remote: remote.name)
def test_known_hashes_are_those_of_the_real_files(shared: Path, remote: RemoteFile) -> None:
    content = (shared / "data" / remote.name).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (remote.size, remote.sha256)
    assert remote.kept(content) == content


def test_cfg_of_a_wheel_comes_before_that_of_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "minidarknet"
    monkeypatch.setattr(zoo, "PACKAGE", package)
    with pytest.raises(InputError, match=r"tiny\.cfg is missing from this installation: looked for .* and "):
        zoo.cfg_path("tiny")
    for place in (tmp_path / "cfg" / "tiny.cfg", package / "cfg" / "tiny.cfg"):
        place.parent.mkdir(parents=True)
        place.touch()
        assert zoo.cfg_path("tiny") == place


def test_locate_and_require(toy: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "PACKAGE", tmp_path)
    (tmp_path / "cfg").mkdir()
    cfg = tmp_path / "cfg" / "toy.cfg"
    cfg.touch()
    assert zoo.locate(toy) == zoo.Located(cfg, None, None)
    for ask, what, filename in [
        (zoo.require_weights, "weights", "toy.weights"),
        (zoo.require_names, "class names", "toy.names"),
    ]:
        with pytest.raises(FetchError) as caught:
            ask(toy)
        assert str(caught.value) == (
            f"the {what} of 'toy' are not here yet ({folder / filename}): run `minidarknet fetch toy`"
        )
    zoo.fetch(toy)
    assert zoo.locate(toy) == zoo.Located(cfg, folder / "toy.weights", folder / "toy.names")
    assert zoo.require_weights(toy) == folder / "toy.weights"
    assert zoo.require_names(toy) == folder / "toy.names"


def test_file_of_another_size_does_not_count_as_here(toy: str, folder: Path) -> None:
    zoo.fetch(toy)
    (folder / "toy.weights").write_bytes(WEIGHTS[:-1])
    with pytest.raises(FetchError, match="weights of 'toy' are not here yet"):
        zoo.require_weights(toy)


def test_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MINIDARKNET_CACHE", "~/mine")
    assert zoo.cache_folder() == tmp_path / "mine"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIDARKNET_CACHE", "here")
    assert zoo.cache_folder() == tmp_path / "here"
    monkeypatch.setenv("MINIDARKNET_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert zoo.cache_folder().name == "minidarknet"


def test_import_is_cheap() -> None:
    heavy = "{'pooch', 'requests', 'urllib3', 'platformdirs', 'numba', 'numpy'}"
    program = f"import sys, minidarknet.zoo; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
