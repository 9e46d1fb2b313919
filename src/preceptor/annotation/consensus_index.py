"""Index the consensus of a question by item, certainty and disagreement, and list its items in pages.

The index holds the belief about every item at one moment, laid out so that any page costs the same wherever it lies.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.annotation.judgment_set import JudgmentSet
from preceptor.consensus import Judgments
from preceptor.errors import UserError
from preceptor.storage import queries, questions
from preceptor.types import Consensus, FloatArray, IntArray

if TYPE_CHECKING:
    from preceptor.project import Project


_ITEM_ORDERS = ("uncertain", "disagreement", "judgments")


@dataclass(frozen=True, eq=False)
class ItemBelief:
    """The consensus about one item: (answer, probability) pairs, the most probable first; `top_answer` is that answer itself."""

    top_answer: Any
    certainty: float
    disagreement: float
    judgments: int
    posterior: tuple[tuple[Any, float], ...]


@dataclass(frozen=True, eq=False)
class ConsensusIndex:
    """The consensus of a question, the judgments under it, and how far each item's answers are split.

    judgments: the votes, as the aggregator takes them. newest_judgment: the number of each item's newest judgment, (items,).
    disagreement: share of an item's votes that are against its most frequent answer, (items,); both in the order of `consensus.items`.
    """

    judgment_set: JudgmentSet
    consensus: Consensus
    judgments: Judgments
    newest_judgment: IntArray
    disagreement: FloatArray

    def __len__(self) -> int:
        return len(self.consensus.items)

    def get_belief(self, item: str) -> ItemBelief | None:
        """Return the belief about an item, None where nobody has judged it."""
        place = bisect_left(self.consensus.items, item)
        if place == len(self) or self.consensus.items[place] != item:
            return None
        row = self.consensus.posterior[place]
        best = np.argsort(-row, kind="stable")[:20]
        pairs = tuple((self.consensus.answers[k], float(row[k])) for k in best)
        top = self._top_answers[place]
        count = int(self.consensus.judgment_counts[place])
        return ItemBelief(top, float(self._certainty[place]), float(self.disagreement[place]), count, pairs)

    def item_page(self, order: str, *, skip: int, limit: int, below: float = 1.0) -> list[str]:
        """Return a page of item ids in one of three orders.

        uncertain: the least certain first and only those under `below`. disagreement: the most split first, only split ones. judgments: the
        most judged first.
        """
        places = self._orders[order]
        if order == "uncertain":
            places = places[: int(np.searchsorted(self._certainty[places], below))]
        if order == "disagreement":
            places = places[: int((self.disagreement > 0).sum())]
        return [self.consensus.items[place] for place in places[skip : skip + limit].tolist()]

    def count_items(self, order: str, below: float = 1.0) -> int:
        """Return how many items an order has."""
        return int({"uncertain": self._certainty < below, "disagreement": self.disagreement > 0}.get(order, self.disagreement >= 0).sum())

    @cached_property
    def _certainty(self) -> FloatArray:
        return self.consensus.certainty

    @cached_property
    def _top_answers(self) -> Sequence[Any]:
        return self.consensus.top

    @cached_property
    def _orders(self) -> dict[str, IntArray]:
        keys = {"uncertain": self._certainty, "disagreement": -self.disagreement, "judgments": -self.consensus.judgment_counts}
        return {name: np.argsort(key, kind="stable") for name, key in keys.items()}


def build_consensus_index(project: Project, question: str) -> ConsensusIndex:
    """Fit and index the current judgments of a question; raises UserError when nobody has judged it."""
    with project.database.reading() as connection:
        standing = JudgmentSet.load(connection, question)
    return index_judgment_set(standing)


def index_judgment_set(standing: JudgmentSet) -> ConsensusIndex:
    """Fit and index a judgment set."""
    fitted = standing.fit()
    judgments = standing.to_votes()
    place = {item: code for code, item in enumerate(judgments.items)}
    last = np.zeros(judgments.n_items, dtype=np.int64)
    codes = np.fromiter((place[item] for item in standing.columns[0]), dtype=np.int64, count=len(standing.columns[0]))
    np.maximum.at(last, codes, np.asarray(standing.columns[3], dtype=np.int64))
    found = ConsensusIndex(standing, fitted, judgments, last, _vote_disagreement(judgments))
    _ = found._orders, found._top_answers  # computed now, not by the first page
    return found


def _vote_disagreement(judgments: Judgments) -> FloatArray:
    """Return the share of each item's votes that aren't for its most frequent answer, (items,)."""
    key = judgments.item_code.astype(np.int64) * judgments.n_answers + judgments.answer_code
    cells, place = np.unique(key, return_inverse=True)
    most = np.zeros(judgments.n_items)
    np.maximum.at(most, cells // judgments.n_answers, np.bincount(place, judgments.weight))
    total = np.bincount(judgments.item_code, judgments.weight, judgments.n_items)
    split = 1 - most / np.maximum(total, 1e-12)
    return np.where(split < 1e-9, 0.0, split)


ITEM_VIEWS = {
    "all": "All, first come first",
    "newest": "Newest first",
    "id": "By id",
    "uncertain": "Uncertain",
    "disagreement": "Disagreement",
    "judgments": "Most judged",
    "flagged": "Flagged",
    "unanswered": "Unanswered",
    "gold": "Gold",
}
INDEXED_VIEWS = ("uncertain", "disagreement", "judgments")  # which need a ConsensusIndex


@dataclass(frozen=True)
class ItemPage:
    """The items of one page, and the cursor of the next one ("" where this is the last)."""

    rows: Sequence[queries.ItemView]
    next_cursor: str


def list_item_page(
    project: Project,
    question: str,
    view: str,
    *,
    after: str = "",
    begin: str = "",
    limit: int = 50,
    landscape: ConsensusIndex | None = None,
) -> ItemPage:
    """Return a page of a view of ITEM_VIEWS, or with `begin` of the items whose ids begin so.

    landscape: the index for the views "uncertain", "disagreement" and "judgments"; without one they are empty.
    """
    if view not in ITEM_VIEWS:
        raise UserError(f"items can't be listed by {view!r}", f"known: {', '.join(ITEM_VIEWS)}", where="view")
    with project.database.reading() as connection:
        key, _ = questions.get(connection, question)
        if view in INDEXED_VIEWS and not begin:
            skip, certainty = _parse_number(after), project.config.redundancy.confidence_threshold
            ids = landscape.item_page(view, skip=skip, limit=limit + 1, below=certainty) if landscape else []
            rows = queries.list_by_ids(connection, key, ids[:limit])
            return ItemPage(rows, str(skip + limit) if len(ids) > limit else "")
        if view == "flagged" and not begin:
            rows = queries.list_flagged(connection, key, skip=_parse_number(after), limit=limit + 1)
            return ItemPage(rows[:limit], str(_parse_number(after) + limit) if len(rows) > limit else "")
        rows = _list_items(connection, key, view, after, begin, limit + 1)
    return ItemPage(rows[:limit], str(rows[limit - 1].key) if len(rows) > limit else "")


def list_events(project: Project, *, before: int | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Return events, the newest first; before: the number of the last event of the page before."""
    with project.database.reading() as connection:
        return queries.list_events(connection, before=before, limit=limit)


def _list_items(connection: Any, key: int, view: str, after: str, begin: str, limit: int) -> list[queries.ItemView]:
    if begin or view == "id":
        return queries.list_by_id_prefix(connection, key, begin=begin, after=after, limit=limit)
    if view == "unanswered":
        return queries.list_unanswered(connection, key, after=_parse_number(after), limit=limit)
    if view == "gold":
        return queries.list_with_gold(connection, key, after=_parse_number(after), limit=limit)
    return queries.list_by_arrival(connection, key, after=_parse_number(after), limit=limit, newest=view == "newest")


def _parse_number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
