"""`minidarknet summary CFG`: Darknet's layer table, and what it adds up to."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cfg", help="a cfg file, or a known network: tiny, darknet, alexnet, squeezenet, digits")
    parser.add_argument("--batch", type=positive, help="images that the memory is counted for (default: the cfg's)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--plain", action="store_true", help="print Darknet's table and nothing else")
    form.add_argument("--json", action="store_true", help="print everything, layer by layer, for a program to read")


def positive(text: str) -> int:
    """A whole number of 1 or more, for argparse."""
    if not text.isdecimal() or not 1 <= int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 1 or more")
    return int(text)


def run(options: argparse.Namespace) -> int:
    from minidarknet import console, summary, zoo
    from minidarknet.network import Network

    network = Network.from_cfg(zoo.find_cfg(options.cfg))
    batch = options.batch or network.options.batch // network.options.subdivisions
    if options.json:
        console.result_json(summary.describe(network, batch))
        return 0
    console.result(summary.table(network).removesuffix("\n"))
    if not options.plain:
        console.result("")
        console.facts(summary.footer(network, batch))
    return 0
