"""A logistic head that is soon good enough for looking at rows, where `logistic.fit_head` goes on until nothing moves.

Features are turned so that the loss curves about alike in all directions, which takes L-BFGS a third of the steps; then it stops
once a step brings less than a ten-thousandth. On 10,000 rows, 384 features and 77 answers the ranking of suspects is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from preceptor.domain.results import FloatArray

PENALTIES = (0.1, 0.03, 0.01)  # the greatest first: of equals it is kept
_ENOUGH = 1e-4  # relative fall of the loss
_STEPS = 100


@dataclass(frozen=True, eq=False)
class QuickHead:
    """weight (answers, d), bias (answers,)."""

    weight: FloatArray
    bias: FloatArray

    def logits(self, points: FloatArray) -> FloatArray:
        """(rows, answers)"""
        return np.asarray(points @ self.weight.T + self.bias)


def fit(points: FloatArray, targets: FloatArray, weights: FloatArray, penalty: float) -> QuickHead:
    """The head of `logistic.fit_head`, approximately: weighted mean cross-entropy + penalty / 2 · |weight|², features scaled as there."""
    share = weights / weights.sum()
    centre = share @ points
    moved = points - centre
    scale = float(np.sqrt(np.mean(moved**2))) or 1.0
    moved /= scale
    answers, width = targets.shape[1], moved.shape[1]
    spread, axes = np.linalg.eigh((moved * share[:, None]).T @ moved)
    turn = (axes / np.sqrt(np.maximum(spread, 0) / answers + penalty)) @ axes.T
    metric = penalty * turn @ turn
    seen = (moved @ turn).astype(np.float32)
    wanted, counted = targets.astype(np.float32), share.astype(np.float32)[:, None]

    def climb(flat: FloatArray) -> tuple[float, FloatArray]:
        weight, bias = flat[:-answers].reshape(answers, width), flat[-answers:].astype(np.float32)
        said = seen @ weight.astype(np.float32).T + bias
        said -= said.max(axis=1, keepdims=True)
        raised = np.exp(said)
        total = raised.sum(axis=1, keepdims=True)
        value = -float((counted * wanted * (said - np.log(total))).sum(dtype=np.float64))
        raised /= total
        raised -= wanted
        raised *= counted
        pull = weight @ metric
        slope = (raised.T @ seen).astype(np.float64) + pull
        return value + float((weight * pull).sum()) / 2, np.concatenate([slope.ravel(), raised.sum(axis=0, dtype=np.float64)])

    begin = np.zeros(answers * (width + 1))
    found = minimize(climb, begin, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS, "ftol": _ENOUGH, "gtol": 1e-7})
    weight = found.x[:-answers].reshape(answers, width) @ turn / scale
    return QuickHead(weight, found.x[-answers:] - weight @ centre)


def held_out_loss(head: QuickHead, points: FloatArray, targets: FloatArray, weights: FloatArray) -> float:
    """Weighted mean cross-entropy in nats."""
    losses = -(targets * log_softmax(head.logits(points), axis=1)).sum(axis=1)
    return float(np.average(losses, weights=weights))
