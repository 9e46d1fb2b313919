"""Validate a judge against human labels: agreement, calibration and drift.

- Agreement with people, with intervals, is measured before any of the judge's scores counts.
- Calibration maps scores to probabilities on human labels, out of fold, so that they stay valid for prediction-powered intervals. A score
  fitted on an item's own label would flatter the judge on it; so each labelled item is scored by what was fitted on other groups only, and
  an unlabelled one by the mean of all fits (cross-prediction: Zrnic & Candès 2024).
- Drift: the same cases are scored again, to see whether the scores or the agreement with people have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit

from preceptor.errors import UserError
from preceptor.statistics import bootstrap, compare_paired, estimate_mean
from preceptor.statistics.inputs import as_clusters, as_values
from preceptor.types import Estimate, FloatArray

MIN_JUDGE_LABELS = 20  # labelled cases below which nothing is estimated


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """The agreement of a judge with people on the same cases.

    plain: share of cases on which both agree; a case without a verdict counts as disagreement. balanced: the mean of that share where
    people say yes and where they say no, so that a judge who always gives the most frequent answer gets no credit. correlation: of its
    scores with people's answers, which tells how many human labels it can save. missing: cases without a verdict. cases: all of them.
    """

    plain: Estimate
    balanced: Estimate
    correlation: Estimate
    missing: int
    cases: int

    def figures(self) -> dict[str, Estimate]:
        """Return the estimates by name."""
        return {"plain": self.plain, "balanced": self.balanced, "correlation": self.correlation}


def measure_agreement(human: ArrayLike, judge: ArrayLike, *, clusters: Any = None, confidence: float = 0.95) -> JudgeAgreement:
    """Measure how far a judge agrees with people.

    human, judge: (cases,) in [0, 1], above one half for yes (or for the first of two), one half for a tie; NaN in `judge` where it gave no
    verdict. clusters: the group of each case, whose cases depend on each other. Raises UserError for fewer than 20 cases.
    """
    said = as_values(human, "human", low=0, high=1)
    scores = np.asarray(judge, dtype=np.float64)
    if scores.shape != said.shape:
        raise UserError(f"{len(said)} answers of people and {scores.size} of the judge", "pass one of each a case", where="judge")
    if len(said) < MIN_JUDGE_LABELS:
        raise UserError(
            f"people have answered {len(said)} cases", f"let them answer {MIN_JUDGE_LABELS}: before, nothing can be said of a judge"
        )
    filled = as_values(impute_missing(scores), "judge", low=0, high=1)
    same = (np.sign(said - 0.5) == np.sign(scores - 0.5)).astype(np.float64)  # NaN equals nothing
    names = np.arange(len(said)) if clusters is None else clusters
    how: dict[str, Any] = {"clusters": names, "confidence": confidence, "method_name": "cluster bootstrap"}
    return JudgeAgreement(
        estimate_mean(same, clusters=clusters, confidence=confidence),
        bootstrap(lambda weights: _balanced_agreement(weights, np.sign(said - 0.5), same), within=(0.0, 1.0), **how),
        bootstrap(lambda weights: _weighted_correlation(weights, said, filled), within=(-1.0, 1.0), **how),
        int(np.isnan(scores).sum()),
        len(said),
    )


def impute_missing(scores: FloatArray) -> FloatArray:
    """Return the scores with one half for every case without a verdict, labelled or not.

    Dropping those cases would select among the cases.
    """
    return np.asarray(np.where(np.isnan(scores), 0.5, scores))


def label_efficiency(correlation: float, labelled: int, rest: int) -> float:
    """Return how many times as many labels people alone would need for the interval that the judge's scores of `rest` other cases give.

    1/(1 − ρ²·N/(N+n)), the most that a linear use of the scores can bring (Angelopoulos, Duchi & Zrnic 2023).
    """
    return 1 / max(1 - correlation**2 * rest / (rest + labelled), 1e-9)


def _balanced_agreement(weights: FloatArray, said: FloatArray, same: FloatArray) -> FloatArray:
    """Return the mean over people's yes and no of the weighted share on which the judge agrees; (…, cases) to (…,)."""
    shares, seen = np.zeros(weights.shape[:-1]), np.zeros(weights.shape[:-1])
    for answer in np.unique(said[said != 0] if said.any() else said):
        inside = weights[..., said == answer]
        total = inside.sum(axis=-1)
        shares += (inside * same[said == answer]).sum(axis=-1) / np.maximum(total, 1e-12)
        seen += total > 0
    return np.asarray(np.where(seen > 0, shares / np.maximum(seen, 1), 0.5))  # a resample may hold ties alone


