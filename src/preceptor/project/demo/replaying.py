"""What adaptive redundancy bought, measured against all recorded judgments; only here are unbought ones looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.aggregation import Judgments, aggregate
from preceptor.domain import Consensus, Estimate, Question
from preceptor.domain.results import IntArray
from preceptor.project.demo.recorded import RATERS, Recorded, class_codes
from preceptor.questions import kinds
from preceptor.statistics import mean
from preceptor.store import journal, questions

if TYPE_CHECKING:
    from preceptor.project.project import Project

FIXED = (2, 3, 4, 5, 6, 8, 10, 14, RATERS)


def sections(project: Project, question: str, recorded: Recorded) -> dict[str, Any]:
    """The report's sections on judgments and consensus, each figure with its interval clustered by group."""
    with project.database.reading() as connection:
        key, asked = questions.get(connection, question)
        what, _, _, _ = journal.columns(connection, key)
    replay = _Replay(asked, recorded)
    bought = replay.counts_of(what)
    fitted = project.consensus(question)
    adaptive = replay.codes(fitted)
    available = bought.size * RATERS
    return {
        "judgments": {
            "available": available,
            "used": int(bought.sum()),
            "fraction": float(bought.sum() / available),
            "fraction_estimate": replay.mean(bought / RATERS),
            "per_item_histogram": sorted(Counter(bought.tolist()).items()),
        },
        "consensus": {
            "accuracy": replay.mean(adaptive == replay.truth),
            "unbought_accuracy": replay.unbought(adaptive, bought),
            "fixed_same_cost_accuracy": replay.mean(replay.at(replay.fixed(bought.sum())) == replay.truth),
            "curve": [replay.point(np.minimum(bought, most)) for most in range(int(bought.min()), int(bought.max()) + 1)],
            "fixed_curve": [replay.point(np.full(bought.size, each)) for each in FIXED],
            "certainty": {"claimed": float(fitted.certainty.mean()), "realised": replay.mean(adaptive == replay.truth)},
        },
    }


class _Replay:
    """The recorded ratings as a matrix, and what would have been concluded from any part of them."""

    def __init__(self, question: Question, recorded: Recorded) -> None:
        self.question = question
        self.items = sorted(recorded.answers)
        self.ratings = recorded.matrix(self.items)
        group = {row["id"]: row["group"] for row in recorded.rows}
        self.groups = np.array([group[item] for item in self.items])
        self.truth = class_codes(self.ratings.mean(axis=1))

    def counts_of(self, items: Sequence[str]) -> IntArray:
        """Judgments bought of each item."""
        bought = Counter(items)
        return np.array([bought[item] for item in self.items], dtype=np.int64)

    def mean(self, values: Any) -> Estimate:
        """A mean over items, clustered by group."""
        return mean(np.asarray(values, dtype=np.float64), clusters=self.groups)

    def codes(self, fitted: Consensus) -> IntArray:
        """Class codes of a consensus in the order of our items."""
        place = {item: index for index, item in enumerate(fitted.items)}
        order = [place[item] for item in self.items]
        return np.asarray(fitted.posterior.argmax(axis=1)[order], dtype=np.int64)

    def at(self, bought: IntArray) -> IntArray:
        """What the question's own aggregator concludes from the first `bought` ratings of each item."""
        row = np.repeat(np.arange(bought.size), bought)
        column = np.concatenate([np.arange(count) for count in bought])
        judgments = Judgments.from_columns(
            item=row, annotator=column, answer=self.ratings[row, column].astype(int), answers=self.question.options
        )
        kind = kinds.get(self.question.kind)
        fitted = aggregate(judgments, kind.aggregator, **kind.aggregator_options(self.question))
        return np.asarray(fitted.posterior.argmax(axis=1), dtype=np.int64)

    def fixed(self, total: int) -> IntArray:
        """As many judgments in all, the same number for each item (or one more for the first few of a shuffled order)."""
        each, more = divmod(int(total), self.truth.size)
        order = np.random.default_rng(0).permutation(self.truth.size)
        counts = np.full(self.truth.size, each)
        counts[order[:more]] += 1
        return counts

    def point(self, bought: IntArray) -> dict[str, Any]:
        """One point of a curve: share of the judgments, and agreement with all of them."""
        agrees = self.mean(self.at(bought) == self.truth)
        return {"fraction": float(bought.mean() / RATERS), "accuracy": agrees.value, "low": agrees.low, "high": agrees.high}

    def unbought(self, codes: IntArray, bought: IntArray) -> Estimate:
        """Agreement with the people who were never asked about the item."""
        left = bought < RATERS
        rest = np.arange(RATERS) >= bought[:, None]
        means = np.where(rest, self.ratings, 0).sum(axis=1)[left] / rest.sum(axis=1)[left]
        return mean((codes[left] == class_codes(means)).astype(np.float64), clusters=self.groups[left])
