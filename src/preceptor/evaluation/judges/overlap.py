"""A judge that needs no model: how much of a claim's wording stands in its sources. The baseline of judges, and the last resort."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.evaluation.judges.evidence import passage
from preceptor.evaluation.judges.judge import Case
from preceptor.retrieval.words import stems


class OverlapJudge:
    """The share of a claim's words (without articles and the like) that its sources have; 1 says that it is supported.

    It can't tell "excludes" from "includes": what it is worth is for people's labels to say.
    """

    name = "word overlap"
    digest = "overlap-1"

    def scores(self, cases: Sequence[Case]) -> FloatArray:
        """NaN for a claim without any word to compare."""
        known: dict[tuple[str, ...], frozenset[str]] = {}
        return np.array([_share(case, known) for case in cases], dtype=np.float64)

    def evidence(self, case: Case) -> str:
        """What of the sources has most in common with the claim."""
        return passage(case.text, case.sources)


def _share(case: Case, known: dict[tuple[str, ...], frozenset[str]]) -> float:
    words = stems(case.text)
    if not words:
        return float("nan")
    if case.sources not in known:
        known[case.sources] = frozenset(chain.from_iterable(map(stems, case.sources)))
    return sum(word in known[case.sources] for word in words) / len(words)
