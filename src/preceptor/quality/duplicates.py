"""Find exact and near duplicates of texts by MinHash over hashed n-grams (Broder, 1997).

A text is a set of hashed 5-grams: of words in long texts, of characters in short ones, where one changed word of fewer than about fifty
already pushes the Jaccard index of word 5-grams below 0.8. Candidate pairs are found by MinHash signatures in bands (Broder 1997; Leskovec
et al., MMDS, ch. 3) and verified on the 5-grams themselves. It runs in numpy over all texts at once: datasketch builds its signatures text
by text in Python and leaves the check of the true Jaccard index to the caller. Blocks run in threads, since numpy releases Python's lock
and threads share arrays without copies.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, islice
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from preceptor.errors import UserError
from preceptor.types import FloatArray, IntArray

_Block = TypeVar("_Block")
_Result = TypeVar("_Result")
_MAX_THREADS = 8  # more would only hold more blocks in memory


def parallel_map(work: Callable[[_Block], _Result], blocks: Iterable[_Block]) -> Iterator[_Result]:
    """Apply `work` to each block in threads; yield the results in the order of the blocks."""
    with ThreadPoolExecutor(
        min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, _MAX_THREADS)
    ) as pool:
        yield from pool.map(work, blocks)


_SHINGLE_SIZE = 5
_LONG_TEXT_WORDS = 50
_CHARACTERS_AT_ONCE = 100_000
_PAIRS_AT_ONCE = 2_000
_WORD_PATTERN = re.compile(r"\w+")
_PUNCTUATION = ".,;:!?'\"()[]{}…‚‘’„“”«»¿¡。、！？；：（）「」*_-–— "

HashArray = NDArray[np.uint64]


@dataclass(frozen=True)
class ShingleSets:
    """The shingles of many texts: those of text i are hashes[bounds[i] : bounds[i + 1]], rising, without repetition.

    hashes: 32 bits each, half the memory of hashes without collisions; a set of 300 shingles gains a false one in some 50,000 comparisons,
    which moves an overlap by 0.003.
    """

    hashes: NDArray[np.uint32]
    bounds: IntArray

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def sizes(self) -> IntArray:
        """How many shingles each text has."""
        return np.diff(self.bounds)


def exact_key(text: str) -> str:
    """Return the hex sha256 of the text in NFKC, casefolded, with runs of white space as one space: equal for equal texts."""
    return hashlib.sha256(normalize_text(text).encode("utf-8", "surrogatepass")).hexdigest()


def normalize_text(text: str) -> str:
    """Normalize a text for comparison: NFKC, casefolded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def split_words(text: str) -> list[str]:
    """Return the words of a normalised text, without punctuation."""
    return _WORD_PATTERN.findall(text)


def _bag_of_words(text: str) -> str:
    """Return the same text for normalised texts of the same words in any order and punctuation; empty for a text without words.

    Meaningful signs stay: C++ isn't C, and 3*4 isn't 3+4. The order counts in texts of three words or fewer.
    """
    parts = [part for part in (word.strip(_PUNCTUATION) for word in text.split(" ")) if part]
    return " ".join(parts if len(parts) < 4 else sorted(parts))


def _group_by_length(texts: Sequence[str], threshold: float) -> Iterator[tuple[IntArray, bool]]:
    """Yield the normalised texts to compare with each other, as (indices, whether by words): short ones, then long ones.

    A text somewhat longer than the bound is in both, because its near duplicate may be shorter: two sets with a Jaccard index of t can't
    differ in size by more than the factor t.
    """
    least = 2 * _LONG_TEXT_WORDS - 1  # fewest characters of fifty words; shorter texts needn't be split to be counted
    counts = np.array([len(split_words(text)) if len(text) >= least else 0 for text in texts], dtype=np.int64)
    yield np.flatnonzero(counts < _LONG_TEXT_WORDS / threshold), False
    yield np.flatnonzero(counts >= _LONG_TEXT_WORDS), True


