"""`minidarknet new my.cfg --from tiny --data photos/`: a cfg of one's own, and what to run with it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from minidarknet.cli.summary import positive
from minidarknet.errors import InputError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="CFG", help="the cfg file to write; one that is there is left alone")
    parser.add_argument("--from", dest="source", required=True, help="a cfg file, or the name of a known network")
    parser.add_argument("--classes", type=positive, help="how many classes there are (default: as many as DATA has)")
    parser.add_argument("--data", help="the pictures, whatever `train` takes; of files, a .data file is written")
    parser.add_argument("--freeze", type=positive, default=0, metavar="N", help="leave the first N layers as they are")
    parser.add_argument("--overwrite", action="store_true", help="write over files that are there")


def run(options: argparse.Namespace) -> int:
    from minidarknet import console, zoo
    from minidarknet.cfg import parse_cfg
    from minidarknet.data import open_dataset
    from minidarknet.data_lists import data_files
    from minidarknet.files import atomic_write
    from minidarknet.fine_tuning import for_classes, last_weighted
    from minidarknet.network import Network

    source = zoo.find_cfg(options.source)
    network = Network.from_cfg(source)
    names: tuple[str, ...] = ()
    if options.data:
        names = open_dataset(options.data, "train", network.input_shape.channels).names
    classes = options.classes or len(names)
    if not classes:
        raise UsageError("how many classes are there? Expected --classes N, or --data with the pictures")
    if names and len(names) != classes:
        raise UsageError(f"--classes {classes}, but {options.data} has {len(names)} classes; leave one of the two out")
    text = for_classes(source.read_text("utf-8-sig"), str(source), classes, options.freeze)
    Network.from_cfg(parse_cfg(text, options.out))  # what is written can be read
    files = {Path(options.out): text}
    if names:
        files[Path(options.out).with_suffix(".names")] = "".join(f"{name}\n" for name in names)
        files |= data_files(options.data, Path(options.out), network.input_shape.channels)
    for path, content in files.items():
        if path.exists() and not options.overwrite and not _has(path, content):
            raise UsageError(f"{path} is there already; name another file, or write over it with --overwrite")
    for path, content in files.items():
        try:
            with atomic_write(path) as file:
                file.write(content.encode())
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
        console.result(str(path))
    own = Path(options.out).with_suffix(".data")
    data, last = os.fspath(own) if own in files else options.data or "DATA", last_weighted(network)
    console.note(
        f"layer {last} has {classes} instead of {network.output_shape.size:,} outputs. To train from scratch:\n"
        f"  minidarknet train {data} {options.out}\n"
        f"or from weights of {options.source}, whose first {last} layers fit:\n"
        f"  minidarknet train {data} {options.out} --weights FILE.weights --layers {last} --clear"
    )
    return 0


def _has(path: Path, content: str) -> bool:
    """Whether a file has this content already, so that nothing is lost."""
    return path.is_file() and path.read_bytes() == content.encode()
