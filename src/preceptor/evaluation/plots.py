"""The pictures of the report: each a small function from figures to an inline SVG string.

Every picture has a title and a description for who can't see it, and tells its series apart by shape or dash as well
as by colour. Colours come from the page's style (see `svg`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from preceptor.domain import Estimate
from preceptor.evaluation.svg import WIDTH, Frame, Point, drawing, element, line, path, text, ticks
from preceptor.evaluation.wording import Show, count, spread, trimmed, whole_percent

SHORT = 12  # characters of an answer beside an axis


@dataclass(frozen=True, slots=True)
class Row:
    """One figure in an interval plot; `strong` is the one that the picture is about."""

    label: str
    estimate: Estimate
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """One line: points by x, an optional band or (with `dots`) error bars of (low, high); `style` is a or b."""

    label: str
    points: Sequence[Point]
    ranges: Sequence[Point] = ()
    style: str = "a"
    dots: bool = False


def interval_plot(title: str, rows: Sequence[Row], *, show: Show, limits: Point, mark: tuple[float, str] | None = None) -> Markup:
    """Dots with error bars on a shared scale, one row a figure, its numbers written above it.

    `limits` are the least and the greatest possible value (the scale zooms within them); `mark` is a reference line.
    """
    top = 30.0 if mark else 4.0
    # one line holds about 48 characters in the widest of the usual system fonts
    lines = 1 if all(len(row.label) + len(spread(row.estimate, show)) <= 48 for row in rows) else 2
    step = 30.0 + 16 * lines
    frame = Frame(_zoom(rows, mark, limits), (0, 1), left=8, right=WIDTH - 8, top=top, bottom=top + step * len(rows))
    at = ticks(*frame.x_range)
    parts = [line((frame.x(value), frame.top), (frame.x(value), frame.bottom), "grid") for value in at]
    parts += [frame.under(value, label) for value, label in zip(at, trimmed([show(value) for value in at]), strict=True)]
    if mark:
        parts.append(line((frame.x(mark[0]), frame.top - 8), (frame.x(mark[0]), frame.bottom), "mark"))
        parts.append(frame.label(mark[0], frame.top - 14, mark[1]))
    for k, row in enumerate(rows):
        parts += _interval_row(row, frame, top + step * k, lines, show)
    return drawing(title, "; ".join(f"{row.label}: {spread(row.estimate, show)}" for row in rows), frame.bottom + 24, parts)


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    labels: tuple[str, str],
    show_x: Show,
    show_y: Show,
    limits: Point,
    log_x: bool = False,
    marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Lines over a shared frame, with bands or error bars; `labels` name x and y, `marks` are vertical lines with a word.

    On a logarithmic x axis the numbers stand at the measured points.
    """
    xs = sorted({x for one in series for x, _ in one.points} | {x for x, _ in marks})
    log_x = log_x and xs[0] > 0
    ys = [y for one in series for _, y in one.points] + [end for one in series for ends in one.ranges for end in ends]
    frame = Frame(_padded(xs[:1] + xs[-1:], 0), _within(_padded(ys), limits), top=28, bottom=212, log_x=log_x)
    at = xs if log_x else ticks(*frame.x_range)
    parts = frame.axes(*labels, at, show_x, show_y)
    for x, word in marks:
        parts += [line((frame.x(x), frame.top), (frame.x(x), frame.bottom), "mark"), frame.label(x, frame.top - 4, word)]
    for one in series:
        parts += _one_line(one, frame)
    legend = series if len(series) > 1 else ()
    parts += _legend(legend, frame.bottom + 58)
    spoken = "; ".join(f"{one.label} goes from {show_y(one.points[0][1])} to {show_y(one.points[-1][1])}" for one in series)
    return drawing(title, f"{labels[1]} by {labels[0]}: {spoken}.", frame.bottom + 40 + 20 * len(legend), parts)


