"""Test texts that training has seen: the same, nearly the same, or quoting it at length; and groups on both sides."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from preceptor.curation.duplicates import near_duplicates
from preceptor.curation.shingles import Hashes, exact_key, normalised, overlaps, windows, word_tokens, words
from preceptor.domain.results import IntArray

_QUOTE = 13  # words in a row: the contamination check of Brown et al. 2020 (GPT-3), appendix C
_COMPARED = 64  # training texts of one cluster


class Leak(NamedTuple):
    """A test text and the training text that gives it away.

    overlap: 1.0 for "exact"; the Jaccard index for "near" (it may lie below the threshold where further texts link the
    two); for "quote" the share of the test text's runs of 13 words that stand in any training text.
    """

    train_index: int
    test_index: int
    kind: Literal["exact", "near", "quote"]
    overlap: float


class GroupLeak(NamedTuple):
    """A test row whose group (a document, a customer) has a row in training too, with the first of them."""

    train_index: int
    test_index: int
    group: str


def group_leaks(train_groups: Sequence[str | None], test_groups: Sequence[str | None]) -> list[GroupLeak]:
    """Each test row whose group stands in training, in order; rows without a group (None or "") belong to nobody."""
    first: dict[str, int] = {}
    for index, group in enumerate(train_groups):
        if group:
            first.setdefault(group, index)
    return [GroupLeak(first[group], index, group) for index, group in enumerate(test_groups) if group and group in first]


def leaks(
    train_texts: Sequence[str], test_texts: Sequence[str], *, threshold: float = 0.8, seed: int = 0, clusters: Sequence[int] | None = None
) -> list[Leak]:
    """At most one leak for each test text, its gravest, in order of the test texts.

    Exact: the same `exact_key`. Near: in one cluster of `near_duplicates` over both sets. Quote: at least one run of
    13 words in common, for texts that have as many; texts in scripts without spaces between words have none.
    clusters: those of the training texts, then of the test texts, where they are known.
    """
    gravest = {leak.test_index: leak for leak in _exact(train_texts, test_texts)}
    rest = [index for index in range(len(test_texts)) if index not in gravest]
    if clusters is None:
        clusters = near_duplicates([*train_texts, *test_texts], threshold=threshold, seed=seed).cluster.tolist()
    for leak in [*_near(train_texts, test_texts, rest, clusters), *_quotes(train_texts, test_texts)]:
        gravest.setdefault(leak.test_index, leak)
    return [gravest[index] for index in sorted(gravest)]


def _exact(train: Sequence[str], test: Sequence[str]) -> list[Leak]:
    first: dict[str, int] = {}
    for index, text in enumerate(train):
        first.setdefault(exact_key(text), index)
    keys = enumerate(map(exact_key, test))
    return [Leak(first[key], index, "exact", 1.0) for index, key in keys if key in first]


def _near(train: Sequence[str], test: Sequence[str], rest: Sequence[int], cluster: Sequence[int]) -> Iterator[Leak]:
    """Test texts of `rest` with training texts of their cluster, the nearest pairs first."""
    texts = [*train, *test]
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(cluster[: len(train)]):
        members[label].append(index)
    pairs = [(other, index) for index in rest for other in members.get(cluster[len(train) + index], [])[:_COMPARED]]
    seen, tested = np.array(pairs, np.int64).reshape(-1, 2).T
    overlap = overlaps(texts, seen, tested + len(train))
    for row in np.lexsort((seen, -overlap)).tolist():
        yield Leak(int(seen[row]), int(tested[row]), "near", float(overlap[row]))


def _quotes(train: Sequence[str], test: Sequence[str]) -> list[Leak]:
    runs, owner = _runs(train)
    runs, first = np.unique(runs, return_index=True)
    quoted, quoting = _runs(test)
    if not len(runs) or not len(quoted):
        return []
    place = np.searchsorted(runs, quoted).clip(max=len(runs) - 1)
    hit = runs[place] == quoted
    total = np.bincount(quoting, minlength=len(test))
    sources: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for index, source in zip(quoting[hit].tolist(), owner[first[place[hit]]].tolist(), strict=True):
        sources[index][source] += 1
    return [Leak(counts.most_common(1)[0][0], index, "quote", counts.total() / int(total[index])) for index, counts in sources.items()]


def _runs(texts: Sequence[str]) -> tuple[Hashes, IntArray]:
    """Every run of 13 words of every text, hashed, and the index of the text that it is from."""
    split = [words(normalised(text)) for text in texts]
    long = np.array([index for index, text in enumerate(split) if len(text) >= _QUOTE], np.int64)
    hashes, counts = windows(*word_tokens((split[index] for index in long), _QUOTE), _QUOTE)
    return hashes, np.repeat(long, counts)
