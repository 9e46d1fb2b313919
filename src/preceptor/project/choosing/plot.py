"""Learning curves as one picture: what was measured with its spread over seeds, and the range of a forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from preceptor.evaluation.svg import Frame, Point, drawing, element, line, path, text

COLOURS = ("#1f4e79", "#b45f06", "#38761d", "#7b3294", "#a61c3c")
_STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#444}.soft{fill:#666}.grid{stroke:#ddd}"
    ".axis{stroke:#888}.mark{stroke:#999;stroke-dasharray:2 3}"
)
_KEY = 15.0  # of one line of the legend


@dataclass(frozen=True)
class Line:
    """One method: (size, accuracy) with (low, high) at each; and points of a forecast, drawn dashed."""

    label: str
    points: Sequence[Point]
    ranges: Sequence[Point]
    forecast: Sequence[Point] = ()
    forecast_ranges: Sequence[Point] = ()


def draw(title: str, lines: Sequence[Line], *, words: str, measured_until: float | None = None) -> str:
    """An SVG of its own, with its style. measured_until: where a line marks the end of what was measured."""
    sizes = sorted({x for each in lines for x, _ in (*each.points, *each.forecast)})
    heights = [end for each in lines for ends in (*each.ranges, *each.forecast_ranges) for end in ends]
    low, high = max(0.0, min(heights) - 0.02), min(1.0, max(heights) + 0.02)
    frame = Frame((sizes[0], sizes[-1]), (low, high), top=40, bottom=260, log_x=True)
    at = sorted({x for each in lines for x, _ in each.points} | {sizes[-1]})
    parts: list[Markup] = [
        element("style", _style(len(lines))),
        *frame.axes("training rows", "accuracy", _apart(at, frame), _count, _percent),
    ]
    if measured_until is not None:
        parts += [line((frame.x(measured_until), frame.top), (frame.x(measured_until), frame.bottom), "mark")]
        parts.append(frame.label(measured_until, frame.top - 4, "at hand"))
    for number, each in enumerate(lines):
        parts += _line(each, number, frame)
    for number, each in enumerate(lines):
        y = frame.bottom + 56 + _KEY * number
        parts += [line((44, y - 4), (70, y - 4), f"l{number}"), text(each.label, 78, y)]
    picture = str(drawing(title, words, frame.bottom + 50 + _KEY * len(lines), parts))
    return picture.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _line(each: Line, number: int, frame: Frame) -> list[Markup]:
    parts = []
    if len(each.points) > 1:
        parts.append(_band(each.points, each.ranges, number, frame))
        parts.append(path([(frame.x(x), frame.y(y)) for x, y in each.points], f"l{number}"))
    parts += [element("circle", cx=frame.x(x), cy=frame.y(y), r=3, class_=f"d{number}") for x, y in each.points]
    if each.forecast:
        parts.append(_band(each.forecast, each.forecast_ranges, number, frame))
        parts.append(path([(frame.x(x), frame.y(y)) for x, y in each.forecast], f"l{number} f"))
    return parts


def _band(points: Sequence[Point], ranges: Sequence[Point], number: int, frame: Frame) -> Markup:
    lows = [(frame.x(x), frame.y(low)) for (x, _), (low, _) in zip(points, ranges, strict=True)]
    highs = [(frame.x(x), frame.y(high)) for (x, _), (_, high) in zip(points, ranges, strict=True)]
    return path([*lows, *reversed(highs)], f"b{number}")


def _apart(at: Sequence[float], frame: Frame) -> list[float]:
    """Those of the sizes whose numbers don't run into each other, the last kept."""
    kept: list[float] = []
    for value in reversed(at):
        if not kept or frame.x(kept[-1]) - frame.x(value) > 34:
            kept.append(value)
    return kept[::-1]


def _style(count: int) -> str:
    each = (
        f".l{number}{{stroke:{colour};stroke-width:2;fill:none}}.d{number}{{fill:{colour}}}.b{number}{{fill:{colour};fill-opacity:.13}}"
        for number, colour in enumerate(COLOURS[:count])
    )
    return _STYLE + ".f{stroke-dasharray:4 3}" + "".join(each)


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
