"""First better, a tie, second better: Davidson's model of a comparison (1970), as a loss of a difference of rewards and as a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import log_softmax

from preceptor.domain.results import FloatArray

NO_TIES = -30.0  # log ν where a tie is no answer: its probability is nothing in any number format, and the loss is the two-way one
CENTRE = 0.01  # of the squared sum of both rewards: comparisons alone leave their level open (Eisenstein et al. 2023)
STEEPEST = 3.0  # of |log scale|: what validation pairs may say of it


def three_way_loss(margins: Any, targets: Any, tie: float) -> Any:
    """Cross-entropy of each pair in nats, (n,) float32, with gradients by the margins.

    margins: reward of the first answer less the second's, Δ, (n,). targets: probabilities that the first is better, of a tie, that
    the second is, (n, 3). The model's are softmax(Δ/2, log ν, −Δ/2); without ties (`NO_TIES`) that is −p·log σ(Δ) − (1−p)·log σ(−Δ).
    """
    half = margins.float() / 2
    return -(targets * torch.log_softmax(torch.stack([half, torch.full_like(half, tie), -half], dim=1), dim=1)).sum(dim=1)


def centring(first: Any, second: Any) -> Any:
    """What holds both rewards of a pair around zero, (n,)."""
    return CENTRE * (first.float() + second.float()) ** 2


def usual_tie(targets: FloatArray, weights: FloatArray) -> float:
    """log ν at which answers that are equally good tie as often as these pairs do, (n, 3); `NO_TIES` where none does."""
    share = float(np.average(targets[:, 1], weights=weights))
    return float(np.log(2 * share / (1 - share))) if 0 < share < 1 else NO_TIES


def fit_scale(margins: ArrayLike, targets: ArrayLike, weights: ArrayLike, tie: float) -> tuple[float, float]:
    """The factor of all margins, and log ν, at which they are as sure as these pairs allow: pairs that weren't trained on.

    The factor's logarithm has a prior of mean 0 and spread 1, worth a pair: a few pairs that all come out right would otherwise say
    that the model is never wrong. Without ties log ν stays as it is.
    """
    said, soft, mass = (np.asarray(each, dtype=np.float64) for each in (margins, targets, weights))
    mass = mass / mass.mean()

    def loss(parameters: FloatArray) -> float:
        half, level = np.exp(parameters[0]) * said / 2, parameters[1] if len(parameters) == 2 else NO_TIES
        each = -(soft * log_softmax(np.stack([half, np.full_like(half, level), -half], axis=1), axis=1)).sum(axis=1)
        return float((mass * each).sum() + parameters[0] ** 2 / 2)

    ties = tie > NO_TIES
    bounds = [(-STEEPEST, STEEPEST), (NO_TIES, -NO_TIES)][: 1 + ties]
    found = minimize(loss, np.array([0.0, tie][: 1 + ties]), method="L-BFGS-B", bounds=bounds).x
    return float(np.exp(found[0])), float(found[1]) if ties else NO_TIES
