"""The part of long sources that a claim has to do with: what a small judge reads, and what people see beside a claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import log

from preceptor.retrieval.sentences import sentences
from preceptor.retrieval.words import stems

WORDS = 60  # of a passage at most; one longer sentence is cut to twice as many
GAP = " […] "


def passage(claim: str, sources: Sequence[str], words: int = WORDS) -> str:
    """The sentences of the sources that share most with a claim, at most `words` words, in their order; "" where nothing is shared.

    Greedy: each next sentence is the one with the most of what the claim says and no chosen one has, rare words counting more.
    """
    table = _Table.of(tuple(sources))
    wanted = {stem: table.rarity(stem) for stem in stems(claim)}
    chosen: list[int] = []
    left = words
    while True:
        gains = [(sum(wanted.get(stem, 0.0) for stem in part), -row) for row, part in enumerate(table.stems)]
        best, row = max(gains, default=(0.0, 0))
        row = -row
        if best <= 0 or (chosen and table.lengths[row] > left):
            break
        chosen.append(row)
        left -= table.lengths[row]
        for stem in table.stems[row]:
            wanted.pop(stem, None)
    return _joined(sorted(chosen), table.sentences, words)


class _Table:
    """Sentences of sources with their stems: many claims are held against the same sources."""

    def __init__(self, sources: Sequence[str]) -> None:
        self.sentences = [sentence for source in sources for sentence in sentences(source)]
        self.stems = [frozenset(stems(sentence)) for sentence in self.sentences]
        self.lengths = [len(sentence.split()) for sentence in self.sentences]
        self._found = Counter(stem for part in self.stems for stem in part)

    @staticmethod
    @lru_cache(maxsize=256)
    def of(sources: tuple[str, ...]) -> _Table:
        return _Table(sources)

    def rarity(self, stem: str) -> float:
        return log(1 + len(self.sentences) / (1 + self._found[stem]))


def _joined(rows: Sequence[int], parts: Sequence[str], words: int) -> str:
    text = ""
    for place, row in enumerate(rows):
        glue = "" if not place else " " if row == rows[place - 1] + 1 else GAP
        text += glue + parts[row]
    cut = text.split(" ")
    return " ".join(cut[: 2 * words]) + (" …" if len(cut) > 2 * words else "")
