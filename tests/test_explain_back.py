"""The gradient by a number is the sum of what comes back from the layers that have read it, and learning's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from minidarknet.cfg import parse_cfg
from minidarknet.cli import main
from minidarknet.errors import CfgError, InputError, UsageError
from minidarknet.explain import Place
from minidarknet.explain.back import check_place, explain_back, truth_size
from minidarknet.learning import Learner
from minidarknet.network import Network
from test_explain import BEGIN, COMMAND, files, picture, places

__all__ = ["files"]  # a fixture
START = "[conv]\nfilters=4\nsize=3\npad=1\nactivation=tanh\n"
LOSSES = {
    "softmax": "[conn]\noutput=5\nactivation=linear\n[softmax]\n",
    "logistic": "[conn]\noutput=5\nactivation=linear\n[logistic]\n",
    "smooth": "[conn]\noutput=5\nactivation=linear\n[cost]\ntype=smooth\nscale=2\n",
    "L1": "[conn]\noutput=5\nactivation=linear\n[cost]\ntype=L1\n",
    "sse of a softmax": "[conn]\noutput=5\nactivation=linear\n[softmax]\ntemperature=2\n[cost]\n",
    "two": "[conn]\noutput=5\nactivation=linear\n[logistic]\n[cost]\n",
}
MIDDLES = {
    "activation": "[activation]\nactivation=loggy\n",
    "avgpool": "[avg]\n",
    "batchnorm": "[batchnorm]\n",
    "connected": "[conn]\noutput=6\nactivation=leaky\n",
    "convolutional": "[conv]\nfilters=6\nsize=3\nstride=2\npadding=2\ngroups=2\nbatch_normalize=1\nactivation=elu\n",
    "crop": "[crop]\ncrop_height=6\ncrop_width=5\nflip=1\n",
    "deconvolutional": "[deconv]\nfilters=5\nsize=4\nstride=3\npadding=1\nbatch_normalize=1\nactivation=tanh\n",
    "dropout": "[dropout]\n",
    "l2norm": "[l2norm]\n",
    "local": "[local]\nfilters=3\nsize=3\npad=1\nactivation=tanh\n[local]\nsize=3\nstride=2\nactivation=leaky\n",
    "maxpool": "[max]\nsize=3\nstride=2\n[max]\nsize=2\nstride=1\n",
    "normalization": "[lrn]\nalpha=.5\nsize=3\n",
    "reorg": "[reorg]\nstride=2\nreverse=1\n[reorg]\nstride=1\nflatten=1\n[reorg]\nextra=3\n",
    "route": "[conv]\nfilters=2\n[max]\nsize=2\nstride=2\n[route]\nlayers=-1,0,0\n",
    "shortcut": "[conv]\nfilters=3\nsize=3\nstride=2\npad=1\n[shortcut]\nfrom=0\nactivation=leaky\nalpha=.5\nbeta=2\n"
    "[upsample]\n[shortcut]\nfrom=1\nalpha=2\n",
    "softmax": "[conn]\noutput=6\n[softmax]\ngroups=2\ntemperature=2\nnoloss=1\n",
    "upsample": "[upsample]\nstride=2\nscale=.5\n[upsample]\nstride=-3\nscale=3\n",
}
NETS = {**{name: text + LOSSES["softmax"] for name, text in MIDDLES.items()}, **LOSSES}


def network_of(text: str) -> Network:
    network = Network.from_cfg(parse_cfg(BEGIN + START + text, "small.cfg"))
    network.initialize(3)
    return network


def truth_of(network: Network, number: int = 2) -> np.ndarray:
    return np.eye(truth_size(network), dtype=np.float32)[number]


def learned(network: Network, truth: np.ndarray) -> dict[int, np.ndarray]:
    """The gradients by all layers' outputs, as learning computes them; on a network of its own."""
    learner = Learner(network, 1)
    for _ in learner.forward_steps(picture(), truth[None]):
        pass
    return {layer.index: grad[0].copy() for layer, grad in learner.backward_steps()}


@pytest.mark.parametrize("name", NETS)
def test_the_terms_sum_to_what_learning_computes(name: str) -> None:
    network, truth = network_of(NETS[name]), truth_of(network_of(NETS[name]))
    grads = learned(network_of(NETS[name]), truth)
    some = False
    for index, grad in grads.items():
        for place in places(network, index, 6):
            found = explain_back(network, picture(), truth, place)
            assert found.learned == grad[place.index], "the pass is not that of learning"
            assert found.agrees, (place, found.kind, found.value, found.learned, found.bound)
            assert found.bound <= 1e-4 * max(np.abs(grad).max(), sum(abs(term.product) for term in found.terms))
            some = some or (found.learned != 0 and bool(found.terms))
    assert some


