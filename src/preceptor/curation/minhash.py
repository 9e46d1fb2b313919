"""Which sets may be alike, found without comparing all: MinHash signatures in bands (Broder 1997; Leskovec et al., MMDS, ch. 3).

In numpy over all texts at once, so that no further dependency is needed: datasketch builds its signatures text by
text in Python and leaves the check of the true Jaccard index to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preceptor.curation.cores import on_all_cores
from preceptor.curation.shingles import Hashes, Sets, mixed
from preceptor.domain.results import IntArray

HASHES = 128
_RECALL = 0.999  # of pairs exactly at the threshold
_REACH = 64  # neighbours in a bucket that a text is compared with
_BLOCK = 4096  # shingles hashed at once: 128 × 4096 values of 4 bytes stay in the processor's cache
_TEXTS_AT_ONCE = 4_000

Signatures = NDArray[np.uint32]


class Buckets(NamedTuple):
    """Texts with the same key in one band, side by side; texts alone in theirs are left out."""

    texts: IntArray
    keys: NDArray[np.uint32]

    def within(self, keep: NDArray[np.bool_]) -> Buckets:
        """Only the entries of `keep`."""
        return Buckets(self.texts[keep], self.keys[keep])

    @property
    def starts(self) -> IntArray:
        """Where each bucket begins."""
        return np.flatnonzero(np.concatenate([[True], self.keys[1:] != self.keys[:-1]])) if len(self.keys) else np.empty(0, np.int64)


def signatures(sets: Sets, seed: int, start: int = 0, stop: int | None = None) -> Signatures:
    """The smallest value of each set's shingles under 128 hash functions, of texts from start up to stop; shape (texts, 128).

    The functions are a·x + b modulo 2**32 with odd a, permutations of 32-bit numbers; x is well mixed already.
    """
    draw = np.random.default_rng(seed)
    factor = draw.integers(0, 2**32, (HASHES, 1), dtype=np.uint32) | np.uint32(1)
    shift = draw.integers(0, 2**32, (HASHES, 1), dtype=np.uint32)
    bounds = sets.bounds[start : len(sets) + 1 if stop is None else stop + 1]
    found = np.empty((len(bounds) - 1, HASHES), np.uint32)
    row = 0
    while row < len(found):
        end = max(int(np.searchsorted(bounds, bounds[row] + _BLOCK, side="right")) - 1, row + 1)
        hashed = sets.hashes[bounds[row] : bounds[end]] * factor
        hashed += shift
        found[row:end] = np.minimum.reduceat(hashed, bounds[row:end] - bounds[row], axis=1).T
        row = end
    return found


def rows_per_band(threshold: float) -> int:
    """The longest band that still finds 99.9 % of pairs at the threshold: P = 1 − (1 − tʳ)^(128 // r)."""
    fit = [rows for rows in range(1, HASHES + 1) if 1 - (1 - threshold**rows) ** (HASHES // rows) >= _RECALL]
    return max(fit, default=1)


def band_keys(sets: Sets, threshold: float, seed: int) -> NDArray[np.uint32]:
    """A key of each band of each text's signature, shape (bands, texts): equal where the band is.

    The signatures themselves, five times as large, are let go block by block.
    """
    rows = rows_per_band(threshold)
    bands = HASHES // rows
    keys = np.empty((bands, len(sets)), np.uint32)

    def of_block(start: int) -> None:
        signed = signatures(sets, seed, start, min(start + _TEXTS_AT_ONCE, len(sets)))[:, : bands * rows]
        keys[:, start : start + len(signed)] = _folded(signed.reshape(len(signed), bands, rows)).T

    for _ in on_all_cores(of_block, range(0, len(sets), _TEXTS_AT_ONCE)):
        pass
    return keys


def buckets(keys: NDArray[np.uint32]) -> Iterator[Buckets]:
    """The buckets of each band; keys: as `band_keys` has them. Within one, texts stand in the order given."""
    for band in keys:
        order = np.argsort(band, kind="stable")
        again = band[order[1:]] == band[order[:-1]]
        shared = np.concatenate([[False], again]) | np.concatenate([again, [False]])
        yield Buckets(order, band[order]).within(shared[: len(order)])


def neighbours(bucket: Buckets, step: int) -> tuple[IntArray, IntArray]:
    """Each text of the buckets with the one that stands `step` places on, where that is in the same bucket."""
    same = np.flatnonzero(bucket.keys[step:] == bucket.keys[:-step])
    return bucket.texts[same], bucket.texts[same + step]


STEPS = range(1, _REACH + 1)
"""How far on in a bucket texts are compared: in one of more than 64, each with the 64 that follow."""


def _folded(bands: NDArray[np.uint32]) -> Hashes:
    """One number for each band of each signature, shape (texts, bands), from shape (texts, bands, rows)."""
    key: Hashes = np.zeros(bands.shape[:2], np.uint64)
    for row in range(bands.shape[2]):
        key = mixed(key + bands[:, :, row] + np.uint64(1))
    return key >> np.uint64(32)
