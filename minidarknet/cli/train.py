"""`minidarknet train DATA [CFG]`: teach a network; nothing that it has learned is ever lost."""

from __future__ import annotations

import argparse
import hashlib
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minidarknet.cli.bench import count_of
from minidarknet.cli.summary import positive
from minidarknet.errors import InputError, UsageError

if TYPE_CHECKING:
    from minidarknet.checkpoint import Checkpoint
    from minidarknet.data import Dataset
    from minidarknet.prediction import Classifier
    from minidarknet.run_files import Files
    from minidarknet.trainer import Trainer

EPILOG = """\
DATA is a Darknet .data file, a folder with a folder for each class, a list of pictures, an .npz file, or the
word digits, a set that comes with this program. How the network is trained stands in the [net] section of
CFG. Of data without a part for validation a fifth is held out.

  minidarknet train digits
  minidarknet train photos/ my.cfg --epochs 20 --chart
  minidarknet train my.data my.cfg --weights tiny.weights --layers 15 --clear
  minidarknet train my.data my.cfg --resume

In the backup folder stand NAME.weights, NAME.jsonl and NAME.csv with what was measured, and NAME.checkpoints,
NAME being that of the cfg; --trace N adds NAME.trace.jsonl. Ctrl-C and SIGTERM end the batch and save; a second
one stops at once. Whatever happened, the same command with --resume goes on, and ends with the same weights, bit
by bit.

Exit codes: 0 max_batches was reached. 3 bad input, or a disk that is full. 4 numbers that are not finite; the
last good checkpoint stays. 130 Ctrl-C, 143 SIGTERM: saved.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add = parser.add_argument
    add("data", metavar="DATA", help="pictures whose class is known")
    add("cfg", metavar="CFG", nargs="?", help="a cfg file, or the name of a known network (default for digits: digits)")
    add("--weights", metavar="FILE", help="begin with these weights (default: random ones)")
    add("--layers", type=positive, help="load only the first LAYERS layers from them")
    add("--clear", action="store_true", help="count images from 0, not from what the weights have seen")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--batches", type=positive, metavar="N", help="stop at batch N (default: max_batches of the cfg)")
    end.add_argument("--epochs", type=positive, metavar="N", help="stop after N rounds through all pictures")
    add("--seed", type=seed, help="of first weights, order, changes and dropout (default 0)")
    add("--no-augment", action="store_true", help="leave the pictures as they are")
    add("--labels", default="folder", help="how a listed picture gets its class: folder (the default) or substring")
    add("--names", metavar="FILE", help="class names in the order of the outputs, one a line (default: the data's)")
    add("--darknet-quirks", action="store_true", help="use Darknet's gradients where they are not the true ones")
    add("--backup", metavar="FOLDER", help="where to keep everything (default: that of the .data file, or backup)")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in the backup folder")
    again.add_argument("--overwrite", action="store_true", help="begin anew where there is a run already")
    add("--save-every", type=positive, metavar="N", help="batches between checkpoints (default: one a minute)")
    add("--threads", type=positive, help="threads for the kernels (default: all processors)")
    add("--workers", type=positive, help="threads that prepare pictures (default: all processors)")
    add("--chart", action="store_true", help="draw NAME.png with loss, rate and accuracy (needs matplotlib)")
    add("--trace", type=positive, default=0, metavar="N", help="record each Nth batch layer by layer (docs/trace.md)")
    add("--json", action="store_true", help="print every measurement as a line of JSON on stdout")


def seed(text: str) -> int:
    """A whole number of 0 or more, for argparse."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 0 or more")
    return int(text)


def run(options: argparse.Namespace) -> int:
    from minidarknet import chart, console
    from minidarknet.cli.tally import print_tally
    from minidarknet.data import check_dataset, open_dataset
    from minidarknet.files import only_one
    from minidarknet.prediction import Classifier, read_names

    if options.chart:
        chart.check_matplotlib()
    network = Classifier.from_cfg(_cfg(options))
    network.preprocess = "center"
    channels = network.input_shape.channels
    names = read_names(options.names, network.output_shape.size) if options.names else None
    data, valid = (open_dataset(options.data, part, channels, names, options.labels) for part in ("train", "valid"))
    found = check_dataset(data, network)
    check_dataset(valid, network)
    if not options.json:
        print_tally(found)
        console.facts([("held out", f"{len(valid):,} pictures to check with")])
    files = _files(options, network)
    with only_one(files.store.folder):
        return _train(options, network, data, valid, files)


def _train(options: argparse.Namespace, network: Classifier, data: Dataset, valid: Dataset, files: Files) -> int:
    from minidarknet import console
    from minidarknet.cli.train_screen import training_screen
    from minidarknet.kernels.threads import threads
    from minidarknet.memory import mebibytes
    from minidarknet.stopping import stop_on_signals
    from minidarknet.trainer import Trainer
    from minidarknet.training import Training
    from minidarknet.training_memory import check_memory

    checkpoint = _checkpoint(options, files)
    settings = _settings(options, network, data, checkpoint)
    network.options = replace(network.options, max_batches=settings["max_batches"])
    needs = check_memory(network, traced=options.trace > 0)
    part = network.options.batch // network.options.subdivisions
    console.note(f"{mebibytes(sum(needs.values()))} of memory for {count_of(part, 'image')} at a time")
    seen = _first_weights(options, network, settings["seed"])
    learned = {"quirks": settings["quirks"], "augment": settings["augment"], "workers": options.workers}
    with (
        threads(options.threads),
        console.compiling_announced(),
        stop_on_signals() as stop,
        training_screen(network.options.max_batches, options.json, stop) as screen,
    ):
        training = Training(network, data, seed=settings["seed"], seen=seen, **learned)
        trainer = Trainer(
            training,
            valid,
            files,
            screen,
            settings,
            every=options.save_every,
            chart=options.chart,
            untrained=not (checkpoint or options.weights),
            trace=options.trace,
        )
        if checkpoint:
            trainer.restore(checkpoint)
            console.note(f"going on from {checkpoint.path}, which has come to batch {training.batch:,}")
        elif training.finished:
            raise UsageError(
                f"{options.weights} has seen {seen:,} images, batch {training.batch:,} of {settings['max_batches']:,}: "
                "there is nothing left to do. --clear counts from 0, --batches N sets another end"
            )
        if trainer.done:
            console.note("this run is finished: there is nothing left to do (--batches or --epochs sets another end)")
            trainer.finish()
        else:
            trainer.run(stop, checkpoint.record["metrics"] if checkpoint else None)
    _report(options, trainer, stop.signal)
    return 0 if trainer.done else stop.exit_code


