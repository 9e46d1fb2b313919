"""Learning curves: the error after so many rows, its forecast for more, and the effective size of the held-out set.

No one form fits all curves, so several are fitted and averaged by how well they predict (AICc); power laws are usual (Hestness et al.
2017, "Deep Learning Scaling is Predictable, Empirically"), and ill-behaved curves exist (Viering and Loog 2022, "The Shape of Learning
Curves"). A forecast is shown only where the same forecast, made without the largest size, would have come true.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from preceptor.errors import UserError
from preceptor.statistics.inputs import as_clusters
from preceptor.statistics.intervals import cluster_totals, effective_sample_size, ratio_mean
from preceptor.types import Estimate, FloatArray, IntArray


def effective_rows(right: Sequence[ArrayLike], groups: Any) -> float:
    """Return how many independent rows the held-out rows are worth, from runs at one size.

    right: for each run 0 or 1 for each row, (n,). groups: the rows' groups. From the number of groups (all of a group are right together)
    up to that of rows (groups don't matter); of several runs the mean.
    """
    columns = [np.asarray(each, dtype=np.float64) for each in right]
    codes = as_clusters(groups, len(columns[0]))
    return float(np.mean([_effective_rows_of_run(column, codes) for column in columns]))


def _effective_rows_of_run(right: Any, codes: Any) -> float:
    totals, sizes = cluster_totals(right, codes)
    if right.min() == right.max() or len(sizes) < 2:  # the correlation within groups can't be estimated
        return float(len(sizes))
    return float(np.clip(effective_sample_size(totals, sizes, ratio_mean(totals, sizes)), 1, len(right)))


DRAWS = 400
CONFIDENCE = 0.95
MAX_EXTRAPOLATION = 4  # times the largest size; beyond it the measured coverage of nominal bands was a tenth
MIN_SIZES, MIN_SEEDS = 5, 3
MIN_NOISE = 0.005  # least standard deviation of a run's error: half a point
CURVE_METHOD = "curves averaged by AICc, parametric bootstrap"


@dataclass(frozen=True)
class CurveFamily:
    """A family of curves a · shape(n; θ) + c with a ≥ 0 and c from 0 to 1.

    parameters: how many are fitted. floor: whether c is fitted, else 0.
    shape: sizes (m,) in units of the largest measured -> (θs on a grid, m).
    """

    name: str
    parameters: int
    floor: bool
    shape: Callable[[FloatArray], FloatArray]


_RATES = np.linspace(0.02, 2.5, 100)[:, None]
_DECAYS = np.geomspace(0.004, 8, 40)[:, None]
_STEEP, _MIDDLE = (each.reshape(-1, 1) for each in np.meshgrid(np.linspace(0.1, 3, 24), np.geomspace(0.004, 8, 24)))
_UNIT = 200.0  # rows that the largest size stands for in the inverse logarithm, which isn't scale-free

FAMILIES = (
    CurveFamily("power law", 2, False, lambda n: n**-_RATES),
    CurveFamily("power law with a floor", 3, True, lambda n: n**-_RATES),
    CurveFamily("exponential", 3, True, lambda n: np.exp(-n / _DECAYS)),
    CurveFamily("inverse logarithm", 2, True, lambda n: 1 / np.log1p(_UNIT * n[None, :])),
    CurveFamily("logistic in log n", 3, False, lambda n: 1 / (1 + (n / _MIDDLE) ** _STEEP)),
)


@dataclass(frozen=True, eq=False)
class MeasuredErrors:
    """Errors of runs: size (m,), error (m,) as shares, one for each size and seed; all on the same held-out rows.

    heldout_units: how many independent units (groups) these rows are. effective_rows: how many independent rows they are worth, None
    where it isn't known, when `heldout_units` is used.
    """

    size: IntArray
    error: FloatArray
    heldout_units: int
    effective_rows: float | None = None

    def check(self) -> None:
        """Raise UserError where the runs are too few for a curve that forecasts, or can't be what was measured."""
        if self.heldout_units < 1 or not (len(self.size) == len(self.error) and (self.size >= 1).all()):
            raise UserError("a learning curve takes an error for each size, from one row on, and held-out rows that it was measured on")
        if wrong := np.flatnonzero(~((self.error >= 0) & (self.error <= 1))).tolist():
            size, error = self.size[wrong[0]], self.error[wrong[0]]
            raise UserError(f"an error is a share of wrong answers from 0 to 1, and with {size:,} rows it is {error:g}", "measure it again")
        seeds = np.unique(self.size, return_counts=True)[1].tolist()
        if len(seeds) < MIN_SIZES or min(seeds) < MIN_SEEDS:
            needed = f"{MIN_SIZES} sizes and {MIN_SEEDS} seeds of each"
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

        It covers each run's own error on the held-out rows; the sampling error that all runs share is in `LearningCurve.accuracy`.
        """
        means = self.means
        centre = np.array([means[int(size)] for size in self.size])
        between = float(((self.error - centre) ** 2).sum() / (len(self.error) - len(means)))
        return np.full(len(self.error), between + MIN_NOISE**2)

    def without_largest(self) -> MeasuredErrors:
        """Return the same errors without the runs of the largest size."""
        kept = self.size < self.largest
        return MeasuredErrors(self.size[kept], self.error[kept], self.heldout_units, self.effective_rows)


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """A fitted curve.

    measured: the runs. weights: Akaike weight of each family. `_fits`: each family fitted to the measured errors; `_draws`: to errors
    of the parametric bootstrap; `_chosen`: the family of each bootstrap draw.
    """

    measured: MeasuredErrors
    weights: FloatArray
    _fits: tuple[_FamilyFit, ...]
    _draws: tuple[_FamilyFit, ...]
    _chosen: IntArray

    @classmethod
    def fit(cls, measured: MeasuredErrors, seed: int = 0) -> Self:
        """Fit all families, then again to bootstrap errors simulated from families sampled by weight."""
        random = np.random.default_rng(seed)
        unit, noise = measured.size / measured.largest, measured.noise
        noise = noise * _noise_inflation(measured, unit)
        fits = tuple(_fit_family(family, unit, measured.error[None], noise) for family in FAMILIES)
        weights = _akaike_weights(fits, len(unit))[0]
        truth = np.stack([fit.at(unit)[0] for fit in fits])[random.choice(len(FAMILIES), size=DRAWS, p=weights)]
        errors = np.clip(truth + random.normal(size=truth.shape) * np.sqrt(noise), 0, 1)
        draws = tuple(_fit_family(family, unit, errors, noise) for family in FAMILIES)
        uneven = _akaike_weights(draws, len(unit)).cumsum(axis=1)
        chosen = (random.random((DRAWS, 1)) > uneven / uneven[:, -1:]).sum(axis=1)
        return cls(measured, weights, fits, draws, chosen)

    def error_draws(self, size: float) -> FloatArray:
        """Return the bootstrap draws of the error at a size, (DRAWS,)."""
        at = np.array([size / self.measured.largest])
        each = np.stack([fit.at(at)[:, 0] for fit in self._draws])
        return np.clip(each[self._chosen, np.arange(DRAWS)], 0, 1)

    def error(self, size: float) -> float:
        """Return the error at a size, averaged over families."""
        at = np.array([size / self.measured.largest])
        return float(np.clip(self.weights @ np.array([fit.at(at)[0, 0] for fit in self._fits]), 0, 1))

    def accuracy(self, size: float) -> Estimate:
        """Estimate the accuracy at a size on new rows.

        The interval covers the uncertainty of the curve, and that the held-out rows are a sample.
        """
        error = self.error(size)
        rows = self.measured.effective_rows or self.measured.heldout_units
        luck = np.random.default_rng(1).beta(rows * error + 0.5, rows * (1 - error) + 0.5, size=DRAWS) - error  # Jeffreys; near 0 uneven
        ends = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
        low, high = np.quantile(np.clip(1 - self.error_draws(size) - luck, 0, 1), ends).tolist()
        return Estimate(1 - error, min(low, 1 - error), max(high, 1 - error), self.measured.heldout_units, CURVE_METHOD, CONFIDENCE)


@dataclass(frozen=True)
class CurveBacktest:
    """The largest size, forecast from the others: the range for its mean error (low, high), and the mean error measured."""

    size: int
    low: float
    high: float
    measured: float

    @property
    def passed(self) -> bool:
        return self.low <= self.measured <= self.high


def backtest_curve(measured: MeasuredErrors, seed: int = 0) -> CurveBacktest:
    """Backtest the curve: forecast the largest size from the others."""
    before = LearningCurve.fit(measured.without_largest(), seed)
    last = measured.size == measured.largest
    noise = np.random.default_rng(seed + 1).normal(size=DRAWS) * np.sqrt(measured.noise[last].mean() / last.sum())
    low, high = np.quantile(before.error_draws(measured.largest) + noise, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return CurveBacktest(measured.largest, float(low), float(high), measured.means[measured.largest])


@dataclass(frozen=True, eq=False)
class _FamilyFit:
    """The best curve of a family for each of several sets of errors: the row of θ on the grid, a and c, and the misfit, (sets,) each."""

    family: CurveFamily
    theta: IntArray
    scale: FloatArray
    floor: FloatArray
    misfit: FloatArray

    def at(self, unit: FloatArray) -> FloatArray:
        """Return errors at sizes in units of the largest, (sets, sizes)."""
        shape = self.family.shape(unit)[self.theta]
        return np.asarray(self.scale[:, None] * shape + self.floor[:, None])


def _fit_family(family: CurveFamily, unit: FloatArray, errors: FloatArray, noise: FloatArray) -> _FamilyFit:
    """Fit by least squares weighted by 1 / noise, exact in a and c for each θ of the grid. errors: (sets, m)."""
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
    return _FamilyFit(family, best, scale[rows, best], floor[rows, best], misfit[rows, best])


def _noise_inflation(measured: MeasuredErrors, unit: FloatArray) -> float:
    """Return the misfit per degree of freedom of the family that is nearest to the mean errors, in units of the noise; 1 at least.

    A curve that no family fits is known less precisely than its seeds agree: without this, steps and bumps had the worst coverage.
    """
    means, noise = measured.means, measured.noise
    around = np.array([means[int(size)] for size in measured.size])
    return max(
        1.0, min(float(_fit_family(each, unit, around[None], noise).misfit[0]) / max(1, len(means) - each.parameters) for each in FAMILIES)
    )


def _akaike_weights(fits: Sequence[_FamilyFit], points: int) -> FloatArray:
    """Return Akaike weights with the correction for few points, (sets, families); rows sum to 1."""
    columns = []
    for fit in fits:
        k = fit.family.parameters
        columns.append(fit.misfit + 2 * k + (2 * k * (k + 1) / (points - k - 1)))
    criterion: Any = np.stack(columns, axis=1)
    raised = np.exp(-(criterion - criterion.min(axis=1, keepdims=True)) / 2)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
