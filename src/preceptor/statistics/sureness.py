"""How probably an answer is right, from how probable its own tokens were: a small logistic regression that never falls with them.

Length and the least probable token say what the mean alone does not (Malinin & Gales 2021; Kadavath et al. 2022), and each model's
words mean something else: so the regression is fitted for each model, on answers that people judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit, logit

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.statistics.inputs import as_clusters, as_values

FOLDS = 5
FEWEST = 30  # verdicts
RARER = 5  # of the rarer verdict
_EDGE = 1e-6  # probabilities nearer to 0 and 1 say no more


def token_features(log_probabilities: Sequence[float]) -> FloatArray:
    """(3,): the logits of the tokens' mean (geometric) and least probability, and minus the logarithm of how many there are.

    Logits, so that a model whose probabilities mean what they say is left as it is. log_probabilities: of one token or more, in nats.
    """
    said = np.clip(np.asarray(log_probabilities, dtype=np.float64), np.log(_EDGE), np.log1p(-_EDGE))
    return np.array([*logit(np.exp([said.mean(), said.min()])), -np.log(len(said))])


def fit_sureness(features: ArrayLike, right: ArrayLike) -> FloatArray:
    """The regression's coefficients, (1 + k): a constant, then one of each feature, none below 0.

    features: (n, k). right: (n,), 0 to 1. Ridge of one observation's worth on standardised features. UserError where there are
    fewer than 30 verdicts, or fewer than 5 of the rarer.
    """
    table, target = np.asarray(features, dtype=np.float64), as_values(right, "right", low=0, high=1)
    rarer = min(target.sum(), (1 - target).sum())
    if len(target) < FEWEST or rarer < RARER:
        told = f"{len(target)} verdicts, {target.sum():.0f} of them right, don't say how sure the model's words mean that it is"
        raise UserError(told, f"have {FEWEST} or more answers judged, among them {RARER} right and {RARER} wrong ones")
    return _fit(table, target)


def sureness(coefficients: ArrayLike, features: ArrayLike) -> FloatArray:
    """The probability that each answer is right, (n,), from `fit_sureness` and features (n, k)."""
    weights = np.asarray(coefficients, dtype=np.float64)
    return np.asarray(expit(weights[0] + np.asarray(features, dtype=np.float64) @ weights[1:]), dtype=np.float64)


def cross_fitted_sureness(features: ArrayLike, right: ArrayLike, groups: Any = None, *, seed: int = 0) -> FloatArray:
    """As `sureness` of the same rows, each by coefficients fitted on the groups of the four other folds, (n,).

    What such probabilities are worth (calibration, errors among the surest) is measured on these: they never saw their own verdict.
    """
    table, target = np.asarray(features, dtype=np.float64), as_values(right, "right", low=0, high=1)
    codes = as_clusters(groups, len(target))
    fold = np.random.default_rng(seed).permutation(np.arange(codes.max() + 1) % FOLDS)[codes]
    found = np.empty(len(target))
    for number in range(FOLDS):
        held = fold == number
        if held.any():
            found[held] = sureness(_fit(table[~held], target[~held]), table[held])
    return found


def _fit(table: FloatArray, target: FloatArray) -> FloatArray:
    centre, spread = table.mean(axis=0), table.std(axis=0)
    scale = np.where(spread > 1e-12, spread, 1.0)
    columns = np.column_stack([np.ones(len(table)), (table - centre) / scale])

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        score = columns @ weights
        lost = np.logaddexp(0, score) - target * score
        slope = columns.T @ (expit(score) - target)
        return float(lost.sum() + 0.5 * (weights[1:] ** 2).sum()), slope + np.r_[0.0, weights[1:]]

    start = np.zeros(columns.shape[1])
    bounds = [(None, None), *[(0.0, None)] * table.shape[1]]
    fitted = np.asarray(minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x, dtype=np.float64)
    slopes = fitted[1:] / scale
    return np.concatenate([[fitted[0] - float(slopes @ centre)], slopes]).astype(np.float64)
