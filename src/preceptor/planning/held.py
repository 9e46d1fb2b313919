"""How much the held-out rows of a curve are worth, where rows of one group resemble each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from preceptor.statistics.clusters import cluster_totals, ratio_mean
from preceptor.statistics.inputs import as_clusters
from preceptor.statistics.intervals import clustered_effective


def rows_worth(right: Sequence[ArrayLike], groups: Any) -> float:
    """How many independent rows they are, from runs at one size: each run's 0 or 1 for each row (n,), and the rows' groups.

    From the number of groups (all of a group are right together) up to that of rows (groups don't matter); of several runs the mean.
    """
    columns = [np.asarray(each, dtype=np.float64) for each in right]
    codes = as_clusters(groups, len(columns[0]))
    return float(np.mean([_worth(column, codes) for column in columns]))


def _worth(right: Any, codes: Any) -> float:
    totals, sizes = cluster_totals(right, codes)
    if right.min() == right.max() or len(sizes) < 2:  # nothing seen of how they resemble each other
        return float(len(sizes))
    return float(np.clip(clustered_effective(totals, sizes, ratio_mean(totals, sizes)), 1, len(right)))
