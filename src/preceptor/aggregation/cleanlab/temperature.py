"""Probabilities made sharper or softer, as far as people's labels bear it out."""

from __future__ import annotations

import numpy as np

from preceptor.aggregation.crowdlab import Floats

TINY = 1e-30
TEMPERATURES = (0.1, 0.2, 0.5, 0.8, 1.0, 2.0, 3.0, 5.0, 8.0)
FINE = 4  # steps between two of them


def find_best_temp_scaler(labels_multiannotator: Floats, pred_probs: Floats) -> float:
    """The temperature at which the probabilities come nearest to the shares of labels (cross-entropy), on cleanlab's grid."""
    given = ~np.isnan(labels_multiannotator)
    item, _ = np.nonzero(given)
    counts = np.zeros(pred_probs.shape)
    np.add.at(counts, (item, labels_multiannotator[given].astype(np.int64)), 1.0)
    shares = counts / counts.sum(axis=1, keepdims=True)

    def loss(temperature: float) -> float:
        return -float((shares * np.log(np.maximum(temp_scale_pred_probs(pred_probs, temperature), TINY))).sum(axis=1).mean())

    best = int(np.argmin([loss(t) for t in TEMPERATURES]))
    grid: list[float] = []
    if best > 0:
        grid += np.linspace(TEMPERATURES[best - 1], TEMPERATURES[best], FINE, endpoint=False).tolist()
    if best < len(TEMPERATURES) - 1:
        grid += np.linspace(TEMPERATURES[best], TEMPERATURES[best + 1], FINE + 1).tolist()
    return grid[int(np.argmin([loss(t) for t in grid]))]


def temp_scale_pred_probs(pred_probs: Floats, temp: float) -> Floats:
    """Probabilities with their logs divided by the temperature, rows summing to 1."""
    logs = np.log(np.maximum(pred_probs, TINY)) / temp
    scaled = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))
