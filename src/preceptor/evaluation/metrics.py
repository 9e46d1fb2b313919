"""How good a classifier's probabilities are, and which of two is better; every interval is clustered by group.

Rows are items, columns are answers; the model's answer is the most probable one (of equals the earlier). Truth is the
column number of the people's answer. Groups name what a row belongs to (its document): rows of one aren't independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import Estimate, FloatArray
from preceptor.errors import UserError
from preceptor.statistics import (
    bootstrap,
    brier,
    calibration_estimates,
    compare_paired,
    log_loss_rows,
    mean,
    ranked_probability,
    reliability_curve,
)


def classification_estimates(
    probabilities: ArrayLike,
    truth: ArrayLike,
    groups: Any,
    *,
    answers: Sequence[Any],
    ordered: bool = False,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """accuracy, macro_f1, log_loss (nats), ece (debiased) and brier (0 to 2) of probabilities (n, k) against truth (n,).

    Of answers that are `ordered` also ranked_probability (0 to 1, of a distribution) and steps_off (of the model's answer).
    """
    right, loss = _right(probabilities, truth, answers), log_loss_rows(probabilities, truth)
    sides = _sides(probabilities, truth)
    return {
        "accuracy": mean(right, clusters=groups, confidence=confidence),
        "macro_f1": bootstrap(
            lambda weights: mean_f1(weights, *sides), clusters=groups, seed=seed, confidence=confidence, within=(0.0, 1.0)
        ),
        "log_loss": mean(loss, clusters=groups, confidence=confidence, within=(0.0, np.inf)),
        "ece": calibration_estimates(probabilities, truth, groups, seed=seed, confidence=confidence),
        "brier": mean(brier(probabilities, truth), clusters=groups, confidence=confidence, within=(0.0, 2.0)),
        **(_in_order(probabilities, truth, groups, confidence) if ordered else {}),
    }


def _in_order(probabilities: ArrayLike, truth: ArrayLike, groups: Any, confidence: float) -> dict[str, Estimate]:
    """How far off the answers are where they have an order."""
    table = np.asarray(probabilities)
    steps = np.abs(table.argmax(axis=1) - np.asarray(truth)).astype(np.float64)
    ranked = ranked_probability(probabilities, truth)
    return {
        "ranked_probability": mean(ranked, clusters=groups, confidence=confidence, within=(0.0, 1.0)),
        "steps_off": mean(steps, clusters=groups, confidence=confidence, within=(0.0, table.shape[1] - 1.0)),
    }


def paired(first: ArrayLike, second: ArrayLike, truth: ArrayLike, groups: Any, *, confidence: float = 0.95) -> dict[str, Estimate]:
    """Differences first − second in accuracy and log_loss on the same items, each (n, k) against truth (n,).

    Above zero the first has the higher accuracy; below zero it has the lower (better) log loss.
    """
    right, losses = ([each(probabilities, truth) for probabilities in (first, second)] for each in (_right, log_loss_rows))
    return {
        "accuracy": compare_paired(*right, clusters=groups, confidence=confidence),
        "log_loss": compare_paired(*losses, clusters=groups, confidence=confidence, within=(0.0, np.inf)),
    }


def confusion(probabilities: ArrayLike, truth: ArrayLike, answers: Sequence[Any]) -> dict[str, Any]:
    """{"answers", "counts"}: row i, column j of counts is how many items that people answered i the model answered j."""
    _right(probabilities, truth, answers)  # refuses what doesn't fit together
    k = len(answers)
    pairs = np.asarray(truth, dtype=np.int64) * k + np.asarray(probabilities).argmax(axis=1)
    return {"answers": list(answers), "counts": np.bincount(pairs, minlength=k * k).reshape(k, k).tolist()}


def reliability(probabilities: ArrayLike, truth: ArrayLike) -> list[dict[str, Any]]:
    """Points of the reliability diagram by rising confidence: {"confidence", "accuracy", "count"}."""
    bins = reliability_curve(probabilities, truth)
    return [{"confidence": bin.confidence, "accuracy": bin.accuracy.value, "count": bin.rows} for bin in bins]


def _right(probabilities: ArrayLike, truth: ArrayLike, answers: Sequence[Any] | None = None) -> FloatArray:
    """1.0 where the model's answer is the people's, else 0.0, shape (n,)."""
    log_loss_rows(probabilities, truth)  # refuses rows that are no distribution, and truths that are no column
    table = np.asarray(probabilities, dtype=np.float64)
    if answers is not None and len(answers) != table.shape[1]:
        raise UserError(
            f"{len(answers)} answers for probabilities of {table.shape[1]} columns", "pass one answer a column", where="answers"
        )
    return np.asarray(table.argmax(axis=1) == np.asarray(truth), dtype=np.float64)


def _sides(probabilities: ArrayLike, truth: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The model's answers and the people's, each as one-hot rows (n, k)."""
    table = np.asarray(probabilities)
    one_hot = np.eye(table.shape[1])
    return one_hot[table.argmax(axis=1)], one_hot[np.asarray(truth, dtype=np.int64)]


def mean_f1(weights: FloatArray, answered: FloatArray, true: FloatArray) -> FloatArray:
    """Mean of 2·hits / (answered + true) over answers that occur on either side; weights (…, n) give shape (…), 0 where none occurs."""
    hits, either = weights @ (answered * true), weights @ (answered + true)
    occurs = either > 0
    f1 = 2 * hits / np.where(occurs, either, 1.0)
    return np.asarray(f1.sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1))
