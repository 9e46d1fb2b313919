"""Measure selective prediction: errors by coverage, calibration and abstention.

What would a model get wrong if it answered only where it is confident (El-Yaniv & Wiener 2010)? Coverage is the share of prompts answered,
the most confident first; selective risk is the share of errors among those. Answers of equal confidence go together: where a coverage cuts
through them, their errors count evenly.

`selective_prediction_section` builds the report section of a suite of this kind: errors by confidence, the calibration of the confidence,
and whether the model says that it doesn't know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from preceptor.errors import UserError
from preceptor.evaluation.number_format import format_estimate, format_whole_percent
from preceptor.evaluation.prompts import ModelAnswers
from preceptor.evaluation.slices import slice_section
from preceptor.evaluation.suites.abstention import is_abstention
from preceptor.quality.text_normalization import normalize_characters
from preceptor.statistics import brier_scores, calibration_estimates, estimate_mean
from preceptor.statistics.intervals import cluster_totals, ratio_mean, t_quantile
from preceptor.types import Estimate, FloatArray, IntArray

_CUT_NEIGHBORHOOD = 0.05  # the share of the answers on each side of a cut from which the error rate at the cut is estimated
_MIN_NEIGHBORS = 10
_RISK_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """The risk among the `coverage` most confident answers; threshold: the least confidence among them."""

    coverage: float
    threshold: float
    risk: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return the point as a dictionary for a report."""
        return {"coverage": self.coverage, "threshold": self.threshold, "risk": self.risk}


