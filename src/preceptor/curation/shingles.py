"""Texts as sets of hashed 5-grams, and how much two such sets overlap.

Long texts are compared by word 5-grams, short ones by character 5-grams: of fewer than about fifty words, one changed
word already pushes the word 5-grams of two texts below a Jaccard index of 0.8.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preceptor.curation.cores import on_all_cores
from preceptor.domain.results import FloatArray, IntArray

SIZE = 5
_LONG = 50  # words
_CHARACTERS_AT_ONCE = 100_000
_PAIRS_AT_ONCE = 2_000
_WORD = re.compile(r"\w+")
_MARKS = ".,;:!?'\"()[]{}…‚‘’„“”«»¿¡。、！？；：（）「」*_-–— "

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Sets:
    """The shingles of many texts: those of text i are hashes[bounds[i] : bounds[i + 1]], rising, none twice.

    hashes: 32 bits each, half the memory of hashes that never meet; one set of 300 shingles gains one that isn't its
    own in some 50,000 comparisons, which moves an overlap by 0.003.
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
    """Hex sha256 of the text in NFKC, casefolded, with runs of white space as one space: equal for equal texts."""
    return hashlib.sha256(normalised(text).encode("utf-8", "surrogatepass")).hexdigest()


def normalised(text: str) -> str:
    """The text as duplicates are sought: NFKC, casefolded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words(text: str) -> list[str]:
    """The words of a normalised text, without punctuation."""
    return _WORD.findall(text)


def bag(text: str) -> str:
    """Equal for normalised texts of the same words, whatever their order and punctuation; empty for a text without words.

    Signs that mean something stay: C++ isn't C, and 3*4 isn't 3+4. The order counts in texts of three words or fewer.
    """
    parts = [part for part in (word.strip(_MARKS) for word in text.split(" ")) if part]
    return " ".join(parts if len(parts) < 4 else sorted(parts))


def by_length(texts: Sequence[str], threshold: float) -> Iterator[tuple[IntArray, bool]]:
    """The normalised texts to compare with each other, as (indices, whether by words): short ones, then long ones.

    A text somewhat longer than the bound is in both, because its near duplicate may be shorter than that: two sets
    with a Jaccard index of t can't differ in size by more than the factor t.
    """
    least = 2 * _LONG - 1  # characters of fifty words; shorter texts needn't be taken apart to be counted
    counts = np.array([len(words(text)) if len(text) >= least else 0 for text in texts], dtype=np.int64)
    yield np.flatnonzero(counts < _LONG / threshold), False
    yield np.flatnonzero(counts >= _LONG), True


def shingle_sets(texts: Sequence[str], *, by_words: bool) -> Sets:
    """The set of hashed 5-grams of each normalised text; a text shorter than that is one shingle."""

    def of_block(block: Sequence[str]) -> tuple[NDArray[np.uint32], IntArray]:
        tokens, lengths = word_tokens(map(words, block), SIZE) if by_words else _character_tokens(block)
        return _without_repeats(*windows(tokens, lengths, SIZE))

    found, sizes = list[NDArray[np.uint32]](), [np.zeros(1, np.int64)]
    for hashes, counts in on_all_cores(of_block, _blocks(texts)):
        found.append(hashes)
        sizes.append(counts)
    return Sets(_emptied(found), np.cumsum(np.concatenate(sizes)))


def jaccard(sets: Sets, left: IntArray, right: IntArray) -> FloatArray:
    """Jaccard index of the sets of texts `left` and `right`, pair by pair; shape (pairs,)."""

    def of_block(start: int) -> FloatArray:
        block = slice(start, start + _PAIRS_AT_ONCE)
        return _jaccard(sets, np.stack([left[block], right[block]], axis=1))

    return np.concatenate([np.empty(0), *on_all_cores(of_block, range(0, len(left), _PAIRS_AT_ONCE))])


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


def _blocks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Texts in a row, of some 100,000 characters together."""
    start, characters = 0, 0
    for index, text in enumerate(texts):
        characters += len(text)
        if characters >= _CHARACTERS_AT_ONCE:
            yield texts[start : index + 1]
            start, characters = index + 1, 0
    if start < len(texts):
        yield texts[start:]


def _character_tokens(texts: Iterable[str]) -> tuple[Hashes, IntArray]:
    padded = [text.ljust(SIZE, "\0") for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32)
    return codes.astype(np.uint64), np.array([len(text) for text in padded], np.int64)


def _without_repeats(hashes: Hashes, counts: IntArray) -> tuple[NDArray[np.uint32], IntArray]:
    """Each text's hashes cut to 32 bits, sorted, each once; and how many are left."""
    owner = np.repeat(np.arange(len(counts), dtype=np.uint64) << np.uint64(32), counts)
    keyed = np.sort(owner | (hashes >> np.uint64(32)))
    keyed = keyed[np.concatenate([[True], keyed[1:] != keyed[:-1]])] if len(keyed) else keyed
    return keyed.astype(np.uint32), np.bincount((keyed >> np.uint64(32)).astype(np.int64), minlength=len(counts))


def _emptied(blocks: list[NDArray[np.uint32]]) -> NDArray[np.uint32]:
    """The blocks in one array; each is let go once it is copied, so that nothing is held twice."""
    whole = np.empty(sum(map(len, blocks)), np.uint32)
    end = len(whole)
    while blocks:
        block = blocks.pop()
        whole[end - len(block) : end] = block
        end -= len(block)
    return whole


def _jaccard(sets: Sets, pairs: IntArray) -> FloatArray:
    """The index of each pair, shape (pairs, 2): what both have stands twice in the sorted hashes of the two."""
    sizes = sets.sizes[pairs]
    counts = sizes.ravel()
    skipped = np.cumsum(counts) - counts
    places = np.repeat(sets.bounds[pairs.ravel()] - skipped, counts) + np.arange(counts.sum())
    owner = np.repeat(np.arange(len(pairs), dtype=np.uint64) << np.uint64(32), sizes.sum(axis=1))
    keyed = np.sort(owner | sets.hashes[places])
    twice = keyed[1:][keyed[1:] == keyed[:-1]] >> np.uint64(32)
    common = np.bincount(twice.astype(np.int64), minlength=len(pairs))
    return np.asarray(common / (sizes.sum(axis=1) - common), dtype=np.float64)
