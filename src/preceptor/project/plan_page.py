"""The page of a plan: what the next judgments would buy, and the share of right answers against money."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.evaluation.page import lay_out
from preceptor.evaluation.page.parts import Picture, Section, Table, Verdict, picture
from preceptor.evaluation.plots import Series, line_chart
from preceptor.evaluation.wording import count, interval, money, percent, points, spread

if TYPE_CHECKING:
    from preceptor.project.planning import Plan

CAPTION = (
    "The line ahead is a forecast: the least certain items are asked about first, by people like those who have answered. "
    "In 95 of 100 simulated futures the share lies in the band. “Right” is what everybody together would come to."
)


def words(plan: Plan) -> str:
    """What the next judgments would buy, in one sentence."""
    if not plan.buys:
        return "Nothing more can be asked: every item has as many judgments as the rule allows, or everybody's."
    price = money(plan.cost, plan.currency)
    by = f"{points(plan.gain.value)} points ({interval(plan.gain, points)})"
    return f"The next {count(plan.buys)} judgments, for {price}, would change the share of right answers by {by}."


def render(plan: Plan) -> str:
    """One self-contained page."""
    today = plan.today
    stands = f"Today {spread(today.right)} of the answers are right by the forecast, for {money(today.cost, plan.currency)} so far."
    section = Section("curve", "Right answers against money", pictures=[_curve(plan)], tables=[_table(plan)])
    facts = [("items", count(plan.items)), ("judgments so far", count(today.judgments))]
    return lay_out(f"Plan: {plan.question}", Verdict("plain", words(plan), [stands]), [section], facts)


def _curve(plan: Plan) -> Picture:
    ahead = Series(
        "forecast",
        [(point.cost, point.right.value) for point in plan.curve],
        [(point.right.low, point.right.high) for point in plan.curve],
    )
    so_far = [*plan.past, (plan.today.cost, plan.today.right.value)]
    series = [Series("certainty so far", so_far, style="b"), ahead] if len(so_far) > 1 else [ahead]
    return picture(
        CAPTION,
        line_chart,
        "Right answers against money",
        series,
        labels=(f"spent on judgments, {plan.currency}", "share of answers"),
        show_x=lambda value: f"{value:,.2f}",
        show_y=percent,
        limits=(0.0, 1.0),
        marks=[(plan.today.cost, "today")],
    )


def _table(plan: Plan) -> Table:
    rows = [
        (count(point.judgments), money(point.cost, plan.currency), f"{percent(point.right.value)}\n{interval(point.right)}")
        for point in plan.curve
    ]
    return Table("The forecast in figures", ("judgments", "spent", "right"), rows)
