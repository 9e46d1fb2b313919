"""Present a judgment plan, learning curves and costs as sentences, tables and one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from preceptor.evaluation.number_format import (
    capitalize_first,
    format_count,
    format_estimate,
    format_interval,
    format_money,
    format_percent,
    format_points,
)
from preceptor.reporting.charts import LineSeries, line_chart
from preceptor.reporting.html_page import render_page
from preceptor.reporting.page_elements import PagePicture, PageSection, PageTable, PageVerdict, draw_picture

if TYPE_CHECKING:
    from preceptor.planning.budget_allocation import BudgetAllocation
    from preceptor.planning.data_scaling import ScalingForecast
    from preceptor.runs.cost_plan import CostEstimate
    from preceptor.runs.judgment_plan import JudgmentPlan


JUDGMENTS_CAPTION = (
    "The line ahead is a forecast: the least certain items are asked about first, by people like those who have answered. "
    "In 95 of 100 simulated futures the share lies in the band. “Right” is what everybody together would come to."
)
_ROWS_CAPTION = (
    "Points are means of runs on parts of the rows at hand; beyond them the curve is a forecast, shown only where the same forecast "
    "without the last point would have come true. The band is meant to hold 95 of 100."
)
_UNKNOWN_TEXT = "not known"


def judgments_summary(plan: JudgmentPlan) -> str:
    """Summarise in one sentence what the next judgments would gain."""
    if not plan.judgment_count:
        return "Nothing more can be asked: every item has as many judgments as the rule allows, or everybody's."
    price = format_money(plan.cost, plan.currency)
    by = f"{format_points(plan.gain.value)} points ({format_interval(plan.gain, format_points)})"
    return f"The next {format_count(plan.judgment_count)} judgments, for {price}, would change the share of right answers by {by}."


def allocation_summary(buying: BudgetAllocation, currency: str) -> str:
    """Summarise in one sentence which use of the money improves a model most."""
    return f"For {format_money(buying.cost, currency)}: {buying.summary}."


def cost_summary_lines(costing: CostEstimate) -> list[str]:
    """Summarise the costs of each option, a sentence each."""
    found = costing.costs

    def amount(value: float) -> str:
        return format_money(round(value, 4), found.currency)

    ways = [f"{bill.name}: {amount(bill.training)} to train, {amount(bill.month)} a month." for bill in found.bills]
    people = [f"{format_count(found.judgments)} judgments: {amount(found.annotation_cost)}."] if found.judgments else []
    return [*ways, *people]


def build_cost_table(costing: CostEstimate) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return (head, rows) of the cost table: the items, and the price of each option."""
    found = costing.costs
    bills = found.bills

    def line(name: str, values: Sequence[float]) -> tuple[str, ...]:
        return (name, *(format_money(round(value, 4), found.currency) for value in values))

    people = [line(f"{found.judgments:,} judgments, once", [found.annotation_cost] * max(1, len(bills)))] if found.judgments else []
    work = found.work
    training = (
        [line(f"training on {work.training_tokens:,.0f} tokens, once", [bill.training for bill in bills])] if work.training_tokens else []
    )
    each = f"serving {work.input_tokens_per_month + work.output_tokens_per_month:,.0f} tokens, a month"
    month = [line(each, [bill.month for bill in bills])] if work.requests else []
    year = [line("first year in all", [found.first_year_cost(bill) for bill in bills])] if bills else []
    return ("", *([bill.name for bill in bills] or ["price"])), [*people, *training, *month, *year]


def render_plan_page(
    plan: JudgmentPlan | None = None, outlooks: Sequence[ScalingForecast] = (), costing: CostEstimate | None = None
) -> str:
    """Render a self-contained HTML page of a plan. outlooks: learning curves besides those of the plan."""
    learning = [*(plan.forecasts if plan is not None else ()), *outlooks]
    sections = [
        *([] if plan is None else _judgment_sections(plan)),
        *([_scaling_section(learning)] if learning else []),
        *([_cost_section(costing)] if costing is not None else []),
    ]
    if plan is None:
        title = "Learning curve" if costing is None else "Plan" if outlooks else "Costs"
        said = [*(each.headline for each in outlooks), *([] if costing is None else cost_summary_lines(costing))]
        return render_page(title, PageVerdict("plain", said[0], said[1:]), sections)
    today = plan.today
    stands = (
        f"Today {format_estimate(today.share_right)} of the answers are right "
        f"by the forecast, for {format_money(today.cost, plan.currency)} so far."
    )
    more = [allocation_summary(plan.allocation, plan.currency)] if plan.allocation is not None else [f"{plan.advice}."]
    facts = [("items", format_count(plan.items)), ("judgments so far", format_count(today.judgments))]
    return render_page(f"Plan: {plan.question}", PageVerdict("plain", judgments_summary(plan), [stands, *more]), sections, facts)


