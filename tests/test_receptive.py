"""Receptive fields are what a probe finds: a pixel is changed, and all numbers that change have seen it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minidarknet.cfg import parse_cfg
from minidarknet.network import Network
from minidarknet.summary import receptive_fields as sides
from minidarknet.trace.receptive import receptive_fields

REPOSITORY = Path(__file__).resolve().parent.parent
LINEAR = "filters=2\nsize=3\npad=1\nactivation=linear\n"
NET = "[net]\nheight=18\nwidth=14\nchannels=1\n"
CONV = "[conv]\nfilters=2\nactivation=linear\n"
NETS = {
    "windows": f"{CONV}size=3\npad=1\n[max]\nsize=2\nstride=2\n{CONV}size=5\nstride=2\npadding=1\n{CONV}size=1\n",
    "pools": f"[max]\nsize=3\nstride=2\n[max]\nsize=3\nstride=1\npadding=2\n{CONV}size=3\n[max]\nsize=2\nstride=1\n",
    "joined": f"{CONV}size=3\npad=1\n{CONV}size=3\npad=1\n[route]\nlayers=0\n{CONV}size=1\n[route]\nlayers=-1,-3\n",
    "added": f"{CONV}size=1\n{CONV}size=3\npad=1\n{CONV}size=3\npad=1\n[shortcut]\nfrom=0\nactivation=linear\n",
    "halved": f"{CONV}size=3\npad=1\n{CONV}size=3\nstride=2\npad=1\n[shortcut]\nfrom=0\nactivation=linear\n",
    "grown": f"{CONV}size=3\nstride=3\n[upsample]\nstride=2\n{CONV}size=3\npad=1\n[upsample]\nstride=-2\n",
    "painted": f"{CONV}size=3\nstride=3\n[deconv]\nstride=2\n{LINEAR}{CONV}size=2\n",
    "cut": f"[crop]\ncrop_height=10\ncrop_width=9\n{CONV}size=3\n[local]\n{LINEAR}",
    "grouped": f"{CONV}size=3\n{CONV}size=3\ngroups=2\nstride=2\n[dropout]\nprobability=0.5\n",
    "ended": f"{CONV}size=3\n[avg]\n[connected]\noutput=3\nactivation=linear\n[softmax]\n",
}


@pytest.mark.parametrize("name", NETS)
def test_a_field_is_what_a_probe_finds(name: str) -> None:
    """With weights above 0 and a pixel that is far above the others, whatever has seen it grows."""
    network = Network.from_cfg(parse_cfg(NET + NETS[name], f"{name}.cfg"))
    network.initialize(1)
    generator = np.random.default_rng(2)
    for _, parameter in network.parameters():
        parameter.array = generator.uniform(0.5, 1, parameter.shape).astype(np.float32)
    x = generator.random((1, 1, 18, 14), np.float32)
    plain = [output.copy() for _, output in network.steps(x)]
    fields = receptive_fields(network)
    seen: list[list[set[tuple[int, int]]]] = [[set() for _ in range(y.shape[2] * y.shape[3])] for y in plain]
    for row, column in np.ndindex(18, 14):
        probe = x.copy()
        probe[0, 0, row, column] = 1e4
        for index, (layer, output) in enumerate(network.steps(probe)):
            if layer.kind == "softmax":  # what grows together stays as it is
                continue
            # Winograd's method rounds what it has not seen.
            changed = (np.abs(output - plain[index]) > 1e-4 * np.abs(output).max()).any(axis=(0, 1))
            for cell in np.flatnonzero(changed):
                seen[index][cell].add((row, column))
    for layer, field, cells in zip(network.layers, fields, seen, strict=True):
        if layer.kind == "softmax":
            assert (field.middle.height, field.middle.width) == (18, 14)
            continue
        for cell, pixels in enumerate(cells):
            box = field.box(*divmod(cell, layer.out_shape.width))
            rows, columns = zip(*pixels, strict=True)
            found = (min(rows), min(columns), max(rows) + 1, max(columns) + 1)
            assert found == (box.top, box.left, box.bottom, box.right), (layer.index, layer.kind, cell)


@pytest.mark.parametrize("name", ["tiny", "darknet", "alexnet", "squeezenet"])
def test_the_middle_sees_what_the_summary_says(name: str) -> None:
    network = Network.from_cfg(REPOSITORY / f"cfg/{name}.cfg")
    height, width = network.input_shape.height, network.input_shape.width
    for field, side in zip(receptive_fields(network), sides(network), strict=True):
        box = field.middle
        down, across = (height, width) if side is None else (min(side, height), min(side, width))
        assert box.height == down or (box.height < down and (box.top == 0 or box.bottom == height))
        assert box.width == across or (box.width < across and (box.left == 0 or box.right == width))
