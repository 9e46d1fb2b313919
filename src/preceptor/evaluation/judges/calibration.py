"""Judges' scores made into probabilities on people's labels, out of fold, so that they stay valid for prediction-powered intervals.

A score that was fitted on an item's own label flatters the judge on it. So each labelled item is scored by what was fitted on
other groups only, and an unlabelled one by the mean of all fits (cross-prediction: Zrnic & Candès 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit

from preceptor.domain import Estimate
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.judges.agreement import FEWEST, filled_in
from preceptor.statistics import mean
from preceptor.statistics.inputs import as_clusters, as_values

FOLDS = 5
Method = Literal["isotonic", "platt"]
Map = Callable[[FloatArray], FloatArray]
EDGE = 1e-3  # scores of 0 and 1 have no log-odds


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Scores as probabilities that people say yes. on_human: (labelled,), out of fold; on_rest: (others,), the mean of all folds.

    before, after: Brier scores, mean squared distance to people's answers, of the scores as they came and calibrated.
    """

    on_human: FloatArray
    on_rest: FloatArray
    before: Estimate
    after: Estimate
    method: Method


def calibrated(
    human: ArrayLike,
    judge_on_human: ArrayLike,
    judge_on_rest: ArrayLike = (),
    *,
    clusters: Any = None,
    method: Method = "isotonic",
    folds: int = FOLDS,
    seed: int = 0,
) -> Calibrated:
    """human: people's answers (labelled,) in [0, 1]; judge_on_human, judge_on_rest: scores in [0, 1], NaN where there is no verdict.

    clusters: of the labelled items; those of one lie in one fold. method: isotonic keeps nothing but the order of the scores;
    platt fits a logistic curve and does with fewer labels. UserError for fewer than 20 labels, or one cluster.
    """
    if method not in _FITS:
        raise UserError(f"no calibration is called {method!r}", f"known: {', '.join(_FITS)}", where="method")
    said = as_values(human, "human", low=0, high=1)
    scores = as_values(filled_in(np.asarray(judge_on_human, dtype=np.float64)), "judge_on_human", low=0, high=1)
    rest = filled_in(np.asarray(judge_on_rest, dtype=np.float64))
    if len(rest):
        as_values(rest, "judge_on_rest", low=0, high=1)
    codes = as_clusters(clusters, len(said))
    if len(scores) != len(said):
        raise UserError(f"{len(said)} labels and {len(scores)} scores of the same items", "pass one score a label", where="judge_on_human")
    if len(said) < FEWEST or codes.max() == 0:
        raise UserError(f"{len(said)} labels in {codes.max() + 1} groups can't calibrate", f"have people label {FEWEST} of several groups")
    fold = _folds(codes, min(folds, int(codes.max()) + 1), seed)
    on_human, on_rest = np.empty(len(said)), np.zeros(len(rest))
    for number in np.unique(fold):
        others = fold != number
        fitted = _FITS[method](scores[others], said[others])
        on_human[~others] = fitted(scores[~others])
        on_rest += fitted(rest) / len(np.unique(fold))
    before, after = (mean((said - each) ** 2, clusters=clusters) for each in (scores, on_human))
    return Calibrated(on_human, on_rest, before, after, method)


def _folds(codes: Any, folds: int, seed: int) -> Any:
    """The fold of each item: groups stay together."""
    order = np.random.default_rng(seed).permutation(int(codes.max()) + 1)
    return (order % folds)[codes]


def _isotonic(scores: FloatArray, said: FloatArray) -> Map:
    """The best rising step function, drawn straight between its steps."""
    points, place = np.unique(scores, return_inverse=True)
    count = np.bincount(place).astype(np.float64)
    heights = isotonic_regression(np.bincount(place, weights=said) / count, weights=count).x

    def mapped(new: FloatArray) -> FloatArray:
        return np.asarray(np.clip(np.interp(new, points, heights), 0.0, 1.0))

    return mapped


def _platt(scores: FloatArray, said: FloatArray) -> Map:
    """A logistic curve over the log-odds of the scores, its targets drawn in from 0 and 1 (Platt 1999)."""
    odds = logit(np.clip(scores, EDGE, 1 - EDGE))
    yes = said.sum()
    high, low = (yes + 1) / (yes + 2), 1 / (len(said) - yes + 2)
    target = low + said * (high - low)

    def loss(line: FloatArray) -> tuple[float, FloatArray]:
        z = line[0] * odds + line[1]
        away = expit(z) - target
        return float((np.logaddexp(0, z) - target * z).sum()), np.array([(away * odds).sum(), away.sum()])

    slope, shift = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B").x

    def mapped(new: FloatArray) -> FloatArray:
        return np.asarray(expit(slope * logit(np.clip(new, EDGE, 1 - EDGE)) + shift))

    return mapped


_FITS: dict[str, Callable[[FloatArray, FloatArray], Map]] = {"isotonic": _isotonic, "platt": _platt}
