"""`length<=80`, `length>=20`: whether an answer has at most, or at least, so many words."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.recipes.recipe import Run
from preceptor.recipes.rewarding.sampled import Sampled

_BOUND = re.compile(r"(?P<side>[<>]=)\s*(?P<words>\d+)")


class Within:
    """1 where the number of words keeps the bound, else 0; an answer without a word keeps none, or silence would be rewarded."""

    def __init__(self, bound: str, run: Run) -> None:
        found = _BOUND.fullmatch(bound.strip())
        if found is None:
            raise UserError(f"reward length: {bound!r} is no bound", "length<=80, or length>=20, in words")
        self._at_most, self._words = found["side"] == "<=", int(found["words"])

    def score(self, samples: Sequence[Sampled]) -> FloatArray:
        return np.array([float(self._keeps(sample.words)) for sample in samples])

    def _keeps(self, words: int) -> bool:
        return words > 0 and (words <= self._words if self._at_most else words >= self._words)
