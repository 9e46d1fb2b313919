"""Words and numbers of the managers' pages."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

from preceptor.domain import Estimate
from preceptor.domain.items import text_of
from preceptor.evaluation.wording import (
    count,
    decimal,
    duration,
    figure_name,
    interval,
    moment,
    money,
    percent,
    points,
    sentence,
    spread,
    whole_percent,
)
from preceptor.store.connection import now
from preceptor.web.forms import letter
from preceptor.web.manage.drawings import bar, two

__all__ = [
    "ago", "amount", "answer", "bar", "count", "day", "decimal", "duration", "estimate", "excerpt", "figure_name", "hours",
    "hours_interval", "interval", "letter", "moment", "money", "percent", "points", "sentence", "spread", "stamp", "two", "whole_percent",
]  # fmt: skip


def estimate(document: dict[str, Any] | None) -> Estimate | None:
    """An Estimate from its document."""
    return None if document is None else Estimate.of(document)


def answer(value: Any) -> str:
    """An answer in one line, whatever its kind."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "—"}[value]
    if isinstance(value, int | float):
        return f"{value:g}"
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return ", ".join(value) or "none of them"
    if isinstance(value, dict) and "winner" in value:
        won = value["winner"]
        return (f"response {won + 1}" if isinstance(won, int) else str(won)) + (f": {value['reasons']}" if value.get("reasons") else "")
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        return value["text"]  # type: ignore[no-any-return]
    if isinstance(value, list | tuple) and value and all(isinstance(part, dict) and "start" in part and "label" in part for part in value):
        return ", ".join(f"{part['label']} {part['start']}–{part['end']}" for part in value)
    return json.dumps(value, ensure_ascii=False)


def excerpt(content: Any, most: int = 160) -> str:
    """The beginning of an item's content."""
    words = " ".join(text_of(content)[: 4 * most].split())
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def hours(value: float) -> str:
    """Hours in words: `40 min`, `3.5 h`, `12 days`."""
    if not math.isfinite(value):
        return "unknown"
    if value < 1:
        return f"{math.ceil(60 * value)} min"
    return f"{value:.1f} h" if value < 10 else f"{value:.0f} h" if value < 48 else f"{value / 24:.0f} days"


def hours_interval(found: Estimate) -> str:
    """`40 min to 6 h`."""
    return f"{hours(found.low)} to {hours(found.high)}"


def day(created: float) -> str:
    """A Unix time as `Tue 24 Nov, 16:20` UTC."""
    return datetime.fromtimestamp(created, UTC).strftime("%a %-d %b, %H:%M")


def stamp(created: float) -> str:
    """A Unix time for a <time> element."""
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds")


def ago(created: float) -> str:
    """How long ago a Unix time was: `just now`, `5 min ago`, `3 h ago`, else its day."""
    past = now() - created
    if past < 60:
        return "just now"
    return f"{past / 60:.0f} min ago" if past < 3600 else f"{past / 3600:.0f} h ago" if past < 48 * 3600 else day(created)


def amount(number: int, one: str, many: str = "") -> str:
    """`1 item`, `1,200 items`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
