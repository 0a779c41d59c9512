"""The training loop: counting as in Darknet, the same bits after a break, and what it says when things go wrong."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from minidarknet.checkpoint import Checkpoint
from minidarknet.dataset import split
from minidarknet.errors import CfgError, CfgWarning, InputError, NonFiniteError, UsageError
from minidarknet.kernels.threads import threads
from minidarknet.net_options import NetOptions
from minidarknet.schedules import rate_at
from minidarknet.symptoms import dead_layers, far_first_loss, silent_classes
from minidarknet.training import Training
from minidarknet.training_memory import check_memory, memory_needs
from minidarknet.validation import Validation
from small_training import CFG, network, pictures


def begin(text: str = CFG, **arguments: object) -> Training:
    return Training(network(text), pictures(), seed=3, workers=1, **arguments)


def bits(training: Training) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in training.state().items()}


def test_counting_is_darknets() -> None:
    training = begin()
    steps = list(training.steps())
    assert training.finished
    assert [step.batch for step in steps] == list(range(1, 21))
    assert [step.seen for step in steps] == list(range(8, 161, 8))
    assert [step.epoch for step in steps] == [seen / 30 for seen in range(8, 161, 8)]
    for step in steps:  # the first rate is that of batch 1
        assert step.rate == rate_at(training.options, step.batch)
    average = steps[0].loss
    for step in steps[1:]:
        average = 0.9 * average + 0.1 * step.loss
        assert step.average == average


def test_counting_goes_on_from_what_the_weights_have_seen() -> None:
    first = next(
        begin(CFG.replace("max_batches=20", "max_batches=200"), seen=803).steps()
    )  # 803: of another batch size
    assert (first.batch, first.seen) == (101, 811)
    assert begin(seen=160).finished
    assert begin(CFG.replace("max_batches=20", "max_batches=0"), seen=10**15).finished is False


def test_the_loss_is_the_mean_over_the_images_of_all_parts() -> None:
    plain = CFG.replace("batch_normalize=1\n", "").replace("probability=.25", "probability=0")
    two, one = begin(plain), begin(plain.replace("subdivisions=2", "subdivisions=1"))
    for a, b in zip(two.steps(), one.steps(), strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-5)
    for _, parameter in two.network.parameters():
        assert np.isfinite(parameter.value).all()


def test_every_part_of_every_batch_drops_other_numbers() -> None:
    training, seeds = begin(), []
    step = training.learner.step

    def noted(x: object, truth: object, seed: int) -> float:
        seeds.append(seed)
        return step(x, truth, seed)  # type: ignore[arg-type]

    training.learner.step = noted  # type: ignore[method-assign,assignment]
    assert len(list(training.steps())) == 20
    assert len(set(seeds)) == 40


def test_it_learns() -> None:
    longer = CFG.replace("max_batches=20", "max_batches=100").replace("steps=10,15", "steps=60,80")
    steps = list(begin(longer).steps())
    assert steps[-1].average < 0.4 * math.log(3)


@pytest.mark.parametrize("adam", [0, 1])
def test_a_break_anywhere_leaves_no_trace_on_one_thread_or_two(adam: int) -> None:
    text = CFG.replace("[net]", f"[net]\nadam={adam}").replace(
        "learning_rate=0.05", f"learning_rate={0.05 - 0.04 * adam}"
    )
    ends = []
    for count, breaks in ((1, []), (1, [1, 2, 7]), (2, [13]), (2, [])):
        with threads(count):
            training = begin(text)
            for at in [*breaks, 20]:
                for step in training.steps():
                    if step.batch == at:
                        break
                state = {name: array.copy() for name, array in training.state().items()}
                checkpoint = Checkpoint(Path("here"), state, training.record())
                training = Training(network(text, seed=99), pictures(), seed=3)  # other weights, other workers
                training.restore(checkpoint)
            assert training.finished
            assert not math.isnan(training.average)
            ends.append((bits(training), training.average))
    assert all(end == ends[0] for end in ends[1:])


def test_a_checkpoint_of_another_network_changes_nothing() -> None:
    training = begin()
    state, before = dict(training.state()), bits(training)
    del state["optimizer/3.weights.velocity"]
    with pytest.raises(InputError, match=r"somewhere: the optimizer's state has nothing for 3.weights.velocity"):
        training.restore(Checkpoint(Path("somewhere"), state, training.record()))
    state["parameters/3.biases"] = np.zeros(4, np.float32)
    with pytest.raises(InputError, match=r"biases of layer 3 \[connected\], \(shape \(3,\)\), it has float32 \(4,\)"):
        training.restore(Checkpoint(Path("somewhere"), state, training.record()))
    assert bits(training) == before


def test_without_changes_the_pictures_stay_as_they_are() -> None:
    training = begin(CFG.replace("flip=0", "flip=1\nhue=.1"), augment=False)
    images, truths = training.loader.batch(0)
    data = pictures()
    known = {data.image(i).tobytes(): data.label(i) for i in range(len(data))}
    assert [known[image.tobytes()] for image in images] == truths.argmax(axis=1).tolist()


# -- what goes wrong -------------------------------------------------------------------------------------------------


def test_numbers_that_are_not_finite_stop_it_and_are_placed() -> None:
    training = begin()
    next(training.steps())
    before = bits(training)
    weights = training.network.layers[3].parameters()[-1]
    weights.value[1, 2] = np.inf
    with pytest.raises(
        NonFiniteError, match=r"batch 2, .* first inf at \[1, 2\] in the weights of layer 3 \[connected\]"
    ):
        next(training.steps())
    assert training.batch == 1
    with pytest.raises(NonFiniteError, match=r"after batch 1 .* inf at \[1, 2\] in the weights of layer 3"):
        training.check_finite()
    assert bits(training)["parameters/0.weights"] == before["parameters/0.weights"], "the step was taken"


def test_a_rate_that_is_far_too_high_is_told_by_the_first_output() -> None:
    training = begin(CFG.replace("learning_rate=0.05", "learning_rate=1e30").replace("burn_in=4\n", ""))
    with pytest.raises(NonFiniteError, match=r"batch 2, .* first nan at \[.*\] in the output of layer 3") as caught:
        list(training.steps())
    assert "learning rate (1e+30) is too high" in str(caught.value)


def test_the_gradient_is_looked_at_even_where_the_loss_is_fine() -> None:
    training = begin()
    step = training.learner.step

    def poisoned(*arguments: object) -> float:
        loss = step(*arguments)  # type: ignore[arg-type]
        training.network.layers[0].parameters()[0].gradient[1] = np.nan
        return loss

    training.learner.step = poisoned  # type: ignore[method-assign,assignment]
    with pytest.raises(NonFiniteError, match="in a place that did not show again"):
        next(training.steps())


def test_a_dead_layer_is_found() -> None:
    text = CFG.replace("activation=leaky", "activation=relu").replace("batch_normalize=1\n", "")
    training = begin(text)
    assert next(training.steps()).dead == []
    training = begin(text)
    training.network.layers[0].parameters()[0].value[:] = -100  # the biases: all outputs are 0
    assert [layer.index for layer in next(training.steps()).dead] == [0]
    assert dead_layers(training.learner) == [], "cleared gradients are no sign of death"


def test_a_first_loss_far_from_guessing_is_pointed_out() -> None:
    training = begin()
    step = next(training.steps())
    assert far_first_loss(training.network, step.loss) == ""
    assert "begins at 7, far from 1.1, which is ln(3)" in far_first_loss(training.network, 7.0)
    assert "begins at 0.1, far" in far_first_loss(training.network, 0.1)
    other = network(CFG.replace("[softmax]", "[cost]\ntype=sse"))
    assert far_first_loss(other, 7.0) == ""


def test_silent_classes() -> None:
    truths, answers = np.array([0, 1, 2]), np.array([0, 0, 2])
    ones = np.ones(3, np.float32)
    seen = Validation(("ant", "bee", "cat", "dog"), 1.0, np.arange(3), truths, answers, ones, ones, np.array([0, 1, 0]))
    assert silent_classes(seen) == ["bee"]  # dog has no picture


def test_too_little_memory_names_the_subdivisions_that_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    small = network(CFG.replace("batch=8", "batch=64").replace("height=8\nwidth=8", "height=128\nwidth=128"))
    needs = {part: sum(memory_needs(small, part).values()) for part in (32, 16, 8, 4, 2, 1)}
    monkeypatch.setenv("MINIDARKNET_MEMORY", str((needs[8] + 1000) / 2**20))
    with pytest.raises(
        InputError, match=r"training with 32 images at a time needs .*subdivisions=8 in \[net\] would do: 8"
    ):
        Training(small, pictures())
    monkeypatch.setenv("MINIDARKNET_MEMORY", str(needs[1] / 2**21))
    with pytest.raises(InputError, match="even one image at a time is too much"):
        check_memory(small)
    monkeypatch.setenv("MINIDARKNET_MEMORY", str((needs[32] + 1000) / 2**20))
    assert sum(check_memory(small).values()) == needs[32]


def test_a_schedule_that_makes_no_sense_is_found_before_anybody_waits() -> None:
    assert NetOptions().policy == "constant"
    with pytest.raises(Exception, match="1 steps and 2 scales"):
        begin(CFG.replace("steps=10,15", "steps=10"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("time_steps=3", "small.cfg:2: [net] time_steps=3 is for recurrent networks, which cannot be trained here"),
        ("notruth=1", "small.cfg:2: [net] notruth=1 trains without labels, which is not known here"),
    ],
)
def test_what_training_does_not_know_is_refused(option: str, message: str) -> None:
    with pytest.raises(CfgError, match=re.escape(message)):
        begin(CFG.replace("[net]", f"[net]\n{option}"))


def test_what_training_does_not_heed_is_told() -> None:
    message = re.escape("small.cfg:2: [net] random=1 is not heeded: the input stays 8 x 8 all the time")
    with pytest.warns(CfgWarning, match=message):
        begin(CFG.replace("[net]", "[net]\nrandom=1"))
    message = re.escape("small.cfg:32: [softmax] (layer 4) smooth=0.1 is not heeded: labels stay as they are")
    with pytest.warns(CfgWarning, match=message):
        begin(CFG + "smooth=.1\n")


def test_a_negative_seed_and_a_missing_truth_are_errors_with_words() -> None:
    with pytest.raises(UsageError, match="a seed of -1: expected a whole number, 0 or more"):
        Training(network(), pictures(), seed=-1)
    with pytest.raises(UsageError, match="a seed of -1"):
        split(pictures(), 0.2, -1)
    learner = begin().learner
    images = np.zeros((2, 1, 8, 8), np.float32)
    with pytest.raises(UsageError, match="a seed of -2"):
        learner.step(images, np.eye(3, dtype=np.float32)[:2], -2)
    with pytest.raises(InputError, match=r"small\.cfg: no truth was given; expected an array \(images, "):
        learner.step(images, None)  # type: ignore[arg-type]


def test_validation_the_optimizer_and_a_trace_are_counted() -> None:
    small = network()
    needs = memory_needs(small, 4, traced=True)
    learned = 4 * sum(p.size for _, p in small.parameters() if p.learns)
    assert (needs["optimizer"], needs["trace"]) == (learned, learned)
    assert memory_needs(network(CFG.replace("[net]", "[net]\nadam=1")), 4)["optimizer"] == 2 * learned
    small.forward(np.zeros((4, 1, 8, 8), np.float32))
    taken = small._memory.nbytes
    pictures = 4 * 4 * (64 + 3)
    assert taken - 128 <= needs["validation"] - pictures <= taken
