"""Networks side by side: the Tiny Darknet page's table with numbers of this machine.

The page's argument is that a small file is no fast network: SqueezeNet has a fraction of the parameters of Darknet
Reference, and needs more operations and more time. `argument` finds the pair of networks that shows it best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

from minidarknet import weights, zoo
from minidarknet.benchmark import Spread
from minidarknet.network import Network
from minidarknet.validation import Validation

SQUEEZENET_NOTE = (
    "For SqueezeNet the page prints 2.17 Bn operations; the published network (v1.0, 227 x 227) has 1.72 by the same "
    "count, which is also its authors' figure, and no published geometry gives 2.17."
)


def recognise(network: Network) -> zoo.System | None:
    """Which of the known systems this is, told by its number of parameters; None for any other network."""
    return next((zoo.SYSTEMS[name] for name in zoo.SYSTEMS if parameters_of(name) == count_parameters(network)), None)


@cache
def parameters_of(name: str) -> int:
    """The number of parameters of a known system."""
    return count_parameters(Network.from_cfg(zoo.cfg_path(name)))


def count_parameters(network: Network) -> int:
    return sum(parameter.size for _, parameter in network.parameters())


def describe(network: Network, title: str, batch: int, forward: Spread, seen: Validation | None) -> dict[str, Any]:
    """One network's row as plain values; `page` has what the page prints of it, `accuracy` what it said of pictures."""
    known = recognise(network)
    return {
        "title": title,
        "cfg": network.path,
        "known_as": known.name if known else None,
        "operations": network.flops(),
        "parameters": count_parameters(network),
        "weights_bytes": weights.file_size(network),
        "seconds": asdict(forward),
        "seconds_per_image": forward.median / batch,
        "gflops": batch * network.flops() / forward.median / 1e9,
        "accuracy": None
        if seen is None or seen.count == 0
        else {
            "pictures": seen.count,
            "top1_right": seen.count_right(1),
            "top5_right": seen.count_right(5),
            "top1": seen.share_right(1),
            "top5": seen.share_right(5),
        },
        "page": asdict(known.printed) if known and known.printed else None,
    }


def argument(rows: Sequence[dict[str, Any]]) -> str:
    """The page's argument in one sentence, from the numbers of these rows; empty where there is nothing to compare.

    Of all pairs in which the network with fewer parameters needs more operations, the one is chosen that differs most,
    pairs first in which it took more time too. Where there is none, the sentence tells of the pair whose parameters
    differ most for their operations, and draws no conclusion.
    """
    pairs = [(small, large) for small in rows for large in rows if small["parameters"] < large["parameters"]]
    if not pairs:
        return ""

    def weight(pair: tuple[dict[str, Any], dict[str, Any]]) -> tuple[bool, bool, float]:
        fewer, more, longer = _ratios(*pair)
        turned = more > 1
        return turned, turned and longer > 1, fewer * more * (longer if turned else 1)

    small, large = max(pairs, key=weight)
    fewer, more, longer = _ratios(small, large)
    begin = f"{small['title']} has {fewer:.1f} times fewer parameters than {large['title']}"
    if more <= 1:
        return f"{begin}, {1 / more:.1f} times fewer operations, and took {longer:.2f} of its time."
    lesson = "few operations, nor little time" if longer > 1 else "few operations (though here it took less time)"
    return (
        f"{begin}, needs {more:.1f} times its operations, and took {longer:.1f} times its time: few parameters do not "
        f"mean {lesson}."
    )


def _ratios(small: dict[str, Any], large: dict[str, Any]) -> tuple[float, float, float]:
    """How many times fewer parameters the first has, and how many times the second's operations and time."""
    return (
        large["parameters"] / max(small["parameters"], 1),
        max(small["operations"], 1) / max(large["operations"], 1),
        small["seconds_per_image"] / large["seconds_per_image"],
    )
