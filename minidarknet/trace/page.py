"""A trace as a page: one HTML file that needs no other, for a person who knows no more than what a network is.

    run = net.trace(picture)
    write_page("dog.html", net, run, "dog.jpg", ["minidarknet", "explain", "tiny", "dog.jpg"])

Needs jinja2 (`pip install 'minidarknet[page]'`). Every text is escaped, pictures are inside of the file, and a content
security policy forbids it to ask anything of anybody.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from minidarknet.benchmark import Machine, measure_machine, time_forward
from minidarknet.errors import InputError, UsageError
from minidarknet.kernels.jit import is_compiled
from minidarknet.kernels.threads import thread_count
from minidarknet.layers.parameter import Array
from minidarknet.prediction import Classifier, Prediction
from minidarknet.trace.attention import grad_cam, last_map, occlusion
from minidarknet.trace.cards import Card, filters, largest_numbers, map_counts, sees, shown_maps
from minidarknet.trace.files import save_text
from minidarknet.trace.limits import SPACE, ms, speeds, whole_percent
from minidarknet.trace.pictures import data_uri, heat, photo
from minidarknet.trace.receptive import Box, receptive_fields
from minidarknet.trace.records import Stage, Trace

HERE = Path(__file__).resolve().parent
#: Forward passes that are timed, once the network is warm.
RUNS = 10
#: The shorter side of heat over a photo, at the least, so that it is smooth over few pixels too.
SMOOTH = 160


@dataclass(frozen=True)
class Measured:
    """What a page tells beyond the trace: all that takes more passes through the network.

    Attributes
    ----------
    machine
        What it can do at the most; None where that could not be measured, with `why` in words.
    forward
        Seconds of a prediction, whose layers are fused.
    chosen
        The class that the two pictures are about.
    grad_cam, occlusion
        See `attention.py`; None for a network without a convolution to look at, with `closed` in words.
    """

    machine: Machine | None
    why: str
    forward: float
    top: list[Prediction]
    chosen: Prediction
    grad_cam: Array | None
    closed: str
    occlusion: Array


@dataclass(frozen=True)
class Dead:
    """The dead channels of a layer; `passed_on` where they are those of the layer that it reads."""

    card: Card
    channels: list[int]
    passed_on: bool


def check_jinja2() -> None:
    """Raise where the extra that writes pages is not installed, before anybody waits for a page."""
    try:
        import jinja2  # noqa: F401  # only to see whether it is there
    except ImportError:
        raise UsageError("a page needs jinja2: pip install 'minidarknet[page]', or leave --html out") from None


def measure(net: Classifier, image: Array, index: int | None = None) -> Measured:
    """Measure the machine and the network, and ask where it looks; for class `index`, by default its first answer.

    `image` is one prepared picture, (1, channels, height, width).
    """
    answers = net.probabilities(image)[0]
    top = net.rank(answers)
    chosen = top[0] if index is None else next(p for p in net.rank(answers, len(answers)) if p.index == index)
    machine, why, closed, found = None, "", "", None
    if is_compiled():
        try:
            machine = measure_machine(thread_count())
        except InputError as error:
            why = str(error)
    else:
        why = "kernels are interpreted (NUMBA_DISABLE_JIT)"
    forward = time_forward(net, image, RUNS).median
    try:
        found = grad_cam(net, image, chosen.index)
    except InputError as error:
        closed = str(error)
    hidden = occlusion(net, image, chosen.index)
    return Measured(machine, why, forward, top, chosen, found, closed, hidden)


def write_page(
    path: str | PathLike[str],
    net: Classifier,
    run: Trace,
    picture: str,
    command: Sequence[str],
    measured: Measured | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the page of a trace.

    Parameters
    ----------
    path
        The HTML file.
    net
        The network that was traced.
    run
        A trace of one picture, with its arrays.
    picture
        The picture's name.
    command
        The words that explain a number of this run, but for the last one, which says which.
    measured
        What `measure` has found; by default it is measured now.
    notes
        What else a reader must know of this run.

    Raises
    ------
    UsageError
        jinja2 is not installed.
    InputError
        The trace is of several pictures, has no arrays, or was ended early; or the file cannot be written.
    """
    check_jinja2()
    save_text(path, render(net, run, picture, command, measured, notes))


