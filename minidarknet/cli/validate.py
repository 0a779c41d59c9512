"""`minidarknet validate DATA CFG WEIGHTS`: how often a network is right, and where it goes wrong."""

from __future__ import annotations

import argparse
import math
import os
from functools import partial
from typing import TYPE_CHECKING

from minidarknet.cli.bench import count_of
from minidarknet.cli.summary import positive
from minidarknet.errors import InputError, UsageError
from minidarknet.preprocess import PREPROCESSES
from minidarknet.views import VIEWS, count_views

if TYPE_CHECKING:
    from minidarknet.data import Dataset
    from minidarknet.prediction import Classifier
    from minidarknet.validation import Validation

USAGE = "%(prog)s [options] DATA NAME\n       %(prog)s [options] DATA CFG WEIGHTS"
#: The most mistakes on the contact sheet.
DRAWN = 24
EPILOG = """\
DATA is a Darknet .data file, a folder with a folder for each class, a list of pictures, or an .npz file. Of
data without a part for validation a fifth is held out, always the same: what `train` does not see. --part all
takes everything. The class of a listed picture stands behind it, or is the folder that it lies in; with
--labels substring it is the one class whose name occurs in its path.

  minidarknet validate photos/ my.cfg backup/my.weights
  minidarknet validate photos.csv tiny --part all --mistakes worst.png
  minidarknet validate my.data my.cfg my.weights --min-top1 0.9 --json

Exit code 1: less than --min-top1 is right. 3: a picture could not be read (the others are counted).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    ways, views = ("\n".join(f"  {name:10} {text}" for name, text in table.items()) for table in (PREPROCESSES, VIEWS))
    parser.usage = USAGE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"{EPILOG}\nways to prepare a picture:\n{ways}\n\nlooks at a picture (--tta):\n{views}"
    add = parser.add_argument
    add("data", metavar="DATA", help="pictures whose class is known")
    add("network", metavar="NAME or CFG", help="a known network (tiny, digits) or a cfg file")
    add("weights", metavar="WEIGHTS", nargs="?", help="its weights")
    add("--names", metavar="FILE", help="the network's class names, one a line (default: the data's)")
    add("--part", default="valid", help="which of the pictures: train, valid (the default), test, or all")
    add("--labels", default="folder", help="how a listed picture gets its class: folder (the default) or substring")
    add("--top", type=positive, default=5, metavar="K", help="also count right among the first K (default 5)")
    add("--preprocess", choices=PREPROCESSES, help="how pictures are prepared, see below (default center)")
    add("--tta", choices=VIEWS, default="none", help="average several looks at each picture, see below")
    add("--batch", type=positive, default=16, help="pictures to run at a time (default 16)")
    add("--threads", type=positive, help="threads for the kernels (default: all processors)")
    add(
        "--confusion",
        metavar="FILE",
        action="append",
        default=[],
        help="write the confusion matrix: FILE.csv, or FILE.png (needs matplotlib)",
    )
    add("--mistakes", metavar="FILE.png", help=f"draw the {DRAWN} mistakes that the network was surest of")
    add("--min-top1", type=share, metavar="SHARE", help="exit with 1 where less is right, such as 0.9")
    add("--json", action="store_true", help="print everything for a program to read")


def share(text: str) -> float:
    """A number of 0..1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a share from 0 to 1, such as 0.9")
    return value


def run(options: argparse.Namespace) -> int:
    from minidarknet import console
    from minidarknet.cli.validate_report import as_values, print_report
    from minidarknet.kernels.threads import threads
    from minidarknet.validation import validate

    _check_targets(options)
    net, dataset = _load(options)
    failures: dict[str, InputError] = {}

    def unreadable(name: str, error: InputError) -> None:
        console.error(str(error))
        failures[name] = error

    pictures = count_of(len(dataset), "picture")
    console.note(f"{options.data}: validating on {pictures}{_held_out(dataset)} ...")
    with (
        threads(options.threads) as count,
        console.compiling_announced(),
        console.counting("pictures", len(dataset)) as counted,
    ):
        seen = validate(net, dataset, batch=options.batch, tta=options.tta, counted=counted, unreadable=unreadable)
    if not seen.count:
        raise InputError(f"{options.data}: none of {pictures} could be read")
    if options.json:
        about = {"weights": options.weights, "preprocess": net.preprocess, "threads": count}
        chosen = {key: getattr(options, key) for key in ("data", "part", "tta", "batch", "min_top1")}
        lost = [{"picture": name, "error": str(error)} for name, error in failures.items()]
        console.result_json(
            {"cfg": net.path, **about, **chosen, **as_values(seen, dataset, options.top), "unreadable": lost}
        )
    else:
        print_report(seen, dataset, options.top, options.data, _how(net, options.tta), count_views(options.tta))
    _write_files(options, seen, dataset)
    return _verdict(options, seen, failures)


def _held_out(dataset: Dataset) -> str:
    """Of how many pictures these are a part, where their source has no parts of its own."""
    from minidarknet.data import Subset

    return f" of {len(dataset.dataset):,} (--part all takes all)" if isinstance(dataset, Subset) else ""


