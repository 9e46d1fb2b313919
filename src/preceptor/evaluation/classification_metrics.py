"""Estimate the quality of single-label and multi-label classifiers, with intervals clustered by group.

Single-label: rows are items, columns are answers; the model's answer is the most probable one (the earlier of equals). Truth is the column
number of the human answer. Groups name what a row belongs to (its document): rows of one group aren't independent.

Multi-label: a probability for each label of each item. The figures of `label_estimates`:

accuracy    the share of items whose set of labels equals the human one exactly
macro_f1    the mean of each label's F1, over labels that occur in the predictions or the truth
log_loss    the cross-entropy of an item's labels, each taken by itself, in nats (their sum)
ece         over all decisions, one an item and label: how far the stated confidence is from the accuracy
f1          of each label that people or the model gave to an item: 2·hits / (given by the model + given by people)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from preceptor.errors import UserError
from preceptor.statistics import (
    bootstrap,
    brier_scores,
    calibration_estimates,
    compare_paired,
    estimate_mean,
    log_loss_rows,
    ranked_probability_scores,
    reliability_curve,
)
from preceptor.types import Estimate, FloatArray


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
    """Estimate the figures of probabilities (n, k) against truth (n,), by name.

    accuracy, macro_f1, log_loss (nats), ece (debiased) and brier (0 to 2). Where answers are `ordered`, also ranked_probability (0 to 1, of
    the whole distribution) and steps_off (of the model's answer).
    """
    right, loss = _correct_rows(probabilities, truth, answers), log_loss_rows(probabilities, truth)
    sides = _one_hot_sides(probabilities, truth)
    return {
        "accuracy": estimate_mean(right, clusters=groups, confidence=confidence),
        "macro_f1": bootstrap(
            lambda weights: mean_f1(weights, *sides), clusters=groups, seed=seed, confidence=confidence, within=(0.0, 1.0)
        ),
        "log_loss": estimate_mean(loss, clusters=groups, confidence=confidence, within=(0.0, np.inf)),
        "ece": calibration_estimates(probabilities, truth, groups, seed=seed, confidence=confidence),
        "brier": estimate_mean(brier_scores(probabilities, truth), clusters=groups, confidence=confidence, within=(0.0, 2.0)),
        **(_ordinal_estimates(probabilities, truth, groups, confidence) if ordered else {}),
    }


def _ordinal_estimates(probabilities: ArrayLike, truth: ArrayLike, groups: Any, confidence: float) -> dict[str, Estimate]:
    """Estimate how far off the answers are where they have an order."""
    table = np.asarray(probabilities)
    steps = np.abs(table.argmax(axis=1) - np.asarray(truth)).astype(np.float64)
    ranked = ranked_probability_scores(probabilities, truth)
    return {
        "ranked_probability": estimate_mean(ranked, clusters=groups, confidence=confidence, within=(0.0, 1.0)),
        "steps_off": estimate_mean(steps, clusters=groups, confidence=confidence, within=(0.0, table.shape[1] - 1.0)),
    }


def paired_classification_estimates(
    first: ArrayLike, second: ArrayLike, truth: ArrayLike, groups: Any, *, confidence: float = 0.95
) -> dict[str, Estimate]:
    """Estimate the differences first − second in accuracy and log_loss on the same items, each (n, k) against truth (n,).

    Above zero the first has the higher accuracy; below zero it has the lower (better) log loss.
    """
    right, losses = ([each(probabilities, truth) for probabilities in (first, second)] for each in (_correct_rows, log_loss_rows))
    return {
        "accuracy": compare_paired(*right, clusters=groups, confidence=confidence),
        "log_loss": compare_paired(*losses, clusters=groups, confidence=confidence, within=(0.0, np.inf)),
    }


def confusion_matrix(probabilities: ArrayLike, truth: ArrayLike, answers: Sequence[Any]) -> dict[str, Any]:
    """Count the confusion matrix: {"answers", "counts"}.

    Row i, column j of counts is how many items that people answered i the model answered j.
    """
    _correct_rows(probabilities, truth, answers)  # raises where the shapes don't match
    k = len(answers)
    pairs = np.asarray(truth, dtype=np.int64) * k + np.asarray(probabilities).argmax(axis=1)
    return {"answers": list(answers), "counts": np.bincount(pairs, minlength=k * k).reshape(k, k).tolist()}


def reliability_points(probabilities: ArrayLike, truth: ArrayLike) -> list[dict[str, Any]]:
    """Return the points of the reliability diagram by rising confidence: {"confidence", "accuracy", "count"}."""
    bins = reliability_curve(probabilities, truth)
    return [{"confidence": bin.confidence, "accuracy": bin.accuracy.value, "count": bin.rows} for bin in bins]


def _correct_rows(probabilities: ArrayLike, truth: ArrayLike, answers: Sequence[Any] | None = None) -> FloatArray:
    """Return 1.0 where the model's answer is the human one, else 0.0, shape (n,)."""
    log_loss_rows(probabilities, truth)  # raises for rows that are no distribution, and truths that are no column
    table = np.asarray(probabilities, dtype=np.float64)
    if answers is not None and len(answers) != table.shape[1]:
        raise UserError(
            f"{len(answers)} answers for probabilities of {table.shape[1]} columns", "pass one answer a column", where="answers"
        )
    return np.asarray(table.argmax(axis=1) == np.asarray(truth), dtype=np.float64)


def _one_hot_sides(probabilities: ArrayLike, truth: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return the model's and the human answers, each as one-hot rows (n, k)."""
    table = np.asarray(probabilities)
    one_hot = np.eye(table.shape[1])
    return one_hot[table.argmax(axis=1)], one_hot[np.asarray(truth, dtype=np.int64)]


def mean_f1(weights: FloatArray, answered: FloatArray, true: FloatArray) -> FloatArray:
    """Return the mean of 2·hits / (answered + true) over answers that occur in either; weights (…, n) give shape (…).

    0 where none occurs.
    """
    hits, either = weights @ (answered * true), weights @ (answered + true)
    occurs = either > 0
    f1 = 2 * hits / np.where(occurs, either, 1.0)
    return np.asarray(f1.sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1))


LABEL_THRESHOLD = 0.5  # a label more probable than this is predicted


def label_estimates(
    probabilities: ArrayLike, truth: ArrayLike, groups: Any, *, labels: Sequence[str], seed: int = 0
) -> dict[str, Estimate | Mapping[str, Estimate]]:
    """Estimate the multi-label figures of probabilities (items, labels), each in [0, 1], against truth of 0 and 1 (items, labels).

    The figures are those of the module's table. Raises UserError for shapes that don't match and for soft targets.
    """
    chances, true = _validated_labels(probabilities, truth, labels)
    given, names = (chances > LABEL_THRESHOLD).astype(np.float64), np.asarray(groups)
    decisions, right, repeated = _binary_distributions(chances), true.ravel().astype(np.int64), np.repeat(names, len(labels))
    losses = log_loss_rows(decisions, right).reshape(true.shape).sum(axis=1)
    occurs = np.flatnonzero((given + true).any(axis=0))
    return {
        "accuracy": estimate_mean((given == true).all(axis=1).astype(np.float64), clusters=names),
        "macro_f1": bootstrap(lambda weights: mean_f1(weights, given, true), clusters=names, seed=seed, within=(0.0, 1.0)),
        "log_loss": estimate_mean(losses, clusters=names, within=(0.0, np.inf)),
        "ece": calibration_estimates(decisions, right, repeated, seed=seed),
        "f1": {labels[k]: _label_f1(given[:, k], true[:, k], names) for k in occurs.tolist()},
    }


def _label_f1(given: FloatArray, true: FloatArray, groups: Any) -> Estimate:
    """Estimate the F1 of one label from the share J of hits among items that the model or people gave it: 2J / (1 + J), which rises with J.

    So the interval of the share becomes that of F1, and is valid for a label that is rare, or always found, too.
    """
    either = given + true > 0
    share = estimate_mean((given * true)[either], clusters=groups[either])
    value, low, high = (2 * j / (1 + j) for j in (share.value, share.low, share.high))
    return replace(share, value=value, low=low, high=high, method=f"share of hits, {share.method}")


def label_reliability(probabilities: ArrayLike, truth: ArrayLike) -> list[dict[str, Any]]:
    """Return the points of the reliability diagram of all decisions: {"confidence", "accuracy", "count"}."""
    table, true = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    bins = reliability_curve(_binary_distributions(table), true.ravel().astype(np.int64))
    return [{"confidence": bin.confidence, "accuracy": bin.accuracy.value, "count": bin.rows} for bin in bins]


def _binary_distributions(chances: FloatArray) -> FloatArray:
    """Return each label of each item as a distribution over no and yes, (items · labels, 2)."""
    return np.stack([1 - chances.ravel(), chances.ravel()], axis=1)


def _validated_labels(probabilities: ArrayLike, truth: ArrayLike, labels: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    chances, true = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if chances.ndim != 2 or chances.shape != true.shape or chances.shape[1] != len(labels) or not len(chances):
        shapes = f"{chances.shape} and {true.shape} for {len(labels)} labels"
        raise UserError(f"probabilities and truth of shape {shapes}", "pass a row an item and a column a label", where="probabilities")
    if not np.isin(true, (0, 1)).all():
        raise UserError("the truth of a label is 0 or 1", "cut soft targets at one half", where="truth")
    return chances, true
