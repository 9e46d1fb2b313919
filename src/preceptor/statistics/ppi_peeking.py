"""Few human labels, many judge scores, and a look after each label."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from preceptor.domain.results import Estimate, FloatArray
from preceptor.statistics.betting import Bets, deviations, stakes
from preceptor.statistics.inputs import as_values, check_confidence
from preceptor.statistics.prediction_powered import check_scores, checked
from preceptor.statistics.sequential import bounded, log_goal, sure

PILOT = 20  # labels before the judge is used
FOR_JUDGE = 0.1  # share of the error that the judge's mean over all items may have


class _Seen(NamedTuple):
    """Labels and scores in order, λ of each from those before, the judge's mean over all items with how far it may be off.

    items: how many there are in all, infinite where they stand for an endless stream.
    """

    y: FloatArray
    f: FloatArray
    weight: FloatArray
    mean: float
    margin: float
    items: float

    def mirrored(self) -> _Seen:
        return self._replace(y=1 - self.y, f=1 - self.f, mean=1 - self.mean)

    def bets(self, goal: float) -> Bets:
        """On y − λf, of expectation m − λ·(the judge's mean); the latter at the end of its margin that speaks least against m."""
        t = np.arange(1, len(self.y) + 1)
        errors = deviations(self.y) - self.weight * (self.f - np.cumsum(self.f) / t)
        if np.isfinite(self.items):  # both means are then of the items that are left
            left = np.asarray(self.items - t + 1, dtype=np.float64)
            slope, drawn, judge = self.items / left, _before(self.y) / left, (self.items * self.mean - _before(self.f)) / left
        else:
            slope, drawn, judge = np.ones(len(t)), np.zeros(len(t)), self.mean - np.sign(self.weight) * self.margin
        floor = np.minimum(-self.weight, 0.0)
        return Bets(self.y - self.weight * self.f, stakes(goal, errors), floor, slope, -drawn - self.weight * judge)


def ppi_sequence(
    human: ArrayLike, judge_on_human: ArrayLike, judge_on_rest: ArrayLike, confidence: float = 0.95, *, finite: bool = False
) -> Estimate:
    """The mean that people would give, with bounds valid at any stop; arguments as of `ppi_mean`, labels in the order they came.

    Bets on y − λf (Waudby-Smith & Ramdas 2024), λ from the labels before (0 for the first 20), cut to [−1, 1]. Labels and scores
    lie in [0, 1]; items are drawn at random. finite: the mean over exactly these items, labelled and rest, is asked, so that the
    judge's mean is known; else they stand for others like them, and the judge's mean takes a tenth of the error.
    """
    seen, goal = _seen(human, judge_on_human, judge_on_rest, confidence, finite)
    low, high = seen.bets(goal).bound(goal), 1 - seen.mirrored().bets(goal).bound(goal)
    value = float(np.mean(seen.y - seen.weight * (seen.f - seen.mean)))
    method = f"ppi betting confidence sequence{f' for these {seen.items:.0f} items' if finite else ''}, λ from labels before"
    return bounded(min(max(value, 0.0), 1.0), (low, high), sure(seen.y, seen.items), len(seen.y), method, confidence)


def ppi_sequence_path(
    human: ArrayLike, judge_on_human: ArrayLike, judge_on_rest: ArrayLike, confidence: float = 0.95, *, finite: bool = False
) -> tuple[FloatArray, FloatArray]:
    """(low, high) after each label, both (n,), as `confidence_sequence_path`; the last are those of `ppi_sequence`."""
    seen, goal = _seen(human, judge_on_human, judge_on_rest, confidence, finite)
    return seen.bets(goal).path(goal), 1 - seen.mirrored().bets(goal).path(goal)


def _seen(human: ArrayLike, judge_on_human: ArrayLike, judge_on_rest: ArrayLike, confidence: float, finite: bool) -> tuple[_Seen, float]:
    alpha = 1 - check_confidence(confidence)
    y, f, rest = checked(human, judge_on_human, judge_on_rest)
    as_values(y, "human", low=0, high=1)
    check_scores(f, rest)
    scores = np.concatenate([f, rest])
    weight = _weights_before(y, f) if len(rest) else np.zeros(len(y))
    if finite:
        return _Seen(y, f, weight, float(scores.mean()), 0.0, len(scores)), log_goal(confidence)
    margin = -ndtri(FOR_JUDGE * alpha / 2) * scores.std(ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else 0.5
    return _Seen(y, f, weight, float(scores.mean()), float(margin), np.inf), log_goal(1 - (1 - FOR_JUDGE) * alpha)


def _before(column: FloatArray) -> FloatArray:
    """The sum before each."""
    return np.concatenate([[0.0], np.cumsum(column)[:-1]])


def _weights_before(y: FloatArray, f: FloatArray) -> FloatArray:
    """The slope of labels on scores among the items before each, (n,); 0 for the first, and where scores don't vary."""
    t = np.arange(1, len(y) + 1)
    y, f = y - 0.5, f - 0.5
    products = np.cumsum(y * f) - np.cumsum(y) * np.cumsum(f) / t
    squares = np.cumsum(f * f) - np.cumsum(f) ** 2 / t
    slope = np.where(squares > 1e-9, products / np.where(squares > 1e-9, squares, 1.0), 0.0)
    before = np.concatenate([[0.0], slope[:-1]])
    before[:PILOT] = 0.0
    return np.asarray(np.clip(before, -1, 1))
