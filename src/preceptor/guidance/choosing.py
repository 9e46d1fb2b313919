"""Whom to ask: the person whose answers tell most."""

from __future__ import annotations

import numpy as np

from preceptor.aggregation import Judgments
from preceptor.domain import Consensus
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError

SHRINKAGE = 20.0  # judgments after which a person's own table counts as much as the average one
DOUBT = 0.1  # share of a flat posterior mixed in: what looks certain from few judgments isn't


def information(posterior: FloatArray, confusion: FloatArray) -> FloatArray:
    """Mutual information, in nats, between an item's answer and what one person would say: (pairs,).

    posterior: of the item, (pairs, answers). confusion: of the person, (pairs, answers, answers), row k when the answer
    is k. H(q) − Σ_k T_k H(θ[k]), q = T θ; it is concave in the posterior, so unlike the expected gain in accuracy it
    isn't zero where a single answer can't turn the majority.
    """
    flat = (1 - DOUBT) * posterior + DOUBT / posterior.shape[1]
    table = np.clip(confusion, 1e-9, 1.0)
    said = np.einsum("mk,mkl->ml", flat, table)
    noise = -(table * np.log(table)).sum(axis=2)
    return np.asarray(-(said * np.log(said)).sum(axis=1) - (flat * noise).sum(axis=1), dtype=np.float64)


def telling(fitted: Consensus, judgments: Judgments) -> FloatArray:
    """What each annotator's answer tells, in nats, of an item that nothing is known about but the answers' shares: (annotators,).

    A table rests on few judgments at first, so it is drawn towards the average one; who has none yet has that.
    UserError for a method that knows no tables of confusion.
    """
    people = [fitted.annotators[annotator] for annotator in judgments.annotators]
    known = [person.confusion for person in people if person.confusion is not None]
    if not known:
        raise UserError("this method knows no tables of confusion, so it can't choose people", 'method="auto" or "dawid_skene"')
    average = np.mean(known, axis=0)
    count = np.array([person.judgments for person in people], dtype=np.float64)[:, None, None]
    own = np.stack([average if person.confusion is None else person.confusion for person in people])
    shares = np.tile(fitted.posterior.mean(axis=0), (len(people), 1))
    return information(shares, (count * own + SHRINKAGE * average) / (count + SHRINKAGE))
