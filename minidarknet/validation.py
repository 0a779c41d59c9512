"""How often a network is right about pictures whose class is known, and where it goes wrong.

    seen = validate(net, dataset)
    seen.top1                      0.8: of ten pictures, eight were given their class
    seen.count_right(5)            of how many the right class was among the five most probable
    seen.scores()                  class by class: how many, how many right, taken for what

There is one measure of accuracy, and this is it: `minidarknet validate`, `compare --data` and training all ask here.
Of equally probable classes the lower number comes first, as in Darknet.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidarknet.data import Dataset, check_dataset
from minidarknet.errors import InputError, UsageError
from minidarknet.layers.parameter import Array
from minidarknet.prediction import Classifier, in_batches
from minidarknet.views import check_views, count_views, prepare_views, view

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """One class: its pictures, and what the network made of them.

    Attributes
    ----------
    pictures, right
        How many pictures show this class, and how many of them were given it.
    said
        How many pictures were given it, rightly or not.
    confused_with, confused
        The class that its pictures were most often mistaken for, and how many were; None and 0 without a mistake.
    """

    index: int
    name: str
    pictures: int
    right: int
    said: int
    confused_with: int | None
    confused: int

    @property
    def recall(self) -> float | None:
        """Of the pictures of this class, the share that was recognised; None where there is no such picture."""
        return self.right / self.pictures if self.pictures else None

    @property
    def precision(self) -> float | None:
        """Of the pictures that were given this class, the share that shows it; None where none was."""
        return self.right / self.said if self.said else None


@dataclass(frozen=True)
class Validation:
    """What a network said of each picture that could be read; all shares and tables follow from that.

    Attributes
    ----------
    names
        The classes' names, as the data has them.
    loss
        The network's own loss, the mean over the pictures and all looks at them; None where it has no loss, infinite
        where a right class has a probability of 0.
    pictures
        (count,) each picture's number in the data.
    truths, answers
        (count,) the number of the right class, and of the most probable one.
    truth_probabilities, probabilities
        (count,) float32: how probable the network found the one and the other.
    ranks
        (count,) the place of the right class in the network's order: 0 where it is right.
    """

    names: Sequence[str]
    loss: float | None
    pictures: Numbers
    truths: Numbers
    answers: Numbers
    truth_probabilities: Array
    probabilities: Array
    ranks: Numbers

    @property
    def count(self) -> int:
        """How many pictures could be read."""
        return len(self.pictures)

    def count_right(self, top: int = 1) -> int:
        """Of how many pictures the right class was among the `top` most probable."""
        return int((self.ranks < top).sum())

    @property
    def top1(self) -> float:
        """The share of pictures that were given their class; NaN where no picture could be read."""
        return self.share_right(1)

    def share_right(self, top: int) -> float:
        """The share of pictures whose class was among the `top` most probable; NaN where no picture could be read."""
        return self.count_right(top) / self.count if self.count else math.nan

    def confusion(self) -> Counter[tuple[int, int]]:
        """How many pictures of a class were given which: (right class, answer) -> pictures, without what never was.

        Most classes are never taken for most others: for a thousand of them this is far smaller than a square.
        """
        return Counter(zip(self.truths.tolist(), self.answers.tolist(), strict=True))

    def scores(self) -> list[Score]:
        """The table of classes, all of them, in their order."""
        classes = len(self.names)
        pictures, said = (np.bincount(x, minlength=classes).tolist() for x in (self.truths, self.answers))
        right = np.bincount(self.truths[self.ranks == 0], minlength=classes).tolist()
        confused: list[tuple[int, int | None]] = [(0, None)] * classes
        for (truth, answer), times in sorted(self.confusion().items()):
            if truth != answer and times > confused[truth][0]:  # of equals the lower number
                confused[truth] = times, answer
        return [
            Score(i, name, pictures[i], right[i], said[i], confused[i][1], confused[i][0])
            for i, name in enumerate(self.names)
        ]

    def mistakes(self) -> list[int]:
        """The positions of all wrong answers in these arrays, the one that the network was surest of first."""
        wrong = np.flatnonzero(self.ranks > 0)
        return wrong[np.argsort(-self.probabilities[wrong], kind="stable")].tolist()


def validate(
    net: Classifier,
    dataset: Dataset,
    *,
    batch: int = 16,
    tta: str = "none",
    counted: Callable[[], None] = lambda: None,
    unreadable: Callable[[str, InputError], None] | None = None,
) -> Validation:
    """Let a network say what is in all pictures, and keep what it said next to what is true.

    Pictures are read when their turn comes, so that any number of them fits into memory.

    Parameters
    ----------
    net
        Its `preprocess` says how pictures are prepared; ten crops have a way of their own.
    dataset
        As `open_dataset` gives it, with as many classes as the network has outputs.
    batch
        How many pictures of one size run at a time.
    tta
        A key of `VIEWS`: how many looks at each picture are averaged.
    counted
        Called after each picture.
    unreadable
        Called with the name and the error of a picture that cannot be read, which then does not count. Without it,
        the error is raised.

    Raises
    ------
    InputError
        The classes do not fit to the network, the network takes no pictures, or there is no memory for such a batch.
    UsageError
        The network cannot take pictures prepared in this way.
    NonFiniteError
        A layer put out NaN or infinity.
    """
    check_views(tta)
    if batch < 1:
        raise UsageError(f"batch={batch}: expected 1 or more")
    net.check_preprocess("stretch" if tta == "ten-crop" else None)
    check_dataset(dataset, net)
    net.check_memory(min(batch, len(dataset)))
    found: list[tuple[Any, ...]] = []  # arrays
    losses: list[float] = []
    for numbers, images in in_batches(_prepared(net, dataset, tta, counted, unreadable), batch):
        labels = np.array([dataset.label(i) for i in numbers])
        answers, loss = _look(net, images, labels, tta)
        if loss is not None:
            losses.append(loss)
        found.append((np.array(numbers), *_judge(answers, labels)))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)] or [np.empty(0, np.int64)] * 6
    mean = sum(losses) / len(columns[0]) if losses else None
    return Validation(dataset.names, mean, *columns)


def _prepared(
    net: Classifier,
    dataset: Dataset,
    tta: str,
    counted: Callable[[], None],
    unreadable: Callable[[str, InputError], None] | None,
) -> Iterator[tuple[int, Array]]:
    """The number of each picture that can be read, and what the looks at it are cut from."""
    for number in range(len(dataset)):
        try:
            image = prepare_views(net, dataset.image(number), tta)
        except InputError as error:
            if unreadable is None:
                raise
            unreadable(dataset.name(number), error)
        else:
            yield number, image
        counted()


def _look(net: Classifier, images: Array, labels: Numbers, tta: str) -> tuple[Array, float | None]:
    """What the network says of pictures, (batch, classes), and its loss summed over them: means over all looks."""
    truth = np.zeros((len(labels), net.output_shape.size), np.float32)
    truth[np.arange(len(labels)), labels] = 1
    views = count_views(tta)
    total, losses = np.zeros_like(truth), []
    for number in range(views):
        total += net.probabilities(view(images, tta, number), truth)
        if net.loss is not None:
            losses.append(net.loss)
    return total / np.float32(views), sum(losses) / views if losses else None


def _judge(answers: Array, truths: Numbers) -> tuple[Numbers, Numbers, Array, Array, Numbers]:
    """For a batch of answers (batch, classes): truths, answers, both's probabilities, and the ranks of the truths."""
    rows = np.arange(len(answers))
    best = answers.argmax(axis=1)  # of equals the first
    its = answers[rows, truths][:, None]
    earlier = np.arange(answers.shape[1]) < truths[:, None]
    ranks = ((answers > its) | ((answers == its) & earlier)).sum(axis=1)
    return truths, best, its[:, 0], answers[rows, best], ranks
