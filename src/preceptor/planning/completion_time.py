"""Forecast of completion: hours until the remaining judgments have been given, with an interval.

Annotators come in bursts, so hours differ by more than chance: a gamma-Poisson model, in which D = variance / mean of the judgments
given over a long time makes each of them worth 1/D of an independent one. Then the hours for `left` judgments, after `given`
of them took H hours, are H · (left / given) · F(2 left / D, 2 given / D), which covers the uncertainty of the pace and of chance
ahead; D is sampled as well. A history shorter than a few bursts, or than a week of working days, has too little information on them:
in simulations, 83 to 92 % of such intervals hold instead of 95 %.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from preceptor.errors import UserError
from preceptor.statistics.inputs import as_values, check_confidence
from preceptor.types import Estimate, FloatArray

DAY_HOURS = 24  # hours after which annotators' habits repeat
DRAWS = 4000
BLOCK_HOURS = (2, 4, 8, 24)  # lengths of the longer blocks of hours over which dispersion is estimated too
MIN_BLOCKS = 3
PRIOR_BLOCKS = 3.0  # weight, in blocks, of the estimate from neighbouring hours in that from longer blocks
PRIOR_HOURS = 6.0  # weight of the prior, in hours
PRIOR_DISPERSION = 6.0  # variance / mean of judgments an hour, before any were seen
PRIOR_AUTOCORRELATION = 0.4  # correlation of an hour with the next, before any were seen
METHOD = "gamma-Poisson"


def forecast_completion(counts_per_hour: Sequence[float], left: float | Estimate, *, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """Forecast the hours from now until `left` more judgments are given.

    counts_per_hour: judgments in each of the last hours, the newest last, all of them hours like those that come; hours without
    any count too. From two whole days on, the times of day are taken into account. left: a number, or an Estimate of it.
    Infinite, with the reason as `method`, where nobody has judged. Raises UserError for counts or numbers that can't be.
    """
    counts = as_values(counts_per_hour, "counts_per_hour", low=0)
    check_confidence(confidence)
    rng = np.random.default_rng(seed)
    wanted = _draw_remaining(left, rng)
    if not wanted.any():
        return Estimate(0.0, 0.0, 0.0, len(counts), "nothing is left", confidence)
    if not counts.any():
        return Estimate(np.inf, 0.0, np.inf, len(counts), "no forecast: nobody judged in these hours", confidence)
    day = _hourly_profile(counts)
    counts = counts[len(counts) % DAY_HOURS :] if day is not None else counts
    hours = _draw_hours(counts, wanted, _draw_dispersion(counts, day, rng), rng)
    marks = np.quantile(hours, [0.5, (1 - confidence) / 2, (1 + confidence) / 2])
    value, low, high = (marks if day is None else _to_clock_hours(marks, day)).tolist()
    return Estimate(value, low, high, len(counts), METHOD if day is None else f"{METHOD}, by time of day", confidence)


def _draw_remaining(left: float | Estimate, rng: np.random.Generator) -> FloatArray:
    """Sample the number of remaining judgments, (DRAWS,)."""
    value, low, high = (left.value, left.low, left.high) if isinstance(left, Estimate) else (left, left, left)
    if not (0 <= low <= value <= high < np.inf):
        raise UserError(f"judgments left can't be {left}", "a number of at least 0, or an Estimate of it", where="left")
    critical = float(ndtri((1 + (left.confidence if isinstance(left, Estimate) else 0.95)) / 2))
    drawn = rng.standard_normal(DRAWS)
    return np.asarray(np.maximum(0.0, value + drawn / critical * np.where(drawn < 0, value - low, high - value)), dtype=np.float64)


def _draw_hours(counts: FloatArray, wanted: FloatArray, dispersion: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Sample the hours at the mean pace, (DRAWS,): a pace from its posterior given the counts, then the hours at that pace."""
    given = counts.sum()
    pace = rng.gamma(given / dispersion, dispersion / len(counts), DRAWS)
    return np.asarray(rng.gamma(np.maximum(wanted, 1e-9) / dispersion) * dispersion / np.maximum(pace, 1e-12), dtype=np.float64)


def _draw_dispersion(counts: FloatArray, day: FloatArray | None, rng: np.random.Generator) -> FloatArray:
    """Sample variance / mean of judgments over a long time, at least 1, from its posterior, a scaled inverse χ², (DRAWS,).

    From the first-order autocorrelation of hours (few hours are mixed with a prior), or from sums over longer blocks where there
    are some; whichever is larger, since a burst may last for hours or a day.
    """
    mean, fitted = (counts.mean(), 1) if day is None else (counts.mean() * np.resize(day, len(counts)), DAY_HOURS)
    away, scale = counts - mean, float(counts.mean())
    by_hour = (float(away @ away) / scale + PRIOR_HOURS * PRIOR_DISPERSION) / (len(counts) - fitted + PRIOR_HOURS)
    together = float(away[1:] @ away[:-1]) / max(float(away @ away), 1e-12) + 1 / len(counts)
    together = float(np.clip((len(counts) * together + PRIOR_HOURS * PRIOR_AUTOCORRELATION) / (len(counts) + PRIOR_HOURS), 0, 0.9))
    longer = (1 + together) / (1 - together)
    weight = (len(counts) - fitted + PRIOR_HOURS) / longer
    found = [(by_hour * longer, weight)]
    for size in (each for each in BLOCK_HOURS if len(counts) >= MIN_BLOCKS * each):
        blocks = len(counts) // size
        sums = away[len(counts) - blocks * size :].reshape(blocks, size).sum(axis=1)
        free = blocks - fitted / size + PRIOR_BLOCKS
        found.append(((float(sums @ sums) / (scale * size) + PRIOR_BLOCKS * by_hour * longer) / free, free))
    dispersion, free = max(found)
    return np.asarray(np.maximum(1.0, dispersion * free / rng.chisquare(free, DRAWS)), dtype=np.float64)


def _hourly_profile(counts: FloatArray) -> FloatArray | None:
    """Return the share of the mean pace in each of the next 24 hours, (24,), from whole days; None with fewer than two of them."""
    days = len(counts) // DAY_HOURS
    if days < 2:
        return None
    by_day = counts[len(counts) - days * DAY_HOURS :].reshape(days, DAY_HOURS)
    return None if not by_day.any() else np.asarray(by_day.mean(axis=0) / by_day.mean(), dtype=np.float64)


def _to_clock_hours(hours: FloatArray, day: FloatArray) -> FloatArray:
    """Convert hours at the mean pace to hours on the clock, given the times of day."""
    worked = np.concatenate([[0.0], day.cumsum()])
    whole, rest = np.divmod(hours, DAY_HOURS)
    return np.asarray(whole * DAY_HOURS + np.interp(rest, worked, np.arange(DAY_HOURS + 1)), dtype=np.float64)
