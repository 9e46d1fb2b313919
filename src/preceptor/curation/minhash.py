"""Which sets may be alike, found without comparing all: MinHash signatures in bands (Broder 1997; Leskovec et al., MMDS, ch. 3).

In numpy over all texts at once, so that no further dependency is needed: datasketch builds its signatures text by
text in Python and leaves the check of the true Jaccard index to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from preceptor.curation.shingles import Sets, mixed
from preceptor.domain.results import IntArray

HASHES = 128
_RECALL = 0.999  # of pairs exactly at the threshold
_REACH = 64  # neighbours in a bucket that a text is compared with
_BLOCK = 4096  # shingles hashed at once: 128 × 4096 values of 4 bytes stay in the processor's cache


def signatures(sets: Sets, seed: int) -> NDArray[np.uint32]:
    """The smallest value of each set's shingles under 128 hash functions; shape (texts, 128).

    The functions are a·x + b modulo 2**32 with odd a, permutations of 32-bit numbers; x is well mixed already.
    """
    draw = np.random.default_rng(seed)
    factor = draw.integers(0, 2**32, (HASHES, 1), dtype=np.uint32) | np.uint32(1)
    shift = draw.integers(0, 2**32, (HASHES, 1), dtype=np.uint32)
    shingles = (sets.indices & 0xFFFFFFFF).astype(np.uint32)
    found = np.empty((sets.shape[0], HASHES), np.uint32)
    row = 0
    while row < len(found):
        end = max(int(np.searchsorted(sets.indptr, sets.indptr[row] + _BLOCK, side="right")) - 1, row + 1)
        start = sets.indptr[row]
        hashed = shingles[start : sets.indptr[end]] * factor + shift
        found[row:end] = np.minimum.reduceat(hashed, sets.indptr[row:end] - start, axis=1).T
        row = end
    return found


def rows_per_band(threshold: float) -> int:
    """The longest band that still finds 99.9 % of pairs at the threshold: P = 1 − (1 − tʳ)^(128 // r)."""
    fit = [rows for rows in range(1, HASHES + 1) if 1 - (1 - threshold**rows) ** (HASHES // rows) >= _RECALL]
    return max(fit, default=1)


def candidates(signed: NDArray[np.uint32], threshold: float) -> Iterator[tuple[IntArray, IntArray]]:
    """Pairs of texts with the same values in some band, in lots; a pair may come again.

    In a bucket of more than 64 texts, each is paired with the 64 that follow in the order given. A lot of pairs is
    made when it is asked for, so whoever joins texts as they go can leave out those already joined.
    """
    rows = rows_per_band(threshold)
    for band in range(HASHES // rows):
        key = np.zeros(len(signed), np.uint64)
        for column in range(band * rows, (band + 1) * rows):
            key = mixed(key + signed[:, column] + np.uint64(1))
        order = np.argsort(key, kind="stable")
        key = key[order]
        for step in range(1, _REACH + 1):
            same = np.flatnonzero(key[step:] == key[:-step])
            if not len(same):
                break
            yield order[same], order[same + step]
