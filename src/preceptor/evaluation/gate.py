"""The release gate: compares the cautious end of each figure's interval with the project's bounds.

A bound has three outcomes, not two (an interval that straddles the threshold is no pass and no failure):

met         the whole interval lies on the right side
missed      the whole interval lies on the wrong side
undecided   the threshold lies inside the interval: the evidence doesn't suffice yet; or the figure wasn't measured, or on something
            that has changed since

Where no bound is set there is no verdict: `unbounded`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, Self

from scipy.optimize import brentq
from scipy.special import rel_entr
from scipy.stats import t

from preceptor.domain import Estimate
from preceptor.errors import UserError
from preceptor.evaluation.wording import confidence_name, figure_name
from preceptor.registry import did_you_mean

NEAREST = 0.01  # of the half-width: nearer to the threshold, 10,000 times the units would be needed
EDGE = 1e-12  # nearer to 0 or 1 no end of a share is sought
State = Literal["met", "missed", "undecided"]
Verdict = Literal["met", "missed", "undecided", "unbounded"]
EXAMPLES = {"accuracy": "accuracy.low >= 0.8", "token_f1": "token_f1.low >= 0.6", "hallucination": "hallucination.high <= 0.05"}

_FORM = re.compile(r"\s*(?P<figure>[\w.-]+?)(?:\.(?P<end>low|high|value))?\s*(?P<sign>>=|<=)\s*(?P<threshold>[-+.\deE]+)\s*")
_HINT = "write a bound like 'accuracy.low >= 0.72' or 'ece.high <= 0.1'"


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure must reach: `at_least` bounds its interval's low end from below, otherwise its high end from above."""

    figure: str
    at_least: bool
    threshold: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """A bound from `figure.low >= number` or `figure.high <= number`; a bare figure means its cautious end."""
        form = _FORM.fullmatch(text)
        if form is None or not _is_finite(form["threshold"]):
            raise UserError(f"can't read the bound {text!r}", _HINT)
        at_least = form["sign"] == ">="
        cautious = "low" if at_least else "high"
        if form["end"] not in (None, cautious):
            raise UserError(
                f"the bound {text!r} compares the {form['end']} end, which chance alone can move past the threshold",
                f"{form['figure']}.{cautious} {form['sign']} {form['threshold']}",
            )
        return cls(form["figure"], at_least, float(form["threshold"]))

    def __str__(self) -> str:
        return f"{self.figure}.low >= {self.threshold:g}" if self.at_least else f"{self.figure}.high <= {self.threshold:g}"

    def cautious_end(self, estimate: Estimate) -> float:
        """The end of the interval that must lie on the right side."""
        return estimate.low if self.at_least else estimate.high

    def holds(self, number: float) -> bool:
        """Whether a number lies on the right side of the threshold (on it counts as right; NaN never does)."""
        return number >= self.threshold if self.at_least else number <= self.threshold


@dataclass(frozen=True, slots=True)
class Finding:
    """One bound beside its estimate; `more_units` is how many further independent units would settle an undecided one."""

    bound: Bound
    estimate: Estimate
    state: State
    more_units: int | None
    words: str

    @property
    def figure(self) -> str:
        return self.bound.figure

    def to_dict(self) -> dict[str, Any]:
        return {
            "figure": self.bound.figure,
            "bound": str(self.bound),
            "needs": self.bound.threshold,
            "has": self.bound.cautious_end(self.estimate),
            "estimate": self.estimate.to_dict(),
            "state": self.state,
            "more_units": self.more_units,
            "words": self.words,
        }


