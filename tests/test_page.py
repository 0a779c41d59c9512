"""The page of a trace: everything is on it, every number is right, and nothing of it is run or asked for by others."""

from __future__ import annotations

import base64
import builtins
import io
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser import Browser, find_chromium
from minidarknet import weights
from minidarknet.benchmark import Machine
from minidarknet.cfg import parse_cfg
from minidarknet.cli import main
from minidarknet.errors import InputError
from minidarknet.prediction import Classifier
from minidarknet.trace.cards import CELLS, LONGEST, map_counts
from minidarknet.trace.limits import Speed, speeds
from minidarknet.trace.page import measure, render, write_page
from minidarknet.trace.pictures import feature_map, heat, over_photo, scaled
from minidarknet.trace.records import Trace, trace

CFG = """\
[net]
height=16
width=16
channels=3
[conv]
filters=6
size=3
pad=1
batch_normalize=1
activation=leaky
[max]
size=2
stride=2
[conv]
filters=5
size=3
pad=1
activation=leaky
[avg]
[softmax]
"""
HOSTILE = "<script>alert(1)</script>"
NAMES = [HOSTILE, 'dog & "cat"', "{{ 7 * 7 }}", "</script><img src=x onerror=alert(2)>", "eel"]


def build() -> Classifier:
    net = Classifier.from_cfg(parse_cfg(CFG, "small.cfg"))
    net.initialize(1)
    net.names, net.preprocess = NAMES, "stretch"
    first = net.layers[0]
    for parameter in first.parameters():
        if parameter.name == "weights":
            parameter.value[[1, 4]] = 0
        parameter.array = parameter.value
    return net


def picture() -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, 16, 16), np.float32)


@pytest.fixture(scope="module")
def net() -> Classifier:
    return build()


@pytest.fixture(scope="module")
def run(net: Classifier) -> Trace:
    return net.trace(picture())


@pytest.fixture(scope="module")
def page(net: Classifier, run: Trace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(path, net, run, f"{HOSTILE}.jpg", ["minidarknet", "explain", "small.cfg", f"{HOSTILE}.jpg"])
    return path


def value_at(text: str, layer: int, channel: int, y: int, x: int) -> float:
    """A number as the page's program reads it, from the two pictures of its map."""
    tag = re.search(rf'<button[^>]*data-layer="{layer}" data-channel="{channel}".*?</button>', text, re.DOTALL)
    assert tag
    found = dict(re.findall(r'data-(low|high|fine)="([^"]*)"', tag[0]))
    source = re.search(r'<img src="([^"]*)"', tag[0])
    assert source
    levels = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))
        for address in (source[1], found["fine"])
    ]
    code = 256 * int(levels[0][y, x]) + int(levels[1][y, x])
    return float(found["low"]) + code / 65535 * (float(found["high"]) - float(found["low"]))


def last(run: Trace, layer: int) -> Any:
    return [stage for stage in run.stages if stage.layer == layer][-1]


# -- without a browser -----------------------------------------------------------------------------------------------


def test_every_layer_has_its_card_and_every_map_its_numbers(page: Path, net: Classifier, run: Trace) -> None:
    text = page.read_text()
    for layer in net.layers:
        assert f'<article class="card" id="layer-{layer.index}">' in text
    assert "6 filters of 3x3x3 over 16x16: 82,944 operations" in text
    assert "2 x 27 x 6 x 256 = 82,944 operations" in text
    for layer in (0, 1, 2):
        array = last(run, layer).array[0]
        shown = [int(c) for c in re.findall(rf'data-layer="{layer}" data-channel="(\d+)"', text)]
        assert sorted(shown) == list(range(len(array)))
        for channel in shown:
            y, x = 3 * channel % array.shape[1], 5 * channel % array.shape[2]
            reach = float(np.ptp(array[channel]))
            assert value_at(text, layer, channel, y, x) == pytest.approx(array[channel, y, x], abs=reach / 65535 + 1e-7)


def test_the_page_answers_the_three_questions(net: Classifier, run: Trace) -> None:
    measured = measure(net, run.input)
    text = render(net, run, "a.png", ["minidarknet", "explain", "small.cfg", "a.png"], measured)
    plain = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", text.split("<main>")[1]))
    times = {layer.index: sum(s.seconds for s in run.stages if s.layer == layer.index) for layer in net.layers}
    slowest = max(times, key=lambda index: times[index])
    answer = plain.split("Which layer takes longest, and why?")[1].split("Which layer sees")[0]
    assert f"layer {slowest} [{net.layers[slowest].kind}]" in answer
    assert "bound by" in answer
    assert "layer 3 [avgpool] is the first. Before it, the middle of layer 2 [convolutional] sees most: 8 x 8" in plain
    assert "layer 0 [convolutional]: 1, 4. layer" not in plain
    assert "layer 0 [convolutional]: 1, 4 (2 of 6)" in plain
    assert "layer 1 [maxpool]: the same 2, as it only passes them on" in plain


