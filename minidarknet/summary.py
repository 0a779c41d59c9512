"""What a cfg amounts to, before anything is computed: Darknet's layer table, and the numbers that it leaves out."""

from __future__ import annotations

from typing import Any

from minidarknet import weights
from minidarknet.layers.base import Layer
from minidarknet.memory import mebibytes
from minidarknet.network import Network
from minidarknet.shapes import MAXIMUM_ELEMENTS, Shape

HEADING = "layer     filters    size              input                output"


def table(network: Network) -> str:
    """The layer table as Darknet prints it, byte for byte, each line ended."""
    return "".join(
        f"{line}\n" for line in [HEADING, *(f"{layer.index:5d} {layer.table_row()}" for layer in network.layers)]
    )


def describe(network: Network, batch: int) -> dict[str, Any]:
    """Everything that follows from the cfg, as plain values: the totals, and one entry for each layer.

    Parameters
    ----------
    network
        The network.
    batch
        The number of images that the activations' memory is counted for.
    """
    fields = receptive_fields(network)
    return {
        "cfg": network.path,
        "input": shape_values(network.input_shape),
        "batch": batch,
        "flops": network.flops(),
        "parameters": sum(parameter.size for _, parameter in network.parameters()),
        "weights_bytes": weights.file_size(network),
        "activation_bytes": network.memory(batch)["outputs"],
        "workspace_bytes": network.memory(batch)["workspace"],
        "layers": [
            {
                "index": layer.index,
                "kind": layer.kind,
                "line": layer.section.line,
                "reads": list(layer.reads),
                "input": shape_values(layer.in_shape),
                "output": shape_values(layer.out_shape),
                "flops": layer.flops(),
                "parameters": sum(parameter.size for parameter in layer.parameters()),
                "activation_bytes": layer.output_bytes(batch),
                "receptive_field": fields[layer.index],
            }
            for layer in network.layers
        ],
    }


def footer(network: Network, batch: int) -> list[tuple[str, str]]:
    """The totals as people read them: pairs of a title and a value."""
    facts = describe(network, batch)
    images = "1 image" if batch == 1 else f"{batch} images"
    return [
        ("operations", f"{facts['flops'] / 1e9:.3f} BFLOPs ({facts['flops']:,} for one image, by Darknet's count)"),
        ("parameters", f"{facts['parameters']:,}"),
        (
            "weights file",
            f"{facts['weights_bytes']:,} bytes (an old header has 4 fewer), {mebibytes(facts['weights_bytes'])}",
        ),
        ("activations", f"{mebibytes(facts['activation_bytes'])} for {images}"),
        ("input", f"{network.input_shape} (width x height x channels)" if network.input_shape.is_image else "a vector"),
        ("receptive field", _field_in_words(network, facts)),
    ]


def receptive_fields(network: Network) -> list[int | None]:
    """For each layer, the side in input pixels of the square that one output number depends on.

    None where it is the whole input: behind an average, a connected layer or a softmax.
    """
    fields: list[int | None] = []
    jumps: list[float] = []  # input pixels between two neighbouring output numbers
    for layer in network.layers:
        sources = [(1, 1.0) if read < 0 else (fields[read], jumps[read]) for read in layer.reads]
        jump = max(step for _, step in sources)
        window = layer.window()
        if window is None or jump > MAXIMUM_ELEMENTS or any(field is None for field, _ in sources):
            fields.append(None)
            jumps.append(jump)
            continue
        largest = max(field for field, _ in sources if field is not None)
        fields.append(round(largest + (window[0] - 1) * jump))
        jumps.append(jump * _scale(layer, window[1]))
    return fields


def _scale(layer: Layer, stride: int) -> float:
    """How much coarser the output's grid is than the input's."""
    same = layer.in_shape.width == layer.out_shape.width
    return (
        stride
        if stride > 1
        else 1.0
        if same or layer.out_shape.width <= 1
        else layer.in_shape.width / layer.out_shape.width
    )


def _field_in_words(network: Network, facts: dict[str, Any]) -> str:
    last = facts["layers"][-1]["receptive_field"]
    if last is not None:
        return f"{last} x {last} pixels"
    windows = [layer for layer in facts["layers"] if layer["receptive_field"] is not None]
    if not windows:
        return "the whole input"
    side = windows[-1]["receptive_field"]
    return f"the whole input; {side} x {side} pixels at layer {windows[-1]['index']}, before it is summed up"


def shape_values(shape: Shape) -> dict[str, int | bool]:
    """A shape as plain values."""
    return {"channels": shape.channels, "height": shape.height, "width": shape.width, "is_image": shape.is_image}
