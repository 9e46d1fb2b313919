"""What an interval is worth in people's labels."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from preceptor.domain.results import Estimate
from preceptor.errors import UserError
from preceptor.statistics.bounded import exact_share


def effective_labels(estimate: Estimate, alone: Estimate | None = None) -> float:
    """How many labels people alone would have had to give for an interval of this width.

    Of a share of independent items: by Clopper and Pearson's interval at the same value. Else pass `alone`, the estimate from the same
    labels without a judge: widths fall with the root of their number, so it is n·(width alone/width)², in units of its n.
    """
    width = estimate.high - estimate.low
    if not 0 < width < np.inf:
        raise UserError("an interval without width, or without end, is worth no number of labels", where="estimate")
    if alone is not None:
        return float(alone.n * ((alone.high - alone.low) / width) ** 2)
    if not (0 <= estimate.value <= 1 and width < 1):
        raise UserError("only of a share in [0, 1] is this known from the estimate itself", "pass alone=", where="estimate")

    def too_wide(log_labels: float) -> float:
        low, high = exact_share(estimate.value, float(np.exp(log_labels)), np.inf, estimate.confidence)
        return high - low - width

    return float(np.exp(brentq(too_wide, np.log(1e-6), np.log(1e12))))
