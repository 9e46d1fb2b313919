"""What is believed about every item of a question at one moment, laid out so that any part of it is found at once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.aggregation import Judgments
from preceptor.domain import Consensus
from preceptor.domain.results import FloatArray, IntArray
from preceptor.project.guiding.agreeing import Standing

if TYPE_CHECKING:
    from preceptor.project.project import Project

ORDERS = ("uncertain", "disagreement", "judgments")


@dataclass(frozen=True, eq=False)
class Belief:
    """What is believed of one item: (answer, probability) pairs, the most probable first; `top` the answer itself."""

    top: Any
    certainty: float
    split: float
    judgments: int
    posterior: tuple[tuple[Any, float], ...]


@dataclass(frozen=True, eq=False)
class Landscape:
    """The consensus of a question, the judgments under it, and how far each item's answers are split.

    judgments: the votes, as the aggregator takes them. last: the number of each item's newest judgment, (items,).
    split: share of an item's votes that are against its most given answer, (items,); the same order as `fitted.items`.
    """

    standing: Standing
    fitted: Consensus
    judgments: Judgments
    last: IntArray
    split: FloatArray

    def __len__(self) -> int:
        return len(self.fitted.items)

    def of(self, item: str) -> Belief | None:
        """What is believed of an item, None where nobody has judged it."""
        place = bisect_left(self.fitted.items, item)
        if place == len(self) or self.fitted.items[place] != item:
            return None
        row = self.fitted.posterior[place]
        best = np.argsort(-row, kind="stable")[:20]
        pairs = tuple((self.fitted.answers[k], float(row[k])) for k in best)
        top = self._tops[place]
        count = int(self.fitted.judgment_counts[place])
        return Belief(top, float(self._certainty[place]), float(self.split[place]), count, pairs)

    def page(self, order: str, *, skip: int, limit: int, below: float = 1.0) -> list[str]:
        """Ids of items: the least certain first and only those under `below`, or the most split (only split ones), or most judged."""
        places = self._orders[order]
        if order == "uncertain":
            places = places[: int(np.searchsorted(self._certainty[places], below))]
        if order == "disagreement":
            places = places[: int((self.split > 0).sum())]
        return [self.fitted.items[place] for place in places[skip : skip + limit].tolist()]

    def count(self, order: str, below: float = 1.0) -> int:
        """How many items that order has."""
        return int({"uncertain": self._certainty < below, "disagreement": self.split > 0}.get(order, self.split >= 0).sum())

    @cached_property
    def _certainty(self) -> FloatArray:
        return self.fitted.certainty

    @cached_property
    def _tops(self) -> Sequence[Any]:
        return self.fitted.top

    @cached_property
    def _orders(self) -> dict[str, IntArray]:
        keys = {"uncertain": self._certainty, "disagreement": -self.split, "judgments": -self.fitted.judgment_counts}
        return {name: np.argsort(key, kind="stable") for name, key in keys.items()}


def landscape(project: Project, question: str) -> Landscape:
    """Fit what stands now; UserError when nobody has judged the question."""
    with project.database.reading() as connection:
        standing = Standing.of(connection, question)
    return lay_out(standing)


def lay_out(standing: Standing) -> Landscape:
    """The landscape of what stands."""
    fitted = standing.fit()
    judgments = standing.votes()
    place = {item: code for code, item in enumerate(judgments.items)}
    last = np.zeros(judgments.n_items, dtype=np.int64)
    codes = np.fromiter((place[item] for item in standing.columns[0]), dtype=np.int64, count=len(standing.columns[0]))
    np.maximum.at(last, codes, np.asarray(standing.columns[3], dtype=np.int64))
    found = Landscape(standing, fitted, judgments, last, _split(judgments))
    _ = found._orders, found._tops  # now, and not by the first page
    return found


def _split(judgments: Judgments) -> FloatArray:
    """Share of each item's votes that aren't for its most given answer, (items,)."""
    key = judgments.item_code.astype(np.int64) * judgments.n_answers + judgments.answer_code
    cells, place = np.unique(key, return_inverse=True)
    most = np.zeros(judgments.n_items)
    np.maximum.at(most, cells // judgments.n_answers, np.bincount(place, judgments.weight))
    total = np.bincount(judgments.item_code, judgments.weight, judgments.n_items)
    split = 1 - most / np.maximum(total, 1e-12)
    return np.where(split < 1e-9, 0.0, split)