def _cfg(options: argparse.Namespace) -> Path:
    from minidarknet import zoo
    from minidarknet.data import CARRIED

    if options.cfg is None and options.data not in CARRIED:
        raise UsageError(f"no cfg was given for {options.data}; expected train DATA CFG")
    return zoo.find_cfg(options.cfg or options.data)


def _files(options: argparse.Namespace, network: Classifier) -> Files:
    """Where everything goes; the folders are made, if need be."""
    from minidarknet.data_file import find, read_data_file
    from minidarknet.run_files import Files

    folder = options.backup
    if folder is None and options.data.endswith(".data"):
        listed = read_data_file(options.data).backup
        folder = find(listed, options.data) if listed else None
    files = Files(Path(folder or "backup"), Path(network.path).stem)
    try:
        files.store.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{files.store.folder}: cannot be made: {error.strerror or error}; see --backup") from None
    return files


def _checkpoint(options: argparse.Namespace, files: Files) -> Checkpoint | None:
    """What to go on from."""
    from minidarknet import console

    if options.resume:
        checkpoint = files.store.newest(console.warning)
        if checkpoint is None:
            console.warning(f"there is nothing to go on from in {files.store.folder}: beginning anew")
        return checkpoint
    if (paths := files.store.paths()) and not options.overwrite:
        raise UsageError(
            f"{paths[-1]} is there from a run before: go on with --resume, begin anew with --overwrite, or name "
            "another folder (--backup)"
        )
    return None


def _settings(
    options: argparse.Namespace, network: Classifier, data: Dataset, checkpoint: Checkpoint | None
) -> dict[str, Any]:
    """What decides the result and stands in every checkpoint: as in the one at hand, as asked for, or as usual."""
    from minidarknet import console

    kept = checkpoint.record if checkpoint else {}
    asked = {
        "seed": options.seed,
        "augment": False if options.no_augment else None,
        "quirks": options.darknet_quirks or None,
    }
    usual = {"seed": 0, "augment": True, "quirks": network.options.darknet_quirks}
    settings = {}
    for key, value in asked.items():
        if checkpoint and value is not None and value != kept[key]:
            raise UsageError(f"--resume: {checkpoint.path} has {key} {kept[key]}, not {value}; leave that option out")
        settings[key] = kept.get(key, usual[key] if value is None else value)
    whole = {
        "cfg": hashlib.sha256(Path(network.path).read_bytes()).hexdigest(),
        "pictures": len(data),
        "classes": hashlib.sha256("\n".join(data.names).encode()).hexdigest(),
    }
    for key, value in whole.items():
        if kept.get(key, value) != value:
            console.warning(f"the {key} changed since the checkpoint: this goes on with what is there now")
    end = options.batches or (math.ceil(options.epochs * len(data) / network.options.batch) if options.epochs else None)
    settings["end"] = end or kept.get("end")
    settings["max_batches"] = settings["end"] or network.options.max_batches
    return {**settings, **whole}


def _first_weights(options: argparse.Namespace, network: Classifier, seed: int) -> int:
    """Draw weights, and load those that were named; returns how many images these have seen."""
    from minidarknet import weights

    network.initialize(seed)
    if options.weights is None:
        for name in ("layers", "clear"):
            if getattr(options, name):
                raise UsageError(f"--{name} is about weights to begin with; expected --weights FILE as well")
        return 0
    header = weights.load(network, options.weights, options.layers)
    return 0 if options.clear else header.seen


def _report(options: argparse.Namespace, trainer: Trainer, signal: int) -> None:
    """What has come out, and how to go on."""
    from minidarknet import console

    training, files = trainer.training, trainer.files
    if options.json:
        return
    loss = "" if math.isnan(training.average) else f", running loss {training.average:.4f}"
    end = f" of {training.options.max_batches:,}" if training.options.max_batches else ""
    facts = [("batch", f"{training.batch:,}{end}{loss}")]
    if trainer.top1 is not None:
        best = f", the best {100 * trainer.best:.2f} %" if trainer.best > trainer.top1 else ""
        facts.append(("top-1", f"{100 * trainer.top1:.2f} % of {len(trainer.valid):,} pictures{best}"))
    facts.append(("weights", os.fspath(files.weights)))
    if options.chart:
        facts.append(("chart", os.fspath(files.chart)))
    if options.trace and files.trace.exists():
        facts.append(("trace", os.fspath(files.trace_chart if options.chart else files.trace)))
    console.facts(facts)
    if not trainer.done:
        console.note("stopped and saved; the same command with --resume goes on")
