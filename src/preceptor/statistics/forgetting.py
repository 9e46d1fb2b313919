"""How much of what a model knew is left: the same general items before and after training, paired."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import Estimate
from preceptor.errors import UserError
from preceptor.statistics.inputs import as_values
from preceptor.statistics.intervals import mean
from preceptor.statistics.paired import compare_paired
from preceptor.statistics.resampling import bootstrap

CHANCE_MARGIN = 0.05


def kept(before: ArrayLike, after: ArrayLike, *, clusters: Any = None, seed: int = 0) -> Estimate:
    """The share of general log-probability that is left: what the texts had before, divided by what they have now.

    before, after: each text's summed log-probability in nats, (texts,), below 0. Above 1 the texts are likelier than before.
    The interval resamples texts (or clusters of them), both sides together; where no text has changed it is 1 alone.
    """
    first, second = as_values(before, "before"), as_values(after, "after")
    if len(first) != len(second):
        raise UserError(f"before has {len(first)} texts and after has {len(second)}", "measure the same texts", where="after")
    if (first >= 0).any() or (second >= 0).any():
        raise UserError("a text's log-probability must lie below 0", "sum log p over its tokens", where="before, after")
    if np.array_equal(first, second):
        return Estimate(1.0, 1.0, 1.0, len(first), "the same on every text")
    names = np.arange(len(first)) if clusters is None else clusters
    return bootstrap(lambda weights: (weights @ first) / (weights @ second), clusters=names, seed=seed, within=(0.0, np.inf))


def suite_change(before: ArrayLike, after: ArrayLike, chance: ArrayLike) -> dict[str, Any]:
    """What became of a suite's accuracy: before, after and the paired change as Estimates' dicts, and how many answers flipped.

    before, after: 1 where a question was answered right, else 0; chance: how often guessing is right, all (questions,).
    `counts` is whether the suite can show forgetting: a base that hardly does better than guessing has nothing there to forget.
    """
    first, second = as_values(before, "before"), as_values(after, "after")
    guessed = float(np.mean(as_values(chance, "chance")))
    return {
        "before": mean(first).to_dict(),
        "after": mean(second).to_dict(),
        "change": compare_paired(second, first).to_dict(),
        "now_wrong": int(((first == 1) & (second == 0)).sum()),
        "now_right": int(((first == 0) & (second == 1)).sum()),
        "chance": guessed,
        "counts": bool(first.mean() - guessed >= CHANCE_MARGIN),
    }
