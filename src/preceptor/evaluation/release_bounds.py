"""Decide whether a model's estimates meet the project's release bounds.

The release gate compares the conservative end of each figure's interval with the project's bounds. A bound has three outcomes, not two (an
interval that straddles the threshold neither passes nor fails):

met         the whole interval lies on the right side
missed      the whole interval lies on the wrong side
undecided   the threshold lies inside the interval: the evidence doesn't suffice yet; or the figure wasn't measured, or on something
            that has changed since

Where no bound is set there is no verdict: `unbounded`.

`check_slices` and `check_regressions` are further conditions: no slice far worse than the rest, none worse than under the last release.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self

from scipy.optimize import brentq
from scipy.special import rel_entr
from scipy.stats import t

from preceptor.errors import UserError
from preceptor.evaluation.number_format import figure_name, format_confidence, format_points
from preceptor.registry import suggest_name
from preceptor.types import Estimate

_NEAREST_TO_THRESHOLD = 0.01  # of the half-width: nearer to the threshold, 10,000 times the units would be needed
_SHARE_EDGE = 1e-12  # how near to 0 or 1 the end of a share is searched for
BoundState = Literal["met", "missed", "undecided"]
GateVerdict = Literal["met", "missed", "undecided", "unbounded"]
_EXAMPLE_BOUNDS = {"accuracy": "accuracy.low >= 0.8", "token_f1": "token_f1.low >= 0.6", "hallucination": "hallucination.high <= 0.05"}

_BOUND_PATTERN = re.compile(r"\s*(?P<figure>[\w.-]+?)(?:\.(?P<end>low|high|value))?\s*(?P<sign>>=|<=)\s*(?P<threshold>[-+.\deE]+)\s*")
_BOUND_HINT = "write a bound like 'accuracy.low >= 0.72' or 'ece.high <= 0.1'"


@dataclass(frozen=True, slots=True)
class ReleaseBound:
    """A bound on a figure: `at_least` bounds its interval's low end from below, otherwise its high end from above."""

    figure: str
    at_least: bool
    threshold: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a bound from `figure.low >= number` or `figure.high <= number`; a bare figure means its conservative end.

        Raises UserError where it can't be parsed or names the other end.
        """
        form = _BOUND_PATTERN.fullmatch(text)
        if form is None or not _is_finite(form["threshold"]):
            raise UserError(f"can't read the bound {text!r}", _BOUND_HINT)
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
        """Return the end of the interval that must lie on the right side."""
        return estimate.low if self.at_least else estimate.high

    def holds(self, number: float) -> bool:
        """Return whether a number lies on the right side of the threshold (on it counts as right; NaN never does)."""
        return number >= self.threshold if self.at_least else number <= self.threshold


@dataclass(frozen=True, slots=True)
class BoundFinding:
    """One bound with its estimate and state; `more_units` is how many further independent units would decide an undecided one."""

    bound: ReleaseBound
    estimate: Estimate
    state: BoundState
    more_units: int | None
    summary: str

    @property
    def figure(self) -> str:
        return self.bound.figure

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as a dictionary for the report."""
        return {
            "figure": self.bound.figure,
            "bound": str(self.bound),
            "needs": self.bound.threshold,
            "has": self.bound.cautious_end(self.estimate),
            "estimate": self.estimate.to_dict(),
            "state": self.state,
            "more_units": self.more_units,
            "summary": self.summary,
        }


@dataclass(frozen=True, slots=True)
class ParityCheck:
    """Parity as a gate condition: it holds or doesn't, since the rows probed are the same each time."""

    passed: bool
    figure: str = "parity"

    @property
    def state(self) -> BoundState:
        return "met" if self.passed else "missed"

    @property
    def summary(self) -> str:
        if self.passed:
            return "met: the model says the same trained, saved, loaded again and served."
        return "missed: the report doesn't show that the model says the same trained, saved, loaded again and served: evaluate it anew."

    def to_dict(self) -> dict[str, Any]:
        """Return the check as a dictionary for the report."""
        return {"figure": self.figure, "bound": "proved", "state": self.state, "summary": self.summary}