def _how(net: Classifier, tta: str) -> str:
    """How pictures were brought to the network, in words."""
    views = count_views(tta)
    return net.preprocess if views == 1 else f"{net.preprocess}, {tta}: the mean of {views} looks at each"


def _verdict(options: argparse.Namespace, seen: Validation, failures: dict[str, InputError]) -> int:
    """The exit code, and on stderr the reason where it is not 0."""
    from minidarknet import console

    low = options.min_top1 is not None and seen.top1 < options.min_top1
    if low:
        right = f"{seen.count_right():,} of {count_of(seen.count, 'picture')}"
        console.error(f"top-1 is {seen.top1:.4f} ({right}), below the {options.min_top1:g} of --min-top1")
    if failures:
        console.error(f"{count_of(len(failures), 'picture')} could not be read, and did not count")
        return next(iter(failures.values())).exit_code
    return 1 if low else 0


def _check_targets(options: argparse.Namespace) -> None:
    """What is wrong with the files to write is found before anybody waits for what they are to hold."""
    from minidarknet.confusion import check_target

    for path in options.confusion:
        check_target(path)
    if options.mistakes and not options.mistakes.lower().endswith(".png"):
        raise UsageError(f"--mistakes {options.mistakes}: expected a file that ends in .png")
    for path in filter(None, (*options.confusion, options.mistakes)):
        folder = os.path.dirname(path) or "."
        if not os.path.isdir(folder):
            raise InputError(f"{path}: there is no folder {folder} to write it to")
        if os.path.isdir(path):
            raise InputError(f"{path}: expected a file to write, found a folder")
    if options.tta == "ten-crop" and options.preprocess not in (None, "stretch"):
        raise UsageError(f"--preprocess {options.preprocess}: --tta ten-crop stretches pictures; leave one of them out")


def _load(options: argparse.Namespace) -> tuple[Classifier, Dataset]:
    """The network, and the pictures with their classes in the order of its outputs."""
    from minidarknet import console
    from minidarknet.data import open_dataset
    from minidarknet.prediction import load

    way = "stretch" if options.tta == "ten-crop" else options.preprocess or "center"
    net = load(options.network, options.weights, names=options.names, preprocess=way)
    net.check_preprocess()
    dataset = open_dataset(options.data, options.part, net.home.channels, net.names or None, options.labels)
    if not len(dataset):
        raise InputError(f"{options.data}: its part {options.part!r} has no picture; --part all takes all there are")
    classes, outputs = len(dataset.names), net.output_shape.size
    if not net.names and classes != outputs:
        raise InputError(
            f"{net.path}: has {outputs:,} outputs, but {options.data} has {classes:,} classes; expected as many. Name "
            "the file with the network's class names, in the order of its outputs (--names FILE)"
        )
    if not net.names:
        order = ", ".join(dataset.names[:10]) + (", ..." if classes > 10 else "")
        console.note(f"taking the network's outputs as {order}: the classes of {options.data} (--names names others)")
    if options.tta == "ten-crop" and _crop_share(net) < 0.5:
        console.warning(
            f"each of the ten crops shows {100 * _crop_share(net):.0f} % of the picture: Darknet's margin of 32 pixels "
            f"is meant for networks of about 224 x 224, and {net.path} takes {net.home}"
        )
    return net, dataset


def _crop_share(net: Classifier) -> float:
    from minidarknet.views import MARGIN

    return net.home.height / (net.home.height + MARGIN) * net.home.width / (net.home.width + MARGIN)


def _write_files(options: argparse.Namespace, seen: Validation, dataset: Dataset) -> None:
    from minidarknet import console
    from minidarknet.confusion import write_confusion

    writers = [(path, write_confusion) for path in options.confusion]
    if options.mistakes:
        writers.append((options.mistakes, partial(_write_mistakes, dataset=dataset)))
    for path, write in writers:
        try:
            write(path, seen)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
        console.note(f"wrote {path}")


def _write_mistakes(path: str, seen: Validation, dataset: Dataset) -> None:
    from minidarknet.contact_sheet import Tile, thumbnail, write_sheet

    wrong = seen.mistakes()
    tiles = [
        Tile(
            thumbnail(dataset.image(int(seen.pictures[i]))),
            (
                (f"is {_word(seen, int(seen.truths[i]))}", "#1a7f37"),
                (f"{100 * seen.probabilities[i]:.0f} % {_word(seen, int(seen.answers[i]))}", "#cf222e"),
            ),
        )
        for i in wrong[:DRAWN]
    ]
    title = f"{len(wrong):,} of {count_of(seen.count, 'picture')} wrong"
    if len(wrong) > DRAWN:
        title += f"; the {DRAWN} that the network was surest of"
    write_sheet(path, title, tiles)


def _word(seen: Validation, number: int) -> str:
    """A class's name, with its number where the letters on the sheet may not tell it."""
    name = seen.names[number]
    return name if name.isascii() else f"{number} {name}"
