"""Test annotators on gold: a sequential probability ratio test to qualify them, and a betting test for a later decline.

Wald's sequential probability ratio test (1945): each answer is evidence for "right as often as `good`" or for "as often as `bad`",
and the test stops as soon as one side has the odds that the error rates demand. After `most` answers the Beta posterior
decides. That cut changes the error rates, so they are computed exactly, and a rule that can't keep its own is refused.

The alarm is a bet against "right at least as often as `least`", spread over the time at which the decline began: a part of the capital
is staked after each gold answer, and the stakes since a true decline grow, however long the annotator was good before. While they are
as good as `least`, no such bet grows 1/α-fold with probability above α, over the whole stream and at any look (Ville 1939;
betting as in Waudby-Smith & Ramdas 2024, starts as in Shin, Ramdas & Rinaldo 2023, with stakes that sum to one).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.special import betaincc, betaincinv

from preceptor.errors import UserError
from preceptor.registry import OptionsBase
from preceptor.types import Estimate, FloatArray, IntArray

MAX_TEST_LENGTH = 500  # upper end of the search for a sufficient `max_items`, which is suggested where a rule is refused
CONFIDENCE = 0.95


class QualificationRule(OptionsBase):
    """The rule for qualifying annotators on gold; both accuracies are shares of right answers on the gold itself, chance included."""

    pass_accuracy: float = Field(0.85, gt=0, lt=1, description="share of right answers of an annotator who should pass")
    fail_accuracy: float = Field(0.60, gt=0, lt=1, description="share of right answers of an annotator who should fail")
    false_pass_rate: float = Field(0.05, gt=0, lt=0.5, description="share of annotators at fail_accuracy who may pass")
    false_fail_rate: float = Field(0.05, gt=0, lt=0.5, description="share of annotators at pass_accuracy who may fail")
    max_items: int = Field(45, ge=1, le=MAX_TEST_LENGTH, description="gold answers after which it is decided")

    @model_validator(mode="after")
    def _check_error_rates(self) -> Self:
        if not self.fail_accuracy < self.pass_accuracy:
            raise ValueError(f"fail_accuracy must be below pass_accuracy, not {self.fail_accuracy:g} and {self.pass_accuracy:g}")
        passes, fails = (float(errors[-1]) for errors in _error_rates(self, self.max_items))
        if passes > self.false_pass_rate or fails > self.false_fail_rate:
            raise ValueError(
                f"with {self.max_items} answers {passes:.3f} of those at fail_accuracy pass and "
                f"{fails:.3f} of those at pass_accuracy fail; {_suggest_length(self)}"
            )
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Log odds for good against bad at which an annotator fails, and at which one passes."""
        return float(np.log(self.false_fail_rate / (1 - self.false_pass_rate))), float(
            np.log((1 - self.false_fail_rate) / self.false_pass_rate)
        )

    @property
    def break_even_accuracy(self) -> float:
        """The share of right answers that is evidence for neither side."""
        right, wrong = self.weights
        return wrong / (wrong - right)

    @property
    def weights(self) -> tuple[float, float]:
        """Log odds that one right answer adds, and that one wrong answer adds."""
        return float(np.log(self.pass_accuracy / self.fail_accuracy)), float(np.log((1 - self.pass_accuracy) / (1 - self.fail_accuracy)))


@dataclass(frozen=True)
class QualificationResult:
    """The result of a test so far: `right` of `asked` gold answers, their log odds `llr` for good against bad, and its two `bounds`.

    accuracy: Beta posterior with its interval, from a uniform prior.
    """

    outcome: Literal["pass", "fail", "more"]
    right: int
    asked: int
    llr: float
    bounds: tuple[float, float]
    accuracy: Estimate

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        says = {"pass": "passed", "fail": "failed", "more": "not decided yet"}[self.outcome]
        return f"{says}: {self.right} of {self.asked} right, accuracy {self.accuracy.low:.0%} to {self.accuracy.high:.0%}"


@dataclass(frozen=True)
class OperatingCharacteristic:
    """The effect of a rule on annotators of one accuracy: shares that pass and fail, and the mean number of answers asked."""

    pass_rate: float
    fail_rate: float
    mean_sample_size: float


