"""How good a model is that says of each label whether it applies; every interval is clustered by group.

accuracy    the share of items whose set of labels is the people's, not one more and not one less
macro_f1    the mean of each label's F1, over labels that occur on either side
log_loss    the cross-entropy of an item's labels, told one by one, in nats (their sum)
ece         of all decisions, one an item and label: how far the certainty stated is from how often it is right
f1          of each label that people or model gave to an item: 2·hits / (given by the model + given by people)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import Estimate, FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.metrics import mean_f1
from preceptor.statistics import bootstrap, calibration_estimates, log_loss_rows, mean, reliability_curve

APPLIES = 0.5  # a label more probable than this is one that the model gives


def label_estimates(
    probabilities: ArrayLike, truth: ArrayLike, groups: Any, *, labels: Sequence[str], seed: int = 0
) -> dict[str, Estimate | Mapping[str, Estimate]]:
    """The figures above of probabilities (items, labels), each in [0, 1], against truth of 0 and 1 (items, labels)."""
    chances, true = _checked(probabilities, truth, labels)
    given, names = (chances > APPLIES).astype(np.float64), np.asarray(groups)
    decisions, right, repeated = _decisions(chances), true.ravel().astype(np.int64), np.repeat(names, len(labels))
    losses = log_loss_rows(decisions, right).reshape(true.shape).sum(axis=1)
    occurs = np.flatnonzero((given + true).any(axis=0))
    return {
        "accuracy": mean((given == true).all(axis=1).astype(np.float64), clusters=names),
        "macro_f1": bootstrap(lambda weights: mean_f1(weights, given, true), clusters=names, seed=seed, within=(0.0, 1.0)),
        "log_loss": mean(losses, clusters=names, within=(0.0, np.inf)),
        "ece": calibration_estimates(decisions, right, repeated, seed=seed),
        "f1": {labels[k]: _label_f1(given[:, k], true[:, k], names) for k in occurs.tolist()},
    }


def _label_f1(given: FloatArray, true: FloatArray, groups: Any) -> Estimate:
    """F1 of one label from the share J of hits among items that either side gave it: 2J / (1 + J), which rises with J.

    So the interval of the share becomes that of F1, and holds for a label that is rare, or always found, too.
    """
    either = given + true > 0
    share = mean((given * true)[either], clusters=groups[either])
    value, low, high = (2 * j / (1 + j) for j in (share.value, share.low, share.high))
    return replace(share, value=value, low=low, high=high, method=f"share of hits, {share.method}")


def label_reliability(probabilities: ArrayLike, truth: ArrayLike) -> list[dict[str, Any]]:
    """Points of the reliability diagram of all decisions: {"confidence", "accuracy", "count"}."""
    table, true = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    bins = reliability_curve(_decisions(table), true.ravel().astype(np.int64))
    return [{"confidence": bin.confidence, "accuracy": bin.accuracy.value, "count": bin.rows} for bin in bins]


def _decisions(chances: FloatArray) -> FloatArray:
    """Each label of each item as a distribution over no and yes, (items · labels, 2)."""
    return np.stack([1 - chances.ravel(), chances.ravel()], axis=1)


def _checked(probabilities: ArrayLike, truth: ArrayLike, labels: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    chances, true = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if chances.ndim != 2 or chances.shape != true.shape or chances.shape[1] != len(labels) or not len(chances):
        shapes = f"{chances.shape} and {true.shape} for {len(labels)} labels"
        raise UserError(f"probabilities and truth of shape {shapes}", "pass a row an item and a column a label", where="probabilities")
    if not np.isin(true, (0, 1)).all():
        raise UserError("the truth of a label is 0 or 1", "cut soft targets at one half", where="truth")
    return chances, true
