"""Reading a cfg file: what is accepted, and that every mistake is told with its place and what was expected."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest

from conftest import shared_folder
from minidarknet.cfg import MAXIMUM_BYTES, parse_cfg, read_cfg
from minidarknet.errors import CfgError, CfgWarning, InputError, UsageError
from minidarknet.layers import LAYERS
from minidarknet.memory import mebibytes, memory_limit
from minidarknet.network import Network
from minidarknet.shapes import Shape

NET = "[net]\nheight=8\nwidth=8\nchannels=3\n"  # the first layer's header is line 5
REPOSITORY = Path(__file__).resolve().parent.parent


def build(text: str) -> Network:
    return Network.from_cfg(parse_cfg(text, "net.cfg"))


def assert_refused(text: str, place: str, *words: str) -> None:
    """The error begins with the place, and all the words follow in this order."""
    with pytest.raises(CfgError) as caught:
        build(text)
    message = str(caught.value)
    assert message.startswith(f"{place}: "), message
    position = len(place)
    for word in words:
        position = message.find(word, position)
        assert position >= 0, f"{word!r} is missing (or too early) in {message!r}"


# -- what is accepted -----------------------------------------------------------------------------------------------

PLAIN = NET + "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=leaky\n[route]\nlayers=-1,0\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("=", " = "),
        PLAIN.replace("\n", "\n\t "),
        PLAIN.replace("-1,0", " - 1 ,\t0 ").replace("leaky", "l e a k y"),
        PLAIN.replace("[route]", " [ route ] "),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", "\n\n\n"),
        PLAIN.rstrip("\n"),
        PLAIN.replace("\n", " # a comment; with more = signs\n"),
        PLAIN.replace("\n", ";[net]\n"),
        "# first\n; second\n" + PLAIN,
        PLAIN.replace("[net]", "[network]").replace("convolutional", "conv"),
        PLAIN.replace("4", "+4").replace("size=3", "size=003"),
        PLAIN.replace("size=3", f"size={'0' * 5000}3"),  # Python's int() refuses so many digits
    ],
    ids=range(14),
)
def test_other_ways_to_write_the_same(text: str) -> None:
    assert [layer.options for layer in build(text).layers] == [layer.options for layer in build(PLAIN).layers]
    assert build(text).options == build(PLAIN).options


def test_a_byte_order_mark_and_foreign_bytes_in_comments(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    path.write_bytes(b"\xef\xbb\xbf" + PLAIN.encode() + b"# caf\xe9\n")
    assert [section.name for section in read_cfg(path).layers] == ["convolutional", "route"]


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("conv", "convolutional"),
        ("deconv", "deconvolutional"),
        ("conn", "connected"),
        ("max", "maxpool"),
        ("avg", "avgpool"),
        ("soft", "softmax"),
        ("lrn", "normalization"),
    ],
)
def test_short_section_names(alias: str, name: str) -> None:
    assert LAYERS[alias] is LAYERS[name]
    assert build(f"{NET}[{alias}]\n").layers[0].kind == name


def test_lines_and_values_as_written() -> None:
    cfg = parse_cfg("#\n[net]\r\nheight = 8\n\n[conv]\nfilters=4 # four", "net.cfg")
    assert (cfg.path, cfg.net.line, cfg.net.entries["height"].line, cfg.layers[0].line) == ("net.cfg", 2, 3, 5)
    assert cfg.layers[0].entries["filters"].value == "4"


def test_numbers_lists_and_switches() -> None:
    text = NET.replace("\n", "\nlearning_rate=.5\nmomentum=5.\ndecay=-1e-3\nsteps=10,20\nscales=.1,1\n", 1)
    options = build(text + "adam=2\nrandom=-0\n[conv]\n").options
    assert (options.learning_rate, options.momentum, options.decay) == (0.5, 5.0, -0.001)
    assert (options.steps, options.scales) == ((10, 20), (0.1, 1.0))
    assert (options.adam, options.random) == (True, False)  # as in C, any other number than 0 is true


def test_defaults() -> None:
    options = build(NET + "[conv]\n[activation]\n").options
    assert (options.batch, options.subdivisions, options.policy, options.power) == (1, 1, "constant", 4)
    assert (options.learning_rate, options.momentum, options.decay) == (0.001, 0.9, 0.0001)
    layers = build(NET + "[conv]\n[max]\n[activation]\n[connected]\n[softmax]\n").layers
    assert [getattr(layer.options, "activation", None) for layer in layers] == [
        *("logistic", None, "linear", "logistic", None),
    ]


def test_an_input_that_is_no_image() -> None:
    assert build("[net]\ninputs=7\n[connected]\n").input_shape == Shape.flat(7)


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        # the file as a whole
        ("", "net.cfg", ["is empty", "[net]"]),
        ("# nothing\n;\n\n", "net.cfg", ["is empty", "[net]"]),
        (NET, "net.cfg:1", ["[net]", "only section", "[convolutional]"]),
        ("\n[conv]\n[max]\n", "net.cfg:2", ["[conv]", "cannot come first", "[net]"]),
        (NET + "[conv]\n\n[net]\n", "net.cfg:7", ["[net]", "again", "line 1"]),
        # lines
        ("#\nbatch=1\n" + NET, "net.cfg:2", ["batch=1", "before the first section", "[net]"]),
        (NET + "[conv]\nfilters\n", "net.cfg:6", ["cannot read 'filters'", "key=value"]),
        (NET + "[conv]\nfilters=\n", "net.cfg:6", ["cannot read 'filters='", "key=value"]),
        (NET + "[conv]\nfilters= # 4\n", "net.cfg:6", ["cannot read 'filters='", "key=value"]),
        (NET + "[conv]\n=4\n", "net.cfg:6", ["cannot read '=4'", "key=value"]),
        (NET + "[conv\n", "net.cfg:5", ["'[conv'", "no section header", "[conv]"]),
        (NET + "[]\n", "net.cfg:5", ["'[]'", "no section header"]),
        (NET + "[conv]=1\n", "net.cfg:5", ["'[conv]=1'", "no section header"]),
        (NET + "conv]\n", "net.cfg:5", ["cannot read 'conv]'", "[section]"]),
        (
            NET + "[conv]\nsize=1\nfilters=4\nsize=3\n",
            "net.cfg:6",
            ["[conv]", "'size' twice", "line 6", "=1", "line 8", "=3", "Darknet takes the first"],
        ),
        # names
        (
            NET + "[convolution]\n",
            "net.cfg:5",
            ["[convolution]", "no section that minidarknet knows", "'convolutional'"],
        ),
        (NET + "[qqqq]\n", "net.cfg:5", ["[qqqq]", "no section that minidarknet knows"]),
        (NET + "[conv]\n[route]\n", "net.cfg:6", ["[route]", "needs 'layers'", "layers to take"]),
        (NET + "[conv]\n[shortcut]\nalpha=1\n", "net.cfg:6", ["[shortcut]", "needs 'from'", "layer to add"]),
        # types
        (NET + "[conv]\nfilters=4.5\n", "net.cfg:6", ["[conv]", "filters=4.5", "expected a whole number"]),
        (NET + "[conv]\nfilters=four\n", "net.cfg:6", ["filters=four", "expected a whole number", "from 1 to"]),
        (NET + "[conv]\nfilters=\u0664\n", "net.cfg:6", ["filters=\u0664", "expected a whole number"]),
        (NET + "[conv]\nfilters=4_0\n", "net.cfg:6", ["filters=4_0", "expected a whole number"]),
        (NET + "[conv]\nfilters=0x10\n", "net.cfg:6", ["filters=0x10", "expected a whole number"]),
        (NET + "[conv]\npad=yes\n", "net.cfg:6", ["pad=yes", "expected 0 or 1"]),
        (NET + "[lrn]\nalpha=x\n", "net.cfg:6", ["[lrn]", "alpha=x", "expected a number"]),
        (NET + "[lrn]\nalpha=nan\n", "net.cfg:6", ["alpha=nan", "expected a number"]),
        (NET + "[lrn]\nalpha=inf\n", "net.cfg:6", ["alpha=inf", "expected a number"]),
        (NET + "[lrn]\nalpha=1e39\n", "net.cfg:6", ["alpha=1e39", "expected a number that fits into 32 bits"]),
        (NET + "[lrn]\nalpha=1e999\n", "net.cfg:6", ["alpha=1e999", "expected a number that fits into 32 bits"]),
        (NET + "[lrn]\nalpha=.\n", "net.cfg:6", ["alpha=.", "expected a number"]),
        (NET + "[conv]\n[route]\nlayers=0,x\n", "net.cfg:7", ["layers=0,x", "list like 1,2,3", "whole number"]),
        (NET + "[conv]\n[route]\nlayers=0,\n", "net.cfg:7", ["layers=0,", "list like 1,2,3", "whole number"]),
        ("[net]\nscales=.1,x\n[conv]\n", "net.cfg:2", ["[net]", "scales=.1,x", "list like 1,2,3", "a number"]),
        ("[net]\nsteps=5,-1\n[conv]\n", "net.cfg:2", ["steps=5,-1", "each a whole number, 0 or more"]),
        # words
        (NET + "[conv]\nactivation=leeky\n", "net.cfg:6", ["activation=leeky", "linear, logistic", "'leaky'"]),
        (NET + "[cost]\ntype=sum\n", "net.cfg:6", ["[cost]", "type=sum", "sse, L1, smooth, masked, seg, wgan"]),
        ("[net]\npolicy=sig\n[conv]\n", "net.cfg:2", ["[net]", "policy=sig", "constant, step", "'sigmoid'"]),
        # bounds
        (NET + "[conv]\nfilters=0\n", "net.cfg:6", ["filters=0", "expected a whole number from 1 to 2,147,483,647"]),
        (NET + "[conv]\nstride=-1\n", "net.cfg:6", ["stride=-1", "from 1 to"]),
        (NET + "[max]\npadding=-2\n", "net.cfg:6", ["padding=-2", "from -1 to"]),
        (NET + "[conv]\nfilters=2147483648\n", "net.cfg:6", ["filters=2147483648", "32 bits from 1 to"]),
        (NET + f"[conv]\nfilters={'9' * 5000}\n", "net.cfg:6", ["filters=9", "...: expected", "32 bits"]),
        (NET + "[dropout]\nprobability=1.5\n", "net.cfg:6", ["probability=1.5", "expected a number from 0 to 1"]),
        ("[net]\nburn_in=-1\n[conv]\n", "net.cfg:2", ["burn_in=-1", "expected a whole number, 0 or more"]),
        ("[net]\nmax_batches=1" + "0" * 17, "net.cfg:1", ["only section"]),
        ("[net]\nmax_batches=3000000000\n[conv]\n", "net.cfg:2", ["max_batches", "fits into 32 bits, 0 or more"]),
        ("[net]\nbatch=0\n[conv]\n", "net.cfg:2", ["batch=0", "from 1 to"]),
        ("[net]\nsubdivisions=0\n[conv]\n", "net.cfg:2", ["subdivisions=0", "expected a whole number, 1 or more"]),
        (
            "[net]\nbatch=7\nsubdivisions=2\n[conv]\n",
            "net.cfg:3",
            ["[net]", "batch=7", "not a multiple of subdivisions=2", "batch=6"],
        ),
        ("[net]\nsubdivisions=4\n[conv]\n", "net.cfg:2", ["batch=1", "subdivisions=4", "batch=4"]),
        # the input
        ("[net]\nbatch=1\n[conv]\n", "net.cfg:1", ["[net]", "no input size", "height, width and channels, or inputs"]),
        ("[net]\nheight=8\nwidth=8\n[conv]\n", "net.cfg:1", ["[net]", "no channels", "together"]),
        ("[net]\nchannels=8\n[conv]\n", "net.cfg:1", ["no height and no width", "together"]),
        (
            "[net]\nheight=99999\nwidth=99999\nchannels=3\n[conv]\n",
            "net.cfg:1",
            ["[net]", "99999 x 99999 x 3", "29,999,400,003 numbers", "more than 2,147,483,647"],
        ),
        # pointing at layers
        (
            NET + "[conv]\n[route]\nlayers=1\n",
            "net.cfg:7",
            ["[route]", "(layer 1)", "layers=1", "not before", "-1 to 0"],
        ),
        (NET + "[conv]\n[route]\nlayers=-1,5\n", "net.cfg:7", ["layers=5 points to layer 5", "not before this layer"]),
        (NET + "[conv]\n[route]\nlayers=-2\n", "net.cfg:7", ["layers=-2 points to layer -1", "before the first"]),
        (NET + "[route]\nlayers=-1\n", "net.cfg:6", ["(layer 0)", "layers=-1", "no layer stands before the first"]),
        (NET + "[conv]\n[conv]\n[shortcut]\nfrom=2\n", "net.cfg:8", ["(layer 2)", "from=2", "not before", "-2 to 1"]),
        (NET + "[conv]\n[shortcut]\nfrom=9\n", "net.cfg:7", ["from=9", "layer 9", "not before this layer"]),
        (NET + "[conv]\n[shortcut]\nfrom=-3\n", "net.cfg:7", ["from=-3", "layer -2", "before the first"]),
        # shapes
        (NET + "[conv]\nsize=9\n", "net.cfg:5", ["[conv]", "(layer 0)", "empty output", "8 x 8 x 3", "0 x 0 x 1"]),
        (NET + "[max]\nsize=9\npadding=0\n", "net.cfg:5", ["[max]", "empty output", "8 x 8 x 3"]),
        (NET + "[deconv]\nsize=2\npadding=9\n", "net.cfg:5", ["[deconv]", "empty output"]),
        (NET + "[local]\nsize=9\n", "net.cfg:5", ["[local]", "empty output"]),
        (NET + "[upsample]\nstride=-9\n", "net.cfg:5", ["[upsample]", "empty output"]),
        (NET + "[upsample]\nstride=0\n", "net.cfg:6", ["[upsample]", "stride=0", "expected for example 2"]),
        (NET + "[crop]\ncrop_height=9\n", "net.cfg:5", ["[crop]", "cannot cut 1 x 9", "8 x 8 x 3"]),
        (NET + "[conv]\ngroups=2\n", "net.cfg:6", ["groups=2", "does not divide the 3 channels of the input"]),
        (NET + "[conv]\ngroups=3\nfilters=4\n", "net.cfg:6", ["groups=3", "does not divide the 4 filters"]),
        (NET + "[softmax]\ngroups=5\n", "net.cfg:6", ["groups=5", "does not divide its 192 numbers"]),
        (NET + "[softmax]\ntemperature=0\n", "net.cfg:6", ["temperature=0", "divide by zero"]),
        (NET + "[reorg]\nstride=2\n", "net.cfg:6", ["[reorg]", "channels that 4 divides", "8 x 8 x 3"]),
        (NET + "[reorg]\nstride=3\nflatten=1\n", "net.cfg:6", ["stride=3", "does not divide the sides of 8 x 8 x 3"]),
        (
            NET + "[conv]\n[max]\nstride=2\n[route]\nlayers=0,1\n[conv]\n",
            "net.cfg:10",
            ["[conv]", "(layer 3)", "needs an image", "80 numbers without width and height"],
        ),
        (NET + "[softmax]\n[max]\n", "net.cfg:6", ["[max]", "needs an image", "192 numbers"]),
        (
            "[net]\nheight=8\nwidth=6\nchannels=1\n[crop]\ncrop_height=8\ncrop_width=3\n[crop]\n[shortcut]\nfrom=0\n",
            "net.cfg:10",
            ["[shortcut]", "cannot add layer 0", "3 x 8 x 1", "width and height differ by another factor"],
        ),
        # too large
        (NET + "[conv]\nfilters=2000000000\n", "net.cfg:5", ["too large", "output", "128,000,000,000 numbers"]),
        (NET + "[conv]\nsize=99999\npad=1\n", "net.cfg:5", ["too large", "its weights", "29,999,400,003 numbers"]),
        (
            NET + "[connected]\noutput=2147483647\n",
            "net.cfg:5",
            ["too large", "its weights", "of 2,147,483,647 at most"],
        ),
        (NET + "[upsample]\nstride=2147483647\n", "net.cfg:5", ["too large", "output"]),
        (NET + "[local]\nfilters=99999999\n", "net.cfg:5", ["too large"]),
        (NET + "[reorg]\nextra=2147483647\n", "net.cfg:5", ["too large", "output", "2,147,483,839"]),
        (
            NET + "[upsample]\nstride=999\n" + "[route]\nlayers=" + ",".join(["0"] * 99),
            "net.cfg:7",
            ["[route]", "too large", "output"],
        ),
    ],
)
def test_refused(text: str, place: str, words: list[str]) -> None:
    tracemalloc.start()
    try:
        assert_refused(text, place, *words)
        assert tracemalloc.get_traced_memory()[1] < 10e6, "a refusal must not take memory first"
    finally:
        tracemalloc.stop()


def test_messages_are_short_and_printable() -> None:
    for text in ("[%s]\n", "[conv]\n%s\n", "[conv]\nactivation=%s\n", "[conv\n%s", "[conv]\npad=1\npad=%s\n"):
        with pytest.raises(CfgError) as caught:
            build(NET + text % ("\x1b]0;gotcha\x07" + "x" * 100_000))
        assert len(str(caught.value)) < 400
        assert str(caught.value).isprintable()
    with pytest.warns(CfgWarning) as warned:
        build(NET + f"[conv]\n\x1b[2J{'x' * 100_000}=1\n")
    assert str(warned[0].message).isprintable()
    assert len(str(warned[0].message)) < 400


@pytest.mark.parametrize(
    "text",
    [
        "[lrn]\nalpha=" + "1" * 20_000 + "x\n",
        "[lrn]\nalpha=" + "1" * 200_000 + "\n",
        "[" + "x" * 200_000 + "]\n",
        "[conv]\nactivation=" + "x" * 200_000 + "\n",
        "[conv]\n[route]\nlayers=" + "0," * 100_000 + "\n",
    ],
    ids=["no number", "long number", "section", "word", "list"],
)
def test_long_lines_are_refused_at_once(text: str) -> None:
    start = time.process_time()
    with pytest.raises(CfgError):
        build(NET + text)
    assert time.process_time() - start < 1


# -- files that are no cfg ------------------------------------------------------------------------------------------


def test_the_path_is_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "my net.cfg"
    path.write_text(NET + "[conv]\nfilters=x\n")
    with pytest.raises(CfgError, match=r"^.*my net\.cfg:6: \[conv\] filters=x: expected a whole number"):
        Network.from_cfg(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        CfgError, match=r"nowhere\.cfg: no such file; expected a Darknet cfg, for example cfg/tiny\.cfg"
    ):
        read_cfg(tmp_path / "nowhere.cfg")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CfgError, match="cannot be read: Is a directory"):
        read_cfg(tmp_path)


def test_a_binary_file(tmp_path: Path) -> None:
    path = tmp_path / "net.weights"
    path.write_bytes(np.arange(MAXIMUM_BYTES, dtype="<i4").tobytes())
    with pytest.raises(CfgError, match=r"net\.weights: this is a binary file; expected a Darknet cfg"):
        read_cfg(path)


def test_a_huge_file(tmp_path: Path) -> None:
    path = tmp_path / "big.cfg"
    path.write_bytes(b"#" * MAXIMUM_BYTES)
    with pytest.raises(CfgError, match="is empty"):
        read_cfg(path)
    path.write_bytes(b"#" * (MAXIMUM_BYTES + 1))
    with pytest.raises(CfgError, match=r"big\.cfg: this file has more than 262,144 bytes, too many for a cfg"):
        read_cfg(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_an_endless_file_is_read_to_the_limit_only(tmp_path: Path) -> None:
    pipe, written = tmp_path / "pipe.cfg", []
    os.mkfifo(pipe)

    def write() -> None:
        try:
            with open(pipe, "wb", buffering=0) as file:
                for _ in range(100):
                    written.append(file.write(b"# and so on, for ever\n" * 1000))
        except BrokenPipeError:
            pass

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(CfgError, match="too many for a cfg"):
        read_cfg(pipe)
    writer.join()
    assert sum(written) < 2 * MAXIMUM_BYTES


# -- warnings -------------------------------------------------------------------------------------------------------


def test_an_unknown_key_warns_with_its_place_and_the_nearest_name() -> None:
    with pytest.warns(CfgWarning) as warned:
        network = build(NET + "[conv]\nfliters=4\nqqqq=1\n")
    assert [str(warning.message) for warning in warned] == [
        "net.cfg:6: [conv] has no option 'fliters', ignored; did you mean 'filters'?",
        "net.cfg:7: [conv] has no option 'qqqq', ignored",
    ]
    assert network.layers[0].options.filters == 1
    with pytest.warns(CfgWarning, match=r"net\.cfg:5: \[net\] has no option 'subdivision', .* 'subdivisions'"):
        build(NET + "subdivision=2\n[conv]\n")


@pytest.mark.parametrize("name", ["yolo", "region", "detection", "iseg", "rnn", "gru", "lstm", "crnn"])
def test_detectors_and_recurrent_layers_may_say_anything(name: str) -> None:
    network = build(NET + f"[{name}]\nanchors=1,2, 3,4\nwhatever=7\n")
    assert network.layers[0].kind == name
    network.initialize(1)
    with pytest.raises(CfgError, match=rf"^net\.cfg:5: \[{name}\] \(layer 0\) cannot be run: .*table can be printed"):
        network.forward(np.zeros((1, 3, 8, 8)))


@pytest.mark.parametrize(
    "path",
    [*sorted((shared_folder() / "data/cfg").glob("*.cfg")), *sorted((REPOSITORY / "cfg").glob("*.cfg"))],
    ids=lambda path: f"{path.parent.parent.name}-{path.stem}",
)
def test_shipped_cfgs_load_without_a_warning(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Network.from_cfg(path).layers


def test_all_shipped_cfgs_are_there(shared: Path) -> None:
    assert len(list((shared / "data/cfg").glob("*.cfg"))) == 19


def test_the_oddities_of_the_golden_syntax_cfg(golden: Path) -> None:
    with pytest.raises(CfgError, match=r"syntax\.cfg:17: \[conv\] has 'filters' twice, on line 17 .* on line 23 "):
        Network.from_cfg(golden / "layers/syntax.cfg")


# -- memory ---------------------------------------------------------------------------------------------------------


def test_the_memory_limit_refuses_before_anything_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(NET.replace("8", "512") + "[conv]\nfilters=64\nsize=3\npad=1\n")  # 67 MB of output
    monkeypatch.setenv("MINIDARKNET_MEMORY", "40")
    tracemalloc.start()
    try:
        for attempt in (lambda: network.allocate(1), lambda: network.forward(np.zeros((1, 3, 512, 512), np.float32))):
            with pytest.raises(InputError) as caught:
                attempt()
            for word in ("net.cfg: a batch of 1 needs", "outputs 64.0 MiB", "workspace ", "40.0 MiB"):
                assert word in str(caught.value)
            assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()
    monkeypatch.setenv("MINIDARKNET_MEMORY", "120")
    network.allocate(1)
    with pytest.raises(InputError, match="a batch of 2 needs"):
        network.allocate(2)


def test_parameters_are_counted_before_they_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(NET + "[connected]\noutput=100000\n")  # 77 MB of weights
    monkeypatch.setenv("MINIDARKNET_MEMORY", "70")
    with pytest.raises(InputError, match=r"parameters 73\.6 MiB"):
        network.initialize(1)
    assert all(parameter.array is None for _, parameter in network.parameters())


def test_enormous_networks_are_refused_by_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIDARKNET_MEMORY", raising=False)
    network = build("[net]\ninputs=2000000000\n" + "[logistic]\n" * 1000)  # each layer is allowed, all are 8 TB
    with pytest.raises(InputError, match=r"needs 7,[0-9.,]+ GiB .*, more than the .* of this machine"):
        network.allocate(1)


def test_the_memory_limit_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDARKNET_MEMORY", "1.5")
    assert memory_limit() == 3 << 19
    monkeypatch.setenv("MINIDARKNET_MEMORY", "")
    assert 1 << 20 < memory_limit() <= 1 << 62
    for wish in ("lots", "nan", "inf", "0", "-5", "2GB"):
        monkeypatch.setenv("MINIDARKNET_MEMORY", wish)
        with pytest.raises(UsageError, match=f"MINIDARKNET_MEMORY={wish}: expected a number of MiB above 0"):
            memory_limit()


def test_sizes_as_people_read_them() -> None:
    assert mebibytes(29_293_920) == "27.9 MiB"
    assert mebibytes(17 << 30) == "17.0 GiB"
