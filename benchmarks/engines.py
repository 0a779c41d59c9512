"""The engines side by side: how each is made ready for one network and one batch, in its quickest reasonable form.

`prepare(network, x, threads)` returns a function without arguments that runs the batch `x` once and returns the
output as a NumPy array. Whatever can be done ahead of time (reading the model, packing weights, laying out the input,
compiling) is done in `prepare`, and never counted. Peers are imported inside the functions: each may be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numba
import numpy as np

from benchmarks.models import Array
from minidarknet.network import Network

Runner = Callable[[], Array]


@dataclass(frozen=True)
class Engine:
    """One row of the comparison: its title, the module that it needs, and how it is made ready."""

    title: str
    module: str
    prepare: Callable[[Network, Array, int], Runner]

    def version(self) -> str:
        return str(import_module(self.module).__version__)


def layer_by_layer(network: Network, x: Array, threads: int) -> Runner:
    """What all answers are held against: our unfolded float32 steps, which the golden tests hold to the C program's."""
    numba.set_num_threads(threads)
    return lambda: next(output for layer, output in network.steps(x) if layer is network.output_layer)


def minidarknet(network: Network, x: Array, threads: int) -> Runner:
    numba.set_num_threads(threads)
    return lambda: network.forward(x)


def onnxruntime(network: Network, x: Array, threads: int) -> Runner:
    import onnxruntime as ort

    from benchmarks.to_onnx import to_onnx

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    model = to_onnx(network, len(x)).SerializeToString()
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"input": x})[0]


def opencv(network: Network, x: Array, threads: int) -> Runner:
    import cv2

    from benchmarks.to_onnx import to_onnx

    cv2.setNumThreads(threads)
    model = np.frombuffer(to_onnx(network, len(x), pad_points=True).SerializeToString(), np.uint8)
    net = cv2.dnn.readNetFromONNX(model)

    def run() -> Array:
        net.setInput(x)
        return net.forward()

    return run


def torch_eager(network: Network, x: Array, threads: int) -> Runner:
    return _torch(network, x, threads, lambda module: module)


def torch_channels_last(network: Network, x: Array, threads: int) -> Runner:
    return _torch(network, x, threads, lambda module: module, channels_last=True)


def torch_compiled(network: Network, x: Array, threads: int) -> Runner:
    import torch

    return _torch(network, x, threads, torch.compile)


def torch_frozen(network: Network, x: Array, threads: int) -> Runner:
    import torch
    from torch._inductor import config

    config.freezing = True  # the weights become constants, packed as oneDNN likes them
    return _torch(network, x, threads, torch.compile)


def torch_autotuned(network: Network, x: Array, threads: int) -> Runner:
    import torch
    from torch._inductor import config

    config.freezing = True
    return _torch(network, x, threads, lambda module: torch.compile(module, mode="max-autotune"))


def _torch(
    network: Network, x: Array, threads: int, finish: Callable[[Any], Any], *, channels_last: bool = False
) -> Runner:
    import torch

    from benchmarks.to_torch import to_torch

    torch.set_num_threads(threads)
    order = torch.channels_last if channels_last else torch.contiguous_format
    module = finish(to_torch(network).to(memory_format=order))
    batch = torch.from_numpy(x).to(memory_format=order)

    def run() -> Array:
        with torch.no_grad():  # which freezing asks for
            return module(batch).numpy()

    return run


REFERENCE = Engine("minidarknet, layer by layer", "minidarknet", layer_by_layer)

#: In the order in which they are printed. The first is ours, and is always run.
ENGINES = {
    "minidarknet": Engine("minidarknet", "minidarknet", minidarknet),
    "onnxruntime": Engine("ONNX Runtime", "onnxruntime", onnxruntime),
    "opencv": Engine("OpenCV DNN", "cv2", opencv),
    "torch": Engine("PyTorch, eager", "torch", torch_eager),
    "torch-channels-last": Engine("PyTorch, channels last", "torch", torch_channels_last),
    "torch-compiled": Engine("PyTorch, compiled", "torch", torch_compiled),
    "torch-frozen": Engine("PyTorch, compiled, frozen", "torch", torch_frozen),
    "torch-autotuned": Engine("PyTorch, compiled, frozen, tuned", "torch", torch_autotuned),
}
