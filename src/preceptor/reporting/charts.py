"""Draw charts as accessible inline SVG: intervals, lines, histograms, heat maps, reliability and risk–coverage curves.

Colours are CSS classes (`soft`, `line-a`, `dot-b`, …) that the page's style defines for light, dark and print. Drawings are 380 units wide:
about a phone's column, so their 12-unit text stays legible there, and is a little larger elsewhere.

Every chart has a title and a description for screen readers, and distinguishes its series by shape or dash as well as by colour.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from markupsafe import Markup, escape

from preceptor.evaluation.number_format import NumberFormat, format_count, format_decimal, format_estimate, format_whole_percent, trim_zeros
from preceptor.types import Estimate

CHART_WIDTH = 380.0

Point = tuple[float, float]


def svg_element(name: str, *children: str, **attributes: object) -> Markup:
    """Build one SVG element; text children and attribute values are escaped, `class_` becomes `class`, `x_y` becomes `x-y`."""
    pairs = (
        f' {key.rstrip("_").replace("_", "-")}="{escape(_attribute_text(value))}"' for key, value in attributes.items() if value is not None
    )
    return Markup(f"<{name}{''.join(pairs)}>{''.join(str(escape(child)) for child in children)}</{name}>")  # all parts are escaped above


def svg_document(title: str, description: str, height: float, parts: Iterable[str]) -> Markup:
    """Build a whole picture: an <svg> that scales with the page, and that a screen reader announces by title and description."""
    key = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return svg_element(
        "svg",
        svg_element("title", title, id=f"title-{key}"),
        svg_element("desc", description, id=f"desc-{key}"),
        *parts,
        viewBox=f"0 0 {CHART_WIDTH:g} {_attribute_text(height)}",
        role="img",
        aria_labelledby=f"title-{key} desc-{key}",
    )


def svg_text(words: str, x: float, y: float, *, anchor: str = "start", class_: str | None = None, **attributes: object) -> Markup:
    """Draw a text at a baseline point."""
    return svg_element("text", words, x=x, y=y, text_anchor=anchor, class_=class_, **attributes)


def svg_line(start: Point, end: Point, class_: str) -> Markup:
    """Draw a straight line."""
    return svg_element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=class_)


def axis_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers (1, 2 or 5 times a power of ten apart) within [low, high]."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class PlotFrame:
    """A plotting rectangle (pixels) over a data rectangle; `log_x` spaces x by its logarithm."""

    x_range: Point
    y_range: Point
    left: float = 44
    right: float = CHART_WIDTH - 12
    top: float = 12
    bottom: float = 200
    log_x: bool = False

    def x(self, value: float) -> float:
        """Convert an x value to pixels, clipped to the frame."""
        return _scale_to_pixels(value, self.x_range, (self.left, self.right), log=self.log_x)

    def y(self, value: float) -> float:
        """Convert a y value to pixels, clipped to the frame; larger is higher."""
        return _scale_to_pixels(value, self.y_range, (self.bottom, self.top))

    def axes(self, x_label: str, y_label: str, at: Sequence[float], show_x: NumberFormat, show_y: NumberFormat) -> list[Markup]:
        """Draw horizontal grid lines with their numbers, numbers under the x axis at the values `at`, and both labels."""
        parts = [svg_text(y_label, 0, self.top - 16, class_="soft")]
        heights = axis_ticks(*self.y_range)
        for value, label in zip(heights, trim_zeros([show_y(value) for value in heights]), strict=True):
            parts.append(svg_line((self.left, self.y(value)), (self.right, self.y(value)), "grid"))
            parts.append(svg_text(label, self.left - 6, self.y(value) + 4, anchor="end", class_="soft"))
        parts.append(svg_line((self.left, self.bottom), (self.right, self.bottom), "axis"))
        parts += [self.tick_label(value, label) for value, label in zip(at, trim_zeros([show_x(value) for value in at]), strict=True)]
        return [*parts, svg_text(x_label, self.right, self.bottom + 34, anchor="end", class_="soft")]

    def tick_label(self, value: float, words: str) -> Markup:
        """Draw a number under the x axis at x."""
        return self.label(value, self.bottom + 17, words)

    def label(self, value: float, y: float, words: str) -> Markup:
        """Draw a text centred on x at pixel height y, moved inwards where it would leave the picture."""
        half = 3.4 * len(words)
        return svg_text(words, min(max(self.x(value), half), CHART_WIDTH - half), y, anchor="middle", class_="soft")


def svg_path(points: Sequence[Point], class_: str) -> Markup:
    """Draw a line through pixel points."""
    return svg_element("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), class_=class_)


def _scale_to_pixels(value: float, data: Point, pixels: Point, *, log: bool = False) -> float:
    low, high = data
    if log:
        value, low, high = math.log(max(value, 1e-12)), math.log(low), math.log(high)
    share = min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.5
    return pixels[0] + share * (pixels[1] - pixels[0])


def _attribute_text(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


_MAX_LABEL_CHARS = 12  # characters of an answer that labels an axis


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """One figure in an interval plot; `strong` is the one that the picture is about."""

    label: str
    estimate: Estimate
    strong: bool = False


@dataclass(frozen=True, slots=True)
class LineSeries:
    """One line: points by x, optional ranges of (low, high) drawn as a band or (with `dots`) as error bars; `style` is a or b."""

    label: str
    points: Sequence[Point]
    ranges: Sequence[Point] = ()
    style: str = "a"
    dots: bool = False


def interval_plot(
    title: str, rows: Sequence[IntervalRow], *, show: NumberFormat, limits: Point, mark: tuple[float, str] | None = None
) -> Markup:
    """Draw dots with error bars on a shared scale, one row a figure, its numbers written above it.

    limits: the least and the greatest possible value (the scale zooms within them). mark: a reference line and its label.
    """
    top = 30.0 if mark else 4.0
    # one line holds about 48 characters in the widest of the usual system fonts
    lines = 1 if all(len(row.label) + len(format_estimate(row.estimate, show)) <= 48 for row in rows) else 2
    step = 30.0 + 16 * lines
    frame = PlotFrame(_zoomed_limits(rows, mark, limits), (0, 1), left=8, right=CHART_WIDTH - 8, top=top, bottom=top + step * len(rows))
    at = axis_ticks(*frame.x_range)
    parts = [svg_line((frame.x(value), frame.top), (frame.x(value), frame.bottom), "grid") for value in at]
    parts += [frame.tick_label(value, label) for value, label in zip(at, trim_zeros([show(value) for value in at]), strict=True)]
    if mark:
        parts.append(svg_line((frame.x(mark[0]), frame.top - 8), (frame.x(mark[0]), frame.bottom), "mark"))
        parts.append(frame.label(mark[0], frame.top - 14, mark[1]))
    for k, row in enumerate(rows):
        parts += _interval_row(row, frame, top + step * k, lines, show)
    return svg_document(title, "; ".join(f"{row.label}: {format_estimate(row.estimate, show)}" for row in rows), frame.bottom + 24, parts)


def line_chart(
    title: str,
    series: Sequence[LineSeries],
    *,
    labels: tuple[str, str],
    show_x: NumberFormat,
    show_y: NumberFormat,
    limits: Point,
    log_x: bool = False,
    marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Draw lines over a shared frame, with bands or error bars.

    labels: the names of x and y. marks: vertical lines with a word. On a logarithmic x axis the numbers are at the measured points.
    """
    xs = sorted({x for one in series for x, _ in one.points} | {x for x, _ in marks})
    log_x = log_x and xs[0] > 0
    ys = [y for one in series for _, y in one.points] + [end for one in series for ends in one.ranges for end in ends]
    frame = PlotFrame(_padded_limits(xs[:1] + xs[-1:], 0), _clip_span(_padded_limits(ys), limits), top=28, bottom=212, log_x=log_x)
    at = xs if log_x else axis_ticks(*frame.x_range)
    parts = frame.axes(*labels, at, show_x, show_y)
    for x, word in marks:
        parts += [svg_line((frame.x(x), frame.top), (frame.x(x), frame.bottom), "mark"), frame.label(x, frame.top - 4, word)]
    for one in series:
        parts += _series_marks(one, frame)
    legend = series if len(series) > 1 else ()
    parts += _legend(legend, frame.bottom + 58)
    spoken = "; ".join(f"{one.label} goes from {show_y(one.points[0][1])} to {show_y(one.points[-1][1])}" for one in series)
    return svg_document(title, f"{labels[1]} by {labels[0]}: {spoken}.", frame.bottom + 40 + 20 * len(legend), parts)


