"""`minidarknet augment DATA CFG`: draw what a network will see of its training pictures, on a contact sheet."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from minidarknet.cli.summary import positive
from minidarknet.errors import InputError, UsageError

if TYPE_CHECKING:
    from minidarknet.contact_sheet import Tile
    from minidarknet.data import Dataset
    from minidarknet.net_options import NetOptions
    from minidarknet.network import Network

#: Pictures in a row of the sheet: one unchanged, the others changed.
IN_A_ROW = 6
EPILOG = """\
DATA is a Darknet .data file, a folder with a folder for each class, a list of pictures, or an .npz file. Each row
of the sheet is a picture: first unchanged, as validation sees it, then as training sees it in its first rounds
(epochs) with this seed. How much changes stands in the cfg's [net]: min_crop, max_crop, angle, aspect, hue,
saturation, exposure; every second picture is mirrored unless it says flip=0 (for digits and letters).

  minidarknet augment photos/ my.cfg
  minidarknet augment my.data my.cfg --pictures 12 --seed 7 --output sheet.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add = parser.add_argument
    add("data", metavar="DATA", help="pictures whose class is known")
    add("cfg", metavar="CFG", help="a cfg file, or the name of a known network")
    add("--output", metavar="FILE.png", default="augment.png", help="where to write the sheet (default augment.png)")
    add("--pictures", type=positive, default=6, metavar="N", help="how many pictures to show (default 6)")
    add("--seed", type=int, default=0, help="the seed that training gets (default 0)")
    add("--part", default="train", help="which of the pictures: train (the default), valid, test, or all")
    add("--labels", default="folder", help="how a listed picture gets its class: folder (the default) or substring")


def run(options: argparse.Namespace) -> int:
    from minidarknet import console, zoo
    from minidarknet.cli.tally import print_tally
    from minidarknet.contact_sheet import write_sheet
    from minidarknet.data import open_dataset, tally
    from minidarknet.network import Network

    _check_target(options.output)
    if options.seed < 0:
        raise UsageError(f"--seed {options.seed}: expected 0 or more")
    network = Network.from_cfg(zoo.find_cfg(options.cfg))
    if not network.input_shape.is_image:
        raise InputError(f"{network.path}: the network takes {network.input_shape}, not pictures")
    dataset = open_dataset(options.data, options.part, network.input_shape.channels, labels=options.labels)
    if not len(dataset):
        raise InputError(f"{options.data}: its part {options.part!r} has no picture")
    title = f"{options.data}: what {network.path} ({network.input_shape}) sees with the seed {options.seed}"
    write_sheet(options.output, title, tiles(dataset, network, options.pictures, options.seed))
    print_tally(tally(dataset))
    console.result("")
    console.facts(changes(network.options, network.input_shape.width))
    if len(dataset.names) != network.output_shape.size:
        what = f"{len(dataset.names):,} classes, but {network.path} has {network.output_shape.size:,} outputs"
        console.warning(f"{options.data} has {what}: it cannot be trained on them as it is")
    console.note(f"wrote {options.output}")
    return 0


def tiles(dataset: Dataset, network: Network, count: int, seed: int) -> list[Tile]:
    """A row for each picture: the first of each class, then the second of each, until there are enough."""
    from minidarknet.contact_sheet import Tile, thumbnail
    from minidarknet.loader import Loader

    shape = network.input_shape
    plain, changed = (
        Loader(dataset, network.options, shape, 1, seed, workers=1, augment=augment) for augment in (False, True)
    )
    found = []
    for index in one_of_each(dataset.labels.tolist(), count):
        name = dataset.names[dataset.label(index)]
        found.append(Tile(thumbnail(plain.picture(index)), ((name, "black"), ("unchanged", "grey"))))
        for epoch in range(IN_A_ROW - 1):
            picture = thumbnail(changed.picture(index, epoch))
            found.append(Tile(picture, ((name, "black"), (f"epoch {epoch + 1}", "grey"))))
    return found


def one_of_each(labels: list[int], count: int) -> list[int]:
    """The places of the first picture of each class, then those of the second of each; `count` of them in all."""
    seen: dict[int, int] = {}
    turns = []
    for place, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        turns.append((seen[label], label, place))
    return [place for _, _, place in sorted(turns)[:count]]


def changes(options: NetOptions, width: int) -> list[tuple[str, str]]:
    """What the [net] section says about changes, in words."""
    from minidarknet.transform import crop_range

    low, high = crop_range(options, width)
    side = "the largest centred square" if options.center else f"{width} wide, out of a shorter side of {low} to {high}"
    facts = [("window", side), ("mirrored", "every second picture" if options.flip else "none")]
    if options.angle and not options.center:
        facts.append(("angle", f"up to {options.angle:g} degrees either way"))
    for name in ("aspect", "saturation", "exposure"):
        most = getattr(options, name)
        if most != 1 and not (name == "aspect" and options.center):
            facts.append((name, "times {:.3g} to {:.3g}".format(*sorted((most, 1 / most)))))
    if options.hue:
        facts.append(("hue", f"moved by up to {options.hue:g} of the circle either way"))
    return facts


def _check_target(path: str) -> None:
    """What is wrong with the file to write is found before anybody waits for it."""
    folder = os.path.dirname(path) or "."
    if not path.lower().endswith(".png"):
        raise UsageError(f"--output {path}: expected a file that ends in .png")
    if not os.path.isdir(folder) or os.path.isdir(path):
        raise InputError(f"--output {path}: expected a file in a folder that exists")
