"""What is odd about a network's input: a range that no picture has, and how the inputs of two runs are related.

A picture comes to a network in 0..1, red before green before blue. Other programs have 0..255, a mean of 0, or blue
first; a network that is fed so does not fail, it is only wrong more often.
"""

from __future__ import annotations

import numpy as np

from minidarknet.layers.parameter import Array

#: How far beyond 0..1 a number may lie by rounding; and the most that is less than a picture should have.
SLACK, DARK = 1e-3, 1.5 / 255
#: Inputs are the same but for a factor or an order where no number is further off, as a share of the largest.
SAME = 1e-5


def odd_range(x: Array) -> str:
    """What is odd about the range of pictures (images, channels, height, width); empty where nothing is."""
    if x.shape[1] not in (1, 3) or x.shape[2] * x.shape[3] == 1 or not np.isfinite(x).all():
        return ""  # no pictures, or worse
    low, high = float(x.min()), float(x.max())
    found = f"the input lies in {low:.4g} to {high:.4g}; pictures lie in 0 to 1"
    if low < -SLACK:
        return f"{found}: was a mean subtracted? Networks of Darknet's expect none"
    if high > 1 + SLACK:
        return f"{found}: is it still to be divided by 255?" if high <= 255 + SLACK else found
    if low == high:
        return f"the input is {low:.4g} everywhere: is it a picture?"
    return f"{found}: was it divided by 255 twice?" if high <= DARK else ""


def relation(a: Array, b: Array) -> str:
    """How the second input is the first one, changed as a whole; empty where no such change is known."""
    if a.shape != b.shape or a.ndim != 4 or not (np.isfinite(a).all() and np.isfinite(b).all()) or _alike(a, b):
        return ""
    if a.shape[1] == 3 and _alike(a[:, ::-1], b):
        return "the second input is the first with its channels the other way round: red and blue are swapped"
    if _alike(a[..., ::-1], b):
        return "the second input is the mirror image of the first"
    spread = float(a.std())
    if spread == 0:
        return ""
    factor = float(b.std()) / spread
    shift = float(b.mean()) - factor * float(a.mean())
    if not _alike(np.float32(factor) * a + np.float32(shift), b):
        return ""
    shifted = f", plus {shift:.4g}" if abs(shift) > SAME * float(np.abs(b).max()) else ""
    return f"the second input is {factor:.4g} times the first{shifted}"


def _alike(a: Array, b: Array) -> bool:
    return bool(np.abs(a - b).max() <= SAME * np.abs(b).max())
