"""Shapes of layers, and the one formula by which a window slides: known before any memory is taken."""

from __future__ import annotations

from dataclasses import dataclass

#: Darknet counts elements in 32-bit integers; a larger array cannot be described by a cfg that Darknet reads.
MAXIMUM_ELEMENTS = 2**31 - 1


@dataclass(frozen=True)
class Shape:
    """What one image looks like between two layers.

    Attributes
    ----------
    channels, height, width
        The sides of the array; a vector of n numbers is n x 1 x 1.
    is_image
        False for what Darknet calls an output without image dimensions (a softmax, a route over different sizes):
        a vector that no convolution or pooling may follow.
    """

    channels: int
    height: int = 1
    width: int = 1
    is_image: bool = True

    @classmethod
    def flat(cls, size: int) -> Shape:
        """A vector of `size` numbers that is no image."""
        return cls(size, is_image=False)

    @property
    def size(self) -> int:
        """How many numbers one image has."""
        return self.channels * self.height * self.width

    @property
    def array_shape(self) -> tuple[int, int, int]:
        """The sides in the order of the array: channels, height, width."""
        return self.channels, self.height, self.width

    def table_cells(self) -> str:
        """The sides as they stand in Darknet's layer table: width, height, channels."""
        return f"{self.width:4d} x{self.height:4d} x{self.channels:4d}"

    def __str__(self) -> str:
        return f"{self.width} x {self.height} x {self.channels}" if self.is_image else f"{self.size} numbers"


def window_positions(length: int, size: int, stride: int, padding: int) -> int:
    """How many places a window of `size` takes along `length` cells, `padding` being the total of both ends.

    >>> window_positions(224, 3, 1, 2), window_positions(227, 11, 4, 0)
    (224, 55)
    """
    return (length + padding - size) // stride + 1
