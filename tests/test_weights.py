"""Weights files: every header form of Darknet's, the same bytes back, and nothing loaded that does not fit."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import arrays, golden_files
from minidarknet import weights
from minidarknet.cfg import parse_cfg
from minidarknet.errors import InputError, WeightsError
from minidarknet.layers.parameter import Array
from minidarknet.network import Network
from minidarknet.weights import Header

REPOSITORY = Path(__file__).resolve().parent.parent
NET = """[net]
height=4
width=4
channels=2
[conv]
batch_normalize=1
filters=3
size=3
pad=1
activation=leaky
[max]
size=2
stride=2
[connected]
output=5
activation=linear
[softmax]
"""
# layer 0: 3 biases, 3 scales, 3 means, 3 variances, 54 weights; layer 2: 5 biases, 60 weights
NUMBERS = 66 + 65
SIZE = 20 + 4 * NUMBERS


def build(text: str = NET) -> Network:
    return Network.from_cfg(parse_cfg(text, "net.cfg"))


def filled(text: str = NET, seed: int = 1) -> Network:
    """A network with random numbers in all its parameters, as after some training."""
    network, generator = build(text), np.random.default_rng(seed)
    for _, parameter in network.parameters():
        parameter.array = generator.random(parameter.shape, np.float32)
    return network


def values(network: Network) -> dict[str, Array | None]:
    """A copy of every parameter, named as in the golden data."""
    return {
        f"{parameter.name}_{layer.index:02d}": None if parameter.array is None else parameter.array.copy()
        for layer, parameter in network.parameters()
    }


def assert_same(actual: dict[str, Array | None], expected: dict[str, Array | None]) -> None:
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


def refusal(network: Network, path: Path, layers: int | None = None) -> str:
    """The message of the error, after which the network must be as it was, and which begins with the path."""
    before = values(network)
    with pytest.raises(WeightsError) as caught:
        weights.load(network, path, layers)
    assert_same(values(network), before)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The weights file of `filled()`."""
    path = tmp_path / "net.weights"
    weights.save(filled(), path)
    return path


# -- the original's files -------------------------------------------------------------------------------------------

REFUSED = ("long.weights", "truncated.weights")


def index() -> dict[str, dict[str, object]]:
    found = golden_files("weights/index.json")
    return json.loads(found[0].read_text()) if found else {}


@pytest.mark.parametrize("name", [name for name in index() if name not in REFUSED])
def test_every_golden_file(name: str, golden: Path, tmp_path: Path) -> None:
    folder, entry = golden / "weights", index()[name]
    cfg = str(entry["cfg"])
    network = Network.from_cfg(folder / cfg)
    network.initialize(seed=3)
    random = values(network)
    header = weights.load(network, folder / name, check=False)  # its variances are random numbers, some negative
    assert header.seen == entry["seen"]
    data = (folder / name).read_bytes()
    assert (header.major, header.minor, header.revision) == struct.unpack_from("<3i", data)

    expected = arrays(folder / ("params.npz" if cfg == "net.cfg" else cfg.replace(".cfg", ".params.npz")))
    loaded = values(network)
    assert set(loaded) == set(expected) - {"seen"}
    for key, array in loaded.items():
        golden_array = expected[key].reshape(array.shape)
        if name == "dontload.weights" and key.endswith("_02"):
            np.testing.assert_array_equal(array, random[key], err_msg=key)
        elif name == "numload.weights" and key.endswith("_02"):
            np.testing.assert_array_equal(array[:2], golden_array[:2], err_msg=key)
            np.testing.assert_array_equal(array[2:], random[key][2:], err_msg=key)
        elif name == "dontloadscales.weights" and key in ("scales_00", "rolling_mean_00", "rolling_variance_00"):
            np.testing.assert_array_equal(array, random[key], err_msg=key)
        else:
            np.testing.assert_array_equal(array, golden_array, err_msg=key)

    again, second = tmp_path / "again.weights", Network.from_cfg(folder / cfg)
    weights.save(network, again, header)
    if name in ("dontload.weights", "numload.weights", "dontloadscales.weights"):  # the cfg says: load less than save
        assert again.stat().st_size > len(data)
        return
    assert again.read_bytes() == data
    assert weights.load(second, again, check=False) == header
    assert_same(values(second), loaded)


def test_all_golden_files_are_listed(golden: Path) -> None:
    assert set(index()) == {path.name for path in golden_files("weights/*.weights")}
    assert len(index()) == 16