class RankedAnswers:
    """Answers by falling confidence, ties together.

    right: (n,) of 0 to 1. confidence: (n,), any scale. clusters: each answer's group, whose answers depend on each other.
    """

    def __init__(self, right: ArrayLike, confidence: ArrayLike, clusters: Sequence[str] | None = None) -> None:
        wrong, sure = 1 - _validated_column(right, "right", 0, 1), _validated_column(confidence, "confidence", -np.inf, np.inf)
        if len(wrong) != len(sure) or (clusters is not None and len(clusters) != len(wrong)):
            raise UserError(f"{len(wrong)} answers with {len(sure)} confidences", "pass one confidence and one group an answer")
        order: IntArray = np.argsort(-sure, kind="stable")
        self.clusters = np.arange(len(wrong)) if clusters is None else np.asarray(clusters)[order]
        self.wrong: FloatArray = wrong[order]
        self.confidence: FloatArray = sure[order]
        starts = np.r_[True, np.diff(self.confidence) != 0]
        self._tied: IntArray = np.cumsum(starts) - 1
        self._even = self._averaged(self.wrong)

    def __len__(self) -> int:
        return len(self.wrong)

    def risk(self, coverage: float) -> float:
        """Return the share of errors among the most confident answers.

        coverage: in (0, 1]; where it cuts through an answer, that part of the answer counts.
        """
        count = coverage * len(self)
        whole = min(int(count + 1e-9), len(self))
        errors = float(self._even[:whole].sum())
        if whole < len(self):
            errors += (count - whole) * float(self._even[whole])
        return errors / count

    def area(self) -> float:
        """Return the area under the risk–coverage curve (AURC; Geifman, Uziel & El-Yaniv 2019): the mean risk over all coverages."""
        return min(1.0, float((self.wrong * self._shares_of_area()).mean()))

    def point(self, coverage: float) -> RiskPoint:
        """Estimate the risk at a coverage, with an interval that includes the uncertainty of the cut.

        The interval is that of a share of clustered rows, widened: where answers at the cut are wrong more often than those above it,
        another sample's cut admits more or fewer of them.
        """
        rows = max(1, round(coverage * len(self)))
        kept = estimate_mean(self.wrong[:rows], clusters=self.clusters[:rows])
        value = self.risk(coverage)
        wider = self._uncertain_cut(rows, value)
        low, high = (value + wider * (end - kept.value) for end in (kept.low, kept.high))
        method = kept.method if rows == len(self) else f"{kept.method}, with an uncertain cut"
        risk = replace(kept, value=value, low=max(0.0, float(low)), high=min(1.0, float(high)), method=method)
        return RiskPoint(coverage, float(self.confidence[rows - 1]), risk)

    def area_estimate(self) -> Estimate:
        """Estimate `area` with its interval, from how much each group of answers moves it (its influence function).

        On the logit scale, since an area near 0 varies mostly upward, with as many degrees of freedom as groups that have an error (or a
        right answer, if fewer). With at most one such group: what the least and the most errors in the worst places would give.
        """
        value, groups = self.area(), len(np.unique(self.clusters))
        rarer = min(len(np.unique(self.clusters[self.wrong > 0])), len(np.unique(self.clusters[self.wrong < 1])))
        if rarer < 2:
            error = estimate_mean(self.wrong, clusters=self.clusters)
            return Estimate(value, _min_area(error.low), _max_area(error.high), groups, f"worst order, {error.method}")
        names = np.unique(self.clusters, return_inverse=True)[1]
        variance = ratio_mean(*cluster_totals(self._moves(), names)).variance
        room = value * (1 - value)
        half = t_quantile(rarer - 1, _RISK_CONFIDENCE) * np.sqrt(variance) / room
        low, high = expit(logit(value) + np.array([-half, half]))
        return Estimate(value, float(low), float(high), groups, "influence, logit t over groups")

    def concordance(self) -> Estimate:
        """Estimate the AUROC of confidence: how often the right one of a right and a wrong answer is more confident, ties half.

        0.5 where confidence says nothing about correctness, and the risk–coverage curve is flat. The interval comes from how much each
        group moves it (DeLong et al. 1988; of groups: Obuchowski 1997), on the logit scale, with as many degrees of freedom as groups that
        hold the rarer of right and wrong. Raises UserError where all answers are right, or all wrong.
        """
        right, wrong = 1 - self.wrong, self.wrong
        if not right.sum() or not wrong.sum():
            raise UserError("all answers are right, or all wrong", "judge more of them: nothing tells the ones from the others")
        rights, wrongs = (np.bincount(self._tied, weights=each) for each in (right, wrong))
        surer = ((wrong.sum() - wrongs.cumsum() + wrongs / 2) / wrong.sum())[self._tied]  # than this share of the wrong ones
        below = ((rights.cumsum() - rights / 2) / right.sum())[self._tied]  # this share of the right ones
        value = float((right * surer).sum() / right.sum())
        names = np.unique(self.clusters, return_inverse=True)[1]
        moves, sizes = cluster_totals(right * (surer - value) / right.sum() + wrong * (below - value) / wrong.sum(), names)
        rarer = min(len(np.unique(names[each > 0])) for each in (right, wrong))
        if rarer < 2 or not 0 < value < 1:  # no spread to estimate: the bound for as many independent pairs that all went one way
            end = 0.5 * (1 - _RISK_CONFIDENCE)
            low, high = (0.0 if value < 1 else end ** (1 / rarer)), (1.0 if value > 0 else 1 - end ** (1 / rarer))
            return Estimate(value, low, high, len(sizes), "as of independent pairs")
        spread = np.sqrt((moves**2).sum() * len(sizes) / (len(sizes) - 1)) / (value * (1 - value))
        half = t_quantile(rarer - 1, _RISK_CONFIDENCE) * spread
        low, high = expit(logit(value) + np.array([-half, half]))
        return Estimate(value, float(low), float(high), len(sizes), "influence, logit t over groups")

    def _moves(self) -> FloatArray:
        """Return the influence of each answer on the area, (n,): by its own error, and by pushing others down."""
        held = self._averaged(np.arange(1, len(self) + 1) / len(self))
        below = np.cumsum((self.wrong / held)[::-1])[::-1] / len(self)
        return self.wrong * self._shares_of_area() - self._averaged(below)

    def _uncertain_cut(self, rows: int, value: float) -> float:
        """Return how much wider an interval is because another sample's cut would lie elsewhere, at least 1.

        Of independent answers the variance grows by (1 − coverage)·(risk at the cut − risk)²; of groups, by what their sums of influences
        show. The greater counts.
        """
        coverage = rows / len(self)
        careful = (value * rows + 2) / (rows + 4)  # no share is surely 0
        near = max(_MIN_NEIGHBORS, round(_CUT_NEIGHBORHOOD * len(self)))
        at_cut = float(self._even[max(0, rows - near) : rows + near].mean())
        alone = 1 + (1 - coverage) * (at_cut - careful) ** 2 / (careful * (1 - careful))
        kept = np.arange(len(self)) < rows
        names = np.unique(self.clusters, return_inverse=True)[1]
        moves = [ratio_mean(*cluster_totals(kept * (self.wrong - level), names)).variance for level in (at_cut, value)]
        together = moves[0] / moves[1] if 0 < moves[1] < np.inf and np.isfinite(moves[0]) else 1.0
        return float(np.sqrt(max(alone, together)))

    def _shares_of_area(self) -> FloatArray:
        """Return what an error at each rank adds to the area, (n,): the k-th answer counts among the first k, k + 1, … n."""
        return self._averaged(np.cumsum(1 / np.arange(len(self), 0, -1))[::-1])

    def _averaged(self, values: FloatArray) -> FloatArray:
        """Return the values with those of equal confidence averaged, (n,)."""
        sizes = np.bincount(self._tied)
        return np.asarray((np.bincount(self._tied, weights=values) / sizes)[self._tied])


