"""Batches of pictures, made ahead by threads, so that the kernels never wait for them.

Which pictures a batch has and how each is changed depends on the seed and the batch's number alone: not on the number
of threads, nor on where training began. The pictures come in rounds (epochs), each a new random order of all of them;
a batch may reach from one round into the next.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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

    Notes
    -----
    >>> with Loader(dataset, network.options, network.input_shape, 32, seed=1) as loader:
    ...     for images, truths in loader.start(at=100):
    ...         ...
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
            pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[Batch]:
        return self.start()

    def close(self) -> None:
        """Stop the threads; what they were about to make is dropped."""
        if self._pool is not None:
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
            pool.submit(self._fill, images[first : first + step], places[first : first + step])
            for first in range(0, len(places), step)
        ]
        return (images, truths), parts

    def _empty(self, places: list[tuple[int, int]]) -> Batch:
        images = np.empty((len(places), *self.shape.array_shape), np.float32)
        truths = np.zeros((len(places), len(self.dataset.names)), np.float32)
        for row, (_, index) in enumerate(places):
            truths[row, self.dataset.label(index)] = 1
        return images, truths

    def _fill(self, images: NDArray[np.float32], places: list[tuple[int, int]]) -> None:
        for image, (epoch, index) in zip(images, places, strict=True):
            image[:] = self.picture(index, epoch)

    def picture(self, index: int, epoch: int = 0) -> NDArray[np.float32]:
        """What the network sees of picture `index` in round `epoch`: float32 (channels, height, width)."""
        try:
            return self._prepare(self.dataset.image(index), index, epoch)
        except InputError as error:
            name = self.dataset.name(index)
            if name in str(error):
                raise
            raise InputError(f"{name}: {error}") from None

    def _prepare(self, image: NDArray[np.float32], index: int, epoch: int) -> NDArray[np.float32]:
        channels, height, width = self.shape.array_shape
        if len(image) != channels:
            raise InputError(f"has {len(image)} channels; the network takes {channels}")
        if not self.augment:
            return prepare(image, "center", height, width)
        chance = np.random.default_rng([self.seed, CHANGE, epoch, index]).random(DRAWN)
        change = draw(self.options, (image.shape[1], image.shape[2]), (height, width), chance)
        return apply(image, change, height, width, self.options.center)

    def _order(self, epoch: int) -> NDArray[np.intp]:
        """The order of the pictures in a round; only the latest few are kept."""
        if epoch not in self._orders:
            while len(self._orders) > 1:
                self._orders.pop(min(self._orders))
            self._orders[epoch] = np.random.default_rng([self.seed, ORDER, epoch]).permutation(len(self.dataset))
        return self._orders[epoch]
