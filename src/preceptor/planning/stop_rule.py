"""Decide how many judgments an item gets, audit that rule, and decide on gold turns and escalation.

Adaptive redundancy: stop asking about an item once its answer is certain enough, spend what is saved on the rest.

A live audit of the stop rule: some stopped items go on to full redundancy, and either keep their answer or lose it.

Which ones is a hash of the item's id, so the audit is a random sample of all items that nobody can steer, and the same
one whenever it is looked at. Where what is claimed isn't what comes true, the certainty at which items stop is moved.

What is decided when a person asks for work: whether gold is due, whether the question is theirs, whether an item climbs.
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
    """When an item has judgments enough.

    The certainty is the posterior's: it has seen what was bought and nothing else. It is a target in OR form
    (buy on while it isn't reached) because the expected gain in 0/1 risk of one more judgment is zero as soon as
    a single answer can't turn the majority, which would stop at any certainty.
    """

    certainty: float = Field(0.95, gt=0.5, lt=1, description="probability of the top answer at which an item has enough")
    minimum: int = Field(2, ge=1, description="judgments that every item gets")
    maximum: int = Field(7, ge=1, description="judgments after which an item is left as it is")
    audit: float = Field(0.04, ge=0, le=1, description="share of items that go on to the maximum, to check what the certainty is worth")

    @property
    def initial_judgments(self) -> int:
        """Judgments that each item is asked for to begin with: the minimum, were the maximum not lower."""
        return min(self.minimum, self.maximum)


def target_judgment_counts(consensus: Consensus, given: Mapping[str, int], rule: StopRule) -> dict[str, int]:
    """How many judgments each item shall have, given how many it has: one more where the answer isn't certain enough.

    Items that the consensus doesn't know get the minimum. Asking for one at a time is what makes each answer
    count before the next is bought; calling this after each round keeps people busy on many items at once.
    Audited items go on to `maximum`, as far as there are people to ask.
    """
    certainty = dict(zip(consensus.items, consensus.certainty.tolist(), strict=True))
    full = full_redundancy(rule, len(consensus.annotators))
    return {
        item: max(_target_count(certainty.get(item, 0.0), count, rule), _audit_count(item, count, rule, full))
        for item, count in given.items()
    }


def is_audited(item: str, share: float) -> bool:
    """Whether an item is one of the `share` that goes on to full redundancy: a hash of its id decides."""
    place = int.from_bytes(hashlib.sha256(f"audit\n{item}".encode()).digest()[:8], "big")
    return place < share * 2**64


def full_redundancy(rule: StopRule, people: int) -> int:
    """The most judgments that an item can get: `maximum`, or everybody's; a person answers once."""
    return min(rule.maximum, people)


def _audit_count(item: str, count: int, rule: StopRule, full: int) -> int:
    return full if count >= rule.initial_judgments and is_audited(item, rule.audit) else 0


def _target_count(certainty: float, count: int, rule: StopRule) -> int:
    if count < rule.initial_judgments:
        return rule.initial_judgments
    return count if certainty >= rule.certainty or count >= rule.maximum else count + 1


LOG_SCALE_PRIOR = 0.5  # standard deviation of log scale before any audit: a claimed 0.95 is likely to mean 0.75 to 0.99
CERTAINTY_BOUNDS = (0.55, 0.9999)  # certainties between which a mended rule stays

ConsensusFitter = Callable[[Mapping[str, int]], Consensus]


@dataclass(frozen=True)
class StopRuleAudit:
    """Items that stopped before full redundancy and then had it.

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
        """Whether the mean claim lies outside the interval of what came true."""
        return bool(len(self.kept)) and not self.realised.low <= float(self.claimed.mean()) <= self.realised.high

    @property
    def scale(self) -> float:
        """How far a claim's log odds must be stretched to come true; 1 when there is nothing to mend."""
        return recalibration_scale(self.claimed, self.kept) if self.is_miscalibrated else 1.0

    def threshold(self, certainty: float) -> float:
        """What must be claimed for a realised `certainty`."""
        scale = self.scale
        return certainty if scale == 1.0 else float(np.clip(expit(logit(certainty) / scale), *CERTAINTY_BOUNDS))


def recalibration_scale(claimed: FloatArray, kept: NDArray[np.bool_]) -> float:
    """The s at which expit(s · logit(claimed)) comes true: MAP of a one-parameter logistic regression, log s ~ N(0, PRIOR²).

    Platt 1999, without the intercept: a claim of one half stays one half.
    """
    odds = logit(np.clip(claimed, 1e-6, 1 - 1e-6))
    sign = np.where(kept, 1.0, -1.0)

    def loss(log_scale: float) -> float:
        return float(np.logaddexp(0.0, -sign * odds * np.exp(log_scale)).sum() + 0.5 * (log_scale / LOG_SCALE_PRIOR) ** 2)

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def audit_stop_rule(fit: ConsensusFitter, items: Collection[str], rule: StopRule) -> StopRuleAudit:
    """Replay items that have full redundancy: when would `rule` have stopped, and was that the answer all of them came to?

    fit(limits): the consensus when each item of `limits` has only so many of its judgments, the first that arrived.
    It is fitted once for each number of judgments at which an item may stop, and never with what came later about it.
    """
    running, claims, kept = set(items), [], []
    if running:
        final = dict(zip(*_items_and_answers(fit({})), strict=True))
    for count in range(rule.initial_judgments, rule.maximum):
        if not running:
            break
        seen = fit(dict.fromkeys(running, count))
        for item, answer, certainty in zip(*_items_and_answers(seen), seen.certainty.tolist(), strict=True):
            if item in running and certainty >= rule.certainty:
                running.remove(item)
                claims.append(certainty)
                kept.append(answer == final[item])
    return StopRuleAudit(np.array(claims, dtype=np.float64), np.array(kept, dtype=np.bool_))


def _items_and_answers(consensus: Consensus) -> tuple[tuple[str, ...], tuple[object, ...]]:
    return consensus.items, consensus.top


def is_gold_due(annotator: str, count: int | str, share: float, *, secret: str = "") -> bool:
    """Whether somebody's turn number `count` is one for gold: a hash decides, for `share` of the turns in the long run.

    The same turn decides the same way whenever it is looked at, so asking again isn't a way around it. Without a `secret`
    of the project, who knows this line can foresee their turns.
    """
    turn = "\n".join(("gold", secret, annotator, str(count)))
    place = int.from_bytes(hashlib.sha256(turn.encode()).digest()[:8], "big")
    return place < share * 2**64


def has_required_skills(question_skills: Collection[str], person_skills: Collection[str]) -> bool:
    """Whether a person has all the skills that a question needs; one that needs none is for everybody."""
    return set(question_skills) <= set(person_skills)


def should_escalate(certainty: float, given: int, rule: StopRule) -> bool:
    """Whether an item goes to the next tier: it has all the judgments it may get, and its answer still isn't certain enough."""
    return given >= rule.maximum and certainty < rule.certainty
