"""Corpus BLEU (Papineni et al. 2002) and chrF (Popović 2015), counted by `sacrebleu`, as shares of 1.

Both are corpus-level figures: n-grams are counted over all answers before anything is divided. sacrebleu counts each answer's n-grams; the
two formulas are written here again, over arrays of sums, and the tests compare them with sacrebleu's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from preceptor.errors import MissingPackage
from preceptor.evaluation.metrics.metric import MetricMeasurement, metrics
from preceptor.evaluation.prompts import SuitePrompt
from preceptor.registry import OptionsBase
from preceptor.types import FloatArray

_BLEU_ORDERS = 4  # BLEU counts sequences of one to four words
RECALL_WEIGHT = 2.0**2  # chrF2: recall counts twice as much as precision


class BleuOptions(OptionsBase):
    """Options of BLEU, with sacrebleu's own names and defaults."""

    lowercase: bool = Field(False, description="capitals don't count")
    tokenize: Literal["13a", "intl", "char", "none"] = Field("13a", description="char for languages without spaces between words")


class ChrfOptions(OptionsBase):
    """Options of chrF, with sacrebleu's own names and defaults."""

    lowercase: bool = Field(False, description="capitals don't count")
    word_order: int = Field(0, ge=0, le=4, description="2 is chrF++, which counts words and pairs of them too")


@metrics.register("bleu", options=BleuOptions)
class Bleu:
    """BLEU: how many of the answers' word n-grams occur in their references, with a penalty for answers that are too short."""

    Options: ClassVar[type[BleuOptions]] = BleuOptions
    needs_reference = True

    def __init__(self, options: BleuOptions | None = None) -> None:
        self._options = options or BleuOptions()

    def measure(self, texts: Sequence[str], prompts: Sequence[SuitePrompt]) -> MetricMeasurement:
        """Count each answer's BLEU statistics, (n, 10), of which `compute_bleu` takes sums."""
        counter = _import_sacrebleu("BLEU").BLEU(lowercase=self._options.lowercase, tokenize=self._options.tokenize)
        return MetricMeasurement(_ngram_counts(counter, texts, prompts), compute_bleu, signature=str(counter.get_signature()))


@metrics.register("chrf", options=ChrfOptions)
class Chrf:
    """chrF: the F2 of character n-grams of one to six letters.

    It needs no words, so it suits rich inflection and languages without spaces.
    """

    Options: ClassVar[type[ChrfOptions]] = ChrfOptions
    needs_reference = True

    def __init__(self, options: ChrfOptions | None = None) -> None:
        self._options = options or ChrfOptions()

    def measure(self, texts: Sequence[str], prompts: Sequence[SuitePrompt]) -> MetricMeasurement:
        """Count each answer's chrF statistics, (n, 3·orders), of which `compute_chrf` takes sums."""
        counter = _import_sacrebleu("chrF").CHRF(lowercase=self._options.lowercase, word_order=self._options.word_order)
        return MetricMeasurement(_ngram_counts(counter, texts, prompts), compute_chrf, signature=str(counter.get_signature()))


def compute_bleu(sums: FloatArray) -> FloatArray:
    """Compute BLEU from sums (…, 10): the answers' length in words, the references', then hits and possible hits of each order.

    Smoothing "exp", sacrebleu's default: an order without hits counts as half a hit, the next such as a quarter.
    """
    said, wanted = sums[..., 0], sums[..., 1]
    hits, possible = sums[..., 2 : 2 + _BLEU_ORDERS], sums[..., 2 + _BLEU_ORDERS :]
    missed = (hits == 0) & (possible > 0)
    smoothed = 0.5 ** np.cumsum(missed, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(missed, smoothed, hits) / np.where(possible > 0, possible, 1.0)
        # an order that no answer is long enough for makes the product 0, as sacrebleu has it
        mean_log = np.log(np.where(possible > 0, shares, 0.0)).mean(axis=-1)
        brevity = np.where(said < wanted, np.exp(1 - wanted / np.where(said > 0, said, 1.0)), 1.0)
    return np.where(hits.any(axis=-1) & (said > 0), brevity * np.exp(mean_log), 0.0)


def compute_chrf(sums: FloatArray) -> FloatArray:
    """Compute chrF from sums (…, 3·orders): for each order the answers' n-grams, the references', and those in common."""
    said, wanted, common = (sums[..., start::3] for start in range(3))
    counts = (said > 0) & (wanted > 0)
    orders = np.maximum(counts.sum(axis=-1), 1)
    precision = np.where(counts, common / np.where(said > 0, said, 1.0), 0.0).sum(axis=-1) / orders
    recall = np.where(counts, common / np.where(wanted > 0, wanted, 1.0), 0.0).sum(axis=-1) / orders
    weighted = RECALL_WEIGHT * precision + recall
    return np.asarray((1 + RECALL_WEIGHT) * precision * recall / np.where(weighted > 0, weighted, 1.0))


def _ngram_counts(counter: Any, texts: Sequence[str], prompts: Sequence[SuitePrompt]) -> FloatArray:
    # sacrebleu's own significance tests read these counts in the same way; there is no public name for them
    found = counter._extract_corpus_statistics([*texts], [[one.reference or "" for one in prompts]])
    return np.array(found, dtype=np.float64)


def _import_sacrebleu(feature: str) -> Any:
    try:
        from sacrebleu import metrics as known
    except ImportError:
        raise MissingPackage(feature, "metrics") from None
    return known
