"""`minidarknet trace ... --break LAYER`: Python's debugger behind a layer, with its numbers in hand."""

from __future__ import annotations

from bdb import BdbQuit
from typing import TYPE_CHECKING, Any

from minidarknet.errors import UsageError

if TYPE_CHECKING:
    from minidarknet.layers.base import Layer
    from minidarknet.layers.parameter import Array
    from minidarknet.prediction import Classifier


def stop_behind(net: Classifier, image: Any, index: int) -> int:
    """Run layer after layer, open the debugger behind one, and go on with what it has left in `y`."""
    from minidarknet import console

    if not 0 <= index < len(net.layers):
        raise UsageError(f"--break {index}: {net.path} has layers 0 to {len(net.layers) - 1}")
    outputs: dict[int, Array] = {}
    try:
        for layer, y in net.steps(image):
            if not outputs:
                outputs[-1] = net.as_batch(image)  # not before: only now does the network have the picture's size
            outputs[layer.index] = y
            if layer.index == index:
                inputs = [outputs[read] for read in layer.reads]
                sides = ", ".join(str(x.shape) for x in inputs)
                console.note(
                    f"behind layer {index} [{layer.kind}]: x {sides}, y {y.shape}, layer. What is changed in y "
                    "(y[:, 3] = 0) goes on; c continues, q quits"
                )
                _debug(inputs[0] if len(inputs) == 1 else inputs, y, layer)
    except BdbQuit:
        return 0
    for prediction in net.rank(outputs[net.output_layer.index][0].reshape(-1)):
        console.result(f"{prediction.name}: {prediction.probability:.6f}")
    return 0


def _debug(x: Array | list[Array], y: Array, layer: Layer) -> None:
    breakpoint()
    return  # here are x, y and layer; `up` has net, and outputs by layer number
