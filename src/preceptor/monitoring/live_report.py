"""Report on served models: quality, confidence, drift, deferrals to people and their cost.

Drift is tested sequentially: prompts, confidence and quality may be checked as often as one likes.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.annotation.access_control import DAY_SECONDS
from preceptor.errors import NotFoundError, UserError
from preceptor.evaluation.number_format import format_count
from preceptor.monitoring.answer_confidence import (
    CALIBRATION_SETTING,
    THRESHOLD_SETTING,
    load_calibration,
    load_settings,
    operating_point,
    risk_coverage_curve,
    uninformative_warning,
)
from preceptor.monitoring.deferred_answers import DeferredAnswers
from preceptor.monitoring.live_quality import (
    LiveQuality,
    ResponseVerdict,
    list_verdicts,
    matches_model,
    measure_live_quality,
    queue_sampled_responses,
)
from preceptor.monitoring.response_log import LoggedResponse, ResponseLog
from preceptor.quality.drift import detect_drift
from preceptor.release.model_aliases import ModelAliases
from preceptor.statistics import detect_change, estimate_mean, estimate_proportion
from preceptor.storage import deferrals, feedback
from preceptor.storage.connection import now
from preceptor.types import Estimate, render_content, strip_answer

if TYPE_CHECKING:
    from preceptor.project import Project


_MIN_REFERENCE_VALUES = 20  # fewest reference values to compare with
_REFERENCE_VERDICTS = 50  # verdicts that later ones are compared with
_MAX_PERIODS, _MIN_PERIOD_VALUES = 10, 10  # plotted parts of a stream at most, and values in each at least
_PLOTTED_SIGNALS = ("live quality", "confidence")
DRIFT_EVIDENCE_THRESHOLD = 20.0  # evidence from which drift is reported: 1 in 20 streams that never change reaches it
_WORD_PATTERN = re.compile(r"\w+")


@dataclass(frozen=True)
class DriftSignal:
    """A monitored signal. evidence: for a change, at its highest; None where there is too little to compare with (`summary` says so).

    value_count: how many values were observed. periods: the mean of each part of the stream, in order, for plotting; comparing them is no
    test. distance: between the lengths of served prompts and of held-out rows.
    """

    signal: str
    value_count: int
    evidence: float | None
    drifted: bool
    periods: tuple[Estimate, ...]
    summary: str
    distance: Estimate | None = None

    @property
    def is_plotted(self) -> bool:
        """Whether the signal has a plot: quality and confidence always, prompts where they have a reference."""
        return self.evidence is not None or self.signal in _PLOTTED_SIGNALS

    def to_dict(self) -> dict[str, Any]:
        """Return the signal as a JSON object."""
        told = {
            "what": self.signal,
            "values": self.value_count,
            "evidence": self.evidence,
            "called_at": DRIFT_EVIDENCE_THRESHOLD,
            "drifted": self.drifted,
        }
        distance = {"distance": self.distance.to_dict()} if self.distance else {}
        return {**told, "stretches": [each.to_dict() for each in self.periods], "summary": self.summary, **distance}


def detect_live_drift(project: Project, model: str, kept: Sequence[LoggedResponse], judged: Sequence[ResponseVerdict]) -> list[DriftSignal]:
    """Test every signal of one model for drift: its logged responses and the verdicts on those sampled, each in order of time."""
    good = [each.good_share for each in judged if each.inclusion > 0]
    sure = [each.confidence for each in kept if each.confidence is not None]
    return [
        _detect_drift(
            "live quality", good[:_REFERENCE_VERDICTS], good[_REFERENCE_VERDICTS:], "verdicts", f"the first {_REFERENCE_VERDICTS}"
        ),
        _detect_drift("confidence", _calibration_confidences(project, model), sure, "answers", "the answers that calibrated it"),
        *_detect_prompt_drift(project, model, [_prompt_text(each.document["messages"]) for each in kept]),
    ]


def _detect_prompt_drift(project: Project, model: str, texts: Sequence[str]) -> list[DriftSignal]:
    """Test words that no training row contains, and lengths, against rows of the validation split."""
    try:
        snapshot = project.load_snapshot(project.model(model).manifest["snapshot"])
    except UserError:  # a base model: it was trained on none of the project's rows
        train, held = list[str](), list[str]()
    else:
        train, held = ([render_content(strip_answer(row.content)) for row in snapshot.rows(side)] for side in ("train", "validation"))
    known = {word for text in train for word in _split_words(text)}
    unknown = [[_unknown_word_share(text, known) for text in side] for side in (held, texts)]
    lengths = [[math.log1p(len(text)) for text in side] for side in (held, texts)]
    rows = "rows beside those that it was trained on"
    found = _detect_drift("lengths of prompts", lengths[0], lengths[1], "prompts", rows, scale=12.0)
    return [_detect_drift("unknown words in prompts", unknown[0], unknown[1], "prompts", rows), _add_length_distance(found, held, texts)]


def _add_length_distance(found: DriftSignal, held: Sequence[str], texts: Sequence[str]) -> DriftSignal:
    """Add the distance between the lengths: the greatest difference of the cumulative shares."""
    if found.evidence is None or len(texts) < _MIN_REFERENCE_VALUES:
        return found
    lengths = [float(len(text)) for text in [*held, *texts]]
    names = ["held out"] * len(held) + ["served"] * len(texts)
    apart = detect_drift(names, lengths=lengths, permutations=99).batches[-1].distance
    return DriftSignal(**{**found.__dict__, "distance": apart})


def _detect_drift(
    what: str, reference: Sequence[float], stream: Sequence[float], unit: str, against: str, *, scale: float = 1.0
) -> DriftSignal:
    """Test a stream for drift from a reference. scale: the largest value, so that periods are plotted from 0 to 1."""
    parts = _period_means(np.asarray(stream, dtype=np.float64) / scale)
    if len(reference) < _MIN_REFERENCE_VALUES or not stream:
        some = f"{format_count(len(stream))} {unit}" if stream else f"no {unit} yet"
        return DriftSignal(what, len(stream), None, False, parts, f"{what}: {some}, and too little to compare with")
    found = detect_change(reference, stream)
    evidence = float(found.evidence.max())
    called = f"has changed, seen after {format_count(found.since or 0)} {unit}" if found.drifted else "no change is seen"
    words = f"{what}: {called}, of {format_count(len(stream))} {unit} held against {against}"
    return DriftSignal(what, len(stream), min(evidence, 1e12), found.drifted, parts, words)


def _period_means(values: Any) -> tuple[Estimate, ...]:
    parts = min(_MAX_PERIODS, len(values) // _MIN_PERIOD_VALUES)
    return tuple(estimate_mean(part) for part in np.array_split(values, parts)) if parts else ()


def _calibration_confidences(project: Project, model: str) -> list[float]:
    try:
        found: list[float] = load_calibration(project, model)["ranked"].confidence.tolist()
    except NotFoundError:
        return []
    return found


def _prompt_text(messages: Sequence[dict[str, str]]) -> str:
    one = len(messages) == 1 and messages[0]["role"] == "user"
    return render_content({"prompt": messages[0]["content"]} if one else {"messages": messages})


def _split_words(text: str) -> list[str]:
    return _WORD_PATTERN.findall(text.casefold())


def _unknown_word_share(text: str, known: set[str]) -> float:
    words = _split_words(text)
    return sum(word not in known for word in words) / max(len(words), 1)


_MONTH_DAYS = 30.0  # days
_DEFERRAL_SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)  # of calls that go to people


@dataclass(frozen=True)
class ServedModelReport:
    """The report on a model under the name by which programs call it, over some days.

    answer_count: how many responses are logged. monthly_calls: at the rate of these days. calibration, risk_coverage: None and empty where
    the model isn't calibrated; each point is a share of calls that go to people, with the threshold, the error rate among the others, and
    the monthly cost. threshold: the one in force, if any, with the same figures.
    """

    name: str
    model: str
    answer_count: int
    monthly_calls: Estimate
    quality: LiveQuality
    calibration: dict[str, Any] | None
    risk_coverage: list[dict[str, Any]]
    threshold: dict[str, Any] | None
    drift_signals: list[DriftSignal]

    @property
    def warning(self) -> str:
        """A warning for the manager who chooses a share by the confidence; empty where that tells right answers from wrong ones."""
        return uninformative_warning(self.calibration["apart"]) if self.calibration else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        quality = {
            name: value.to_dict() if value else None
            for name, value in (("good", self.quality.good_share), ("alone", self.quality.good_share_judged_only))
        }
        known = self.calibration and {
            **{name: self.calibration[name] for name in ("source", "temperatures", "created", "digest")},
            **{name: self.calibration[name].to_dict() for name in ("right", "ece", "apart")},
        }
        return {
            "name": self.name,
            "model": self.model,
            "answers": self.answer_count,
            "calls_a_month": self.monthly_calls.to_dict(),
            "quality": {**quality, "drawn": self.quality.sampled_count, "judged": self.quality.judged_count},
            "calibration": known,
            "warning": self.warning,
            "risk_coverage": self.risk_coverage,
            "threshold": self.threshold,
            "watched": [each.to_dict() for each in self.drift_signals],
        }


@dataclass(frozen=True)
class LiveReport:
    """The report on all served models of a project, over some days.

    deferral_counts: by status. in_time_share: the share of ended deferrals that people answered before the deadline. feedback_counts: by
    kind. answer_price: of one person's answer, in `currency`.
    """

    days: float
    served: list[ServedModelReport]
    deferral_counts: dict[str, int]
    in_time_share: Estimate | None
    feedback_counts: dict[str, int]
    answer_price: float
    currency: str

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        in_time = self.in_time_share.to_dict() if self.in_time_share else None
        return {
            "days": self.days,
            "served": [each.to_dict() for each in self.served],
            "deferrals": {**self.deferral_counts, "answered_in_time": in_time},
            "feedback": self.feedback_counts,
            "price_of_an_answer": self.answer_price,
            "currency": self.currency,
        }


def run_monitoring_tasks(project: Project) -> None:
    """Run the periodic tasks: queue the responses sampled since for annotation, and end the deferrals that nobody waits for any more."""
    queue_sampled_responses(project)
    DeferredAnswers(project).finalize_due()


def build_live_report(project: Project, name: str = "", *, days: float = _MONTH_DAYS) -> LiveReport:
    """Report on every model that was called in so many days or is calibrated, or on one model or alias.

    Raises NotFoundError where there is no model of that name.
    """
    run_monitoring_tasks(project)
    since = now() - days * DAY_SECONDS
    kept, judged = ResponseLog(project).list_since(since), [each for each in list_verdicts(project) if each.created >= since]
    standing = {row["name"]: row["model"] for row in ModelAliases(project).list_current()}
    calibrated = load_settings(project, CALIBRATION_SETTING)
    names = _reported_names(kept, judged, standing, calibrated)
    shown = list(names)
    if name:
        names = {each: each for each in {*calibrated, *names.values()}} | standing | names
        shown = [name]
    if name and name not in names:
        hint = "see: preceptor monitor"
        raise NotFoundError(f"{name!r:.100} is no alias, was not called in {days:g} days, and nothing calibrates it", hint, where="name")
    with project.database.reading() as connection:
        deferred, said = deferrals.counts(connection, since), feedback.counts(connection, since)
    ended = deferred.get("answered", 0) + deferred.get("expired", 0)
    in_time = estimate_proportion(deferred.get("answered", 0), ended) if ended else None
    prices = project.config.cost
    price = prices.judgment_price("", "write")
    served = [_served_model_report(project, each, names[each], kept, judged, since, price) for each in shown]
    return LiveReport(days, served, deferred, in_time, said, price, prices.currency)


def _reported_names(
    kept: Sequence[LoggedResponse], judged: Sequence[ResponseVerdict], standing: Mapping[str, str], calibrated: Collection[str]
) -> dict[str, str]:
    """Map each name that was called or whose model is calibrated to its model; a model that has an alias is listed only under it."""
    everything: list[LoggedResponse | ResponseVerdict] = [*kept, *judged]
    called = Counter((each.alias or each.model, each.model) for each in everything)
    found = {name: model for (name, model), _ in sorted(called.items(), key=lambda each: each[1])}  # the most frequent comes last, and wins
    found |= {name: model for name, model in standing.items() if name in found or model in calibrated}
    return {**found, **{model: model for model in calibrated if model not in found.values()}}


def _served_model_report(
    project: Project, name: str, model: str, kept: Sequence[LoggedResponse], judged: Sequence[ResponseVerdict], since: float, price: float
) -> ServedModelReport:
    answers, verdict = [each for each in kept if matches_model(each, name)], [each for each in judged if matches_model(each, name)]
    calls = _estimate_monthly_calls([each.created for each in answers])
    calibration, points, chosen = None, list[dict[str, Any]](), load_settings(project, THRESHOLD_SETTING).get(name)
    try:
        calibration = load_calibration(project, model)
    except NotFoundError:
        if chosen is not None:  # no answer of an uncalibrated model is known to be above it
            chosen = {**chosen, "share": 1.0, "risk": None, "cost_a_month": _monthly_cost(calls, price)}
    else:
        points = [
            {**point, "cost_a_month": _monthly_cost(calls, point["share"] * price)}
            for point in risk_coverage_curve(calibration["ranked"], _DEFERRAL_SHARES)
        ]
        if chosen is not None:
            there = operating_point(calibration["ranked"], chosen["threshold"])
            chosen = {**chosen, **there, "cost_a_month": _monthly_cost(calls, there["share"] * price)}
    mine = [each for each in answers if each.model == model]
    watched = detect_live_drift(project, model, mine, [each for each in verdict if each.model == model])
    return ServedModelReport(
        name, model, len(answers), calls, measure_live_quality(project, name, since=since), calibration, points, chosen, watched
    )


def _estimate_monthly_calls(times: Sequence[float]) -> Estimate:
    """Estimate the calls in 30 days from the rate since the first, as a Poisson count (square-root interval)."""
    spent = max((now() - min(times)) / DAY_SECONDS, 1.0) if times else _MONTH_DAYS
    root, scale = math.sqrt(len(times)), _MONTH_DAYS / spent
    low, high = max(root - 0.98, 0.0) ** 2 * scale, (root + 0.98) ** 2 * scale
    return Estimate(len(times) * scale, low, high, len(times), "poisson, square root")


def _monthly_cost(calls: Estimate, each: float) -> dict[str, Any]:
    return Estimate(calls.value * each, calls.low * each, calls.high * each, calls.n, calls.method, calls.confidence).to_dict()