def _judgment_sections(plan: JudgmentPlan) -> list[PageSection]:
    curve = PageSection("curve", "Right answers against money", pictures=[_forecast_picture(plan)], tables=[_forecast_table(plan)])
    if plan.allocation is None:
        return [curve]
    rows = [
        (
            capitalize_first(way.name),
            _UNKNOWN_TEXT if way.gain is None else f"{format_points(way.gain.value)} points\n{format_interval(way.gain, format_points)}",
            way.summary,
        )
        for way in plan.allocation.options
    ]
    table = PageTable("What it adds to a model's accuracy", ("use of the money", "accuracy", "what that is"), rows, numeric=False)
    said = allocation_summary(plan.allocation, plan.currency)
    return [curve, PageSection("buying", "People, rows or the machine", paragraphs=[said], tables=[table])]


def _scaling_section(learning: Sequence[ScalingForecast]) -> PageSection:
    said = [part for outlook in learning for part in (outlook.headline, outlook.backtest_summary)]
    return PageSection("rows", "What more rows would do", said, [_scaling_picture(each) for each in learning], [_scaling_table(learning)])


def _scaling_picture(outlook: ScalingForecast) -> PagePicture:
    curve, name = outlook.method.curve, outlook.method.name
    seen = [(float(size), 1 - error) for size, error in curve.measured.means.items()]
    known = sorted({**{size: curve.accuracy(size) for size in curve.measured.means}, **outlook.forecasts}.items())
    line = [(float(size), accuracy.value) for size, accuracy in known]
    band = [(accuracy.low, accuracy.high) for _, accuracy in known]
    return draw_picture(
        _ROWS_CAPTION,
        line_chart,
        f"Accuracy against training rows: {name}",
        [LineSeries("measured", seen, style="b"), LineSeries("curve", line, band)],
        labels=("training rows", "accuracy"),
        show_x=format_count,
        show_y=format_percent,
        limits=(0.0, 1.0),
        log_x=True,
        marks=[(float(curve.measured.largest), "at hand")],
    )


def _scaling_table(learning: Sequence[ScalingForecast]) -> PageTable:
    rows = []
    for outlook in learning:
        known = {outlook.method.curve.measured.largest: outlook.current_accuracy, **outlook.forecasts}
        rows += [
            (outlook.method.name, format_count(size), f"{format_percent(each.value)}\n{format_interval(each)}")
            for size, each in sorted(known.items())
        ]
    return PageTable("The forecast in figures", ("way to learn", "rows", "accuracy"), rows)


def _cost_section(costing: CostEstimate) -> PageSection:
    head, rows = build_cost_table(costing)
    return PageSection("costs", "What it costs", list(costing.summary_lines), tables=[PageTable("In money", head, rows)])


def _forecast_picture(plan: JudgmentPlan) -> PagePicture:
    ahead = LineSeries(
        "forecast",
        [(point.cost, point.share_right.value) for point in plan.curve],
        [(point.share_right.low, point.share_right.high) for point in plan.curve],
    )
    so_far = [*plan.past_certainty, (plan.today.cost, plan.today.share_right.value)]
    series = [LineSeries("certainty so far", so_far, style="b"), ahead] if len(so_far) > 1 else [ahead]
    return draw_picture(
        JUDGMENTS_CAPTION,
        line_chart,
        "Right answers against money",
        series,
        labels=(f"spent on judgments, {plan.currency}", "share of answers"),
        show_x=lambda value: f"{value:,.2f}",
        show_y=format_percent,
        limits=(0.0, 1.0),
        marks=[(plan.today.cost, "today")],
    )


def _forecast_table(plan: JudgmentPlan) -> PageTable:
    rows = [
        (
            format_count(point.judgments),
            format_money(point.cost, plan.currency),
            f"{format_percent(point.share_right.value)}\n{format_interval(point.share_right)}",
        )
        for point in plan.curve
    ]
    return PageTable("The forecast in figures", ("judgments", "spent", "right"), rows)
