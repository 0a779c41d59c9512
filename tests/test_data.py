"""Where labelled pictures come from: every source, every way in which one can be wrong, parts, and the checks."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minidarknet import data
from minidarknet.cfg import parse_cfg
from minidarknet.data import Pictures, Pixels, check_dataset, open_dataset, split, tally
from minidarknet.data_file import read_data_file
from minidarknet.errors import CfgWarning, InputError, MinidarknetError, UsageError
from minidarknet.labelled import NAMED
from minidarknet.network import Network

COLOURS = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255)}


def picture(path: str, colour: str = "red", size: tuple[int, int] = (6, 4)) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLOURS[colour]).save(path)
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten pictures of each colour in a folder of its own, with the current folder around them."""
    monkeypatch.chdir(tmp_path)
    for colour in COLOURS:
        for number in range(10):
            picture(f"photos/{colour}/{number}.png", colour)
    return tmp_path


def write(path: str, text: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(text.encode())
    return path


def labels_of(source: str, part: str = "all", **options: object) -> dict[str, str]:
    """Name of the picture -> name of its class."""
    dataset = open_dataset(source, part, **options)  # type: ignore[arg-type]
    return {dataset.name(i): dataset.names[dataset.label(i)] for i in range(len(dataset))}


def error_of(source: str, part: str = "all", **options: object) -> str:
    with pytest.raises(MinidarknetError) as caught:
        open_dataset(source, part, **options)  # type: ignore[arg-type]
    return str(caught.value)


# -- folders and lists ---------------------------------------------------------------------------------------------


def test_a_folder_for_each_class() -> None:
    dataset = open_dataset("photos", "all")
    assert dataset.names == ("blue", "green", "red")
    assert len(dataset) == 30
    assert (dataset.name(29), dataset.label(29)) == ("photos/red/9.png", 2)
    image = dataset.image(29)
    assert (image.shape, image.dtype) == ((3, 4, 6), np.float32)
    assert image[:, 0, 0].tolist() == [1, 0, 0]
    assert open_dataset("photos", "all", channels=1).image(0).shape == (1, 4, 6)


def test_the_classes_have_the_order_of_the_names() -> None:
    dataset = open_dataset("photos", "all", names=["red", "yellow", "green", "blue"])
    assert dataset.names == ("red", "yellow", "green", "blue")
    assert tally(dataset).counts.tolist() == [10, 0, 10, 10]
    assert tally(dataset).empty == ["yellow"]


def test_classes_that_are_numbers_are_sorted_as_numbers() -> None:
    for number in (10, 9, 1):
        picture(f"numbers/{number}/x.png")
    assert open_dataset("numbers", "all").names == ("1", "9", "10")


def test_a_list_of_paths_takes_the_folder_as_class() -> None:
    """CRLF, blanks, an empty line, a byte-order mark, and commas in a path."""
    picture("photos/a, b/c, d.png")
    write("list", "\ufeffphotos/red/1.png\r\n\r\n  photos/green/2.png \r\nphotos/a, b/c, d.png\r\n")
    found = {"photos/red/1.png": "red", "photos/green/2.png": "green", "photos/a, b/c, d.png": "a, b"}
    assert labels_of("list") == found


def test_a_list_with_classes() -> None:
    write("list", "photos/red/1.png\tnice\nphotos/red/2.png\tugly, or so\n")
    assert labels_of("list") == {"photos/red/1.png": "nice", "photos/red/2.png": "ugly, or so"}


def test_letters_that_only_some_take_for_line_ends_are_part_of_a_path() -> None:
    picture("photos/red/a\u2028b.png")
    write("list", "photos/red/a\u2028b.png\n")
    assert labels_of("list") == {"photos/red/a\u2028b.png": "red"}


def test_the_column_with_the_fewest_strangers_is_complained_about() -> None:
    write("list", "photos/red/1.png\tn1\tred\nphotos/red/2.png\tn2\tgren\n")
    assert error_of("list", names=["red", "green"]) == (
        "list:2: photos/red/2.png: its class 'gren' is none of the 2 class names; did you mean 'green'?"
    )


def test_a_list_is_read_from_beside_it_or_else_from_the_current_folder(folder: Path) -> None:
    write("photos/list", "red/1.png\ngreen/2.png\n")
    assert labels_of("photos/list") == {"photos/red/1.png": "red", "photos/green/2.png": "green"}
    write("lists/list", "photos/red/1.png\nphotos/green/2.png\n")
    assert labels_of("lists/list") == {"photos/red/1.png": "red", "photos/green/2.png": "green"}
    write("lists/absolute", f"{folder}/photos/red/1.png\n")
    assert labels_of("lists/absolute") == {f"{folder}/photos/red/1.png": "red"}


def test_all_that_is_wrong_with_a_list_is_named_with_its_line() -> None:
    write("list", "photos/red/1.png\nphotos/red/no.png\nphotos/green/1.png\nphotos/green/none.png\n")
    assert error_of("list").split("\n  ") == [
        "2 pictures cannot be used",
        "list:2: photos/red/no.png: there is no file photos/red/no.png",
        "list:4: photos/green/none.png: there is no file photos/green/none.png",
    ]
    assert error_of("list", names=["red", "gren"]).split("\n  ") == [
        "2 pictures cannot be used",
        "list:3: photos/green/1.png: its class 'green' is none of the 2 class names; did you mean 'gren'?",
        "list:4: photos/green/none.png: its class 'green' is none of the 2 class names; did you mean 'gren'?",
    ]


def test_many_mistakes_are_counted() -> None:
    write("list", "".join(f"photos/red/no{number}.png\n" for number in range(1000)))
    lines = error_of("list").split("\n  ")
    assert len(lines) == NAMED + 2
    assert lines[-1] == "... and 980 more"


def test_a_list_has_classes_on_all_lines_or_on_none() -> None:
    write("list", "photos/red/1.png\nphotos/red/2.png\tred\nphotos/red/3.png\n")
    assert error_of("list").startswith("list:2: found 'photos/red/2.png,red'; expected")
    write("list", "photos/red/1.png\tred\nphotos/red/2.png\nphotos/red/3.png\t\n")
    lines = error_of("list").split("\n  ")
    assert lines[0] == "list: 2 pictures cannot be used"
    assert lines[1].startswith("list:2: found 'photos/red/2.png'; expected")
    assert lines[2].startswith("list:3: found 'photos/red/3.png'; expected")  # an empty class is none


def test_a_path_without_a_folder_has_no_class() -> None:
    picture("1.png")
    write("list", "1.png\n")
    assert error_of("list", names=["red"]) == "list:1: 1.png: its class '' is none of the 1 class names"
    assert error_of("list") == "list:1: 1.png: has no class; it lies in no folder that could name one"


def test_two_classes_of_one_name_are_ambiguous_only_where_a_picture_has_it() -> None:
    names = ["red", "green", "blue", "red"]
    message = error_of("photos", names=names)
    assert "photos/red/0.png: its class 'red' is that of the outputs #0 and #3; expected #0 or #3" in message
    assert message.startswith("10 pictures cannot be used")
    write("list", "photos/green/1.png\nphotos/blue/2.png\n")
    assert open_dataset("list", "all", names=names).labels.tolist() == [1, 2]
    write("list", "photos/red/1.png\t#3\nphotos/red/2.png\t#0\nphotos/blue/2.png\tblue\n")
    found = open_dataset("list", "all", names=names)
    assert (found.labels.tolist(), found.names) == ([3, 0, 2], tuple(names))
    write("list", "photos/red/1.png\t#4\n")
    assert "its class '#4' is none of the 4 class names" in error_of("list", names=names)
    write("list", "photos/red/1.png\t#1\nphotos/red/2.png\tb\n")
    assert open_dataset("list", "all", names=["a", "b", "#1"]).labels.tolist() == [2, 1], "a name that looks like it"
    write("names", "\n".join(names))
    write("my.data", "train = list\nnames = names\n")
    write("list", "photos/green/1.png\nphotos/blue/2.png\n")
    assert open_dataset("my.data", "all").labels.tolist() == [1, 2]


def test_unknown_words() -> None:
    for options in ({"labels": "path"}, {"part": "training"}):
        with pytest.raises(UsageError, match="expected one of"):
            open_dataset("photos", **options)
    assert "no such file or folder" in error_of("nothing")


# -- Darknet's way: the class is a word in the path ----------------------------------------------------------------


def test_substring_takes_the_one_word_in_the_path() -> None:
    picture("val/ILSVRC2012_val_1_n01751748.png")
    picture("val/n01440764_2.png")
    write("list", "val/ILSVRC2012_val_1_n01751748.png\nval/n01440764_2.png\n")
    found = labels_of("list", names=["n01440764", "n01751748"], labels="substring")
    assert list(found.values()) == ["n01751748", "n01440764"]


def test_substring_refuses_every_path_with_several_words_or_none() -> None:
    picture("classification/cat/1.png")
    picture("classification/dog/2.png")
    picture("other/3.png")
    write("list", "classification/cat/1.png\nclassification/dog/2.png\nother/3.png\n")
    message = "expected exactly one class name in this path, found"
    assert error_of("list", names=["cat", "dog"], labels="substring").split("\n  ") == [
        "2 pictures cannot be used",
        f"list:2: classification/dog/2.png: {message} 'cat', 'dog'",
        f"list:3: other/3.png: {message} none",
    ]


def test_substring_needs_words() -> None:
    assert "labels=substring needs class names to look for" in error_of("photos", labels="substring")


# -- .data files ---------------------------------------------------------------------------------------------------


def data_file(text: str = "", path: str = "cfg/colours.data") -> str:
    write("lists/train", "".join(f"photos/{colour}/{i}.png\n" for colour in COLOURS for i in range(8)))
    write("lists/valid", "".join(f"photos/{colour}/{i}.png\n" for colour in COLOURS for i in (8, 9)))
    write("cfg/labels", "green\nred\nblue\nsurplus\n")
    write("cfg/names", "leaf green\ndeep red\nsky\n")
    return write(path, text or "classes = 3\r\ntrain = lists/train\r\nvalid=lists/valid # held\r\nlabels= labels\r\n")


def test_a_data_file() -> None:
    """Its files are beside it (labels) or in the current folder (lists); classes counts, as Darknet's does."""
    source = data_file()
    train, valid = open_dataset(source), open_dataset(source, "valid")
    assert train.names == valid.names == ("green", "red", "blue")
    assert (len(train), len(valid)) == (24, 6)
    assert (train.name(0), train.label(0)) == ("photos/red/0.png", 1)
    assert "has no part 'test', only train, valid" in error_of(source, "test")


def test_the_names_of_a_data_file_are_shown() -> None:
    source = data_file("train=lists/train\nvalid=lists/valid\nlabels=labels\nnames=names\nclasses=3\n")
    assert open_dataset(source).names == ("leaf green", "deep red", "sky")
    assert open_dataset(source).label(0) == 1
    assert open_dataset(source, names=["a", "b", "c"]).names == ("a", "b", "c")
    source = data_file("train=lists/train\nnames=labels\n")
    assert open_dataset(source, "all").names == ("green", "red", "blue", "surplus")


def test_substring_in_a_data_file() -> None:
    source = data_file("train=lists/train\nnames=labels\nlabels=substring\n")
    assert open_dataset(source, "all").label(0) == 1
    write("cfg/labels", "green\nred\nblue\nphoto\n")
    assert error_of(source).startswith(
        "24 pictures cannot be used\n  lists/train:1: photos/red/0.png: expected exactly"
    )


def test_a_data_file_without_validation_holds_some_out() -> None:
    source = data_file("train=lists/train\nlabels=labels\nclasses=3")
    train, valid, whole = (labels_of(source, part) for part in ("train", "valid", "all"))
    assert train.keys().isdisjoint(valid)
    assert train | valid == whole
    assert len(valid) == 6  # 2 of 8, three times


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train\n", "colours.data:1: cannot read 'train'; expected 'key = value'"),
        ("train=a\n#train=b\ntrain=c\n", "colours.data:3: has 'train' again, after line 1"),
        ("classes=many\n", "colours.data:1: [data] classes=many: expected a whole number, 0 or more"),
        ("classes=3\nlabels=labels\n", "colours.data: has no line 'train = ...' or 'valid = ...'"),
        ("train=lists/train\n", "colours.data: has neither labels nor names"),
        ("classes=5\ntrain=lists/train\nlabels=labels\n", "has 5 classes, but only 4 class names were found for them"),
        ("train=lists/train\nlabels=nothing\n", "nothing: no such file; expected class names, one a line"),
        ("train=nothing\nlabels=labels\n", "nothing: no such file or folder"),
        ("tree=a\n", "colours.data:1: [data] a tree of classes cannot be learned here"),
    ],
)
def test_what_is_no_data_file(text: str, message: str) -> None:
    assert message in error_of(data_file(text))


