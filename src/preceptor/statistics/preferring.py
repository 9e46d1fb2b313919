"""What a model that tells the better of two answers is worth: accuracy, calibration, and whether it goes by length."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from preceptor.domain.results import Estimate, FloatArray
from preceptor.errors import UserError
from preceptor.statistics.calibration import calibration_estimates
from preceptor.statistics.inputs import as_values
from preceptor.statistics.intervals import mean
from preceptor.statistics.resampling import bootstrap
from preceptor.statistics.scores import brier, log_loss_rows


def preference_estimates(margins: ArrayLike, targets: ArrayLike, lengths: ArrayLike, clusters: ArrayLike) -> dict[str, Estimate]:
    """Figures of pairs that the model wasn't trained on, rows of a cluster dependent.

    margins: the model's log-odds that the first answer is better, (n,). targets: the probability that it is, half a tie's
    included, (n,). lengths: of both answers, (n, 2), in any unit. clusters: (n,).

    accuracy: how often the model takes the side that people more likely took, pairs without one left out. log_loss, brier: of
    σ(margin) against the targets. calibration_error: of σ(margin) against the same, so that a model that is as sure as people are
    has none, also where they are of two minds.
    longer_wins: how often people took the longer answer, which is the accuracy of going by length alone. accuracy_longer_won,
    accuracy_shorter_won: the model's where they did and where they didn't; a model that goes by length is good at the first only.
    length_correlation: of the margin with the difference of lengths. What the pairs don't show (none decided, all of one
    length, …) is left out. UserError when there is no pair, or for a margin that isn't a finite number.
    """
    said, chance, sizes = as_values(margins, "margins"), as_values(targets, "targets"), np.asarray(lengths, dtype=np.float64)
    groups = np.asarray(clusters)
    if not len(said) == len(chance) == len(sizes) == len(groups):
        raise UserError("margins, targets, lengths and clusters are of different lengths", "a row a pair in each")
    probabilities, soft = _both(expit(said)), _both(chance)
    found = {
        "log_loss": mean(log_loss_rows(probabilities, soft), clusters=groups, within=(0.0, np.inf)),
        "brier": mean(brier(probabilities, soft), clusters=groups, within=(0.0, 2.0)),
    }
    gap, decided = sizes[:, 0] - sizes[:, 1], np.abs(chance - 0.5) > 1e-9
    right, first = 0.5 + 0.5 * np.sign(said) * np.sign(chance - 0.5), chance > 0.5
    apart = decided & (gap != 0)
    longer = (gap > 0) == first
    kinds = {"accuracy": decided, "accuracy_longer_won": apart & longer, "accuracy_shorter_won": apart & ~longer}
    found |= {name: mean(right[rows], clusters=groups[rows]) for name, rows in kinds.items() if rows.any()}
    if apart.any():
        found["longer_wins"] = mean(longer[apart].astype(np.float64), clusters=groups[apart])
    if len(set(groups[decided].tolist())) > 1:
        found["calibration_error"] = calibration_estimates(probabilities[decided], soft[decided], groups[decided])
    if np.ptp(gap) > 0 and np.ptp(said) > 0 and len(set(groups.tolist())) > 1:
        found["length_correlation"] = bootstrap(lambda weights: _correlation(said, gap, weights), clusters=groups, within=(-1.0, 1.0))
    return found


def _both(first: FloatArray) -> FloatArray:
    """Columns: the second is better, the first is."""
    return np.stack([1 - first, first], axis=1)


def _correlation(x: FloatArray, y: FloatArray, weights: FloatArray) -> FloatArray:
    """Of weighted rows; 0 where one of them has no spread."""
    total = weights.sum(axis=-1, keepdims=True)
    dx, dy = (each - (weights @ each)[..., None] / total for each in (x, y))
    spread = np.sqrt((weights * dx**2).sum(axis=-1) * (weights * dy**2).sum(axis=-1))
    return np.asarray((weights * dx * dy).sum(axis=-1) / np.where(spread > 0, spread, np.inf))
