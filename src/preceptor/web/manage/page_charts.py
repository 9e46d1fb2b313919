"""Draw the charts of the managers' pages: inline SVG, whose colours come from manage.css."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from preceptor.evaluation.number_format import format_count, format_percent, format_whole_percent
from preceptor.reporting.charts import IntervalRow, LineSeries, Point, histogram, interval_plot, line_chart, svg_element, svg_path
from preceptor.types import Estimate

if TYPE_CHECKING:
    from preceptor.annotation import AgreementTrend, AnnotatorScorecard
    from preceptor.monitoring import DriftSignal
    from preceptor.runs import JudgmentPlan


def format_two_decimals(value: float) -> str:
    """Format a number with two decimals, as for alpha."""
    return f"{value:.2f}".replace("-", "−")


def last_day_chart(counts: Sequence[int], hour: int) -> Markup:
    """Draw the judgments in each of the last 24 hours; `hour` is the hour (UTC) in which the last one ends."""
    bars = [(f"{(hour - len(counts) + 1 + k) % 24}", float(number)) for k, number in enumerate(counts)]
    return histogram("Judgments in the last 24 hours", bars, x_label="hour of the day, UTC", y_label="judgments an hour")


def alpha_trend_chart(found: AgreementTrend) -> Markup:
    """Draw alpha of each tenth of the items, in the order in which they were finished."""
    points = [(float(k), part.alpha.value) for k, part in enumerate(found.periods, start=1)]
    ranges = [(part.alpha.low, part.alpha.high) for part in found.periods]
    low = min(0.0, *(end for end, _ in ranges))
    return line_chart(
        "Agreement over time",
        [LineSeries("alpha", points, ranges, dots=True)],
        labels=("items in the order in which they were finished, by parts", "alpha"),
        show_x=format_count,
        show_y=format_two_decimals,
        limits=(max(low, -1.0), 1.0),
    )


def alpha_chart(rows: Sequence[tuple[str, Estimate]]) -> Markup:
    """Draw alpha of each question with its interval."""
    shown = [IntervalRow(name, estimate, strong=True) for name, estimate in rows]
    return interval_plot("Agreement by question", shown, show=format_two_decimals, limits=(-1.0, 1.0))


def gold_accuracy_chart(person: AnnotatorScorecard) -> Markup:
    """Draw the share of gold items answered rightly over time, with bounds that are valid at each time."""
    curve = person.gold_accuracy_curve()
    return line_chart(
        "Right on gold items",
        [LineSeries("right", [(float(n), share) for n, share, _, _ in curve], [(low, high) for _, _, low, high in curve])],
        labels=("gold items answered", "share right so far"),
        show_x=format_count,
        show_y=format_whole_percent,
        limits=(0.0, 1.0),
    )


def forecast_chart(plan: JudgmentPlan) -> Markup:
    """Draw the share of right answers against cost: the past, today, and the forecast with its band."""
    ahead = LineSeries(
        "forecast",
        [(point.cost, point.share_right.value) for point in plan.curve],
        [(point.share_right.low, point.share_right.high) for point in plan.curve],
    )
    so_far = LineSeries("certainty so far", [*plan.past_certainty, (plan.today.cost, plan.today.share_right.value)], style="b")
    return line_chart(
        "Right answers against money",
        [so_far, ahead] if plan.past_certainty else [ahead],
        labels=(f"spent on judgments, {plan.currency}", "share of answers"),
        show_x=lambda value: f"{value:,.2f}",
        show_y=format_percent,
        limits=(0.0, 1.0),
        marks=[(plan.today.cost, "today")],
    )


def deferral_error_chart(points: Sequence[dict[str, Any]], chosen: dict[str, Any] | None) -> Markup:
    """Draw the errors among the model's own answers, by the share of calls that people answer."""
    found = [(point["share"], Estimate.from_dict(point["risk"])) for point in points]
    return line_chart(
        "Errors by what goes to people",
        [LineSeries("errors", [(share, risk.value) for share, risk in found], [(risk.low, risk.high) for _, risk in found])],
        labels=("share of calls that go to people", "errors among the others"),
        show_x=format_whole_percent,
        show_y=format_whole_percent,
        limits=(0.0, 1.0),
        marks=[(chosen["share"], "chosen")] if chosen else [],
    )


def drift_chart(found: DriftSignal) -> Markup:
    """Draw the mean of each period of a monitored signal, in order of time."""
    means = [(float(k), part) for k, part in enumerate(found.periods, start=1)]
    return line_chart(
        f"{found.signal.capitalize()} over time",
        [LineSeries(found.signal, [(k, part.value) for k, part in means], [_clip_interval(part) for _, part in means], dots=True)],
        labels=("in order of time, by parts", "mean"),
        show_x=format_count,
        show_y=format_two_decimals,
        limits=(0.0, 1.0),
    )


def _clip_interval(part: Estimate) -> tuple[float, float]:
    return max(part.low, 0.0), min(part.high, 1.0)


SPARK_WIDTH, SPARK_HEIGHT = 72, 20


def sparkline(values: Sequence[float], words: str) -> Markup:
    """Draw a line without axes, from 0 to 1, with a description for screen readers."""
    step = SPARK_WIDTH / max(len(values) - 1, 1)
    points: list[Point] = [(k * step, 2 + (SPARK_HEIGHT - 4) * (1 - value)) for k, value in enumerate(values)]
    parts = [svg_path(points, "line-a")] if len(points) > 1 else []
    last = svg_element("circle", cx=points[-1][0], cy=points[-1][1], r=2, class_="dot-a")
    return svg_element("svg", *parts, last, viewBox=f"-3 0 {SPARK_WIDTH + 6} {SPARK_HEIGHT}", role="img", aria_label=words, class_="spark")


def share_bar(share: float, words: str, kind: str = "a") -> Markup:
    """Draw a share as a bar of the full width."""
    filled = max(0.0, min(share, 1.0))
    parts = [
        svg_element("rect", x=0, y=0, width=100, height=8, rx=0, class_="track-fill"),
        svg_element("rect", x=0, y=0, width=round(100 * filled, 2), height=8, class_=f"fill-{kind}"),
    ]
    return svg_element("svg", *parts, viewBox="0 0 100 8", preserveAspectRatio="none", role="img", aria_label=words, class_="share-bar")
