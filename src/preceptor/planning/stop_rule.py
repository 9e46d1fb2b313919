"""Decide how many judgments an item gets, audit that rule, and decide on gold turns and escalation.

Adaptive redundancy: stop asking about an item once its answer is certain enough, and spend what is saved on the rest.

The rule is audited live: some stopped items go on to full redundancy, and either keep their answer or lose it. A hash of the item's
id decides which ones, so the audit is a random sample of all items that nobody can influence, and the same one every time. Where the
claimed certainty isn't realised, the certainty at which items stop is adjusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from preceptor.registry import OptionsBase
from preceptor.statistics import estimate_proportion
from preceptor.types import Consensus, Estimate, FloatArray


class StopRule(OptionsBase):
    """The rule for when an item has enough judgments.

    The certainty is the posterior's, from the judgments bought and nothing else. It is a target in OR form
    (buy on while it isn't reached) because the expected gain in 0/1 risk of one more judgment is zero as soon as
    a single answer can't turn the majority, which would stop at any certainty.
    """

    confidence_threshold: float = Field(0.95, gt=0.5, lt=1, description="probability of the top answer at which an item has enough")
    min_judgments: int = Field(2, ge=1, description="judgments that every item gets")
    max_judgments: int = Field(7, ge=1, description="judgments after which no more are requested")
    audit_share: float = Field(0.04, ge=0, le=1, description="share of items that go on to max_judgments, to check the threshold")

    @property
    def initial_judgments(self) -> int:
        """Judgments that each item is given first: `min_judgments`, or `max_judgments` where that is lower."""
        return min(self.min_judgments, self.max_judgments)


def target_judgment_counts(consensus: Consensus, given: Mapping[str, int], rule: StopRule) -> dict[str, int]:
    """Return how many judgments each item should have, given how many it has: one more where the answer isn't certain enough.

    Items that the consensus doesn't know get the minimum. Asking for one at a time makes each answer
    count before the next is bought; calling this after each round keeps annotators busy on many items at once.
    Audited items go on to `max_judgments`, as far as there are annotators to ask.
    """
    certainty = dict(zip(consensus.items, consensus.certainty.tolist(), strict=True))
    full = full_redundancy(rule, len(consensus.annotators))
    return {
        item: max(_target_count(certainty.get(item, 0.0), count, rule), _audit_count(item, count, rule, full))
        for item, count in given.items()
    }


def is_audited(item: str, share: float) -> bool:
    """Return whether an item is one of the `share` that goes on to full redundancy: a hash of its id decides."""
    place = int.from_bytes(hashlib.sha256(f"audit\n{item}".encode()).digest()[:8], "big")
    return place < share * 2**64


def full_redundancy(rule: StopRule, people: int) -> int:
    """Return the most judgments that an item can get: `max_judgments`, or one from each of `people` where they are fewer."""
    return min(rule.max_judgments, people)


def _audit_count(item: str, count: int, rule: StopRule, full: int) -> int:
    return full if count >= rule.initial_judgments and is_audited(item, rule.audit_share) else 0


def _target_count(certainty: float, count: int, rule: StopRule) -> int:
    if count < rule.initial_judgments:
        return rule.initial_judgments
    return count if certainty >= rule.confidence_threshold or count >= rule.max_judgments else count + 1


LOG_SCALE_PRIOR = 0.5  # standard deviation of log scale before any audit: a claimed 0.95 probably means 0.75 to 0.99
CERTAINTY_BOUNDS = (0.55, 0.9999)  # certainties between which an adjusted rule stays

ConsensusFitter = Callable[[Mapping[str, int]], Consensus]


@dataclass(frozen=True)
class StopRuleAudit:
    """Items that stopped before full redundancy and then reached it.

    claimed: certainty when each stopped, (items,). kept: whether each kept its answer, (items,).
    """

    claimed: FloatArray
    kept: NDArray[np.bool_]

    @property
    def realised(self) -> Estimate:
        """Share of the items that kept their answer, with its interval."""
        return estimate_proportion(int(self.kept.sum()), len(self.kept))

    @property
    def is_miscalibrated(self) -> bool:
        """Whether the mean claimed certainty lies outside the interval of the realised share."""
        return bool(len(self.kept)) and not self.realised.low <= float(self.claimed.mean()) <= self.realised.high

    @property
    def scale(self) -> float:
        """The factor by which the log odds of claims must be multiplied to be calibrated; 1 when nothing is to be adjusted."""
        return recalibration_scale(self.claimed, self.kept) if self.is_miscalibrated else 1.0

    def threshold(self, certainty: float) -> float:
        """Return the certainty that must be claimed for a realised `certainty`."""
        scale = self.scale
        return certainty if scale == 1.0 else float(np.clip(expit(logit(certainty) / scale), *CERTAINTY_BOUNDS))


def recalibration_scale(claimed: FloatArray, kept: NDArray[np.bool_]) -> float:
    """Return the s at which expit(s · logit(claimed)) is calibrated: MAP of a one-parameter logistic regression, log s ~ N(0, 0.5²).

    Platt 1999, without the intercept: a claim of one half stays one half. The prior's deviation is LOG_SCALE_PRIOR.
    """
    odds = logit(np.clip(claimed, 1e-6, 1 - 1e-6))
    sign = np.where(kept, 1.0, -1.0)

    def loss(log_scale: float) -> float:
        return float(np.logaddexp(0.0, -sign * odds * np.exp(log_scale)).sum() + 0.5 * (log_scale / LOG_SCALE_PRIOR) ** 2)

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def audit_stop_rule(fit: ConsensusFitter, items: Collection[str], rule: StopRule) -> StopRuleAudit:
    """Replay items with full redundancy: when `rule` would have stopped, and whether that answer is the final one.

    fit(limits): the consensus when each item of `limits` has only so many of its judgments, the first that arrived.
    It is fitted once for each number of judgments at which an item may stop, and never with later judgments of it.
    """
    running, claims, kept = set(items), [], []
    if running:
        final = dict(zip(*_items_and_answers(fit({})), strict=True))
    for count in range(rule.initial_judgments, rule.max_judgments):
        if not running:
            break
        seen = fit(dict.fromkeys(running, count))
        for item, answer, certainty in zip(*_items_and_answers(seen), seen.certainty.tolist(), strict=True):
            if item in running and certainty >= rule.confidence_threshold:
                running.remove(item)
                claims.append(certainty)
                kept.append(answer == final[item])
    return StopRuleAudit(np.array(claims, dtype=np.float64), np.array(kept, dtype=np.bool_))


def _items_and_answers(consensus: Consensus) -> tuple[tuple[str, ...], tuple[object, ...]]:
    return consensus.items, consensus.top


def is_gold_due(annotator: str, count: int | str, share: float, *, secret: str = "") -> bool:
    """Return whether an annotator's turn number `count` is one for gold: a hash decides, for `share` of the turns in the long run.

    The same turn is decided the same way every time, so asking again doesn't get around it. Without a `secret`
    of the project, anyone who knows this code can foresee their turns.
    """
    turn = "\n".join(("gold", secret, annotator, str(count)))
    place = int.from_bytes(hashlib.sha256(turn.encode()).digest()[:8], "big")
    return place < share * 2**64


def has_required_skills(question_skills: Collection[str], person_skills: Collection[str]) -> bool:
    """Return whether a person has all the skills that a question needs; a question that needs none is for everybody."""
    return set(question_skills) <= set(person_skills)


def should_escalate(certainty: float, given: int, rule: StopRule) -> bool:
    """Return whether an item is escalated: it has all the judgments it may get, and its answer still isn't certain enough."""
    return given >= rule.max_judgments and certainty < rule.confidence_threshold