def test_darknets_own_file_comes_back_by_default(golden: Path, tmp_path: Path) -> None:
    folder, path = golden / "weights", tmp_path / "copy.weights"
    network = Network.from_cfg(folder / "net.cfg")
    header = weights.load(network, folder / "saved_by_darknet.weights", check=False)
    assert header == Header(0, 2, 0, 4321)
    weights.save(network, path, Header(seen=header.seen))
    assert path.read_bytes() == (folder / "saved_by_darknet.weights").read_bytes()
    assert weights.file_size(network) == path.stat().st_size


def test_the_golden_file_that_is_too_long(golden: Path) -> None:
    path = golden / "weights/long.weights"
    message = refusal(Network.from_cfg(golden / "weights/net.cfg"), path)
    size = path.stat().st_size
    need = 20 + 4 * 1053
    assert message.startswith(f"the file has {size:,} bytes; the cfg needs {need:,}: 20 of header (version 0.2)")
    assert f"The network ends at byte {need:,}, and {size - need:,} bytes follow. " in message


def test_the_golden_file_that_is_cut_off(golden: Path) -> None:
    path = golden / "weights/truncated.weights"
    message = refusal(Network.from_cfg(golden / "weights/net.cfg"), path)
    assert message.startswith(f"the file has {path.stat().st_size:,} bytes; the cfg needs 4,232: 20 of header")
    # before it stand 4 * 4 + 108 numbers of layer 0, 3 * 4 of layer 1, 3 + 12 of layer 2, and 24 biases
    assert "It ends inside the weights of layer 3 [local], which takes bytes 720 to 3,312. " in message
    assert "cut off" in message


def test_tiny_darknets_file(shared: Path, tmp_path: Path) -> None:
    path = shared / "data/tiny.weights"
    facts = json.loads((shared / "golden/weights/tiny_weights_arrays.json").read_text())
    network = Network.from_cfg(REPOSITORY / "cfg/tiny.cfg")
    header = weights.load(network, path)
    assert header == Header(*facts["header_int32"], seen=facts["seen"])
    assert weights.file_size(network) == facts["file_bytes"] + 4  # a header of today is longer by 4
    loaded = values(network)
    assert set(loaded) == set(facts["arrays"])
    for name, array in loaded.items():
        assert list(array.shape) == facts["arrays"][name]["shape"], name
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        digest = hashlib.sha256(array.astype("<f4").tobytes()).hexdigest()
        assert digest == facts["arrays"][name]["sha256_float32_le"], name
    copy = tmp_path / "tiny.weights"
    weights.save(network, copy, header)
    assert copy.read_bytes() == path.read_bytes()


# -- files of our own -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (Header(), 20),
        (Header(0, 1, 0, 7), 16),
        (Header(0, 0, 0, 7), 16),
        (Header(0, 2, 9, 2**40), 20),
        (Header(1, 0, 0, 7), 20),
        (Header(0, 999, 0, 7), 20),
        (Header(0, 1000, 0, 7), 16),
        (Header(1000, 0, 0, 7), 16),
        (Header(1001, 0, 0, -7), 16),
        (Header(0, 1001, 0, 7), 16),
    ],
)
def test_headers(header: Header, size: int, tmp_path: Path) -> None:
    path, network = tmp_path / "a.weights", filled()
    weights.save(network, path, header)
    assert path.stat().st_size == size + 4 * NUMBERS
    other = build()
    assert weights.load(other, path) == header
    assert_same(values(other), values(network))
    numbers = np.frombuffer(path.read_bytes(), "<f4", offset=size)
    connected = other.layers[2].weights.value
    assert header.transposed == (max(header.major, header.minor) > 1000)
    np.testing.assert_array_equal(numbers[-60:], (connected.T if header.transposed else connected).ravel())


def test_every_truncation_is_refused(saved: Path) -> None:
    data, network = saved.read_bytes(), filled(seed=2)
    assert len(data) == SIZE
    ends = {  # where each part ends in the file
        "biases of layer 0 [convolutional]": 32,
        "scales of layer 0 [convolutional]": 44,
        "rolling_mean of layer 0 [convolutional]": 56,
        "rolling_variance of layer 0 [convolutional]": 68,
        "weights of layer 0 [convolutional]": 284,
        "biases of layer 2 [connected]": 304,
        "weights of layer 2 [connected]": SIZE,
    }
    for size in range(len(data)):
        saved.write_bytes(data[:size])
        message = refusal(network, saved)
        if size < 20:
            assert message == f"{size} bytes are too few even for a header; expected a .weights file"
            continue
        assert message.startswith(f"the file has {size} bytes; the cfg needs {SIZE}: 20 of header (version 0.2)")
        part = next(name for name, end in ends.items() if size < end)
        assert f"It ends inside the {part}, which takes bytes " in message, size
        assert f" to {ends[part]}. " in message


