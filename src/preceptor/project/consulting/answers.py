"""What people have answered by now about some items of a question: the consensus, for those that have all judgments asked for."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from preceptor.aggregation.multilabel import MultilabelConsensus
from preceptor.domain import Composed, Question
from preceptor.errors import NotFound
from preceptor.project.guiding.agreeing import Standing
from preceptor.recipes.consulting import Answer
from preceptor.snapshots import answers_of
from preceptor.store import questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project


def answers_to(project: Project, question: Question, wanted: Collection[str]) -> dict[str, Answer]:
    """By item: the text that people agree on most, or each answer's probability (of several labels, that each applies).

    All judgments of the question bear on how far each person is believed, not only those about these items.
    """
    with project.database.reading() as connection:
        try:
            standing = Standing.of(connection, question.name)
        except NotFound:
            return {}  # nothing was asked yet
        counts = slots.counts(connection, standing.key)
    done = {item for item in wanted if item in standing.gold or _is_through(counts.get(item))}
    if not done & set(standing.columns[0]):
        return {}
    fitted = standing.fit()
    if isinstance(fitted, Composed):
        return {item: answer["text"] for item, answer in zip(fitted.items, fitted.composed, strict=True) if item in done}
    chances = fitted.applies if isinstance(fitted, MultilabelConsensus) else fitted.posterior
    columns = [str(answer) for answer in answers_of(fitted)]
    return {item: dict(zip(columns, row, strict=True)) for item, row in zip(fitted.items, chances.tolist(), strict=True) if item in done}


class Counted(NamedTuple):
    """Items of a question that people are asked about, how many of them wait, and the judgments that these still want."""

    items: int
    waiting: int
    judgments: int


def counted(project: Project, question: str, asked: Collection[str]) -> Counted:
    """How far people are with these items."""
    with project.database.reading() as connection:
        counts = slots.counts(connection, questions.get(connection, question)[0])
    waiting = [item for item in asked if not _is_through(counts.get(item))]
    return Counted(len(asked), len(waiting), sum(max(count.wanted - count.given, 0) for item in waiting if (count := counts.get(item))))


def _is_through(count: slots.Count | None) -> bool:
    """Whether somebody has judged it, and nobody else is asked."""
    return count is not None and count.given > 0 and count.given >= count.wanted
