"""Pictures in .npz files: every layout that can be told, a clear error for the others, nothing taken unseen."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidarknet.data import Pixels, Subset, open_dataset, tally
from minidarknet.errors import InputError
from minidarknet.npz import parts, read_npz


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def draw(*shape: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


def save(**arrays: Any) -> str:
    np.savez("set.npz", **arrays)
    return "set.npz"


def error_of(part: str = "all", **arrays: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_npz(save(**arrays), part)
    return str(caught.value)


COLOUR = draw(5, 4, 6, 3)  # pictures, height, width, channels


@pytest.mark.parametrize("x", [COLOUR, COLOUR.transpose(0, 3, 1, 2)], ids=["colours last", "colours first"])
def test_colour(x: np.ndarray[Any, Any]) -> None:
    dataset = read_npz(save(x=x, y=np.arange(5)), "all")
    image = dataset.image(2)
    assert (image.shape, image.dtype, image.flags.c_contiguous) == ((3, 4, 6), np.float32, True)
    np.testing.assert_array_equal(image, COLOUR[2].transpose(2, 0, 1).astype(np.float32) / np.float32(255))
    assert dataset.name(2) == "set.npz: x[2]"


GREY = draw(5, 4, 4)


@pytest.mark.parametrize(
    "x", [GREY, GREY[..., None], GREY[:, None], GREY.reshape(5, 16)], ids=["planes", "last", "first", "rows"]
)
def test_grey(x: np.ndarray[Any, Any]) -> None:
    """Grey pictures give a colour network three equal planes."""
    source = save(x=x, y=np.zeros(5, np.int64))
    expected = GREY[3].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(read_npz(source, "all", 1).image(3), expected[None])
    np.testing.assert_array_equal(read_npz(source, "all", 3).image(3), np.stack([expected] * 3))


def test_colour_for_a_grey_network() -> None:
    """stb_image's formula, as for files."""
    image = read_npz(save(x=COLOUR, y=np.arange(5)), "all", 1).image(0)
    red, green, blue = (int(value) for value in COLOUR[0, 1, 2])
    assert image.shape == (1, 4, 6)
    assert image[0, 1, 2] == np.float32((77 * red + 150 * green + 29 * blue) // 256) / np.float32(255)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 3, 6, 3), "shape (5, 3, 6, 3), of which cannot be told which of the sides has the colours"),
        ((5, 1, 6, 1), "shape (5, 1, 6, 1), of which cannot be told which of the sides has the colours"),
        ((5, 4, 6, 2), "shape (5, 4, 6, 2), of which cannot be told how its pictures lie; expected (pictures, height"),
        ((5, 3072), "shape (5, 3072), of which cannot be told how its pictures lie"),
        ((5,), "shape (5,), of which cannot be told how its pictures lie"),
        ((5, 2, 3, 4, 3), "shape (5, 2, 3, 4, 3), of which cannot be told how"),
        ((0, 4, 4), "shape (0, 4, 4): no picture"),
        ((5, 0, 4), "shape (5, 0, 4): no picture"),
    ],
)
def test_a_layout_that_cannot_be_told(shape: tuple[int, ...], message: str) -> None:
    assert error_of(x=np.zeros(shape, np.uint8), y=np.zeros(shape[0], int)).startswith(f"set.npz: x has {message}")


def test_pictures_are_bytes() -> None:
    message = error_of(x=np.linspace(0, 16, 16).reshape(1, 4, 4), y=[0])
    assert message == "set.npz: x has numbers of type float64 from 0 to 16; expected uint8, from 0 for black to 255"


def test_parts() -> None:
    x, y = draw(4, 3, 3), np.arange(4)
    assert parts(save(x=x, y=y)) == {"all"}
    assert parts(save(x_train=x, y_train=y)) == {"all"}
    assert parts(save(x_train=x, y_train=y, x_test=x, y_test=y)) == {"train", "valid", "test"}
    assert parts(save(x_train=x, y_train=y, x_val=x, y_val=y)) == {"train", "valid"}
    assert parts(save(x=x, y=y, x_test=x, y_test=y)) == {"train", "valid", "test"}
    source = save(x_train=x, y_train=y, x_valid=x[:3], y_valid=y[:3], x_test=x[:2], y_test=y[:2])
    assert [len(open_dataset(source, part)) for part in ("train", "valid", "test")] == [4, 3, 2]
    assert len(open_dataset(save(images=x, labels=y), "all")) == 4
    assert isinstance(open_dataset(save(data=x, target=np.zeros(4, int)), "valid"), Subset)
    with pytest.raises(InputError, match=r"set\.npz: found x, z; expected arrays x and y, or x_train"):
        parts(save(x=x, z=y))
    with pytest.raises(InputError, match="has no part 'valid'; found x, y;"):
        read_npz(save(x=x, y=y), "valid")