def test_nothing_is_asked_for_and_nothing_hostile_is_run(page: Path) -> None:
    text = page.read_text()
    assert not re.findall(r"https?:|//\w|@import|url\(", re.sub(r"data:image/png;base64,[\w+/=]*", "", text))
    assert HOSTILE not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "{{ 7 * 7 }}" in text
    assert "<img src=x" not in text
    assert text.count("<script") == text.count("</script>") == 2
    assert "default-src 'none'" in text


def test_a_page_of_a_middling_network_is_below_three_megabytes() -> None:
    text = CFG.replace("height=16\nwidth=16", "height=224\nwidth=224").replace("filters=6", "filters=64")
    net = Classifier.from_cfg(parse_cfg(text.replace("filters=5", "filters=128"), "middling.cfg"))
    net.initialize(1)
    net.preprocess = "stretch"
    run = net.trace(np.random.default_rng(0).random((1, 3, 224, 224), np.float32), runs=1)
    size = len(render(net, run, "noise.png", ["minidarknet"]).encode())
    assert 1_000_000 < size < 3_000_000


def test_the_largest_maps_give_way(run: Trace) -> None:
    def stage(channels: int, side: int) -> Any:
        return type(run.stages[0])(**{**run.stages[0].__dict__, "shape": (1, channels, side, side)})

    assert map_counts([stage(64, 8), stage(3, 8), stage(1000, 1)]) == [12, 3, 0]
    counts = map_counts([stage(64, 300), stage(64, 100), stage(64, 10)])
    assert counts[0] < counts[1] <= counts[2] == 12
    assert counts[0] >= 4
    assert sum(n * side**2 for n, side in zip(counts, (300, 100, 10), strict=True)) <= CELLS
    assert map_counts([stage(64, 300)] * 20) == [1] * 20


def test_maps_keep_their_numbers_and_large_ones_every_other_row() -> None:
    numbers = np.linspace(-3, 5, 700 * 10).reshape(700, 10).astype(np.float32)
    found = feature_map(numbers, LONGEST)
    assert (found.step, found.height, found.width) == (3, 234, 4)
    assert (found.low, found.high) == (-3, pytest.approx(5, abs=0.02))
    odd = np.array([[1, np.nan], [np.inf, -np.inf]], np.float32)
    np.testing.assert_array_equal(scaled(odd), 0)
    odd[0, 1] = 3
    np.testing.assert_array_equal(scaled(odd), [[0, 1], [1, 0]])
    assert feature_map(np.full((2, 2), np.nan, np.float32), 9).low == 0


def test_heat_is_orange_for_and_blue_against() -> None:
    layer = np.asarray(heat(np.array([[1.0, 0.0, -0.5]], np.float32), 1, 3))
    assert layer[0, 0].tolist() == [255, 88, 0, 191]
    assert layer[0, 2, 2] == 255
    assert 0 < layer[0, 2, 3] < layer[0, 0, 3]
    assert np.asarray(heat(np.zeros((2, 2), np.float32), 4, 4))[..., 3].max() == 0
    assert over_photo(picture()[0], np.ones((2, 2), np.float32)).size == (320, 320)


def test_what_bounds_a_layer(net: Classifier, run: Trace) -> None:
    stages = [type(s)(**{**s.__dict__, "seconds": 1e-3 if s.name == "products" else 1e-4}) for s in run.stages]
    conv, pool = speeds(net.layers, stages, Machine(2, 256, flops=82_944e3, bandwidth=1e12))[:2]
    assert conv.seconds == pytest.approx(1.3e-3)
    assert conv.moved == 4 * (3 * 256 + 6 * 256 + 162 + 24) + 3 * 2 * 4 * 6 * 256
    assert (conv.bound, conv.reached) == ("arithmetic", pytest.approx(1 / 1.3))
    assert conv.reason().endswith("it is bound by arithmetic, and reaches 77\N{NO-BREAK SPACE}% of that limit.")
    assert "its 82,944 operations would take 1\N{NO-BREAK SPACE}ms" in conv.reason()
    assert pool.bound == "memory"
    assert pool.gflops is None
    assert pool.reason().startswith("There is next to nothing to calculate")
    assert "In so short a time, starting its loops on 2 threads counts." in pool.reason()
    slow = Speed(net.layers[0], 1.0, 1.0, 10**9, 8, 4, Machine(2, 256, 1e10, 1e12))
    assert slow.reason().endswith("What takes the rest, these numbers do not tell.")
    cached = Speed(net.layers[1], 1.0, 1.0, 0, 2 * 10**9, 1, Machine(2, 256, 1e10, 1e9))
    assert cached.reason().endswith("That is more than memory gives: its numbers were still in a cache.")
    unknown = speeds(net.layers, stages, None)[0]
    assert (unknown.bound, unknown.reached, unknown.reason()) == ("", None, "")


