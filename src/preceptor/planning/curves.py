"""Learning curves: the error after so many rows, and a range for what it would be with more.

No one form fits all curves, so several are fitted and averaged by how well they predict (AICc); power laws are usual (Hestness et al.
2017, "Deep Learning Scaling is Predictable, Empirically"), and ill-behaved curves exist (Viering and Loog 2022, "The Shape of Learning
Curves"). A forecast is shown only where the same forecast, made without the largest size, would have come true.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from preceptor.domain import Estimate
from preceptor.domain.results import FloatArray, IntArray
from preceptor.errors import UserError

DRAWS = 400
CONFIDENCE = 0.95
FARTHEST = 4  # times the largest size: beyond, nominal bands were seen to hold a tenth of the time
LEAST_SIZES, LEAST_SEEDS = 5, 3
LEAST_NOISE = 0.005  # no curve is known better than to half a point
METHOD = "curves averaged by AICc, parametric bootstrap"


@dataclass(frozen=True)
class Family:
    """Curves a · shape(n; θ) + c with a ≥ 0 and c from 0 to 1. floor: whether c is fitted, else 0. parameters: that are fitted.

    shape: sizes (m,) in units of the largest measured -> (θs on a grid, m).
    """

    name: str
    parameters: int
    floor: bool
    shape: Callable[[FloatArray], FloatArray]


_RATES = np.linspace(0.02, 2.5, 100)[:, None]
_TURNS = np.geomspace(0.004, 8, 40)[:, None]
_STEEP, _MIDDLE = (each.reshape(-1, 1) for each in np.meshgrid(np.linspace(0.1, 3, 24), np.geomspace(0.004, 8, 24)))
_UNIT = 200.0  # the inverse logarithm has a scale of its own: the largest size stands for so many rows

FAMILIES = (
    Family("power law", 2, False, lambda n: n**-_RATES),
    Family("power law with a floor", 3, True, lambda n: n**-_RATES),
    Family("exponential", 3, True, lambda n: np.exp(-n / _TURNS)),
    Family("inverse logarithm", 2, True, lambda n: 1 / np.log1p(_UNIT * n[None, :])),
    Family("logistic in log n", 3, False, lambda n: 1 / (1 + (n / _MIDDLE) ** _STEEP)),
)


@dataclass(frozen=True, eq=False)
class Measured:
    """Errors of runs: size (m,), error (m,) as shares, one for each size and seed; all on the same rows.

    held: how many independent units (groups) these rows are; worth: how many independent rows, `held` where it isn't known.
    """

    size: IntArray
    error: FloatArray
    held: int
    worth: float | None = None

    def check(self) -> None:
        """UserError where that is too little for a curve that forecasts, or can't be what was measured."""
        if self.held < 1 or not (len(self.size) == len(self.error) and (self.size >= 1).all()):
            raise UserError("a learning curve takes an error for each size, from one row on, and held-out rows that it was measured on")
        if wrong := np.flatnonzero(~((self.error >= 0) & (self.error <= 1))).tolist():
            size, error = self.size[wrong[0]], self.error[wrong[0]]
            raise UserError(f"an error is a share of wrong answers from 0 to 1, and with {size:,} rows it is {error:g}", "measure it again")
        seeds = np.unique(self.size, return_counts=True)[1].tolist()
        if len(seeds) < LEAST_SIZES or min(seeds) < LEAST_SEEDS:
            needed = f"{LEAST_SIZES} sizes and {LEAST_SEEDS} seeds of each"
            raise UserError(f"a learning curve takes {needed}, not {len(seeds)} and {min(seeds, default=0)}", "measure more points")

    @property
    def largest(self) -> int:
        return int(self.size.max())

    @property
    def means(self) -> dict[int, float]:
        """The mean error at each size."""
        return {int(size): float(self.error[self.size == size].mean()) for size in np.unique(self.size)}

    @property
    def noise(self) -> FloatArray:
        """Variance of a run's error about the curve: that between seeds, pooled over sizes.

        It holds what each run makes of the held-out rows by itself; what all runs share of their drawing is in `Curve.accuracy`.
        """
        means = self.means
        centre = np.array([means[int(size)] for size in self.size])
        between = float(((self.error - centre) ** 2).sum() / (len(self.error) - len(means)))
        return np.full(len(self.error), between + LEAST_NOISE**2)

    def without_largest(self) -> Measured:
        """The same but for the runs of the largest size."""
        kept = self.size < self.largest
        return Measured(self.size[kept], self.error[kept], self.held, self.worth)


