"""One output number of a network, down to the multiply-adds that it is made of.

    seen = see(network, picture)                        one forward pass, whose outputs are kept
    found = explain(seen, read_place("4:7,20,31", network))
    for term in found.largest(5):
        print(term.source, term.value, "*", term.factor, "=", term.product)
    for step in found.steps:
        print(step.name, step.expression, "=", step.value)

Everything is computed once more in float64 from what the layer has read; `found.agrees` says whether the kernel has
found the same. `chain` follows the largest terms back to a pixel, and `back.explain_back` the gradient.
"""

from minidarknet.explain.chain import chain
from minidarknet.explain.number import Seen, explain, see
from minidarknet.explain.places import Place, read_place
from minidarknet.explain.terms import Explanation, Step, Term

__all__ = ["Explanation", "Place", "Seen", "Step", "Term", "chain", "explain", "read_place", "see"]
