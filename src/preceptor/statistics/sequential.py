"""Confidence sequences: intervals that hold at every moment at once, so that one may look after each label and stop."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import Estimate, FloatArray
from preceptor.errors import UserError
from preceptor.statistics.betting import Bets, deviations, stakes
from preceptor.statistics.inputs import as_values, check_confidence


def confidence_sequence(values: ArrayLike, confidence: float = 0.95, *, population: int | None = None) -> Estimate:
    """The mean of values in [0, 1], in the order in which they came, with bounds valid at any stop.

    population: how many items there are in all, where the values are of some drawn at random without replacement and the mean
    over exactly these items is asked; the bounds then meet when all are seen. Else the values are of an endless stream.

    About 1.5 to 2 times as wide as an interval for a number of values fixed beforehand. The bounds are the narrowest so far;
    should they exclude every mean, the values drift: then nothing is known (0 to 1), and `method` says so.
    """
    column, goal = as_values(values, "values", low=0, high=1), log_goal(confidence)
    low, high = (_bets(side, goal, population).bound(goal) for side in (column, 1 - column))
    method = "betting confidence sequence" + ("" if population is None else f" without replacement from {population} items")
    return bounded(float(column.mean()), (low, 1 - high), sure(column, population or np.inf), len(column), method, confidence)


def confidence_sequence_path(
    values: ArrayLike, confidence: float = 0.95, *, population: int | None = None
) -> tuple[FloatArray, FloatArray]:
    """(low, high) after each value, both of shape (n,): all intersected with those before, the last as `confidence_sequence`.

    Earlier bounds lie on a grid of means, to the safe side by less than 0.002. Low above high: no mean fits.
    """
    column, goal = as_values(values, "values", low=0, high=1), log_goal(confidence)
    low, high = (_bets(side, goal, population).path(goal) for side in (column, 1 - column))
    high = 1 - high
    if population is not None:
        low, high = np.maximum(low, np.cumsum(column) / population), np.minimum(high, 1 - np.cumsum(1 - column) / population)
    return low, high


def log_goal(confidence: float) -> float:
    """Log capital at which a mean is out: α is shared by the bets on both sides."""
    return float(np.log(2 / (1 - check_confidence(confidence))))


def sure(column: FloatArray, items: float) -> tuple[float, float]:
    """What the values seen leave possible for the mean of so many items in [0, 1]."""
    return float(column.sum() / items), float(1 - (len(column) - column.sum()) / items)


def bounded(value: float, bounds: tuple[float, float], possible: tuple[float, float], n: int, method: str, confidence: float) -> Estimate:
    """The estimate within what is possible; the latter alone where bounds and it leave no mean."""
    low, high = max(bounds[0], possible[0]), min(bounds[1], possible[1])
    if low > high + 1e-9:
        return Estimate(value, *possible, n, "no interval: no single mean fits these values, they drift", confidence)
    return Estimate(value, low, max(low, high), n, method, confidence)


def _bets(column: FloatArray, goal: float, population: int | None) -> Bets:
    amounts = stakes(goal, deviations(column))
    if population is None:
        return Bets.on(column, amounts)
    if not float(population).is_integer():
        raise UserError(f"{population!r} is not a number of items", "pass how many items there are in all", where="population")
    if population < len(column):
        raise UserError(f"{len(column)} values of {population} items", "pass how many items there are in all", where="population")
    # what is left of the mean, given what has been drawn
    left = population - np.arange(len(column))
    drawn = np.concatenate([[0.0], np.cumsum(column)[:-1]])
    return Bets(column, amounts, np.zeros(len(column)), population / left, -drawn / left)
