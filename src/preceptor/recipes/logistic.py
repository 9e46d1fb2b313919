"""A logistic head on fixed features, fitted to the people's posterior until it no longer moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from preceptor.domain.results import FloatArray

PENALTIES = (1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # with some dozen rows the best was seen to be about 10
_STEPS = 1000


@dataclass(frozen=True, eq=False)
class Sample:
    """features (n, d), targets (n, answers) with rows that sum to 1, weights (n,)."""

    features: FloatArray
    targets: FloatArray
    weights: FloatArray


@dataclass(frozen=True, eq=False)
class Head:
    """weight (answers, d) and bias (answers,): logits are features @ weight.T + bias. loss: in nats, on what it was fitted to."""

    weight: FloatArray
    bias: FloatArray
    penalty: float
    loss: float

    def losses(self, sample: Sample) -> FloatArray:
        """Cross-entropy of each row against its targets in nats, (n,)."""
        return np.asarray(-(sample.targets * log_softmax(sample.features @ self.weight.T + self.bias, axis=1)).sum(axis=1))

    def mean_loss(self, sample: Sample) -> float:
        """The weighted mean of `losses`."""
        return float(np.average(self.losses(sample), weights=sample.weights))


def fit_head(sample: Sample, penalty: float) -> Head:
    """The head that minimises weighted mean cross-entropy + penalty / 2 · |weight|²; convex, so where it starts is of no matter.

    The penalty counts on features moved to mean 0 and scaled to a mean square of 1, all by one factor: then a penalty means
    the same whatever the encoder, and directions keep their proportions. The head that is returned takes features as they are.
    """
    centre = np.average(sample.features, axis=0, weights=sample.weights)
    moved = sample.features - centre
    scale = float(np.sqrt(np.mean(moved**2))) or 1.0
    moved = moved / scale
    share = sample.weights / sample.weights.sum()
    answers, width = sample.targets.shape[1], moved.shape[1]

    def climb(flat: FloatArray) -> tuple[float, FloatArray]:
        weight, bias = flat[:-answers].reshape(answers, width), flat[-answers:]
        said = log_softmax(moved @ weight.T + bias, axis=1)
        off = (np.exp(said) - sample.targets) * share[:, None]
        value = -float((share[:, None] * sample.targets * said).sum()) + penalty / 2 * float((weight**2).sum())
        return value, np.concatenate([(off.T @ moved + penalty * weight).ravel(), off.sum(axis=0)])

    found = minimize(climb, np.zeros(answers * (width + 1)), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS, "gtol": 1e-7})
    weight, bias = found.x[:-answers].reshape(answers, width) / scale, found.x[-answers:]
    head = Head(weight, bias - weight @ centre, penalty, 0.0)
    return Head(head.weight, head.bias, penalty, head.mean_loss(sample))


def choose_head(train: Sample, validation: Sample, penalties: Sequence[float] = PENALTIES) -> Head:
    """The head fitted with the penalty under which validation loss is lowest; of equals the greater penalty."""
    heads = [fit_head(train, penalty) for penalty in sorted(penalties, reverse=True)]
    return min(heads, key=lambda head: head.mean_loss(validation))
