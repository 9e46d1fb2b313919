"""How many kinds of item judgments that a fit hasn't seen speak for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preceptor.aggregation.em import floored_log
from preceptor.aggregation.judgments import Floats, Judgments
from preceptor.aggregation.tables import Prior, Tables
from preceptor.aggregation.truths import truths_of, vote_prior

MOST_VOTES = 20_000  # judgments read; of more, those of every nth item
HELD_OUT = 0.25  # share of the judgments that the fits don't see
CLEAR = 3.0  # standard errors beyond which the better model stands alone
STEPS, TOLERANCE = 200, 1e-7  # of each fit; in nats a judgment


def likely_kinds(judgments: Judgments, most: int) -> tuple[int, ...]:
    """1 and `most` kinds of item under each answer, or the one of them that predicts held-out judgments clearly better.

    A random quarter of the judgments is held out (which one is drawn from a fixed seed; what a person said of an item more than
    once goes together), both models are fitted to the rest, and their log-likelihoods of it compared as paired samples (Vuong
    1989). In doubt both stand: items on which people err together, and confusions that overturn the vote, can look the same.
    """
    every = max(int(np.ceil(judgments.weight.sum() / MOST_VOTES - 1e-9)), 1)
    seen = judgments if every == 1 else judgments.keep(judgments.item_code % every == 0)
    pairs = seen.item_code.astype(np.int64) * seen.n_annotators + seen.annotator_code
    _, pair = np.unique(pairs, return_inverse=True)  # of an item and a person
    held = (np.random.default_rng(0).random(int(pair.max(initial=-1)) + 1) < HELD_OUT)[pair]
    if most == 1 or held.all() or len(np.unique(pair[held])) < 2:
        return (most,)
    gain = np.bincount(pair[held], seen.weight[held] * (_predicted(seen, held, most) - _predicted(seen, held, 1)))[np.unique(pair[held])]
    error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
    told = float(gain.mean())
    return (most,) if told > CLEAR * error else (1,) if told < -CLEAR * error else (1, most)


def _predicted(judgments: Judgments, held: NDArray[np.bool_], kinds: int) -> Floats:
    """Log-likelihood of each judgment held out, (held,), by a fit to the others."""
    rest = judgments.keep(~held)
    truths = truths_of(rest, None, class_prior=vote_prior(rest), kinds=kinds)
    climbed, fitted = Tables(truths, Prior()).fit(truths.first(), gain=TOLERANCE * float(rest.weight.sum()), limit=STEPS)
    said = fitted.tables[fitted.group[judgments.annotator_code[held]], judgments.answer_code[held]]
    return floored_log((climbed.posterior[judgments.item_code[held]] * said).sum(axis=1))
