"""`minidarknet explain`: one output number, down to the multiply-adds that it is made of."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from minidarknet.cli.classify import split_weights
from minidarknet.errors import NonFiniteError, UsageError
from minidarknet.preprocess import PREPROCESSES

if TYPE_CHECKING:
    from minidarknet.explain import Explanation, Place
    from minidarknet.layers.parameter import Array
    from minidarknet.prediction import Classifier

USAGE = "%(prog)s [options] NAME IMAGE PLACE\n       %(prog)s [options] CFG WEIGHTS IMAGE PLACE"
EPILOG = """\
PLACE is LAYER:CHANNEL,ROW,COLUMN, all counted from 0; LAYER:CHANNEL is enough where there is one row and column.

  minidarknet explain tiny dog.jpg 4:7,20,31             patch, kernel, products, batch norm, activation
  minidarknet explain tiny dog.jpg 21:14                 a class's probability
  minidarknet explain tiny dog.jpg 4:7,20,31 --chain     the largest term, layer by layer, back to a pixel
  minidarknet explain tiny dog.jpg 4:7,20,31 --backward --truth malamute     the loss's gradient, and where it came from

exit codes: 0 ok; 1 the explanation's number is not the kernel's; 2 no such place; 4 a number is not finite
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = USAGE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add = parser.add_argument
    add("network", metavar="NAME or CFG", help="a known network or a cfg file")
    add("files", metavar="WEIGHTS, IMAGE, PLACE", nargs="+", help="behind a cfg its weights; one picture; the place")
    add("--names", help="a text file with one class name a line")
    add("--preprocess", choices=PREPROCESSES, default="fit", help="as for classify (default fit)")
    add("--random-weights", type=int, metavar="SEED", help="draw weights at random (to try a cfg)")
    add("--all", action="store_true", help="print all terms, not only those that add most")
    add("--chain", action="store_true", help="follow the largest term, layer by layer, back to a pixel")
    add("--backward", action="store_true", help="the loss's gradient by the number, and what it is made of")
    add("--truth", metavar="CLASS", help="for --backward: what the picture shows, a class's number or name")
    add("--json", action="store_true", help="print everything for a program to read")


def run(options: argparse.Namespace) -> int:
    from minidarknet import console
    from minidarknet.explain import chain, explain, read_place, see
    from minidarknet.images import read_image
    from minidarknet.prediction import load

    weights, rest = split_weights(options)
    if len(rest) != 2:
        raise UsageError(f"{' '.join(rest)}: expected one picture and one place behind it, such as dog.jpg 4:7,20,31")
    if options.backward != (options.truth is not None):
        raise UsageError("--backward and --truth CLASS belong together: a loss is the distance from a truth")
    if options.backward and options.chain:
        raise UsageError("--chain follows numbers, and --backward gradients: choose one of them")
    picture, text = rest
    with console.compiling_announced():
        net = load(
            options.network,
            weights,
            names=options.names,
            preprocess=options.preprocess,
            random_weights=options.random_weights,
        )
        photo = read_image(picture, net.home.channels)
        image = net.prepare(photo)
        if net.home.is_image:
            net.resize(*image.shape[1:])
        place = read_place(text, net)
        if options.backward:
            return _backward(net, image, place, options)
        seen = see(net, image[None])
    found = chain(seen, place) if options.chain else [explain(seen, place)]
    pixel = _pixel(net, photo, found[-1]) if options.chain else None
    if options.json:
        _print_json(net, options, found, pixel)
    elif options.chain:
        from minidarknet.cli.explain_screen import print_chain

        print_chain(net, found, pixel)
    else:
        from minidarknet.cli.explain_screen import print_number

        print_number(net, found[0], options.all)
    _check_finite(net, found)
    return _verdict(found)


def _backward(net: Classifier, image: Array, place: Place, options: argparse.Namespace) -> int:
    import numpy as np

    from minidarknet import console
    from minidarknet.explain.back import explain_back, truth_size

    truth = np.zeros(truth_size(net), np.float32)
    truth[_class(net, options.truth, len(truth))] = 1
    found = explain_back(net, image[None], truth, place)
    if not all(map(math.isfinite, (found.loss, found.learned, found.value))):
        raise NonFiniteError(f"{net.path}: {place} has a gradient of {found.learned}, of a loss of {found.loss}")
    if options.json:
        console.result_json({"schema": 1, "cfg": net.path, "preprocess": net.preprocess, **found.as_dict()})
    else:
        from minidarknet.cli.explain_screen import print_gradient

        print_gradient(net, found, options.all)
    if not found.agrees:
        console.error(
            f"{place}: learning says {found.learned:.9g}, and the terms {found.value:.9g}: {found.off:.2e} apart, "
            f"where rounding explains {found.bound:.2e}"
        )
    return 0 if found.agrees else 1


def _class(net: Classifier, text: str, count: int) -> int:
    """The number of a class that is named by its number or its name."""
    if text in net.names:
        return list(net.names).index(text)
    if text.isdecimal() and int(text) < count:
        return int(text)
    names = "" if net.names else "; for names, --names FILE"
    raise UsageError(f"--truth {text}: expected the name of a class or its number, 0 to {count - 1}{names}")


def _pixel(net: Classifier, photo: Array, last: Explanation) -> dict[str, Any] | None:
    """Where a chain ends: the pixel of the network's input, and of the photo."""
    from minidarknet.explain.photo import photo_pixel

    if last.lead is None or last.lead.source is None:
        return None
    place: Place = last.lead.source
    _, height, width = photo.shape
    there = photo_pixel(height, width, net.preprocess, (net.home.height, net.home.width), place)
    return {
        "channel": place.channel,
        "row": place.row,
        "column": place.column,
        "value": last.lead.value,
        "photo": None if there is None else {"row": there[0], "column": there[1], "sides": [height, width]},
    }


def _print_json(
    net: Classifier, options: argparse.Namespace, found: list[Explanation], pixel: dict[str, Any] | None
) -> None:
    from minidarknet import console

    _check_finite(net, found)
    about = {"schema": 1, "cfg": net.path, "preprocess": net.preprocess, "input": list(net.input_shape.array_shape)}
    if options.chain:
        terms = None if options.all else 10
        links = [explanation.as_dict(terms) for explanation in found]
        console.result_json({**about, "chain": links, "pixel": pixel})
    else:
        console.result_json({**about, **found[0].as_dict()})


def _check_finite(net: Classifier, found: list[Explanation]) -> None:
    """Raise where a number, or a step towards it, is NaN or infinite."""
    for explanation in found:
        if not math.isfinite(explanation.kernel):
            raise NonFiniteError(f"{net.path}: {explanation.title} is {explanation.kernel}")
        for step in explanation.steps:
            if not math.isfinite(step.value):
                raise NonFiniteError(f"{net.path}: {explanation.title}: {step.name} is {step.value}")


def _verdict(found: list[Explanation]) -> int:
    """1 where a kernel has computed another number than its terms give."""
    from minidarknet import console

    wrong = [explanation for explanation in found if not explanation.agrees]
    for explanation in wrong:
        console.error(
            f"{explanation.title}: the kernel says {explanation.kernel:.9g}, and its terms {explanation.value:.9g}: "
            f"{explanation.off:.2e} apart, where rounding explains {explanation.bound:.2e}"
        )
    return 1 if wrong else 0
