"""A training step of one network in each engine: forward, loss, backward, and a step of gradient descent.

The same weights, images and classes, and Darknet's momentum and decay (of weights only) for all. A runner returns the
probabilities that the network gave in that step, before it learned from it. Some larger steps have been taken by then,
so that whoever compares the first answers compares gradients and updates too. PyTorch is imported inside the functions:
it may be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numba
import numpy as np

from benchmarks.engines import Engine, Runner
from benchmarks.models import Array
from minidarknet.learning import Learner
from minidarknet.network import Network
from minidarknet.optimizers import optimizer_for

#: Steps that come before the first answer, and their rate: they move the loss a hundred times further than engines are
#: apart by their rounding, and by what they divide batch norm's variance by.
LEARNED, LARGE = 3, 3e-3
#: Small enough that the random network's numbers stay finite however often it steps.
SMALL = 1e-4


def classes(network: Network, count: int) -> Any:
    """The class of each image: one after the other."""
    return np.arange(count) % network.output_shape.size


def minidarknet(network: Network, x: Array, threads: int) -> Runner:
    numba.set_num_threads(threads)
    for layer in network.layers:
        if layer.kind == "dropout":  # each engine would draw other numbers
            layer.options = replace(layer.options, probability=0.0)
    learner, optimizer = Learner(network, len(x)), optimizer_for(network)
    truth = np.eye(network.output_shape.size, dtype=np.float32)[classes(network, len(x))]

    def step(rate: float) -> Array:
        learner.step(x, truth)
        optimizer.step(rate, len(x))
        return network.output_layer.output[: len(x)]

    return learned(step)


def learned(step: Callable[[float], Array]) -> Runner:
    """A runner of small steps, after the larger ones."""
    for _ in range(LEARNED):
        step(LARGE)
    return lambda: step(SMALL)


def torch_eager(network: Network, x: Array, threads: int) -> Runner:
    return _torch(network, x, threads, lambda module: module)


def torch_channels_last(network: Network, x: Array, threads: int) -> Runner:
    return _torch(network, x, threads, lambda module: module, channels_last=True)


def torch_compiled(network: Network, x: Array, threads: int) -> Runner:
    import torch

    return _torch(network, x, threads, torch.compile)


def _torch(
    network: Network, x: Array, threads: int, finish: Callable[[Any], Any], *, channels_last: bool = False
) -> Runner:
    import torch
    from torch.nn.functional import cross_entropy

    from benchmarks.to_torch import to_torch_training

    torch.set_num_threads(threads)
    order = torch.channels_last if channels_last else torch.contiguous_format
    module = finish(to_torch_training(network).to(memory_format=order))
    batch, target = torch.from_numpy(x).to(memory_format=order), torch.from_numpy(classes(network, len(x)))
    optimizer = sgd(module, network)

    def step(rate: float) -> Array:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        scores = module(batch)
        cross_entropy(scores, target).backward()
        optimizer.step()
        return torch.softmax(scores.detach(), 1).numpy()

    return learned(step)


def sgd(module: Any, network: Network) -> Any:
    """PyTorch's gradient descent with the network's options: as in Darknet, decay pulls at weights only."""
    import torch

    o = network.options
    weights = [part for part in module.parameters() if part.dim() > 1]
    others = [part for part in module.parameters() if part.dim() == 1]
    groups = [{"params": weights, "weight_decay": o.decay}, {"params": others}]
    return torch.optim.SGD(groups, o.learning_rate, o.momentum)


#: The first is ours, and what the others' probabilities are held against.
TRAINING = {
    "train-minidarknet": Engine("minidarknet", "minidarknet", minidarknet),
    "train-torch": Engine("PyTorch, eager", "torch", torch_eager),
    "train-torch-channels-last": Engine("PyTorch, channels last", "torch", torch_channels_last),
    "train-torch-compiled": Engine("PyTorch, compiled", "torch", torch_compiled),
}
