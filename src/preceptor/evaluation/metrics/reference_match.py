"""Match answers with reference answers: exact match, word F1, and macro F1 of labels.

Macro F1 is averaged over labels, so that a rare label counts as much as a frequent one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from preceptor.evaluation.generation_metrics import normalize_spaces, word_f1
from preceptor.evaluation.metrics.metric import MetricMeasurement, metrics
from preceptor.evaluation.prompts import SuitePrompt
from preceptor.registry import OptionsBase
from preceptor.types import FloatArray


class MatchOptions(OptionsBase):
    """Options for which differences are ignored; the amount of white space is always ignored."""

    ignore_case: bool = Field(False, description="Yes is yes")
    ignore_punctuation: bool = Field(False, description="yes. is yes")

    def form(self, text: str) -> str:
        """Return the text in the form in which it is compared."""
        if self.ignore_punctuation:
            text = "".join(" " if unicodedata.category(letter).startswith("P") else letter for letter in text)
        return normalize_spaces(text.casefold() if self.ignore_case else text)


@metrics.register("exact_match", options=MatchOptions)
@metrics.register("accuracy", options=MatchOptions)
class ExactMatch:
    """Exact match: the share of answers that equal their references; called accuracy where the answers are labels."""

    Options: ClassVar[type[MatchOptions]] = MatchOptions
    needs_reference = True

    def __init__(self, options: MatchOptions | None = None) -> None:
        self._form = (options or MatchOptions()).form

    def measure(self, texts: Sequence[str], prompts: Sequence[SuitePrompt]) -> MetricMeasurement:
        """Measure 1 for each answer that equals its reference, else 0."""
        pairs = zip(texts, prompts, strict=True)
        return MetricMeasurement(_as_column([float(self._form(text) == self._form(one.reference or "")) for text, one in pairs]))


@metrics.register("token_f1", options=OptionsBase)
class TokenF1:
    """Mean word F1 (`word_f1`): words in common, as in SQuAD (Rajpurkar et al. 2016)."""

    Options: ClassVar[type[OptionsBase]] = OptionsBase
    needs_reference = True

    def __init__(self, options: OptionsBase | None = None) -> None:
        pass

    def measure(self, texts: Sequence[str], prompts: Sequence[SuitePrompt]) -> MetricMeasurement:
        """Measure the word F1 of each answer with its reference."""
        return MetricMeasurement(_as_column([word_f1(text, one.reference or "") for text, one in zip(texts, prompts, strict=True)]))


def _as_column(values: list[float]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array(values, dtype=np.float64).reshape(-1, 1)


@metrics.register("macro_f1", options=MatchOptions)
class MacroF1:
    """Mean of each label's F1.

    The labels are those of the references; an answer that is none of them counts as no answer.
    """

    Options: ClassVar[type[MatchOptions]] = MatchOptions
    needs_reference = True

    def __init__(self, options: MatchOptions | None = None) -> None:
        self._form = (options or MatchOptions()).form

    def measure(self, texts: Sequence[str], prompts: Sequence[SuitePrompt]) -> MetricMeasurement:
        """Count each answer's hits, and its predicted plus true label, for each label, (n, 2·labels)."""
        wanted = [self._form(one.reference or "") for one in prompts]
        labels = {label: k for k, label in enumerate(sorted(set(wanted)))}
        rows, k = len(wanted), len(labels)
        true, said = np.zeros((rows, k)), np.zeros((rows, k))
        for row, (text, label) in enumerate(zip(texts, wanted, strict=True)):
            true[row, labels[label]] = 1
            if (given := labels.get(self._form(text))) is not None:
                said[row, given] = 1
        return MetricMeasurement(np.concatenate([true * said, true + said], axis=1), _mean_label_f1)


def _mean_label_f1(sums: FloatArray) -> FloatArray:
    """Return 2·hits / (predicted + true) averaged over labels that occur; 0 where none does."""
    hits, either = np.split(sums, 2, axis=-1)
    occurs = either > 0
    f1 = 2 * hits / np.where(occurs, either, 1.0)
    return np.asarray(f1.sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1))
