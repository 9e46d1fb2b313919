"""Which documents a search may find, by their metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from preceptor.errors import UserError

FROM, UNTIL = "valid_from", "valid_until"
ON = "valid_on"  # a filter: what held on that day, in place of what holds today
BOUNDS = ("after", "before")
_HINT = 'a value, several of which one must hold, or {"after": …, "before": …}, each end included'
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def checked_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata that can be kept: texts, numbers, yes or no by name; valid_from and valid_until are days, 2026-01-31. UserError else."""
    for name, value in metadata.items():
        if not isinstance(name, str) or not name or name == ON:
            raise UserError(f"metadata can't have the name {name!r:.60}", "jurisdiction, product, date, …", where="metadata")
        if not isinstance(value, str | int | float | bool):
            raise UserError(f"metadata {name} is no text, number, yes or no: {value!r:.60}", "give one value a name", where="metadata")
        if name in (FROM, UNTIL):
            _day(name, value)
    return dict(metadata)


def passes(metadata: Mapping[str, Any], filters: Mapping[str, Any], *, today: str = "") -> bool:
    """Whether a document with this metadata may be found.

    Every filter must hold. A value: equal, as text. A sequence: one of them is. {"after", "before"}: between them, both included, by
    number where both are numbers, else as text, which is right for dates as 2026-01-31; {} asks for any value. Nothing without a value
    passes. valid_from and valid_until must include `valid_on`, by default today.
    """
    day = str(filters.get(ON) or today or datetime.now(UTC).date().isoformat())
    if str(metadata.get(FROM, day)) > day or str(metadata.get(UNTIL, day)) < day:
        return False
    return all(name in metadata and _holds(metadata[name], wanted) for name, wanted in filters.items() if name != ON)


def check_filters(filters: Mapping[str, Any]) -> None:
    """UserError for filters that can't be."""
    for name, wanted in filters.items():
        if isinstance(wanted, Mapping) and (unknown := sorted(set(wanted) - set(BOUNDS))):
            raise UserError(f"the filter {name} has no {unknown[0]!r}", _HINT, where=name)
        if name == ON:
            _day(name, wanted)


def parse_filters(written: Sequence[str]) -> dict[str, Any]:
    """Filters of a command line: name=value (several: one of them), name>=value, name<=value."""
    filters: dict[str, Any] = {}
    for each in written:
        found = re.fullmatch(r"([^<>=]+)(<=|>=|=)(.*)", each, re.DOTALL)
        if found is None:
            raise UserError(f"a filter is written name=value, name>=value or name<=value, not {each!r:.60}", "--filter jurisdiction=EU")
        name, sign, value = found[1].strip(), found[2], found[3].strip()
        held = filters.get(name)
        if sign == "=":
            filters[name] = value if held is None else [*(held if isinstance(held, list) else [held]), value]
        else:
            filters[name] = {**(held if isinstance(held, dict) else {}), "after" if sign == ">=" else "before": value}
    return filters


def _holds(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return all(_in_order(wanted["after"], value) if end == "after" else _in_order(value, wanted["before"]) for end in wanted)
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return any(_text(value) == _text(each) for each in wanted)
    return _text(value) == _text(wanted)


def _in_order(first: Any, second: Any) -> bool:
    try:
        return float(first) <= float(second)
    except ValueError:
        return str(first) <= str(second)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _day(name: str, value: Any) -> None:
    try:
        if not _DAY.fullmatch(str(value)):
            raise ValueError
        date.fromisoformat(str(value))
    except ValueError:
        raise UserError(f"{name} isn't a day: {value!r:.60}", "write it 2026-01-31", where=name) from None
