"""Texts as sets of hashed 5-grams, and how much two such sets overlap.

Long texts are compared by word 5-grams, short ones by character 5-grams: of fewer than about fifty words, one changed
word already pushes the word 5-grams of two texts below a Jaccard index of 0.8.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from preceptor.domain.results import FloatArray, IntArray

SIZE = 5
_LONG = 50  # words
_PAIRS_AT_ONCE = 20_000
_WORD = re.compile(r"\w+")

Hashes = NDArray[np.uint64]
Sets = csr_array
"""Row i holds a 1 in the column of each shingle of text i: sorted, without repeats; columns are 62-bit hashes."""


def exact_key(text: str) -> str:
    """Hex sha256 of the text in NFKC, casefolded, with runs of white space as one space: equal for equal texts."""
    return hashlib.sha256(normalised(text).encode("utf-8", "surrogatepass")).hexdigest()


def normalised(text: str) -> str:
    """The text as duplicates are sought: NFKC, casefolded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words(text: str) -> list[str]:
    """The words of a normalised text, without punctuation."""
    return _WORD.findall(text)


def by_length(word_counts: Sequence[int], threshold: float) -> Iterator[tuple[IntArray, bool]]:
    """The texts to compare with each other, as (indices, whether by words): short ones, then long ones.

    A text somewhat longer than the bound is in both, because its near duplicate may be shorter than that: two sets
    with a Jaccard index of t can't differ in size by more than the factor t.
    """
    counts = np.asarray(word_counts, dtype=np.int64)
    yield np.flatnonzero(counts < _LONG / threshold), False
    yield np.flatnonzero(counts >= _LONG), True


def shingle_sets(texts: Iterable[str], *, by_words: bool) -> Sets:
    """The set of hashed 5-grams of each normalised text; a text shorter than that is one shingle."""
    tokens, lengths = word_tokens(map(words, texts), SIZE) if by_words else _character_tokens(texts)
    hashes, counts = windows(tokens, lengths, SIZE)
    columns = (hashes >> np.uint64(2)).view(np.int64)  # scipy's indices are signed
    bounds = np.concatenate([[0], np.cumsum(counts)])
    sets = csr_array((np.ones(len(columns), np.int32), columns, bounds), shape=(len(counts), 2**62))
    sets.sum_duplicates()
    sets.data[:] = 1
    return sets


def jaccard(sets: Sets, left: IntArray, right: IntArray) -> FloatArray:
    """Jaccard index of the sets in rows `left` and `right`, pair by pair; shape (pairs,)."""
    sizes = np.diff(sets.indptr)
    found = np.empty(len(left))
    for start in range(0, len(left), _PAIRS_AT_ONCE):
        one, other = left[start : start + _PAIRS_AT_ONCE], right[start : start + _PAIRS_AT_ONCE]
        common = sets[one].multiply(sets[other]).sum(axis=1)
        found[start : start + len(one)] = common / (sizes[one] + sizes[other] - common)
    return found


def overlaps(texts: Sequence[str], left: IntArray, right: IntArray) -> FloatArray:
    """Jaccard index of texts `left` and `right`, pair by pair: by word 5-grams where both are long; shape (pairs,)."""
    involved, place = np.unique([left, right], return_inverse=True)
    plain = [normalised(texts[index]) for index in involved]
    long = np.array([len(words(text)) >= _LONG for text in plain], bool)
    one, other = place.reshape(2, -1)
    by_words = long[one] & long[other]
    found = np.empty(len(left))
    for kind in (False, True):
        chosen = by_words == kind
        found[chosen] = jaccard(shingle_sets(plain, by_words=kind), one[chosen], other[chosen])
    return found


def word_tokens(texts: Iterable[list[str]], at_least: int) -> tuple[Hashes, IntArray]:
    """All words of all texts as 64-bit hashes in one row, and each text's number, filled up to `at_least`."""
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


def _character_tokens(texts: Iterable[str]) -> tuple[Hashes, IntArray]:
    padded = [text.ljust(SIZE, "\0") for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32)
    return codes.astype(np.uint64), np.array([len(text) for text in padded], np.int64)


def windows(tokens: Hashes, lengths: IntArray, size: int) -> tuple[Hashes, IntArray]:
    """Hashes of all runs of `size` tokens that lie within one text, and how many each text has.

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
    return mixed(value[inside[:runs]]), lengths - size + 1


def mixed(value: Hashes) -> Hashes:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014): every bit of the input moves every bit of the output."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