@dataclass(frozen=True, slots=True)
class UnmeasuredBound:
    """A bound on a figure that the report doesn't hold: no evidence, however good the rest is."""

    bound: ReleaseBound
    suggestion: str
    state: BoundState = "undecided"
    more_units: int | None = None

    @property
    def figure(self) -> str:
        return self.bound.figure

    @property
    def summary(self) -> str:
        return (
            f"not enough evidence yet: the report has no figure called "
            f"{self.figure!r}{self.suggestion or '.'} Measure it, or mend the bound."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as a dictionary for the report."""
        return {
            "figure": self.figure,
            "bound": str(self.bound),
            "needs": self.bound.threshold,
            "state": self.state,
            "more_units": None,
            "summary": self.summary,
        }


@dataclass(frozen=True, slots=True)
class GateCondition:
    """A bound on many figures at once, such as the slices of one; `estimate` is the one that is nearest to missing it.

    slice_name: the name of that one's slice, where it doesn't cover all rows; share: its share of the rows.
    """

    figure: str
    bound: str
    state: BoundState
    summary: str
    estimate: Estimate | None = None
    more_units: int | None = None
    slice_name: str = ""
    share: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the condition as a dictionary for the report."""
        return {
            "figure": self.figure,
            "bound": self.bound,
            "state": self.state,
            "more_units": self.more_units,
            "summary": self.summary,
            **({"estimate": self.estimate.to_dict()} if self.estimate else {}),
        }


GateFinding = BoundFinding | ParityCheck | UnmeasuredBound | GateCondition


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The gate's decision: met if all bounds are, missed if any is, unbounded where there is none, otherwise undecided."""

    state: GateVerdict
    summary: str
    findings: tuple[GateFinding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report's `release` section, without who decided."""
        return {"decision": self.state, "summary": self.summary, "bounds": [finding.to_dict() for finding in self.findings]}


def decide_release(
    bounds: Sequence[ReleaseBound],
    estimates: Mapping[str, Estimate],
    proof: ParityCheck | None = None,
    conditions: Sequence[GateCondition] = (),
    outdated: Mapping[str, str] = MappingProxyType({}),
    others: Mapping[str, float] = MappingProxyType({}),
) -> GateDecision:
    """Decide a release from its bounds, the proof of parity where one is required, and further conditions.

    All must be met, each at its own confidence; that is an intersection-union test, so no correction for their number is due. A figure that
    wasn't measured is undecided, and so is one that is `outdated`: figure -> the reason, as a sentence. others: figure -> how many models
    its rows had evaluated before, see `adjust_for_reuse`.
    """
    found = tuple(_check_bound(bound, estimates, outdated.get(bound.figure, ""), others.get(bound.figure, 0.0)) for bound in bounds)
    findings: tuple[GateFinding, ...] = (*(() if proof is None else (proof,)), *found, *conditions)
    states = [finding.state for finding in findings]
    bounded = len(findings) > (proof is not None)
    state: GateVerdict = "missed" if "missed" in states else "undecided" if "undecided" in states else "met" if bounded else "unbounded"
    return GateDecision(state, _unbounded_sentence(estimates) if state == "unbounded" else _decision_summary(state, findings), findings)


def adjust_for_reuse(estimate: Estimate, others: float) -> Estimate:
    """Widen a figure's interval for `others` models evaluated on its rows before (a mean over the rows); unchanged where there are none.

    Trying many models on the same rows finds one that passes by chance. So the k-th model on them may err with 1/k² of the first one's
    probability: however many are tried, one that lies exactly at its bound passes with less than π²/6 = 1.64 times the probability of a
    single one (a union bound, alpha-spending in the order of evaluation). The first model's interval is unchanged.

    An end moves out by the signed root of the deviance: the evidence that put it where it is, z²/2 = n·KL(value‖end), is required at the
    new confidence; for figures that are no shares, by the ratio of the quantiles. The wider one counts, with Student's quantiles.
    """
    if others <= 0 or not estimate.confidence < 1:
        return estimate
    confidence = 1 - (1 - estimate.confidence) / (1 + others) ** 2
    freedom = max(estimate.n - 1, 1)
    ratio = float(t.isf((1 - confidence) / 2, freedom) / t.isf((1 - estimate.confidence) / 2, freedom))
    low, high = (_widened_end(estimate.value, end, ratio) for end in (estimate.low, estimate.high))
    return replace(estimate, low=low, high=high, confidence=confidence)


def _widened_end(value: float, end: float, ratio: float) -> float:
    straight = value + (end - value) * ratio
    if not (math.isfinite(end) and 0 <= value <= 1 and 0 <= end <= 1) or end == value:
        return straight
    wanted, outer = _bernoulli_kl(value, end) * ratio**2, 1 - _SHARE_EDGE if end > value else _SHARE_EDGE
    if _bernoulli_kl(value, end) >= wanted or _bernoulli_kl(value, outer) <= wanted:
        return straight
    bowed = brentq(lambda point: _bernoulli_kl(value, point) - wanted, end, outer)
    return min(straight, bowed) if end < value else max(straight, bowed)


def _bernoulli_kl(value: float, other: float) -> float:
    """Return the Kullback–Leibler divergence of two Bernoulli distributions, in nats."""
    return float(rel_entr(value, other) + rel_entr(1 - value, 1 - other))


def units_to_decide(estimate: Estimate, threshold: float) -> int | None:
    """Return the further units until the interval would clear the threshold, if the figure stayed where it is.

    An interval's half-width shrinks with the root of the units: n·(half-width / distance)² of them are needed. None where nothing can be
    said: a figure on its threshold or next to it, or no finite interval.
    """
    facing = estimate.low if estimate.value >= threshold else estimate.high
    distance, half_width = abs(estimate.value - threshold), abs(estimate.value - facing)
    if not (math.isfinite(half_width) and distance > _NEAREST_TO_THRESHOLD * half_width):
        return None
    return max(1, math.ceil(estimate.n * ((half_width / distance) ** 2 - 1)))


def _check_bound(
    bound: ReleaseBound, estimates: Mapping[str, Estimate], outdated: str, others: float
) -> BoundFinding | UnmeasuredBound | GateCondition:
    if outdated:
        return GateCondition(bound.figure, str(bound), "undecided", f"not enough evidence yet: {outdated}")
    if bound.figure not in estimates:
        return UnmeasuredBound(bound, suggest_name(bound.figure, estimates))
    estimate = adjust_for_reuse(estimates[bound.figure], others)
    state = _bound_state(bound, estimate)
    more = units_to_decide(estimate, bound.threshold) if state == "undecided" else None
    return BoundFinding(bound, estimate, state, more, _bound_sentence(bound, estimate, state, more))


def _bound_state(bound: ReleaseBound, estimate: Estimate) -> BoundState:
    far_end = estimate.high if bound.at_least else estimate.low
    if bound.holds(bound.cautious_end(estimate)):
        return "met"
    # a NaN end is no evidence, so it can't show a miss either
    return "undecided" if bound.holds(far_end) or math.isnan(far_end) else "missed"


def _bound_sentence(bound: ReleaseBound, estimate: Estimate, state: BoundState, more: int | None) -> str:
    aim = f"{figure_name(bound.figure)} must be {'at least' if bound.at_least else 'at most'} {bound.threshold:g}"
    certainty = format_confidence(estimate.confidence)
    measured = f"it is {estimate.value:.3f}, and between {estimate.low:.3f} and {estimate.high:.3f} with {certainty} confidence"
    if state != "undecided":
        return f"{state}: {aim}; {measured}."
    leaning = "met" if bound.holds(estimate.value) else "missed"
    if more is None:
        remedy = "The figure is too near the threshold, or rests on too little, to say how much more evidence would settle it."
    else:
        remedy = f"About {more:,} more independent units beside these {estimate.n:,} would settle it, as {leaning}, if the figure stays."
    return f"not enough evidence yet: {aim}; {measured}. {remedy}"


def _unbounded_sentence(estimates: Mapping[str, Estimate]) -> str:
    """Say what bound to set, for a figure that was measured."""
    example = next((bound for figure, bound in _EXAMPLE_BOUNDS.items() if figure in estimates), _EXAMPLE_BOUNDS["accuracy"])
    return f"No verdict: no bound says what is good enough. Set one under [gate] in preceptor.toml, such as bounds = ['{example}']."


def _decision_summary(state: GateVerdict, findings: Sequence[GateFinding]) -> str:
    bounds = sum(not isinstance(finding, ParityCheck) for finding in findings)
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


NO_REGRESSION_LIMIT = 1.0  # the largest possible difference of two shares


class _SliceGap(NamedTuple):
    """How much worse a slice is, as a figure of which lower is better."""

    name: str
    estimate: Estimate
    share: float = 1.0


def check_slices(limit: float, section: Mapping[str, Any], others: float = 0.0) -> GateCondition:
    """Check that no slice is worse than the rest by more than `limit`.

    section: `document["slices"]`, which may be empty. others: how many models the rows had evaluated before, see `adjust_for_reuse`. Met
    where each slice's interval shows it, missed where one shows the contrary. Slices too small to be tested aren't covered.
    """
    gaps = list(_slice_gaps(section, others))
    bound = f"at most {limit:g} worse than the rest"
    if not gaps:
        why = "no slice of the test rows is large enough to be tested" if section else "the report has no slices: evaluate the model anew"
        return GateCondition("slices", bound, "undecided", f"not enough evidence yet: {why}.")
    return _gap_condition("slices", bound, limit, gaps, _small_slices_sentence(section))


def check_regressions(limit: float, section: Mapping[str, Any] | None, others: float = 0.0) -> GateCondition:
    """Check that neither the whole nor a slice is worse than under the last release by more than `limit`.

    section: `document["previous"]`. others: how many models the rows had evaluated before, see `adjust_for_reuse`. Met where nothing was
    released before. Undecided where the two can't be compared row by row.
    """
    bound = f"at most {limit:g} worse than the last release"
    if not section:
        return GateCondition("regressions", bound, "met", "met: no model has been let out before, so there is nothing to fall behind.")
    figures = section.get("figures") or {}
    if not figures:
        why = section.get("why") or f"{section.get('model')} was measured on none of these rows"
        return GateCondition("regressions", bound, "undecided", f"not enough evidence yet: {why}.")
    whole = Estimate.from_dict(next(iter(figures.values()))["difference"])
    gaps = [_SliceGap("all rows", adjust_for_reuse(_negate_estimate(whole), others)), *_slice_gaps(section.get("slices") or {}, others)]
    return _gap_condition("regressions", bound, limit, gaps, _small_slices_sentence(section.get("slices") or {}))


def outdated_condition(figure: str, bound: str, why: str) -> GateCondition:
    """Build a condition whose figures are no longer valid: undecided, whatever they were."""
    return GateCondition(figure, bound, "undecided", f"not enough evidence yet: {why}")


def _gap_condition(figure: str, bound: str, limit: float, gaps: list[_SliceGap], small: str) -> GateCondition:
    by_doubt = sorted(gaps, key=lambda gap: gap.estimate.high, reverse=True)
    missed = [gap for gap in by_doubt if gap.estimate.low > limit]
    open_ = [gap for gap in by_doubt if not gap.estimate.high <= limit and gap not in missed]
    state: BoundState = "missed" if missed else "undecided" if open_ else "met"
    worst = (missed or open_ or by_doubt)[0]
    more = units_to_decide(worst.estimate, limit) if state == "undecided" else None
    named = ", ".join(_gap_phrase(gap) for gap in missed[:3])
    told = {
        "met": f"met: of {len(gaps)} compared none is worse by more than {limit:g}; {_gap_phrase(worst)} is nearest to it.",
        "missed": f"missed: worse by more than {limit:g}{_and_others(missed[2:])}: {named}.",
        "undecided": (
            f"not enough evidence yet: {_gap_phrase(worst)} may be worse by "
            f"more than {limit:g}{_and_others(open_)}.{_remedy_sentence(more)}"
        ),
    }
    about = worst.name if worst.share < 1 else ""
    return GateCondition(figure, bound, state, told[state] + small, worst.estimate, more, about, worst.share)


def _slice_gaps(section: Mapping[str, Any], others: float) -> Iterator[_SliceGap]:
    for each in section.get("found") or ():
        difference = adjust_for_reuse(Estimate.from_dict(each["difference"]), others)
        worse = _negate_estimate(difference) if section.get("better") != "lower" else difference
        share = min(1.0, each.get("rows", 0) / section["rows"]) if section.get("rows") and each.get("rows") else 1.0
        yield _SliceGap(f"{each['by']} {each['slice']}", worse, share)


def _negate_estimate(estimate: Estimate) -> Estimate:
    return Estimate(-estimate.value, -estimate.high, -estimate.low, estimate.n, estimate.method, estimate.confidence)


def _gap_phrase(gap: _SliceGap) -> str:
    found = gap.estimate
    size = f"{abs(100 * found.value):.1f} points {'worse' if found.value >= 0 else 'better'}"
    bounded = math.isfinite(found.low) and math.isfinite(found.high)
    ends = f"plausibly {format_points(found.low)} to {format_points(found.high)}" if bounded else "no interval"
    return f"{figure_name(gap.name)} ({size}, {ends})"


def _and_others(open_: list[_SliceGap]) -> str:
    return f" (and {len(open_) - 1} more)" if len(open_) > 1 else ""


def _remedy_sentence(more: int | None) -> str:
    return f" About {more:,} more independent units of it would settle it, if it stays." if more is not None else ""


def _small_slices_sentence(section: Mapping[str, Any]) -> str:
    left_out, least = section.get("left_out") or 0, section.get("least") or (30, 10)
    return f" {left_out} slices have fewer than {least[0]} rows or {least[1]} groups and aren't covered." if left_out else ""
