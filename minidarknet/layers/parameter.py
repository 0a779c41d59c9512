"""What a layer learns or keeps: its parameters, and how they begin.

Lesson: lessons/11_sgd.py
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from minidarknet.errors import InputError
from minidarknet.memory import aligned

#: Every array of numbers in a network: float32 and C-contiguous.
Array = NDArray[np.float32]


def empty_aligned(size: int) -> Array:
    """An array of `size` numbers that begins on a cache line."""
    memory = np.empty(size + aligned(1), np.float32)
    skip = -(memory.ctypes.data // 4) % aligned(1)
    return memory[skip : skip + size]


@dataclass(frozen=True)
class Initial:
    """How a parameter begins: a constant, plus random numbers of the given spread."""

    constant: float = 0.0
    normal: float = 0.0
    uniform: float = 0.0

    @property
    def is_constant(self) -> bool:
        return self.normal == 0 and self.uniform == 0

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        """A new array: constant + normal * N(0, 1) + uniform * U(-1, 1)."""
        values = np.full(shape, self.constant, np.float32)
        if self.normal:
            values += np.float32(self.normal) * generator.standard_normal(shape, np.float32)
        if self.uniform:
            values += np.float32(self.uniform) * (2 * generator.random(shape, np.float32) - 1)
        return values


class Parameter:
    """Numbers that are learned or kept by a layer; nearly all are stored in the `.weights` file.

    Attributes
    ----------
    name
        Darknet's word for it: biases, scales, rolling_mean, rolling_variance, weights.
    shape
        Its sides; known before `array` is there.
    initial
        How it begins when it is not loaded.
    stored
        False where Darknet's files have no place for it.
    array
        The numbers, float32, or None before they are loaded or drawn.
    learns
        Whether training follows its gradient; False for the rolling averages, which only keep what was seen.
    grad
        The gradient of the loss, of the same shape, summed over the images since it was last cleared; None before
        training.
    version
        Grows whenever `array` is set. A layer that keeps the numbers in another order looks at it; whoever changes
        numbers in place sets `array` to itself afterwards.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        initial: Initial | None = None,
        stored: bool = True,
        learns: bool = True,
    ) -> None:
        self.name = name
        self.shape = shape
        self.initial = initial or Initial()
        self.stored = stored
        self.learns = learns
        self.grad: Array | None = None
        self.version = 0
        self._array: Array | None = None

    @property
    def array(self) -> Array | None:
        return self._array

    @array.setter
    def array(self, array: Array) -> None:
        self._array = array
        self.version += 1

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    @property
    def value(self) -> Array:
        """The numbers; an error where there are none yet."""
        if self.array is None:
            sides = "x".join(map(str, self.shape))
            raise InputError(f"{self.name} ({sides}) without values: load a weights file or draw random ones")
        return self.array

    @property
    def gradient(self) -> Array:
        """The gradient; an error where no memory has been taken for it (see `learning.py`)."""
        if self.grad is None:
            raise InputError(f"{self.name} without a gradient: only a Learner's network learns")
        return self.grad