def render(
    net: Classifier,
    run: Trace,
    picture: str,
    command: Sequence[str],
    measured: Measured | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The text of the page; see `write_page`."""
    import jinja2
    from markupsafe import Markup

    from minidarknet import __version__

    _check(net, run)
    net.resize(*run.input.shape[2:])  # it may have seen another picture since
    measured = measured or measure(net, run.input)
    cards = _cards(net, run, measured)
    height, width = run.input.shape[2:]
    script, style = ((HERE / name).read_text("utf-8") for name in ("page.js", "page.css"))
    hottest = _hottest(measured)
    whole = [card for card in cards if (card.field.middle.height, card.field.middle.width) == (height, width)]
    before = [card for card in cards if card not in whole]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters.update(ms=ms, short=_short, percent=_percent, whole_percent=whole_percent)
    return environment.get_template("page.html").render(
        version=__version__,
        network=Path(net.path).stem,
        cfg=Path(net.path).name,
        picture=picture,
        preprocess=net.preprocess,
        notes=notes,
        photo={"uri": data_uri(photo(run.input[0])), "width": width, "height": height},
        measured=measured,
        mapped=cards[last_map(net).index] if measured.grad_cam is not None else None,
        grad_cam=_heat(measured.grad_cam, height, width),
        occlusion=_heat(measured.occlusion, height, width),
        occlusion_most=float(measured.occlusion.max()),
        cards=cards,
        slowest=max(cards, key=lambda card: card.speed.seconds),
        total=sum(card.speed.seconds for card in cards),
        longest=max(card.speed.seconds for card in cards) or 1.0,
        whole=whole[0] if whole else None,
        widest=max(before, key=lambda card: card.field.middle.height * card.field.middle.width) if before else None,
        steps=[(card, _around(card, *hottest)) for card in _steps(cards)],
        is_around_heat=measured.grad_cam is not None and bool(measured.grad_cam.any()),
        dead=_dead(cards),
        parameters=sum(parameter.size for _, parameter in net.parameters()),
        flops=net.flops(),
        script=Markup(script),
        style=Markup(style),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        data={
            "command": shlex.join(command),
            "layers": {card.layer.index: card.field_values() for card in cards if card.maps},
        },
    )


def _check(net: Classifier, run: Trace) -> None:
    if len(run.input) != 1:
        raise InputError(f"a page shows one picture; the trace has {len(run.input)}")
    last = max((stage.layer for stage in run.stages), default=-1)
    if last != net.layers[-1].index:
        raise InputError(f"a page shows all {len(net.layers)} layers; the trace ends behind layer {last}")
    if any(stage.array is None for stage in run.stages):
        raise InputError("a page shows feature maps; the trace has kept no arrays (keep=True)")


def _cards(net: Classifier, run: Trace, measured: Measured) -> list[Card]:
    stages: dict[int, list[Stage]] = {}
    for stage in run.stages:
        stages.setdefault(stage.layer, []).append(stage)
    fields, counts = receptive_fields(net), map_counts([own[-1] for own in stages.values()])
    found = speeds(net.layers, run.stages, measured.machine)
    height, width = run.input.shape[2:]
    cards = []
    for layer, speed, count in zip(net.layers, found, counts, strict=True):
        own = stages[layer.index]
        output = np.asarray(own[-1].array)[0]
        cards.append(
            Card(
                layer=layer,
                stages=own,
                speed=speed,
                field=fields[layer.index],
                sees=sees(fields[layer.index], height, width),
                maps=shown_maps(output, count),
                bars=[] if count else largest_numbers(net, output),
                filters=filters(layer),
            )
        )
    return cards


def _steps(cards: list[Card]) -> list[Card]:
    """The layers whose middle sees more than that of any layer before."""
    found: list[Card] = []
    for card in cards:
        box = card.field.middle
        if not found or box.height * box.width > max(c.field.middle.height * c.field.middle.width for c in found):
            found.append(card)
    return found


def _around(card: Card, down: float, right: float) -> Box:
    """What the number of a layer sees that lies at these shares of its height and width."""
    rows, columns = len(card.field.rows), len(card.field.columns)
    return card.field.box(min(int(down * rows), rows - 1), min(int(right * columns), columns - 1))


def _dead(cards: list[Card]) -> list[Dead]:
    by_index = {card.layer.index: card for card in cards}
    found = []
    for card in cards:
        if card.last.dead:
            sources = [by_index[read].last.dead for read in card.layer.reads if read >= 0]
            passed_on = not card.layer.parameters() and sources == [card.last.dead]
            found.append(Dead(card, card.last.dead, passed_on))
    return found


def _heat(numbers: Array | None, height: int, width: int) -> str:
    if numbers is None:
        return ""
    times = max(1, -(-SMOOTH // min(height, width)))
    return data_uri(heat(numbers, times * height, times * width))


def _hottest(measured: Measured) -> tuple[float, float]:
    """Where the picture speaks most for the class, as shares of its height and width; else its middle."""
    numbers = measured.grad_cam
    if numbers is None or not numbers.any():
        return 0.5, 0.5
    y, x = np.unravel_index(int(numbers.argmax()), numbers.shape)
    return (float(y) + 0.5) / numbers.shape[0], (float(x) + 0.5) / numbers.shape[1]


def _short(number: float) -> str:
    return f"{number:.3g}"


def _percent(share: float) -> str:
    digits = ".1f" if share >= 0.01 else ".2g"
    return f"{100 * share:{digits}}{SPACE}%"
