"""How often a network is right: the counting, the tables, several looks, and the files that are drawn."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import pytest
from PIL import Image

import minidarknet as md
from conftest import arrays
from minidarknet import zoo
from minidarknet.confusion import check_target, write_confusion
from minidarknet.contact_sheet import GAP, LINE, TILE, Tile, draw_sheet, thumbnail
from minidarknet.data import Dataset, open_dataset
from minidarknet.errors import InputError, NonFiniteError, UsageError
from minidarknet.layers.parameter import Array
from minidarknet.prediction import Classifier, in_batches
from minidarknet.resize import resize
from minidarknet.validation import Validation, validate
from minidarknet.views import VIEWS, count_views, prepare_views, view

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="needs the compiler")

# What a picture is, is said by the mean of each channel: the channel with the largest one is its class.
CFG = "[net]\nwidth=4\nheight=4\nchannels=3\n[conv]\nfilters={}\nactivation=linear\n[avg]\n[softmax]\n"
RED, GREEN, BLUE = np.eye(3, dtype=np.float32)
TELLS = 9 * np.eye(3, dtype=np.float32)


class Colours(Dataset):
    """Pictures of one colour each, 4x4; None cannot be read."""

    def __init__(self, *pictures: tuple[int, Array | None], names: str = "rgb", size: tuple[int, int] = (4, 4)) -> None:
        super().__init__(tuple(names), [label for label, _ in pictures])
        self.colours, self.size = [colour for _, colour in pictures], size

    def name(self, i: int) -> str:
        return f"picture {i}"

    def image(self, i: int) -> Array:
        colour = self.colours[i]
        if colour is None:
            raise InputError(f"picture {i}: broken")
        return np.broadcast_to(colour[:, None, None], (3, *self.size)).astype(np.float32)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Classifier]:
    """A network with given weights (classes, 3), after the number of classes."""

    def build(weights: Array = TELLS, cfg: str = CFG) -> Classifier:
        path = tmp_path / "colours.cfg"
        path.write_text(cfg.format(len(weights)))
        net = md.load(path, random_weights=1, preprocess="center")
        (_, biases), (_, kernel) = net.parameters()
        biases.array, kernel.array = np.zeros(len(weights), np.float32), weights.reshape(kernel.shape)
        return net

    return build


Make = Callable[..., Classifier]


# -- counting ------------------------------------------------------------------------------------------------------


def test_shares_ranks_and_loss(make: Make) -> None:
    dataset = Colours((0, RED), (1, GREEN), (2, 0.9 * BLUE + GREEN), (0, BLUE), (1, RED + 0.5 * GREEN))
    seen = validate(make(), dataset, batch=2)
    assert seen.count == 5
    assert seen.answers.tolist() == [0, 1, 1, 2, 0]
    assert seen.truths.tolist() == [0, 1, 2, 0, 1]
    # Red and green are equally unlikely in a blue picture: the lower number comes first.
    assert seen.ranks.tolist() == [0, 0, 1, 1, 1]
    assert [seen.count_right(top) for top in (1, 2, 3)] == [2, 5, 5]
    assert (seen.top1, seen.share_right(2)) == (2 / 5, 1.0)
    scores = 9 * np.array([dataset.colours[i] for i in range(5)], np.float64)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(seen.truth_probabilities, p[range(5), seen.truths], rtol=1e-5)
    np.testing.assert_allclose(seen.probabilities, p.max(axis=1), rtol=1e-5)
    assert seen.loss == pytest.approx(-np.log(p[range(5), seen.truths]).mean(), rel=1e-5)
    assert seen.mistakes() == sorted([2, 3, 4], key=lambda i: -p[i].max())


def test_of_equals_the_lower_number_comes_first(make: Make) -> None:
    net = make(np.zeros((4, 3), np.float32))
    seen = validate(net, Colours(*((label, RED) for label in range(4)), names="abcd"))
    assert (seen.answers.tolist(), seen.ranks.tolist()) == ([0, 0, 0, 0], [0, 1, 2, 3])


def test_the_table_of_classes(make: Make) -> None:
    pictures = [(0, RED)] * 3 + [(0, GREEN), (0, BLUE), (1, GREEN), (1, BLUE), (1, BLUE)]
    scores = validate(make(np.eye(4, 3, dtype=np.float32)), Colours(*pictures, names="rgbx")).scores()
    assert [(s.name, s.pictures, s.right, s.said) for s in scores] == [
        *(("r", 5, 3, 3), ("g", 3, 1, 2), ("b", 0, 0, 3), ("x", 0, 0, 0)),
    ]
    assert [(s.recall, s.precision) for s in scores] == [(3 / 5, 1.0), (1 / 3, 1 / 2), (None, 0.0), (None, None)]
    # Red was taken for green and for blue once each: the lower number is told.
    assert [(s.confused_with, s.confused) for s in scores] == [(1, 1), (2, 2), (None, 0), (None, 0)]


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_batches_change_nothing(make: Make, batch: int) -> None:
    generator = np.random.default_rng(5)
    dataset = Colours(*((i % 3, generator.random(3).astype(np.float32)) for i in range(7)))
    expected, seen = validate(make(), dataset, batch=7), validate(make(), dataset, batch=batch)
    assert seen.answers.tolist() == expected.answers.tolist()
    np.testing.assert_array_equal(seen.probabilities, expected.probabilities)
    assert seen.loss == pytest.approx(expected.loss)


def test_batches_hold_neighbours_of_one_size() -> None:
    images = [(i, np.full((3, 2, width), i, np.float32)) for i, width in enumerate([4, 4, 4, 5, 4, 4])]
    found = [(keys, batch.shape, batch[:, 0, 0, 0].tolist()) for keys, batch in in_batches(images, 2)]
    assert found == [
        ([0, 1], (2, 3, 2, 4), [0, 1]),
        ([2], (1, 3, 2, 4), [2]),
        ([3], (1, 3, 2, 5), [3]),
        ([4, 5], (2, 3, 2, 4), [4, 5]),
    ]
    assert list(in_batches([], 2)) == []


def test_unreadable_pictures_do_not_count(make: Make) -> None:
    dataset = Colours((0, RED), (1, None), (2, BLUE), (0, None))
    failed: list[str] = []
    counts: list[int] = []
    seen = validate(make(), dataset, counted=lambda: counts.append(1), unreadable=lambda name, _: failed.append(name))
    assert (failed, len(counts)) == (["picture 1", "picture 3"], 4)
    assert (seen.pictures.tolist(), seen.count, seen.top1) == ([0, 2], 2, 1.0)
    with pytest.raises(InputError, match="picture 1: broken"):
        validate(make(), dataset)
    none = validate(make(), Colours((0, None)), unreadable=lambda *_: None)
    assert none.count == 0
    assert math.isnan(none.top1)
    assert none.loss is None
    assert none.scores()[0].recall is None


def test_the_loss_is_the_networks_own(make: Make) -> None:
    dataset = Colours((0, RED), (1, BLUE))
    assert validate(make(cfg=CFG.replace("[softmax]\n", "")), dataset).loss is None
    both = validate(make(cfg=CFG + "[cost]\n"), dataset)
    plain = validate(make(), dataset)
    assert plain.loss is not None
    distance = sum((p - 1) ** 2 for p in plain.truth_probabilities[:1]) / 2
    assert both.loss is not None
    assert both.loss < plain.loss  # the mean of the two, as training prints it
    assert both.loss > distance / 2
    far = validate(make(np.eye(3, dtype=np.float32) * 500), dataset)
    assert far.truth_probabilities[1] == 0
    assert far.loss == math.inf


def test_nan_is_an_error(make: Make) -> None:
    with pytest.raises(NonFiniteError, match=r"layer 0 \[convolutional\] puts out NaN"):
        validate(make(np.full((3, 3), np.nan, np.float32)), Colours((0, RED)))


def test_what_does_not_fit_is_refused(make: Make) -> None:
    with pytest.raises(InputError, match="has 3 outputs, but the pictures have 2 classes"):
        validate(make(), Colours((0, RED), names="rg"))
    with pytest.raises(UsageError, match="tta='twice': expected one of none, flip, ten-crop"):
        validate(make(), Colours((0, RED)), tta="twice")
    with pytest.raises(UsageError, match="batch=0: expected 1 or more"):
        validate(make(), Colours((0, RED)), batch=0)


def test_a_batch_that_does_not_fit_is_refused_before_pictures_are_gathered(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unread(Colours):
        def image(self, i: int) -> Array:
            raise AssertionError

    net = make(cfg=CFG.replace("=4", "=100"))
    monkeypatch.setenv("MINIDARKNET_MEMORY", "1")
    with pytest.raises(InputError, match="a batch of 20 needs"):
        validate(net, Unread(*[(0, RED)] * 20), batch=2_000_000_000)


# -- several looks -------------------------------------------------------------------------------------------------


def test_looks_at_a_picture(make: Make) -> None:
    net = make()
    image = np.random.default_rng(1).random((3, 9, 5), np.float32)
    for tta in VIEWS:
        base = prepare_views(net, image, tta)
        looks = [view(base[None], tta, number)[0] for number in range(count_views(tta))]
        assert {look.shape for look in looks} == {(3, 4, 4)}
        for look, mirrored in zip(looks[::2], looks[1::2], strict=False):
            np.testing.assert_array_equal(mirrored, look[..., ::-1])
    # The last are of ten crops. Corners and centre of the picture stretched to 36 x 36, by hand:
    whole = resize(image, 36, 36)
    upper, lower, middle = slice(0, 4), slice(32, 36), slice(16, 20)
    corners = [(upper, upper), (upper, lower), (lower, upper), (lower, lower), (middle, middle)]
    for look, (rows, columns) in zip(looks[::2], corners, strict=True):
        np.testing.assert_array_equal(look, whole[:, rows, columns])


@pytest.mark.parametrize("tta", VIEWS)
def test_answers_are_averaged(make: Make, tta: str) -> None:
    """Against single predictions of every look, for a network that sees left and right."""
    weights = np.random.default_rng(2).normal(size=(3, 48)).astype(np.float32)
    net = make(weights, CFG.replace("filters={}", "filters={}\nsize=4"))
    image = np.random.default_rng(3).random((3, 6, 6), np.float32)

    class One(Colours):
        def image(self, i: int) -> Array:
            return image

    seen = validate(net, One((1, RED), (2, RED)), tta=tta)
    base = prepare_views(net, image, tta)[None]
    single = np.stack([net.probabilities(view(base, tta, number))[0] for number in range(count_views(tta))])
    mean = single.mean(axis=0)
    np.testing.assert_allclose(seen.truth_probabilities, mean[1:], rtol=1e-5)
    np.testing.assert_allclose(seen.probabilities, mean.max(), rtol=1e-5)
    assert seen.loss == pytest.approx(-np.log(single[:, 1:]).mean(), rel=1e-5)
    assert tta == "none" or np.abs(single - mean).max() > 1e-3


# -- files ---------------------------------------------------------------------------------------------------------


def seen_of(pairs: list[tuple[int, int]], names: list[str]) -> Validation:
    truths, answers = (np.array(x, np.int64) for x in zip(*pairs, strict=True))
    ones = np.ones(len(pairs), np.float32)
    return Validation(names, 0.5, np.arange(len(pairs)), truths, answers, ones, ones, (truths != answers).astype(int))


def test_confusion_as_csv(tmp_path: Path) -> None:
    seen = seen_of([(0, 0), (0, 2), (0, 2), (2, 1)], ["a, b", 'c "quoted"', "ü"])
    write_confusion(tmp_path / "c.csv", seen)
    rows = list(csv.reader((tmp_path / "c.csv").read_text("utf-8").splitlines()))
    assert rows == [
        ["class", "a, b", 'c "quoted"', "ü"],
        *(["a, b", "1", "0", "2"], ['c "quoted"', "0", "0", "0"], ["ü", "0", "1", "0"]),
    ]
    assert list(tmp_path.iterdir()) == [tmp_path / "c.csv"]


@pytest.mark.parametrize("classes", [1, 2, 10, 30, 150])
def test_confusion_as_a_picture(tmp_path: Path, classes: int) -> None:
    pytest.importorskip("matplotlib")
    pairs = [(i, i if i % 3 else (i + 1) % classes) for i in range(classes)] * 2
    write_confusion(tmp_path / "c.png", seen_of(pairs, [rf"$\x{i}$ with a rather long name" for i in range(classes)]))
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.format == "PNG"
        assert 400 < min(picture.size) <= max(picture.size) < 1800
        colours = np.asarray(picture.convert("RGB"))
    assert (colours.max(axis=2) - colours.min(axis=2) > 100).any()  # something is blue


def test_classes_that_never_occur_are_not_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    names = [f"class {i}" for i in range(1000)]
    write_confusion(tmp_path / "few.png", seen_of([(3, 3), (3, 999)], names))
    write_confusion(tmp_path / "two.png", seen_of([(0, 0), (0, 1)], ["class 3", "class 999"]))
    with Image.open(tmp_path / "few.png") as few, Image.open(tmp_path / "two.png") as two:
        assert few.size == two.size
    many = seen_of([(i, i) for i in range(2001)], [str(i) for i in range(2001)])
    with pytest.raises(InputError, match=r"2,001 classes are too many to draw, the limit is 2,000; take \.csv"):
        write_confusion(tmp_path / "many.png", many)


def test_confusion_needs_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    check_target("x.csv")
    with pytest.raises(UsageError, match=r"needs matplotlib: pip install 'minidarknet\[chart\]'"):
        check_target("x.png")
    with pytest.raises(UsageError, match=r"x\.txt: expected a file that ends in \.csv or \.png"):
        check_target("x.txt")


@pytest.mark.parametrize(
    ("tiles", "columns", "rows"), [(0, 3, 0), (1, 3, 1), (3, 3, 1), (5, 5, 1), (6, 6, 1), (13, 6, 3)]
)
def test_a_contact_sheet_has_room_for_all(tiles: int, columns: int, rows: int) -> None:
    image = np.zeros((3, 8, 8), np.float32)
    sheet = draw_sheet("title", [Tile(thumbnail(image), [("one", "green"), ("two", "red")])] * tiles)
    assert sheet.size == (columns * (TILE + GAP) + GAP, LINE + 2 * GAP + rows * (TILE + 2 * LINE + 2 * GAP))
    dark = np.asarray(sheet).max(axis=2) == 0
    assert dark[LINE + 2 * GAP :].sum() == tiles * TILE**2


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28), (2, 5, 9), (3, 300, 200), (3, 1, 400), (3, 168, 169)])
def test_pictures_fit_their_place(shape: tuple[int, int, int]) -> None:
    """No part of a black picture is outside its place, and no long word runs over."""
    small = thumbnail(np.zeros(shape, np.float32))
    sheet = draw_sheet("t" * 500, [Tile(small, [("w" * 500, "red")]), Tile(small)])
    pixels = np.asarray(sheet)
    dark = np.argwhere(pixels[LINE + 2 * GAP :].max(axis=2) < 60)
    assert dark.min() >= 0
    assert dark[:, 0].max() < TILE
    assert not ((dark[:, 1] >= GAP + TILE) & (dark[:, 1] < 2 * GAP + TILE)).any()
    red = np.argwhere((pixels[:, :, 0] > 200) & (pixels[:, :, 1] < 100))
    assert len(red)
    assert red[:, 1].max() < GAP + TILE


def test_letters_that_the_sheets_font_lacks() -> None:
    """They lose their accents, or become question marks, but no empty boxes."""
    small = thumbnail(np.zeros((3, 8, 8), np.float32))
    sheets = [draw_sheet(text, [Tile(small, [(text, "red")])]).tobytes() for text in ("été 犬", "ete ?")]
    assert sheets[0] == sheets[1]


# -- the original's answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "order"), [("tiny", "imagenet"), ("squeezenet", "imagenet.sorted")])
def test_sixty_photos(shared: Path, name: str, order: str) -> None:
    """All first five classes and their probabilities, as the C program and PyTorch have them."""
    data, golden = shared / "data", arrays(shared / "golden/photos.npz")
    names = str(data / f"{order}.synsets")
    net = md.load(zoo.cfg_path(name), data / f"{name}.weights", names=names, preprocess="center")
    dataset = open_dataset(str(data / "photos/photos.csv"), "all", names=net.names)
    assert [Path(dataset.name(i)).name for i in range(60)] == golden["files"].tolist()
    assert [net.names[dataset.label(i)] for i in range(60)] == golden["synset"].tolist()
    seen = validate(net, dataset, batch=16)
    short = {"tiny": "tiny", "squeezenet": "sq"}[name]
    top5, probabilities = golden[f"{short}_top5"], golden[f"{short}_prob"]
    predicted = [net.predict(dataset.image(i)) for i in range(60)]
    assert [[p.index for p in five] for five in predicted] == top5.tolist()
    found = [[p.probability for p in five] for five in predicted]
    np.testing.assert_allclose(found, probabilities, rtol=2e-4, atol=2e-6)
    assert seen.answers.tolist() == top5[:, 0].tolist()
    np.testing.assert_allclose(seen.probabilities, probabilities[:, 0], rtol=2e-4, atol=2e-6)
    places = [row.tolist().index(truth) if truth in row else 5 for row, truth in zip(top5, seen.truths, strict=True)]
    assert np.minimum(seen.ranks, 5).tolist() == places
    assert (seen.count_right(1), seen.count_right(5)) == {"tiny": (48, 56), "squeezenet": (39, 50)}[name]
