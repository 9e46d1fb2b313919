"""Whether an answer is its reference, or how many of its words it has."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from preceptor.evaluation.answers import Asked
from preceptor.evaluation.suites.metrics.metric import Measured, metrics
from preceptor.evaluation.texts import same, word_f1
from preceptor.registry import OptionsBase


class MatchOptions(OptionsBase):
    """What doesn't count as a difference; how much space there is never does."""

    ignore_case: bool = Field(False, description="Yes is yes")
    ignore_punctuation: bool = Field(False, description="yes. is yes")

    def form(self, text: str) -> str:
        """A text as it is compared."""
        if self.ignore_punctuation:
            text = "".join(" " if unicodedata.category(letter).startswith("P") else letter for letter in text)
        return same(text.casefold() if self.ignore_case else text)


@metrics.register("exact_match", options=MatchOptions)
@metrics.register("accuracy", options=MatchOptions)
class ExactMatch:
    """The share of answers that are their references; called accuracy where the answers are labels."""

    Options: ClassVar[type[MatchOptions]] = MatchOptions
    needs_reference = True

    def __init__(self, options: MatchOptions | None = None) -> None:
        self._form = (options or MatchOptions()).form

    def measure(self, texts: Sequence[str], asked: Sequence[Asked]) -> Measured:
        pairs = zip(texts, asked, strict=True)
        return Measured(_column([float(self._form(text) == self._form(one.reference or "")) for text, one in pairs]))


@metrics.register("token_f1", options=OptionsBase)
class TokenF1:
    """The mean of `word_f1`: words in common, as in SQuAD (Rajpurkar et al. 2016)."""

    Options: ClassVar[type[OptionsBase]] = OptionsBase
    needs_reference = True

    def __init__(self, options: OptionsBase | None = None) -> None:
        pass

    def measure(self, texts: Sequence[str], asked: Sequence[Asked]) -> Measured:
        return Measured(_column([word_f1(text, one.reference or "") for text, one in zip(texts, asked, strict=True)]))


def _column(values: list[float]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array(values, dtype=np.float64).reshape(-1, 1)
