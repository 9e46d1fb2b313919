"""Drawing inline SVG: escaped elements, a frame with axes, round ticks.

Colours are CSS classes (`soft`, `line-a`, `dot-b`, …) that the page defines for light, dark and print. Drawings are
380 units wide: about a phone's column, so their 12-unit text stays legible there, and is a little larger elsewhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from preceptor.evaluation.wording import Show, trimmed

WIDTH = 380.0

Point = tuple[float, float]


def element(name: str, *children: str, **attributes: object) -> Markup:
    """One SVG element; text children and attribute values are escaped, `class_` becomes `class`, `x_y` becomes `x-y`."""
    pairs = (f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"' for key, value in attributes.items() if value is not None)
    return Markup(f"<{name}{''.join(pairs)}>{''.join(str(escape(child)) for child in children)}</{name}>")  # all parts are escaped above


def drawing(title: str, description: str, height: float, parts: Iterable[str]) -> Markup:
    """A whole picture: an <svg> that scales with the page and that a screen reader announces by title and description."""
    key = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return element(
        "svg",
        element("title", title, id=f"title-{key}"),
        element("desc", description, id=f"desc-{key}"),
        *parts,
        viewBox=f"0 0 {WIDTH:g} {_plain(height)}",
        role="img",
        aria_labelledby=f"title-{key} desc-{key}",
    )


def text(words: str, x: float, y: float, *, anchor: str = "start", class_: str | None = None, **attributes: object) -> Markup:
    """Words at a baseline point."""
    return element("text", words, x=x, y=y, text_anchor=anchor, class_=class_, **attributes)


def line(start: Point, end: Point, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=class_)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) within [low, high], about `count` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Frame:
    """A plotting rectangle (pixels) over a data rectangle; `log_x` spaces x by its logarithm."""

    x_range: Point
    y_range: Point
    left: float = 44
    right: float = WIDTH - 12
    top: float = 12
    bottom: float = 200
    log_x: bool = False

    def x(self, value: float) -> float:
        """Data to pixels, clipped to the frame."""
        return _place(value, self.x_range, (self.left, self.right), log=self.log_x)

    def y(self, value: float) -> float:
        """Data to pixels, clipped to the frame; larger is higher."""
        return _place(value, self.y_range, (self.bottom, self.top))

    def axes(self, x_label: str, y_label: str, at: Sequence[float], show_x: Show, show_y: Show) -> list[Markup]:
        """Horizontal grid lines with their numbers, numbers under the floor at the x values `at`, and both labels."""
        parts = [text(y_label, 0, self.top - 16, class_="soft")]
        heights = ticks(*self.y_range)
        for value, label in zip(heights, trimmed([show_y(value) for value in heights]), strict=True):
            parts.append(line((self.left, self.y(value)), (self.right, self.y(value)), "grid"))
            parts.append(text(label, self.left - 6, self.y(value) + 4, anchor="end", class_="soft"))
        parts.append(line((self.left, self.bottom), (self.right, self.bottom), "axis"))
        parts += [self.under(value, label) for value, label in zip(at, trimmed([show_x(value) for value in at]), strict=True)]
        return [*parts, text(x_label, self.right, self.bottom + 34, anchor="end", class_="soft")]

    def under(self, value: float, words: str) -> Markup:
        """A number under the floor at x."""
        return self.label(value, self.bottom + 17, words)

    def label(self, value: float, y: float, words: str) -> Markup:
        """Words centred on x at pixel height y, moved inwards where they would leave the picture."""
        half = 3.4 * len(words)
        return text(words, min(max(self.x(value), half), WIDTH - half), y, anchor="middle", class_="soft")


def path(points: Sequence[Point], class_: str) -> Markup:
    """A line through pixel points."""
    return element("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), class_=class_)


def _place(value: float, data: Point, pixels: Point, *, log: bool = False) -> float:
    low, high = data
    if log:
        value, low, high = math.log(max(value, 1e-12)), math.log(low), math.log(high)
    share = min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.5
    return pixels[0] + share * (pixels[1] - pixels[0])


def _plain(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