def histogram(title: str, counts: Sequence[tuple[str, float]], *, x_label: str, y_label: str) -> Markup:
    """Draw one bar a value, from zero."""
    frame = PlotFrame((0, len(counts)), (0, max(number for _, number in counts) or 1), top=28, bottom=180)
    parts = frame.axes(x_label, y_label, (), format_count, format_count)
    every = -(-len(counts) // 16)  # at most 16 numbers fit under the x axis
    for k, (label, number) in enumerate(counts):
        left, right = frame.x(k + 0.12), frame.x(k + 0.88)
        parts.append(
            svg_element("rect", x=left, y=frame.y(number), width=right - left, height=frame.bottom - frame.y(number), class_="fill-a")
        )
        if k % every == 0:
            parts.append(frame.tick_label(k + 0.5, label))
    return svg_document(title, "; ".join(f"{label}: {number:,.0f}" for label, number in counts), frame.bottom + 40, parts)


def confusion_heatmap(title: str, answers: Sequence[str], counts: Sequence[Sequence[int]], *, rows: str, columns: str) -> Markup:
    """Draw a table of counts as a heat map; the shade is the share of its row, the diagonal is agreement."""
    left = 92.0
    cell = min(84.0, (CHART_WIDTH - left - 4) / len(answers))
    upright = max(len(answer) for answer in answers) * 7.5 < cell
    top = 46.0 if upright else 92.0
    parts = [svg_text(columns, left, 14, class_="soft"), svg_text(rows, left - 8, top - 10, anchor="end", class_="soft")]
    for i, answer in enumerate(answers):
        middle = cell * (i + 0.5)
        parts.append(svg_text(_shorten_label(answer), left - 8, top + middle + 4, anchor="end"))
        turned = None if upright else f"rotate(-50 {left + middle:.1f} {top - 8:.1f})"
        parts.append(svg_text(_shorten_label(answer), left + middle, top - 10, anchor="middle" if upright else "start", transform=turned))
        for j, number in enumerate(counts[i]):
            parts += _heatmap_cell(number, number / (sum(counts[i]) or 1), left + cell * j, top + cell * i, cell, right=i == j)
    spoken = (f"{rows} {a}, {columns} {b}: {counts[i][j]}" for i, a in enumerate(answers) for j, b in enumerate(answers))
    return svg_document(title, "; ".join(spoken), top + cell * len(answers) + 4, parts)


def reliability_diagram(title: str, bins: Sequence[tuple[float, float, int]]) -> Markup:
    """Draw the accuracy by stated confidence, from (confidence, accuracy, count); a dot's area is its count."""
    low = max(0.0, min(0.5, *(min(stated, right) for stated, right, _ in bins)) - 0.05)
    frame = PlotFrame((low, 1.0), (low, 1.0), top=28, bottom=270)
    parts = frame.axes(
        "certainty that the model states", "how often it is right", axis_ticks(low, 1.0), format_whole_percent, format_whole_percent
    )
    parts.append(svg_line((frame.x(low), frame.y(low)), (frame.x(1), frame.y(1)), "mark"))
    parts.append(svg_path([(frame.x(stated), frame.y(right)) for stated, right, _ in bins], "line-a thin"))
    most = max(number for _, _, number in bins) or 1
    for stated, right, number in bins:
        parts.append(svg_element("circle", cx=frame.x(stated), cy=frame.y(right), r=2.5 + 6 * (number / most) ** 0.5, class_="dot-soft"))
    spoken = "; ".join(
        f"states {format_whole_percent(stated)}, right {format_whole_percent(right)} of {number} items" for stated, right, number in bins
    )
    return svg_document(title, spoken, frame.bottom + 40, parts)


def _interval_row(row: IntervalRow, frame: PlotFrame, top: float, lines: int, show: NumberFormat) -> list[Markup]:
    numbers = top + 16 * lines
    middle, kind = numbers + 15, "a" if row.strong else "b"
    low, high = frame.x(row.estimate.low), frame.x(row.estimate.high)
    parts = [
        svg_text(row.label, frame.left, top + 16, class_="halo strong" if row.strong else "halo"),
        svg_text(format_estimate(row.estimate, show), frame.right, numbers, anchor="end", class_="halo number"),
        svg_line((frame.left, middle), (frame.right, middle), "track"),
        svg_line((low, middle), (high, middle), f"bar-{kind}"),
    ]
    parts += [svg_line((end, middle - 5), (end, middle + 5), f"cap-{kind}") for end in (low, high)]
    return [*parts, svg_element("circle", cx=frame.x(row.estimate.value), cy=middle, r=5.5, class_=f"dot-{kind}")]


def _series_marks(one: LineSeries, frame: PlotFrame) -> list[Markup]:
    points = [(frame.x(x), frame.y(y)) for x, y in one.points]
    lows = [(x, frame.y(low)) for (x, _), (low, _) in zip(points, one.ranges, strict=False)]
    highs = [(x, frame.y(high)) for (x, _), (_, high) in zip(points, one.ranges, strict=False)]
    parts = []
    if one.dots:
        parts += [svg_line(low, high, f"line-{one.style}") for low, high in zip(lows, highs, strict=True)]
    elif lows:
        parts.append(svg_path([*lows, *reversed(highs)], f"band-{one.style}"))
    parts.append(svg_path(points, f"line-{one.style}"))
    if one.dots:
        parts += [svg_element("circle", cx=x, cy=y, r=4, class_=f"dot-{one.style}") for x, y in points]
    return parts


def _legend(series: Sequence[LineSeries], y: float) -> list[Markup]:
    parts = []
    for k, one in enumerate(series):
        parts.append(svg_line((44, y + 20 * k - 4), (70, y + 20 * k - 4), f"line-{one.style}"))
        parts.append(svg_text(one.label, 78, y + 20 * k))
    return parts


def _heatmap_cell(number: int, share: float, x: float, y: float, size: float, *, right: bool) -> list[Markup]:
    box = svg_element(
        "rect", x=x + 1, y=y + 1, width=size - 2, height=size - 2, class_="fill-a" if right else "fill-b", fill_opacity=0.04 + 0.46 * share
    )
    return [
        box,
        svg_text(format_count(number), x + size / 2, y + size / 2 + 4, anchor="middle", class_="number strong" if right else "number"),
    ]


def _zoomed_limits(rows: Sequence[IntervalRow], mark: tuple[float, str] | None, limits: Point) -> Point:
    ends = [end for row in rows for end in (row.estimate.value, row.estimate.low, row.estimate.high)] + ([mark[0]] if mark else [])
    return _clip_span(_padded_limits(ends, 0.12), limits)


def _padded_limits(values: Sequence[float], share: float = 0.08) -> Point:
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite), max(finite)
    room = (high - low) * share if high > low else abs(high) * 0.05 or 1.0
    return low - room, high + room


