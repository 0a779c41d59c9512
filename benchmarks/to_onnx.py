"""One network as an ONNX model, layer by layer: what ONNX Runtime and OpenCV read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnx import TensorProto, helper

from benchmarks.models import Array, folded, pool_pads, unknown
from minidarknet.network import Network


class Graph:
    """Nodes and constants as they pile up; each is known by the name of its output."""

    def __init__(self, pad_points: bool) -> None:
        self.pad_points = pad_points
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: Array) -> str:
        self.constants.append(helper.make_tensor(name, TensorProto.FLOAT, values.shape, values.tobytes(), raw=True))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output


def to_onnx(network: Network, batch: int, *, pad_points: bool = False) -> Any:
    """The network as an ONNX model for batches of exactly `batch` images.

    With `pad_points`, the padding of a 1x1 convolution becomes a node of its own: OpenCV 5 computes zeros otherwise.
    """
    graph, outputs = Graph(pad_points), dict[int, str]({-1: "input"})
    for layer in network.layers:
        if layer.kind not in KINDS:
            raise unknown(layer, "no such node")
        outputs[layer.index] = KINDS[layer.kind](graph, layer, [outputs[read] for read in layer.reads])
    last, answer = network.output_layer, [batch, *network.output_shape.array_shape]
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, *network.input_shape.array_shape])
    shape = answer[:2] if last.kind in ("connected", "softmax") else answer
    target = helper.make_tensor_value_info(outputs[last.index], TensorProto.FLOAT, shape)
    whole = helper.make_graph(graph.nodes, "network", [source], [target], graph.constants)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


# -- one function for each kind of layer: it adds nodes and returns the name of the layer's output --------------------


def convolutional(graph: Graph, layer: Any, inputs: list[str]) -> str:
    o, padding = layer.options, layer.padding
    if graph.pad_points and o.size == 1 and padding:
        ends = helper.make_tensor(f"pads{layer.index}", TensorProto.INT64, [8], [0, 0, padding, padding] * 2)
        graph.constants.append(ends)
        inputs = [graph.add("Pad", [*inputs, ends.name], f"padded{layer.index}")]
        padding = 0
    geometry = {"kernel_shape": [o.size] * 2, "strides": [o.stride] * 2, "pads": [padding] * 4, "group": o.groups}
    product = graph.add("Conv", [*inputs, *learned(graph, layer)], f"product{layer.index}", **geometry)
    return activated(graph, layer, product)


def connected(graph: Graph, layer: Any, inputs: list[str]) -> str:
    flat = graph.add("Flatten", inputs, f"flat{layer.index}")
    product = graph.add("Gemm", [flat, *learned(graph, layer)], f"product{layer.index}", transB=1)
    return activated(graph, layer, product)


def maxpool(graph: Graph, layer: Any, inputs: list[str]) -> str:
    geometry = {"kernel_shape": [layer.size] * 2, "strides": [layer.options.stride] * 2, "pads": [*pool_pads(layer)]}
    return graph.add("MaxPool", inputs, f"layer{layer.index}", **geometry)


def avgpool(graph: Graph, layer: Any, inputs: list[str]) -> str:
    return graph.add("GlobalAveragePool", inputs, f"layer{layer.index}")


def softmax(graph: Graph, layer: Any, inputs: list[str]) -> str:
    flat = graph.add("Flatten", inputs, f"flat{layer.index}")
    return graph.add("Softmax", [flat], f"layer{layer.index}", axis=1)


def route(graph: Graph, layer: Any, inputs: list[str]) -> str:
    return inputs[0] if len(inputs) == 1 else graph.add("Concat", inputs, f"layer{layer.index}", axis=1)


def passed_on(graph: Graph, layer: Any, inputs: list[str]) -> str:
    return inputs[0]


def learned(graph: Graph, layer: Any) -> list[str]:
    """The names of the layer's folded weights and biases."""
    weights, biases = folded(layer)
    return [graph.constant(f"weights{layer.index}", weights), graph.constant(f"biases{layer.index}", biases)]


def activated(graph: Graph, layer: Any, product: str) -> str:
    activation = layer.options.activation
    if activation == "linear":
        return product
    if activation not in ACTIVATIONS:
        raise unknown(layer, f"activation={activation}")
    kind, attributes = ACTIVATIONS[activation]
    return graph.add(kind, [product], f"layer{layer.index}", **attributes)


ACTIVATIONS: dict[str, tuple[str, dict[str, float]]] = {
    "relu": ("Relu", {}),
    "leaky": ("LeakyRelu", {"alpha": 0.1}),
}

KINDS: dict[str, Callable[[Graph, Any, list[str]], str]] = {
    "convolutional": convolutional,
    "connected": connected,
    "maxpool": maxpool,
    "avgpool": avgpool,
    "softmax": softmax,
    "route": route,
    "dropout": passed_on,
    "cost": passed_on,
}
