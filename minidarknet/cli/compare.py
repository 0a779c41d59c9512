"""`minidarknet compare [CFG ...]`: the Tiny Darknet page's table, with the numbers of this machine."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from minidarknet.cli.bench import add_timing_arguments, count_of, three_digits
from minidarknet.errors import InputError, UsageError
from minidarknet.preprocess import PREPROCESSES

if TYPE_CHECKING:
    from minidarknet.data import Dataset
    from minidarknet.prediction import Classifier
    from minidarknet.validation import Validation

#: The four systems in the order of the page.
PAGE = ["alexnet", "darknet", "squeezenet", "tiny"]
#: Letters of the longest bar.
BAR = 10
EPILOG = """\
With --data, networks that have weights and class names are tried on labelled pictures. These are a folder
with a folder for each class, FOLDER/CLASS/PICTURE, or a list with a line `picture,class` for each (or parted
by a tab; further columns may call the class by other names). A class is a line of the network's class names.

  minidarknet compare tiny squeezenet --data photos.csv --weights tiny=tiny.weights --names tiny=imagenet.names

Weights and names that were fetched (`minidarknet fetch tiny`) are used without being named.
"""


@dataclass(frozen=True)
class Entry:
    """One network of the comparison: as typed, the files that go with it, and the pictures to try it on."""

    word: str
    title: str
    cfg: Path
    weights: str | None
    names: str | None
    dataset: Dataset | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("cfg", nargs="*", help="cfg files, or names of known networks (default: all four)")
    parser.add_argument("--data", metavar="FOLDER or LIST", help="labelled pictures, to measure the accuracy on")
    add = parser.add_argument
    add(
        "--weights",
        metavar="NAME=FILE",
        action="append",
        default=[],
        help="weights of the network NAME (default: none)",
    )
    add("--names", metavar="NAME=FILE", action="append", default=[], help="its class names, one a line")
    add("--part", default="all", help="which of the pictures: all (the default), train, valid or test")
    add("--preprocess", choices=PREPROCESSES, default="center", help="how pictures are prepared (default center)")
    add_timing_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print everything for a program to read")


def run(options: argparse.Namespace) -> int:
    from minidarknet import benchmark, comparison, console
    from minidarknet.kernels.threads import threads

    benchmark.check_compiled()
    entries = _entries(options)
    failures: dict[str, InputError] = {}
    with threads(options.threads) as count, console.compiling_announced():
        rows = [_measure(entry, options, failures) for entry in entries]
    found = {
        "batch": options.batch,
        "threads": count,
        "data": options.data,
        "preprocess": options.preprocess,
        "networks": rows,
        "argument": comparison.argument(rows),
        "unreadable": sorted(failures),
    }
    if options.json:
        console.result_json(found)
    else:
        _print(found)
    if failures:
        console.error(f"{count_of(len(failures), 'picture')} could not be read, and did not count")
    return next((error.exit_code for error in failures.values()), 0)


def _entries(options: argparse.Namespace) -> list[Entry]:
    """The networks with their files; what is wrong with a name, a cfg or the classes is found before any measuring."""
    from minidarknet import comparison, zoo
    from minidarknet.data import open_dataset
    from minidarknet.network import Network
    from minidarknet.prediction import read_names

    words = options.cfg or PAGE
    all_weights, all_names = (_by_name(getattr(options, what), what, words) for what in ("weights", "names"))
    if options.data:  # what is wrong with it has nothing to do with any network
        open_dataset(options.data, options.part)
    entries = []
    for word in words:
        cfg = zoo.find_cfg(word)
        network = Network.from_cfg(cfg)
        network.check_runs()
        known = comparison.recognise(network)
        fetched = zoo.locate(known.name) if known else zoo.Located(cfg, None, None)
        weights = _chosen(word, all_weights, fetched.weights)
        names = _chosen(word, all_names, fetched.names)
        dataset = None
        if options.data and weights and names:
            classes = read_names(names, network.output_shape.size)
            dataset = open_dataset(options.data, options.part, network.input_shape.channels, classes)
        entries.append(Entry(word, known.title if known else Path(word).stem, cfg, weights, names, dataset))
    titles = [entry.title for entry in entries]
    return [replace(entry, title=entry.word) if titles.count(entry.title) > 1 else entry for entry in entries]


def _by_name(pairs: list[str], option: str, words: list[str]) -> dict[str, str]:
    """`NAME=FILE` of each time that an option was given; a name is what was typed as CFG, or its file's name."""
    table = {}
    known = {*words, *(Path(word).stem for word in words)}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not (name and equals and file):
            raise UsageError(f"--{option} {pair}: expected NAME=FILE, for example tiny=tiny.{option}")
        if name not in known:
            raise UsageError(f"--{option} {pair}: no network is called {name!r} here; expected {', '.join(words)}")
        if not Path(file).exists():
            raise InputError(f"--{option} {pair}: there is no file {file}")
        table[name] = file
    return table