def build_shingle_sets(texts: Sequence[str], *, by_words: bool) -> ShingleSets:
    """Build the set of hashed 5-grams of each normalised text; a text shorter than that is one shingle."""

    def of_block(block: Sequence[str]) -> tuple[NDArray[np.uint32], IntArray]:
        tokens, lengths = hash_words(map(split_words, block), _SHINGLE_SIZE) if by_words else _hash_characters(block)
        return _unique_hashes(*hash_windows(tokens, lengths, _SHINGLE_SIZE))

    found, sizes = list[NDArray[np.uint32]](), [np.zeros(1, np.int64)]
    for hashes, counts in parallel_map(of_block, _text_blocks(texts)):
        found.append(hashes)
        sizes.append(counts)
    return ShingleSets(_concatenate_blocks(found), np.cumsum(np.concatenate(sizes)))


def jaccard_index(sets: ShingleSets, left: IntArray, right: IntArray) -> FloatArray:
    """Return the Jaccard index of the sets of texts `left` and `right`, pair by pair; shape (pairs,)."""

    def of_block(start: int) -> FloatArray:
        block = slice(start, start + _PAIRS_AT_ONCE)
        return _jaccard_of_pairs(sets, np.stack([left[block], right[block]], axis=1))

    return np.concatenate([np.empty(0), *parallel_map(of_block, range(0, len(left), _PAIRS_AT_ONCE))])


def text_jaccard_index(texts: Sequence[str], left: IntArray, right: IntArray) -> FloatArray:
    """Return the Jaccard index of texts `left` and `right`, pair by pair, by word 5-grams where both are long; shape (pairs,)."""
    involved, place = np.unique([left, right], return_inverse=True)
    plain = [normalize_text(texts[index]) for index in involved]
    long = np.array([len(split_words(text)) >= _LONG_TEXT_WORDS for text in plain], bool)
    one, other = place.reshape(2, -1)
    by_words = long[one] & long[other]
    found = np.empty(len(left))
    for kind in (False, True):
        chosen = by_words == kind
        found[chosen] = jaccard_index(build_shingle_sets(plain, by_words=kind), one[chosen], other[chosen])
    return found


def hash_words(texts: Iterable[list[str]], at_least: int) -> tuple[HashArray, IntArray]:
    """Return all words of all texts as 64-bit hashes in one array, and each text's number of them, padded to `at_least`."""
    known: dict[str, int] = {}
    tokens: list[int] = []
    lengths: list[int] = []
    for text in texts:
        for word in text:
            if word not in known:
                known[word] = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest())
        padding = max(at_least - len(text), 0)
        tokens.extend([known[word] for word in text])
        tokens.extend([0] * padding)
        lengths.append(len(text) + padding)
    return np.array(tokens, np.uint64), np.array(lengths, np.int64)


def hash_windows(tokens: HashArray, lengths: IntArray, size: int) -> tuple[HashArray, IntArray]:
    """Return the hashes of all runs of `size` tokens that lie within one text, and how many each text has.

    lengths: tokens of each text, `size` or more. The hash is a polynomial in the tokens modulo 2**64, mixed.
    """
    if not len(lengths):
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    runs = len(tokens) - size + 1
    value = np.zeros(runs, np.uint64)
    for offset in range(size):
        value *= np.uint64(0x9E3779B97F4A7C15)
        value += tokens[offset : offset + runs]
    inside = np.ones(len(tokens), bool)
    ends = np.cumsum(lengths)
    for offset in range(1, size):
        inside[ends - offset] = False
    return mix_hashes(value[inside[:runs]]), lengths - size + 1


def mix_hashes(value: HashArray) -> HashArray:
    """Mix 64-bit hashes by the finaliser of splitmix64 (Steele, Lea & Flood 2014): each input bit affects every output bit."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _text_blocks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield consecutive texts of some 100,000 characters together."""
    start, characters = 0, 0
    for index, text in enumerate(texts):
        characters += len(text)
        if characters >= _CHARACTERS_AT_ONCE:
            yield texts[start : index + 1]
            start, characters = index + 1, 0
    if start < len(texts):
        yield texts[start:]


def _hash_characters(texts: Iterable[str]) -> tuple[HashArray, IntArray]:
    padded = [text.ljust(_SHINGLE_SIZE, "\0") for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32)
    return codes.astype(np.uint64), np.array([len(text) for text in padded], np.int64)


