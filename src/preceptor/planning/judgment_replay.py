"""Replay of recorded judgments as a live project would buy them, to measure what a budget rule is worth with real annotators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preceptor.consensus import Judgments, aggregate
from preceptor.errors import UserError
from preceptor.planning.information_gain import annotator_information
from preceptor.planning.panel_certainty import panel_certainty
from preceptor.planning.stop_rule import StopRuleAudit
from preceptor.statistics import estimate_mean, estimate_proportion
from preceptor.types import Consensus, Estimate, FloatArray, IntArray

Mask = NDArray[np.bool_]
MINIMUM = 2
AUDIT_SHARE = 0.03  # share of the items that have all their judgments bought, once they stop, to check the rule
# Where 97 % is claimed and 87 % is realised, the interval of 50 items excludes the claim eight times in ten; that of 3, hardly ever.
MIN_AUDITED_ITEMS = 50  # items at least,
MAX_AUDITED_SHARE = 0.2  # up to this share of the set
# Each item gets this share of the judgments of the item with most: confusions show in depth, not in a few votes an item.
MIN_DEPTH_SHARE = 1 / 3


@dataclass(frozen=True)
class ReplayPoint:
    """One moment of a replay: the share of judgments bought, and the consensus's accuracy against gold.

    fixed_accuracy: that of as many judgments at fixed redundancy.
    """

    fraction: float
    accuracy: Estimate | None
    fixed_accuracy: Estimate | None


@dataclass(frozen=True)
class JudgmentReplay:
    """The result of a replay: the judgments bought, and what they were worth.

    accuracy, full_accuracy, fixed_accuracy: against gold, from the judgments bought, from all, and from as many spread evenly.
    agreement: with the consensus of all judgments; claimed: the agreement that the stop rule claimed. bought: (rows,) of the judgments.
    """

    judgments_used: int
    judgments_available: int
    accuracy: Estimate | None
    full_accuracy: Estimate | None
    fixed_accuracy: Estimate | None
    agreement: Estimate
    claimed: float
    curve: tuple[ReplayPoint, ...]
    consensus: Consensus
    bought: Mask

    @property
    def fraction(self) -> float:
        """Share of the recorded judgments that was bought."""
        return self.judgments_used / self.judgments_available

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON document."""
        figures = ("accuracy", "full_accuracy", "fixed_accuracy", "agreement")
        return {
            "judgments_used": self.judgments_used,
            "judgments_available": self.judgments_available,
            "fraction": self.fraction,
            **{name: value.to_dict() if (value := getattr(self, name)) else None for name in figures},
            "claimed": self.claimed,
            "curve": [
                {
                    "fraction": point.fraction,
                    "accuracy": _estimate_dict(point.accuracy),
                    "fixed_accuracy": _estimate_dict(point.fixed_accuracy),
                }
                for point in self.curve
            ],
        }


def replay_judgments(
    judgments: Judgments,
    *,
    gold: Mapping[Any, Any] | None = None,
    method: str = "auto",
    target: float = 0.95,
    seed: int = 0,
    choose_people: bool = False,
) -> JudgmentReplay:
    """Buy recorded judgments, one an item a round, until each answer is `target` certain not to change with the rest.

    Judgments about an item come in a random order by `seed`, or, with `choose_people`, from the annotator with the most
    information among those who answered it. A random 3 % of the items, and 50 or a fifth of a small set, are audited when they stop:
    the rest of their judgments are bought too, and the realised share of unchanged answers moves the certainty at which items stop. Where
    the consensus overturns the vote on too many of them, everything is bought. Gold is used for scoring only, never for what is bought.
    Raises UserError for a target outside [0.5, 1).
    """
    if not 0.5 <= target < 1:
        raise UserError(f"target is a probability from 0.5 to below 1, not {target!r}")
    order = _arrival(judgments, seed)
    asked = order < MINIMUM
    audited = _AuditSample.draw(judgments, seed)
    rounds = [asked]
    while True:
        known = judgments.select_rows(asked)
        fitted = aggregate(known, method)
        left = _remaining_counts(judgments, asked)
        stay = panel_certainty(fitted, known, left, seed=seed)
        audited.look(fitted, stay, left, target)
        bought = asked | audited.extra
        rounds.append(bought)
        given = np.bincount(judgments.item_code[asked], minlength=judgments.n_items)
        unsure = (stay < audited.threshold(bought, method, target)) | (given < MIN_DEPTH_SHARE * given.max())
        open_items = unsure & (left > 0) & ~audited.scored
        if not open_items.any():
            break
        candidates = np.flatnonzero(~asked & open_items[judgments.item_code])
        worth = _candidate_information(judgments, fitted, candidates) if choose_people else -order[candidates].astype(np.float64)
        asked = asked.copy()
        asked[_best_per_item(judgments, candidates, worth)] = True
    if audited.overturn(bought, method, target):
        rounds.append(np.ones_like(bought))
        stay = np.ones_like(stay)
    return _score_replay(judgments, gold, method, order, rounds, float(stay.mean()))


