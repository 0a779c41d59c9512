"""Whatever a cfg says, it becomes a network or an error of ours: at once, and without taking memory.

2,000 damaged copies of real cfgs: lines lost, doubled and swapped, numbers made huge, negative, zero or nonsense, names
changed, bytes put in. The same ones on every run.
"""

from __future__ import annotations

import re
import time
import tracemalloc
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minidarknet import summary
from minidarknet.errors import CfgWarning, MinidarknetError
from minidarknet.layers import LAYERS
from minidarknet.layers.base import Layer
from minidarknet.network import Network
from minidarknet.shapes import MAXIMUM_ELEMENTS

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLES = 2000
SECONDS = 1.0  # the most that one cfg may take, of the processor's time: other programs do not count
BYTES = 50_000_000  # the most that building one may hold at any moment
SMALL = 20_000_000  # networks up to so many bytes and operations are also run
RUNS = 500  # of those, so many at the most

PICTURES = """[net]
height=12
width=10
channels=3
[conv]
batch_normalize=1
filters=8
size=3
pad=1
activation=leaky
[max]
size=2
stride=2
[conv]
filters=8
size=3
padding=1
groups=4
[shortcut]
from=-2
activation=relu
alpha=0.5
[lrn]
size=5
alpha=0.01
[batchnorm]
[upsample]
stride=2
[route]
layers=-1,0
[deconv]
filters=4
size=2
stride=2
[crop]
crop_height=9
crop_width=8
[local]
filters=2
size=3
stride=2
[l2norm]
[reorg]
stride=1
extra=5
[connected]
output=6
batch_normalize=1
activation=selu
[softmax]
groups=2
temperature=2
[cost]
type=sse
"""
VECTORS = """[network]
inputs=20
batch=4
subdivisions=2
learning_rate=0.1
policy=steps
steps=10,20
scales=.1,.1
[conn]
output=9
activation=stair
[dropout]
probability=.4
[activation]
activation=plse
[logistic]
"""
SQUARES = """[net]
height=8
width=8
channels=4
[reorg]
stride=2
reverse=1
[conv]
filters=4
size=3
stride=2
pad=1
numload=2
[reorg]
stride=2
[upsample]
stride=-2
scale=0.25
[avg]
[soft]
"""
SHOWN = """[net]
height=13
width=13
channels=3
[conv]
filters=6
size=1
[crnn]
output_filters=4
hidden_filters=3
[yolo]
mask=0,1
anchors=10,14, 23,27
[region]
[detection]
[iseg]
[rnn]
output=5
[gru]
output=4
[lstm]
output=3
"""
SOURCES = [
    PICTURES,
    VECTORS,
    SQUARES,
    SHOWN,
    *((REPOSITORY / f"cfg/{n}.cfg").read_text() for n in ("tiny", "squeezenet")),
]

NUMBERS = (
    *("0", "1", "2", "3", "5", "7", "-1", "-2", "-7", "16", "99", "224", "-100"),
    *("65536", "99999999", "2147483647") * 4,
    *("2147483648", "-2147483648", "9223372036854775808", "1" * 30, "9" * 5000),
    *("0.5", "1e9", "-1e38", "1e39", "1e-46", "1e999", ".", "nan", "inf", "0x10", "1_0", "", "1,2", "0,-1", ",", "-"),
    *("vier", "٣", "½", "\U0001f600", "\x1b[31m", "1 2", "leaky", "linear"),
)
KEYS = (
    *("filters", "size", "stride", "pad", "padding", "groups", "output", "layers", "from", "height", "width", "inputs"),
    *("batch", "channels", "subdivisions", "alpha", "temperature", "scale", "extra", "flatten", "reverse", "numload"),
    *("dontload", "activation", "type", "crop_width", "probability", "unheard-of", "ключ", "=", "[", "#"),
)
SECTIONS = (*LAYERS, "net", "network", "unheard-of", "", "]", "[conv")
BYTE_STRINGS = (
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"=",
    b"[",
    b"]",
    b"#",
    b"[conv]\n",
    b"\n[max]\nsize=",
    b"\x80",
)

Change = tuple[str, int, int, str, bytes]
changes = st.lists(
    st.tuples(
        st.sampled_from(
            ["number"] * 8 + ["key", "section", "section", "swap", "swap", "delete", "double", "cut", "bytes"]
        ),
        st.integers(0, 999),
        st.integers(0, 999),
        st.one_of(st.sampled_from(NUMBERS), st.integers(-9, 300).map(str)),
        st.sampled_from(BYTE_STRINGS),
    ),
    min_size=1,
    max_size=4,
)


