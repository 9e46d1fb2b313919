"""Posteriors that mean what they say: a temperature from held-out judgments, and a correction from gold.

People who err together make any posterior that takes them for independent too sure. Held-out judgments show a part of
it (answers vary more than the model says, so that a flatter posterior predicts the next answer better); what everybody
gets wrong alike only gold shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from preceptor.aggregation.em import floored_log, normalise
from preceptor.aggregation.gold import Clamp
from preceptor.aggregation.judgments import Floats, Integers, Judgments
from preceptor.aggregation.tables import FittedTables

ROWS = 200_000  # judgments read for the temperature; of more, those of every nth item
SPREAD_OF_SLOPE, SPREAD_OF_SHIFT = 0.5, 0.35  # prior standard deviations of log slope and shifts: 50 gold answers move them by half
LEAST = 1e-6  # probabilities below are read as this one


def heldout_temperature(judgments: Judgments, fitted: FittedTables, posterior: Floats) -> float:
    """The power t in (0, 1] for which T^t, made without one person's judgment, best predicts it; the mean over judgments.

    Without: it (or what one person said of one item in all) is taken out of the item's posterior and out of the person's
    table. 1 where no item was judged by two.
    """
    j = _thinned(judgments)
    group = fitted.group[j.annotator_code]
    counts = fitted.by_answer(fitted.counts)
    table = counts + np.broadcast_to(fitted.by_answer(fitted.alpha), counts.shape)
    given = table.sum(axis=1)
    new = np.append(True, (j.item_code[1:] != j.item_code[:-1]) | (j.annotator_code[1:] != j.annotator_code[:-1]))[: len(j)]
    pair = np.cumsum(new) - 1
    people = np.bincount(j.item_code[new], minlength=j.n_items)[j.item_code]
    logs = j.weight[:, None] * floored_log(table / np.maximum(given[:, None, :], 1e-300))[group, j.answer_code]
    rest = _summed(logs, j.item_code) - _summed(logs, pair) + floored_log(fitted.shares[: j.n_answers])
    taken = j.weight[:, None] * posterior[j.item_code]
    same = np.maximum(table[group, j.answer_code] - _summed(taken, pair * j.n_answers + j.answer_code), 1e-6)
    left = same / np.maximum(given[group] - _summed(taken, pair), 2e-6)
    rest, left, weight = rest[people > 1], left[people > 1], j.weight[people > 1]
    if not len(rest):
        return 1.0

    def loss(t: float) -> float:
        scores = t * rest
        normalise(scores)
        return -float(weight @ np.log(np.maximum((scores * left).sum(axis=1), 1e-12)) / weight.sum())

    found = minimize_scalar(loss, bounds=(0.05, 1.0), method="bounded", options={"xatol": 1e-3})
    return 1.0 if loss(1.0) <= found.fun else float(found.x)


def _summed(values: Floats, group: NDArray[Any]) -> Floats:
    """Each row's group's sum, shape as values."""
    return np.stack([np.bincount(group, column)[group] for column in values.T], axis=1)


def _thinned(judgments: Judgments) -> Judgments:
    every = -(-len(judgments) // ROWS)
    return judgments if every == 1 else judgments.keep(judgments.item_code % every == 0)


@dataclass(frozen=True, eq=False)
class Correction:
    """log T ↦ slope·log T + shift, then normalised (bias-corrected temperature scaling, Alexandari et al. 2020)."""

    slope: float
    shift: Floats

    @classmethod
    def fit(cls, rows: Floats, key: Integers) -> Correction:
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
