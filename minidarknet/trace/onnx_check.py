"""Every stage once more by ONNX Runtime: a graph of a few nodes for each, which reads what the stage has read.

Needs the extra `onnx`. Stages without a counterpart there are not compared: local layers, reorg, local response
normalization with Darknet's missing channel, shortcuts between sizes, and five activations.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidarknet.network import Network
from minidarknet.trace.diff import difference
from minidarknet.trace.records import Trace
from minidarknet.trace.verify import EPSILON, Check


def installed() -> bool:
    """Whether both libraries are there."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def check(network: Network, run: Trace) -> list[Check]:
    """Compare every stage of a trace that has kept its arrays, made with this network as it is now."""
    outputs: dict[int, Any] = {-1: run.input}
    checks: list[Check] = []
    before: Any = None
    for stage in run.stages:
        layer = network.layers[stage.layer]
        first = stage.name in ("products", layer.kind)
        inputs = [outputs[read] for read in layer.reads] if first else [before]
        graph = Graph(len(inputs))
        built = KINDS[layer.kind](graph, layer) if first and layer.kind in KINDS else not first
        built = built and (first or _behind(graph, layer, stage.name))
        assert stage.array is not None
        if built and stage.array.size:
            expected = graph.run(inputs).reshape(stage.array.shape)
            found = difference(stage.name, expected, stage.array)
            checks.append(Check(stage, found.absolute, found.relative))
        else:
            checks.append(Check(stage, None, None))
        before = outputs[stage.layer] = stage.array
    return checks


class Graph:
    """Nodes one behind the other; each reads what the last one has put out, and constants."""

    def __init__(self, inputs: int) -> None:
        self.inputs = [f"x{number}" for number in range(inputs)]
        self.last = self.inputs[0]
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any, dtype: type = np.float32) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> bool:
        """A node that reads the last one and these; True, as all that builds says whether it could."""
        return self.node(kind, [self.last, *inputs], **attributes)

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> bool:
        """A node that reads only these."""
        from onnx import helper

        output = f"y{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        self.last = output
        return True

    def run(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        import onnxruntime
        from onnx import TensorProto, helper

        sources = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
            for name, array in zip(self.inputs, inputs, strict=True)
        ]
        target = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "stage", sources, [target], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # the graphs are ours: nothing to warn of
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, dict(zip(self.inputs, inputs, strict=True)))[0])


def _column(values: Any) -> Any:
    return np.asarray(values).reshape(-1, 1, 1)


# -- stages ----------------------------------------------------------------------------------------------------------


def _behind(graph: Graph, layer: Any, name: str) -> bool:
    """A stage that reads the one before it."""
    values = {
        parameter.name: _column(parameter.value) for parameter in layer.parameters() if parameter.name != "weights"
    }
    if name == "normalised":
        graph.add("Sub", graph.constant(values["rolling_mean"]))
        spread = np.sqrt(values["rolling_variance"].astype(np.float64)) + EPSILON
        return graph.add("Div", graph.constant(spread))
    if name == "scale and bias":
        # The trace keeps what is normalised in float32; the kernel has done both at once.
        graph.add("Mul", graph.constant(values["scales"]))
    if name in ("scale and bias", "bias"):
        return graph.add("Add", graph.constant(values["biases"]))
    return _activation(graph, name)


NODES: dict[str, tuple[str, dict[str, float]]] = {
    "linear": ("Identity", {}),
    "relu": ("Relu", {}),
    "leaky": ("LeakyRelu", {"alpha": 0.1}),
    "relie": ("LeakyRelu", {"alpha": 0.01}),
    "logistic": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "elu": ("Elu", {"alpha": 1.0}),
    "selu": ("Selu", {"alpha": 1.6732, "gamma": 1.0507}),
}


def _activation(graph: Graph, name: str) -> bool:
    if name == "hardtan":
        return graph.add("Clip", graph.constant(-1), graph.constant(1))
    if name not in NODES:
        return False
    kind, attributes = NODES[name]
    return graph.add(kind, **attributes)


def _convolutional(graph: Graph, layer: Any) -> bool:
    o = layer.options
    sides = {"kernel_shape": [o.size] * 2, "strides": [o.stride] * 2, "pads": [layer.padding] * 4, "group": o.groups}
    return graph.add("Conv", graph.constant(layer.weights.value), **sides)