def _unique_hashes(hashes: HashArray, counts: IntArray) -> tuple[NDArray[np.uint32], IntArray]:
    """Return each text's hashes cut to 32 bits, sorted, without repetition; and how many are left."""
    owner = np.repeat(np.arange(len(counts), dtype=np.uint64) << np.uint64(32), counts)
    keyed = np.sort(owner | (hashes >> np.uint64(32)))
    keyed = keyed[np.concatenate([[True], keyed[1:] != keyed[:-1]])] if len(keyed) else keyed
    return keyed.astype(np.uint32), np.bincount((keyed >> np.uint64(32)).astype(np.int64), minlength=len(counts))


def _concatenate_blocks(blocks: list[NDArray[np.uint32]]) -> NDArray[np.uint32]:
    """Concatenate the blocks, releasing each once it is copied, so that nothing is held twice."""
    whole = np.empty(sum(map(len, blocks)), np.uint32)
    end = len(whole)
    while blocks:
        block = blocks.pop()
        whole[end - len(block) : end] = block
        end -= len(block)
    return whole


def _jaccard_of_pairs(sets: ShingleSets, pairs: IntArray) -> FloatArray:
    """Return the index of each pair, shape (pairs, 2): common hashes occur twice in the sorted hashes of the two."""
    sizes = sets.sizes[pairs]
    counts = sizes.ravel()
    skipped = np.cumsum(counts) - counts
    places = np.repeat(sets.bounds[pairs.ravel()] - skipped, counts) + np.arange(counts.sum())
    owner = np.repeat(np.arange(len(pairs), dtype=np.uint64) << np.uint64(32), sizes.sum(axis=1))
    keyed = np.sort(owner | sets.hashes[places])
    twice = keyed[1:][keyed[1:] == keyed[:-1]] >> np.uint64(32)
    common = np.bincount(twice.astype(np.int64), minlength=len(pairs))
    return np.asarray(common / (sizes.sum(axis=1) - common), dtype=np.float64)


MINHASH_COUNT = 128
_RECALL = 0.999  # for pairs exactly at the threshold
_MAX_NEIGHBOURS = 64  # following texts of a bucket that a text is compared with
_SHINGLE_BLOCK = 4096  # shingles hashed at once: 128 × 4096 values of 4 bytes stay in the processor's cache
_TEXTS_AT_ONCE = 4_000

_MinHashSignatures = NDArray[np.uint32]


class _LSHBuckets(NamedTuple):
    """Texts with the same key in one band, next to each other; texts alone in their bucket are left out."""

    texts: IntArray
    keys: NDArray[np.uint32]

    def select(self, keep: NDArray[np.bool_]) -> _LSHBuckets:
        """Only the entries of `keep`."""
        return _LSHBuckets(self.texts[keep], self.keys[keep])

    @property
    def starts(self) -> IntArray:
        """Where each bucket begins."""
        return np.flatnonzero(np.concatenate([[True], self.keys[1:] != self.keys[:-1]])) if len(self.keys) else np.empty(0, np.int64)


def minhash_signatures(sets: ShingleSets, seed: int, start: int = 0, stop: int | None = None) -> _MinHashSignatures:
    """Return the smallest value of each set's shingles under 128 hash functions, of texts from start up to stop; shape (texts, 128).

    The functions are a·x + b modulo 2**32 with odd a, permutations of 32-bit numbers; x is well mixed already.
    """
    draw = np.random.default_rng(seed)
    factor = draw.integers(0, 2**32, (MINHASH_COUNT, 1), dtype=np.uint32) | np.uint32(1)
    shift = draw.integers(0, 2**32, (MINHASH_COUNT, 1), dtype=np.uint32)
    bounds = sets.bounds[start : len(sets) + 1 if stop is None else stop + 1]
    found = np.empty((len(bounds) - 1, MINHASH_COUNT), np.uint32)
    row = 0
    while row < len(found):
        end = max(int(np.searchsorted(bounds, bounds[row] + _SHINGLE_BLOCK, side="right")) - 1, row + 1)
        hashed = sets.hashes[bounds[row] : bounds[end]] * factor
        hashed += shift
        found[row:end] = np.minimum.reduceat(hashed, bounds[row:end] - bounds[row], axis=1).T
        row = end
    return found


