"""F1 of labels, averaged over them so that a rare one counts as much as a frequent one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.evaluation.answers import Asked
from preceptor.evaluation.suites.metrics.matching import MatchOptions
from preceptor.evaluation.suites.metrics.metric import Measured, metrics


@metrics.register("macro_f1", options=MatchOptions)
class MacroF1:
    """The mean of each label's F1. Labels are what the references say; an answer that is none of them counts as no answer."""

    Options: ClassVar[type[MatchOptions]] = MatchOptions
    needs_reference = True

    def __init__(self, options: MatchOptions | None = None) -> None:
        self._form = (options or MatchOptions()).form

    def measure(self, texts: Sequence[str], asked: Sequence[Asked]) -> Measured:
        wanted = [self._form(one.reference or "") for one in asked]
        labels = {label: k for k, label in enumerate(sorted(set(wanted)))}
        rows, k = len(wanted), len(labels)
        true, said = np.zeros((rows, k)), np.zeros((rows, k))
        for row, (text, label) in enumerate(zip(texts, wanted, strict=True)):
            true[row, labels[label]] = 1
            if (given := labels.get(self._form(text))) is not None:
                said[row, given] = 1
        return Measured(np.concatenate([true * said, true + said], axis=1), _mean_f1)


def _mean_f1(sums: FloatArray) -> FloatArray:
    """2·hits / (said + true) averaged over labels that occur; 0 where none does."""
    hits, either = np.split(sums, 2, axis=-1)
    occurs = either > 0
    f1 = 2 * hits / np.where(occurs, either, 1.0)
    return np.asarray(f1.sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1))