def qualify_annotator(right: Sequence[bool], rule: QualificationRule | None = None) -> QualificationResult:
    """Return the verdict on an annotator's gold answers in order of arrival; the first verdict is final, whatever comes after it."""
    rule = rule or QualificationRule()
    answers = np.asarray(right, dtype=bool)[: rule.max_items]
    so_far, asked = np.cumsum(answers), np.arange(1, len(answers) + 1)
    llr, (low, high) = _log_likelihood_ratio(rule, so_far, asked), rule.bounds
    decided = np.flatnonzero((llr <= low) | (llr >= high) | (asked == rule.max_items))
    total = int(decided[0]) + 1 if decided.size else len(answers)
    count = int(answers[:total].sum())
    odds_so_far = float(llr[total - 1]) if total else 0.0
    passes = odds_so_far >= high or (odds_so_far > low and bool(_favors_pass(rule, np.array([count]), total)[0]))
    outcome: Literal["pass", "fail", "more"] = "more" if not decided.size else "pass" if passes else "fail"
    return QualificationResult(outcome, count, total, odds_so_far, rule.bounds, accuracy_posterior(count, total - count, n=total))


def operating_characteristic(rule: QualificationRule, accuracy: float) -> OperatingCharacteristic:
    """Compute exactly how often the rule passes and fails annotators of this accuracy, with independent answers."""
    passed, failed, asked = _outcome_course(rule, accuracy, rule.max_items)[:, -1]
    return OperatingCharacteristic(float(passed), float(failed), float(asked))


def trivial_gold_warning(answers: Sequence[Hashable], rule: QualificationRule | None = None) -> str:
    """Return a warning where always giving the gold's most frequent answer is right more often than `fail_accuracy`; else an empty string.

    No test on such gold can tell a constant answerer from a good annotator: the error rates are for annotators
    at `fail_accuracy`, not above it.
    """
    rule = rule or QualificationRule()
    if not answers:
        return ""
    commonest, count = Counter(answers).most_common(1)[0]
    share = count / len(answers)
    if share <= rule.fail_accuracy:
        return ""
    return (
        f"{commonest!r} is right for {share:.0%} of the gold: always saying it beats {rule.fail_accuracy:.0%}; add gold with other answers"
    )


