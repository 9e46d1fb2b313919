"""Posteriors that mean what they say: a temperature from held-out judgments, and a correction from gold.

People who err together make any posterior that takes them for independent too sure. Held-out judgments show a part of
it (answers vary more than the model says, so that a flatter posterior predicts the next answer better); what everybody
gets wrong alike only gold shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from preceptor.aggregation.em import floored_log, normalise
from preceptor.aggregation.gold import Clamp
from preceptor.aggregation.judgments import Floats, Judgments
from preceptor.aggregation.tables import FittedTables

ROWS = 200_000  # judgments read for the temperature; of more, those of every nth item
SPREAD_OF_SLOPE, SPREAD_OF_SHIFT = 0.5, 0.35  # prior standard deviations of log slope and shifts: 50 gold answers move them by half
LEAST = 1e-6  # probabilities below are read as this one


def heldout_temperature(judgments: Judgments, fitted: FittedTables, posterior: Floats) -> float:
    """The power t in (0, 1] for which T^t, made without one judgment, best predicts that judgment; the mean over judgments.

    Without: the judgment is taken out of its item's posterior and out of its annotator's table. 1 where no item has two.
    """
    j = _thinned(judgments)
    codes = (fitted.group[j.annotator_code], j.answer_code)
    counts, alpha = fitted.by_answer(fitted.counts), fitted.by_answer(fitted.alpha)
    alpha = np.broadcast_to(alpha, counts.shape)
    table = counts + alpha
    logs = floored_log(table / np.maximum(table.sum(axis=1, keepdims=True), 1e-300))
    own = j.weight[:, None] * logs[codes]
    item = np.stack([np.bincount(j.item_code, column, j.n_items) for column in own.T], axis=1)
    rest = item[j.item_code] - own + floored_log(fitted.shares[: j.n_answers])
    paired = np.bincount(j.item_code, minlength=j.n_items)[j.item_code] > 1
    taken = j.weight[:, None] * posterior[j.item_code]
    left = np.maximum(table[codes] - taken, 1e-6) / np.maximum(table.sum(axis=1)[codes[0]] - taken, 2e-6)
    rest, left = rest[paired], left[paired]
    if not len(rest):
        return 1.0

    def loss(t: float) -> float:
        tempered = t * rest
        normalise(tempered)
        return -float(np.log(np.maximum((tempered * left).sum(axis=1), 1e-12)).mean())

    found = minimize_scalar(loss, bounds=(0.05, 1.0), method="bounded", options={"xatol": 1e-3})
    return 1.0 if loss(1.0) <= found.fun else float(found.x)


def _thinned(judgments: Judgments) -> Judgments:
    every = -(-len(judgments) // ROWS)
    return judgments if every == 1 else judgments.keep(judgments.item_code % every == 0)


@dataclass(frozen=True, eq=False)
class Correction:
    """log T ↦ slope·log T + shift, then normalised (bias-corrected temperature scaling, Alexandari et al. 2020)."""

    slope: float
    shift: Floats

    @classmethod
    def fit(cls, rows: Floats, key: np.typing.NDArray[np.int64]) -> Correction:
        """The correction likeliest on gold, under N(0, spread²) on log slope and shifts.

        rows: the posterior of the gold items, made without their keys, shape (gold items, answers).
        """
        logs = np.log(np.maximum(rows, LEAST))
        hit = np.eye(rows.shape[1])[key]

        def loss(params: Floats) -> tuple[float, Floats]:
            slope, shift = np.exp(params[0]), params[1:]
            scores = slope * logs + shift
            value = -float((scores * hit).sum())
            value += float(normalise(scores).sum())
            off = scores - hit
            prior = params / np.concatenate([[SPREAD_OF_SLOPE], np.full(len(shift), SPREAD_OF_SHIFT)]) ** 2
            return value + 0.5 * float(params @ prior), np.concatenate([[slope * (off * logs).sum()], off.sum(axis=0)]) + prior

        found = minimize(loss, np.zeros(1 + rows.shape[1]), jac=True, method="L-BFGS-B").x
        return cls(float(np.exp(found[0])), found[1:])

    def __call__(self, posterior: Floats) -> Floats:
        scores = self.slope * np.log(np.maximum(posterior, LEAST)) + self.shift
        normalise(scores)
        return scores


def tempered(posterior: Floats, power: float) -> Floats:
    """Each row to a power, scaled to sum to 1."""
    if power == 1.0:
        return posterior
    scores = power * floored_log(posterior)
    normalise(scores)
    return scores


def corrected(posterior: Floats, clamp: Clamp) -> Floats:
    """The posterior, made without the keys, corrected by them; gold's rows are put in place."""
    return clamp.fix(Correction.fit(posterior[clamp.item], clamp.key)(posterior))