def _clip_span(span: Point, limits: Point) -> Point:
    return max(span[0], limits[0]), min(span[1], limits[1])


def _shorten_label(words: str) -> str:
    return words if len(words) <= _MAX_LABEL_CHARS else words[: _MAX_LABEL_CHARS - 1] + "…"


LOSS_CHART_TITLE, LEARNING_RATE_CHART_TITLE = "Training and validation loss", "Learning rates tried"
_SHEET_GAP, _SHEET_TITLE_HEIGHT = 24.0, 20.0


def loss_curve_chart(title: str, training: Mapping[str, Any]) -> Markup | None:
    """Draw training and validation loss by step, the kept weights marked; None where no loss was measured.

    training: a mapping with history and best_step.
    """
    history = training.get("history") or ()
    series = []
    for key, label, style in (("train_loss", "training loss", "b"), ("validation_loss", "validation loss", "a")):
        measured = [(float(at["step"]), at[key]) for at in history if at.get(key) is not None]
        if measured:
            series.append(LineSeries(label, measured, style=style, dots=len(measured) < 2))
    if not series:
        return None
    best = training.get("best_step")
    return line_chart(
        title,
        series,
        labels=("step", "loss, in nats"),
        show_x=format_count,
        show_y=format_decimal,
        limits=(0.0, math.inf),
        marks=[(best, "kept")] if best is not None else (),
    )


