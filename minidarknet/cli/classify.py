"""`minidarknet classify`: say what is in pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minidarknet.cli.summary import positive
from minidarknet.errors import InputError, MinidarknetError, UsageError
from minidarknet.preprocess import PREPROCESSES

if TYPE_CHECKING:
    from minidarknet.prediction import Classifier

USAGE = "%(prog)s [options] NAME IMAGE ...\n       %(prog)s [options] CFG WEIGHTS IMAGE ..."
#: Endings of weights files: Darknet writes .weights, .backup while training, .conv.15 and the like for parts.
WEIGHTS_ENDINGS = (".weights", ".backup")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    ways = "\n".join(f"  {name:10} {meaning}" for name, meaning in PREPROCESSES.items())
    parser.usage = USAGE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"ways to prepare a picture:\n{ways}"
    parser.add_argument("network", metavar="NAME or CFG", help="a known network (tiny, digits) or a cfg file")
    parser.add_argument(
        "files", metavar="WEIGHTS, IMAGE", nargs="+", help="behind a cfg its weights; then pictures, folders, 'x/*.png'"
    )
    parser.add_argument("--names", help="a text file with one class name a line")
    parser.add_argument("--top", type=positive, default=5, help="classes to print for each picture (default 5)")
    parser.add_argument("--preprocess", choices=PREPROCESSES, default="fit", help="see below (default fit)")
    parser.add_argument("--batch", type=positive, default=1, help="pictures of one size to run at a time (default 1)")
    parser.add_argument("--layers", type=positive, help="load only the first LAYERS layers from the weights file")
    parser.add_argument("--random-weights", type=int, metavar="SEED", help="draw weights at random (to try a cfg)")
    parser.add_argument("--json", action="store_true", help="print the results for a program to read")


def run(options: argparse.Namespace) -> int:
    from minidarknet import console
    from minidarknet.images import find_images
    from minidarknet.prediction import load

    weights, arguments = split_weights(options)
    paths = find_images(arguments)
    with console.compiling_announced():
        net = load(
            options.network,
            weights,
            names=options.names,
            preprocess=options.preprocess,
            layers=options.layers,
            random_weights=options.random_weights,
        )
        return _classify(net, paths, options)


def split_weights(options: argparse.Namespace) -> tuple[str | None, list[str]]:
    """Tell the weights from the pictures: a cfg is followed by its weights, a name is not."""
    from minidarknet import zoo
    from minidarknet.images import SUFFIXES

    first, *others = options.files
    by_name = zoo.is_name(options.network)
    is_weights = first.endswith(WEIGHTS_ENDINGS) or ".conv." in first
    if not is_weights and (by_name or options.random_weights is not None):
        return None, options.files
    if not is_weights and (first.lower().endswith(SUFFIXES) or not others):
        raise UsageError(
            f"no weights were given: {options.network} is followed by {first}. Expected CFG WEIGHTS IMAGE ...; "
            "name a .weights file, fetch one (`minidarknet fetch tiny`), or add --random-weights SEED"
        )
    if not others:
        raise UsageError(f"no picture was given behind the weights {first}; expected CFG WEIGHTS IMAGE ...")
    return first, others


def _classify(net: Classifier, paths: list[str], options: argparse.Namespace) -> int:
    """Print the classes of each picture; one that cannot be read is reported, and the others still run."""
    from minidarknet import console
    from minidarknet.images import read_image
    from minidarknet.prediction import in_batches

    records: list[dict[str, Any]] = []
    failures: list[MinidarknetError] = []
    errors: list[dict[str, str]] = []

    def prepared() -> Iterator[tuple[str, Any]]:
        for path in paths:
            try:
                image = net.prepare(read_image(path, net.input_shape.channels))
            except InputError as error:  # unreadable, or of a shape that cannot be prepared
                console.error(str(error))
                failures.append(error)
                errors.append({"image": path, "error": str(error)})
            else:
                yield path, image
            counted()

    net.check_preprocess()
    net.warm_up()
    with console.counting("pictures", len(paths)) as counted:
        for chosen, images in in_batches(prepared(), options.batch):
            records += _run_batch(net, chosen, images, options)
    if records:
        console.note(f"preprocess: {net.preprocess} ({PREPROCESSES[net.preprocess]})")
    if options.json:
        console.result_json({"cfg": net.path, "preprocess": net.preprocess, "images": records, "errors": errors})
    if failures and len(paths) > 1:
        console.error(f"{len(failures)} of {len(paths)} pictures could not be read")
    return failures[0].exit_code if failures else 0


def _run_batch(net: Classifier, paths: list[str], images: Any, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run prepared pictures of one size together, print what they are (unless as JSON at the end), and return it."""
    from time import perf_counter

    from minidarknet import console

    start = perf_counter()
    answers = net.probabilities(images)
    seconds = (perf_counter() - start) / len(paths)
    records = []
    for path, image, answer in zip(paths, images, answers, strict=True):
        top = net.rank(answer, options.top)
        if not options.json:
            console.result(f"{path}: Predicted in {seconds:.6f} seconds.")
            for prediction in top:
                console.result(f"{prediction.name}: {prediction.probability:.6f}")
        records.append(
            {
                "image": path,
                "seconds": seconds,
                "input": list(image.shape),
                "top": [{"name": p.name, "index": p.index, "probability": p.probability} for p in top],
            }
        )
    sys.stdout.flush()
    return records
