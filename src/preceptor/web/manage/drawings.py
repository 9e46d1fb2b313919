"""The pictures of the managers' pages: inline SVG, whose colours come from manage.css."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from preceptor.domain import Estimate
from preceptor.evaluation.plots import Row, Series, histogram, interval_plot, line_chart
from preceptor.evaluation.svg import Point, element, path
from preceptor.evaluation.wording import count, percent, whole_percent

if TYPE_CHECKING:
    from preceptor.project.figures.quality import Person
    from preceptor.project.figures.trends import Agreement
    from preceptor.project.live.watching import Watch
    from preceptor.project.planning.planning import Plan


def two(value: float) -> str:
    """Two decimals, as for alpha."""
    return f"{value:.2f}".replace("-", "−")


def last_day(counts: Sequence[int], hour: int) -> Markup:
    """Judgments in each of the last 24 hours; `hour` is the one (UTC) that the last one ends in."""
    bars = [(f"{(hour - len(counts) + 1 + k) % 24}", float(number)) for k, number in enumerate(counts)]
    return histogram("Judgments in the last 24 hours", bars, x_label="hour of the day, UTC", y_label="judgments an hour")


def alpha_over_time(found: Agreement) -> Markup:
    """Alpha of each tenth of the items, in the order in which they were finished."""
    points = [(float(k), part.alpha.value) for k, part in enumerate(found.stretches, start=1)]
    ranges = [(part.alpha.low, part.alpha.high) for part in found.stretches]
    low = min(0.0, *(end for end, _ in ranges))
    return line_chart(
        "Agreement over time",
        [Series("alpha", points, ranges, dots=True)],
        labels=("items in the order in which they were finished, by parts", "alpha"),
        show_x=count,
        show_y=two,
        limits=(max(low, -1.0), 1.0),
    )


def alpha_by_question(rows: Sequence[tuple[str, Estimate]]) -> Markup:
    """Alpha of each question with its interval."""
    shown = [Row(name, estimate, strong=True) for name, estimate in rows]
    return interval_plot("Agreement by question", shown, show=two, limits=(-1.0, 1.0))


def gold_curve(person: Person) -> Markup:
    """Share of gold items answered rightly, as they came, with bounds that hold at each look."""
    curve = person.curve()
    return line_chart(
        "Right on gold items",
        [Series("right", [(float(n), share) for n, share, _, _ in curve], [(low, high) for _, _, low, high in curve])],
        labels=("gold items answered", "share right so far"),
        show_x=count,
        show_y=whole_percent,
        limits=(0.0, 1.0),
    )


def plan_curve(plan: Plan) -> Markup:
    """Right answers against money: what was, today, and what is to come with its band."""
    ahead = Series(
        "forecast", [(point.cost, point.right.value) for point in plan.curve], [(point.right.low, point.right.high) for point in plan.curve]
    )
    so_far = Series("certainty so far", [*plan.past, (plan.today.cost, plan.today.right.value)], style="b")
    return line_chart(
        "Right answers against money",
        [so_far, ahead] if plan.past else [ahead],
        labels=(f"spent on judgments, {plan.currency}", "share of answers"),
        show_x=lambda value: f"{value:,.2f}",
        show_y=percent,
        limits=(0.0, 1.0),
        marks=[(plan.today.cost, "today")],
    )


def errors_by_share(points: Sequence[dict[str, Any]], chosen: dict[str, Any] | None) -> Markup:
    """Errors among what the model answers itself, by the share of calls that go to people."""
    found = [(point["share"], Estimate.of(point["risk"])) for point in points]
    return line_chart(
        "Errors by what goes to people",
        [Series("errors", [(share, risk.value) for share, risk in found], [(risk.low, risk.high) for _, risk in found])],
        labels=("share of calls that go to people", "errors among the others"),
        show_x=whole_percent,
        show_y=whole_percent,
        limits=(0.0, 1.0),
        marks=[(chosen["share"], "chosen")] if chosen else [],
    )


def over_time(found: Watch) -> Markup:
    """The mean of each part of a stream that is watched, in order of time."""
    means = [(float(k), part) for k, part in enumerate(found.stretches, start=1)]
    return line_chart(
        f"{found.what.capitalize()} over time",
        [Series(found.what, [(k, part.value) for k, part in means], [_within(part) for _, part in means], dots=True)],
        labels=("in order of time, by parts", "mean"),
        show_x=count,
        show_y=two,
        limits=(0.0, 1.0),
    )


def _within(part: Estimate) -> tuple[float, float]:
    return max(part.low, 0.0), min(part.high, 1.0)


SPARK_WIDTH, SPARK_HEIGHT = 72, 20


def spark(values: Sequence[float], words: str) -> Markup:
    """A line without axes, from 0 to 1, that says what it shows to who can't see it."""
    step = SPARK_WIDTH / max(len(values) - 1, 1)
    points: list[Point] = [(k * step, 2 + (SPARK_HEIGHT - 4) * (1 - value)) for k, value in enumerate(values)]
    parts = [path(points, "line-a")] if len(points) > 1 else []
    last = element("circle", cx=points[-1][0], cy=points[-1][1], r=2, class_="dot-a")
    return element("svg", *parts, last, viewBox=f"-3 0 {SPARK_WIDTH + 6} {SPARK_HEIGHT}", role="img", aria_label=words, class_="spark")


def bar(share: float, words: str, kind: str = "a") -> Markup:
    """A share as a bar of the full width."""
    filled = max(0.0, min(share, 1.0))
    parts = [
        element("rect", x=0, y=0, width=100, height=8, rx=0, class_="track-fill"),
        element("rect", x=0, y=0, width=round(100 * filled, 2), height=8, class_=f"fill-{kind}"),
    ]
    return element("svg", *parts, viewBox="0 0 100 8", preserveAspectRatio="none", role="img", aria_label=words, class_="share-bar")
