"""What an interval is worth in people's labels."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from preceptor.domain.results import Estimate
from preceptor.errors import UserError


def effective_labels(estimate: Estimate, alone: Estimate | None = None) -> float:
    """How many labels people alone would have had to give for an interval of this width.

    Of a share of independent items: by Wilson's interval at the same value. Else pass `alone`, the estimate from the same labels
    without a judge: widths fall with the root of their number, so it is n·(width alone/width)², in units of its n.
    """
    width = estimate.high - estimate.low
    if not 0 < width < np.inf:
        raise UserError("an interval without width, or without end, is worth no number of labels", where="estimate")
    if alone is not None:
        return float(alone.n * ((alone.high - alone.low) / width) ** 2)
    if not (0 <= estimate.value <= 1 and width < 1):
        raise UserError("only of a share in [0, 1] is this known from the estimate itself", "pass alone=", where="estimate")
    z2, spread, square = float(ndtri((1 + estimate.confidence) / 2)) ** 2, estimate.value * (1 - estimate.value), width**2
    # Wilson's width at n labels: w²(1 + u)² = 4u·p(1−p) + u² with u = z²/n
    half = square - 2 * spread
    root = half**2 + (1 - square) * square
    return float(z2 * (1 - square) / (half + np.sqrt(root)))
