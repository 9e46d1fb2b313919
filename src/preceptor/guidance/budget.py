"""Whose answer about which item is worth its price: a dearer person who knows more, or a cheaper one who knows less."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.guidance.choosing import information

FREE = 1e-9  # a price of nothing, so that a gain can be divided by it


@dataclass(frozen=True, slots=True)
class Ask:
    """One person to be asked about one item (both by number), what that is expected to tell in nats, and its price."""

    item: int
    person: int
    gain: float
    price: float


def worth_asking(
    posterior: FloatArray,
    confusion: FloatArray,
    price: FloatArray,
    *,
    budget: float,
    nat: float = float("inf"),
    may: NDArray[np.bool_] | None = None,
    most: int | None = None,
) -> list[Ask]:
    """Buy the (item, person) that tells most for its price, and the next, while money is left; at most one an item.

    posterior: (items, answers). confusion: (people, answers, answers), row k when the answer is k. price: of one
    judgment, (people,). nat: money that a nat of certainty is worth; what tells less than it costs isn't bought. may:
    whom may be asked about what, (items, people); all by default. most: judgments of one person in all.

    The risk is entropy (`information`), which is strictly concave: under 0/1 risk an answer that can't turn the majority is
    worth nothing, and asking stops at any certainty.
    """
    _check(posterior, confusion, price, may)
    told = _told(posterior, confusion)
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
        asks.append(Ask(item, person, float(told[item, person]), float(price[person])))
        taken[item], left = True, left - price[person]
        load[person] += 1
    return asks


def _told(posterior: FloatArray, confusion: FloatArray) -> FloatArray:
    """What each person would tell about each item, in nats, (items, people)."""
    columns = [information(posterior, np.broadcast_to(table, (len(posterior), *table.shape))) for table in confusion]
    return np.column_stack(columns)


def _check(posterior: FloatArray, confusion: FloatArray, price: FloatArray, may: NDArray[np.bool_] | None) -> None:
    answers = posterior.shape[1]
    if confusion.shape != (len(price), answers, answers) or not len(price):
        raise UserError(f"tables of shape {confusion.shape} don't go with {len(price)} prices and {answers} answers", where="confusion")
    if not (np.isfinite(price).all() and (price >= 0).all()):
        raise UserError("a price is a number from 0", where="price")
    if may is not None and may.shape != (len(posterior), len(price)):
        raise UserError(f"must have a row an item and a column a person, not shape {may.shape}", where="may")
