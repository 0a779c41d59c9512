"""How often a network is right about pictures whose class is known (see `minidarknet.labelled`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from minidarknet.errors import InputError
from minidarknet.images import read_image
from minidarknet.labelled import Labelled, class_numbers
from minidarknet.prediction import Classifier


@dataclass(frozen=True)
class Accuracy:
    """Of how many pictures the right class came first, and of how many it was among the first five."""

    pictures: int
    top1: int
    top5: int


def measure_accuracy(
    net: Classifier,
    pictures: Sequence[Labelled],
    counted: Callable[[], None] = lambda: None,
    unreadable: Callable[[str, InputError], None] | None = None,
) -> Accuracy:
    """Let a network with names predict all pictures, each prepared as `net.preprocess` says.

    `counted` is called after each picture, `unreadable` with the path and the error of one that cannot be read, which
    then does not count; without `unreadable`, the error is raised.
    """
    net.check_preprocess()
    read = first = five = 0
    for picture, numbers in zip(pictures, class_numbers(pictures, net.names), strict=True):
        try:
            top = [prediction.index for prediction in net.predict(read_image(picture.path, net.home.channels))]
        except InputError as error:
            if unreadable is None:
                raise
            unreadable(picture.path, error)
        else:
            read += 1
            first += top[0] in numbers
            five += not numbers.isdisjoint(top)
        counted()
    return Accuracy(read, first, five)
