"""Lists and tables that stand as JSON in the cells of a table of texts, under the names by which a row has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.cells import check_row
from preceptor.formats.json_text import DECODER
from preceptor.project.contents import CONTENT_FIELDS

SAID = ("judgments", "predictions")
_NAMES = (*SAID, "metadata", "messages", "responses", "sources", "claims")


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Which of the cells of a table with judgments are JSON; none where judgments don't stand in its cells."""
    found = {name for row in rows for name in _NAMES if _is_json(row.get(name))}
    return [name for name in _NAMES if name in found] if found & set(SAID) else []


def holds_judgments(row: Mapping[str, Any]) -> bool:
    """Whether a row has a list of judgments or guesses, and not something else under such a name."""
    return any(isinstance(said := row.get(name), list) and any(isinstance(each, dict) for each in said) for name in SAID)


def opened(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the values of cells that hold the JSON of a list or a table; what only looks like it stays a text."""
    found = {name: _value(name, row[name]) for name in _NAMES if _is_json(row.get(name))}
    return row | found if found else row


def unmarked(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a plain table, without the empty lists by which one of our own says that nobody judged it."""
    return {name: value for name, value in row.items() if name not in SAID or value not in ([], None)}


def without_empty_cells(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a table of texts without the columns that only other rows fill; an item's only content may be the empty text."""
    filled = {name: value for name, value in row.items() if value not in ("", None)}
    if row.get("prompt") == "" and ("completion" in filled or "responses" in filled):
        return {**filled, "prompt": ""}
    empty = next((name for name in ("text", "prompt") if row.get(name) == ""), None)
    return filled if empty is None or any(name in filled for name in CONTENT_FIELDS) else {**filled, empty: ""}


def _value(name: str, cell: str) -> Any:
    with suppress(ValueError, RecursionError, UserError):
        value = DECODER.decode(cell)
        check_row({name: value}, "")
        return value
    return cell


def _is_json(value: Any) -> bool:
    return isinstance(value, str) and value[:1] in ("[", "{")
