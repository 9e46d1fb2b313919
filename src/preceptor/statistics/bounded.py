"""Limits of the mean of values that can't leave a known range, whatever their distribution is within it.

Gaffke's bound (2005; Learned-Miller & Thomas 2020): the upper limit is a quantile of Σw·x, where x are the values seen and one more
at the upper end of the range, and w is uniform on the simplex; the lower limit mirrors it. Of values 0 and 1 it is Clopper and
Pearson's exact limit. No distribution is known for which it holds less often than it says. A t interval of scores that are mostly 1
has its lower limit above the truth far more often than that, since the low scores that would widen it are those not seen.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaincinv, ndtr

from preceptor.domain.results import FloatArray
from preceptor.statistics.clusters import t_quantile

NEWTON_STEPS = 100
NEAR_MEAN = 1e-3  # standard deviations from the mean within which the saddlepoint formula loses its digits
CLOSEST = 1e-7  # of the range: how near a limit is told


def exact_share(share: float, effective: float, df: float, confidence: float) -> tuple[float, float]:
    """(low, high) of a share of so many effective units: Clopper and Pearson's, as Korn & Graubard (1998) do for samples of clusters.

    df: degrees of freedom of the variance that told their number, infinite where it was counted.
    """
    units = effective * (t_quantile(np.inf, confidence) / t_quantile(df, confidence)) ** 2
    events, tail = share * units, (1 - confidence) / 2
    low = float(betaincinv(events, units - events + 1, tail)) if share > 0 else 0.0
    high = float(betaincinv(events + 1, units - events, 1 - tail)) if share < 1 else 1.0
    return min(low, share), max(high, share)


def bounded_limits(
    totals: FloatArray, sizes: FloatArray, within: tuple[float, float], confidence: float, weights: FloatArray | None = None
) -> tuple[float, float]:
    """(low, high) of Σ totals / Σ sizes over independent clusters, (G,) both, of rows within a range; an end may be infinite.

    weights: as how many clusters each counts, all 1 by default. A cluster not seen has the usual number of rows, as a row sees it.
    """
    weight = np.ones(len(totals)) if weights is None else weights
    tail = (1 - confidence) / 2
    low = -_upper(-totals, sizes, weight, -within[0], tail) if np.isfinite(within[0]) else -np.inf
    high = _upper(totals, sizes, weight, within[1], tail) if np.isfinite(within[1]) else np.inf
    return low, high


def tilted(totals: FloatArray, sizes: FloatArray, value: float) -> FloatArray:
    """Weights of clusters, (G,) of mean 1, nearest to equal (exponential tilting) with which their mean is `value`.

    Where no weights give it, the nearest mean that some do.
    """
    means = totals / sizes
    edge = 1e-3 * float(np.ptp(means))
    target = min(max(value, float(means.min()) + edge), float(means.max()) - edge)
    gap = totals - target * sizes
    scale = float(np.abs(gap).max())
    if scale == 0:
        return np.ones(len(totals))

    def mean_gap(pull: float) -> float:
        exponent = pull * gap / scale
        return float(np.exp(exponent - exponent.max()) @ gap)

    exponent = float(brentq(mean_gap, -700, 700)) * gap / scale
    drawn = np.exp(exponent - exponent.max())
    return np.asarray(drawn * len(drawn) / drawn.sum())


def _upper(totals: FloatArray, sizes: FloatArray, weights: FloatArray, top: float, tail: float) -> float:
    """The mean m at which P(Σw(T − m·C) ≤ 0) = 1 − tail, with w gamma variables of shapes `weights`, and 1 for the cluster at the top."""
    usual = float((sizes**2).sum() / sizes.sum())
    all_totals, all_sizes, shapes = np.append(totals, top * usual), np.append(sizes, usual), np.append(weights, 1.0)
    means = all_totals / all_sizes
    lowest, highest = float(means.min()), float(means.max())
    span = highest - lowest
    if span <= CLOSEST * max(abs(highest), 1e-300):
        return highest

    def below(mean: float) -> float:
        return _share_below_zero(all_totals - mean * all_sizes, shapes) - (1 - tail)

    first, last = lowest + CLOSEST * span, highest - CLOSEST * span
    if below(last) <= 0:
        return highest
    return float(brentq(below, first, last, xtol=CLOSEST * span, rtol=1e-9)) if below(first) < 0 else lowest


def _share_below_zero(steps: FloatArray, shapes: FloatArray) -> float:
    """P(Σ G·steps ≤ 0) with gamma variables G of given shapes, by the saddlepoint formula of Lugannani & Rice (1980).

    Within 0.3 % of the exact tail probability from five variables on, and of smaller error with each more.
    """
    steps = steps / np.abs(steps).max()  # the sign of the sum knows no unit, and squares of 1e-200 are 0
    low, high = 1 / float(steps.min()), 1 / float(steps.max())  # cumulants exist between
    at = 0.0
    for _ in range(NEWTON_STEPS):
        tilt = steps / (1 - at * steps)
        slope = float(shapes @ tilt)
        low, high = (low, at) if slope > 0 else (at, high)
        following = at - slope / float(shapes @ tilt**2)
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - at) <= 1e-9 * abs(following):
            break
        at = following
    tilt = steps / (1 - at * steps)
    signed = float(np.sign(at) * np.sqrt(max(2 * float(shapes @ np.log1p(-at * steps)), 0.0)))
    if abs(signed) < NEAR_MEAN:
        skew = 2 * float(shapes @ steps**3) / float(shapes @ steps**2) ** 1.5
        return float(0.5 + skew / (6 * np.sqrt(2 * np.pi)))
    scaled = at * np.sqrt(float(shapes @ tilt**2))
    return float(ndtr(signed) + np.exp(-(signed**2) / 2) / np.sqrt(2 * np.pi) * (1 / signed - 1 / scaled))
