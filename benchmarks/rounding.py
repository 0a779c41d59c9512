"""How much a 3x3 convolution rounds in float32: the direct sum, and Winograd with patches and points of several kinds.

    python -m benchmarks.rounding

Random images and filters, the error against float64 as a share of the largest output, for 16, 64 and 256 channels. The
transformations are made here from their points alone (Cook and Toom), in plain NumPy, apart from the package's kernels.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import table

Matrix = NDArray[np.float64]
CHANNELS, FILTERS, PATCHES, SIZE = (16, 64, 256), 32, 100, 3
#: Side of a patch's outputs, and the points beside infinity.
KINDS: dict[str, tuple[int, tuple[float, ...]]] = {
    "2x2 outputs: 0, 1, -1": (2, (0, 1, -1)),
    "3x3 outputs: 0, 1, -1, 1/2": (3, (0, 1, -1, 0.5)),
    "4x4 outputs: 0, 1, -1, 2, -2 (the paper's)": (4, (0, 1, -1, 2, -2)),
    "4x4 outputs: 0, 1, -1, 1/2, -1/2": (4, (0, 1, -1, 0.5, -0.5)),
    "4x4 outputs: 0, 3/4, -3/4, 3/2, -3/2 (ours)": (4, (0, 0.75, -0.75, 1.5, -1.5)),
}


def matrices(side: int, points: tuple[float, ...]) -> tuple[Matrix, Matrix, Matrix]:
    """A', G and B' of Winograd's convolution with `side` outputs and a filter of SIZE, from its points and infinity."""
    count = side + SIZE - 1
    others = [[q for q in points if q != p] for p in points]
    back = np.zeros((side, count))
    into_filter, into_image = np.zeros((count, SIZE)), np.zeros((count, count))
    for i, p in enumerate(points):
        back[:, i] = [p**power for power in range(side)]
        into_filter[i] = [p**power / np.prod([p - q for q in others[i]]) for power in range(SIZE)]
        into_image[i, : count - 1] = np.poly(others[i])[::-1]
    back[-1, -1] = into_filter[-1, -1] = 1
    into_image[-1] = np.poly(points)[::-1]
    return back, into_filter, into_image


def data(side: int, channels: int) -> tuple[NDArray[np.float32], NDArray[np.float32], Matrix]:
    """Patches (channels, PATCHES, in, in) after a leaky activation, filters, and the exact outputs."""
    generator, width = np.random.default_rng(0), side + SIZE - 1
    patches = generator.standard_normal((channels, PATCHES, width, width)).astype(np.float32)
    patches = np.maximum(patches, np.float32(0.1) * patches)
    spread = np.sqrt(2 / (SIZE * SIZE * channels))
    filters = (generator.standard_normal((FILTERS, channels, SIZE, SIZE)) * spread).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(patches.astype(np.float64), (SIZE, SIZE), axis=(2, 3))
    return patches, filters, np.einsum("ctijyx,fcyx->ftij", windows, filters.astype(np.float64), optimize=True)


def winograd_error(side: int, points: tuple[float, ...], channels: int) -> float:
    patches, filters, exact = data(side, channels)
    back, into_filter, into_image = matrices(side, points)
    a, b = back.astype(np.float32), into_image.astype(np.float32)
    u = np.einsum("iy,fcyx,jx->ijfc", into_filter, filters.astype(np.float64), into_filter).astype(np.float32)
    v = np.einsum("ctix,jx->ijct", np.einsum("iy,ctyx->ctix", b, patches), b)
    sums = np.zeros((*u.shape[:3], PATCHES), np.float32)
    for c in range(channels):
        sums += u[:, :, :, c, None] * v[:, :, c][:, :, None, :]
    outputs = np.einsum("ixft,jx->ftij", np.einsum("iy,yxft->ixft", a, sums), a)
    return float(np.abs(outputs - exact).max() / np.abs(exact).max())


def direct_error(channels: int) -> float:
    patches, filters, exact = data(4, channels)
    sums = np.zeros(exact.shape, np.float32)
    for c, y, x in np.ndindex(channels, SIZE, SIZE):
        sums += filters[:, c, y, x][:, None, None, None] * patches[c][:, y : y + 4, x : x + 4]
    return float(np.abs(sums - exact).max() / np.abs(exact).max())


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m benchmarks.rounding", description=(__doc__ or "").splitlines()[0]
    ).parse_args()
    cells = [["", *(f"{channels} channels" for channels in CHANNELS)]]
    cells.append(["the direct sum", *(f"{direct_error(channels):.1e}" for channels in CHANNELS)])
    for name, (side, points) in KINDS.items():
        cells.append([name, *(f"{winograd_error(side, points, channels):.1e}" for channels in CHANNELS)])
    print(table(cells, left=(0,)))


if __name__ == "__main__":
    main()
