"""Batches made ahead by threads: the same whoever makes them, every picture in turn, and a clean end."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from minidarknet.dataset import Dataset, Pictures, Pixels
from minidarknet.errors import ImageError, InputError, UsageError
from minidarknet.loader import AHEAD, Loader
from minidarknet.net_options import NetOptions
from minidarknet.preprocess import prepare
from minidarknet.shapes import Shape

SHAPE = Shape(3, 8, 8)
OPTIONS = NetOptions(height=8, width=8, channels=3, max_crop=12, angle=10, aspect=0.8, hue=0.1, saturation=1.5)


def pixels(count: int, classes: int = 3) -> Pixels:
    drawn = np.random.default_rng(1).integers(0, 256, (count, 10, 9, 3), np.uint8)
    return Pixels(drawn, np.arange(count) % classes, [*"abcdefgh"[:classes]])


def files(folder: Path, count: int) -> Pictures:
    """Pictures of many sizes, some neighbours alike."""
    paths = []
    for number in range(count):
        size = (8 + number // 2 % 3, 9 + number // 2 % 5)
        drawn = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        paths.append(str(folder / f"{number}.png"))
        Image.fromarray(drawn).save(paths[-1])
    return Pictures(paths, [number % 2 for number in range(count)], ["even", "odd"])


def loader(dataset: Dataset, batch: int = 4, seed: int = 1, **options: object) -> Loader:
    return Loader(dataset, OPTIONS, SHAPE, batch, seed, **options)  # type: ignore[arg-type]


def threads_left() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("minidarknet-loader")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> object:
    yield
    assert not threads_left()


# -- what a batch is -----------------------------------------------------------------------------------------------


def test_a_batch() -> None:
    with loader(pixels(10)) as batches:
        images, truths = batches.batch(0)
    assert (images.shape, images.dtype, images.flags.c_contiguous) == ((4, 3, 8, 8), np.float32, True)
    assert (truths.shape, truths.dtype) == ((4, 3), np.float32)
    assert 0 <= images.min() < images.max() <= 1
    labels = [batches.dataset.label(index) for _, index in batches.places(0)]
    np.testing.assert_array_equal(truths, np.eye(3)[labels])


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("kind", ["pixels", "files"])
def test_batches_are_the_same_for_any_number_of_workers_and_after_any_start(
    kind: str, workers: int, tmp_path: Path
) -> None:
    dataset = pixels(10) if kind == "pixels" else files(tmp_path, 10)
    expected = [loader(dataset).batch(number) for number in range(7)]
    with loader(dataset, workers=workers) as batches:
        for at in (0, 3):
            for (images, truths), (images_, truths_) in zip(batches.start(at), expected[at:], strict=False):
                np.testing.assert_array_equal(images, images_)
                np.testing.assert_array_equal(truths, truths_)


def test_a_picture_is_changed_alike_in_whatever_batch_it_comes(tmp_path: Path) -> None:
    """Its change belongs to seed, round and picture; not to its place or to its neighbours."""
    batches = loader(files(tmp_path, 9), batch=9)
    images, _ = batches.batch(2)
    for image, (epoch, index) in zip(images, batches.places(2), strict=True):
        assert epoch == 2
        np.testing.assert_array_equal(image, batches.picture(index, epoch))


def test_seeds_and_rounds_differ() -> None:
    dataset = pixels(6)
    one, other = loader(dataset, seed=1), loader(dataset, seed=2)
    assert not np.array_equal(one.picture(0, 0), other.picture(0, 0))
    assert not np.array_equal(one.picture(0, 0), one.picture(0, 1))
    twins = Pixels(np.repeat(dataset.pixels[:1], 2, axis=0), np.zeros(2, np.intp), ["a"])
    assert not np.array_equal(loader(twins).picture(0, 0), loader(twins).picture(1, 0))
    orders = [
        tuple(index for _, index in loader(dataset, 6, seed).places(epoch)) for seed in (1, 2) for epoch in (0, 1)
    ]
    assert len(set(orders)) == 4


@pytest.mark.parametrize("batch", [1, 3, 7, 25])
def test_every_round_has_every_picture_once(batch: int) -> None:
    """Also where batches reach from one round into the next, or are larger than the set."""
    batches = loader(pixels(7), batch)
    seen = Counter(itertools.chain.from_iterable(batches.places(number) for number in range(-(-21 // batch))))
    assert all(seen[epoch, index] == 1 for epoch in range(3) for index in range(7))
    assert max(seen.values()) == 1


def test_orders_can_be_asked_back_and_forth() -> None:
    batches = loader(pixels(7), 7)
    forward = [batches.places(number) for number in range(5)]
    assert [batches.places(number) for number in reversed(range(5))] == forward[::-1]


def test_one_picture() -> None:
    with loader(pixels(1), batch=3) as batches:
        images, truths = next(iter(batches))
    assert [index for _, index in batches.places(0)] == [0, 0, 0]
    assert len({image.tobytes() for image in images}) == 3  # three rounds, three changes
    assert truths.tolist() == [[1, 0, 0]] * 3


def test_validation_batches_are_in_order_and_unchanged() -> None:
    dataset = pixels(10)
    with loader(dataset, workers=3, augment=False) as batches:
        found = [*batches]
        assert [len(images) for images, _ in found] == [4, 4, 2]
        assert batches.batches() == 3
        assert len([*batches.start(at=2)]) == 1
    for index, image in enumerate(np.concatenate([images for images, _ in found])):
        np.testing.assert_array_equal(image, prepare(dataset.image(index), "center", 8, 8))
    np.testing.assert_array_equal(np.concatenate([truths for _, truths in found]).argmax(1), dataset.labels)


def test_a_grey_picture_for_a_colour_network(tmp_path: Path) -> None:
    Image.new("L", (9, 9), 100).save(tmp_path / "grey.png")
    dataset = Pictures([str(tmp_path / "grey.png")], [0], ["a"])
    plain = loader(dataset, augment=False).picture(0)
    np.testing.assert_allclose(plain, 100 / 255, rtol=1e-6)
    with pytest.raises(InputError, match=r"x\[0\]: has 1 channels, but the network takes 3"):
        loader(Pixels(np.zeros((1, 9, 9, 1), np.uint8), np.zeros(1, np.intp), ["a"], 1, "x")).batch(0)


# -- running ahead, and ending -------------------------------------------------------------------------------------


class Watched(Dataset):
    """Counts how often a picture is asked for; each waits until it may go on."""

    def __init__(self, count: int) -> None:
        super().__init__(["a"], [0] * count)
        self.asked = 0
        self.gate = threading.Event()
        self.lock = threading.Lock()

    def name(self, i: int) -> str:
        return f"picture {i}"

    def image(self, i: int) -> NDArray[np.float32]:
        with self.lock:
            self.asked += 1
        assert self.gate.wait(10)
        return np.zeros((3, 8, 8), np.float32)


def wait_for(count: int, dataset: Watched) -> None:
    deadline = time.monotonic() + 10
    while dataset.asked < count and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)  # time enough to ask for more than that


def test_batches_are_made_ahead_but_not_endlessly() -> None:
    dataset = Watched(100)
    dataset.gate.set()
    with loader(dataset, workers=2) as batches:
        running = batches.start()
        wait_for(AHEAD * 4, dataset)
        assert dataset.asked == AHEAD * 4  # before anybody asked for one
        next(running)
        wait_for((AHEAD + 1) * 4, dataset)
        assert dataset.asked == (AHEAD + 1) * 4


def test_close_does_not_wait_for_what_nobody_will_see() -> None:
    dataset = Watched(1000)
    shape = Shape(3, 256, 256)  # large pictures, one at a time
    batches = Loader(dataset, OPTIONS, shape, 100, workers=2, augment=False)
    batches.start()
    wait_for(2, dataset)
    threading.Timer(0.05, dataset.gate.set).start()
    batches.close()
    assert dataset.asked == 2


def test_an_interrupt_leaves_no_thread() -> None:
    def train() -> None:
        with loader(pixels(50)) as batches:
            for _ in batches.start():
                assert threads_left()
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert not threads_left()


def test_a_loop_that_is_left_leaves_no_thread() -> None:
    batches = loader(pixels(50))
    for _ in batches:
        break
    batches.close()
    batches.close()


def test_starting_again_ends_what_was_started() -> None:
    with loader(pixels(50)) as batches:
        first = batches.start()
        next(first)
        second = batches.start(at=5)
        assert next(first, None) is None
        np.testing.assert_array_equal(next(second)[0], batches.batch(5)[0])


@pytest.mark.parametrize("workers", [1, 3])
def test_a_picture_that_cannot_be_read_is_named_when_its_turn_comes(tmp_path: Path, workers: int) -> None:
    dataset = files(tmp_path, 12)
    Path(dataset.paths[6]).write_bytes(Path(dataset.paths[6]).read_bytes()[:60])
    with loader(dataset, workers=workers, augment=False) as batches:
        running = batches.start()
        next(running)
        with pytest.raises(ImageError, match=r"6\.png: this PNG picture cannot be decoded"):
            next(running)
        assert not threads_left()
        assert next(running, None) is None


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"seed": -1}, {"workers": 0}])
def test_numbers_that_mean_nothing(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="expected 1, 0 and 1 or more"):
        loader(pixels(1), **wrong)


@pytest.mark.parametrize("name", ["aspect", "saturation", "exposure"])
def test_factors_are_above_0(name: str) -> None:
    options = NetOptions(height=8, width=8, channels=3, **{name: 0.0})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=rf"\[net\] {name}=0: expected a factor above 0"):
        Loader(pixels(1), options, SHAPE, 1)
    Loader(pixels(1), options, SHAPE, 1, augment=False)


def test_an_empty_set_and_a_network_without_pictures() -> None:
    with pytest.raises(InputError, match="no picture to load"):
        loader(Pictures([], [], ["a"]))
    with pytest.raises(InputError, match="takes 192 numbers, not pictures"):
        Loader(pixels(1), OPTIONS, Shape.flat(192), 1)


def test_batches_that_do_not_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDARKNET_MEMORY", "1")
    loader(pixels(10), batch=300)
    with pytest.raises(InputError, match=r"batches of 400 pictures take 1\.2 MiB when made ahead"):
        loader(pixels(10), batch=400)