def test_what_no_page_can_be_made_of(net: Classifier, run: Trace) -> None:
    words = ["minidarknet"]
    with pytest.raises(InputError, match=r"a page shows feature maps; the trace has kept no arrays \(keep=True\)"):
        render(net, net.trace(picture(), keep=False), "a.png", words)
    with pytest.raises(InputError, match="a page shows all 5 layers; the trace ends behind layer 2"):
        render(net, Trace(run.cfg, run.input, [s for s in run.stages if s.layer < 3]), "a.png", words)
    with pytest.raises(InputError, match="a page shows one picture; the trace has 2"):
        render(net, net.trace(np.repeat(picture(), 2, axis=0)), "a.png", words)


def test_a_classifier_traces_pictures_of_any_size() -> None:
    net = build()
    net.trace(picture())
    x = np.random.default_rng(1).random((1, 3, 20, 28), np.float32)
    run = net.trace(x, runs=0)
    assert run.stages[0].shape == (1, 6, 20, 28)
    again = trace(net, x, runs=0)
    for one, other in zip(run.stages, again.stages, strict=True):
        assert one.as_dict() == other.as_dict()
        np.testing.assert_array_equal(one.array, other.array)


def test_a_network_without_a_map_has_a_page_without_grad_cam() -> None:
    text = "[net]\nheight=6\nwidth=6\nchannels=1\n[connected]\noutput=3\nactivation=linear\n[softmax]\n"
    net = Classifier.from_cfg(parse_cfg(text, "flat.cfg"))
    net.initialize(1)
    net.preprocess = "stretch"
    x = np.random.default_rng(0).random((1, 1, 6, 6), np.float32)
    page = render(net, net.trace(x), "a.png", ["minidarknet"])
    assert "No Grad-CAM: flat.cfg: Grad-CAM needs a convolution" in page
    assert 'class="map"' not in page
    assert "3 numbers, each of all 36: 216 operations" in page


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("small.cfg").write_text(CFG)
    weights.save(build(), "small.weights")
    Path("small.names").write_text("\n".join(NAMES) + "\n")
    Image.fromarray((255 * picture()[0].transpose(1, 2, 0)).astype(np.uint8)).save("a.png")
    return tmp_path


ARGUMENTS = ["trace", "small.cfg", "small.weights", "a.png", "--names", "small.names"]


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_command_writes_page_and_pictures(files: Path) -> None:
    wishes = ["--html", "a.html", "--grad-cam", "c.png", "--occlusion", "o.png", "--montage", "m.png", "--class", "eel"]
    assert main([*ARGUMENTS, *wishes, "--zero", "2:0"]) == 0
    text = Path("a.html").read_text()
    assert '"command": "minidarknet explain small.cfg small.weights a.png"' in text
    assert "raises the score of <b>eel</b>" in text
    assert "Channels were silenced: 2:0." in text
    assert pixels("c.png").shape == pixels("o.png").shape == (320, 320, 3)
    assert pixels("m.png").shape[0] > 3 * 168
    assert main([*ARGUMENTS, "--grad-cam", "d.png", "--class", "eel", "--zero", "2:0"]) == 0
    np.testing.assert_array_equal(pixels("c.png"), pixels("d.png"))


@pytest.mark.parametrize(
    ("wishes", "message", "code"),
    [
        (["--html", "no/a.html"], "no/a.html: cannot be written: No such file or directory", 3),
        (["--montage", "no/a.png"], "no/a.png: cannot be written: No such file or directory", 3),
        (["--grad-cam", "no/a.png"], "no/a.png: cannot be written: No such file or directory", 3),
        (["--html", "a.html", "--class", "eagle"], "no class is called 'eagle'", 2),
        (["--class", "eel"], "--class is for --html, --grad-cam and --occlusion; expected one of them", 2),
    ],
)
def test_mistakes(files: Path, wishes: list[str], message: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS, *wishes]) == code
    assert message in capsys.readouterr().err


def test_an_early_end_leaves_no_page(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("q\n"))
    assert main([*ARGUMENTS, "--step", "--html", "a.html"]) == 3
    assert "the trace was ended early" in capsys.readouterr().err
    assert not Path("a.html").exists()