def test_a_data_file_that_cannot_be_read() -> None:
    assert "no such file; expected a Darknet .data file" in error_of("nothing.data")
    Path("binary.data").write_bytes(b"\xff\xfe")
    assert "cannot be read as a .data file" in error_of("binary.data")


def test_a_misspelt_key_of_a_data_file() -> None:
    with pytest.warns(CfgWarning, match=r"colours\.data:1: \[data\] has no option 'vald'.*did you mean 'valid'"):
        read_data_file(data_file("vald=x\n"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_data_file(data_file("backup = my backup/ \ntop=5\n")).backup == "my backup/"


# -- parts ---------------------------------------------------------------------------------------------------------


def test_what_is_held_out_is_always_the_same_and_of_all_classes() -> None:
    train, valid, whole = (labels_of("photos", part) for part in ("train", "valid", "all"))
    assert train.keys().isdisjoint(valid)
    assert train | valid == whole
    assert sorted(valid.values()) == sorted([*COLOURS] * 2)
    assert labels_of("photos", "valid") == valid
    held = open_dataset("photos", "valid")
    for i in range(len(held)):
        colour = np.array(COLOURS[held.names[held.label(i)]], np.float32) / np.float32(255)
        np.testing.assert_array_equal(held.image(i)[:, 0, 0], colour)
    assert "has no part 'test', only all" in error_of("photos", "test")


@pytest.mark.parametrize("second", ["valid", "val", "test"])
def test_folders_of_parts(second: str) -> None:
    """A class that is missing in one of them does not move the numbers of the others."""
    for colour in COLOURS:
        picture(f"parts/train/{colour}/1.png", colour)
    picture(f"parts/{second}/red/2.png")
    assert labels_of("parts", "train") == {f"parts/train/{colour}/1.png": colour for colour in sorted(COLOURS)}
    assert open_dataset("parts", "valid").label(0) == 2
    assert tally(open_dataset("parts", "valid")).empty == ["blue", "green"]
    assert "has no part 'all'" in error_of("parts", "all")


def pixels(count: int, classes: int = 2) -> Pixels:
    return Pixels(np.zeros((count, 2, 2, 1), np.uint8), np.arange(count) % classes, [*"abcdefgh"[:classes]], 1)


def test_split_takes_a_share_of_each_class() -> None:
    rest, held = split(pixels(20), 0.3, seed=1)
    assert (tally(rest).counts.tolist(), tally(held).counts.tolist()) == ([7, 7], [3, 3])
    places = [int(name.partition("[")[2][:-1]) for part in (rest, held) for name in map(part.name, range(len(part)))]
    assert sorted(places) == [*range(20)]
    assert [held.name(i) for i in range(6)] != [split(pixels(20), 0.3, seed=2)[1].name(i) for i in range(6)]
    assert [len(part) for part in split(pixels(20), 0.0)] == [20, 0]
    assert [len(part) for part in split(pixels(20), 1.0)] == [0, 20]
    with pytest.raises(InputError, match="share from 0 to 1"):
        split(pixels(20), 1.5)


def test_split_leaves_and_takes_at_least_one_of_a_class() -> None:
    rest, held = split(pixels(4), 0.01)
    assert tally(held).counts.tolist() == [1, 1]
    rest, held = split(pixels(4), 0.99)
    assert tally(rest).counts.tolist() == [1, 1]
    rest, held = split(pixels(1), 0.5)  # a lone picture is learned from
    assert [len(rest), len(held)] == [1, 0]


# -- against the network -------------------------------------------------------------------------------------------


def network(outputs: int, channels: int = 3) -> Network:
    size = f"width=8\nheight=8\nchannels={channels}" if channels else "inputs=64"
    return Network.from_cfg(parse_cfg(f"[net]\n{size}\n[connected]\noutput={outputs}\n[softmax]\n", "my.cfg"))


def test_a_set_that_fits() -> None:
    found = check_dataset(open_dataset("photos", "all"), network(3))
    assert (found.names, found.counts.tolist(), found.empty) == (("blue", "green", "red"), [10, 10, 10], [])
    assert found.majority == pytest.approx(1 / 3)


def test_the_majority_is_what_is_to_be_beaten() -> None:
    write("list", "photos/red/1.png\nphotos/red/2.png\nphotos/red/3.png\nphotos/blue/1.png\n")
    assert tally(open_dataset("list", "all")).majority == 0.75


def test_a_class_count_that_differs_from_the_outputs() -> None:
    with pytest.raises(InputError) as caught:
        check_dataset(open_dataset("photos", "all"), network(10))
    assert "my.cfg: has 10 outputs, but the pictures have 3 classes (blue, green, red)" in str(caught.value)


def test_a_network_that_takes_no_pictures() -> None:
    with pytest.raises(InputError, match=r"takes 64 numbers, not pictures"):
        check_dataset(open_dataset("photos", "all"), network(3, 0))
    with pytest.raises(InputError, match=r"takes 8 x 8 x 2, not pictures"):
        check_dataset(open_dataset("photos", "all"), network(3, 2))
    with pytest.raises(InputError, match="no picture"):
        check_dataset(Pictures([], [], ["a"]), network(1))


def test_a_carried_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name, unless there is a folder that is called so."""
    np.savez(folder / "digits.npz", x=np.zeros((2, 3, 3), np.uint8), y=[0, 1])
    monkeypatch.setattr(data, "__file__", str(folder / "data.py"))
    assert len(open_dataset("digits", "all")) == 2
    picture("digits/red/1.png")
    assert open_dataset("digits", "all").names == ("red",)
