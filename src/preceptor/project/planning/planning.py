"""What more judgments about a question would buy, and what more rows would: its people, prices and learning curves put into
the forecasts, and the page about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.aggregation import Judgments
from preceptor.domain import Composed, Consensus, Estimate, Question
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.guidance import full_redundancy
from preceptor.guidance.panel import Kinds
from preceptor.planning import Beliefs, Point, curve, gain
from preceptor.planning.buying import Buying, Labels, compare
from preceptor.planning.outlook import Outlook
from preceptor.project.choosing.curves_at_hand import curves_at_hand, how_to_measure
from preceptor.project.guiding.agreeing import Standing
from preceptor.questions import kinds
from preceptor.store import slots

if TYPE_CHECKING:
    from preceptor.project.project import Project

PAST = (0.25, 0.5, 0.75)  # of today's judgments: where the curve so far is measured


@dataclass(frozen=True)
class Plan:
    """What the next judgments about a question would buy.

    buys: judgments that can still be asked for, of those that were meant. gain: what they add to the share of right answers;
    "right" is what everybody together would come to. past: mean certainty as judgments came in. curve: today's point, then ahead.
    learning: measured learning curves with their forecasts; buying: whether rows, judgments or the machine would add most to a
    model for the same money, None where no curve is measured. advice: what to do to know more, or nothing.
    """

    question: str
    items: int
    buys: int
    cost: float
    currency: str
    gain: Estimate
    past: tuple[tuple[float, float], ...]
    curve: tuple[Point, ...]
    learning: tuple[Outlook, ...] = ()
    buying: Buying | None = None
    advice: str = ""

    @property
    def today(self) -> Point:
        """Where the question stands."""
        return self.curve[0]

    def to_dict(self) -> dict[str, Any]:
        """A JSON document."""
        return {
            "question": self.question,
            "items": self.items,
            "today": self.today.to_dict(),
            "next": {"judgments": self.buys, "cost": self.cost, "gain": self.gain.to_dict()},
            "currency": self.currency,
            "past": [{"cost": cost, "certainty": certainty} for cost, certainty in self.past],
            "curve": [point.to_dict() for point in self.curve],
            "learning": [outlook.to_dict() for outlook in self.learning],
            "buying": None if self.buying is None else self.buying.to_dict(),
            "advice": self.advice,
        }

    def save_html(self, path: str | Path) -> None:
        """Write the page; a reader sees the old file or the whole new one."""
        from preceptor.formats import atomic_write
        from preceptor.project.planning.page import render

        with atomic_write(Path(path)) as file:
            file.write(render(self).encode())


def plan(project: Project, question: str, judgments: int, rows: Sequence[int] = ()) -> Plan:
    """The forecast of a question, from the judgments that stand, the curves that were measured and the project's prices and rule.

    rows: sizes at which the learning curves are forecast, twice and four times what was measured unless given.
    """
    if judgments < 1:
        raise UserError(f"{judgments} judgments buy nothing", "plan at least one")
    with project.database.reading() as connection:
        standing = Standing.of(connection, question)
        given = {item: count.given for item, count in slots.counts(connection, standing.key).items()}
    fitted = standing.fit()
    if isinstance(fitted, Composed):
        raise UserError(
            f"what more answers to {question!r} buy can't be told yet: its kind is {standing.question.kind!r}",
            "plan a question of kind choice, multilabel, rating or compare",
        )
    beliefs = _beliefs(project, standing, fitted, given)
    spent = len(standing.columns[0])
    price = project.config.cost.of(standing.columns[1], standing.question.kind) / spent  # on average, by those who have answered
    buys, gained = gain(beliefs, judgments)
    ahead = curve(beliefs, spent, price=price, most=max(spent, judgments))
    found = curves_at_hand(project, question)
    told = Plan(
        question,
        len(given),
        buys,
        round(buys * price, 2),
        project.config.cost.currency,
        gained,
        tuple(_past(standing, len(given), price)),
        tuple(ahead),
        advice=how_to_measure(project, question) if found is None else "",
    )
    if found is None:
        return told
    judged, train = len(fitted.items), sum(1 for _ in found.snapshot.rows("train"))
    labels = Labels(len(fitted.answers), told.today.right.value, gained, judgments, spent / judged, train / judged, len(given) - judged)
    buying = compare(round(judgments * price, 2), labels, found.current, found.learners, hour=project.config.cost.hour)
    return replace(told, learning=tuple(Outlook.of(learner, rows) for learner in found.learners), buying=buying)


def _beliefs(project: Project, standing: Standing, fitted: Consensus, given: dict[str, int]) -> Beliefs:
    """Kinds of item by the votes, answers by the consensus; an item without judgments is like the others on average."""
    votes = _votes(standing.question, standing, fitted)
    learnt = Kinds.learn(votes.votes, fitted.posterior, votes)
    lead = np.arange(len(learnt.votes)) % len(fitted.answers)
    most = full_redundancy(project.config.guidance, len(set(standing.columns[1])))
    places = {item: place for place, item in enumerate(fitted.items)}
    room = np.array([0 if item in standing.gold else max(most - given.get(item, 0), 0) for item in fitted.items], dtype=np.int64)
    known = Beliefs(learnt.votes, lead, learnt.share, room).matching(fitted.posterior)
    fresh = sum(item not in places for item in given)
    share = np.vstack([known.share, np.tile(known.share.mean(axis=0), (fresh, 1))])
    return replace(known, share=share, room=np.concatenate([room, np.full(fresh, most, dtype=np.int64)]))


def _votes(question: Question, standing: Standing, fitted: Consensus) -> Judgments:
    """Judgments as votes for the answers of the consensus: a rating votes for the class that it lies in."""
    what, who, said, _ = standing.columns
    cuts = question.settings.get("cuts")
    if not cuts:
        return standing.votes()
    answers = [fitted.answers[int(np.searchsorted(cuts, rating))] for rating in said]
    return Judgments.from_columns(item=what, annotator=who, answer=answers, answers=fitted.answers)


def _past(standing: Standing, items: int, price: float) -> list[tuple[float, float]]:
    """(cost, mean certainty) when a part of today's judgments was there; an item without any is as certain as chance."""
    what, who, said, numbers = standing.columns
    found = []
    for part in PAST:
        count = round(part * len(what))
        if count:
            seen = replace(standing, columns=(what[:count], who[:count], said[:count], numbers[:count])).fit()
            found.append(
                (
                    round(count * price, 2),
                    _mean_certainty(seen.certainty, items, len(kinds.get(standing.question.kind).answers(standing.question))),
                )
            )
    return found


def _mean_certainty(certainty: FloatArray, items: int, answers: int) -> float:
    return float((certainty.sum() + max(items - len(certainty), 0) / answers) / max(items, len(certainty)))
