"""Grad-CAM is made of true gradients, occlusion of probabilities, and neither leaves a trace in the network."""

from __future__ import annotations

import numpy as np
import pytest

from minidarknet.cfg import parse_cfg
from minidarknet.errors import CfgError, InputError, UsageError
from minidarknet.prediction import Classifier
from minidarknet.trace.attention import find_class, grad_cam, last_map, occlusion, scores

HEAD = "[net]\nheight=12\nwidth=12\nchannels=3\n"
CONV = "[conv]\nfilters=4\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\n"
TAILS = {
    "pooled": "[conv]\nfilters=5\nsize=1\nactivation=linear\n[avg]\n[softmax]\n",
    "connected": "[max]\nsize=2\nstride=2\n[connected]\noutput=7\nactivation=relu\n[dropout]\nprobability=0.5\n"
    "[connected]\noutput=5\nactivation=linear\n[softmax]\n",
    "a convolution of one place": "[avg]\n[conv]\nfilters=5\nsize=1\nactivation=linear\n[softmax]\n",
    "logistic": "[conv]\nfilters=5\nsize=12\nactivation=linear\n[logistic]\n",
}


def build(text: str) -> Classifier:
    net = Classifier.from_cfg(parse_cfg(HEAD + text, "net.cfg"))
    net.initialize(3)
    net.preprocess = "stretch"
    return net


def picture() -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, 12, 12), np.float32)


@pytest.mark.parametrize("tail", TAILS)
def test_grad_cam_is_made_of_true_gradients(tail: str) -> None:
    """The weight of a map is the change of the score when all of the map's numbers grow, by differences."""
    net, x = build(CONV + CONV + TAILS[tail]), picture()
    target, top = last_map(net), scores(net)
    outputs = {layer.index: output.copy() for layer, output in net.steps(x)}
    maps = outputs[target.index]
    rest = net.layers[target.index + 1 : top.index + 1]

    def score(changed: np.ndarray, index: int) -> float:
        run = net._begin(x, None, folded=False)[1]
        for layer in rest:
            changed = layer.forward(changed, run=run)
        return float(changed.reshape(-1)[index])

    step = 1e-2
    weights = []
    for channel in range(maps.shape[1]):
        more, less = maps.copy(), maps.copy()
        more[:, channel] += step
        less[:, channel] -= step
        slope = (score(more, 2) - score(less, 2)) / (2 * step)
        weights.append(slope / (maps.shape[2] * maps.shape[3]))
    expected = np.maximum(np.tensordot(weights, maps[0], 1), 0)
    found = grad_cam(net, x, 2)
    assert found.shape == maps.shape[2:]
    np.testing.assert_allclose(found, expected, atol=2e-3 * max(expected.max(), 1e-3))
    assert expected.max() > 0 or tail != "pooled"


def test_the_network_stays_as_it_is() -> None:
    net, x = build(CONV + TAILS["connected"]), picture()
    before = [(parameter.value.copy(), parameter.grad) for _, parameter in net.parameters()]
    answers = net.probabilities(x)
    grad_cam(net, x, 1)
    occlusion(net, x, 1)
    for (values, grad), (_, parameter) in zip(before, net.parameters(), strict=True):
        np.testing.assert_array_equal(values, parameter.value)
        assert parameter.grad is grad
    np.testing.assert_array_equal(answers, net.probabilities(x))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CONV.replace("size=3\npad=1", "size=12") + "[softmax]\n", "none with more than one place"),
        (CONV + "[batchnorm]\n[avg]\n[softmax]\n", "normalises a batch behind the last map"),
        (CONV + "[avg]\n[conv]\nfilters=5\nstopbackward=1\n[softmax]\n", "gets no gradient (stopbackward)"),
    ],
)
def test_where_grad_cam_cannot_go(text: str, message: str) -> None:
    net = build(text)
    with pytest.raises((InputError, CfgError)) as error:
        grad_cam(net, picture(), 0)
    assert message in str(error.value)


def test_occlusion_finds_the_only_thing_there_is() -> None:
    """A network that adds up red, and a picture that is red in one corner."""
    net = build("[conv]\nfilters=2\nactivation=linear\n[avg]\n[softmax]\n")
    weights = np.zeros((2, 3, 1, 1), np.float32)
    weights[0, 0] = 40
    net.layers[0].weights.array = weights  # type: ignore[attr-defined]
    x = np.zeros((1, 3, 12, 12), np.float32)
    x[0, 0, 8:, :4] = 1
    lost = occlusion(net, x, 0)
    assert lost.shape == (6, 6)
    assert np.unravel_index(lost.argmax(), lost.shape) in ((4, 0), (4, 1), (5, 0), (5, 1))
    assert lost[0, 5] < 0 < lost.max()  # elsewhere the patch, of the mean colour, adds red
    np.testing.assert_allclose(occlusion(net, x, 1), -lost, atol=1e-6)


@pytest.mark.parametrize("sides", [(12, 12), (13, 29), (30, 7)])
def test_occlusion_covers_every_pixel(sides: tuple[int, int]) -> None:
    net = build("[conv]\nfilters=2\nactivation=linear\n[avg]\n[softmax]\n")
    lost = occlusion(net, np.random.default_rng(1).random((1, 3, *sides), np.float32), 0)
    assert np.isfinite(lost).all()


def test_a_class_is_found_by_name_or_number() -> None:
    net = build(TAILS["pooled"])
    assert find_class(net, "4") == find_class(net, "class 4") == 4
    net.names = ["Malamute", "crane", "3", "crane", "husky"]
    assert find_class(net, "malamute") == 0
    assert find_class(net, "3") == 2, "a name comes before a number"
    assert find_class(net, "4") == 4
    with pytest.raises(UsageError, match=r"'crane' is the name of several classes: name one by its number, 1 or 3"):
        find_class(net, "crane")
    with pytest.raises(UsageError, match=r"no class is called 'huskie'; did you mean 'husky'\?; expected a name"):
        find_class(net, "huskie")