def _weighted_correlation(weights: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the weighted Pearson correlation over the last axis; 0 where one of both has no spread."""
    total = weights.sum(axis=-1, keepdims=True)
    a, b = (values - (weights * values).sum(axis=-1, keepdims=True) / total for values in (first, second))
    product, of_a, of_b = ((weights * each).sum(axis=-1) for each in (a * b, a * a, b * b))
    size = np.sqrt(of_a * of_b)
    return np.asarray(np.where(size > 1e-12, product / np.maximum(size, 1e-12), 0.0))


CALIBRATION_FOLDS = 5
CalibrationMethod = Literal["isotonic", "platt"]
ScoreMap = Callable[[FloatArray], FloatArray]
_SCORE_EDGE = 1e-3  # scores of 0 and 1 have no log-odds


@dataclass(frozen=True, eq=False)
class CalibratedScores:
    """Scores as probabilities that people say yes.

    on_human: (labelled,), out of fold; on_rest: (others,), the mean of all folds. before, after: Brier scores, the mean squared distance to
    people's answers, of the raw and of the calibrated scores.
    """

    on_human: FloatArray
    on_rest: FloatArray
    before: Estimate
    after: Estimate
    method: CalibrationMethod


def calibrate_scores(
    human: ArrayLike,
    judge_on_human: ArrayLike,
    judge_on_rest: ArrayLike = (),
    *,
    clusters: Any = None,
    method: CalibrationMethod = "isotonic",
    folds: int = CALIBRATION_FOLDS,
    seed: int = 0,
) -> CalibratedScores:
    """Calibrate a judge's scores on human labels, out of fold.

    human: people's answers, (labelled,), in [0, 1]; judge_on_human, judge_on_rest: scores in [0, 1], NaN where there is no verdict.
    clusters: of the labelled items; those of one lie in one fold. method: isotonic uses only the order of the scores; platt fits a logistic
    curve and needs fewer labels. Raises UserError for fewer than 20 labels, or one cluster.
    """
    if method not in _FITS:
        raise UserError(f"no calibration is called {method!r}", f"known: {', '.join(_FITS)}", where="method")
    said = as_values(human, "human", low=0, high=1)
    scores = as_values(impute_missing(np.asarray(judge_on_human, dtype=np.float64)), "judge_on_human", low=0, high=1)
    rest = impute_missing(np.asarray(judge_on_rest, dtype=np.float64))
    if len(rest):
        as_values(rest, "judge_on_rest", low=0, high=1)
    codes = as_clusters(clusters, len(said))
    if len(scores) != len(said):
        raise UserError(f"{len(said)} labels and {len(scores)} scores of the same items", "pass one score a label", where="judge_on_human")
    if len(said) < MIN_JUDGE_LABELS or codes.max() == 0:
        raise UserError(
            f"{len(said)} labels in {codes.max() + 1} groups can't calibrate", f"have people label {MIN_JUDGE_LABELS} of several groups"
        )
    fold = _assign_folds(codes, min(folds, int(codes.max()) + 1), seed)
    on_human, on_rest = np.empty(len(said)), np.zeros(len(rest))
    for number in np.unique(fold):
        others = fold != number
        fitted = _FITS[method](scores[others], said[others])
        on_human[~others] = fitted(scores[~others])
        on_rest += fitted(rest) / len(np.unique(fold))
    before, after = (estimate_mean((said - each) ** 2, clusters=clusters) for each in (scores, on_human))
    return CalibratedScores(on_human, on_rest, before, after, method)


def _assign_folds(codes: Any, folds: int, seed: int) -> Any:
    """Assign each item a fold: groups stay together."""
    order = np.random.default_rng(seed).permutation(int(codes.max()) + 1)
    return (order % folds)[codes]


def _fit_isotonic(scores: FloatArray, said: FloatArray) -> ScoreMap:
    """Fit the best non-decreasing step function, interpolated linearly between its steps."""
    points, place = np.unique(scores, return_inverse=True)
    count = np.bincount(place).astype(np.float64)
    heights = isotonic_regression(np.bincount(place, weights=said) / count, weights=count).x

    def mapped(new: FloatArray) -> FloatArray:
        return np.asarray(np.clip(np.interp(new, points, heights), 0.0, 1.0))

    return mapped


def _fit_platt(scores: FloatArray, said: FloatArray) -> ScoreMap:
    """Fit a logistic curve over the log-odds of the scores, its targets shrunk from 0 and 1 (Platt 1999)."""
    odds = logit(np.clip(scores, _SCORE_EDGE, 1 - _SCORE_EDGE))
    yes = said.sum()
    high, low = (yes + 1) / (yes + 2), 1 / (len(said) - yes + 2)
    target = low + said * (high - low)

    def loss(line: FloatArray) -> tuple[float, FloatArray]:
        z = line[0] * odds + line[1]
        away = expit(z) - target
        return float((np.logaddexp(0, z) - target * z).sum()), np.array([(away * odds).sum(), away.sum()])

    slope, shift = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B").x

    def mapped(new: FloatArray) -> FloatArray:
        return np.asarray(expit(slope * logit(np.clip(new, _SCORE_EDGE, 1 - _SCORE_EDGE)) + shift))

    return mapped


_FITS: dict[str, Callable[[FloatArray, FloatArray], ScoreMap]] = {"isotonic": _fit_isotonic, "platt": _fit_platt}

_SCORE_TOLERANCE = 1e-3  # scores closer than this count as equal: machines differ in the last digits


@dataclass(frozen=True, eq=False)
class JudgeProbe:
    """The scores that a judge gave some cases when it was frozen, and people's labels of them.

    judge: its digest. scores, human: (cases,) in [0, 1]; scores are NaN where there was no verdict. groups: of the cases.
    """

    judge: str
    scores: FloatArray
    human: FloatArray
    groups: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the probe as a JSON-serializable dictionary."""
        scores = [None if np.isnan(score) else float(score) for score in self.scores]
        return {"judge": self.judge, "scores": scores, "human": self.human.tolist(), "groups": list(self.groups)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Read a probe from what `to_dict` returned."""
        scores = np.array([np.nan if score is None else score for score in value["scores"]], dtype=np.float64)
        return cls(value["judge"], scores, np.asarray(value["human"], dtype=np.float64), tuple(value["groups"]))


@dataclass(frozen=True, slots=True)
class JudgeDrift:
    """The change of a judge since it was frozen.

    same: whether prompt, model and all scores are unchanged. changed: share of cases whose score differs. agreement: of now minus that of
    then, below zero where it has fallen. agreement_fell: whether it has fallen beyond chance. summary: the same in a sentence.
    """

    same: bool
    changed: Estimate
    agreement: Estimate
    agreement_fell: bool
    summary: str


def measure_drift(probe: JudgeProbe, scores: ArrayLike, judge: str) -> JudgeDrift:
    """Compare a judge's scores of the probe's cases with those from when it was frozen.

    scores: (cases,), of the same cases now, NaN where there is no verdict. judge: its digest now. Raises UserError for another number of
    scores.
    """
    now = np.asarray(scores, dtype=np.float64)
    if now.shape != probe.scores.shape or not len(now):
        raise UserError(f"{now.size} scores now, and {probe.scores.size} then", "score the cases of the probe again", where="scores")
    gone = np.isnan(now) != np.isnan(probe.scores)
    moved = gone | (np.abs(np.nan_to_num(now) - np.nan_to_num(probe.scores)) > _SCORE_TOLERANCE)
    agrees = [(np.sign(each - 0.5) == np.sign(probe.human - 0.5)).astype(np.float64) for each in (now, probe.scores)]
    change = compare_paired(*agrees, clusters=np.array(probe.groups))
    other, fallen = judge != probe.judge, change.high < 0
    words = _drift_sentence(other, int(moved.sum()), len(now), fallen)
    return JudgeDrift(not other and not moved.any(), estimate_mean(moved.astype(np.float64)), change, fallen, words)


def _drift_sentence(other: bool, moved: int, cases: int, fallen: bool) -> str:
    if not other and not moved:
        return f"The judge says of all {cases} cases what it said when it was frozen."
    why = "Prompt or model of the judge have changed" if other else "The judge is the same by name, and no longer says the same"
    agrees = "agrees with people less than then" if fallen else "agrees with people no less than then, as far as that shows"
    return f"{why}: {moved} of {cases} scores differ, and it {agrees}."
