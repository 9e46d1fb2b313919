"""Distances between structured answers (sets, spans, ranks, claims, texts), used by alpha as squared differences, and text similarity.

Each distance function takes distinct answers and returns their distances, 0 (the same) to 1, shape (answers, answers).

The similarity of texts is the cosine between their counts of character trigrams. Like chrF (Popović 2015) it sees words, endings
and their local order; case and whitespace are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from preceptor.consensus.judgments import Floats, Integers

NGRAM_LENGTH = 3
PAIR_BLOCK = 20_000  # pairs of texts compared at once


def trigram_profiles(texts: Sequence[str]) -> sparse.csr_array:
    """Return the trigram profile of each text, (texts, trigrams): square roots of counts, each row of length 1.

    The square root keeps a word that is repeated from dominating.
    """
    marked = [f" {' '.join(text.casefold().split())} " + "\n" * (NGRAM_LENGTH - 1) for text in texts]  # no trigram spans two texts
    codes = np.frombuffer("".join(marked).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in marked])
    last = max(len(codes) - NGRAM_LENGTH + 1, 0)
    key = np.zeros(last, dtype=np.uint64)
    for offset in range(NGRAM_LENGTH):
        key = key * np.uint64(0x110000) + codes[offset : offset + last]  # a code point is below 0x110000: 63 bits hold three
    inside = (codes[:last] != ord("\n")) & (codes[NGRAM_LENGTH - 1 : NGRAM_LENGTH - 1 + last] != ord("\n"))
    _, column = np.unique(key[inside], return_inverse=True)
    table = sparse.coo_array((np.ones(len(column)), (owner[:last][inside], column)), (len(texts), int(column.max(initial=0)) + 1)).tocsr()
    table.data = np.sqrt(table.data)
    length = np.sqrt(np.asarray(table.power(2).sum(axis=1)).ravel())
    table.data /= np.repeat(np.maximum(length, 1e-300), np.diff(table.indptr))
    return table


def cosine_similarities(profile: sparse.csr_array, first: Integers, second: Integers) -> Floats:
    """Return the cosine similarity, 0 to 1, of each pair of rows (first[i], second[i])."""
    parts = [np.zeros(0)]
    for start in range(0, len(first), PAIR_BLOCK):
        rows = slice(start, start + PAIR_BLOCK)
        parts.append(np.asarray(profile[first[rows]].multiply(profile[second[rows]]).sum(axis=1)).ravel())
    return np.clip(np.concatenate(parts), 0.0, 1.0)


DistanceFunction = Callable[[Sequence[Any]], Floats]


def masi_distances(answers: Sequence[Any]) -> Floats:
    """Return MASI distances (Passonneau 2006), 1 − J · M.

    J is Jaccard's index; M is 1 for equal sets, 2/3 for a subset, 1/3 for an overlap (or none).
    """
    table = _membership_matrix([answer if isinstance(answer, tuple) else (answer,) for answer in answers])
    shared, size = table @ table.T, table.sum(axis=1)
    smaller = np.minimum(size[:, None], size)
    equal = (shared == size[:, None]) & (shared == size)
    kind = np.where(equal, 1.0, np.where(shared == smaller, 2 / 3, 1 / 3))
    return 1 - _jaccard_index(shared, size) * kind


def span_distances(answers: Sequence[tuple[tuple[int, int, Hashable], ...]]) -> Floats:
    """Return 1 − Jaccard's index of the characters that each label covers."""
    edges = np.unique([edge for answer in answers for start, end, _ in answer for edge in (start, end)])
    place = {edge: k for k, edge in enumerate(edges.tolist())}
    pieces = [[(k, label) for start, end, label in answer for k in range(place[start], place[end])] for answer in answers]
    columns = sorted({piece for answer in pieces for piece in answer}, key=lambda piece: (piece[0], str(piece[1])))
    table = _membership_matrix(pieces, columns)
    length = np.array([edges[k + 1] - edges[k] for k, _ in columns], dtype=np.float64)
    return 1 - _jaccard_index((table * length) @ table.T, table @ length)


def rank_distances(answers: Sequence[tuple[int, ...]]) -> Floats:
    """Return (1 − Spearman's correlation) / 2 of orders of the same responses.

    Raises ValueError for orders of different lengths.
    """
    if len({len(answer) for answer in answers}) > 1:
        raise ValueError("orders of different lengths")  # one question has one number of responses
    place = np.argsort(np.asarray(answers), axis=1).astype(np.float64)
    place -= place.mean(axis=1, keepdims=True)
    return np.asarray(np.clip((1 - place @ place.T / (place[0] @ place[0])) / 2, 0.0, 1.0))


def claim_distances(answers: Sequence[tuple[tuple[Hashable, str], ...]]) -> Floats:
    """Return the share of the claims marked by either answer that only one marked or to which they give different verdicts."""
    marked = _membership_matrix([[claim for claim, _ in answer] for answer in answers])
    said = _membership_matrix(answers)
    size = marked.sum(axis=1)
    both = size[:, None] + size - marked @ marked.T
    return np.asarray(1 - np.divide(said @ said.T, both, out=np.ones_like(both), where=both > 0))


def text_distances(answers: Sequence[str]) -> Floats:
    """Return 1 − the similarity of texts (see `trigram_profiles`)."""
    profile = trigram_profiles(answers)
    return np.asarray(np.clip(1 - (profile @ profile.T).toarray(), 0.0, 1.0))


DISTANCES: dict[str, DistanceFunction] = {
    "sets": masi_distances,
    "spans": span_distances,
    "ranks": rank_distances,
    "claims": claim_distances,
    "texts": text_distances,
}


def _membership_matrix(answers: Sequence[Iterable[Hashable]], columns: Sequence[Hashable] | None = None) -> Floats:
    """Return which members each answer has: 0 or 1, (answers, members)."""
    place: dict[Hashable, int] = {member: k for k, member in enumerate(columns or ())}
    for answer in answers:
        for member in answer:
            place.setdefault(member, len(place))
    table = np.zeros((len(answers), len(place)))
    for row, answer in enumerate(answers):
        table[row, [place[member] for member in answer]] = 1.0
    return table


def _jaccard_index(shared: Floats, size: Floats) -> Floats:
    """Return intersection over union of each pair; two empty answers are equal."""
    union = size[:, None] + size - shared
    return np.divide(shared, union, out=np.ones_like(union), where=union > 0)
