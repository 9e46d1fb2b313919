"""Who may answer: a sequential test on gold that passes, fails, or asks one more, with error rates that hold.

Wald's sequential probability ratio test (1945): each answer speaks for "right as often as `good`" or for "as often as `bad`",
and the test stops as soon as one side has the odds that the error rates demand. After `most` answers the Beta posterior
decides. That cut moves the error rates, so they are computed exactly, and a rule that can't keep its own is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.special import betaincc, betaincinv

from preceptor.domain import Estimate
from preceptor.domain.results import FloatArray, IntArray
from preceptor.registry import OptionsBase

LONGEST = 500  # how far a refusal looks for a `most` that would do
CONFIDENCE = 0.95


class Qualification(OptionsBase):
    """When somebody has shown enough on gold. `good` and `bad` are shares of right answers on the gold itself, chance included."""

    good: float = Field(0.85, gt=0, lt=1, description="share of right answers of a person who shall pass")
    bad: float = Field(0.60, gt=0, lt=1, description="share of right answers of a person who shall not")
    false_pass: float = Field(0.05, gt=0, lt=0.5, description="how many of the bad may pass")
    false_fail: float = Field(0.05, gt=0, lt=0.5, description="how many of the good may fail")
    most: int = Field(45, ge=1, le=LONGEST, description="gold answers after which it is decided")

    @model_validator(mode="after")
    def _keeps_its_word(self) -> Self:
        if not self.bad < self.good:
            raise ValueError(f"bad must be below good, not {self.bad:g} and {self.good:g}")
        passes, fails = (float(errors[-1]) for errors in _errors(self, self.most))
        if passes > self.false_pass or fails > self.false_fail:
            raise ValueError(f"with {self.most} answers {passes:.3f} of the bad pass and {fails:.3f} of the good fail; {_remedy(self)}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Log odds for good against bad at which somebody fails, and at which somebody passes."""
        return float(np.log(self.false_fail / (1 - self.false_pass))), float(np.log((1 - self.false_fail) / self.false_pass))

    @property
    def even(self) -> float:
        """The share of right answers that speaks for neither side."""
        right, wrong = self.weights
        return wrong / (wrong - right)

    @property
    def weights(self) -> tuple[float, float]:
        """Log odds that one right answer adds, and that one wrong answer adds."""
        return float(np.log(self.good / self.bad)), float(np.log((1 - self.good) / (1 - self.bad)))


@dataclass(frozen=True)
class Verdict:
    """How it stands, and on what: `right` of `asked` gold answers, their log odds `llr` for good against bad, and its two `bounds`.

    accuracy: Beta posterior with its interval, from a uniform prior.
    """

    outcome: Literal["pass", "fail", "more"]
    right: int
    asked: int
    llr: float
    bounds: tuple[float, float]
    accuracy: Estimate

    @property
    def words(self) -> str:
        """The verdict in one line."""
        says = {"pass": "passed", "fail": "failed", "more": "not decided yet"}[self.outcome]
        return f"{says}: {self.right} of {self.asked} right, accuracy {self.accuracy.low:.0%} to {self.accuracy.high:.0%}"


@dataclass(frozen=True)
class Odds:
    """What a rule does to people who are right with one probability: shares that pass and fail, and answers asked on average."""

    passes: float
    fails: float
    asked: float


def qualify(right: Sequence[bool], rule: Qualification | None = None) -> Verdict:
    """The verdict on somebody's gold answers in the order in which they came; the first one stands, whatever came after it."""
    rule = rule or Qualification()
    answers = np.asarray(right, dtype=bool)[: rule.most]
    so_far, asked = np.cumsum(answers), np.arange(1, len(answers) + 1)
    llr, (low, high) = _llr(rule, so_far, asked), rule.bounds
    decided = np.flatnonzero((llr <= low) | (llr >= high) | (asked == rule.most))
    total = int(decided[0]) + 1 if decided.size else len(answers)
    count = int(answers[:total].sum())
    odds_so_far = float(llr[total - 1]) if total else 0.0
    passes = odds_so_far >= high or (odds_so_far > low and bool(_leans(rule, np.array([count]), total)[0]))
    outcome: Literal["pass", "fail", "more"] = "more" if not decided.size else "pass" if passes else "fail"
    return Verdict(outcome, count, total, odds_so_far, rule.bounds, posterior(count, total - count, n=total))


