"""Which of many differences are more than chance: one level over all that was compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError


def benjamini_hochberg(p_values: ArrayLike, tests: int | None = None) -> FloatArray:
    """Adjusted p-values in the order given (Benjamini & Hochberg 1995): of those below q, a share of at most q is chance, in the mean.

    tests: how many were made, where those left out of `p_values` had a p of 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not p.size:
        return p
    order = np.argsort(p, kind="stable")[::-1]
    rank = np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(p[order] * max(tests or 0, len(p)) / rank), 1)
    return adjusted


def check_level(level: float) -> float:
    """`level` itself; UserError unless strictly between 0 and 1."""
    if not 0 < level < 1:
        raise UserError(f"level {level!r} is not between 0 and 1", "5 % is 0.05", where="level")
    return float(level)
