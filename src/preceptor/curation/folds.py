"""Rows in folds, so that each is looked at by a model that has seen nothing of its group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preceptor.domain.results import IntArray
from preceptor.errors import UserError
from preceptor.statistics.inputs import as_clusters


def folds(groups: Sequence[str] | None, labels: IntArray, *, count: int = 5, seed: int = 0) -> IntArray:
    """The fold of each row, 0 … count−1, shape (n,): a group is in one fold, and each label is spread over all as its groups allow.

    Groups of a label are dealt out from the largest to the smallest, there and back like cards, so that folds are of about one
    size; a group of several labels counts as one of its commonest. The same seed gives the same folds. UserError for fewer groups
    than folds.
    """
    code = as_clusters(groups, len(labels))
    group_count = int(code.max()) + 1 if len(code) else 0
    if not 2 <= count <= group_count:
        raise UserError(
            f"{count} folds need at least two, and as many groups of rows; there are {group_count:,} groups",
            "add rows of more groups, for a group stays in one fold",
            where="folds",
        )
    size, common = np.bincount(code), _commonest(code, labels)
    chance = np.random.default_rng(seed).permutation(group_count)
    order = np.lexsort((chance, -size, common))
    turn, place = np.divmod(np.arange(group_count), count)
    dealt = np.empty(group_count, np.int64)
    dealt[order] = np.where(turn % 2, count - 1 - place, place)
    return dealt[code]


def _commonest(code: IntArray, labels: IntArray) -> IntArray:
    """The commonest label of each group; of equals the first."""
    width = int(labels.max()) + 1
    cells, counts = np.unique(code * width + labels, return_counts=True)
    group, label = np.divmod(cells, width)
    order = np.lexsort((label, -counts, group))
    first = np.unique(group[order], return_index=True)[1]
    return np.asarray(label[order][first], dtype=np.int64)
