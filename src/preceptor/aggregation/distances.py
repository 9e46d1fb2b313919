"""How far apart two answers are that are more than one label: what alpha takes for a squared difference.

Each function takes distinct answers, as votes, and gives their distances, 0 (the same) to 1, shape (answers, answers).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from preceptor.aggregation.judgments import Floats
from preceptor.aggregation.similarity import profiles

Distances = Callable[[Sequence[Any]], Floats]


def sets(answers: Sequence[Any]) -> Floats:
    """MASI (Passonneau 2006): 1 − J · M. J is Jaccard's index; M is 1 for equal sets, 2/3 for a subset, 1/3 for a part in common."""
    table = _table([answer if isinstance(answer, tuple) else (answer,) for answer in answers])
    shared, size = table @ table.T, table.sum(axis=1)
    smaller = np.minimum(size[:, None], size)
    equal = (shared == size[:, None]) & (shared == size)
    kind = np.where(equal, 1.0, np.where(shared == smaller, 2 / 3, 1 / 3))
    return 1 - _jaccard(shared, size) * kind


def spans(answers: Sequence[tuple[tuple[int, int, Hashable], ...]]) -> Floats:
    """1 − Jaccard's index of the characters that each label covers."""
    edges = np.unique([edge for answer in answers for start, end, _ in answer for edge in (start, end)])
    place = {edge: k for k, edge in enumerate(edges.tolist())}
    pieces = [[(k, label) for start, end, label in answer for k in range(place[start], place[end])] for answer in answers]
    columns = sorted({piece for answer in pieces for piece in answer}, key=lambda piece: (piece[0], str(piece[1])))
    table = _table(pieces, columns)
    length = np.array([edges[k + 1] - edges[k] for k, _ in columns], dtype=np.float64)
    return 1 - _jaccard((table * length) @ table.T, table @ length)


def ranks(answers: Sequence[tuple[int, ...]]) -> Floats:
    """(1 − Spearman's correlation) / 2 of two orders of the same responses; 1 where they don't rank the same ones."""
    if len({len(answer) for answer in answers}) > 1:
        raise ValueError("orders of different lengths")  # one question has one number of responses
    place = np.argsort(np.asarray(answers), axis=1).astype(np.float64)
    place -= place.mean(axis=1, keepdims=True)
    return np.asarray(np.clip((1 - place @ place.T / (place[0] @ place[0])) / 2, 0.0, 1.0))


def claims(answers: Sequence[tuple[tuple[Hashable, str], ...]]) -> Floats:
    """The share of the claims that either marked on which the two verdicts differ, or only one marked it."""
    marked = _table([[claim for claim, _ in answer] for answer in answers])
    said = _table(answers)
    size = marked.sum(axis=1)
    both = size[:, None] + size - marked @ marked.T
    return np.asarray(1 - np.divide(said @ said.T, both, out=np.ones_like(both), where=both > 0))


def texts(answers: Sequence[str]) -> Floats:
    """1 − the texts' similarity."""
    profile = profiles(answers)
    return np.asarray(np.clip(1 - (profile @ profile.T).toarray(), 0.0, 1.0))


DISTANCES: dict[str, Distances] = {"sets": sets, "spans": spans, "ranks": ranks, "claims": claims, "texts": texts}


def _table(answers: Sequence[Iterable[Hashable]], columns: Sequence[Hashable] | None = None) -> Floats:
    """Which members each answer has: 0 or 1, (answers, members)."""
    place: dict[Hashable, int] = {member: k for k, member in enumerate(columns or ())}
    for answer in answers:
        for member in answer:
            place.setdefault(member, len(place))
    table = np.zeros((len(answers), len(place)))
    for row, answer in enumerate(answers):
        table[row, [place[member] for member in answer]] = 1.0
    return table


def _jaccard(shared: Floats, size: Floats) -> Floats:
    """Shared over united, of each pair; two empty answers are the same."""
    union = size[:, None] + size - shared
    return np.divide(shared, union, out=np.ones_like(union), where=union > 0)
