"""ROUGE (Lin 2004) of each answer, as Google's `rouge-score` computes it.

The F1 of words, of word bigrams, and of the longest common subsequence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from preceptor.errors import MissingPackage
from preceptor.evaluation.metrics.metric import MetricMeasurement, metrics
from preceptor.evaluation.prompts import SuitePrompt
from preceptor.registry import OptionsBase


class RougeOptions(OptionsBase):
    """Options for how texts are split into words."""

    stemmer: bool = Field(False, description="walks and walking are one word; English only")
    any_language: bool = Field(False, description="words of all scripts; else only a to z and digits count, as published figures have it")


class _RougeBase:
    """The F1 of one ROUGE variant; a reference without any words (in another script, say) can't be measured and gives NaN."""

    Options: ClassVar[type[RougeOptions]] = RougeOptions
    needs_reference = True
    measure_name: ClassVar[str]

    def __init__(self, options: RougeOptions | None = None) -> None:
        self._options = options or RougeOptions()

    def measure(self, texts: Sequence[str], prompts: Sequence[SuitePrompt]) -> MetricMeasurement:
        """Measure the F1 of each answer with its reference, NaN where the reference has no words."""
        scorer, tokenizer = _make_scorer(self.measure_name, self._options)
        values = []
        for text, one in zip(texts, prompts, strict=True):
            reference = one.reference or ""
            if tokenizer.tokenize(reference):
                values.append(scorer.score(reference, text)[self.measure_name].fmeasure)
            else:
                values.append(np.nan)
        settings = f"stemmer:{'yes' if self._options.stemmer else 'no'}|words:{'all' if self._options.any_language else 'a-z0-9'}"
        return MetricMeasurement(
            np.array(values, dtype=np.float64).reshape(-1, 1), signature=f"rouge-score|{self.measure_name}|F1|{settings}"
        )


@metrics.register("rouge_1", options=RougeOptions)
class Rouge1(_RougeBase):
    """ROUGE-1: the F1 of single words."""

    measure_name = "rouge1"


@metrics.register("rouge_2", options=RougeOptions)
class Rouge2(_RougeBase):
    """ROUGE-2: the F1 of word bigrams; a text of one word has none, and gets 0."""

    measure_name = "rouge2"


@metrics.register("rouge_l", options=RougeOptions)
class RougeL(_RougeBase):
    """ROUGE-L: the F1 of the longest common subsequence of words."""

    measure_name = "rougeL"


class _UnicodeTokenizer:
    """Splits texts into words of letters and digits of any script, in lower case."""

    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"\w+", text.casefold())


def _make_scorer(name: str, options: RougeOptions) -> tuple[Any, Any]:
    try:
        from rouge_score import rouge_scorer, tokenizers  # type: ignore[import-untyped]
    except ImportError:
        raise MissingPackage("ROUGE", "metrics") from None
    tokenizer = _UnicodeTokenizer() if options.any_language else tokenizers.DefaultTokenizer(options.stemmer)
    return rouge_scorer.RougeScorer([name], tokenizer=tokenizer), tokenizer
