"""Format texts and numbers for the templates of the managers' pages."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

from preceptor.evaluation.number_format import (
    capitalize_first,
    figure_name,
    format_count,
    format_decimal,
    format_duration,
    format_estimate,
    format_interval,
    format_money,
    format_percent,
    format_points,
    format_timestamp,
    format_whole_percent,
)
from preceptor.storage.connection import now
from preceptor.types import Estimate, render_content
from preceptor.web.manage.page_charts import format_two_decimals, share_bar
from preceptor.web.question_forms import response_letter

__all__ = [
    "capitalize_first",
    "excerpt_content",
    "figure_name",
    "format_age",
    "format_amount",
    "format_answer",
    "format_count",
    "format_day",
    "format_decimal",
    "format_duration",
    "format_estimate",
    "format_hours",
    "format_hours_interval",
    "format_interval",
    "format_iso",
    "format_money",
    "format_percent",
    "format_points",
    "format_timestamp",
    "format_two_decimals",
    "format_whole_percent",
    "read_estimate",
    "response_letter",
    "share_bar",
]


def read_estimate(document: dict[str, Any] | None) -> Estimate | None:
    """Convert a document to an Estimate; None for None."""
    return None if document is None else Estimate.from_dict(document)


def format_answer(value: Any) -> str:
    """Format an answer of any kind in one line."""
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


def excerpt_content(content: Any, most: int = 160) -> str:
    """Return the beginning of an item's content, at most `most` characters."""
    words = " ".join(render_content(content)[: 4 * most].split())
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def format_hours(value: float) -> str:
    """Format a number of hours: `40 min`, `3.5 h`, `12 days`."""
    if not math.isfinite(value):
        return "unknown"
    if value < 1:
        return f"{math.ceil(60 * value)} min"
    return f"{value:.1f} h" if value < 10 else f"{value:.0f} h" if value < 48 else f"{value / 24:.0f} days"


def format_hours_interval(found: Estimate) -> str:
    """Format the interval of an estimate in hours: `40 min to 6 h`."""
    return f"{format_hours(found.low)} to {format_hours(found.high)}"


def format_day(created: float) -> str:
    """Format a Unix time as `Tue 24 Nov, 16:20` UTC."""
    return datetime.fromtimestamp(created, UTC).strftime("%a %-d %b, %H:%M")


def format_iso(created: float) -> str:
    """Format a Unix time for a <time> element."""
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds")


def format_age(created: float) -> str:
    """Format how long ago a Unix time was: `just now`, `5 min ago`, `3 h ago`, else its day."""
    past = now() - created
    if past < 60:
        return "just now"
    return f"{past / 60:.0f} min ago" if past < 3600 else f"{past / 3600:.0f} h ago" if past < 48 * 3600 else format_day(created)


def format_amount(number: int, one: str, many: str = "") -> str:
    """Format a number with its noun: `1 item`, `1,200 items`."""
    return f"{format_count(number)} {one if number == 1 else many or one + 's'}"
