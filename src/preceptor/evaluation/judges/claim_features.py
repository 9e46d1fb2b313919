"""What a claim's wording alone says of whether its sources bear it out: word overlap and nine further features, without a model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from math import log

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.evaluation.judges.judge import Case
from preceptor.retrieval.sentences import sentences
from preceptor.retrieval.words import stems

FEATURES = (
    "overlap", "rare overlap", "best sentence", "two best sentences", "pairs of words", "three words on end", "numbers missing",
    "names missing", "negation in one of both", "length",
)  # fmt: skip
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][\w'’-]+")
_NEGATION = re.compile(r"\b(?:not?|never|none|neither|nor|without|cannot|\w+n['’]t)\b", re.IGNORECASE)


def claim_features(cases: Sequence[Case]) -> FloatArray:
    """FEATURES of each claim beside its sources, (cases, 10), each from 0 to 1 but for the length (log of words)."""
    return np.array([list(_features(case.text, _Sources.of(case.sources))) for case in cases], dtype=np.float64).reshape(-1, len(FEATURES))


def _features(claim: str, sources: _Sources) -> Iterator[float]:
    said = stems(claim)
    words = frozenset(said)
    yield _share(words, sources.stems)
    weight = {word: sources.rarity(word) for word in words}
    total = sum(weight.values())
    yield sum(weight[word] for word in words & sources.stems) / total if total else 0.5
    best = max(sources.sentences, key=lambda part: len(part.stems & words), default=_Sentence("", frozenset()))
    yield _share(words, best.stems)
    left = words - best.stems
    second = max(sources.sentences, key=lambda part: len(part.stems & left), default=best)
    yield _share(words, best.stems | second.stems)
    yield _share(frozenset(pairwise(said)), sources.pairs)
    yield _share(frozenset(zip(said, said[1:], said[2:], strict=False)), sources.triples)
    yield 1 - _share(frozenset(_NUMBER.findall(claim)), sources.numbers, empty=1.0)
    yield 1 - _share(frozenset(name.lower() for name in _NAME.findall(claim)), sources.words, empty=1.0)
    yield float(bool(_NEGATION.search(claim)) != bool(_NEGATION.search(best.text)))
    yield log(1 + len(claim.split()))


def _share(parts: frozenset[object], of: frozenset[object], empty: float = 0.5) -> float:
    return len(parts & of) / len(parts) if parts else empty


class _Sentence:
    def __init__(self, text: str, found: frozenset[str]) -> None:
        self.text, self.stems = text, found


class _Sources:
    """What of sources is compared with a claim: many claims are held against the same."""

    def __init__(self, sources: Sequence[str]) -> None:
        self.sentences = [_Sentence(text, frozenset(stems(text))) for source in sources for text in sentences(source)]
        said = [stems(source) for source in sources]
        self.stems = frozenset(word for source in said for word in source)
        self.pairs = frozenset(pair for source in said for pair in pairwise(source))
        self.triples = frozenset(triple for source in said for triple in zip(source, source[1:], source[2:], strict=False))
        self.numbers = frozenset(number for source in sources for number in _NUMBER.findall(source))
        self.words = frozenset(word for source in sources for word in re.findall(r"[\w'’-]+", source.lower()))
        self._found = Counter(word for part in self.sentences for word in part.stems)

    @staticmethod
    @lru_cache(maxsize=256)
    def of(sources: tuple[str, ...]) -> _Sources:
        return _Sources(sources)

    def rarity(self, word: str) -> float:
        return log(1 + (1 + len(self.sentences)) / (1 + self._found[word]))
