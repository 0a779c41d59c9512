"""What `minidarknet explain` prints: windows side by side, tables of terms, and steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from minidarknet.explain import Explanation, Term
    from minidarknet.explain.back import Gradient
    from minidarknet.network import Network

#: Without --all: rows of a table, windows that are drawn; and the largest side of a window that is drawn.
ROWS, WINDOWS, SIDE = 10, 3, 5
#: Letters of a bar.
BAR = 12


def print_number(network: Network, found: Explanation, everything: bool) -> None:
    """All of one number: its window and terms, the steps behind them, and the kernel's number beside the result."""
    from minidarknet import console

    console.result(f"{found.title} = {found.kernel + 0.0:.9g}")
    reads = network.layers[found.place.layer].reads
    console.result("it reads " + " and ".join(name(network, read) for read in reads))
    if found.grid:
        _print_windows(found, everything)
    if len(found.terms) > 1:
        _print_terms(found, everything)
    elif found.lead:
        console.result(f"\nit comes from {found.lead.source}: {_single(found.lead)}")
    print_steps(found)


def name(network: Network, layer: int) -> str:
    """A layer, or the input, in words."""
    shape = network.input_shape if layer < 0 else network.layers[layer].out_shape
    sides = f"{shape.height} rows, {shape.width} columns, {shape.channels} channels"
    if (shape.height, shape.width) == (1, 1):
        sides = f"{shape.size} numbers"
    return f"the input ({sides})" if layer < 0 else f"layer {layer} [{network.layers[layer].kind}] ({sides})"


def _single(term: Term) -> str:
    return f"{term.value:.9g}" if term.factor == 1 else f"{term.value:.9g} * {term.factor:.9g} = {term.product:.9g}"


# -- windows ---------------------------------------------------------------------------------------------------------


def _print_windows(found: Explanation, everything: bool) -> None:
    """The channels that add most: the numbers below the window, the kernel, and their products."""
    from minidarknet import console

    assert found.grid is not None
    channels, rows, columns = found.grid
    parts = np.array([term.product for term in found.terms]).reshape(channels, rows * columns)
    sums, first = parts.sum(axis=1), _first_channel(found)
    order = [int(c) for c in np.argsort(-np.abs(sums), kind="stable")]
    if channels > 1 and rows > 1:
        shown = order if everything else order[:ROWS]
        most = float(np.abs(sums).max()) or 1.0
        more = "" if len(shown) == channels else f", the {len(shown)} that add most"
        console.result(f"\nwhat its {channels} channels add{more}")
        cells = [[str(first + c), f"{sums[c]:.6g}", console.bar(abs(sums[c]) / most, BAR)] for c in shown]
        console.table(["channel", "sum", ""], cells)
    if rows == 1 or (max(rows, columns) > SIDE and not everything):
        return
    for c in order if everything else order[:WINDOWS]:
        terms = found.terms[c * rows * columns : (c + 1) * rows * columns]
        grids, titles = [[_cell(term, term.value) for term in terms]], ["numbers"]
        if any(term.factor != 1 for term in terms):
            grids += [[f"{term.factor:.4g}" for term in terms], [_cell(term, term.product) for term in terms]]
            titles = ["numbers", "kernel", f"products, sum {sums[c]:.6g}"]
        console.result(f"\nchannel {first + c}, {_corner(found, c)}")
        for line in beside(titles, grids, columns):
            console.result(line)


def _cell(term: Term, value: float) -> str:
    """A number of a window; a point where the window is outside of the picture."""
    return "." if term.source is None else f"{value + 0.0:.4g}"  # no -0


def _first_channel(found: Explanation) -> int:
    """The channel that the window's first one stands in: in a convolution with groups, not always 0."""
    for number, term in enumerate(found.terms):
        if term.source is not None and found.grid is not None:
            return term.source.channel - number // (found.grid[1] * found.grid[2])
    return 0


def _corner(found: Explanation, channel: int) -> str:
    """Which rows and columns of a channel the window sees."""
    assert found.grid is not None
    cells = found.grid[1] * found.grid[2]
    there = [t.source for t in found.terms[channel * cells : (channel + 1) * cells] if t.source is not None]
    if not there:
        return "outside of the picture"
    rows, columns = sorted({p.row for p in there}), sorted({p.column for p in there})
    return f"{_span('row', rows)}, {_span('column', columns)}"


def _span(what: str, numbers: Sequence[int]) -> str:
    first, last = numbers[0], numbers[-1]
    return f"{what} {first}" if first == last else f"{what}s {first} to {last}"


def beside(titles: Sequence[str], grids: Sequence[Sequence[str]], columns: int) -> list[str]:
    """Grids of words, row by row, next to each other below their titles."""
    blocks = []
    for title, words in zip(titles, grids, strict=True):
        width = max(map(len, words))
        rows = [words[start : start + columns] for start in range(0, len(words), columns)]
        lines = [title, *("  ".join(f"{word:>{width}}" for word in row) for row in rows)]
        widest = max(map(len, lines))
        blocks.append([f"{line:<{widest}}" for line in lines])
    return ["  " + "     ".join(lines).rstrip() for lines in zip(*blocks, strict=True)]


# -- terms and steps -------------------------------------------------------------------------------------------------


