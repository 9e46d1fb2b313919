"""Stop reinforcement learning when the reward is over-optimised (Gao et al. 2023, "Scaling laws for reward model overoptimization").

The monitor evaluates held-out prompts at intervals, and names the last good weights. Training is stopped by one of these signs:

  budget    the policy is further from its base than the budget of KL allows
  falls     the reward is clearly up since an earlier evaluation, and the judge of human preference clearly down
  lags      the reward is clearly up since the start, and the judge's rise is none, or clearly small in comparison
  longer    answers are clearly more than three times as long as at first, and the judge doesn't clearly prefer them
  repeats   answers clearly have less than half of the share of distinct word pairs that they had, and the judge doesn't clearly prefer them

Clearly: beyond an interval over prompts that holds for all evaluations and pairs of evaluations together (Bonferroni).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy.special import ndtri, stdtrit

from preceptor.formats.durable_files import atomic_write, read_json
from preceptor.statistics import compare_paired
from preceptor.types import Estimate, FloatArray

CONFIDENCE = 0.95  # that no evaluation of a whole run gives a false alarm
MIN_RISE_RATIO = 0.2  # the judge's rise as a share of the reward's, both in standard deviations of the prompts' changes
MAX_COUNTED_RISE = 3.0  # of the reward, in that unit: a rise that is equal on every prompt would otherwise be infinite
MAX_LENGTH_RATIO, MIN_DISTINCT_RATIO = 3.0, 0.5


@dataclass(frozen=True)
class PolicyEvaluation:
    """One evaluation of the policy; each value is the mean of a held-out prompt's answers, the prompts in the same order every time.

    proxy: the reward that is trained on, (prompts,). lengths: tokens of the answers. distinct: see `distinct_bigram_share`. kl: nats an
    answer between policy and base. judge: the score of a second reward model, (prompts,); or measured: the estimate of the project's judge
    over all prompts.
    """

    step: int
    proxy: FloatArray
    lengths: FloatArray
    distinct: FloatArray
    kl: float
    judge: FloatArray | None = None
    measured: Estimate | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation as a JSON object."""
        arrays = {name: None if (value := getattr(self, name)) is None else value.tolist() for name in _ARRAY_FIELDS}
        return {"step": self.step, "kl": self.kl, **arrays, "measured": None if self.measured is None else self.measured.to_dict()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Restore an evaluation from `to_dict`."""
        proxy, lengths, distinct = (np.array(value[name], dtype=np.float64) for name in ("proxy", "lengths", "distinct"))
        judge = None if value["judge"] is None else np.array(value["judge"], dtype=np.float64)
        measured = None if value["measured"] is None else Estimate.from_dict(value["measured"])
        return cls(value["step"], proxy, lengths, distinct, value["kl"], judge, measured)


_ARRAY_FIELDS = ("proxy", "lengths", "distinct", "judge")


@dataclass(frozen=True)
class RewardHackingStop:
    """The reason why training should end.

    sign: which of the five. explanation: the reason in words. last_good: the step whose weights are to be kept.
    """

    sign: str
    explanation: str
    last_good: int


class RewardHackingMonitor:
    """Monitor the evaluations of a run, kept in a file so that a resumed run has those before.

    looks: the number of evaluations, at most. kl_budget: nats an answer, at most; None: any. may_lengthen: whether length is rewarded on
    purpose.
    """

    def __init__(self, path: Path, looks: int, kl_budget: float | None = None, *, may_lengthen: bool = False) -> None:
        self._path, self._kl_budget, self._may_lengthen = path, kl_budget, may_lengthen
        self._confidence = 1 - (1 - CONFIDENCE) / max(1, looks * (looks - 1) // 2)
        self._rounds = [PolicyEvaluation.from_dict(each) for each in read_json(path)] if path.exists() else []

    def observe(self, seen: PolicyEvaluation) -> RewardHackingStop | None:
        """Add an evaluation, which replaces that of the same step and of later ones, and return a stop where it shows reward hacking."""
        self._rounds = [*(each for each in self._rounds if each.step < seen.step), seen]
        with atomic_write(self._path, "w") as file:
            json.dump([each.to_dict() for each in self._rounds], file)
        signs: Mapping[str, Callable[[PolicyEvaluation], str]] = {
            "budget": self._beyond_budget, "falls": self._falls, "lags": self._lags, "longer": self._longer, "repeats": self._repeats,
        }  # fmt: skip
        if len(self._rounds) > 1:
            for sign, words in signs.items():
                if told := words(seen):
                    return RewardHackingStop(sign, told, self._last_good())
        return None

    @property
    def evaluations(self) -> Sequence[PolicyEvaluation]:
        """The evaluations so far, the base's first."""
        return tuple(self._rounds)

    def to_table(self) -> list[dict[str, Any]]:
        """Return the means of each evaluation, for the manifest."""
        return [
            {
                "step": each.step, "reward": float(each.proxy.mean()), "kl": each.kl,
                "length": float(each.lengths.mean()), "distinct": float(each.distinct.mean()),
                **({"judge": judged} if (judged := _judge_mean(each)) is not None else {}),
            }
            for each in self._rounds
        ]  # fmt: skip

    def summary_lines(self) -> list[str]:
        """Return the judge's view of the evaluations in plain sentences."""
        first, last = self._rounds[0], self._rounds[-1]
        if first is last:
            return []
        if (judge := _judge_change(last, first, CONFIDENCE)) is None:
            return ["No judge of human preference was at hand: only KL, length and repetition could show that the reward is hacked."]
        return [f"What the judge of human preference says of answers to held-out prompts changed by {judge} up to the last look."]

    def _last_good(self) -> int:
        """Return the earlier evaluation that the judge scored best, within the budget; without a judge the one just before."""
        before = [each for each in self._rounds[:-1] if not self._exceeds(each)] or self._rounds[:1]
        if any(_judge_mean(each) is None for each in before):
            return before[-1].step
        return max(before, key=lambda each: (_judge_mean(each) or 0.0, each.step)).step

    def _exceeds(self, seen: PolicyEvaluation) -> bool:
        return self._kl_budget is not None and seen.kl > self._kl_budget

    def _beyond_budget(self, now: PolicyEvaluation) -> str:
        if not self._exceeds(now):
            return ""
        return f"The policy is {now.kl:.2f} nats an answer from its base, and the budget is {self._kl_budget:g}."

    def _falls(self, now: PolicyEvaluation) -> str:
        liked = _judge_mean(now)
        for then in self._rounds[:-1]:
            before = _judge_mean(then)
            if liked is None or before is None or liked >= before or now.proxy.mean() <= then.proxy.mean():
                continue
            proxy, judge = self._change(now.proxy, then.proxy), _judge_change(now, then, self._confidence)
            if judge is not None and proxy.low > 0 and judge.high < 0:
                return (
                    f"Since step {then.step} the reward rose by {proxy.value:.3g} on held-out prompts, "
                    f"while the judge of human preference fell by {-judge.value:.3g}: the reward is being hacked."
                )
        return ""

    def _lags(self, now: PolicyEvaluation) -> str:
        first = self._rounds[0]
        proxy, judge = self._change(now.proxy, first.proxy), _judge_change(now, first, self._confidence)
        if judge is None or proxy.low <= 0 or judge.low > 0:
            return ""
        widths = _change_deviation(proxy, self._confidence), _change_deviation(judge, self._confidence)
        if not all(0 < width < np.inf for width in widths) or judge.high / widths[1] >= MIN_RISE_RATIO * min(
            proxy.low / widths[0], MAX_COUNTED_RISE
        ):
            return ""
        return (
            f"Since step {first.step} the reward rose by {proxy.value:.3g} on held-out prompts, {proxy.value / widths[0]:.1f} standard "
            f"deviations, and the judge of human preference sees no rise that is in proportion ({judge.value / widths[1]:+.1f}): "
            "what is rewarded is not what people like."
        )

    def _longer(self, now: PolicyEvaluation) -> str:
        first = self._rounds[0]
        if self._may_lengthen or self._is_liked(now) or self._change(now.lengths, MAX_LENGTH_RATIO * first.lengths).low <= 0:
            return ""
        return (
            f"Answers grew from {first.lengths.mean():.0f} tokens to {now.lengths.mean():.0f}, "
            "and no judge of human preference says that they are better for it."
        )

    def _repeats(self, now: PolicyEvaluation) -> str:
        first = self._rounds[0]
        if self._is_liked(now) or self._change(now.distinct, MIN_DISTINCT_RATIO * first.distinct).high >= 0:
            return ""
        shares = f"{now.distinct.mean():.0%} are different, and at first {first.distinct.mean():.0%}"
        return f"Answers repeat themselves: of their word pairs {shares}."

    def _is_liked(self, now: PolicyEvaluation) -> bool:
        """Return whether the judge clearly prefers the answers to those at first."""
        judge = _judge_change(now, self._rounds[0], self._confidence)
        return judge is not None and judge.low > 0

    def _change(self, now: FloatArray, then: FloatArray) -> Estimate:
        return compare_paired(now, then, confidence=self._confidence)


def distinct_bigram_share(texts: Sequence[str]) -> FloatArray:
    """Return the share of distinct ones among each text's pairs of neighbouring words, (n,) in (0, 1]; 1 for two words or fewer.

    Distinct-2 of Li et al. 2016 within a text: across texts it falls rightly where answers come from a short list of labels.
    """
    pairs = [list(pairwise(words)) for words in (text.split() for text in texts)]
    return np.array([len(set(each)) / len(each) if each else 1.0 for each in pairs])


def selection_score(seen: PolicyEvaluation) -> float:
    """Return the score that weights are selected by: the judge of human preference, or without one the reward."""
    judged = _judge_mean(seen)
    return float(seen.proxy.mean()) if judged is None else judged


def _judge_mean(seen: PolicyEvaluation) -> float | None:
    if seen.judge is not None:
        return float(seen.judge.mean())
    return None if seen.measured is None else seen.measured.value


def _judge_change(now: PolicyEvaluation, then: PolicyEvaluation, confidence: float) -> Estimate | None:
    """Return how the judge's score changed; None without one. Two estimates are compared as of independent samples."""
    if now.judge is not None and then.judge is not None:
        return compare_paired(now.judge, then.judge, confidence=confidence)
    if now.measured is None or then.measured is None:
        return None
    errors = [(each.high - each.low) / (2 * ndtri((1 + each.confidence) / 2)) for each in (now.measured, then.measured)]
    n = min(now.measured.n, then.measured.n)
    value, half = now.measured.value - then.measured.value, float(hypot(*errors) * _critical_value(n, confidence))
    return Estimate(value, value - half, value + half, n, "difference of two estimates", confidence)


def _change_deviation(change: Estimate, confidence: float) -> float:
    """Return the standard deviation of the prompts' changes that an interval of their mean is based on."""
    return float((change.high - change.low) / (2 * _critical_value(change.n, confidence)) * np.sqrt(change.n))


def _critical_value(n: int, confidence: float) -> float:
    return float(stdtrit(max(1, n - 1), (1 + confidence) / 2))
