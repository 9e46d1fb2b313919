"""Active inference (Zrnic & Candès 2024): label more often where the judge is uncertain, and correct for it by inverse probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from preceptor.errors import UserError
from preceptor.statistics.inputs import as_values, check_confidence
from preceptor.statistics.intervals import exact_share_limits, t_quantile
from preceptor.statistics.ppi import (
    ENOUGH_RARER,
    MIN_RARER,
    SHARE_LABELS,
    UNIT_LABELS,
    check_ppi_columns,
    classify_labels,
    shrink_variance_ratio,
)
from preceptor.types import Estimate, FloatArray, IntArray

PROBABILITY_FLOOR = 0.2  # of the average probability: weights stay under five times the average
VARIANCE_INFLATION = 2.5  # growth of a variance that rests on one label rather than many; from the simulation in the tests


def labelling_probabilities(uncertainty: ArrayLike, budget: float, *, tau: float = 0.5) -> FloatArray:
    """Return the probability π of each item to be labelled, (N,), summing to `budget`: π = min(1, (1−τ)·b·u/Σu + τ·b/N).

    uncertainty: u ≥ 0, the expected error of the judge, √(p(1−p)) of a calibrated p or a model of |y − f| fitted on
    *other* data. tau: share of the budget spent evenly; no probability is below a fifth of the average.
    Raises UserError for a budget or tau out of range.
    """
    u = as_values(uncertainty, "uncertainty", low=0)
    if not 0 < budget <= len(u):
        raise UserError(f"a budget of {budget:g} labels for {len(u)} items", "pass 1 to the number of items", where="budget")
    if not 0 <= tau <= 1:
        raise UserError(f"tau {tau!r} is not between 0 and 1", "0.5 is usual", where="tau")
    average = budget / len(u)
    wanted = (1 - tau) * budget * u / u.sum() + tau * average if u.any() else np.full(len(u), average)
    low, high = 0.0, len(u) / budget / max(PROBABILITY_FLOOR, tau) + 1
    for _ in range(200):  # bisection on the factor that spends the budget
        factor = (low + high) / 2
        low, high = (factor, high) if _clip_probabilities(factor * wanted, average).sum() < budget else (low, factor)
    return _clip_probabilities(high * wanted, average)


def sample_by_probability(probabilities: ArrayLike, seed: int) -> IntArray:
    """Sample the numbers of the items to label, in rising order, each with its probability; their count is the sum of these, to within one.

    Systematic sampling in a random order. `estimate_active_mean` treats items as sampled independently, which is slightly conservative.
    """
    pi = as_values(probabilities, "probabilities", low=0, high=1)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pi))
    steps = np.floor(np.cumsum(pi[order]) + rng.random())
    return np.sort(order[np.diff(steps, prepend=0.0) > 0])


def estimate_active_mean(
    human: ArrayLike, labelled: ArrayLike, judge: ArrayLike, probabilities: ArrayLike, confidence: float = 0.95
) -> Estimate:
    """Estimate the mean human label over all items, from labels that were requested with known probabilities.

    human: labels, (n,), of the items whose numbers are `labelled`. judge, probabilities: of all items, (N,); each item was sampled
    by its own probability, whatever its label. θ̂ = N⁻¹Σ(yξ/π − (c + λf)(ξ/π − 1)), unbiased for any judge: c and λ, which minimise
    the variance, come for each item from the other items. n counts labels. Raises UserError for columns that don't fit together.
    """
    check_confidence(confidence)
    y = check_ppi_columns(human, select_judge_scores(judge, labelled), [])[0]
    scores, pi = as_values(judge, "judge"), as_values(probabilities, "probabilities", low=0, high=1)
    where = np.asarray(labelled, dtype=np.int64)
    _check_probabilities(where, scores, pi)
    kind = classify_labels(y)
    if kind in (SHARE_LABELS, UNIT_LABELS):
        as_values(scores, "judge", low=0, high=1)
    answers, counts = np.unique(y, return_counts=True)
    rarer = len(y) - int(counts.max())
    terms = _item_terms(y, where, scores, pi, use_judge=rarer >= MIN_RARER)
    value, variance = float(terms.mean()), float(terms.var(ddof=1) / len(terms))
    method = "active inference, inverse probabilities, λ cross-fitted"
    if rarer < ENOUGH_RARER:
        method += f", drawn toward people alone (the rarer answer seen {rarer} times)"
    worth = _kish_sample_size(pi[where])
    df = max(worth - 1, 1)
    if kind not in (SHARE_LABELS, UNIT_LABELS):
        half = t_quantile(df, confidence) * float(np.sqrt(variance))
        return Estimate(value, value - half, value + half, len(y), method, confidence)
    value = min(max(value, 0.0), 1.0)
    rare = pi[where][y != answers[counts.argmax()]]
    seen = int(_kish_sample_size(rare)) if rarer else 0
    if rarer:  # a spread that rests on a few heavy labels is probably too small, as those are easily missed by chance
        variance *= 1 + VARIANCE_INFLATION * (1 / _kish_sample_size(rare**2) - 1 / rarer)
    spread = value * (1 - value)
    effective = worth / shrink_variance_ratio(variance * worth / spread, seen) if spread and variance else worth
    return Estimate(value, *exact_share_limits(value, effective, df, confidence), len(y), method, confidence)


def _kish_sample_size(probabilities: FloatArray) -> float:
    """Return how many evenly requested labels would be as precise (Kish 1965): the labels, less the cost of unequal weights."""
    return float((1 / probabilities).sum() ** 2 / np.sum(probabilities**-2.0))


def select_judge_scores(judge: ArrayLike, labelled: ArrayLike) -> FloatArray:
    """Return the judge's scores of the labelled items; raises UserError where a number isn't one of an item."""
    scores, where = as_values(judge, "judge"), np.asarray(labelled)
    if where.size and not (np.issubdtype(where.dtype, np.integer) and where.min() >= 0 and where.max() < len(scores)):
        raise UserError(f"labelled must hold numbers of items, 0 to {len(scores) - 1}", where="labelled")
    return scores[where.astype(np.int64)]


def _item_terms(y: FloatArray, where: IntArray, scores: FloatArray, pi: FloatArray, *, use_judge: bool) -> FloatArray:
    """Return each item's term of the estimate, (N,), with the part explained by chance in sampling removed."""
    weighed, drawn = np.zeros(len(scores)), np.zeros(len(scores))
    weighed[where], drawn[where] = y / pi[where], 1 / pi[where]
    luck = drawn - 1  # 0 in expectation, for every item
    judged = (scores - scores.mean()) * luck if use_judge else np.zeros(len(scores))
    # the least squares of two columns without each item in turn, in closed form
    yc, yf = (np.sum(weighed * column) - weighed * column for column in (luck, judged))
    cc, cf, ff = (np.sum(a * b) - a * b for a, b in ((luck, luck), (luck, judged), (judged, judged)))
    determinant = cc * ff - cf**2
    solvable = determinant > 1e-12 * cc * np.maximum(ff, 1e-300)
    scale = np.where(solvable, determinant, 1.0)
    constant = np.where(solvable, (yc * ff - yf * cf) / scale, yc / np.maximum(cc, 1e-300))
    slope = np.where(solvable, (yf * cc - yc * cf) / scale, 0.0)
    return np.asarray(weighed - constant * luck - slope * judged)


def _check_probabilities(where: IntArray, scores: FloatArray, pi: FloatArray) -> None:
    if len(pi) != len(scores):
        raise UserError(f"{len(scores)} judge scores and {len(pi)} probabilities", "pass one each an item", where="probabilities")
    if len(np.unique(where)) != len(where):
        raise UserError("an item is named twice", "give each item's label once", where="labelled")
    if (pi[where] <= 0).any():
        raise UserError(
            "an item has a label and no chance of being asked", "log the probabilities with which items were drawn", where="probabilities"
        )
    if len(scores) < 2:
        raise UserError("one item has no spread", where="judge")


def _clip_probabilities(wanted: FloatArray, average: float) -> FloatArray:
    return np.asarray(np.clip(wanted, PROBABILITY_FLOOR * average, 1.0))
