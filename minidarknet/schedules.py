"""The learning rate over time: Darknet's policies, and cosine restarts.

    batch number    1        burn_in                                          max_batches
    rate            ./''''''''''''''''.....                      first rising, then by the policy:
                    '                      '''''....
    constant        learning_rate
    step            learning_rate * scale ^ (number / step)               rounded down: a staircase
    steps           learning_rate * scales[i] for every steps[i] <= number
    exp             learning_rate * gamma ^ number
    poly            learning_rate * (1 - number / max_batches) ^ power
    sigmoid         learning_rate / (1 + exp(gamma * (number - step)))
    random          learning_rate * u ^ power, u drawn anew for every batch
    sgdr            learning_rate * cosine from 1 to 0 over `step` batches; then again, `scale` times as long

    burn-in         learning_rate * (number / burn_in) ^ power, for number < burn_in, whatever the policy

`number` counts the batches of all subdivisions, and the first one that is learned from has number 1. Darknet computes
in float32, and so does this. Source: Darknet, network.c (get_current_rate).
"""

from __future__ import annotations

import numpy as np

from minidarknet.errors import UsageError
from minidarknet.net_options import NetOptions

ONE = np.float32(1)


def rate_at(options: NetOptions, batch_number: int, quirks: bool = False) -> float:
    """The learning rate for a batch.

    Parameters
    ----------
    options
        The `[net]` section.
    batch_number
        The number of the batch, from 1.
    quirks
        Whether `sigmoid` is as in Darknet, which subtracts unsigned numbers: before its middle, the rate is then 0 for
        a positive gamma, and the full rate for a negative one.

    Raises
    ------
    UsageError
        The options do not make a schedule; the message says why.
    """
    check_schedule(options)
    o, rate, number = options, np.float32(options.learning_rate), np.float32(batch_number)
    power = np.float32(o.power)
    with np.errstate(over="ignore"):
        if batch_number < o.burn_in:
            return float(rate * (number / np.float32(o.burn_in)) ** power)
        if o.policy == "step":
            return float(rate * np.float32(o.scale) ** np.float32(batch_number // o.step))
        if o.policy == "steps":
            for step, scale in zip(o.steps, o.scales, strict=True):
                if step > batch_number:
                    break
                rate = rate * np.float32(scale)
            return float(rate)
        if o.policy == "exp":
            return float(rate * np.float32(o.gamma) ** number)
        if o.policy == "poly":
            return float(rate * (ONE - number / np.float32(o.max_batches)) ** power)
        if o.policy == "sigmoid":
            distance = batch_number - o.step
            if quirks and distance < 0:
                distance += 2**64
            return float(rate * (ONE / (ONE + np.exp(np.float32(o.gamma) * np.float32(distance)))))
        if o.policy == "random":
            drawn = np.random.default_rng(batch_number).random(dtype=np.float32)
            return float(rate * drawn**power)
        if o.policy == "sgdr":
            return float(rate * np.float32((1 + np.cos(np.pi * _turn(o, batch_number))) / 2))
    return float(rate)


def check_schedule(options: NetOptions) -> None:
    """Raise where the options do not make a schedule."""
    if options.policy == "poly" and options.max_batches == 0:
        raise UsageError("policy=poly goes to 0 at max_batches; expected max_batches above 0 in [net]")
    if options.policy == "steps" and len(options.steps) != len(options.scales):
        raise UsageError(
            f"policy=steps has {len(options.steps)} steps and {len(options.scales)} scales; expected one for each"
        )


def _turn(options: NetOptions, number: int) -> float:
    """How far, from 0 to 1, the cosine has come since its last restart."""
    start, length = 0.0, float(options.step)
    while number - start >= length and length > 0:
        start, length = start + length, max(1.0, length * options.scale)
    return (number - start) / length
