"""How alike texts are: the cosine between their counts of three characters in a row.

Close to chrF (Popović 2015) in what it sees: words, endings and their order nearby; letters' case and spaces are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from preceptor.aggregation.judgments import Floats, Integers

RUN = 3
PAIRS = 20_000  # pairs of texts compared at once


def profiles(texts: Sequence[str]) -> sparse.csr_array:
    """(texts, runs of characters): square roots of counts, so that a word repeated isn't all that counts; each row of length 1."""
    marked = [f" {' '.join(text.casefold().split())} " + "\n" * (RUN - 1) for text in texts]  # a run never joins two texts
    codes = np.frombuffer("".join(marked).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in marked])
    last = max(len(codes) - RUN + 1, 0)
    key = np.zeros(last, dtype=np.uint64)
    for offset in range(RUN):
        key = key * np.uint64(0x110000) + codes[offset : offset + last]  # a code point is below 0x110000: 63 bits hold three
    inside = (codes[:last] != ord("\n")) & (codes[RUN - 1 : RUN - 1 + last] != ord("\n"))
    _, column = np.unique(key[inside], return_inverse=True)
    table = sparse.coo_array((np.ones(len(column)), (owner[:last][inside], column)), (len(texts), int(column.max(initial=0)) + 1)).tocsr()
    table.data = np.sqrt(table.data)
    length = np.sqrt(np.asarray(table.power(2).sum(axis=1)).ravel())
    table.data /= np.repeat(np.maximum(length, 1e-300), np.diff(table.indptr))
    return table


def similarities(profile: sparse.csr_array, first: Integers, second: Integers) -> Floats:
    """The similarity, 0 to 1, of each pair of rows."""
    parts = [np.zeros(0)]
    for start in range(0, len(first), PAIRS):
        rows = slice(start, start + PAIRS)
        parts.append(np.asarray(profile[first[rows]].multiply(profile[second[rows]]).sum(axis=1)).ravel())
    return np.clip(np.concatenate(parts), 0.0, 1.0)
