"""Each round against the model that people's labels alone make, on validation: what hurts isn't kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from preceptor.domain.results import Estimate, FloatArray
from preceptor.statistics import compare_paired


@dataclass(frozen=True, eq=False)
class Standing:
    """A model on the validation rows: what each adds to the loss in nats, and whether its first choice is right, both (rows,)."""

    losses: FloatArray
    right: FloatArray

    @property
    def loss(self) -> float:
        """The mean over the rows."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class Verdict:
    """A round beside the model of people's labels alone. loss: difference in nats, below 0 where the round is better; accuracy: above 0."""

    loss: Estimate
    accuracy: Estimate

    @property
    def hurts(self) -> bool:
        """Whether its validation loss is higher by more than about a standard error, half of the interval's half-width; where rows of
        one group only can't bound it, whether it is higher at all.

        Some hundred validation rows can't see a small gain: over 24 draws of labels, rounds that had to be better on them to be kept
        brought 0.65 points of accuracy on test, rounds that had to be no worse in this sense 0.9, each uncertain by about half a
        point (docs/self-training.md).
        """
        error = (self.loss.high - self.loss.value) / 2
        return self.loss.value > (error if math.isfinite(error) else 0.0)


def judge(round_: Standing, supervised: Standing, groups: Sequence[str]) -> Verdict:
    """A round against the supervised model on the same validation rows, never on test; rows of a group go together."""
    codes = np.asarray(groups)
    return Verdict(
        compare_paired(round_.losses, supervised.losses, clusters=codes, within=(0.0, np.inf)),
        compare_paired(round_.right, supervised.right, clusters=codes),
    )
