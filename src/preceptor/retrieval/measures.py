"""How well a ranking finds what is relevant, each of one query."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np


def recall(ranking: Sequence[Hashable], relevance: Mapping[Hashable, float], k: int) -> float:
    """The share of what is relevant (above 0) among the first k; nan where nothing is."""
    relevant = {each for each, grade in relevance.items() if grade > 0}
    return len(relevant & set(ranking[:k])) / len(relevant) if relevant else float("nan")


def dcg(gains: Sequence[float]) -> float:
    """Σ gain_i / log2(i + 1), i from 1 (Järvelin & Kekäläinen 2002)."""
    return float(np.sum(np.asarray(gains, dtype=np.float64) / np.log2(np.arange(2, len(gains) + 2))))


def ndcg(ranking: Sequence[Hashable], relevance: Mapping[Hashable, float], k: int, *, exponential: bool = True) -> float:
    """DCG of the first k over that of the best order of all that was judged; nan where nothing is relevant.

    Gains are 2^grade − 1 (Burges et al. 2005), or the grades themselves. What nobody judged has none.
    """
    gain = (lambda grade: 2.0**grade - 1) if exponential else float
    best = dcg(sorted((gain(grade) for grade in relevance.values()), reverse=True)[:k])
    return dcg([gain(relevance.get(each, 0.0)) for each in ranking[:k]]) / best if best > 0 else float("nan")


def unjudged(ranking: Sequence[Hashable], relevance: Mapping[Hashable, float], k: int) -> float:
    """The share of the first k that nobody judged: how far the other figures may be too low. 0 where nothing was found."""
    shown = ranking[:k]
    return sum(each not in relevance for each in shown) / len(shown) if shown else 0.0
