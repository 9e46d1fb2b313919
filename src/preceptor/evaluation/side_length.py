"""Does the longer answer win because it is longer: how often it wins, and the win rate where both are of one length."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from preceptor.domain import Estimate
from preceptor.domain.results import FloatArray
from preceptor.evaluation.side_votes import Match
from preceptor.statistics import mean
from preceptor.statistics.clusters import t_quantile
from preceptor.statistics.inputs import as_clusters

FEWEST = 20  # prompts, and groups, for a curve
RIDGE = 0.05  # holds the curve where every longer answer wins
STEPS = 50


def length_bias(match: Match) -> dict[str, Any]:
    """Figures of two models' finished prompts; lengths are in words.

    longer_wins: how often the longer answer is preferred, a tie being half, where lengths differ. words: mean words of each model's
    answers. at_equal_length: the win rate of the first model at no difference in length.
    """
    lengths = np.array([[len(pair.responses[pair.side(model)].split()) for model in (match.first, match.second)] for pair in match.pairs])
    if not len(lengths):
        return {}
    gap = (lengths[:, 0] - lengths[:, 1]).astype(np.float64)
    found: dict[str, Any] = {"words": {match.first: float(lengths[:, 0].mean()), match.second: float(lengths[:, 1].mean())}}
    groups = np.array(match.groups)
    differ = gap != 0
    if differ.any():
        longer = np.where(gap > 0, match.values, 1 - match.values)
        found["longer_wins"] = mean(longer[differ], clusters=groups[differ])
    if (curve := at_equal_length(match.values, gap, groups)) is not None:
        found["at_equal_length"] = curve
    return found


def at_equal_length(values: FloatArray, gap: FloatArray, groups: Any, confidence: float = 0.95) -> Estimate | None:
    """Win rate at gap 0, from logit E(value) = α + β·tanh(gap/sd) (after Dubois et al. 2024), with a cluster sandwich.

    values in [0, 1], gap: first less second. None with fewer than 20 groups, or where values or gaps have no spread.
    """
    codes = as_clusters(groups, len(values))
    clusters = int(codes.max()) + 1
    if clusters < FEWEST or not np.ptp(values) or not np.ptp(gap):
        return None
    design = np.stack([np.ones(len(gap)), np.tanh(gap / gap.std())], axis=1)
    line = np.zeros(2)
    for _ in range(STEPS):
        share = expit(design @ line)
        slope = design.T @ (values - share) - RIDGE * line
        information = (design * (share * (1 - share))[:, None]).T @ design + RIDGE * np.eye(2)
        step = np.linalg.solve(information, slope)
        line = line + step
        if np.abs(step).max() < 1e-10:
            break
    inverse = np.linalg.inv(information)
    scores = np.stack([np.bincount(codes, weights=column) for column in (design * (values - share)[:, None]).T], axis=1)
    spread = inverse @ (scores.T @ scores) @ inverse * clusters / (clusters - 2)
    half = t_quantile(clusters - 2, confidence) * float(np.sqrt(spread[0, 0]))
    value, low, high = expit(np.array([line[0], line[0] - half, line[0] + half])).tolist()
    return Estimate(value, low, high, clusters, "logistic in the length difference, cluster sandwich, t", confidence)