def test_a_missing_jinja2_says_what_to_install(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import_module = builtins.__import__

    def without(name: str, *more: Any) -> ModuleType:
        if name == "jinja2":
            raise ImportError(name)
        return import_module(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main([*ARGUMENTS, "--html", "a.html"]) == 2
    assert "a page needs jinja2: pip install 'minidarknet[page]', or leave --html out" in capsys.readouterr().err


# -- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium or Chrome on this machine")
    with Browser(program) as browser:
        yield browser


def place(opened: Any, selector: str, across: float, down: float) -> tuple[float, float]:
    """Where on the screen a share of an element lies, after scrolling to it."""
    left, top, width, height = opened.evaluate(
        f"(() => {{ const e = document.querySelector({selector!r}); "
        "e.scrollIntoView({block: 'center', behavior: 'instant'}); "
        "const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()"
    )
    return left + across * width, top + down * height


def said(opened: Any, identifier: str) -> str:
    return opened.evaluate(f"document.getElementById({identifier!r}).textContent")


def test_the_page_opens_without_a_word_and_asks_for_nothing(browser: Browser, page: Path, net: Classifier) -> None:
    opened = browser.open(page)
    assert opened.evaluate("document.title") == f"{HOSTILE}.jpg through small"
    assert opened.evaluate("document.querySelectorAll('.card').length") == len(net.layers)
    assert opened.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert opened.evaluate("document.querySelectorAll('#top th')[0].textContent") in NAMES
    assert opened.problems == []
    assert opened.requests == [page.resolve().as_uri()]


def test_pointing_shows_the_number_and_what_it_saw(browser: Browser, page: Path, run: Trace) -> None:
    opened = browser.open(page)
    opened.point(*place(opened, ".map[data-layer='1'][data-channel='3'] img", 2.5 / 8, 5.5 / 8))
    opened.until("document.getElementById('command').textContent")
    assert said(opened, "where") == "layer 1, channel 3, row 5, column 2"
    assert float(said(opened, "value")) == pytest.approx(last(run, 1).array[0, 3, 5, 2], rel=1e-3)
    assert said(opened, "command") == f"minidarknet explain small.cfg '{HOSTILE}.jpg' 1:3,5,2"
    frame = [
        opened.evaluate(f"document.getElementById('saw').getAttribute('{a}')") for a in ("x", "y", "width", "height")
    ]
    assert frame == ["3", "9", "4", "4"]
    assert said(opened, "field") == "saw 4 x 4 pixels"

    x, y = place(opened, ".map[data-layer='1'][data-channel='3'] img", 2.5 / 8, 5.5 / 8)
    opened.point(x, y, click=True)
    opened.until("document.getElementById('probe').classList.contains('held')")
    opened.point(x + 20, y)
    assert said(opened, "where") == "layer 1, channel 3, row 5, column 2"
    opened.press("Escape")
    opened.point(x, y - 20)
    opened.until("document.getElementById('where').textContent !== 'layer 1, channel 3, row 5, column 2'")
    assert opened.problems == []


def test_keys_reach_every_number(browser: Browser, page: Path, run: Trace) -> None:
    opened = browser.open(page)
    before = "document.querySelector('#layer-1 .map')"
    opened.evaluate(f"{before}.focus()")
    opened.press("Tab")
    opened.until("document.getElementById('command').textContent")
    channel = opened.evaluate("document.activeElement.dataset.channel")
    assert said(opened, "where") == f"layer 1, channel {channel}, row 4, column 4"
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowLeft", "ArrowUp"):
        opened.press(key)
    opened.until("document.getElementById('where').textContent.endsWith('row 5, column 3')")
    assert float(said(opened, "value")) == pytest.approx(last(run, 1).array[0, int(channel), 5, 3], rel=1e-3, abs=1e-4)


def test_a_phone_shows_all_of_its_width_and_the_dark_is_dark(browser: Browser, page: Path) -> None:
    opened = browser.open(page, 360, 740)
    assert opened.evaluate("document.documentElement.scrollWidth") == 360
    assert opened.evaluate("getComputedStyle(document.getElementById('probe')).display") == "none"
    opened.point(*place(opened, "#layer-1 .map img", 0.5, 0.5), click=True)
    opened.until("getComputedStyle(document.getElementById('probe')).display === 'grid'")
    light, dark = (
        browser.open(page, dark=is_dark).evaluate("getComputedStyle(document.body).backgroundColor")
        for is_dark in (False, True)
    )
    brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (light, dark)]
    assert brightness[0] > 700
    assert brightness[1] < 120
