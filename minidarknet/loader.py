"""Batches of pictures, made ahead by threads, so that the kernels never wait for them.

Which pictures a batch has and how each is changed depends on the seed and the batch's number alone: not on the number
of threads, nor on where training began. The pictures come in rounds (epochs), each a new random order of all of them;
a batch may reach from one round into the next.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from minidarknet.dataset import Dataset
from minidarknet.errors import InputError, UsageError
from minidarknet.memory import mebibytes, memory_limit
from minidarknet.net_options import NetOptions
from minidarknet.preprocess import prepare
from minidarknet.shapes import Shape
from minidarknet.transform import DRAWN, apply, draw

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]
#: A batch that is being made, and what its threads are at.
Made = tuple[Batch, list[Future[None]]]

#: Batches that are kept ready; one would do if all took equally long.
AHEAD = 3
#: Pixels that are changed at once: as many as stay in a processor's cache.
TOGETHER = 32_768
#: What a seed is used for: different numbers, so that no two uses draw the same.
ORDER, CHANGE = 1, 2


class Loader:
    """Batches of changed pictures for training, or of unchanged ones for validation.

    Parameters
    ----------
    dataset
        The pictures; with as many channels as the shape.
    options
        The [net] section, with the bounds of the changes.
    shape
        The network's input.
    batch
        Pictures a batch.
    seed
        0 or more.
    workers
        Threads; None for one for each processor.
    augment
        False for pictures in their own order, unchanged but for the centred square that Darknet's `valid` takes; the
        last batch of a round is then shorter, and iteration ends with it.

    Examples
    --------
    >>> from minidarknet import Network, zoo
    >>> from minidarknet.data import open_dataset
    >>> network = Network.from_cfg(zoo.cfg_path("digits"))
    >>> dataset = open_dataset("digits", "train", network.input_shape.channels)
    >>> with Loader(dataset, network.options, network.input_shape, batch=32, seed=1) as loader:
    ...     images, truths = next(iter(loader.start(at=100)))
    >>> images.shape, truths.shape
    ((32, 1, 8, 8), (32, 10))
    """

    def __init__(
        self,
        dataset: Dataset,
        options: NetOptions,
        shape: Shape,
        batch: int,
        seed: int = 0,
        workers: int | None = None,
        augment: bool = True,
    ) -> None:
        if not len(dataset):
            raise InputError("there is no picture to load")
        if not shape.is_image:
            raise InputError(f"the network takes {shape}, not pictures")
        for name in ("aspect", "saturation", "exposure"):
            if augment and getattr(options, name) <= 0:
                raise InputError(
                    f"[net] {name}={getattr(options, name):g}: expected a factor above 0; 1 changes nothing"
                )
        if batch < 1 or seed < 0 or (workers is not None and workers < 1):
            raise UsageError(f"batch={batch}, seed={seed}, workers={workers}: expected 1, 0 and 1 or more")
        ahead = (AHEAD + 1) * batch * (shape.size + len(dataset.names)) * 4
        if ahead > memory_limit():
            raise InputError(
                f"batches of {batch:,} pictures take {mebibytes(ahead)} when made ahead; take a smaller one"
            )
        self.dataset, self.options, self.shape = dataset, options, shape
        self.batch_size, self.seed, self.augment = batch, seed, augment
        self.workers = workers or os.cpu_count() or 1
        self._pool: ThreadPoolExecutor | None = None
        self._stop = Event()
        self._orders: dict[int, NDArray[np.intp]] = {}

    def batches(self) -> int:
        """Batches of one round, the last of them perhaps not full."""
        return -(-len(self.dataset) // self.batch_size)

    def places(self, number: int) -> list[tuple[int, int]]:
        """The round and the picture of each place in batch `number`."""
        size, first = len(self.dataset), number * self.batch_size
        if not self.augment:
            return [(0, place) for place in range(first, min(first + self.batch_size, size))]
        return [(p // size, int(self._order(p // size)[p % size])) for p in range(first, first + self.batch_size)]

    def batch(self, number: int) -> Batch:
        """Batch `number`, from 0 on: images float32 (pictures, channels, height, width), truths (pictures, classes)."""
        places = self.places(number)
        images, truths = self._empty(places)
        self._fill(images, places)
        return images, truths

    def start(self, at: int = 0) -> Iterator[Batch]:
        """The batches from number `at` on, made ahead from now on; without end when augmenting.

        A loader does this once at a time: starting again, or `close`, ends what was started before.
        """
        self.close()
        self._stop = Event()
        self._pool = pool = ThreadPoolExecutor(self.workers, thread_name_prefix="minidarknet-loader")
        numbers = itertools.count(at) if self.augment else iter(range(at, self.batches()))
        ready = deque(self._submit(pool, number) for number in itertools.islice(numbers, AHEAD))
        return self._deliver(pool, numbers, ready)

    def _deliver(self, pool: ThreadPoolExecutor, numbers: Iterator[int], ready: deque[Made]) -> Iterator[Batch]:
        try:
            while ready and self._pool is pool:
                batch, parts = ready.popleft()
                for part in parts:
                    part.result()  # raises here what went wrong there
                ready.extend(self._submit(pool, number) for number in itertools.islice(numbers, 1))
                yield batch
        finally:
            if self._pool is pool:
                self.close()

    def __iter__(self) -> Iterator[Batch]:
        return self.start()

    def close(self) -> None:
        """Stop the threads after the pictures that they are at; what they were about to make is dropped."""
        if self._pool is not None:
            self._stop.set()
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _submit(self, pool: ThreadPoolExecutor, number: int) -> Made:
        """Share the pictures of a batch among the threads; each writes its own rows."""
        places = self.places(number)
        images, truths = self._empty(places)
        step = -(-len(places) // self.workers)
        parts = [
            pool.submit(self._fill, images[first : first + step], places[first : first + step], self._stop)
            for first in range(0, len(places), step)
        ]
        return (images, truths), parts

    def _empty(self, places: list[tuple[int, int]]) -> Batch:
        images = np.empty((len(places), *self.shape.array_shape), np.float32)
        truths = np.zeros((len(places), len(self.dataset.names)), np.float32)
        for row, (_, index) in enumerate(places):
            truths[row, self.dataset.label(index)] = 1
        return images, truths

    def _fill(self, images: NDArray[np.float32], places: list[tuple[int, int]], stop: Event | None = None) -> None:
        """Make some pictures of a batch. Small ones of one size are changed together, as calls cost more than they."""
        _, height, width = self.shape.array_shape
        together = max(1, TOGETHER // (height * width))
        for first in range(0, len(places), together):
            if stop is not None and stop.is_set():
                return
            group = places[first : first + together]
            read = [self._read(index) for _, index in group]
            # Bits do not depend on who is changed together, only time does.
            for begin, end in _runs([image.shape for image in read]):
                images[first + begin : first + end] = self._prepare(read[begin:end], group[begin:end])

    def picture(self, index: int, epoch: int = 0) -> NDArray[np.float32]:
        """What the network sees of picture `index` in round `epoch`: float32 (channels, height, width)."""
        image = np.empty((1, *self.shape.array_shape), np.float32)
        self._fill(image, [(epoch, index)])
        return image[0]

    def _read(self, index: int) -> NDArray[np.float32]:
        image = self.dataset.image(index)
        if len(image) != self.shape.channels:
            name, channels = self.dataset.name(index), self.shape.channels
            raise InputError(f"{name}: has {len(image)} channels, but the network takes {channels}")
        return image

    def _prepare(self, images: list[NDArray[np.float32]], places: list[tuple[int, int]]) -> NDArray[np.float32]:
        """Change pictures of one size: (pictures, channels, height, width)."""
        _, height, width = self.shape.array_shape
        if not self.augment:
            return np.stack([prepare(image, "center", height, width) for image in images])
        size = images[0].shape[1], images[0].shape[2]
        changes = [draw(self.options, size, (height, width), self._chance(*place)) for place in places]
        return apply(images, changes, self.options, height, width).swapaxes(0, 1)

    def _chance(self, epoch: int, index: int) -> NDArray[np.float64]:
        """Random numbers in 0..1 that belong to this picture in this round.

        Philox encrypts a counter with a key: any place of its endless row of numbers is reached at once.
        """
        raw = np.asarray(np.random.Philox(key=[self.seed, CHANGE], counter=[0, 0, epoch, index]).random_raw(DRAWN))
        chance: NDArray[np.float64] = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return chance

    def _order(self, epoch: int) -> NDArray[np.intp]:
        """The order of the pictures in a round; only the latest few are kept."""
        if epoch not in self._orders:
            while len(self._orders) > 1:
                self._orders.pop(min(self._orders))
            self._orders[epoch] = np.random.default_rng([self.seed, ORDER, epoch]).permutation(len(self.dataset))
        return self._orders[epoch]


def _runs(things: Sequence[object]) -> Iterator[tuple[int, int]]:
    """Where runs of equal things begin and end."""
    start = 0
    for stop in range(1, len(things) + 1):
        if stop == len(things) or things[stop] != things[start]:
            yield start, stop
            start = stop