def _print_terms(found: Explanation, everything: bool) -> None:
    from minidarknet import console

    terms = found.largest(None if everything else ROWS)
    count, most = len(found.largest()), max((abs(t.product) for t in found.terms if t.source), default=0.0) or 1.0
    more = "" if len(terms) == count else f", the {len(terms)} that add most"
    outside = len(found.terms) - count
    console.result(f"\n{count:,} terms{more}" + (f"; {outside:,} lie outside of the picture" if outside else ""))
    weighted = any(term.factor != 1 or term.product != term.value for term in terms)
    titles = ["place ", "number", *(["factor", "adds"] if weighted else []), ""]
    rows = []
    for term in terms:
        numbers = [f"{term.value:.6g}", *([f"{term.factor:.6g}", f"{term.product + 0.0:.6g}"] if weighted else [])]
        rows.append([str(term.source), *numbers, console.bar(abs(term.product) / most, BAR)])
    console.table(titles, rows)


def print_steps(found: Explanation) -> None:
    """Each step as plain Python, then what the kernel has computed."""
    from minidarknet import console

    console.result("")
    rows = [[step.name, step.expression, f"{step.value:.9g}"] for step in found.steps]
    far = "the same" if found.off == 0 else f"{found.off:.1e} apart, rounding explains {found.bound:.1e}"
    rows.append(["the kernel's", far, f"{found.kernel:.9g}"])
    console.table(["step ", "of plain numbers ", "value"], rows)


# -- chains ----------------------------------------------------------------------------------------------------------


def print_chain(network: Network, links: list[Explanation], pixel: dict[str, Any] | None) -> None:
    """A line for each number, from the place that was asked for back to the picture."""
    from minidarknet import console

    rows = []
    for link in links:
        lead = link.lead
        total = math.fsum(abs(term.product) for term in link.terms)
        added = len(link.terms) > 1 and all(term.own for term in link.terms)
        share = f"{100 * abs(lead.product) / total:.1f}%" if added and lead and total else ""
        product = _single(lead) if lead else "a constant"
        source = str(lead.source) if lead else ""
        rows.append([str(link.place), link.kind, f"{link.kernel:.6g}", f"{len(link.terms):,}", source, product, share])
    console.table(["place ", "layer ", "number", "terms", "largest ", "what it adds ", "share of |terms|"], rows)
    console.result("")
    if pixel is None:
        console.result("the last number is a constant: it comes from no pixel")
        return
    there = pixel["photo"]
    shown = (
        f"row {there['row']:.1f}, column {there['column']:.1f} of the photo, {there['sides'][1]} x {there['sides'][0]}"
        if there
        else "a grey bar, not the photo"
    )
    colour = {0: "red", 1: "green", 2: "blue"}[pixel["channel"]] if network.input_shape.channels == 3 else "grey"
    console.result(
        f"pixel: row {pixel['row']}, column {pixel['column']} of the input, channel {pixel['channel']} ({colour}) = "
        f"{pixel['value']:.6g}; {shown}"
    )


# -- gradients -------------------------------------------------------------------------------------------------------


def print_gradient(network: Network, found: Gradient, everything: bool) -> None:
    """The gradient of the loss by a number: what each layer that has read it adds, and the largest terms."""
    from minidarknet import console

    place = found.place
    console.result(
        f"layer {place.layer} [{found.kind}], channel {place.channel}, row {place.row}, column {place.column}"
    )
    console.result(f"= {found.number + 0.0:.9g} in a pass of learning, whose loss is {found.loss:.9g}")
    console.result(f"gradient of the loss by it: {found.learned + 0.0:.9g}")
    if found.inward is not None:
        console.result(f"gradient by its product, before batch norm and activation: {found.inward + 0.0:.9g}")
    console.note("learning takes the picture's own statistics for batch norm; dropout and crops are drawn from seed 0")
    if network.options.darknet_quirks:
        console.note(f"{network.path} asks for darknet_quirks, which change gradients; this is the true one")
    if not found.terms:
        console.result("\nno layer has read it, so nothing comes back to it")
        return
    parts: dict[int, list[float]] = {}
    for term in found.terms:
        parts.setdefault(term.reader, []).append(term.product)
    console.result("\nwhat comes back")
    rows = [[name(network, reader), f"{len(p):,}", f"{math.fsum(p):.9g}"] for reader, p in parts.items()]
    far = "the same" if found.off == 0 else f"{found.off:.1e} apart, rounding explains {found.bound:.1e}"
    rows += [["all together", f"{len(found.terms):,}", f"{found.value:.9g}"]]
    rows += [[f"what learning says: {far}", "", f"{found.learned:.9g}"]]
    console.table(["from ", "terms", "sum"], rows)
    terms = found.largest(None if everything else ROWS)
    more = "" if len(terms) == len(found.terms) else f", the {len(terms)} that add most"
    console.result(f"\n{len(found.terms):,} term{'s' if len(found.terms) > 1 else ''}{more}")
    most = max(abs(term.product) for term in found.terms) or 1.0
    rows = [
        [
            f"{term.what} {term.place}" if term.place else f"{term.reader}: {term.what}",
            *(f"{value + 0.0:.6g}" for value in (term.gradient, term.factor, term.product)),
            console.bar(abs(term.product) / most, BAR),
        ]
        for term in terms
    ]
    console.table(["gradient by ", "is", "factor", "adds", ""], rows)