def _chosen(word: str, table: dict[str, str], fetched: Path | None) -> str | None:
    """The file that was named for a network, or else the one that was fetched for it."""
    return table.get(word) or table.get(Path(word).stem) or (str(fetched) if fetched else None)


def _measure(entry: Entry, options: argparse.Namespace, failures: dict[str, InputError]) -> dict[str, Any]:
    """Load one network, measure it, and let go of it again."""
    from minidarknet import benchmark, comparison, console
    from minidarknet.prediction import load

    console.note(f"{entry.title}: measuring ...")
    random = None if entry.weights else benchmark.SEED
    names = entry.names if options.data and entry.weights else None
    network = load(entry.cfg, entry.weights, random_weights=random, names=names, preprocess=options.preprocess)
    x = benchmark.draw_input(network, options.batch)
    benchmark.run_first(network, x)
    forward = benchmark.time_forward(network, x, options.runs)
    seen = _validate(entry, network, options.batch, failures) if options.data else None
    row = comparison.describe(network, entry.title, options.batch, forward, seen)
    return row | {"weights": entry.weights, "names": names}


def _validate(entry: Entry, network: Classifier, batch: int, failures: dict[str, InputError]) -> Validation | None:
    """What the network says of the pictures, or a note that tells what is missing to ask it."""
    from minidarknet import console
    from minidarknet.validation import validate

    for what, file in (("weights", entry.weights), ("names", entry.names)):
        if file is None:
            console.note(
                f"{entry.title}: its accuracy stays empty, as no {what} were given (--{what} {entry.word}=FILE)"
            )
    if entry.dataset is None:
        return None

    def unreadable(path: str, error: InputError) -> None:
        if path not in failures:  # the other networks meet it again
            console.error(str(error))
        failures[path] = error

    with console.counting(f"pictures for {entry.title}", len(entry.dataset)) as counted:
        return validate(network, entry.dataset, batch=batch, counted=counted, unreadable=unreadable)


def _print(found: dict[str, Any]) -> None:
    from minidarknet import comparison, console

    rows, dim = [], []
    for network in found["networks"]:
        accuracy, page = network["accuracy"], network["page"]
        rows.append(
            [
                network["title"],
                f"{network['operations'] / 1e9:.2f} Bn",
                f"{network['parameters']:,}",
                f"{network['weights_bytes'] / 2**20:.1f} MB",
                f"{three_digits(1e3 * network['seconds_per_image'])} ms",
                f"{network['gflops']:.1f}" if network["operations"] else "",
                *(f"{100 * accuracy[top]:.1f} %" if accuracy else "" for top in ("top1", "top5")),
            ]
        )
        if page:
            dim.append(len(rows))
            rows.append(
                [
                    "  the page prints",
                    f"{page['operations']:.2f} Bn",
                    "",
                    f"{page['megabytes']:g} MB" if page["megabytes"] > 10 else f"{page['megabytes']:.1f} MB",
                    *("", ""),
                    *(f"{page[top]:.1f} %" for top in ("top1", "top5")),
                ]
            )
    titles = ["network ", "operations", "parameters", "weights", "time", "GFLOP/s", "top-1", "top-5"]
    console.table(titles, rows, dim)
    console.result("")
    _print_bars(found["networks"])
    console.result("")
    images = "one image at a time" if found["batch"] == 1 else f"of one image, {found['batch']} at a time"
    lines = [
        found["argument"],
        f"Time: median of the warm forward pass, {images}, on {count_of(found['threads'], 'thread')}. MB: 2^20 bytes.",
    ]
    if any(network["known_as"] == "squeezenet" for network in found["networks"]):
        lines.append(comparison.SQUEEZENET_NOTE)
    tried = [network["accuracy"]["pictures"] for network in found["networks"] if network["accuracy"]]
    if tried:
        what = f"{count_of(max(tried), 'picture')} of {found['data']}, prepared by {found['preprocess']}"
        lines.append(f"Accuracy: of {what}; the page's is of ImageNet's 50,000 validation pictures.")
    for line in filter(None, lines):
        console.result(fill(line, 80, break_long_words=False, break_on_hyphens=False))


def _print_bars(networks: list[dict[str, Any]]) -> None:
    """Parameters, operations and time, the largest of each with the longest bar."""
    from minidarknet import console

    columns = ("parameters", "operations", "seconds_per_image")
    largest = [max(network[column] for network in networks) for column in columns]
    rows = []
    for network in networks:
        bars = [console.bar(network[column] / (most or 1), BAR) for column, most in zip(columns, largest, strict=True)]
        rows.append(
            [
                network["title"],
                *(f"{network['parameters'] / 1e6:.1f} M", bars[0]),
                *(f"{network['operations'] / 1e9:.2f} Bn", bars[1]),
                *(f"{three_digits(1e3 * network['seconds_per_image'])} ms", bars[2]),
            ]
        )
    console.table(["network ", "parameters", "", "operations", "", "time", ""], rows)