@dataclass
class _AuditSample:
    """Items whose every judgment is bought once they stop, to see whether that changes the answer.

    sample, scored: (items,). extra: judgments bought for the audit alone, (rows,). claimed, front: certainty and answer at the
    stop, (items,).
    """

    judgments: Judgments
    sample: Mask
    scored: Mask
    extra: Mask
    claimed: FloatArray
    front: IntArray

    @classmethod
    def draw(cls, judgments: Judgments, seed: int) -> _AuditSample:
        """Sample the items to audit."""
        items = judgments.n_items
        sample = np.random.default_rng([seed, 1]).random(items) < max(
            AUDIT_SHARE, min(MIN_AUDITED_ITEMS / max(items, 1), MAX_AUDITED_SHARE)
        )
        nothing = np.zeros(items, dtype=bool)
        return cls(judgments, sample, nothing, np.zeros(len(judgments), dtype=bool), np.zeros(items), np.zeros(items, dtype=np.int64))

    def look(self, fitted: Consensus, stay: FloatArray, left: IntArray, target: float) -> None:
        """Record the claimed certainty of the audited items that stop now, and buy the rest of their judgments."""
        stopped = self.sample & ~self.scored & (stay >= target) & (left > 0)
        self.claimed[stopped] = stay[stopped]
        self.front[stopped] = fitted.posterior.argmax(axis=1)[stopped]
        self.scored = self.scored | stopped
        self.extra = self.extra | stopped[self.judgments.item_code]

    def threshold(self, bought: Mask, method: str, target: float) -> float:
        """Return the claimed certainty at which `target` is realised, as far as the audit can tell."""
        if not self.scored.any():
            return target
        final = aggregate(self.judgments.select_rows(bought), method).posterior.argmax(axis=1)
        return StopRuleAudit(self.claimed[self.scored], (final == self.front)[self.scored]).threshold(target)

    def overturn(self, bought: Mask, method: str, target: float) -> bool:
        """Return whether the consensus contradicts the vote on more of the audited items than `target` allows.

        Call it when no item is open: then each item of the sample has all of its judgments. The claimed certainty is about votes to come,
        and doesn't cover an answer that isn't the vote's.
        """
        known = self.judgments.select_rows(bought)
        votes = known.votes[self.sample]
        top = aggregate(known, method).posterior[self.sample].argmax(axis=1)
        behind = votes[np.arange(len(votes)), top] < votes.max(axis=1) - 1e-9
        return len(votes) > 0 and estimate_proportion(int(behind.sum()), len(votes)).low > 1 - target


def _arrival(judgments: Judgments, seed: int) -> IntArray:
    """Return the position of each judgment in its item's random order of arrival, (rows,), from 0."""
    shuffled = np.lexsort((np.random.default_rng(seed).random(len(judgments)), judgments.item_code))
    place = np.empty(len(judgments), dtype=np.int64)
    place[shuffled] = np.arange(len(judgments)) - judgments.item_start[judgments.item_code[shuffled]]
    return place


def _remaining_counts(judgments: Judgments, bought: Mask) -> IntArray:
    return np.asarray(np.bincount(judgments.item_code[~bought], minlength=judgments.n_items), dtype=np.int64)


def _candidate_information(judgments: Judgments, fitted: Consensus, candidates: IntArray) -> FloatArray:
    """Return the information of each candidate's annotator about an item at the mean posterior.

    Using the item's own posterior was tried: it is as good where annotators' tables are known, and worse with
    the few judgments that a replay has of each (docs/experiments.md).
    """
    return annotator_information(fitted, judgments)[judgments.annotator_code[candidates]]


def _best_per_item(judgments: Judgments, candidates: IntArray, worth: FloatArray) -> IntArray:
    """Return the candidate of the highest worth for each item; a tie goes to the earlier row."""
    item = judgments.item_code[candidates]
    ranked = candidates[np.lexsort((candidates, -worth, item))]
    first = np.append(True, np.diff(judgments.item_code[ranked]) != 0)
    return np.asarray(ranked[first], dtype=np.int64)


def _score_replay(
    judgments: Judgments,
    gold: Mapping[Any, Any] | None,
    method: str,
    order: IntArray,
    rounds: list[Mask],
    claimed: float,
) -> JudgmentReplay:
    full = aggregate(judgments, method)
    bought = rounds[-1]
    fitted = aggregate(judgments.select_rows(bought), method)
    steps = sorted({round(step) for step in np.linspace(0, len(rounds) - 1, min(len(rounds), 8))})
    curve = [
        ReplayPoint(
            float(rounds[step].mean()),
            _accuracy(aggregate(judgments.select_rows(rounds[step]), method), gold),
            _accuracy(aggregate(judgments.select_rows(_spread_evenly(order, int(rounds[step].sum()))), method), gold),
        )
        for step in steps
    ]
    agrees = fitted.posterior.argmax(axis=1) == full.posterior.argmax(axis=1)
    return JudgmentReplay(
        judgments_used=int(bought.sum()),
        judgments_available=len(judgments),
        accuracy=_accuracy(fitted, gold),
        full_accuracy=_accuracy(full, gold),
        fixed_accuracy=curve[-1].fixed_accuracy,
        agreement=estimate_mean(agrees.astype(np.float64)),
        claimed=claimed,
        curve=tuple(curve),
        consensus=fitted,
        bought=bought,
    )


def _spread_evenly(order: IntArray, total: int) -> Mask:
    """Select as many judgments spread evenly: those that arrive first at each item."""
    chosen = np.zeros(len(order), dtype=bool)
    chosen[np.argsort(order, kind="stable")[:total]] = True
    return chosen


def _accuracy(fitted: Consensus, gold: Mapping[Any, Any] | None) -> Estimate | None:
    if not gold:
        return None
    right = [answer == gold[item] for item, answer in zip(fitted.items, fitted.top, strict=True) if item in gold]
    return estimate_mean(np.array(right, dtype=np.float64)) if right else None


def _estimate_dict(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_dict()
