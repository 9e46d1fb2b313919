"""A live audit of the stop rule: some stopped items go on to full redundancy, and either keep their answer or lose it.

Which ones is a hash of the item's id, so the audit is a random sample of all items that nobody can steer, and the same
one whenever it is looked at. Where what is claimed isn't what comes true, the certainty at which items stop is moved.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from preceptor.domain import Consensus, Estimate
from preceptor.domain.results import FloatArray
from preceptor.guidance.stopping import StopRule
from preceptor.statistics import proportion

PRIOR = 0.5  # standard deviation of log scale before any audit: a claimed 0.95 is likely to mean 0.75 to 0.99
BOUNDS = (0.55, 0.9999)  # certainties between which a mended rule stays

Fit = Callable[[Mapping[str, int]], Consensus]


@dataclass(frozen=True)
class Audit:
    """Items that stopped before full redundancy and then had it.

    claimed: certainty when each stopped, (items,). kept: whether each kept its answer, (items,).
    """

    claimed: FloatArray
    kept: NDArray[np.bool_]

    @property
    def realised(self) -> Estimate:
        """Share of the items that kept their answer, with its interval."""
        return proportion(int(self.kept.sum()), len(self.kept))

    @property
    def is_off(self) -> bool:
        """Whether the mean claim lies outside the interval of what came true."""
        return bool(len(self.kept)) and not self.realised.low <= float(self.claimed.mean()) <= self.realised.high

    @property
    def scale(self) -> float:
        """How far a claim's log odds must be stretched to come true; 1 when there is nothing to mend."""
        return recalibration(self.claimed, self.kept) if self.is_off else 1.0

    def threshold(self, certainty: float) -> float:
        """What must be claimed for a realised `certainty`."""
        scale = self.scale
        return certainty if scale == 1.0 else float(np.clip(expit(logit(certainty) / scale), *BOUNDS))


def recalibration(claimed: FloatArray, kept: NDArray[np.bool_]) -> float:
    """The s at which expit(s · logit(claimed)) comes true: MAP of a one-parameter logistic regression, log s ~ N(0, PRIOR²).

    Platt 1999, without the intercept: a claim of one half stays one half.
    """
    odds = logit(np.clip(claimed, 1e-6, 1 - 1e-6))
    sign = np.where(kept, 1.0, -1.0)

    def loss(log_scale: float) -> float:
        return float(np.logaddexp(0.0, -sign * odds * np.exp(log_scale)).sum() + 0.5 * (log_scale / PRIOR) ** 2)

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def audit(fit: Fit, items: Collection[str], rule: StopRule) -> Audit:
    """Replay items that have full redundancy: when would `rule` have stopped, and was that the answer all of them came to?

    fit(limits): the consensus when each item of `limits` has only so many of its judgments, the first that arrived.
    It is fitted once for each number of judgments at which an item may stop, and never with what came later about it.
    """
    running, claims, kept = set(items), [], []
    if running:
        final = dict(zip(*_answers(fit({})), strict=True))
    for count in range(rule.least, rule.maximum):
        if not running:
            break
        seen = fit(dict.fromkeys(running, count))
        for item, answer, certainty in zip(*_answers(seen), seen.certainty.tolist(), strict=True):
            if item in running and certainty >= rule.certainty:
                running.remove(item)
                claims.append(certainty)
                kept.append(answer == final[item])
    return Audit(np.array(claims, dtype=np.float64), np.array(kept, dtype=np.bool_))


def _answers(consensus: Consensus) -> tuple[tuple[str, ...], tuple[object, ...]]:
    return consensus.items, consensus.top
