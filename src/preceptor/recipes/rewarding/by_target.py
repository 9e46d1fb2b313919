"""`exact`: whether the answer is what people gave as the row's answer."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.recipes.recipe import Row, Run
from preceptor.recipes.rewarding.sampled import Sampled


class Exact:
    """The probability that the answer is right: what the row's target gives to the answers that are the same text, made alike.

    Where people were of two minds, each of their answers earns its share.
    """

    def __init__(self, of: str, run: Run) -> None:
        if of:
            raise UserError(f"reward exact takes nothing, and {of!r} stands behind it", "exact, or exact*0.5")

    def check_answered(self, rows: Sequence[Row]) -> None:
        """UserError where there are rows without an answer."""
        if lacking := [row.id for row in rows if not row.target]:
            raise UserError(
                f"reward exact: {len(lacking):,} of {len(rows):,} rows have no right answer", "have people answer them, or leave exact out",
                where=f"row {lacking[0]!r}",
            )  # fmt: skip

    def score(self, samples: Sequence[Sampled]) -> FloatArray:
        return np.array([self._probability(sample) for sample in samples])

    def _probability(self, sample: Sampled) -> float:
        if not sample.target:
            raise UserError("reward exact: the row has no right answer", "a snapshot of a question that people answer", where=sample.shown)
        said = alike(sample.text)
        return float(min(1.0, sum(share for answer, share in sample.target.items() if alike(answer) == said)))


def alike(text: str) -> str:
    """A text as it is compared: without capitals, space of all kinds as one, no punctuation at its ends, letters in one form (NFKC)."""
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    start, stop = 0, len(words)
    while start < stop and not words[start].isalnum():
        start += 1
    while stop > start and not words[stop - 1].isalnum():
        stop -= 1
    return words[start:stop] or words
