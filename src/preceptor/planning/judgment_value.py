"""The value of more judgments: the rest of the annotation, simulated from what is believed today.

An item is of one of several kinds: a leading answer, and how far annotators agree on it. A simulated course samples a kind for each
item, lets annotators of that kind answer about the least certain items, and updates the beliefs exactly. "Right" is
the leading answer, which all annotators together would arrive at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from preceptor.types import Estimate, FloatArray, IntArray

DRAWS = 200
CURVE_DRAWS = 80
CURVE_ITEMS = 500  # most items simulated for the curve; a larger set's band is narrower by the root of the ratio
CURVE_POINTS = 8
CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class ItemBeliefs:
    """The beliefs about each item.

    votes: probability of each answer, (kinds, answers). lead: the leading answer, (kinds,). share: probability of each kind,
    (items, kinds), rows sum to 1. capacity: judgments that can still be requested, (items,).
    """

    votes: FloatArray
    lead: IntArray
    share: FloatArray
    capacity: IntArray

    @property
    def posterior(self) -> FloatArray:
        """Probability of each answer, (items, answers)."""
        return np.asarray(self.share @ (self.lead[:, None] == np.arange(self.votes.shape[1])), dtype=np.float64)

    @property
    def certainty(self) -> FloatArray:
        """Probability of the most probable answer, (items,)."""
        return np.asarray(self.posterior.max(axis=1), dtype=np.float64)

    def match_posterior(self, posterior: FloatArray) -> Self:
        """Return the same kinds with these probabilities of the answers, (items, answers), from a consensus that knows the annotators."""
        share = np.maximum(self.share, 1e-12)
        within = share / (share @ (self.lead[:, None] == self.lead))  # of the kinds that lead to the same answer
        fitted = within * posterior[:, self.lead]
        return replace(self, share=fitted / fitted.sum(axis=1, keepdims=True))

    def select_items(self, rows: IntArray) -> Self:
        """Return the beliefs about some of the items."""
        return replace(self, share=self.share[rows], capacity=self.capacity[rows])


@dataclass(frozen=True)
class ForecastPoint:
    """A point on the curve: judgments in all and their price, and the share of right answers with its 95 % band."""

    judgments: int
    cost: float
    share_right: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON document."""
        return {"judgments": self.judgments, "cost": self.cost, "right": self.share_right.to_dict()}


def forecast_gain(beliefs: ItemBeliefs, judgments: int, *, seed: int = 0) -> tuple[int, Estimate]:
    """Return (judgments that can be requested, what they add to the share of right answers).

    They go to the least certain items. The interval covers 95 % of the simulated courses, as the gain isn't known beforehand.
    """
    total = len(beliefs.share)
    rows = np.flatnonzero(beliefs.capacity > 0)
    rows = rows[np.argsort(beliefs.certainty[rows], kind="stable")][:judgments]  # no other item can be reached
    pool = beliefs.select_items(rows)
    buys = min(judgments, int(pool.capacity.sum()))
    if not buys:
        return 0, Estimate(0.0, 0.0, 0.0, total, "simulated futures", CONFIDENCE)
    drawn = np.stack([simulate_course(pool, [buys], np.random.default_rng([seed, draw])) for draw in range(DRAWS)])
    right, certain = ((drawn[:, 1] - drawn[:, 0]) * len(rows) / total).T
    low, high = np.quantile(right, [0.025, 0.975]).tolist()
    value = float(certain.mean())  # as much as right answers on average, with less noise
    return buys, Estimate(value, min(low, value), max(high, value), total, "simulated futures", CONFIDENCE)


def forecast_curve(beliefs: ItemBeliefs, spent: int, *, price: float, most: int, seed: int = 0) -> list[ForecastPoint]:
    """Forecast the share of right answers from today on, after up to `most` more judgments.

    spent: judgments so far. price: of one judgment.
    """
    total = len(beliefs.share)
    rows = np.random.default_rng(seed).permutation(total)[:CURVE_ITEMS]
    sample = beliefs.select_items(rows)
    most = min(most, int(beliefs.capacity.sum()))
    marks = sorted({round(part * most / CURVE_POINTS) for part in range(1, CURVE_POINTS + 1)} - {0})
    scaled = [round(mark * len(rows) / total) for mark in marks]
    drawn = np.stack([simulate_course(sample, scaled, np.random.default_rng([seed, 1, draw])) for draw in range(CURVE_DRAWS)])
    expected = drawn[..., 1].mean(axis=0) - drawn[:, 0, 1].mean() + beliefs.certainty.mean()
    shrink = (len(rows) / total) ** 0.5
    points = []
    for place, more in enumerate([0, *marks]):
        away = (np.quantile(drawn[:, place, 0], [0.025, 0.975]) - drawn[:, place, 1].mean()) * shrink
        value = float(expected[place])
        low, high = max(0.0, value + min(away[0], 0.0)), min(1.0, value + max(away[1], 0.0))
        judgments = spent + more
        right = Estimate(value, float(low), float(high), total, "simulated futures", CONFIDENCE)
        points.append(ForecastPoint(judgments, round(judgments * price, 2), right))
    return points


def simulate_course(beliefs: ItemBeliefs, marks: Sequence[int], rng: np.random.Generator) -> FloatArray:
    """Simulate one future: (share of right answers, mean certainty) today and after each number of judgments in `marks`."""
    kind = _draw_columns(beliefs.share, rng)
    now = replace(beliefs, share=beliefs.share.copy(), capacity=beliefs.capacity.copy())
    truth, spent = beliefs.lead[kind], 0
    seen = [_score_beliefs(now, truth)]
    for mark in marks:
        while spent < mark and (asked := _least_certain_items(now, mark - spent)).size:
            said = _draw_columns(now.votes[kind[asked]], rng)
            updated = now.share[asked] * now.votes[:, said].T
            now.share[asked] = updated / updated.sum(axis=1, keepdims=True)
            now.capacity[asked] -= 1
            spent += len(asked)
        seen.append(_score_beliefs(now, truth))
    return np.array(seen)


def _score_beliefs(now: ItemBeliefs, truth: IntArray) -> tuple[float, float]:
    posterior = now.posterior
    return float((posterior.argmax(axis=1) == truth).mean()), float(posterior.max(axis=1).mean())


def _least_certain_items(now: ItemBeliefs, at_most: int) -> IntArray:
    """Return the least certain items, an eighth of all at once, so that answers count before much more is bought."""
    open_items = np.flatnonzero(now.capacity > 0)
    ranked = open_items[np.argsort(now.certainty[open_items], kind="stable")]
    return np.asarray(ranked[: min(at_most, max(1, len(now.share) // 8))], dtype=np.int64)


def _draw_columns(chances: FloatArray, rng: np.random.Generator) -> IntArray:
    """Sample one column a row, with its probabilities."""
    below = chances.cumsum(axis=1)
    return np.asarray((below > rng.random(len(chances))[:, None] * below[:, -1:]).argmax(axis=1), dtype=np.int64)
