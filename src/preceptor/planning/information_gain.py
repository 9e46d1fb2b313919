"""The expected information of an annotator's answer, and the allocation of judgments to annotators by information for their price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preceptor.consensus import Judgments
from preceptor.errors import UserError
from preceptor.types import Consensus, FloatArray

SHRINKAGE = 20.0  # judgments after which an annotator's own table counts as much as the average one
DOUBT = 0.1  # share of a flat posterior mixed in, as posteriors from few judgments are overconfident


def mutual_information(posterior: FloatArray, confusion: FloatArray) -> FloatArray:
    """Return the mutual information, in nats, between an item's answer and an annotator's judgment of it: (pairs,).

    posterior: of the item, (pairs, answers). confusion: of the annotator, (pairs, answers, answers), row k when the answer
    is k. H(q) − Σ_k T_k H(θ[k]), q = T θ; it is concave in the posterior, so unlike the expected gain in accuracy it
    isn't zero where a single answer can't turn the majority.
    """
    flat = (1 - DOUBT) * posterior + DOUBT / posterior.shape[1]
    table = np.clip(confusion, 1e-9, 1.0)
    said = np.einsum("mk,mkl->ml", flat, table)
    noise = -(table * np.log(table)).sum(axis=2)
    return np.asarray(-(said * np.log(said)).sum(axis=1) - (flat * noise).sum(axis=1), dtype=np.float64)


def annotator_information(fitted: Consensus, judgments: Judgments) -> FloatArray:
    """Return the information, in nats, of each annotator's judgment of an item at the mean posterior: (annotators,).

    A table rests on few judgments at first, so it is shrunk to the average one; an annotator without a table has the average one.
    Raises UserError for a method that fits no confusion tables.
    """
    people = [fitted.annotators[annotator] for annotator in judgments.annotators]
    known = [person.confusion for person in people if person.confusion is not None]
    if not known:
        raise UserError("this method knows no tables of confusion, so it can't choose people", 'method="auto" or "dawid_skene"')
    average = np.mean(known, axis=0)
    count = np.array([person.judgments for person in people], dtype=np.float64)[:, None, None]
    own = np.stack([average if person.confusion is None else person.confusion for person in people])
    shares = np.tile(fitted.posterior.mean(axis=0), (len(people), 1))
    return mutual_information(shares, (count * own + SHRINKAGE * average) / (count + SHRINKAGE))


FREE = 1e-9  # least price, so that a gain can be divided by it


@dataclass(frozen=True, slots=True)
class PlannedQuery:
    """One person to ask about one item (both by number), the expected information in nats, and the price."""

    item: int
    person: int
    gain: float
    price: float


def allocate_judgments(
    posterior: FloatArray,
    confusion: FloatArray,
    price: FloatArray,
    *,
    budget: float,
    nat: float = float("inf"),
    may: NDArray[np.bool_] | None = None,
    most: int | None = None,
) -> list[PlannedQuery]:
    """Allocate judgments greedily: buy the (item, person) with the most information for its price while money is left, at most one an item.

    posterior: (items, answers). confusion: (people, answers, answers), row k when the answer is k. price: of one
    judgment, (people,). nat: money that a nat of certainty is worth; a judgment whose information is worth less than its price isn't
    bought. may: who may be asked about what, (items, people); all by default. most: judgments of one person in all.
    Raises UserError for shapes that don't fit and for invalid prices.

    The risk is entropy (`mutual_information`), which is strictly concave: under 0/1 risk an answer that can't turn the majority is
    worth nothing, and asking stops at any certainty.
    """
    _check_allocation(posterior, confusion, price, may)
    told = _pair_information(posterior, confusion)
    rate = told / np.maximum(price, FREE)
    open_pairs = (told > 0) & (told * nat >= price) if np.isfinite(nat) else told > 0
    if may is not None:
        open_pairs &= may
    items, people = np.nonzero(open_pairs)
    order = np.argsort(-rate[items, people], kind="stable")
    left, taken, load, asks = budget, np.zeros(len(posterior), dtype=bool), np.zeros(len(price), dtype=np.int64), []
    for item, person in zip(items[order].tolist(), people[order].tolist(), strict=True):
        if taken[item] or price[person] > left + 1e-12 or (most is not None and load[person] >= most):
            continue
        asks.append(PlannedQuery(item, person, float(told[item, person]), float(price[person])))
        taken[item], left = True, left - price[person]
        load[person] += 1
    return asks


def _pair_information(posterior: FloatArray, confusion: FloatArray) -> FloatArray:
    """Return the information of each person's judgment of each item, in nats, (items, people)."""
    columns = [mutual_information(posterior, np.broadcast_to(table, (len(posterior), *table.shape))) for table in confusion]
    return np.column_stack(columns)


def _check_allocation(posterior: FloatArray, confusion: FloatArray, price: FloatArray, may: NDArray[np.bool_] | None) -> None:
    answers = posterior.shape[1]
    if confusion.shape != (len(price), answers, answers) or not len(price):
        raise UserError(f"tables of shape {confusion.shape} don't go with {len(price)} prices and {answers} answers", where="confusion")
    if not (np.isfinite(price).all() and (price >= 0).all()):
        raise UserError("a price is a number from 0", where="price")
    if may is not None and may.shape != (len(posterior), len(price)):
        raise UserError(f"must have a row an item and a column a person, not shape {may.shape}", where="may")
