"""How well a score ranks one sample above another: the area under the ROC curve, with its interval over groups and folds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import rankdata

from preceptor.domain.results import Estimate, FloatArray, IntArray
from preceptor.statistics.clusters import t_quantile
from preceptor.statistics.inputs import check_confidence


def area_under_curve(
    score: FloatArray, second: NDArray[np.bool_], fold: IntArray, group: IntArray, *, confidence: float = 0.95
) -> Estimate:
    """The chance that a row of the second sample scores above one of the first in its fold (ties half), with groups as units.

    Within folds, since each fold's scores are on a scale of their own; folds count by their pairs. The variance is that of the placements
    of either sample (DeLong et al. 1988), summed by group (Obuchowski 1997); the interval is made on the logit scale.
    """
    check_confidence(confidence)
    placed = np.zeros(len(score))  # each row's part in the area, less the area: 1/n of what its placement adds
    weights, areas, parts = [], [], []
    for number in range(int(fold.max()) + 1):
        rows = np.flatnonzero(fold == number)
        there, here = rows[second[rows]], rows[~second[rows]]
        if not len(there) or not len(here):
            continue
        above, below = _placements(score[there], score[here])
        weights.append(len(there) * len(here))
        areas.append(float(above.mean()))
        parts.append((there, above, here, below))
    total = float(sum(weights))
    area = float(np.dot(weights, areas) / total)
    for weight, own, (there, above, here, below) in zip(weights, areas, parts, strict=True):
        placed[there] = weight / total * (above - own) / len(there)
        placed[here] = weight / total * (below - own) / len(here)
    summed = np.bincount(np.unique(group, return_inverse=True)[1], placed)
    units = min(len(np.unique(group[second])), len(np.unique(group[~second])))
    error = float(np.sqrt((summed**2).sum() * units / max(units - 1, 1)))
    return _on_logit(area, error, units, confidence)


def _placements(there: FloatArray, here: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Of each of `there` the share of `here` below it, and of each of `here` the share of `there` above it."""
    ranks = rankdata(np.concatenate([there, here]))
    above = (ranks[: len(there)] - rankdata(there)) / len(here)
    below = 1 - (ranks[len(there) :] - rankdata(here)) / len(there)
    return above, below


def _on_logit(area: float, error: float, units: int, confidence: float) -> Estimate:
    method = "area under the curve, out of fold; over groups"
    half = t_quantile(max(units - 1, 1), confidence) * error
    if not 0 < area < 1 or error == 0:
        bound = 1 - (1 - confidence) ** (1 / max(units, 1))  # nothing overlaps: as if none of so many units were misplaced
        return Estimate(area, max(area - bound, 0.0), min(area + bound, 1.0), units, method, confidence)
    centre, slope = float(logit(area)), area * (1 - area)
    return Estimate(area, float(expit(centre - half / slope)), float(expit(centre + half / slope)), units, method, confidence)
