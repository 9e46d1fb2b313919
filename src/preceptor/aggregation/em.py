"""EM, accelerated: from scores to posteriors, and a climb of one objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from preceptor.aggregation.judgments import Floats

SLACK = 1e-9  # relative rounding error of a sum of log-probabilities


class Step(NamedTuple):
    """One E-step and M-step: objective and posterior at the parameters given, and the parameters that follow.

    promise: how much the M-step raised the expected log-likelihood, in nats; the objective will rise by at least that.
    """

    objective: float
    posterior: Floats
    following: Floats
    promise: float


class Climb(NamedTuple):
    """Where a climb ended: the best parameters met, their posterior and objective, and how it went."""

    params: Floats
    posterior: Floats
    objective: float
    iterations: int
    converged: bool


def climb(step: Callable[[Floats], Step], start: Floats, project: Callable[[Floats], Floats], *, gain: float, limit: int) -> Climb:
    """SQUAREM (Varadhan & Roland 2008, scheme S3): two EM steps, then a leap along them that is kept only where it climbs higher.

    start: flat parameters. project: back onto the simplices after a leap. Stops when the next step promises at most `gain`
    nats, or after `limit` steps. The objective never falls: EM can't lower it, and a leap that would is not taken.
    """
    here, now, steps = start, step(start), 1
    while steps < limit and now.promise > gain:
        first = step(now.following)
        if first.objective < now.objective - max(gain, SLACK * abs(now.objective)):
            raise ArithmeticError(f"EM lowered its objective from {now.objective!r} to {first.objective!r}")
        leap = project(_leap(here, now.following, first.following))
        last = step(leap)
        here, now = (leap, last) if last.objective >= first.objective else (now.following, first)
        steps += 2
    return Climb(here, now.posterior, now.objective, steps, now.promise <= gain)


def _leap(x0: Floats, x1: Floats, x2: Floats) -> Floats:
    change, bend = x1 - x0, x2 - 2 * x1 + x0
    length = np.sqrt(float(change @ change) / max(float(bend @ bend), 1e-300))
    length = min(max(length, 1.0), 1e3)
    return np.asarray(x0 + 2 * length * change + length**2 * bend)


def floored_log(values: Floats) -> Floats:
    """log, with 0 as −690: a product with it stays finite."""
    return np.asarray(np.log(np.maximum(values, 1e-300)))


def normalise(scores: Floats) -> Floats:
    """exp and scale each row to sum to 1, in place; returns each row's log of the sum, shape (rows,)."""
    # numpy's maximum over a short last axis is several times slower than column by column
    top = np.maximum.reduce(list(scores.T)) if scores.shape[1] <= 8 else scores.max(axis=1)
    scores -= top[:, None]
    np.exp(scores, out=scores)
    total = scores @ np.ones(scores.shape[1])
    scores /= total[:, None]
    return np.asarray(np.log(total) + top)