def learning_rate_chart(title: str, training: Mapping[str, Any]) -> Markup | None:
    """Draw validation loss by learning rate, each with the standard error of its difference from the best, the one used marked.

    None where fewer than two have a loss. training: a mapping with sweep and learning_rate.
    """
    tried = [at for at in training.get("sweep") or () if at.get("validation_loss") is not None]
    if len(tried) < 2:
        return None
    tried.sort(key=lambda at: at["learning_rate"])
    points = [(at["learning_rate"], at["validation_loss"]) for at in tried]
    errors = [(at["validation_loss"] - (at.get("error") or 0.0), at["validation_loss"] + (at.get("error") or 0.0)) for at in tried]
    used = training.get("learning_rate")
    return line_chart(
        title,
        [LineSeries("validation loss", points, errors, dots=True)],
        labels=("learning rate", "loss, in nats"),
        show_x=lambda rate: f"{rate:.1g}".replace("e-0", "e−"),
        show_y=format_decimal,
        limits=(0.0, math.inf),
        log_x=True,
        marks=[(used, "used")] if used is not None and used in dict(points) else (),
    )


def training_curves_svg(training: Mapping[str, Any]) -> str | None:
    """Draw both training charts, one under the other, as an SVG file for any browser; None where there is nothing to draw."""
    drawn = [
        (title, found)
        for title, draw in ((LOSS_CHART_TITLE, loss_curve_chart), (LEARNING_RATE_CHART_TITLE, learning_rate_chart))
        if (found := draw(title, training))
    ]
    return stack_charts(drawn) if drawn else None