def _max_area(error: float) -> float:
    """Return the area if all errors were among the most confident answers."""
    return float(error * (1 - np.log(error))) if error > 0 else 0.0


def _min_area(error: float) -> float:
    """Return the area if all errors were among the least confident answers."""
    right = 1 - error
    return float(error + right * np.log(right)) if right > 0 else 1.0


def _validated_column(values: ArrayLike, name: str, low: float, high: float) -> FloatArray:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1 or not len(column):
        raise UserError(f"must be one column of numbers, not of shape {column.shape}", "pass a number an answer", where=name)
    if bad := int((~np.isfinite(column)).sum()):
        raise UserError(
            f"{bad} of {len(column)} aren't finite numbers", "leave out answers that couldn't be judged, and say how many", where=name
        )
    if ((column < low) | (column > high)).any():
        raise UserError(f"must lie in {low:g} to {high:g}", "1 is right and 0 is wrong", where=name)
    return column


BoolArray = NDArray[np.bool_]

DEFAULT_COVERAGES = (0.8, 0.5, 0.9)
CURVE_COVERAGES = tuple(share / 20 for share in range(2, 21))  # below a tenth of the answers the interval is too wide to show anything
_MAX_EXAMPLES = 10
ANSWERABLE_KEY = "answerable"  # metadata key of a prompt; false where the right answer is that nobody can know


