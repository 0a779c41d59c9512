"""What `minidarknet trace` writes: tables, arrays, pictures and the page."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from minidarknet.errors import InputError, UsageError

if TYPE_CHECKING:
    from minidarknet.prediction import Classifier
    from minidarknet.trace import Trace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--html", metavar="FILE", help="write it all as a page: pictures, times and reasons, what each number saw")
    add("--class", dest="chosen", metavar="NAME", help="for the next two and the page: a class (default the first)")
    add("--grad-cam", metavar="FILE", help="write what in the picture speaks for the class, by gradients, as PNG")
    add("--occlusion", metavar="FILE", help="write where covering the picture costs the class its probability, as PNG")
    add("--montage", metavar="FILE", help="write the strongest feature maps of every layer on one sheet, as PNG")
    add("--csv", metavar="FILE", help="write the records as a table")
    add("--npz", metavar="FILE", help="write the arrays of all stages")
    add("--timeline", metavar="FILE", help="write trace events for Perfetto or chrome://tracing")


def check(options: argparse.Namespace) -> None:
    """Raise where something is missing to write what is wished for, before anybody waits for it."""
    if options.html:
        from minidarknet.trace.page import check_jinja2

        check_jinja2()
    if options.chosen and not (options.html or options.grad_cam or options.occlusion):
        raise UsageError("--class is for --html, --grad-cam and --occlusion; expected one of them")


def keeps_arrays(options: argparse.Namespace) -> bool:
    """Whether a file is wished for that shows numbers, and not only what was said of them."""
    return bool(options.npz or options.html or options.montage)


def save(net: Classifier, run: Trace, options: argparse.Namespace) -> None:
    """Write all files that are wished for."""
    from minidarknet.trace.files import save_npz, save_text, to_csv, to_timeline

    if options.csv:
        save_text(options.csv, to_csv(run))
    if options.timeline:
        save_text(options.timeline, to_timeline(run))
    if options.npz:
        save_npz(options.npz, run)
    if not (options.montage or options.html or options.grad_cam or options.occlusion):
        return
    if not run.stages or run.stages[-1].layer != net.layers[-1].index:
        raise InputError("the trace was ended early: no pictures are drawn of it, nor a page")
    if options.montage:
        from minidarknet.trace.montage import write_montage

        write_montage(options.montage, run, f"{_name(options)} through {net.path}")
    _save_looks(net, run, options)


def _save_looks(net: Classifier, run: Trace, options: argparse.Namespace) -> None:
    """The pictures for a class, and the page, which shows them too."""
    from os.path import basename

    from minidarknet.trace.attention import find_class, grad_cam, occlusion
    from minidarknet.trace.page import measure, write_page
    from minidarknet.trace.pictures import save_over_photo

    index = None if options.chosen is None else find_class(net, options.chosen)
    if options.html:
        measured = measure(net, run.input, index)
        write_page(options.html, net, run, basename(_name(options)), command(options), measured, notes(options))
    if index is None:
        index = net.rank(net.probabilities(run.input)[0], 1)[0].index
    if options.grad_cam:
        save_over_photo(options.grad_cam, run.input[0], grad_cam(net, run.input, index))
    if options.occlusion:
        save_over_photo(options.occlusion, run.input[0], occlusion(net, run.input, index))


def _name(options: argparse.Namespace) -> str:
    """The picture's; where a dump has brought its own, the dump's."""
    return str(options.files[-1] if options.files else options.darknet)


def command(options: argparse.Namespace) -> list[str]:
    """The command that explains a number of this run, but for its last word."""
    words = ["minidarknet", "explain"]
    if options.preprocess != "fit":
        words += ["--preprocess", options.preprocess]
    if options.random_weights is not None:
        words += ["--random-weights", str(options.random_weights)]
    return [*words, options.network, *options.files]


def notes(options: argparse.Namespace) -> list[str]:
    """What a reader of the page must know of a run that was not an ordinary one."""
    found = []
    if options.random_weights is not None:
        found.append(f"The weights were drawn at random (seed {options.random_weights}): the answers mean nothing.")
    if options.zero:
        found.append(
            f"Channels were silenced: {', '.join(options.zero)}. The commands for single numbers do not know it."
        )
    return found