def histogram(title: str, counts: Sequence[tuple[str, float]], *, x_label: str, y_label: str) -> Markup:
    """One bar a value, from zero."""
    frame = Frame((0, len(counts)), (0, max(number for _, number in counts) or 1), top=28, bottom=180)
    parts = frame.axes(x_label, y_label, (), count, count)
    every = -(-len(counts) // 16)  # at most 16 numbers fit under the floor
    for k, (label, number) in enumerate(counts):
        left, right = frame.x(k + 0.12), frame.x(k + 0.88)
        parts.append(element("rect", x=left, y=frame.y(number), width=right - left, height=frame.bottom - frame.y(number), class_="fill-a"))
        if k % every == 0:
            parts.append(frame.under(k + 0.5, label))
    return drawing(title, "; ".join(f"{label}: {number:,.0f}" for label, number in counts), frame.bottom + 40, parts)


def confusion_map(title: str, answers: Sequence[str], counts: Sequence[Sequence[int]], *, rows: str, columns: str) -> Markup:
    """A table of counts as a heat map; the shade is the share of its row, the diagonal is agreement."""
    left = 92.0
    cell = min(84.0, (WIDTH - left - 4) / len(answers))
    upright = max(len(answer) for answer in answers) * 7.5 < cell
    top = 46.0 if upright else 92.0
    parts = [text(columns, left, 14, class_="soft"), text(rows, left - 8, top - 10, anchor="end", class_="soft")]
    for i, answer in enumerate(answers):
        middle = cell * (i + 0.5)
        parts.append(text(_short(answer), left - 8, top + middle + 4, anchor="end"))
        turned = None if upright else f"rotate(-50 {left + middle:.1f} {top - 8:.1f})"
        parts.append(text(_short(answer), left + middle, top - 10, anchor="middle" if upright else "start", transform=turned))
        for j, number in enumerate(counts[i]):
            parts += _cell(number, number / (sum(counts[i]) or 1), left + cell * j, top + cell * i, cell, right=i == j)
    spoken = (f"{rows} {a}, {columns} {b}: {counts[i][j]}" for i, a in enumerate(answers) for j, b in enumerate(answers))
    return drawing(title, "; ".join(spoken), top + cell * len(answers) + 4, parts)


def reliability_diagram(title: str, bins: Sequence[tuple[float, float, int]]) -> Markup:
    """How often the model is right by how certain it says it is, from (certainty, accuracy, count); a dot's area is its count."""
    low = max(0.0, min(0.5, *(min(stated, right) for stated, right, _ in bins)) - 0.05)
    frame = Frame((low, 1.0), (low, 1.0), top=28, bottom=270)
    parts = frame.axes("certainty that the model states", "how often it is right", ticks(low, 1.0), whole_percent, whole_percent)
    parts.append(line((frame.x(low), frame.y(low)), (frame.x(1), frame.y(1)), "mark"))
    parts.append(path([(frame.x(stated), frame.y(right)) for stated, right, _ in bins], "line-a thin"))
    most = max(number for _, _, number in bins) or 1
    for stated, right, number in bins:
        parts.append(element("circle", cx=frame.x(stated), cy=frame.y(right), r=2.5 + 6 * (number / most) ** 0.5, class_="dot-soft"))
    spoken = "; ".join(f"states {whole_percent(stated)}, right {whole_percent(right)} of {number} items" for stated, right, number in bins)
    return drawing(title, spoken, frame.bottom + 40, parts)


def _interval_row(row: Row, frame: Frame, top: float, lines: int, show: Show) -> list[Markup]:
    numbers = top + 16 * lines
    middle, kind = numbers + 15, "a" if row.strong else "b"
    low, high = frame.x(row.estimate.low), frame.x(row.estimate.high)
    parts = [
        text(row.label, frame.left, top + 16, class_="halo strong" if row.strong else "halo"),
        text(spread(row.estimate, show), frame.right, numbers, anchor="end", class_="halo number"),
        line((frame.left, middle), (frame.right, middle), "track"),
        line((low, middle), (high, middle), f"bar-{kind}"),
    ]
    parts += [line((end, middle - 5), (end, middle + 5), f"cap-{kind}") for end in (low, high)]
    return [*parts, element("circle", cx=frame.x(row.estimate.value), cy=middle, r=5.5, class_=f"dot-{kind}")]


def _one_line(one: Series, frame: Frame) -> list[Markup]:
    points = [(frame.x(x), frame.y(y)) for x, y in one.points]
    lows = [(x, frame.y(low)) for (x, _), (low, _) in zip(points, one.ranges, strict=False)]
    highs = [(x, frame.y(high)) for (x, _), (_, high) in zip(points, one.ranges, strict=False)]
    parts = []
    if one.dots:
        parts += [line(low, high, f"line-{one.style}") for low, high in zip(lows, highs, strict=True)]
    elif lows:
        parts.append(path([*lows, *reversed(highs)], f"band-{one.style}"))
    parts.append(path(points, f"line-{one.style}"))
    if one.dots:
        parts += [element("circle", cx=x, cy=y, r=4, class_=f"dot-{one.style}") for x, y in points]
    return parts


def _legend(series: Sequence[Series], y: float) -> list[Markup]:
    parts = []
    for k, one in enumerate(series):
        parts.append(line((44, y + 20 * k - 4), (70, y + 20 * k - 4), f"line-{one.style}"))
        parts.append(text(one.label, 78, y + 20 * k))
    return parts


def _cell(number: int, share: float, x: float, y: float, size: float, *, right: bool) -> list[Markup]:
    box = element(
        "rect", x=x + 1, y=y + 1, width=size - 2, height=size - 2, class_="fill-a" if right else "fill-b", fill_opacity=0.04 + 0.46 * share
    )
    return [box, text(count(number), x + size / 2, y + size / 2 + 4, anchor="middle", class_="number strong" if right else "number")]


def _zoom(rows: Sequence[Row], mark: tuple[float, str] | None, limits: Point) -> Point:
    ends = [end for row in rows for end in (row.estimate.value, row.estimate.low, row.estimate.high)] + ([mark[0]] if mark else [])
    return _within(_padded(ends, 0.12), limits)


def _padded(values: Sequence[float], share: float = 0.08) -> Point:
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite), max(finite)
    room = (high - low) * share if high > low else abs(high) * 0.05 or 1.0
    return low - room, high + room


def _within(span: Point, limits: Point) -> Point:
    return max(span[0], limits[0]), min(span[1], limits[1])


def _short(words: str) -> str:
    return words if len(words) <= SHORT else words[: SHORT - 1] + "…"