def stack_charts(drawn: Sequence[tuple[str, Markup]]) -> str:
    """Stack pictures with their titles, one under the other, as an SVG file with its own style."""
    parts, y = list[Markup](), _SHEET_GAP
    for title, picture in drawn:
        height = float(re.findall(r'viewBox="0 0 \S+ ([\d.]+)"', picture)[0])
        inside = Markup(re.sub(r"^<svg[^>]*>|</svg>$", "", picture))
        parts += [
            svg_text(title, _SHEET_GAP, y + 4, class_="strong"),
            svg_element("g", inside, transform=f"translate({_SHEET_GAP:g} {y + _SHEET_TITLE_HEIGHT:g})"),
        ]
        y += _SHEET_TITLE_HEIGHT + height + _SHEET_GAP
    style = files("preceptor.reporting").joinpath("templates/pictures.css").read_text(encoding="utf-8")
    box = f"0 0 {CHART_WIDTH + 2 * _SHEET_GAP:g} {y:g}"
    paper = svg_element("rect", width="100%", height="100%", style="fill: var(--paper)")
    whole = svg_element("svg", Markup(f"<style>\n{style}text {{ font-family: sans-serif; }}\n</style>"), paper, *parts, viewBox=box)
    return str(whole).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1) + "\n"


def risk_coverage_chart(title: str, points: Sequence[tuple[float, Estimate]]) -> Markup:
    """Draw the risk–coverage curve in the band of its intervals, from a section's `curve`: (coverage, risk) by rising coverage."""
    (least, _), (most, whole) = points[0], points[-1]
    return line_chart(
        title,
        [
            LineSeries(
                "errors among the answers given",
                [(coverage, risk.value) for coverage, risk in points],
                [(max(risk.low, 0.0), min(risk.high, 1.0)) for _, risk in points],
            ),
            LineSeries(f"errors if {format_whole_percent(most)} were answered", [(least, whole.value), (most, whole.value)], style="b"),
        ],
        labels=("share of prompts answered, the surest first", "errors"),
        show_x=format_whole_percent,
        show_y=format_whole_percent,
        limits=(0.0, 1.0),
    )