@pytest.mark.parametrize("surplus", [1, 4, 100, 100_000])
def test_surplus_bytes_are_refused(saved: Path, surplus: int) -> None:
    saved.write_bytes(saved.read_bytes() + bytes(surplus))
    message = refusal(build(), saved)
    assert f"The network ends at byte {SIZE}, and {surplus:,} bytes follow. " in message


def test_a_missing_header(saved: Path) -> None:
    numbers = np.ones(NUMBERS, "<f4").tobytes()
    saved.write_bytes(numbers)
    assert "the header seems to be missing" in refusal(build(), saved)


def test_a_header_of_the_wrong_width(saved: Path) -> None:
    data = saved.read_bytes()
    saved.write_bytes(struct.pack("<3i", 0, 1, 0) + data[12:])  # says 16 bytes, has 20
    assert "It would fit with a 20-byte header: a wrong version in the header, or 4 bytes too many" in refusal(
        build(), saved
    )
    saved.write_bytes(struct.pack("<4i", 0, 2, 0, 0) + data[20:])
    assert "It would fit with a 16-byte header: a wrong version in the header, or 4 bytes lost" in refusal(
        build(), saved
    )


@pytest.mark.parametrize("outputs", [1, 4, 7, 1000])
def test_another_number_of_classes(tmp_path: Path, outputs: int) -> None:
    path = tmp_path / "other.weights"
    weights.save(filled(NET.replace("output=5", f"output={outputs}")), path)
    expected = f"It would fit if layer 2 [connected] had {outputs} outputs instead of 5: another number of classes?"
    assert expected in refusal(build(), path)


def test_another_network(shared: Path) -> None:
    network = Network.from_cfg(REPOSITORY / "cfg/squeezenet.cfg")
    message = refusal(network, shared / "data/tiny.weights")
    assert "the file has 4,185,968 bytes; the cfg needs 4,993,712: 16 of header (version 0.1)" in message


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("offset", "place"),
    [
        (20, "byte 20, number 0 of the biases of layer 0 [convolutional]"),
        (60, "byte 60, number 1 of the rolling_variance of layer 0 [convolutional]"),
        (284, "byte 284, number 0 of the biases of layer 2 [connected]"),
        (SIZE - 4, f"byte {SIZE - 4}, number 59 of the weights of layer 2 [connected]"),
    ],
)
def test_numbers_that_are_not_finite(saved: Path, number: float, offset: int, place: str) -> None:
    data = bytearray(saved.read_bytes())
    struct.pack_into("<f", data, offset, number)
    saved.write_bytes(data)
    message = refusal(filled(seed=2), saved)
    assert message.startswith(f"{np.float32(number)} at {place}; expected a finite number. The file is damaged")


def test_a_negative_variance(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    struct.pack_into("<f", data, 64, -0.25)
    saved.write_bytes(data)
    message = refusal(build(), saved)
    assert message.startswith("-0.25 at byte 64, number 2 of the rolling_variance of layer 0 [convolutional]; expected")
    assert "a variance of 0 or more" in message
    struct.pack_into("<f", data, 64, 0)
    struct.pack_into("<f", data, 32, -0.25)  # a scale may be negative
    saved.write_bytes(data)
    assert weights.load(build(), saved) == Header()


def test_checking_numbers_can_be_left_out(saved: Path) -> None:
    data, network = bytearray(saved.read_bytes()), build()
    struct.pack_into("<2f", data, 60, np.nan, -0.25)
    saved.write_bytes(data)
    weights.load(network, saved, check=False)
    loaded = network.layers[0].parameters()[3]
    assert loaded.name == "rolling_variance"
    np.testing.assert_array_equal(loaded.value[1:], np.float32([np.nan, -0.25]))


def test_files_that_are_something_else(tmp_path: Path) -> None:
    picture, text = tmp_path / "dog.png", tmp_path / "net.cfg"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)).save(picture)
    text.write_text(NET)
    for path in (picture, text):
        assert "The version makes no sense: this seems to be no .weights file" in refusal(build(), path)


def test_no_file_at_all(tmp_path: Path) -> None:
    message = refusal(build(), tmp_path / "nowhere.weights")
    assert message == "no such file; expected a Darknet .weights file"
    assert refusal(build(), tmp_path) == "cannot be read: Is a directory"


# -- loading a part -------------------------------------------------------------------------------------------------