@dataclass(frozen=True, eq=False)
class Curve:
    """A fitted curve. `_fits`: of each family, on the errors themselves; `_draws`: the same on errors that might have been."""

    measured: Measured
    weights: FloatArray
    _fits: tuple[_Fit, ...]
    _draws: tuple[_Fit, ...]
    _chosen: IntArray

    @classmethod
    def fit(cls, measured: Measured, seed: int = 0) -> Self:
        """Fit all families; then again to errors drawn about a family that is itself drawn by weight."""
        random = np.random.default_rng(seed)
        unit, noise = measured.size / measured.largest, measured.noise
        noise = noise * _misfit(measured, unit)
        fits = tuple(_fit(family, unit, measured.error[None], noise) for family in FAMILIES)
        weights = _weights(fits, len(unit))[0]
        truth = np.stack([fit.at(unit)[0] for fit in fits])[random.choice(len(FAMILIES), size=DRAWS, p=weights)]
        errors = np.clip(truth + random.normal(size=truth.shape) * np.sqrt(noise), 0, 1)
        draws = tuple(_fit(family, unit, errors, noise) for family in FAMILIES)
        uneven = _weights(draws, len(unit)).cumsum(axis=1)
        chosen = (random.random((DRAWS, 1)) > uneven / uneven[:, -1:]).sum(axis=1)
        return cls(measured, weights, fits, draws, chosen)

    def draws(self, size: float) -> FloatArray:
        """The error at a size, as often as it was drawn, (DRAWS,)."""
        at = np.array([size / self.measured.largest])
        each = np.stack([fit.at(at)[:, 0] for fit in self._draws])
        return np.clip(each[self._chosen, np.arange(DRAWS)], 0, 1)

    def error(self, size: float) -> float:
        """The error at a size, averaged over families."""
        at = np.array([size / self.measured.largest])
        return float(np.clip(self.weights @ np.array([fit.at(at)[0, 0] for fit in self._fits]), 0, 1))

    def accuracy(self, size: float) -> Estimate:
        """The accuracy to expect at a size on new rows: what is not known of the curve, and that the held-out rows are a sample."""
        error = self.error(size)
        rows = self.measured.worth or self.measured.held
        luck = np.random.default_rng(1).beta(rows * error + 0.5, rows * (1 - error) + 0.5, size=DRAWS) - error  # Jeffreys; near 0 uneven
        ends = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
        low, high = np.quantile(np.clip(1 - self.draws(size) - luck, 0, 1), ends).tolist()
        return Estimate(1 - error, min(low, 1 - error), max(high, 1 - error), self.measured.held, METHOD, CONFIDENCE)


@dataclass(frozen=True)
class Backtest:
    """The largest size, forecast from the others: the range for its mean error, what was measured, and whether it lay within."""

    size: int
    low: float
    high: float
    measured: float

    @property
    def passed(self) -> bool:
        return self.low <= self.measured <= self.high


def backtest(measured: Measured, seed: int = 0) -> Backtest:
    """Whether a forecast made without the largest size would have come true."""
    before = Curve.fit(measured.without_largest(), seed)
    last = measured.size == measured.largest
    noise = np.random.default_rng(seed + 1).normal(size=DRAWS) * np.sqrt(measured.noise[last].mean() / last.sum())
    low, high = np.quantile(before.draws(measured.largest) + noise, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Backtest(measured.largest, float(low), float(high), measured.means[measured.largest])


@dataclass(frozen=True, eq=False)
class _Fit:
    """The best curve of a family for each of several sets of errors: its θ's row on the grid, a and c, (sets,); and its misfit."""

    family: Family
    theta: IntArray
    scale: FloatArray
    floor: FloatArray
    misfit: FloatArray

    def at(self, unit: FloatArray) -> FloatArray:
        """Errors at sizes in units of the largest, (sets, sizes)."""
        shape = self.family.shape(unit)[self.theta]
        return np.asarray(self.scale[:, None] * shape + self.floor[:, None])


def _fit(family: Family, unit: FloatArray, errors: FloatArray, noise: FloatArray) -> _Fit:
    """Least squares weighted by 1 / noise, exact in a and c for each θ of the grid. errors: (sets, m)."""
    weight = 1 / noise
    shape = family.shape(unit)
    squares, sums, total = (shape**2) @ weight, shape @ weight, weight.sum()
    products, plain = (errors * weight) @ shape.T, (errors @ weight)[:, None]
    scale, floor = np.maximum(products / squares, 0), np.zeros_like(products)
    if family.floor:
        size = np.maximum(squares * total - sums**2, 1e-12)
        free_scale, free_floor = (products * total - plain * sums) / size, (plain * squares - products * sums) / size
        flat = free_scale < 0
        inside = ~flat & (free_floor >= 0)
        scale = np.where(flat, 0, np.where(inside, free_scale, scale))
        floor = np.where(flat, plain / total, np.where(inside, free_floor, 0))
    misfit = (errors**2 @ weight)[:, None] - 2 * (scale * products + floor * plain)
    misfit = misfit + scale**2 * squares + 2 * scale * floor * sums + floor**2 * total
    best, rows = misfit.argmin(axis=1), np.arange(len(errors))
    return _Fit(family, best, scale[rows, best], floor[rows, best], misfit[rows, best])


def _misfit(measured: Measured, unit: FloatArray) -> float:
    """How many times the noise the means lie off the family that they are nearest to, for each degree of freedom; 1 at least.

    A curve that no family follows is known less well than its seeds agree: without this, steps and bumps were missed most.
    """
    means, noise = measured.means, measured.noise
    around = np.array([means[int(size)] for size in measured.size])
    return max(1.0, min(float(_fit(each, unit, around[None], noise).misfit[0]) / max(1, len(means) - each.parameters) for each in FAMILIES))


def _weights(fits: Sequence[_Fit], points: int) -> FloatArray:
    """Akaike weights with the correction for few points, (sets, families); rows sum to 1."""
    columns = []
    for fit in fits:
        k = fit.family.parameters
        columns.append(fit.misfit + 2 * k + (2 * k * (k + 1) / (points - k - 1)))
    criterion: Any = np.stack(columns, axis=1)
    raised = np.exp(-(criterion - criterion.min(axis=1, keepdims=True)) / 2)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
