"""From a number back to a pixel: each time by the term that adds most, of either sign."""

from __future__ import annotations

from minidarknet.explain.number import Seen, explain
from minidarknet.explain.places import INPUT, Place
from minidarknet.explain.terms import Explanation


def chain(seen: Seen, place: Place) -> list[Explanation]:
    """The number at a place, then the one that adds most to it, and so on.

    The last one's `lead` stands in the input; it is None where only a constant has made the number: a window that lies
    wholly outside of the picture, or a zero that a reorg has appended.
    """
    links = [explain(seen, place)]
    while (lead := links[-1].lead) is not None and lead.source is not None and lead.source.layer != INPUT:
        links.append(explain(seen, lead.source))
    return links
