"""How much memory a training takes, asked before anything is taken."""

from __future__ import annotations

from minidarknet.errors import InputError
from minidarknet.learning import training_memory
from minidarknet.loader import AHEAD
from minidarknet.memory import mebibytes, memory_limit
from minidarknet.network import Network
from minidarknet.optimizers import SGD, Adam


def memory_needs(network: Network, part: int, traced: bool = False) -> dict[str, int]:
    """Bytes that training with `part` images at a time takes, by what they are for.

    A network that is validated in between has memory of its own for that, beside what the learner holds. One that is
    traced keeps a copy of what it learns.
    """
    slots = (Adam if network.options.adam else SGD).slots
    learned = 4 * sum(parameter.size for _, parameter in network.parameters() if parameter.learns)
    picture = 4 * (network.input_shape.size + network.output_shape.size)
    needs = {
        **training_memory(network, part),
        "optimizer": len(slots) * learned,
        "pictures": (AHEAD * part + network.options.batch) * picture,
        "validation": network.prediction_bytes(part) + part * picture,
    }
    return {**needs, "trace": learned} if traced else needs


def check_memory(network: Network, traced: bool = False) -> dict[str, int]:
    """The bytes that training takes; raises where there are not as many, naming the `subdivisions` that would do."""
    options, limit = network.options, memory_limit()
    part = options.batch // options.subdivisions
    needs = memory_needs(network, part, traced)
    if sum(needs.values()) <= limit:
        return needs
    fitting = (
        number
        for number in range(options.subdivisions + 1, options.batch + 1)
        if options.batch % number == 0 and sum(memory_needs(network, options.batch // number, traced).values()) <= limit
    )
    enough = next(fitting, None)
    remedy = (
        f"subdivisions={enough} in [net] would do: {options.batch // enough} at a time"
        if enough
        else "even one image at a time is too much: take a smaller input or network"
    )
    sizes = ", ".join(f"{name} {mebibytes(size)}" for name, size in needs.items())
    raise InputError(
        f"{network.path}: training with {part} images at a time needs {mebibytes(sum(needs.values()))} ({sizes}), more "
        f"than the {mebibytes(limit)} of this machine; {remedy}; or set MINIDARKNET_MEMORY (MiB)"
    )