def mutate(text: str, change: Change) -> str:
    """One change of the text; bytes that are no UTF-8 travel as surrogates."""
    action, where, other, number, raw = change
    lines = text.split("\n")
    with_number = [i for i, line in enumerate(lines) if re.search(r"=.*\d", line)]
    headers = [i for i, line in enumerate(lines) if line.startswith("[")]
    i, j = where % len(lines), other % len(lines)
    if action == "number" and with_number:
        i = with_number[where % len(with_number)]
        lines[i] = f"{lines[i].partition('=')[0]}={number}"
    elif action == "key":
        lines[i] = f"{KEYS[other % len(KEYS)]}={lines[i].partition('=')[2] or number}"
    elif action == "section" and headers:
        lines[headers[where % len(headers)]] = f"[{SECTIONS[other % len(SECTIONS)]}]"
    elif action == "swap":
        lines[i], lines[j] = lines[j], lines[i]
    elif action == "delete":
        del lines[i]
    elif action == "double":
        lines.insert(j, lines[i])
    elif action == "cut":
        return text[: len(text) * where // 1000]
    elif action == "bytes":
        place = len(text) * where // 1000
        return text[:place] + raw.decode("utf-8", "surrogateescape") + text[place:]
    return "\n".join(lines)


def work(layer: Layer) -> int:
    """About how many steps the loops of a layer take; Darknet's count of operations leaves most of them out."""
    size = getattr(layer.options, "size", 1)
    shape = layer.in_shape
    if layer.kind == "normalization":
        return shape.size * min(size, shape.channels)
    if layer.kind == "maxpool":
        return layer.out_shape.size * min(layer.size, shape.height) * min(layer.size, shape.width)
    if layer.kind == "deconvolutional":
        return layer.out_shape.size * size * size + layer.weights.size * shape.height * shape.width
    return layer.flops() + layer.out_shape.size + sum(parameter.size for parameter in layer.parameters())


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated") / "mutated.cfg"


#: One convolution for each method of `layers/convolver.py`: Winograd's, single pixels, and direct.
CONVOLUTIONS = """[net]
width=16
height=16
channels=8
[conv]
filters=40
size=3
pad=1
[conv]
filters=3
[conv]
size=3
stride=2
"""


def compile_all_kernels(path: Path) -> None:
    """Compiling takes seconds once, which are not the mutated cfgs'."""
    for source in (PICTURES, VECTORS, SQUARES, CONVOLUTIONS):
        path.write_text(source)
        run(Network.from_cfg(path))


def run(network: Network) -> None:
    network.initialize(seed=1)
    output = network.forward(np.zeros((1, network.input_shape.size), np.float32))
    assert output.shape == (1, *network.output_shape.array_shape)
    assert output.dtype == np.float32


def largest_memory() -> int:
    """The most bytes that this process has had at any moment."""
    resource = pytest.importorskip("resource")
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024


def test_a_damaged_cfg_is_a_network_or_an_error_of_ours(path: Path) -> None:
    compile_all_kernels(path)
    before, outcomes = largest_memory(), Counter[str]()

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.sampled_from(SOURCES), changes)
    def check(text: str, mutations: list[Change]) -> None:
        for change in mutations:
            text = mutate(text, change)
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CfgWarning)
            outcomes["all"] += 1
            start, message = time.process_time(), ""
            network = None
            tracemalloc.start()
            try:
                network = Network.from_cfg(path)
                summary.table(network)
                summary.describe(network, batch=1)
                summary.footer(network, batch=3)
            except MinidarknetError as error:
                message = str(error)
                outcomes["refused"] += 1
            finally:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            assert (network is None) == message.startswith(str(path)), message
            assert time.process_time() - start < SECONDS
            assert peak < BYTES
            if network is None:
                return
            assert all(0 < layer.out_shape.size <= MAXIMUM_ELEMENTS for layer in network.layers)
            if outcomes["run"] >= RUNS:
                return
            if sum(network.memory(1).values()) > SMALL or sum(map(work, network.layers)) > SMALL:
                return
            warnings.simplefilter("ignore", RuntimeWarning)  # numbers that overflow are found by prediction.py
            outcomes["run"] += 1
            message = ""
            try:
                run(network)
            except MinidarknetError as error:
                message = str(error)
                outcomes["not run"] += 1
            assert not message or "cannot be run" in message
            assert time.process_time() - start < 2 * SECONDS

    check()
    assert outcomes["all"] >= EXAMPLES
    assert EXAMPLES // 5 < outcomes["refused"] < EXAMPLES * 9 // 10, "both ends must be met often"
    assert outcomes["run"] - outcomes["not run"] > 100
    assert largest_memory() - before < 4 * BYTES


@pytest.mark.parametrize("source", SOURCES, ids=["pictures", "vectors", "squares", "shown", "tiny", "squeezenet"])
def test_undamaged_they_are_fine(path: Path, source: str) -> None:
    path.write_text(source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = Network.from_cfg(path)
        if source in (PICTURES, VECTORS, SQUARES):
            run(network)


def test_all_section_types_are_covered(path: Path) -> None:
    kinds = set()
    for source in SOURCES:
        path.write_text(source)
        kinds |= {layer.kind for layer in Network.from_cfg(path).layers}
    assert kinds == {layer.kind for layer in LAYERS.values()}, "a new layer wants a section in SOURCES above"
