"""What `minidarknet validate` prints: for people, and as plain values for programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from minidarknet import console
from minidarknet.cli.bench import count_of
from minidarknet.data import Dataset
from minidarknet.validation import Score, Validation

#: The most classes that are all listed, and whose confusion matrix is printed; of more, the worst are listed.
LISTED = 20
#: The most mistakes that are told.
TOLD = 5


def as_values(seen: Validation, dataset: Dataset, top: int) -> dict[str, Any]:
    """Everything as plain values. A loss that is not there is None, and so is an infinite one, which JSON lacks."""
    return {
        "pictures": seen.count,
        "classes": len(seen.names),
        "top1": seen.top1,
        "top1_right": seen.count_right(),
        "top": top,
        "topk": seen.share_right(top),
        "topk_right": seen.count_right(top),
        "loss": seen.loss if seen.loss is not None and math.isfinite(seen.loss) else None,
        "per_class": [
            {**asdict(score), "recall": score.recall, "precision": score.precision} for score in seen.scores()
        ],
        "confusion": [[truth, answer, times] for (truth, answer), times in sorted(seen.confusion().items())],
        "mistakes": [
            {
                "picture": dataset.name(int(seen.pictures[i])),
                "truth": int(seen.truths[i]),
                "truth_probability": float(seen.truth_probabilities[i]),
                "answer": int(seen.answers[i]),
                "probability": float(seen.probabilities[i]),
            }
            for i in seen.mistakes()
        ],
    }


def print_report(seen: Validation, dataset: Dataset, top: int, data: str, how: str, views: int) -> None:
    """The text: the shares, the table of classes, the confusion matrix where it is small, and the worst mistakes."""
    few = len(seen.names) <= LISTED
    lost = f", without {len(dataset) - seen.count:,} that could not be read" if seen.count < len(dataset) else ""
    facts = [("pictures", f"{seen.count:,} of {data}{lost}"), ("prepared by", how), ("top-1", _share_of(seen, 1))]
    if top > 1:
        every = f", as there are only {len(seen.names)} classes" if top >= len(seen.names) else ""
        facts.append((f"top-{top}", _share_of(seen, top) + every))
    console.facts([*facts, ("mean loss", _loss(seen, views))])
    console.result("")
    scores = seen.scores()
    if not few:  # the worst first
        scores = sorted((s for s in scores if s.right < s.pictures), key=lambda s: s.right - s.pictures)
    if scores:
        _print_scores(seen, scores[:LISTED])
        if len(scores) > LISTED:
            console.result(f"... and {len(scores) - LISTED:,} more classes with mistakes (--json has all)")
        console.result("")
    if few:
        _print_confusion(seen)
        console.result("")
    _print_mistakes(seen, dataset)


def _share_of(seen: Validation, top: int) -> str:
    return f"{100 * seen.share_right(top):.2f} %  ({seen.count_right(top):,} of {seen.count:,})"


def _loss(seen: Validation, views: int) -> str:
    if seen.loss is None:
        return "none: this network has no layer with a loss"
    never = int((seen.truth_probabilities == 0).sum())
    if never and math.isinf(seen.loss):
        return f"infinite: the right class of {count_of(never, 'picture')} has a probability of 0"
    return f"{seen.loss:.6f}" + ("  (of the single looks)" if views > 1 else "")


def _print_scores(seen: Validation, scores: list[Score]) -> None:
    titles = ["class ", "pictures", "right", "recall", "precision", "most often taken for "]
    console.table(
        titles,
        [
            [
                _named(seen, score.index),
                f"{score.pictures:,}",
                f"{score.right:,}",
                _percent(score.recall),
                _percent(score.precision),
                "" if score.confused_with is None else f"{_named(seen, score.confused_with)} ({score.confused:,})",
            ]
            for score in scores
        ],
    )


def _print_confusion(seen: Validation) -> None:
    """The square of classes; what never happened is a dot, so that the rest is seen."""
    pairs, classes = seen.confusion(), range(len(seen.names))
    console.result("Right classes in rows, answers in columns:")
    rows = [[str(pairs[row, column] or ".") for column in classes] for row in classes]
    console.table(
        ["class ", *map(str, classes)], [[_named(seen, row), *cells] for row, cells in zip(classes, rows, strict=True)]
    )


def _print_mistakes(seen: Validation, dataset: Dataset) -> None:
    wrong = seen.mistakes()
    if not wrong:
        console.result("No picture was given a wrong class.")
        return
    console.result("Surest of what is wrong:" if len(wrong) > TOLD else "All that is wrong:")
    console.table(
        ["picture ", "is ", "answer ", "probability"],
        [
            [
                dataset.name(int(seen.pictures[i])),
                _named(seen, int(seen.truths[i])),
                _named(seen, int(seen.answers[i])),
                f"{seen.probabilities[i]:.6f}",
            ]
            for i in wrong[:TOLD]
        ],
    )


def _named(seen: Validation, number: int) -> str:
    """A class as tables show it: its number too, by which the confusion matrix goes, and no more than 30 letters."""
    name = seen.names[number]
    text = name if name == str(number) else f"{number} {name}"
    return text if len(text) <= 30 else text[:29] + "…"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
