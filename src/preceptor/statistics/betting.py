"""Bets against candidate means (Waudby-Smith & Ramdas 2024, the hedged capital process).

Who bets against a true mean can't grow rich, so a mean against which a bet grew far enough is out, for good.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preceptor.domain.results import FloatArray

GRID = 1000  # candidate means on the way to the last bound
BISECTIONS = 30
LARGEST_BET = 0.5  # share of the capital that one value may lose
CHUNK_STEPS = 1000
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Bets:
    """Bets that the mean is above candidates m, value after value, all of shape (n,).

    values: in [floor, …], of which value t has expectation slope·m + shift given those before, if m is the mean. stakes: how much
    to bet, from values before only (else nothing holds), cut so that no value loses more than half the capital.
    """

    values: FloatArray
    stakes: FloatArray
    floor: FloatArray
    slope: FloatArray
    shift: FloatArray

    @classmethod
    def on(cls, values: FloatArray, stakes: FloatArray) -> Bets:
        """On values in [0, 1] that all have the mean as expectation."""
        return cls(values, stakes, np.zeros(len(values)), np.ones(len(values)), np.zeros(len(values)))

    def bound(self, goal: float) -> float:
        """The largest mean that a bet has thrown out so far, by bisection: capital falls as the candidate mean rises."""
        low, high = 0.0, 1.0
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            out = np.cumsum(self._log_growth(slice(None), np.asarray([middle]))).max() >= goal
            low, high = (middle, high) if out else (low, middle)
        return low

    def path(self, goal: float) -> FloatArray:
        """The bound after each value, (n,): how far up the grid means are out. The grid is finer at both ends."""
        last, length = self.bound(goal), len(self.values)
        if last == 0:
            return np.zeros(length)
        grid = last * (1 - np.cos(np.pi * np.arange(1, GRID + 1) / GRID)) / 2
        path, capital, best = np.empty(length), np.zeros(GRID), np.full(GRID, -np.inf)
        for start in range(0, length, CHUNK_STEPS):
            now = slice(start, start + CHUNK_STEPS)
            steps = capital + np.cumsum(self._log_growth(now, grid), axis=0)
            highest = np.maximum(best, np.maximum.accumulate(steps, axis=0))
            out = np.count_nonzero(highest >= goal, axis=1)
            path[now] = np.where(out > 0, grid[out - 1], 0.0)
            capital, best = steps[-1], highest[-1]
        return path

    def _log_growth(self, now: slice, means: FloatArray) -> FloatArray:
        """Log growth of each step's bet against each candidate mean, (steps, means)."""
        values, stakes, floor, slope, shift = (
            column[now, None] for column in (self.values, self.stakes, self.floor, self.slope, self.shift)
        )
        expected = slope * means + shift
        return np.asarray(np.log1p(np.minimum(stakes, LARGEST_BET / np.maximum(expected - floor, TINY)) * (values - expected)))


def stakes(goal: float, errors: FloatArray) -> FloatArray:
    """λ_t, the paper's predictable plug-in, from values less what was expected of them; (n,), each from the errors before it."""
    t = np.arange(1, len(errors) + 1)
    variance = (0.25 + np.cumsum(errors**2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    return np.asarray(np.sqrt(2 * goal / (before * t * np.log1p(t))))


def deviations(column: FloatArray) -> FloatArray:
    """Values less the mean so far, which starts as half of one value of 1."""
    return np.asarray(column - (0.5 + np.cumsum(column)) / np.arange(2, len(column) + 2))