def _deconvolutional(graph: Graph, layer: Any) -> bool:
    o = layer.options
    sides = {"kernel_shape": [o.size] * 2, "strides": [o.stride] * 2, "pads": [layer.padding] * 4}
    return graph.add("ConvTranspose", graph.constant(layer.weights.value), **sides)


def _connected(graph: Graph, layer: Any) -> bool:
    graph.add("Flatten")
    return graph.add("Gemm", graph.constant(layer.weights.value), transB=1)


def _maxpool(graph: Graph, layer: Any) -> bool:
    stride, before, out = layer.options.stride, layer.padding // 2, layer.out_shape
    sides = zip((out.height, out.width), (layer.in_shape.height, layer.in_shape.width), strict=True)
    behind = [max(0, (count - 1) * stride + layer.size - before - length) for count, length in sides]
    if max(before, *behind) >= layer.size:  # ONNX knows no window that lies wholly outside
        return False
    pads = [before, before, *behind]
    return graph.add("MaxPool", kernel_shape=[layer.size] * 2, strides=[stride] * 2, pads=pads)


def _softmax(graph: Graph, layer: Any) -> bool:
    o = layer.options
    graph.add("Reshape", graph.constant([-1, layer.in_shape.size // o.groups], np.int64))
    graph.add("Div", graph.constant(o.temperature))
    return graph.add("Softmax", axis=1)


def _route(graph: Graph, layer: Any) -> bool:
    flat = []
    for name in graph.inputs:
        graph.node("Flatten", [name])
        flat.append(graph.last)
    return graph.node("Concat", flat, axis=1)


def _shortcut(graph: Graph, layer: Any) -> bool:
    o = layer.options
    if layer.in_shape != layer.earlier_shape:
        return False
    graph.node("Mul", [graph.inputs[1], graph.constant(o.beta)])
    added = graph.last
    graph.node("Mul", [graph.inputs[0], graph.constant(o.alpha)])
    graph.add("Add", added)
    return _activation(graph, o.activation)


def _upsample(graph: Graph, layer: Any) -> bool:
    o, factor = layer.options, abs(layer.options.stride)
    if o.stride < 0:
        graph.add("AveragePool", kernel_shape=[factor] * 2, strides=[factor] * 2)
        return graph.add("Mul", graph.constant(o.scale * factor**2))
    scales, way = graph.constant([1, 1, factor, factor]), {"coordinate_transformation_mode": "asymmetric"}
    graph.add("Resize", "", scales, mode="nearest", nearest_mode="floor", **way)
    return graph.add("Mul", graph.constant(o.scale))


def _batchnorm(graph: Graph, layer: Any) -> bool:
    scales, mean, variance = (_column(parameter.value) for parameter in layer.batch_norm)
    graph.add("Sub", graph.constant(mean))
    return graph.add("Mul", graph.constant(scales / (np.sqrt(variance.astype(np.float64)) + EPSILON)))


def _crop(graph: Graph, layer: Any) -> bool:
    out, shape = layer.out_shape, layer.in_shape
    begin = [(shape.height - out.height) // 2, (shape.width - out.width) // 2]
    end = [begin[0] + out.height, begin[1] + out.width]
    graph.add("Slice", *(graph.constant(numbers, np.int64) for numbers in (begin, end, [2, 3])))
    if layer.options.noadjust:
        return True
    graph.add("Mul", graph.constant(2))
    return graph.add("Sub", graph.constant(1))


KINDS: dict[str, Callable[[Graph, Any], bool]] = {
    "activation": lambda graph, layer: _activation(graph, layer.options.activation),
    "avgpool": lambda graph, layer: graph.add("GlobalAveragePool"),
    "batchnorm": _batchnorm,
    "connected": _connected,
    "convolutional": _convolutional,
    "crop": _crop,
    "deconvolutional": _deconvolutional,
    "dropout": lambda graph, layer: graph.add("Identity"),
    "l2norm": lambda graph, layer: graph.add("LpNormalization", axis=1, p=2),
    "logistic": lambda graph, layer: graph.add("Sigmoid"),
    "maxpool": _maxpool,
    "route": _route,
    "shortcut": _shortcut,
    "softmax": _softmax,
    "upsample": _upsample,
}