@dataclass(frozen=True, slots=True)
class Proof:
    """Parity as the gate sees it: a condition that holds or doesn't, since the rows probed are the same ones each time."""

    passed: bool
    figure: str = "parity"

    @property
    def state(self) -> State:
        return "met" if self.passed else "missed"

    @property
    def words(self) -> str:
        if self.passed:
            return "met: the model says the same trained, saved, loaded again and served."
        return "missed: the report doesn't show that the model says the same trained, saved, loaded again and served: evaluate it anew."

    def to_dict(self) -> dict[str, Any]:
        return {"figure": self.figure, "bound": "proved", "state": self.state, "words": self.words}


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A bound on a figure that the report doesn't hold: no evidence, however good the rest is."""

    bound: Bound
    close: str
    state: State = "undecided"
    more_units: int | None = None

    @property
    def figure(self) -> str:
        return self.bound.figure

    @property
    def words(self) -> str:
        return f"not enough evidence yet: the report has no figure called {self.figure!r}{self.close or '.'} Measure it, or mend the bound."

    def to_dict(self) -> dict[str, Any]:
        return {
            "figure": self.figure,
            "bound": str(self.bound),
            "needs": self.bound.threshold,
            "state": self.state,
            "more_units": None,
            "words": self.words,
        }


@dataclass(frozen=True, slots=True)
class Condition:
    """A bound on many figures at once, such as the slices of one; `estimate` is the one that is nearest to missing it.

    about: that one's name, where it isn't of all rows; share: which part of the rows it has.
    """

    figure: str
    bound: str
    state: State
    words: str
    estimate: Estimate | None = None
    more_units: int | None = None
    about: str = ""
    share: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "figure": self.figure,
            "bound": self.bound,
            "state": self.state,
            "more_units": self.more_units,
            "words": self.words,
            **({"estimate": self.estimate.to_dict()} if self.estimate else {}),
        }


Found = Finding | Proof | Unmeasured | Condition


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says: met if all bounds are, missed if any is, unbounded where there is none, otherwise undecided."""

    state: Verdict
    words: str
    findings: tuple[Found, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report's `release` section, without who decided."""
        return {"decision": self.state, "words": self.words, "bounds": [finding.to_dict() for finding in self.findings]}


def decide(
    bounds: Sequence[Bound],
    estimates: Mapping[str, Estimate],
    proof: Proof | None = None,
    conditions: Sequence[Condition] = (),
    outdated: Mapping[str, str] = MappingProxyType({}),
    others: Mapping[str, float] = MappingProxyType({}),
) -> Decision:
    """Each bound against its estimate, the proof where one is asked for, further conditions, and the gate's answer to all together.

    All must be met, each at its own confidence; that is an intersection-union test, so no correction for their number is due.
    A figure that wasn't measured is as open as one that isn't sure; so is one that is `outdated`: by its name why, as a sentence.
    others: by figure how many models its rows had judged before, see `among_others`.
    """
    found = tuple(_find(bound, estimates, outdated.get(bound.figure, ""), others.get(bound.figure, 0.0)) for bound in bounds)
    findings: tuple[Found, ...] = (*(() if proof is None else (proof,)), *found, *conditions)
    states = [finding.state for finding in findings]
    bounded = len(findings) > (proof is not None)
    state: Verdict = "missed" if "missed" in states else "undecided" if "undecided" in states else "met" if bounded else "unbounded"
    return Decision(state, _no_verdict(estimates) if state == "unbounded" else _summary(state, findings), findings)


def among_others(estimate: Estimate, others: float) -> Estimate:
    """A figure as the gate takes it where its rows had judged `others` models before (a mean over the rows); as it is where none.

    Who tries many models on the same rows finds one that passes by chance. So the k-th model on them may err with 1/k² of the first
    one's chance: however many are tried, one that stands exactly at its bound passes with less than π²/6 = 1.64 times the chance that
    a single one has (a union bound, alpha-spending in the order of evaluation). The first model's interval is left alone.

    An end moves out by the signed root of the deviance: the evidence that put it where it is, z²/2 = n·KL(value‖end), is asked for at
    the new confidence; for figures that are no shares, by the ratio of the quantiles. The wider one counts, with Student's quantiles.
    """
    if others <= 0 or not estimate.confidence < 1:
        return estimate
    confidence = 1 - (1 - estimate.confidence) / (1 + others) ** 2
    freedom = max(estimate.n - 1, 1)
    ratio = float(t.isf((1 - confidence) / 2, freedom) / t.isf((1 - estimate.confidence) / 2, freedom))
    low, high = (_moved(estimate.value, end, ratio) for end in (estimate.low, estimate.high))
    return replace(estimate, low=low, high=high, confidence=confidence)


