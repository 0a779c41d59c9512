"""What is done with the gradients: a step that makes the loss smaller.

    stochastic gradient descent          velocity  =  momentum * velocity - gradient - decay * batch * weights
    with momentum, as in Darknet         weights  +=  rate / batch * velocity

    Adam (Kingma and Ba, 2014)           g  =  gradient / batch + decay * weights
                                         m  =  B1 * m + (1 - B1) * g             v  =  B2 * v + (1 - B2) * g^2
                                         weights  -=  rate * (m / (1 - B1^t)) / (sqrt(v / (1 - B2^t)) + eps)

The gradients are sums over the images of a batch, so the division by their number comes here. The rate multiplies at
the very end, so that a new rate also counts for what momentum has stored. Decay pulls at weights, never at biases or
scales. A layer's own `learning_rate` multiplies the rate. Layers that `stopbackward` cuts off get no gradient, but
decay and momentum all the same. With `clip`, weights of convolutions are brought back into -clip .. clip behind each
step. Darknet does Adam and `clip` on a GPU only. Source: Darknet, convolutional_layer.c, blas.c.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import numpy as np

from minidarknet.errors import InputError
from minidarknet.kernels.update import adam_step, sgd_step
from minidarknet.layers.base import Layer
from minidarknet.layers.parameter import Array, Parameter
from minidarknet.network import Network


class Optimizer(ABC):
    """Moves the parameters of a network along their gradients; made after the learner, which gives them gradients.

    Attributes
    ----------
    steps
        How many have been taken.
    """

    #: What is stored for each parameter.
    slots: tuple[str, ...]

    def __init__(self, network: Network) -> None:
        self.options = network.options
        self.steps = 0
        self._learning = [
            (f"{layer.index}.{p.name}", p, float(layer.options.learning_rate), self._bound(layer, p))
            for layer, p in network.parameters()
            if p.learns
        ]
        self._stored: dict[str, Array] = {
            f"{name}.{slot}": np.zeros(parameter.shape, np.float32)
            for name, parameter, *_ in self._learning
            for slot in self.slots
        }

    def step(self, rate: float, batch: int) -> None:
        """Take a step, and clear the gradients.

        Parameters
        ----------
        rate
            The learning rate.
        batch
            How many images' gradients have been summed up.
        """
        self.steps += 1
        for name, parameter, factor, bound in self._learning:
            decay = self.options.decay if parameter.name == "weights" else 0.0
            stored = [self._stored[f"{name}.{slot}"].reshape(-1) for slot in self.slots]
            self._move(parameter, stored, rate * factor, decay, batch)
            if bound:
                np.clip(parameter.value, -bound, bound, out=parameter.value)
            parameter.array = parameter.value  # whoever keeps them in another order shall notice

    def _bound(self, layer: Layer, parameter: Parameter) -> np.float32:
        """What the parameter's numbers may not pass; 0 for no bound."""
        bounded = layer.kind == "convolutional" and parameter.name == "weights"
        return np.float32(self.options.clip if bounded else 0)

    @abstractmethod
    def _move(self, parameter: Parameter, stored: list[Array], rate: float, decay: float, batch: int) -> None:
        """Change the parameter's numbers in place, and what is stored, and clear the gradient."""

    def state(self) -> dict[str, Array]:
        """What is needed to go on later bit by bit, by name; the arrays themselves, not copies."""
        return {**self._stored, "steps": np.array([self.steps], np.int64)}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from what `state` gave.

        Raises
        ------
        InputError
            It is of another network or optimizer; nothing is changed then.
        """
        for name, array in _expected(self):
            found = state.get(name)
            if found is None or found.shape != array.shape or found.dtype != array.dtype:
                what = "nothing" if found is None else f"{found.dtype} {found.shape}"
                raise InputError(f"the optimizer's state has {what} for {name}; expected {array.dtype} {array.shape}")
        for name in self._stored:
            self._stored[name][:] = state[name]
        self.steps = int(state["steps"][0])


def _expected(optimizer: Optimizer) -> Iterator[tuple[str, Array]]:
    yield from optimizer.state().items()


class SGD(Optimizer):
    """Darknet's momentum."""

    slots = ("velocity",)

    def _move(self, parameter: Parameter, stored: list[Array], rate: float, decay: float, batch: int) -> None:
        numbers, grad, (velocity,) = parameter.value.reshape(-1), parameter.gradient.reshape(-1), stored
        pull, momentum = np.float32(decay * batch), np.float32(self.options.momentum)
        sgd_step(numbers, grad, velocity, np.float32(rate / batch), pull, momentum)


class Adam(Optimizer):
    """Adam, with the decay as part of the gradient."""

    slots = ("mean", "square")

    def _move(self, parameter: Parameter, stored: list[Array], rate: float, decay: float, batch: int) -> None:
        o, numbers, grad = self.options, parameter.value.reshape(-1), parameter.gradient.reshape(-1)
        mean, square = stored
        mean_share, square_share = 1 - o.B1**self.steps, 1 - o.B2**self.steps
        adam_step(
            numbers,
            grad,
            mean,
            square,
            np.float32(1 / batch),
            np.float32(decay),
            np.float32(o.B1),
            np.float32(o.B2),
            np.float32(rate / mean_share if mean_share else 0),
            np.float32(square_share),
            np.float32(o.eps),
        )


def optimizer_for(network: Network) -> Optimizer:
    """The one that the cfg names: Adam with `adam=1` in `[net]`, else SGD."""
    return Adam(network) if network.options.adam else SGD(network)