def accuracy_posterior(right: float, wrong: float, *, n: int = 0) -> Estimate:
    """Estimate accuracy from right and wrong answers, whole or discounted: mean and 95 % interval of the Beta from a uniform prior."""
    a, b = 1 + right, 1 + wrong
    low, high = betaincinv(a, b, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return Estimate(a / (a + b), low, high, n, "beta posterior", CONFIDENCE)


def _log_likelihood_ratio(rule: QualificationRule, right: IntArray, asked: IntArray | int) -> FloatArray:
    for_good, for_bad = rule.weights
    return np.asarray(right * for_good + (asked - right) * for_bad, dtype=np.float64)


def _favors_pass(rule: QualificationRule, right: IntArray, asked: IntArray | int) -> NDArray[np.bool_]:
    """Return whether more than half of the posterior lies above the break-even accuracy, by which an undecided test ends in a pass."""
    return np.asarray(betaincc(1.0 + right, 1.0 + np.maximum(asked - right, 0), rule.break_even_accuracy) > 0.5, dtype=np.bool_)


def _outcome_course(rule: QualificationRule, accuracy: float, most: int) -> FloatArray:
    """Return (3, most): shares that have passed and failed if all is decided at that number of answers, and the mean number asked."""
    low, high = rule.bounds
    right = np.arange(most + 1)
    undecided = (right == 0).astype(np.float64)  # share of annotators, by their right answers
    course, passed, failed, asked = np.empty((3, most)), 0.0, 0.0, 0.0
    for count in range(1, most + 1):
        asked += undecided.sum()
        undecided = undecided * (1 - accuracy) + np.concatenate([[0.0], undecided[:-1]]) * accuracy
        llr, leans = _log_likelihood_ratio(rule, right, count), _favors_pass(rule, right, count)
        passed, failed = passed + undecided[llr >= high].sum(), failed + undecided[llr <= low].sum()
        undecided[(llr >= high) | (llr <= low)] = 0.0
        course[:, count - 1] = passed + undecided[leans].sum(), failed + undecided[~leans].sum(), asked
    return course


def _error_rates(rule: QualificationRule, most: int) -> tuple[FloatArray, FloatArray]:
    """Return (false pass, false fail), each (most,), if all is decided at that number of answers."""
    return _outcome_course(rule, rule.fail_accuracy, most)[0], _outcome_course(rule, rule.pass_accuracy, most)[1]


def _suggest_length(rule: QualificationRule) -> str:
    """Suggest the least `max_items` with which the rule would keep its error rates."""
    passes, fails = _error_rates(rule, MAX_TEST_LENGTH)
    enough = np.flatnonzero((passes <= rule.false_pass_rate) & (fails <= rule.false_fail_rate))
    return f"max_items={enough[0] + 1} keeps to the rates" if enough.size else "allow more errors, or set the accuracies further apart"


FORGETTING = 0.995  # weight of a gold answer against the next one: about the last 200 count
ALTERNATIVES = 8  # accuracies below `least` on which the capital is bet


@dataclass(frozen=True)
class AccuracyAlarm:
    """The state of an annotator's accuracy on gold.

    accuracy: recent, with its interval. least: the accuracy that is required. alarm: number of gold answers after which it was shown that
    they are right less often than `least`, None where it isn't. evidence: the highest capital of the bet so far, from 1; the alarm is at
    1/`false_alarm`.
    """

    accuracy: Estimate
    least: float
    alarm: int | None
    evidence: float
    false_alarm: float

    @property
    def summary(self) -> str:
        """The recent accuracy and the alarm, in one line."""
        of_late = f"accuracy of late {self.accuracy.value:.0%} ({self.accuracy.low:.0%} to {self.accuracy.high:.0%})"
        if self.alarm is None:
            return of_late
        chance = f"an alarm that {self.false_alarm:.0%} of the people at {self.least:.0%} would ever raise"
        return f"{of_late}; below {self.least:.0%}, as gold answer {self.alarm} showed: {chance}"


def monitor_accuracy(right: Sequence[bool], least: float, *, false_alarm: float = 0.05) -> AccuracyAlarm:
    """Test whether an annotator's gold answers, in order of arrival, still show an accuracy of at least `least`.

    false_alarm: the probability that an annotator who is always that good is ever reported as worse, over all their answers. After an
    alarm and its remedy, go on with the answers given since. Raises UserError for `least` or `false_alarm` outside (0, 1).
    """
    if not 0 < least < 1:
        raise UserError(f"the least accuracy lies between 0 and 1, not at {least!r}", "least=0.7", where="least")
    if not 0 < false_alarm < 1:
        raise UserError(f"a chance of false alarm lies between 0 and 1, not at {false_alarm!r}", "false_alarm=0.05", where="false_alarm")
    answers = np.asarray(right, dtype=np.float64)
    capital = betting_capital(answers[None], least)[0]
    over = np.flatnonzero(capital >= 1 / false_alarm)
    highest = float(capital.max()) if len(capital) else 1.0
    return AccuracyAlarm(_recent_accuracy(answers), least, int(over[0]) + 1 if over.size else None, highest, false_alarm)


def betting_capital(right: FloatArray, least: float) -> FloatArray:
    """Return the capital after each answer, (people, answers) like `right`, from 1; it never grows in expectation at accuracy `least`.

    After t answers 1/√(t + 1) of the initial capital isn't staked yet. Each stake is spread evenly over accuracies below `least`;
    the odds are those of the answer under that accuracy against those under `least`.
    """
    believed = least * (np.arange(ALTERNATIVES) + 0.5) / ALTERNATIVES
    if_right, if_wrong = believed / least, (1 - believed) / (1 - least)
    kept = 1 / np.sqrt(np.arange(1, right.shape[1] + 2))
    stakes = np.zeros((len(right), ALTERNATIVES))
    capital = np.empty(right.shape)
    for turn in range(right.shape[1]):
        stakes += (kept[turn] - kept[turn + 1]) / ALTERNATIVES
        stakes *= np.where(right[:, turn, None] > 0, if_right, if_wrong)
        capital[:, turn] = kept[turn + 1] + stakes.sum(axis=1)
    return capital


def _recent_accuracy(answers: FloatArray) -> Estimate:
    weights = FORGETTING ** np.arange(len(answers))[::-1]
    of_late = accuracy_posterior(float(weights @ answers), float(weights @ (1 - answers)), n=len(answers))
    return replace(of_late, method=f"beta posterior, forgetting {FORGETTING}")
