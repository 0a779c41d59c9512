"""The way back of a convolution: two more convolutions, for which the same tile serves.

    by the input      every pixel gets, through each window that saw it, the weight that it was seen with: a convolution
                      of the output's gradient with the filters turned about, channels and filters having changed places
    by the weights    every weight gets, from each pixel, what it was multiplied with: a sum over the pixels, see
                      `kernels/weight_sums.py`; for 3x3, its fewer multiplications are in `kernels/winograd_back.py`

    filters turned about:    1 2 3          9 8 7
                             4 5 6    ->    6 5 4        padding  ->  size - 1 - padding
                             7 8 9          3 2 1

Where the windows have a stride, or more padding than size - 1, the output's gradient is first spread over a larger
plane, with zeros between its numbers. Nothing here is arithmetic.

Lesson: lessons/03_convolution.py
"""

from __future__ import annotations

import numpy as np

from minidarknet.layers.base import Place, Run
from minidarknet.layers.convolver import Convolver, choose
from minidarknet.layers.parameter import Array
from minidarknet.memory import aligned
from minidarknet.shapes import Shape

ONE = np.float32(1)


class InputGradient:
    """The gradient by a convolution's input.

    Parameters
    ----------
    forward
        The convolution.
    """

    def __init__(self, forward: Convolver) -> None:
        self.geometry = g = forward
        padding = g.size - 1 - g.padding
        self.spreads = g.stride > 1 or padding < 0
        self.wide = Shape(g.target.channels, g.source.height + g.size - 1, g.source.width + g.size - 1)
        source, padding = (self.wide, 0) if self.spreads else (g.target, padding)
        self.convolver = choose(source, g.source, g.size, 1, padding, g.groups)

    def workspace_size(self) -> int:
        return aligned(self.convolver.workspace_size()) + (self.wide.size if self.spreads else 0)

    def turned(self, weights: Array) -> Array:
        """Filters (filters, channels / groups, size, size) turned about: (channels, filters / groups, size, size)."""
        g = self.geometry
        grouped = weights.reshape(g.groups, g.filters, g.part, g.size, g.size)
        turned = grouped.transpose(0, 2, 1, 3, 4)[..., ::-1, ::-1]
        return np.ascontiguousarray(turned).reshape(g.source.channels, g.filters, g.size, g.size)

    def run(self, grad_input: Array, grad: Array, weights: Array, run: Run) -> None:
        """Write the gradient by x into grad_input (batch, channels, height, width)."""
        packed = self.convolver.pack(self.turned(weights))
        biases = self.convolver.pad(np.zeros(self.geometry.source.channels, np.float32))
        numbers = grad_input.reshape(len(grad), self.geometry.source.size)
        if not self.spreads:
            self.convolver.run(Place(numbers), grad, packed, biases, ONE, run)
            return
        start = aligned(self.convolver.workspace_size())
        wide = run.workspace[start : start + self.wide.size].reshape(1, *self.wide.array_shape)
        for b in range(len(grad)):
            spread(wide[0], grad[b], self.geometry.stride, self.geometry.size - 1 - self.geometry.padding)
            self.convolver.run(Place(numbers[b : b + 1]), wide, packed, biases, ONE, run)


def spread(wide: Array, grad: Array, stride: int, first: int) -> None:
    """Write the numbers of grad (channels, rows, columns) into planes of zeros, every `stride` cells from `first` on.

    Those that would lie outside have only seen padding.
    """
    wide[:] = 0
    skip = -(-max(0, -first) // stride)  # of negative places
    start = first + skip * stride
    target = wide[:, start::stride, start::stride]
    part = grad[:, skip:, skip:][:, : target.shape[1], : target.shape[2]]
    target[:, : part.shape[1], : part.shape[2]] = part