def test_names() -> None:
    x = draw(3, 2, 2)
    assert read_npz(save(x=x, y=[2, 0, 1]), "all").names == ("0", "1", "2")
    assert read_npz(save(x=x, y=[[2], [0], [1]]), "all").labels.tolist() == [2, 0, 1]
    source = save(x=x, y=[2, 0, 1], classes=["cat", "dog", "eel", "fox"])
    assert read_npz(source, "all").names == ("cat", "dog", "eel", "fox")
    other = read_npz(source, "all", names=["fox", "eel", "dog", "cat"])  # the network's order
    assert (other.names, other.labels.tolist()) == (("fox", "eel", "dog", "cat"), [1, 3, 2])
    assert read_npz(save(x=x, y=[2, 0, 1]), "all", names=["a", "b", "c"]).labels.tolist() == [2, 0, 1]
    words = read_npz(save(x=x, y=["dog", "cat", "dog"]), "all")
    assert (words.names, words.labels.tolist()) == (("cat", "dog"), [1, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": [0, 1]}, "set.npz: has 3 pictures in x, but 2 classes in y"),
        ({"y": [0.0, 1.0, 2.0]}, "set.npz: y has shape (3,) and type float64; expected a class number for each"),
        ({"y": np.eye(3, dtype=int)}, "set.npz: y has shape (3, 3) and type int64; expected a class number for each"),
        ({"y": [0, -1, 1]}, "set.npz: y has class numbers from -1 to 1; expected 0 to 1"),
        ({"y": [0, 1, 2], "names": ["a", "b"]}, "set.npz: y has class numbers from 0 to 2; expected 0 to 1, as there"),
    ],
)
def test_classes_that_cannot_be(arrays: dict[str, Any], message: str) -> None:
    assert error_of(x=draw(3, 2, 2), **arrays).startswith(message)


def test_names_that_the_network_lacks() -> None:
    source = save(x=draw(2, 2, 2), y=[0, 1], names=["cat", "dog"])
    with pytest.raises(InputError, match="y: the classes dog are none of the 2 class names"):
        read_npz(source, "all", names=["cat", "eel"])


def test_files_that_cannot_be_read(folder: Path) -> None:
    for name, content in {"absent": None, "text": b"hello", "empty": b""}.items():
        if content is not None:
            Path(f"{name}.npz").write_bytes(content)
        with pytest.raises(InputError, match=rf"^{name}\.npz: (no such file|cannot be read as an \.npz file)"):
            open_dataset(f"{name}.npz")
    np.savez("objects.npz", x=np.array([{}, {}]), y=[0, 1])  # of which reading would run code
    with pytest.raises(InputError, match=r"objects\.npz: cannot be read: Object arrays"):
        open_dataset("objects.npz")
    whole = Path(save(x=draw(2, 2, 2), y=[0, 1])).read_bytes()
    Path("damaged.npz").write_bytes(whole.replace(draw(2, 2, 2).tobytes(), bytes(8)))  # whose checksum is another
    with pytest.raises(InputError, match=r"damaged\.npz: cannot be read.*CRC"):
        open_dataset("damaged.npz")


def test_a_small_file_that_claims_to_be_huge_is_refused_by_its_numbers() -> None:
    """Only its headers are read, so nothing of that size is ever asked for."""
    header = io.BytesIO()
    entry = {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 1 << 10)}
    np.lib.format.write_array_header_1_0(header, entry)
    labels = io.BytesIO()
    np.save(labels, np.zeros(1, np.int64))
    with zipfile.ZipFile("huge.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue())
        archive.writestr("y.npy", labels.getvalue())
    with pytest.raises(InputError, match=r"huge\.npz: its arrays take 1,048,576\.0 GiB, more than this machine's"):
        open_dataset("huge.npz", "all")


@pytest.mark.parametrize(
    ("name", "shape", "counts", "first"),
    [("mnist", (1, 28, 28), (60000, 10000), 5), ("cifar10_subset", (3, 32, 32), (10000, 2000), None)],
)
def test_real_sets(shared: Path, name: str, shape: tuple[int, int, int], counts: tuple[int, int], first: int) -> None:
    sets = [open_dataset(str(shared / "data" / f"{name}.npz"), part, shape[0]) for part in ("train", "valid")]
    assert tuple(map(len, sets)) == counts
    assert all(isinstance(part, Pixels) for part in sets)
    assert sets[0].image(7).shape == shape
    assert min(tally(part).counts.min() for part in sets) > 0
    if first is not None:
        assert sets[0].label(0) == first  # everybody's first digit of MNIST
    else:
        assert sets[0].names[:3] == ("airplane", "automobile", "bird")
