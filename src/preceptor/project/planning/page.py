"""The page of a plan: what the next judgments would buy, what more rows would do for a model, and what it all costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from preceptor.evaluation.page import lay_out
from preceptor.evaluation.page.parts import Picture, Section, Table, Verdict, picture
from preceptor.evaluation.plots import Series, line_chart
from preceptor.evaluation.wording import count, interval, money, percent, points, sentence, spread

if TYPE_CHECKING:
    from preceptor.planning.buying import Buying
    from preceptor.planning.outlook import Outlook
    from preceptor.project.planning.costing import Costing
    from preceptor.project.planning.planning import Plan

CAPTION = (
    "The line ahead is a forecast: the least certain items are asked about first, by people like those who have answered. "
    "In 95 of 100 simulated futures the share lies in the band. “Right” is what everybody together would come to."
)
ROWS_CAPTION = (
    "Points are means of runs on parts of the rows at hand; beyond them the curve is a forecast, shown only where the same forecast "
    "without the last point would have come true. The band is meant to hold 95 of 100."
)
UNKNOWN = "not known"


def words(plan: Plan) -> str:
    """What the next judgments would buy, in one sentence."""
    if not plan.buys:
        return "Nothing more can be asked: every item has as many judgments as the rule allows, or everybody's."
    price = money(plan.cost, plan.currency)
    by = f"{points(plan.gain.value)} points ({interval(plan.gain, points)})"
    return f"The next {count(plan.buys)} judgments, for {price}, would change the share of right answers by {by}."


def buying_words(buying: Buying, currency: str) -> str:
    """Which use of the money adds most to a model, in one sentence."""
    return f"For {money(buying.cost, currency)}: {buying.words}."


def cost_words(costing: Costing) -> list[str]:
    """What each way costs, a sentence each."""
    found = costing.costs

    def amount(value: float) -> str:
        return money(round(value, 4), found.currency)

    ways = [f"{bill.name}: {amount(bill.training)} to train, {amount(bill.month)} a month." for bill in found.bills]
    people = [f"{count(found.judgments)} judgments: {amount(found.people)}."] if found.judgments else []
    return [*ways, *people]


def bill_rows(costing: Costing) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(head, rows) of the costs: what for, and each way's price."""
    found = costing.costs
    bills = found.bills

    def line(name: str, values: Sequence[float]) -> tuple[str, ...]:
        return (name, *(money(round(value, 4), found.currency) for value in values))

    people = [line(f"{found.judgments:,} judgments, once", [found.people] * max(1, len(bills)))] if found.judgments else []
    work = found.work
    training = [line(f"training on {work.trained:,.0f} tokens, once", [bill.training for bill in bills])] if work.trained else []
    each = f"serving {work.read + work.written:,.0f} tokens, a month"
    month = [line(each, [bill.month for bill in bills])] if work.requests else []
    year = [line("first year in all", [found.year(bill) for bill in bills])] if bills else []
    return ("", *([bill.name for bill in bills] or ["price"])), [*people, *training, *month, *year]


def render(plan: Plan | None = None, outlooks: Sequence[Outlook] = (), costing: Costing | None = None) -> str:
    """One self-contained page of what was planned; outlooks: curves beside those of the plan."""
    learning = [*(plan.learning if plan is not None else ()), *outlooks]
    sections = [
        *([] if plan is None else _judgments(plan)),
        *([_rows(learning)] if learning else []),
        *([_costs(costing)] if costing is not None else []),
    ]
    if plan is None:
        title = "Learning curve" if costing is None else "Plan" if outlooks else "Costs"
        said = [*(each.headline for each in outlooks), *([] if costing is None else cost_words(costing))]
        return lay_out(title, Verdict("plain", said[0], said[1:]), sections)
    today = plan.today
    stands = f"Today {spread(today.right)} of the answers are right by the forecast, for {money(today.cost, plan.currency)} so far."
    more = [buying_words(plan.buying, plan.currency)] if plan.buying is not None else [f"{plan.advice}."]
    facts = [("items", count(plan.items)), ("judgments so far", count(today.judgments))]
    return lay_out(f"Plan: {plan.question}", Verdict("plain", words(plan), [stands, *more]), sections, facts)


def _judgments(plan: Plan) -> list[Section]:
    curve = Section("curve", "Right answers against money", pictures=[_curve(plan)], tables=[_table(plan)])
    if plan.buying is None:
        return [curve]
    rows = [
        (sentence(way.name), UNKNOWN if way.gain is None else f"{points(way.gain.value)} points\n{interval(way.gain, points)}", way.words)
        for way in plan.buying.ways
    ]
    table = Table("What it adds to a model's accuracy", ("use of the money", "accuracy", "what that is"), rows, numeric=False)
    said = buying_words(plan.buying, plan.currency)
    return [curve, Section("buying", "People, rows or the machine", paragraphs=[said], tables=[table])]


def _rows(learning: Sequence[Outlook]) -> Section:
    said = [part for outlook in learning for part in (outlook.headline, outlook.check)]
    return Section("rows", "What more rows would do", said, [_rows_picture(each) for each in learning], [_rows_table(learning)])


def _rows_picture(outlook: Outlook) -> Picture:
    curve, name = outlook.learner.curve, outlook.learner.name
    seen = [(float(size), 1 - error) for size, error in curve.measured.means.items()]
    known = sorted({**{size: curve.accuracy(size) for size in curve.measured.means}, **outlook.ahead}.items())
    line = [(float(size), accuracy.value) for size, accuracy in known]
    band = [(accuracy.low, accuracy.high) for _, accuracy in known]
    return picture(
        ROWS_CAPTION,
        line_chart,
        f"Accuracy against training rows: {name}",
        [Series("measured", seen, style="b"), Series("curve", line, band)],
        labels=("training rows", "accuracy"),
        show_x=count,
        show_y=percent,
        limits=(0.0, 1.0),
        log_x=True,
        marks=[(float(curve.measured.largest), "at hand")],
    )


def _rows_table(learning: Sequence[Outlook]) -> Table:
    rows = []
    for outlook in learning:
        known = {outlook.learner.curve.measured.largest: outlook.today, **outlook.ahead}
        rows += [(outlook.learner.name, count(size), f"{percent(each.value)}\n{interval(each)}") for size, each in sorted(known.items())]
    return Table("The forecast in figures", ("way to learn", "rows", "accuracy"), rows)


def _costs(costing: Costing) -> Section:
    head, rows = bill_rows(costing)
    return Section("costs", "What it costs", list(costing.words), tables=[Table("In money", head, rows)])


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
