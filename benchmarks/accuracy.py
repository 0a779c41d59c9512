"""Does it learn as well as PyTorch does? The same network, first weights, schedule and changed pictures in both.

    python -m benchmarks.accuracy cifar10.npz                  cfg/cifar.cfg, the mean of 3 seeds
    python -m benchmarks.accuracy mnist.npz --cfg cfg/mnist.cfg --seeds 1 --batches 1000

Both get their batches from our loader, and step with momentum, decay on weights only, and the rate of the schedule.
What is left to differ are the engines: sums in another order, and PyTorch's batch norm, which divides by N and has its
epsilon inside the root. Both are then asked about the held-out pictures, unchanged.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from statistics import mean, stdev
from time import perf_counter
from typing import Any

from benchmarks import machine
from benchmarks.figures import table
from benchmarks.options import add_common
from benchmarks.results import write
from benchmarks.rounds import say
from benchmarks.training import sgd
from minidarknet.data import Dataset, open_dataset
from minidarknet.loader import Loader
from minidarknet.prediction import Classifier
from minidarknet.schedules import rate_at
from minidarknet.training import Training
from minidarknet.validation import validate


def first_network(cfg: str, batches: int | None, seed: int) -> Classifier:
    """The network with its first weights."""
    network = Classifier.from_cfg(cfg)
    network.preprocess = "center"
    network.options = replace(network.options, max_batches=batches or network.options.max_batches)
    network.initialize(seed)
    return network


def ours(network: Classifier, train: Dataset, valid: Dataset, seed: int) -> float:
    """The share of held-out pictures that minidarknet has right."""
    for _ in Training(network, train, seed=seed).steps():
        pass
    return validate(network, valid, batch=64).top1


def theirs(network: Classifier, train: Dataset, valid: Dataset, seed: int, threads: int) -> float:
    """The share of held-out pictures that PyTorch has right, channels last."""
    import torch
    from torch.nn.functional import cross_entropy

    from benchmarks.to_torch import to_torch_training

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    o, shape = network.options, network.input_shape
    module: Any = to_torch_training(network).to(memory_format=torch.channels_last)
    optimizer = sgd(module, network)
    with Loader(train, o, shape, o.batch, seed) as loader:
        for number, (images, truths) in enumerate(loader.start(), start=1):
            if number > o.max_batches:
                break
            for group in optimizer.param_groups:
                group["lr"] = rate_at(o, number)
            x = torch.from_numpy(images).to(memory_format=torch.channels_last)
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(module(x), torch.from_numpy(truths.argmax(1))).backward()
            optimizer.step()
    module.eval()
    right = 0
    with torch.no_grad(), Loader(valid, o, shape, 64, augment=False) as loader:
        for images, truths in loader:
            x = torch.from_numpy(images).to(memory_format=torch.channels_last)
            right += int((module(x).argmax(1).numpy() == truths.argmax(1)).sum())
    return right / len(valid)


def in_words(shares: list[float]) -> str:
    spread = f" (spread {100 * stdev(shares):.2f})" if len(shares) > 1 else ""
    return f"{100 * mean(shares):.2f} %{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="an .npz file, or whatever `minidarknet train` takes")
    parser.add_argument("--cfg", default="cfg/cifar.cfg", help="cfg/cifar.cfg")
    parser.add_argument("--seeds", type=int, default=3, help="3")
    parser.add_argument("--batches", type=int, help="as the cfg says")
    add_common(parser, quick="100 batches, one seed: only to see whether everything works")
    chosen = parser.parse_args()
    seeds, batches = (1, 100) if chosen.quick else (chosen.seeds, chosen.batches)
    facts = machine.describe(chosen.threads)
    print(machine.in_words(facts))
    shares: dict[str, list[float]] = {"minidarknet": [], "PyTorch, channels last": []}
    seconds: dict[str, list[float]] = {title: [] for title in shares}
    for seed in range(seeds):
        network = first_network(chosen.cfg, batches, seed)
        channels = network.input_shape.channels
        train, valid = (open_dataset(chosen.data, part, channels) for part in ("train", "valid"))
        for title in shares:
            start = perf_counter()
            network = first_network(chosen.cfg, batches, seed)
            if title == "minidarknet":
                shares[title].append(ours(network, train, valid, seed))
            else:
                shares[title].append(theirs(network, train, valid, seed, chosen.threads))
            seconds[title].append(perf_counter() - start)
            say(f"seed {seed}, {title}: {100 * shares[title][-1]:.2f} % in {seconds[title][-1]:.0f} s")
    rows = [[title, in_words(shares[title]), f"{mean(seconds[title]):.0f}"] for title in shares]
    print(table([["engine", "right of the held-out pictures", "s a seed"], *rows]))
    write(chosen.output, "accuracy", {"machine": facts, "cfg": chosen.cfg, "shares": shares, "seconds": seconds})


if __name__ == "__main__":
    main()
