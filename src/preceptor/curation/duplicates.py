"""Texts that are the same, or nearly so: what must stay on one side of a split, and what inflates a count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from preceptor.curation.minhash import candidates, signatures
from preceptor.curation.shingles import by_length, exact_key, jaccard, normalised, shingle_sets, words
from preceptor.domain.results import IntArray
from preceptor.errors import UserError

_EXAMPLES = 5


class Pair(NamedTuple):
    """Two texts by their indices, first < second; overlap is their Jaccard index, 1.0 for the same text."""

    first: int
    second: int
    kind: Literal["exact", "near"]
    overlap: float


@dataclass(frozen=True)
class Clusters:
    """Which texts belong together.

    cluster: number of each text's cluster, from 0 in order of appearance; shape (n,).
    exact: texts that repeat another one. near: different texts that are joined to another one; so
    n − exact − near clusters remain. examples: up to five pairs of either kind, those that come first.
    """

    cluster: IntArray
    exact: int
    near: int
    examples: tuple[Pair, ...]


def near_duplicates(texts: Sequence[str], *, threshold: float = 0.8, seed: int = 0) -> Clusters:
    """Clusters of texts linked by equality (`exact_key`) or by a Jaccard index of `threshold` or more.

    Links add up: two texts in a cluster may be less alike than that when others lie between them. Pairs are found by
    MinHash, seeded, 99.9 % of those at the threshold and more above, and each is verified on the 5-grams themselves.
    Which texts fall together doesn't depend on their order. UserError unless 0 < threshold <= 1.
    """
    if not 0 < threshold <= 1:
        raise UserError(f"threshold is {threshold}; it must lie above 0 and not above 1", "0.8 is usual")
    copies: defaultdict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(texts):
        copies[exact_key(text)].append(index)
    groups = [copies[key] for key in sorted(copies)]  # in an order that the texts alone decide
    labels, links = _linked([normalised(texts[group[0]]) for group in groups], threshold, seed)
    cluster = np.empty(len(texts), np.int64)
    for group, label in zip(groups, labels, strict=True):
        cluster[group] = label
    repeats = (Pair(group[0], again, "exact", 1.0) for group in groups for again in group[1:])
    alike = (_pair(groups[one][0], groups[other][0], overlap) for one, other, overlap in links)
    return Clusters(
        cluster=_in_order_of_appearance(cluster),
        exact=len(texts) - len(groups),
        near=len(groups) - len(set(labels.tolist())),
        examples=tuple(chain.from_iterable(sorted(pairs)[:_EXAMPLES] for pairs in (repeats, alike))),
    )


def _linked(texts: list[str], threshold: float, seed: int) -> tuple[IntArray, list[tuple[int, int, float]]]:
    """A label for each of the distinct texts, equal where they are linked, and the links that were found."""
    labels = np.arange(len(texts))
    links: list[tuple[int, int, float]] = []
    for chosen, by_words in by_length([len(words(text)) for text in texts], threshold):
        if len(chosen) < 2:
            continue
        sets = shingle_sets([texts[index] for index in chosen], by_words=by_words)
        for left, right in candidates(signatures(sets, seed), threshold):
            apart = labels[chosen[left]] != labels[chosen[right]]
            left, right = left[apart], right[apart]
            overlap = jaccard(sets, left, right)
            alike = overlap >= threshold
            if alike.any():
                one, other = chosen[left[alike]], chosen[right[alike]]
                links.extend(zip(one.tolist(), other.tolist(), overlap[alike].tolist(), strict=True))
                labels = _joined(labels, one, other)
    return labels, links


def _joined(labels: IntArray, one: IntArray, other: IntArray) -> IntArray:
    """The labels after texts `one` and `other` have been joined pair by pair."""
    edges = coo_array((np.ones(len(one)), (labels[one], labels[other])), shape=(len(labels), len(labels)))
    return np.asarray(connected_components(edges, directed=False)[1][labels], dtype=np.int64)


def _pair(one: int, other: int, overlap: float) -> Pair:
    return Pair(min(one, other), max(one, other), "near", overlap)


def _in_order_of_appearance(labels: IntArray) -> IntArray:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
