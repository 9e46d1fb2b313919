"""Confidence sequences: intervals that hold at every moment at once, so that one may look after each label and stop.

Betting on the mean of values in [0, 1] (Waudby-Smith & Ramdas 2024, the hedged capital process): who bets against a true
mean can't grow rich, so a mean against which a bet grew 2/α-fold is out, for good.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import Estimate, FloatArray
from preceptor.statistics.inputs import as_values, check_confidence

GRID = 1000  # candidate means on the way to the last bound
BISECTIONS = 30
LARGEST_BET = 0.5  # share of the capital that one value may lose
CHUNK_STEPS = 1000


def confidence_sequence(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The mean of values in [0, 1], in the order in which they came, with bounds valid at any stop.

    About 1.5 to 2 times as wide as an interval for a number of values fixed beforehand. The bounds are the narrowest so far;
    should they exclude every mean, the values drift: then nothing is known (0 to 1), and `method` says so.
    """
    column = as_values(values, "values", low=0, high=1)
    stakes, goal = _stakes(column, confidence), _goal(confidence)
    method = "betting confidence sequence"
    low, high = _last_bound(column, stakes, goal), 1 - _last_bound(1 - column, stakes, goal)
    if low > high:
        low, high, method = 0.0, 1.0, "no interval: no single mean fits these values, they drift"
    return Estimate(float(column.mean()), low, high, len(column), method, confidence)


def confidence_sequence_path(values: ArrayLike, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """(low, high) after each value, both of shape (n,): all intersected with those before, the last as `confidence_sequence`.

    Earlier bounds lie on a grid of means, to the safe side by less than 0.002. Low above high: no mean fits.
    """
    column = as_values(values, "values", low=0, high=1)
    stakes, goal = _stakes(column, confidence), _goal(confidence)
    return _bound_path(column, stakes, goal), 1 - _bound_path(1 - column, stakes, goal)


def _goal(confidence: float) -> float:
    """Log capital at which a mean is out: α is shared by the bets on both sides."""
    return float(np.log(2 / (1 - check_confidence(confidence))))


def _stakes(column: FloatArray, confidence: float) -> FloatArray:
    """λ_t, the paper's predictable plug-in, before the cut; it may use values before t only, else nothing holds."""
    t = np.arange(1, len(column) + 1)
    centre = (0.5 + np.cumsum(column)) / (t + 1)
    variance = (0.25 + np.cumsum((column - centre) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    return np.asarray(np.sqrt(2 * _goal(confidence) / (before * t * np.log1p(t))))


def _log_growth(column: FloatArray, stakes: FloatArray, candidate: FloatArray | float) -> FloatArray:
    """Log growth of each bet that the mean is above `candidate`; it falls as the candidate rises."""
    return np.asarray(np.log1p(np.minimum(stakes, LARGEST_BET / candidate) * (column - candidate)))


def _last_bound(column: FloatArray, stakes: FloatArray, goal: float) -> float:
    """The largest mean that a bet has thrown out so far, by bisection: capital falls as the candidate mean rises."""
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        out = np.cumsum(_log_growth(column, stakes, middle)).max() >= goal
        low, high = (middle, high) if out else (low, middle)
    return low


def _bound_path(column: FloatArray, stakes: FloatArray, goal: float) -> FloatArray:
    """The bound after each value: how far up the grid means are out. The grid is finer at both ends."""
    last = _last_bound(column, stakes, goal)
    if last == 0:
        return np.zeros(len(column))
    grid = last * (1 - np.cos(np.pi * np.arange(1, GRID + 1) / GRID)) / 2
    path, capital, best = np.empty(len(column)), np.zeros(GRID), np.full(GRID, -np.inf)
    for start in range(0, len(column), CHUNK_STEPS):
        now = slice(start, start + CHUNK_STEPS)
        steps = capital + np.cumsum(_log_growth(column[now, None], stakes[now, None], grid), axis=0)
        highest = np.maximum(best, np.maximum.accumulate(steps, axis=0))
        out = np.count_nonzero(highest >= goal, axis=1)
        path[now] = np.where(out > 0, grid[out - 1], 0.0)
        capital, best = steps[-1], highest[-1]
    return path
