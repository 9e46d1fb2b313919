"""How far people agree on a question, in all and as the work went on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from preceptor.aggregation import agreement
from preceptor.domain import Estimate
from preceptor.project.figures.landscape import Landscape
from preceptor.questions import kinds

PARTS = 10
FEWEST = 10  # items with two answers in a part
REPLICATES = 400


@dataclass(frozen=True)
class Stretch:
    """Alpha of the items whose last judgments came within one stretch: the first to the last of those numbers."""

    first: int
    last: int
    items: int
    alpha: Estimate


@dataclass(frozen=True)
class Agreement:
    """Alpha in all (None where it is undefined, `why` says why), and by stretches of the work."""

    level: str
    alpha: Estimate | None
    why: str
    stretches: Sequence[Stretch]


def agreement_of(found: Landscape) -> Agreement:
    """Of a question: alpha by its kind's level of measurement.

    Stretches: the items that at least two people have judged, in the order of their last judgments, in ten equal parts (fewer
    where a part would have under ten). Each item is whole within one part, so that the intervals are independent.
    """
    level = kinds.get(found.standing.question.kind).level
    alpha = agreement(found.judgments, level)
    defined = isfinite(alpha.value)
    return Agreement(level, alpha if defined else None, "" if defined else alpha.method, tuple(_stretches(found, level)))


def _stretches(found: Landscape, level: str) -> list[Stretch]:
    j = found.judgments
    shared = np.flatnonzero(j.counts >= 2)
    parts = min(PARTS, len(shared) // FEWEST)
    if parts < 2:
        return []
    stretches = []
    for part in np.array_split(shared[np.argsort(found.last[shared], kind="stable")], parts):
        inside = np.zeros(j.n_items, dtype=bool)
        inside[part] = True
        alpha = agreement(j.keep(inside[j.item_code]), level, replicates=REPLICATES)
        if isfinite(alpha.value):
            ends = found.last[part]
            stretches.append(Stretch(int(ends[0]), int(ends[-1]), len(part), alpha))
    return stretches
