"""A model's accuracy where the reference is the consensus of annotators, which has errors too.

Measured against a noisy reference a good model looks worse than it is. The default design is an expert's verdict on a random part and
`ppi_mean` with the consensus as the judge: it is valid however annotators err. What is here needs no expert, and is valid only where
annotators err independently of the model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from preceptor.errors import UserError
from preceptor.statistics.inputs import as_values
from preceptor.statistics.intervals import exact_share_limits
from preceptor.statistics.resampling import MIN_REPLICATES, percentile_interval
from preceptor.types import Estimate, FloatArray, IntArray

RefitFunction = Callable[[IntArray], tuple[ArrayLike, ArrayLike]]
MIN_ABOVE_CHANCE = 0.02  # least margin above chance, below which the correction divides by almost 0


def rogan_gladen(positive: float, sensitivity: float, specificity: float) -> float:
    """Return the true share of positives, from the share that an imperfect test reports (Rogan & Gladen 1978), clipped to [0, 1].

    (positive + specificity − 1)/(sensitivity + specificity − 1). A model's accuracy against a consensus that is right with probability q
    for either answer is the case sensitivity = specificity = q. Raises UserError for a test that is no better than chance.
    """
    for name, value in (("positive", positive), ("sensitivity", sensitivity), ("specificity", specificity)):
        as_values([value], name, low=0, high=1)
    better = sensitivity + specificity - 1
    if better < MIN_ABOVE_CHANCE:
        raise UserError(
            "a test no better than chance says nothing of the true share", "have experts judge a random part", where="sensitivity"
        )
    return float(np.clip((positive + specificity - 1) / better, 0, 1))


def accuracy_against_consensus(
    agrees: ArrayLike,
    certainty: ArrayLike,
    *,
    answers: int = 2,
    refit: RefitFunction | None = None,
    replicates: int = 200,
    seed: int = 0,
    confidence: float = 0.95,
) -> Estimate:
    """Estimate the model's accuracy from its agreement with the annotators' consensus, corrected by how often the consensus is right.

    agrees: whether the model gives the consensus's answer, 0/1, (items,). certainty: the probability of that answer, from annotators
    *without* the model, (items,). answers: their number; wrong ones are taken to be equally likely.

    refit: returns (agrees, certainty) of resampled items, whose numbers it gets, with the consensus fitted again; the interval then covers
    the uncertainty of the fit. Without it the certainties are taken as true, and `method` says so. Either way it is a second estimate
    beside that of the default design: with five judgments an item by annotators of accuracy 85 % its 95 % interval covers 97 %, with three
    by annotators of 75 % on 400 items only 77 to 80 %, as the fitted certainties themselves are off. Raises UserError for too few
    replicates, columns of different lengths and a consensus no better than chance.
    """
    same, sure = as_values(agrees, "agrees", low=0, high=1), as_values(certainty, "certainty", low=0, high=1)
    if len(same) != len(sure):
        raise UserError(f"{len(same)} agreements and {len(sure)} certainties", "pass one each an item", where="certainty")
    if replicates < MIN_REPLICATES:
        raise UserError(f"{replicates} resamples can't show an interval", "200 is usual", where="replicates")
    value, rng, drawn = _correct_accuracy(same, sure, answers), np.random.default_rng(seed), np.empty(replicates)
    for number in range(replicates):
        items = rng.integers(len(same), size=len(same))
        a, b = (same[items], sure[items]) if refit is None else refit(items)
        drawn[number] = _correct_accuracy(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64), answers)
    low, high = percentile_interval(value, drawn, confidence)
    # resamples of items that all agree have no spread, so the interval covers at least the exact limits of the agreement
    seen, by_chance = float(sure.mean()), float((1 - sure.mean()) / (answers - 1))
    exact = ((end - by_chance) / (seen - by_chance) for end in exact_share_limits(float(same.mean()), len(same), np.inf, confidence))
    low, high = (within(one, other) for within, one, other in zip((min, max), (low, high), exact, strict=True))
    told = "consensus refitted" if refit is not None else "certainties taken as true"
    return Estimate(
        value, max(low, 0.0), min(high, 1.0), len(same), f"agreement with the consensus, corrected; bootstrap, {told}", confidence
    )


def _correct_accuracy(agrees: FloatArray, certainty: FloatArray, answers: int) -> float:
    """Solve P(agrees) = a·q + (1 − a)(1 − q)/(K − 1) for the accuracy a, with q the mean certainty."""
    q = float(certainty.mean())
    by_chance = (1 - q) / (answers - 1)
    if q - by_chance < MIN_ABOVE_CHANCE:
        raise UserError("the consensus is no better than chance", "have experts judge a random part", where="certainty")
    return float(np.clip((agrees.mean() - by_chance) / (q - by_chance), 0, 1))
