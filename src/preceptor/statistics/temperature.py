"""Temperature scaling: one number that makes a model as sure as it should be (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, softmax

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.statistics.inputs import as_targets

LOG_BOUNDS = (-3.0, 3.0)


def fit_temperature(logits: ArrayLike, targets: ArrayLike) -> float:
    """The T in [e⁻³, e³] that minimises cross-entropy of softmax(logits / T).

    logits: (rows, k), or log-probabilities. targets: class numbers (rows,) or soft targets (rows, k), of data that the model
    was not trained on. The top class of a row never changes.
    """
    from scipy.optimize import minimize_scalar

    table = _as_logits(logits)
    soft = as_targets(targets, *table.shape)

    def loss(log_temperature: float) -> float:
        return -float((soft * log_softmax(table * np.exp(-log_temperature), axis=1)).sum(axis=1).mean())

    return float(np.exp(minimize_scalar(loss, bounds=LOG_BOUNDS, method="bounded", options={"xatol": 1e-6}).x))


def apply_temperature(logits: ArrayLike, temperature: float) -> FloatArray:
    """softmax(logits / temperature), shape (rows, k)."""
    if not temperature > 0:
        raise UserError(f"a temperature of {temperature!r} makes no distribution", "pass a positive number", where="temperature")
    return np.asarray(softmax(_as_logits(logits) / temperature, axis=1))


def _as_logits(logits: ArrayLike) -> FloatArray:
    table = np.asarray(logits, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise UserError(f"must have a row an item and a column a class, not shape {table.shape}", where="logits")
    if not np.isfinite(table).all():
        row = int((~np.isfinite(table)).any(axis=1).argmax())
        raise UserError("a logit is not a finite number", "look at how the model scored this item", where=f"logits[{row}]")
    return table