def selective_prediction_section(
    answers: ModelAnswers,
    right: ArrayLike,
    confidence: ArrayLike,
    *,
    title: str,
    coverages: Sequence[float] = DEFAULT_COVERAGES,
    slices: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Build the report section of a selective prediction suite.

    right: 1 where an answer is right, 0 where it is wrong, (n,); for a prompt that can't be answered (its metadata say `answerable =
    false`) abstaining is right, whatever is passed. confidence: how confident the model was, (n,): a classifier's top probability, a
    generative model's mean log-probability of its own tokens, a judge's score. slices: metadata columns of the prompts; the section shows
    where errors are more frequent.

    The figures: `selective_risk` at the first coverage, `aurc`, `error` (all answered); `ece` and `brier` where all confidences lie in 0 to
    1 and all verdicts are 0 or 1; where prompts are marked unanswerable, `says_unknown` (of what can't be answered, the share that says so)
    and `needless_unknown` (of what can, the share that says it doesn't know). The curve: the risk from a tenth of the answers to all.
    """
    rows = len(answers.texts)
    judged, sure = np.array(right, dtype=np.float64), np.array(confidence, dtype=np.float64)
    if judged.shape != (rows,) or sure.shape != (rows,):
        raise UserError(f"{judged.size} verdicts and {sure.size} confidences for {rows} answers", "pass one of each an answer")
    groups = [asked.group for asked in answers.prompts]
    unanswerable = np.array([is_unanswerable(asked.metadata) for asked in answers.prompts])
    unknown = np.array([is_abstention(normalize_characters(text).text) for text in answers.texts])
    judged[unanswerable] = unknown[unanswerable]
    ranked = RankedAnswers(judged, sure, groups)
    points = {coverage: ranked.point(coverage) for coverage in sorted({*CURVE_COVERAGES, *coverages})}
    main = points[coverages[0]]
    figures = {
        "selective_risk": main.risk,
        "aurc": ranked.area_estimate(),
        "error": estimate_mean(1 - judged, clusters=groups),
        **_calibration_estimates(judged, sure, groups, seed),
        **_abstention_estimates(unknown, unanswerable, groups),
    }
    return {
        "kind": "selective_prediction",
        "title": title,
        "summary": _selective_sentences([points[coverage] for coverage in coverages], figures),
        "figures": figures,
        "rows": rows,
        "groups": len(set(groups)),
        "curve": [point.to_dict() for point in points.values()],
        "examples": _confident_errors(answers, judged, sure),
        **slice_section(answers, slices, 1 - judged, figure="error", better="lower"),
    }


def is_unanswerable(metadata: Any) -> bool:
    """Return whether a prompt's metadata mark it as one that nobody can answer: `answerable` is false, or says no."""
    marker = metadata.get(ANSWERABLE_KEY, True)
    return (
        marker is False
        or (isinstance(marker, str) and marker.strip().lower() in ("false", "no", "0"))
        or (marker == 0 and marker is not True)
    )


def _calibration_estimates(right: FloatArray, sure: FloatArray, groups: Sequence[str], seed: int) -> dict[str, Estimate]:
    """Estimate the calibration of confidences that look like probabilities.

    Nothing for other scales, and for verdicts between right and wrong.
    """
    if not (((sure >= 0) & (sure <= 1)).all() and np.isin(right, (0, 1)).all()):
        return {}
    table = np.stack([sure, 1 - sure], axis=1)
    wrong = (1 - right).astype(np.int64)
    return {
        "ece": calibration_estimates(table, wrong, groups, seed=seed),
        "brier": _clip_estimate(estimate_mean(brier_scores(table, wrong) / 2, clusters=groups)),
    }


def _clip_estimate(found: Estimate) -> Estimate:
    return replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))


def _abstention_estimates(unknown: BoolArray, unanswerable: BoolArray, groups: Sequence[str]) -> dict[str, Estimate]:
    """Estimate, for prompts that can't be answered and for those that can, the share whose answer says that it doesn't know."""
    if not unanswerable.any():
        return {}
    names = np.asarray(groups)
    sides = {"says_unknown": unanswerable, "needless_unknown": ~unanswerable}
    return {name: estimate_mean(unknown[rows].astype(np.float64), clusters=names[rows]) for name, rows in sides.items() if rows.any()}


def _selective_sentences(points: Sequence[RiskPoint], figures: dict[str, Estimate]) -> list[str]:
    told = [
        f"Were only the surest {format_whole_percent(point.coverage)} answered, {format_estimate(point.risk)} would be wrong."
        for point in points
    ]
    words = [*told, f"Were all answered, {format_estimate(figures['error'])} would be wrong."]
    if "says_unknown" in figures:
        words.append(f"Of prompts that can't be answered, it says so in {format_estimate(figures['says_unknown'])}.")
    if "needless_unknown" in figures:
        words.append(f"Of prompts that can be, it says that it doesn't know in {format_estimate(figures['needless_unknown'])}.")
    return words


def _confident_errors(answers: ModelAnswers, right: FloatArray, sure: FloatArray) -> list[dict[str, Any]]:
    """Return the wrong answers, the most confident first."""
    order = [row for row in np.argsort(-sure, kind="stable").tolist() if right[row] < 0.5][:_MAX_EXAMPLES]
    return [
        {
            "id": answers.prompts[row].id,
            "prompt": answers.prompts[row].prompt,
            "reference": answers.prompts[row].reference,
            "answer": answers.texts[row],
            "confidence": float(sure[row]),
            "answerable": not is_unanswerable(answers.prompts[row].metadata),
        }
        for row in order
    ]
