"""Forecast what more judgments about a question and more training rows would gain, and at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.annotation.judgment_set import JudgmentSet
from preceptor.consensus import Judgments
from preceptor.errors import UserError
from preceptor.planning import ForecastPoint, ItemBeliefs, forecast_curve, forecast_gain, full_redundancy
from preceptor.planning.budget_allocation import BudgetAllocation, LabelState, compare_spending
from preceptor.planning.data_scaling import ScalingForecast
from preceptor.planning.panel_certainty import VoteMixture
from preceptor.questions import kinds
from preceptor.runs.cached_curves import describe_measurement, load_cached_curves
from preceptor.storage import slots
from preceptor.types import ComposedConsensus, Consensus, Estimate, FloatArray, Question

if TYPE_CHECKING:
    from preceptor.project import Project


_PAST_SHARES = (0.25, 0.5, 0.75)  # shares of today's judgments at which the curve so far is measured


@dataclass(frozen=True)
class JudgmentPlan:
    """What the next judgments about a question would gain.

    judgment_count: judgments that can still be asked for, of those planned. gain: what they add to the share of right answers, where
    "right" is what everybody together would answer. past_certainty: (cost, mean certainty) as judgments came in. curve: today's point, then
    the forecast. forecasts: of the measured learning curves. allocation: whether rows, judgments or compute would improve a model most for
    the same money, None where no curve is measured. advice: how to find out more, or "".
    """

    question: str
    items: int
    judgment_count: int
    cost: float
    currency: str
    gain: Estimate
    past_certainty: tuple[tuple[float, float], ...]
    curve: tuple[ForecastPoint, ...]
    forecasts: tuple[ScalingForecast, ...] = ()
    allocation: BudgetAllocation | None = None
    advice: str = ""

    @property
    def today(self) -> ForecastPoint:
        """The point of today."""
        return self.curve[0]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as a JSON object."""
        return {
            "question": self.question,
            "items": self.items,
            "today": self.today.to_dict(),
            "next": {"judgments": self.judgment_count, "cost": self.cost, "gain": self.gain.to_dict()},
            "currency": self.currency,
            "past": [{"cost": cost, "certainty": certainty} for cost, certainty in self.past_certainty],
            "curve": [point.to_dict() for point in self.curve],
            "learning": [outlook.to_dict() for outlook in self.forecasts],
            "buying": None if self.allocation is None else self.allocation.to_dict(),
            "advice": self.advice,
        }

    def save_html(self, path: str | Path) -> None:
        """Write the plan as an HTML page, atomically."""
        from preceptor.formats import atomic_write
        from preceptor.runs.plan_page import render_plan_page

        with atomic_write(Path(path)) as file:
            file.write(render_plan_page(self).encode())


def plan_judgments(project: Project, question: str, judgments: int, rows: Sequence[int] = ()) -> JudgmentPlan:
    """Forecast a question from its valid judgments, the measured learning curves, and the project's prices and guidance.

    rows: sizes at which the learning curves are forecast, by default twice and four times the largest measured one. Raises UserError for
    fewer than one judgment, and for a kind of question that can't be forecast.
    """
    if judgments < 1:
        raise UserError(f"{judgments} judgments buy nothing", "plan at least one")
    with project.database.reading() as connection:
        standing = JudgmentSet.load(connection, question)
        given = {item: count.judgment_count for item, count in slots.counts_by_item(connection, standing.key).items()}
    fitted = standing.fit()
    if isinstance(fitted, ComposedConsensus):
        raise UserError(
            f"what more answers to {question!r} buy can't be told yet: its kind is {standing.question.kind!r}",
            "plan a question of kind choice, multilabel, rating or compare",
        )
    beliefs = _item_beliefs(project, standing, fitted, given)
    spent = len(standing.columns[0])
    price = project.config.cost.total_price(standing.columns[1], standing.question.kind) / spent  # the average price of a judgment so far
    buys, gained = forecast_gain(beliefs, judgments)
    ahead = forecast_curve(beliefs, spent, price=price, most=max(spent, judgments))
    found = load_cached_curves(project, question)
    told = JudgmentPlan(
        question,
        len(given),
        buys,
        round(buys * price, 2),
        project.config.cost.currency,
        gained,
        tuple(_past_certainty(standing, len(given), price)),
        tuple(ahead),
        advice=describe_measurement(project, question) if found is None else "",
    )
    if found is None:
        return told
    judged, train = len(fitted.items), sum(1 for _ in found.snapshot.rows("train"))
    labels = LabelState(
        len(fitted.answers), told.today.share_right.value, gained, judgments, spent / judged, train / judged, len(given) - judged
    )
    buying = compare_spending(
        round(judgments * price, 2), labels, found.current_method, found.methods, machine_hour=project.config.cost.machine_hour
    )
    return replace(told, forecasts=tuple(ScalingForecast.from_method(learner, rows) for learner in found.methods), allocation=buying)


def _item_beliefs(project: Project, standing: JudgmentSet, fitted: Consensus, given: dict[str, int]) -> ItemBeliefs:
    """Return the beliefs about items: kinds of item by the votes, answers by the consensus; an unjudged item is like the average."""
    votes = _class_votes(standing.question, standing, fitted)
    learnt = VoteMixture.fit(votes.votes, fitted.posterior, votes)
    lead = np.arange(len(learnt.votes)) % len(fitted.answers)
    most = full_redundancy(project.config.redundancy, len(set(standing.columns[1])))
    places = {item: place for place, item in enumerate(fitted.items)}
    room = np.array([0 if item in standing.gold else max(most - given.get(item, 0), 0) for item in fitted.items], dtype=np.int64)
    known = ItemBeliefs(learnt.votes, lead, learnt.share, room).match_posterior(fitted.posterior)
    fresh = sum(item not in places for item in given)
    share = np.vstack([known.share, np.tile(known.share.mean(axis=0), (fresh, 1))])
    return replace(known, share=share, capacity=np.concatenate([room, np.full(fresh, most, dtype=np.int64)]))


def _class_votes(question: Question, standing: JudgmentSet, fitted: Consensus) -> Judgments:
    """Return the judgments as votes for the answers of the consensus: a rating votes for the class that contains it."""
    what, who, said, _ = standing.columns
    cuts = question.settings.get("cuts")
    if not cuts:
        return standing.to_votes()
    answers = [fitted.answers[int(np.searchsorted(cuts, rating))] for rating in said]
    return Judgments.from_columns(item=what, annotator=who, answer=answers, answers=fitted.answers)


def _past_certainty(standing: JudgmentSet, items: int, price: float) -> list[tuple[float, float]]:
    """Return (cost, mean certainty) at parts of today's judgments; an item without judgments is as certain as chance."""
    what, who, said, numbers = standing.columns
    found = []
    for part in _PAST_SHARES:
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