def test_a_softmax_by_hand() -> None:
    network = network_of(LOSSES["softmax"])
    found = explain_back(network, picture(), truth_of(network), Place(1, 2))
    (term,) = found.terms
    p = np.exp(-found.loss)  # of the truth
    assert term.what == "loss: p - truth"
    assert term.place is None
    assert found.value == pytest.approx(p - 1, rel=1e-5)
    assert explain_back(network, picture(), truth_of(network), Place(2, 2)).terms == []
    behind = explain_back(network, picture(), truth_of(network), Place(0, 1, 2, 3))
    assert [str(term.place) for term in behind.terms] == [f"1:{i},0,0" for i in range(5)]
    assert behind.terms[2].gradient == pytest.approx(p - 1, rel=1e-5)
    weight = network.layers[1].weights.value[2, 64 + 2 * 8 + 3]  # type: ignore[attr-defined]
    assert behind.terms[2].factor == weight


def test_nothing_of_the_network_is_changed() -> None:
    network = network_of(NETS["batchnorm"])
    before = [parameter.value.copy() for _, parameter in network.parameters()]
    answer = network.forward(picture()).copy()
    explain_back(network, picture(), truth_of(network), Place(0, 1, 2, 3))
    for (_, parameter), values in zip(network.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.value, values)
        assert parameter.grad is None
    np.testing.assert_array_equal(network.forward(picture()), answer)


def test_where_there_is_no_gradient() -> None:
    with pytest.raises(CfgError, match=r"small.cfg:\d+: .* no layer has a loss; expected \[softmax\]"):
        check_place(network_of("[avg]\n"), Place(0, 0))
    frozen = network_of("[conv]\nstopbackward=1\n" + LOSSES["softmax"])
    with pytest.raises(
        UsageError, match=r"1:0,0,0: no gradient goes back to layer 1 .* expected one of the layers 2, 3"
    ):
        check_place(frozen, Place(1, 0))
    single = network_of("[avg]\n[conn]\noutput=4\nbatch_normalize=1\n" + LOSSES["softmax"])
    with pytest.raises(InputError, match=r"layer 2 \[connected\] normalises by the batch, and one picture"):
        check_place(single, Place(0, 0))


# -- the command -----------------------------------------------------------------------------------------------------


def test_the_command_prints_what_comes_back(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("abcd.names").write_text("ape\nbear\ncat\ndog\n")
    arguments = [*COMMAND, "0:3,2,2", "--backward", "--truth", "cat", "--names", "abcd.names"]
    assert main(arguments) == 0
    by_name = capsys.readouterr().out
    assert "gradient of the loss by it: " in by_name
    assert "layer 1 [convolutional] (" in by_name
    assert "gradient by its product, before batch norm and activation" in by_name
    assert main([*COMMAND, "0:3,2,2", "--backward", "--truth", "2"]) == 0
    assert capsys.readouterr().out == by_name
    assert main([*COMMAND, "0:3,2,2", "--backward", "--truth", "2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["agrees"] is True
    assert sum(term["product"] for term in facts["terms"]) == pytest.approx(facts["learned"], rel=1e-4)
    assert main([*COMMAND, "3:1", "--backward", "--truth", "2"]) == 0
    assert "no layer has read it, so nothing comes back to it" in capsys.readouterr().out


def test_a_class_that_is_none(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "0:3,2,2", "--backward", "--truth", "cat"]) == 2
    assert "--truth cat: expected the name of a class or its number, 0 to 3; for names, --names FILE" in (
        capsys.readouterr().err
    )
    assert main([*COMMAND, "0:3,2,2", "--backward", "--truth", "4"]) == 2


def test_wrong_gradients_are_a_failed_check(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from minidarknet.explain import back, readers

    monkeypatch.setitem(back.KINDS, "convolutional", lambda reader, place: readers.convolutional(reader, place)[1:])
    assert main([*COMMAND, "0:3,2,2", "--backward", "--truth", "2"]) == 1
    assert "0:3,2,2: learning says " in capsys.readouterr().err