def rows_per_band(threshold: float) -> int:
    """Return the longest band that still finds 99.9 % of pairs at the threshold: P = 1 − (1 − tʳ)^(128 // r)."""
    fit = [rows for rows in range(1, MINHASH_COUNT + 1) if 1 - (1 - threshold**rows) ** (MINHASH_COUNT // rows) >= _RECALL]
    return max(fit, default=1)


def band_keys(sets: ShingleSets, threshold: float, seed: int) -> NDArray[np.uint32]:
    """Return a key of each band of each text's signature, shape (bands, texts): equal where the band is.

    The signatures themselves, five times as large, are discarded block by block.
    """
    rows = rows_per_band(threshold)
    bands = MINHASH_COUNT // rows
    keys = np.empty((bands, len(sets)), np.uint32)

    def of_block(start: int) -> None:
        signed = minhash_signatures(sets, seed, start, min(start + _TEXTS_AT_ONCE, len(sets)))[:, : bands * rows]
        keys[:, start : start + len(signed)] = _hash_bands(signed.reshape(len(signed), bands, rows)).T

    for _ in parallel_map(of_block, range(0, len(sets), _TEXTS_AT_ONCE)):
        pass
    return keys


def lsh_buckets(keys: NDArray[np.uint32]) -> Iterator[_LSHBuckets]:
    """Yield the buckets of each band. keys: as from `band_keys`. Within a bucket, texts are in the order given."""
    for band in keys:
        order = np.argsort(band, kind="stable")
        again = band[order[1:]] == band[order[:-1]]
        shared = np.concatenate([[False], again]) | np.concatenate([again, [False]])
        yield _LSHBuckets(order, band[order]).select(shared[: len(order)])


def bucket_neighbours(bucket: _LSHBuckets, step: int) -> tuple[IntArray, IntArray]:
    """Return each text of the buckets with the one `step` places further on, where that is in the same bucket."""
    same = np.flatnonzero(bucket.keys[step:] == bucket.keys[:-step])
    return bucket.texts[same], bucket.texts[same + step]


NEIGHBOUR_STEPS = range(1, _MAX_NEIGHBOURS + 1)
"""How far on in a bucket texts are compared: in one of more than 64, each with the 64 that follow."""


def _hash_bands(bands: NDArray[np.uint32]) -> HashArray:
    """Return one number for each band of each signature, shape (texts, bands), from shape (texts, bands, rows)."""
    key: HashArray = np.zeros(bands.shape[:2], np.uint64)
    for row in range(bands.shape[2]):
        key = mix_hashes(key + bands[:, :, row] + np.uint64(1))
    return key >> np.uint64(32)


_MAX_EXAMPLES = 5
_SMALL_CLUSTER = 8  # in clusters of up to so many texts all are compared with all, for the nearest of each


class DuplicatePair(NamedTuple):
    """Two texts by their indices, first < second. overlap: their Jaccard index, 1.0 for the same text."""

    first: int
    second: int
    kind: Literal["exact", "near"]
    overlap: float


@dataclass(frozen=True)
class DuplicateClusters:
    """Clusters of duplicates.

    cluster: number of each text's cluster, from 0 in order of appearance; shape (n,).

    exact: how many texts repeat another one. near: how many different texts are joined to another one; so n − exact − near clusters remain.

    partner: the index of another text that shows why a text is in its cluster, −1 where it is alone; shape (n,). The same text where there
    is one (the first of them, or for the first the second), else the nearest that is linked to it: of all in a cluster of up to eight
    different texts, in a larger one of the candidates that MinHash found.

    overlap: the Jaccard index with the partner, 1.0 for the same text, 0.0 without one; below the threshold only where the two have the
    same words; shape (n,).

    is_exact: whether the partner is the same text; shape (n,).
    """

    cluster: IntArray
    exact: int
    near: int
    partner: IntArray
    overlap: FloatArray
    is_exact: NDArray[np.bool_]

    def members(self) -> list[tuple[int, ...]]:
        """Return the clusters of two texts or more, in order of appearance, each as its texts' indices, rising."""
        order = np.argsort(self.cluster, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(self.cluster[order])) + 1)
        return [tuple(group.tolist()) for group in groups if len(group) > 1]

    def pairs(self) -> Iterator[DuplicatePair]:
        """Yield each text with its partner, by the text that comes first; two that are each other's partner once."""
        one = np.flatnonzero(self.partner >= 0)
        other = self.partner[one]
        told = (other < one) & (self.partner[other] == one)
        first, second, index = np.stack([np.minimum(one, other), np.maximum(one, other), one])[:, ~told]
        order = np.lexsort((second, first))
        same, overlap = self.is_exact[index[order]].tolist(), self.overlap[index[order]].tolist()
        for row, (one_text, other_text) in enumerate(zip(first[order].tolist(), second[order].tolist(), strict=True)):
            yield DuplicatePair(one_text, other_text, "exact" if same[row] else "near", overlap[row])

    @property
    def examples(self) -> tuple[DuplicatePair, ...]:
        """Up to five pairs of either kind, the first ones."""
        kinds = ("exact", "near")
        return tuple(chain.from_iterable(islice((pair for pair in self.pairs() if pair.kind == kind), _MAX_EXAMPLES) for kind in kinds))


def find_near_duplicates(texts: Sequence[str], *, threshold: float = 0.8, seed: int = 0) -> DuplicateClusters:
    """Cluster texts that are equal (`exact_key`), have the same words in any order, or a Jaccard index of `threshold` or more.

    Links are transitive: two texts of a cluster may be less alike than that when others lie between them. Order and punctuation are ignored
    by `_bag_of_words`; at a threshold of 1 the order of words counts. Pairs are found by MinHash, seeded: 99.9 % of those at the threshold
    and more above; each is verified on the 5-grams themselves. The clusters don't depend on the order of the texts. Raises UserError unless
    0 < threshold <= 1.
    """
    if not 0 < threshold <= 1:
        raise UserError(f"threshold is {threshold}; it must lie above 0 and not above 1", "0.8 is usual")
    different, place = _unique_texts(texts)
    links = _link_texts(different, threshold, seed)
    partner, overlap, same = _find_partners(place, links)
    return DuplicateClusters(
        cluster=_renumber_by_appearance(links.labels[place]),
        exact=len(texts) - len(different),
        near=len(different) - len(np.unique(links.labels)),
        partner=partner,
        overlap=overlap,
        is_exact=same,
    )


class _TextLinks:
    """Links between texts: a label of each text, equal where they are linked, and the nearest of those each was compared with."""

    def __init__(self, count: int) -> None:
        self.labels: IntArray = np.arange(count)
        self.nearest: IntArray = np.full(count, -1)
        self.overlap: FloatArray = np.zeros(count)

    def link(self, one: IntArray, other: IntArray, overlap: FloatArray) -> None:
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
            self.note_nearest(one, other, overlap)

    def note_nearest(self, one: IntArray, other: IntArray, overlap: FloatArray) -> None:
        """Record pairs of linked texts that are nearer than those known."""
        text, partner, both = np.concatenate([one, other]), np.concatenate([other, one]), np.concatenate([overlap, overlap])
        order = np.lexsort((partner, -both, text))
        best = order[np.unique(text[order], return_index=True)[1]]
        best = best[(both[best] > self.overlap[text[best]]) | (self.nearest[text[best]] < 0)]
        self.nearest[text[best]], self.overlap[text[best]] = partner[best], both[best]

    def unlinked(self, one: IntArray, other: IntArray) -> NDArray[np.bool_]:
        """Return which pairs aren't linked yet."""
        return np.asarray(self.labels[one] != self.labels[other], dtype=np.bool_)


def _unique_texts(texts: Sequence[str]) -> tuple[list[str], IntArray]:
    """Return the different normalised texts, sorted so that their order depends on them alone, and the index of each text among them."""
    seen: dict[str, int] = {}
    number = np.fromiter((seen.setdefault(normalize_text(text), len(seen)) for text in texts), np.int64, len(texts))
    found = list(seen)
    order = sorted(range(len(found)), key=found.__getitem__)
    rank = np.empty(len(found), np.int64)
    rank[order] = np.arange(len(found))
    return [found[index] for index in order], rank[number]


def _link_texts(texts: list[str], threshold: float, seed: int) -> _TextLinks:
    """Link different normalised texts."""
    links = _TextLinks(len(texts))
    if threshold < 1:
        links.link(*_same_words_pairs(texts))
    for chosen, by_words in _group_by_length(texts, threshold):
        if len(chosen) > 1:
            sets = build_shingle_sets([texts[index] for index in chosen], by_words=by_words)
            for bucket in lsh_buckets(band_keys(sets, threshold, seed)):
                _link_bucket(links, bucket, chosen, sets, threshold)
            _compare_small_clusters(links, chosen, sets, threshold)
    return links


def _same_words_pairs(texts: list[str]) -> tuple[IntArray, IntArray, FloatArray]:
    """Return pairs of texts with the same `_bag_of_words`, each with the first that has it, and their Jaccard index."""
    keys = np.fromiter(
        (int.from_bytes(blake2b(_bag_of_words(text).encode("utf-8", "surrogatepass"), digest_size=8).digest()) for text in texts),
        np.uint64,
        len(texts),
    )
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    other = np.flatnonzero(first[inverse] != np.arange(len(texts)))
    other = np.array(
        [
            index
            for index in other.tolist()
            if (words := _bag_of_words(texts[index])) and words == _bag_of_words(texts[first[inverse[index]]])
        ],
        np.int64,
    )
    one = first[inverse[other]]
    return one, other, text_jaccard_index(texts, one, other)


def _link_bucket(links: _TextLinks, bucket: _LSHBuckets, chosen: IntArray, sets: ShingleSets, threshold: float) -> None:
    """Verify the pairs of one band's buckets that aren't linked yet, and link those that are alike."""
    for step in NEIGHBOUR_STEPS:
        bucket = bucket.select(_unlinked_entries(bucket, links.labels[chosen[bucket.texts]]))
        left, right = bucket_neighbours(bucket, step)
        if not len(left):
            break
        apart = links.unlinked(chosen[left], chosen[right])
        left, right = left[apart], right[apart]
        overlap = jaccard_index(sets, left, right)
        alike = overlap >= threshold
        links.link(chosen[left[alike]], chosen[right[alike]], overlap[alike])


def _unlinked_entries(bucket: _LSHBuckets, labels: IntArray) -> NDArray[np.bool_]:
    """Return the entries of buckets whose texts aren't all linked already."""
    starts = bucket.starts
    if not len(starts):
        return np.empty(0, bool)
    open_still = np.minimum.reduceat(labels, starts) != np.maximum.reduceat(labels, starts)
    return np.repeat(open_still, np.diff(starts, append=len(labels)))


def _compare_small_clusters(links: _TextLinks, chosen: IntArray, sets: ShingleSets, threshold: float) -> None:
    """Compare all texts of small clusters with each other, so that each knows its nearest."""
    labels = links.labels[chosen]
    sizes = np.bincount(labels, minlength=1)[labels]
    small = np.flatnonzero((sizes > 2) & (sizes <= _SMALL_CLUSTER))
    small = small[np.argsort(labels[small], kind="stable")]
    for step in range(1, _SMALL_CLUSTER):
        same = np.flatnonzero(labels[small[step:]] == labels[small[:-step]])
        left, right = small[same], small[same + step]
        overlap = jaccard_index(sets, left, right)
        alike = overlap >= threshold
        links.note_nearest(chosen[left[alike]], chosen[right[alike]], overlap[alike])


def _find_partners(place: IntArray, links: _TextLinks) -> tuple[IntArray, FloatArray, NDArray[np.bool_]]:
    """Return each text's partner, overlap and whether it is the same. place: which different text each one is."""
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


def _renumber_by_appearance(labels: IntArray) -> IntArray:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