def odds(rule: Qualification, accuracy: float) -> Odds:
    """What the rule does to people who are right with this probability, each answer by itself; exact."""
    passed, failed, asked = _course(rule, accuracy, rule.most)[:, -1]
    return Odds(float(passed), float(failed), float(asked))


def loophole(answers: Sequence[Hashable], rule: Qualification | None = None) -> str:
    """Words of warning where always giving the commonest of the gold's answers is right more often than `bad`; else nothing.

    No test on such gold can tell the lazy from the able: the error rates speak of people at `bad`, not above it.
    """
    rule = rule or Qualification()
    if not answers:
        return ""
    commonest, count = Counter(answers).most_common(1)[0]
    share = count / len(answers)
    if share <= rule.bad:
        return ""
    return f"{commonest!r} is right for {share:.0%} of the gold: always saying it beats {rule.bad:.0%}; add gold with other answers"


def posterior(right: float, wrong: float, *, n: int = 0) -> Estimate:
    """Accuracy after so many right and wrong answers, whole or discounted: mean and 95 % of the Beta from a uniform prior."""
    a, b = 1 + right, 1 + wrong
    low, high = betaincinv(a, b, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return Estimate(a / (a + b), low, high, n, "beta posterior", CONFIDENCE)


def _llr(rule: Qualification, right: IntArray, asked: IntArray | int) -> FloatArray:
    for_good, for_bad = rule.weights
    return np.asarray(right * for_good + (asked - right) * for_bad, dtype=np.float64)


def _leans(rule: Qualification, right: IntArray, asked: IntArray | int) -> NDArray[np.bool_]:
    """Whether more than half of the posterior lies above the even share: who is still undecided at the end passes by this."""
    return np.asarray(betaincc(1.0 + right, 1.0 + np.maximum(asked - right, 0), rule.even) > 0.5, dtype=np.bool_)


def _course(rule: Qualification, accuracy: float, most: int) -> FloatArray:
    """(3, most): shares that have passed and failed if all is decided at that number of answers, and the mean number asked."""
    low, high = rule.bounds
    right = np.arange(most + 1)
    undecided = (right == 0).astype(np.float64)  # share of people, by their right answers
    course, passed, failed, asked = np.empty((3, most)), 0.0, 0.0, 0.0
    for count in range(1, most + 1):
        asked += undecided.sum()
        undecided = undecided * (1 - accuracy) + np.concatenate([[0.0], undecided[:-1]]) * accuracy
        llr, leans = _llr(rule, right, count), _leans(rule, right, count)
        passed, failed = passed + undecided[llr >= high].sum(), failed + undecided[llr <= low].sum()
        undecided[(llr >= high) | (llr <= low)] = 0.0
        course[:, count - 1] = passed + undecided[leans].sum(), failed + undecided[~leans].sum(), asked
    return course


def _errors(rule: Qualification, most: int) -> tuple[FloatArray, FloatArray]:
    """(false pass, false fail), each (most,): if all is decided at that number of answers."""
    return _course(rule, rule.bad, most)[0], _course(rule, rule.good, most)[1]


def _remedy(rule: Qualification) -> str:
    """The least `most` with which the rule would keep its word."""
    passes, fails = _errors(rule, LONGEST)
    enough = np.flatnonzero((passes <= rule.false_pass) & (fails <= rule.false_fail))
    return f"most={enough[0] + 1} keeps to the rates" if enough.size else "allow more errors, or set good and bad further apart"
