"""Many tests at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import FloatArray
from preceptor.statistics.inputs import as_values


def holm(p_values: ArrayLike) -> FloatArray:
    """Adjusted p-values, in the order given (Holm 1979): those below α hold together with error rate α.

    For claims that *some* of m things improved. A gate that *all* must pass needs no adjustment.
    """
    p = as_values(p_values, "p_values", low=0, high=1)
    order = np.argsort(p, kind="stable")
    stepwise = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepwise, 1)
    return adjusted
