"""Each round against the model that people's labels alone make, on validation: what doesn't help isn't kept."""

from __future__ import annotations

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
    kept: bool

    @property
    def clear(self) -> bool:
        """Whether the difference of the losses is more than chance."""
        return self.loss.high < 0 or self.loss.low > 0


def judge(round_: Standing, supervised: Standing, best: Standing, groups: Sequence[str]) -> Verdict:
    """Whether a round is kept: its validation loss is below that of the supervised model, and of the best round so far.

    The loss decides, for it sees what accuracy on some hundred rows can't; on validation rows, never on test. That the mean
    decides and not the interval keeps small gains; what chance lets through is no worse by more than chance.
    """
    return Verdict(
        compare_paired(round_.losses, supervised.losses, clusters=np.asarray(groups)),
        compare_paired(round_.right, supervised.right, clusters=np.asarray(groups)),
        round_.loss < min(supervised.loss, best.loss),
    )
