"""Judges taken together: how probable each of people's verdicts is, by a regression on what all judges say, fitted on these verdicts.

No judge comes before another: the regression learns from people's own verdicts what each is worth, and none can make the figures
worse than people alone by more than the regression errs. A prediction that was fitted on a claim's own verdict, or on that of
another claim of its group, would flatter the judges; so each group is predicted by what was fitted on others (cross-prediction:
Zrnic & Candès 2024), and a group in which nobody checked anything by the mean of all fits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from preceptor.domain.results import FloatArray, IntArray

FOLDS = 5
RIDGE = 1.0  # penalty of each squared weight of the standardised features, as of one claim
FEWEST_CLAIMS, FEWEST_GROUPS, FEWEST_RARER = 40, 10, 5  # checked, without which nothing is fitted


def verdict_chances(features: FloatArray, verdicts: IntArray, groups: Any, classes: int, *, seed: int = 0) -> FloatArray | None:
    """The chance of each verdict of each claim, (claims, classes), out of fold by group; None where too few are checked to fit.

    features: (claims, d), finite. verdicts: (claims,) codes from 0 (supported), −1 where people haven't checked.
    """
    checked = verdicts >= 0
    wrong = int((verdicts > 0).sum())
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    asked = np.unique(codes[checked])
    rarer = min(wrong, int(checked.sum()) - wrong)
    if checked.sum() < FEWEST_CLAIMS or len(asked) < FEWEST_GROUPS or rarer < FEWEST_RARER:
        return None
    fold = np.full(len(names), -1)
    fold[np.random.default_rng(seed).permutation(asked)] = np.arange(len(asked)) % FOLDS
    of_claim, chances = fold[codes], np.zeros((len(verdicts), classes))
    for number in range(FOLDS):
        fitted_on = checked & (of_claim != number)
        found = _fitted(features[fitted_on], verdicts[fitted_on], features, classes)
        chances[of_claim == number] = found[of_claim == number]
        chances[of_claim < 0] += found[of_claim < 0] / FOLDS
    return chances


def _fitted(features: FloatArray, verdicts: IntArray, of: FloatArray, classes: int) -> FloatArray:
    """Multinomial logistic regression with a ridge penalty, fitted on the first and told of the others."""
    middle, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 1e-9, spread, 1.0)
    table, told = (np.column_stack([np.ones(len(each)), np.clip((each - middle) / scale, -5, 5)]) for each in (features, of))
    seen = np.unique(verdicts)
    one_hot = (verdicts[:, None] == seen).astype(np.float64)

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        weights = flat.reshape(table.shape[1], len(seen))
        scores = table @ weights
        slope = table.T @ (softmax(scores, axis=1) - one_hot)
        slope[1:] += RIDGE * weights[1:]
        return float(-(one_hot * log_softmax(scores, axis=1)).sum() + RIDGE / 2 * (weights[1:] ** 2).sum()), slope.ravel()

    weights = minimize(loss, np.zeros(table.shape[1] * len(seen)), jac=True, method="L-BFGS-B").x.reshape(table.shape[1], -1)
    chances = np.zeros((len(of), classes))
    chances[:, seen] = softmax(told @ weights, axis=1)
    return chances
