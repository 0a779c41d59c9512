"""A cfg of one's own made from another one: for other classes, with the first layers frozen.

Only what must be is changed, in the text itself, so that comments and everything else stay as they are.
"""

from __future__ import annotations

from minidarknet.cfg import Section, parse_cfg
from minidarknet.errors import InputError, UsageError
from minidarknet.layers import LAYERS
from minidarknet.layers.connected import Connected
from minidarknet.layers.convolutional import Convolutional
from minidarknet.network import Network

#: The option that says how many numbers a layer puts out for each pixel, or in all.
OUTPUTS: dict[type, str] = {Convolutional: "filters", Connected: "output"}


def last_weighted(network: Network) -> int:
    """The number of the last layer whose outputs can be chosen: the one that decides about the classes.

    Raises
    ------
    InputError
        There is none, or between it and the end stands a layer that changes their number.
    """
    classes = network.output_shape.size
    for layer in reversed(network.layers):
        if type(layer) in OUTPUTS:
            if layer.out_shape.channels != classes:
                break
            return layer.index
    raise InputError(
        f"{network.path}: no layer has as many filters or outputs as the network has classes ({classes:,}); "
        "change the cfg by hand"
    )


def for_classes(text: str, path: str, classes: int, freeze: int = 0) -> str:
    """The text of a cfg, changed for another number of classes.

    Parameters
    ----------
    text, path
        The cfg, and what messages call it.
    classes
        How many classes there are.
    freeze
        So many of the first layers get no gradients (`stopbackward=1` in the last of them).

    Returns
    -------
    str
        The new text.

    Raises
    ------
    InputError, UsageError
        The network has no layer to change, or fewer layers than are to be frozen.
    """
    cfg = parse_cfg(text, path)
    network = Network.from_cfg(cfg)
    last = last_weighted(network)
    if freeze > last:
        raise UsageError(f"{path}: {freeze} layers cannot be frozen: layer {last} is the one that learns the classes")
    lines = text.replace("\r\n", "\n").split("\n")
    kind = LAYERS[cfg.layers[last].name]
    # From the end, so that the numbers of the lines before stay right.
    _set(lines, cfg.layers[last], OUTPUTS[kind], classes)
    if freeze:
        _set(lines, cfg.layers[freeze - 1], "stopbackward", 1)
    return "\n".join(lines)


def _set(lines: list[str], section: Section, key: str, value: int) -> None:
    """Write an option into the lines of a cfg: over the one that is there, or below the section's header."""
    assert section.line is not None
    entry = section.entries.get(key)
    if entry:
        lines[entry.line - 1] = f"{key}={value}"
    else:
        lines.insert(section.line, f"{key}={value}")
