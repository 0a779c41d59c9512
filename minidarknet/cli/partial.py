"""`minidarknet partial CFG WEIGHTS OUT LAYERS`: the first layers of a weights file, as a start for another network."""

from __future__ import annotations

import argparse

from minidarknet.cli.summary import positive
from minidarknet.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cfg", help="the network of the weights: a cfg file, or the name of a known network")
    parser.add_argument("weights", help="its weights")
    parser.add_argument("out", help="the file to write; one that is there is left alone")
    parser.add_argument("layers", type=positive, help="how many layers to keep, counted as in the table's first column")
    parser.add_argument("--overwrite", action="store_true", help="write over a file that is there")


def run(options: argparse.Namespace) -> int:
    import os

    from minidarknet import console, weights, zoo
    from minidarknet.network import Network

    network = Network.from_cfg(zoo.find_cfg(options.cfg))
    if options.layers > len(network.layers):
        raise UsageError(f"{network.path} has {len(network.layers)} layers; expected no more than that to keep")
    if os.path.exists(options.out) and not options.overwrite:
        raise UsageError(f"{options.out} is there already; name another file, or write over it with --overwrite")
    weights.load(network, options.weights)
    weights.save(network, options.out, layers=options.layers)
    kept = sum(parameter.size for layer, parameter in network.parameters() if layer.index < options.layers)
    console.result(options.out)
    console.note(
        f"{kept:,} numbers of layers 0 to {options.layers - 1}; to begin with them:\n"
        f"  minidarknet train DATA CFG --weights {options.out} --layers {options.layers}"
    )
    return 0