def test_only_the_first_layers(saved: Path) -> None:
    source, network = filled(), filled(seed=2)
    before = values(network)
    weights.load(network, saved, layers=2)
    expected = {name: before[name] if name.endswith("_02") else array for name, array in values(source).items()}
    assert_same(values(network), expected)

    data = saved.read_bytes()
    saved.write_bytes(data[:284])  # all that layer 0 needs
    network = build()
    weights.load(network, saved, layers=1)
    assert network.layers[2].weights.array is None
    assert network.layers[2].biases.array is None
    saved.write_bytes(data[:283])
    assert "It ends inside the weights of layer 0" in refusal(network, saved, layers=1)


def test_layers_of_another_head(tmp_path: Path) -> None:
    """What fine-tuning does: the first layers from a network with other classes."""
    path, network = tmp_path / "a.weights", filled(seed=2)
    source = filled(NET.replace("output=5", "output=9"))
    weights.save(source, path)
    weights.load(network, path, layers=2)
    np.testing.assert_array_equal(network.layers[0].weights.value, source.layers[0].weights.value)


def test_numload_needs_values_for_the_rest(tmp_path: Path) -> None:
    text = NET.split("[max]")[0] + "[conv]\nnumload=2\nfilters=4\n"
    path = tmp_path / "a.weights"
    weights.save(filled(text.replace("numload=2\nfilters=4", "filters=2")), path)
    message = refusal(build(text), path)  # with layer 0 left unchanged too
    assert message.startswith("numload=2 gives values to 2 of 4 filters in the weights of layer 1 [convolutional]")
    network = build(text)
    network.initialize(seed=1)
    weights.load(network, path)


def test_numload_and_dontloadscales_where_darknet_heeds_them(tmp_path: Path) -> None:
    """Darknet: parser.c, load_connected_weights has no numload, load_batchnorm_weights no dontloadscales."""
    text = NET.replace("[max]", "[batchnorm]\n[max]")
    path, network = tmp_path / "a.weights", filled(text)
    weights.save(network, path)
    text = text.replace("[batchnorm]", "[batchnorm]\ndontloadscales=1").replace("output=5", "output=5\nnumload=2")
    loaded = build(text)
    weights.load(loaded, path)
    assert_same(values(loaded), values(network) | {"biases_01": np.zeros(3, np.float32)})  # never in a file


def test_dontsave(tmp_path: Path) -> None:
    path, network = tmp_path / "a.weights", filled(NET.replace("[connected]", "[connected]\ndontsave=1"))
    weights.save(network, path)
    assert path.stat().st_size == weights.file_size(network) == 20 + 4 * 66


# -- saving ---------------------------------------------------------------------------------------------------------


def test_a_failing_save_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WeightsError, match="cannot be written: No space left"):
        weights.save(filled(seed=2), saved)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved], "nothing may be left beside it"
    weights.save(filled(seed=2), saved)
    assert saved.read_bytes() != before


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    for path, reason in [
        (tmp_path / "missing/a.weights", "No such file or directory"),
        (file / "a.weights", "Not a directory"),
        (tmp_path, "Is a directory"),
    ]:
        with pytest.raises(WeightsError) as caught:
            weights.save(filled(), path)
        assert str(caught.value) == f"{path}: cannot be written: {reason}"
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):
        pytest.skip("nothing is forbidden to this user")
    with pytest.raises(WeightsError, match=r"locked/a\.weights: cannot be written: Permission denied"):
        weights.save(filled(), locked / "a.weights")


def test_saving_without_values(saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(WeightsError) as caught:
        weights.save(build(), saved)
    assert "the biases of layer 0 [convolutional] have no values to save" in str(caught.value)
    assert saved.read_bytes() == before


def test_seen_must_fit_into_the_header(saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(WeightsError, match=r"seen=2147483648\) does not fit into 16 bytes; expected version 0\.2"):
        weights.save(filled(), saved, Header(0, 1, 0, 2**31))
    assert saved.read_bytes() == before


# -- memory ---------------------------------------------------------------------------------------------------------


def test_memory_is_asked_for_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(NET.replace("output=5", "output=200000"))  # 10 MB of weights
    path = tmp_path / "a.weights"
    with open(path, "wb") as file:
        file.write(Header().pack())
        file.truncate(weights.file_size(network))
    monkeypatch.setenv("MINIDARKNET_MEMORY", "4")
    monkeypatch.setattr(np, "fromfile", lambda *_: pytest.fail("the numbers were read"))
    with pytest.raises(InputError, match=r"net\.cfg: the parameters need .* more than the 4\.0 MiB"):
        weights.load(network, path)
    assert all(parameter.array is None for _, parameter in network.parameters())


def test_a_file_that_shrinks_while_it_is_read(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = np.fromfile
    monkeypatch.setattr(np, "fromfile", lambda file, kind, count: read(file, kind, count - 1))
    assert refusal(filled(seed=2), saved) == "the file was changed while it was being read"
