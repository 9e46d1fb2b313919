"""Which of a teacher's answers are taken for labels: those it is sure of, in the classes' own proportions."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from preceptor.domain.results import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Pseudo:
    """texts: numbers of the texts that are taken, (m,). targets: what the student learns of each, (m, answers): what the teacher says,
    sharpened. sure: the calibrated probability of each one's first choice, (m,).

    confidence: of the least sure of those that could be taken; below what was asked for where only few reached that.
    prior: the share of each answer among all texts as the teacher estimates it, (answers,).
    """

    texts: IntArray
    targets: FloatArray
    sure: FloatArray
    confidence: float
    prior: FloatArray

    @property
    def counts(self) -> list[int]:
        """How many were taken for each answer."""
        return [int(count) for count in np.bincount(self.targets.argmax(axis=1), minlength=self.targets.shape[1])]


def pseudo_labels(probabilities: FloatArray, *, confidence: float, fewest: int, known: Collection[int] = ()) -> Pseudo:
    """Pseudo-labels from calibrated probabilities (texts, answers). known: texts that people have answered by now, which need none.

    A text can be taken when its most probable answer has at least `confidence`; where fewer than `fewest` texts have, the limit
    goes down to the confidence of the `fewest`-th, but never to where another answer is as likely as not (a half). Of each answer
    at most its estimated share is taken, the surest first: else the answer that the teacher likes best grows from round to round
    (Xie et al. 2020, "Self-training with Noisy Student", balance classes for the same reason). The share is the mean probability,
    which calibration makes an estimate of how often the answer is true, where the count of first choices exaggerates.
    """
    said, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    sure[list(known)] = -1.0  # below any confidence
    ranked = np.sort(sure)[::-1]
    limit = min(confidence, max(float(ranked[min(fewest, len(ranked)) - 1]), 0.5))
    able = sure >= limit
    prior = probabilities.mean(axis=0)
    taken: list[int] = []
    for answer in range(probabilities.shape[1]):
        mine = np.flatnonzero(able & (said == answer))
        most = math.ceil(float(prior[answer]) * int(able.sum()))
        taken += mine[np.argsort(-sure[mine], kind="stable")][:most].tolist()
    texts = np.array(sorted(taken), dtype=np.int64)
    return Pseudo(texts, sharpened(probabilities[texts]), sure[texts], limit, prior)


def sharpened(probabilities: FloatArray) -> FloatArray:
    """p² over its sum (Berthelot et al. 2019, "MixMatch": temperature 1/2), (…, answers).

    What a teacher says as it is teaches its student nothing that it wouldn't say itself; harder targets move the boundary to where
    few texts lie, and those that were in doubt stay softer than those that weren't. Hard ones gave a worse log loss (docs/benchmarks.md).
    """
    raised = probabilities**2
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def weight_of_each(pseudo: int, people: float, share: float) -> float:
    """What a pseudo-label counts, so that all of them count at most `share` times what people's rows do; never more than one row."""
    return min(1.0, share * people / pseudo) if pseudo else 0.0
