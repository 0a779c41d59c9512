"""`minidarknet fetch NAME`: download the published weights and class names of a known network."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="a known network: tiny")
    parser.add_argument("--mirror", metavar="URL", help="another place that has the same files")


def run(options: argparse.Namespace) -> int:
    from minidarknet import console, zoo

    with console.downloading() as progress:
        paths = zoo.fetch(options.name, options.mirror, progress)
    for path in paths:
        console.result(str(path))
    console.note(f"ready: minidarknet classify {options.name} PICTURE")
    return 0
