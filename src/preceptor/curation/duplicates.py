"""Texts that are the same, or nearly so: what must stay on one side of a split, and what inflates a count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, islice
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from preceptor.curation.minhash import STEPS, Buckets, band_keys, buckets, neighbours
from preceptor.curation.shingles import Sets, bag, by_length, jaccard, normalised, overlaps, shingle_sets
from preceptor.domain.results import FloatArray, IntArray
from preceptor.errors import UserError

_EXAMPLES = 5
_ALL_PAIRS = 8  # texts of a cluster up to which all are compared with all, for the nearest of each


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
    n − exact − near clusters remain.
    partner: the index of another text that shows why a text is in its cluster, −1 where it is alone; shape (n,). The
    same text where there is one (the first of them, or for the first the second), else the nearest that is linked to it:
    of all in a cluster of up to eight different texts, in a larger one of those that MinHash put before us.
    overlap: the Jaccard index with the partner, 1.0 for the same text, 0.0 without one; below the threshold only where
    the two are of the same words; shape (n,).
    same: whether the partner is the same text; shape (n,).
    """

    cluster: IntArray
    exact: int
    near: int
    partner: IntArray
    overlap: FloatArray
    same: NDArray[np.bool_]

    def members(self) -> list[tuple[int, ...]]:
        """The clusters of two texts or more, in order of appearance; each its texts' indices, rising."""
        order = np.argsort(self.cluster, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(self.cluster[order])) + 1)
        return [tuple(group.tolist()) for group in groups if len(group) > 1]

    def pairs(self) -> Iterator[Pair]:
        """Each text with its partner, by the text that comes first; two that are each other's partner once."""
        one = np.flatnonzero(self.partner >= 0)
        other = self.partner[one]
        told = (other < one) & (self.partner[other] == one)
        first, second, index = np.stack([np.minimum(one, other), np.maximum(one, other), one])[:, ~told]
        order = np.lexsort((second, first))
        same, overlap = self.same[index[order]].tolist(), self.overlap[index[order]].tolist()
        for row, (one_text, other_text) in enumerate(zip(first[order].tolist(), second[order].tolist(), strict=True)):
            yield Pair(one_text, other_text, "exact" if same[row] else "near", overlap[row])

    @property
    def examples(self) -> tuple[Pair, ...]:
        """Up to five pairs of either kind, those that come first."""
        kinds = ("exact", "near")
        return tuple(chain.from_iterable(islice((pair for pair in self.pairs() if pair.kind == kind), _EXAMPLES) for kind in kinds))


def near_duplicates(texts: Sequence[str], *, threshold: float = 0.8, seed: int = 0) -> Clusters:
    """Clusters of texts linked by equality (`exact_key`), by the same words in whatever order and punctuation (`bag`),
    or by a Jaccard index of `threshold` or more.

    Links add up: two texts in a cluster may be less alike than that when others lie between them. Pairs are found by
    MinHash, seeded, 99.9 % of those at the threshold and more above, and each is verified on the 5-grams themselves.
    At a threshold of 1 the order of words counts. Which texts fall together doesn't depend on their order. UserError
    unless 0 < threshold <= 1.
    """
    if not 0 < threshold <= 1:
        raise UserError(f"threshold is {threshold}; it must lie above 0 and not above 1", "0.8 is usual")
    different, place = _different(texts)
    links = _linked(different, threshold, seed)
    partner, overlap, same = _partners(place, links)
    return Clusters(
        cluster=_in_order_of_appearance(links.labels[place]),
        exact=len(texts) - len(different),
        near=len(different) - len(np.unique(links.labels)),
        partner=partner,
        overlap=overlap,
        same=same,
    )


class _Links:
    """Texts as they are joined: a label of each, equal where they are linked; the nearest of those each was compared with."""

    def __init__(self, count: int) -> None:
        self.labels: IntArray = np.arange(count)
        self.nearest: IntArray = np.full(count, -1)
        self.overlap: FloatArray = np.zeros(count)

    def join(self, one: IntArray, other: IntArray, overlap: FloatArray) -> None:
        """Link texts pair by pair."""
        if len(one):
            involved, place = np.unique([self.labels[one], self.labels[other]], return_inverse=True)
            left, right = place.reshape(2, -1)
            edges = coo_array((np.ones(len(left)), (left, right)), shape=(len(involved), len(involved)))
            joined = connected_components(edges, directed=False)[1]
            lowest = np.full(len(involved), len(self.labels))
            np.minimum.at(lowest, joined, involved)
            become = np.arange(len(self.labels))
            become[involved] = lowest[joined]
            self.labels = become[self.labels]
            self.compare(one, other, overlap)

    def compare(self, one: IntArray, other: IntArray, overlap: FloatArray) -> None:
        """Note pairs of linked texts where they are nearer than what is known."""
        text, partner, both = np.concatenate([one, other]), np.concatenate([other, one]), np.concatenate([overlap, overlap])
        order = np.lexsort((partner, -both, text))
        best = order[np.unique(text[order], return_index=True)[1]]
        best = best[(both[best] > self.overlap[text[best]]) | (self.nearest[text[best]] < 0)]
        self.nearest[text[best]], self.overlap[text[best]] = partner[best], both[best]

    def apart(self, one: IntArray, other: IntArray) -> NDArray[np.bool_]:
        """Which pairs aren't linked yet."""
        return np.asarray(self.labels[one] != self.labels[other], dtype=np.bool_)


