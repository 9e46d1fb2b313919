"""Several rankings as one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)
CONSTANT = 60


def reciprocal_ranks(rankings: Sequence[Sequence[T]], *, constant: int = CONSTANT) -> list[tuple[T, float]]:
    """(id, score) best first: Σ over rankings of 1 / (constant + rank), ranks from 1, nothing where an id is absent (Cormack et al. 2009).

    Equal scores stand in order of their ids, which must be comparable.
    """
    scores: dict[T, float] = {}
    for ranking in rankings:
        for rank, each in enumerate(ranking, start=1):
            scores[each] = scores.get(each, 0.0) + 1 / (constant + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
