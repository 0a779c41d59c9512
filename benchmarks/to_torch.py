"""One network as a PyTorch module, layer by layer: for predicting, folded; for training, with batch norm apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.models import folded, pool_pads, unknown
from minidarknet.network import Network


class Module(nn.Module):
    """The layers in their order, each reading from earlier ones as in the cfg."""

    def __init__(self, network: Network, kinds: dict[str, Callable[[Any], nn.Module]]) -> None:
        super().__init__()
        for layer in network.layers:
            if layer.kind not in kinds:
                raise unknown(layer, "no such module")
        self.parts = nn.ModuleList([kinds[layer.kind](layer) for layer in network.layers])
        self.reads = [layer.reads for layer in network.layers]
        self.last = network.output_layer.index

    def forward(self, x: Any) -> Any:
        outputs = {-1: x}
        for index, (part, reads) in enumerate(zip(self.parts, self.reads, strict=True)):
            outputs[index] = part(*(outputs[read] for read in reads))
        return outputs[self.last]


class Concatenate(nn.Module):
    def forward(self, *inputs: Any) -> Any:
        return inputs[0] if len(inputs) == 1 else torch.cat(inputs, 1)


def to_torch(network: Network) -> nn.Module:
    """The network as a PyTorch module that takes batches of any size."""
    return Module(network, KINDS).eval()


def to_torch_training(network: Network) -> nn.Module:
    """The network as a PyTorch module that learns; it ends with the scores, as PyTorch's loss has the softmax in it."""
    return Module(network, TRAINED).train()


# -- one function for each kind of layer -----------------------------------------------------------------------------


def convolutional(layer: Any) -> nn.Module:
    o = layer.options
    part = nn.Conv2d(layer.in_shape.channels, o.filters, o.size, o.stride, layer.padding, groups=o.groups)
    return nn.Sequential(learned(part, layer), activation(layer))


def connected(layer: Any) -> nn.Module:
    part = nn.Linear(layer.in_shape.size, layer.options.output)
    return nn.Sequential(nn.Flatten(), learned(part, layer), activation(layer))


def maxpool(layer: Any) -> nn.Module:
    top, left, bottom, right = pool_pads(layer)
    pool = nn.MaxPool2d(layer.size, layer.options.stride)
    if not any((top, left, bottom, right)):
        return pool
    return nn.Sequential(nn.ConstantPad2d((left, right, top, bottom), -torch.inf), pool)


def avgpool(layer: Any) -> nn.Module:
    return nn.AdaptiveAvgPool2d(1)


def softmax(layer: Any) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Softmax(1))


def route(layer: Any) -> nn.Module:
    return Concatenate()


def passed_on(layer: Any) -> nn.Module:
    return nn.Identity()


def learned(part: Any, layer: Any) -> nn.Module:
    """The module with the layer's folded weights and biases."""
    weights, biases = folded(layer)
    part.weight.data, part.bias.data = torch.from_numpy(weights), torch.from_numpy(biases)
    return part


def activation(layer: Any) -> nn.Module:
    name = layer.options.activation
    if name not in ACTIVATIONS:
        raise unknown(layer, f"activation={name}")
    return ACTIVATIONS[name]()


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "leaky": lambda: nn.LeakyReLU(0.1),
}

KINDS: dict[str, Callable[[Any], nn.Module]] = {
    "convolutional": convolutional,
    "connected": connected,
    "maxpool": maxpool,
    "avgpool": avgpool,
    "softmax": softmax,
    "route": route,
    "dropout": passed_on,
    "cost": passed_on,
}


# -- for training ----------------------------------------------------------------------------------------------------


def convolution_to_train(layer: Any) -> nn.Module:
    o, norm = layer.options, layer.batch_norm
    sides = (layer.in_shape.channels, o.filters, o.size, o.stride, layer.padding)
    part = nn.Conv2d(*sides, groups=o.groups, bias=norm is None)
    part.weight.data = torch.from_numpy(layer.weights.value.copy())
    if norm is None:
        part.bias.data = torch.from_numpy(layer.biases.value.copy())
        return nn.Sequential(part, activation(layer))
    normed = nn.BatchNorm2d(o.filters, eps=1e-6, momentum=0.01)
    normed.weight.data = torch.from_numpy(norm.scales.value.copy())
    normed.bias.data = torch.from_numpy(layer.biases.value.copy())
    return nn.Sequential(part, normed, activation(layer))


def scores(layer: Any) -> nn.Module:
    return nn.Flatten()


#: The four systems have no batch norm in connected layers; those are only given here where nothing is folded.
TRAINED = {**KINDS, "convolutional": convolution_to_train, "softmax": scores}