def _different(texts: Sequence[str]) -> tuple[list[str], IntArray]:
    """The different normalised texts, sorted: an order that they alone decide; where each text stands among them."""
    seen: dict[str, int] = {}
    number = np.fromiter((seen.setdefault(normalised(text), len(seen)) for text in texts), np.int64, len(texts))
    found = list(seen)
    order = sorted(range(len(found)), key=found.__getitem__)
    rank = np.empty(len(found), np.int64)
    rank[order] = np.arange(len(found))
    return [found[index] for index in order], rank[number]


def _linked(texts: list[str], threshold: float, seed: int) -> _Links:
    """Links among different normalised texts."""
    links = _Links(len(texts))
    if threshold < 1:
        links.join(*_of_the_same_words(texts))
    for chosen, by_words in by_length(texts, threshold):
        if len(chosen) > 1:
            sets = shingle_sets([texts[index] for index in chosen], by_words=by_words)
            for bucket in buckets(band_keys(sets, threshold, seed)):
                _link(links, bucket, chosen, sets, threshold)
            _compare_all(links, chosen, sets, threshold)
    return links


def _of_the_same_words(texts: list[str]) -> tuple[IntArray, IntArray, FloatArray]:
    """Pairs of texts with the same `bag`, each with the first that has it, and their Jaccard index."""
    keys = np.fromiter(
        (int.from_bytes(blake2b(bag(text).encode("utf-8", "surrogatepass"), digest_size=8).digest()) for text in texts),
        np.uint64,
        len(texts),
    )
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    other = np.flatnonzero(first[inverse] != np.arange(len(texts)))
    other = np.array(
        [index for index in other.tolist() if (words := bag(texts[index])) and words == bag(texts[first[inverse[index]]])], np.int64
    )
    one = first[inverse[other]]
    return one, other, overlaps(texts, one, other)


def _link(links: _Links, bucket: Buckets, chosen: IntArray, sets: Sets, threshold: float) -> None:
    """Verify the pairs of one band's buckets that aren't linked yet, and link those that are alike."""
    for step in STEPS:
        bucket = bucket.within(_unsettled(bucket, links.labels[chosen[bucket.texts]]))
        left, right = neighbours(bucket, step)
        if not len(left):
            break
        apart = links.apart(chosen[left], chosen[right])
        left, right = left[apart], right[apart]
        overlap = jaccard(sets, left, right)
        alike = overlap >= threshold
        links.join(chosen[left[alike]], chosen[right[alike]], overlap[alike])


def _unsettled(bucket: Buckets, labels: IntArray) -> NDArray[np.bool_]:
    """The entries of buckets whose texts aren't all linked already."""
    starts = bucket.starts
    if not len(starts):
        return np.empty(0, bool)
    open_still = np.minimum.reduceat(labels, starts) != np.maximum.reduceat(labels, starts)
    return np.repeat(open_still, np.diff(starts, append=len(labels)))


def _compare_all(links: _Links, chosen: IntArray, sets: Sets, threshold: float) -> None:
    """Compare all texts of small clusters with each other, so that each knows its nearest."""
    labels = links.labels[chosen]
    sizes = np.bincount(labels, minlength=1)[labels]
    small = np.flatnonzero((sizes > 2) & (sizes <= _ALL_PAIRS))
    small = small[np.argsort(labels[small], kind="stable")]
    for step in range(1, _ALL_PAIRS):
        same = np.flatnonzero(labels[small[step:]] == labels[small[:-step]])
        left, right = small[same], small[same + step]
        overlap = jaccard(sets, left, right)
        alike = overlap >= threshold
        links.compare(chosen[left[alike]], chosen[right[alike]], overlap[alike])


def _partners(place: IntArray, links: _Links) -> tuple[IntArray, FloatArray, NDArray[np.bool_]]:
    """Each text's partner, overlap and whether it is the same; place: the different text that each one is."""
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(links.labels)))
    copies = np.diff(starts, append=len(place))
    first = order[starts]
    second = order[np.minimum(starts + 1, len(place) - 1)]
    same = copies[place] > 1
    itself = np.arange(len(place)) == first[place]
    nearest = links.nearest[place]
    near = np.where(nearest >= 0, first[nearest], -1)
    copy = np.where(itself, second[place], first[place])
    return np.where(same, copy, near), np.where(same, 1.0, links.overlap[place]), same


def _in_order_of_appearance(labels: IntArray) -> IntArray:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