def _moved(value: float, end: float, ratio: float) -> float:
    straight = value + (end - value) * ratio
    if not (math.isfinite(end) and 0 <= value <= 1 and 0 <= end <= 1) or end == value:
        return straight
    wanted, outer = _divergence(value, end) * ratio**2, 1 - EDGE if end > value else EDGE
    if _divergence(value, end) >= wanted or _divergence(value, outer) <= wanted:
        return straight
    bowed = brentq(lambda point: _divergence(value, point) - wanted, end, outer)
    return min(straight, bowed) if end < value else max(straight, bowed)


def _divergence(value: float, other: float) -> float:
    """Kullback–Leibler divergence of two chances of yes, in nats."""
    return float(rel_entr(value, other) + rel_entr(1 - value, 1 - other))


def units_to_settle(estimate: Estimate, threshold: float) -> int | None:
    """Further units until the interval would clear the threshold, if the figure stayed where it is.

    An interval's half-width shrinks with the root of the units: n·(half-width / distance)² of them are needed.
    None where nothing can be said: a figure on its threshold or next to it, or no finite interval.
    """
    facing = estimate.low if estimate.value >= threshold else estimate.high
    distance, half_width = abs(estimate.value - threshold), abs(estimate.value - facing)
    if not (math.isfinite(half_width) and distance > NEAREST * half_width):
        return None
    return max(1, math.ceil(estimate.n * ((half_width / distance) ** 2 - 1)))


def _find(bound: Bound, estimates: Mapping[str, Estimate], outdated: str, others: float) -> Finding | Unmeasured | Condition:
    if outdated:
        return Condition(bound.figure, str(bound), "undecided", f"not enough evidence yet: {outdated}")
    if bound.figure not in estimates:
        return Unmeasured(bound, did_you_mean(bound.figure, estimates))
    estimate = among_others(estimates[bound.figure], others)
    state = _state(bound, estimate)
    more = units_to_settle(estimate, bound.threshold) if state == "undecided" else None
    return Finding(bound, estimate, state, more, _words(bound, estimate, state, more))


def _state(bound: Bound, estimate: Estimate) -> State:
    far_end = estimate.high if bound.at_least else estimate.low
    if bound.holds(bound.cautious_end(estimate)):
        return "met"
    # a NaN end says nothing, so it can't show a miss either
    return "undecided" if bound.holds(far_end) or math.isnan(far_end) else "missed"


def _words(bound: Bound, estimate: Estimate, state: State, more: int | None) -> str:
    aim = f"{figure_name(bound.figure)} must be {'at least' if bound.at_least else 'at most'} {bound.threshold:g}"
    certainty = confidence_name(estimate.confidence)
    measured = f"it is {estimate.value:.3f}, and between {estimate.low:.3f} and {estimate.high:.3f} with {certainty} confidence"
    if state != "undecided":
        return f"{state}: {aim}; {measured}."
    leaning = "met" if bound.holds(estimate.value) else "missed"
    if more is None:
        remedy = "The figure is too near the threshold, or rests on too little, to say how much more evidence would settle it."
    else:
        remedy = f"About {more:,} more independent units beside these {estimate.n:,} would settle it, as {leaning}, if the figure stays."
    return f"not enough evidence yet: {aim}; {measured}. {remedy}"


def _no_verdict(estimates: Mapping[str, Estimate]) -> str:
    """What to set, by a figure that was measured."""
    example = next((bound for figure, bound in EXAMPLES.items() if figure in estimates), EXAMPLES["accuracy"])
    return f"No verdict: no bound says what is good enough. Set one under [gate] in preceptor.toml, such as bounds = ['{example}']."


def _summary(state: Verdict, findings: Sequence[Found]) -> str:
    bounds = sum(not isinstance(finding, Proof) for finding in findings)
    if state == "met":
        return "The bound is met." if bounds == 1 else f"All {bounds} bounds are met."
    named = " and ".join(figure_name(finding.figure) for finding in findings if finding.state == state)
    if state == "missed":
        return f"Missed: what was measured rules out the bound on {named}."
    return f"Not enough evidence yet to decide the bound on {named}."


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
