"""Looking through the items of a question: filters, and pages that cost the same wherever they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.project.figures.landscape import Landscape
from preceptor.store import explore, questions

if TYPE_CHECKING:
    from preceptor.project.project import Project

VIEWS = {
    "all": "All, first come first",
    "newest": "Newest first",
    "id": "By id",
    "uncertain": "Uncertain",
    "disagreement": "Disagreement",
    "judgments": "Most judged",
    "flagged": "Flagged",
    "unanswered": "Unanswered",
    "gold": "Gold",
}
ORDERED = ("uncertain", "disagreement", "judgments")  # which need a landscape


@dataclass(frozen=True)
class Page:
    """Items of one page, and from where the next one goes on ("" where this is the last)."""

    rows: Sequence[explore.Listed]
    following: str


def page_of(
    project: Project, question: str, view: str, *, after: str = "", begin: str = "", limit: int = 50, landscape: Landscape | None = None
) -> Page:
    """A page of a view of VIEWS, or with `begin` of the items whose ids begin so.

    landscape: what the views "uncertain", "disagreement" and "judgments" go by; without one they are empty.
    """
    if view not in VIEWS:
        raise UserError(f"items can't be listed by {view!r}", f"known: {', '.join(VIEWS)}", where="view")
    with project.database.reading() as connection:
        key, _ = questions.get(connection, question)
        if view in ORDERED and not begin:
            skip, certainty = _number(after), project.config.guidance.certainty
            ids = landscape.page(view, skip=skip, limit=limit + 1, below=certainty) if landscape else []
            rows = explore.by_ids(connection, key, ids[:limit])
            return Page(rows, str(skip + limit) if len(ids) > limit else "")
        if view == "flagged" and not begin:
            rows = explore.flagged(connection, key, skip=_number(after), limit=limit + 1)
            return Page(rows[:limit], str(_number(after) + limit) if len(rows) > limit else "")
        rows = _rows(connection, key, view, after, begin, limit + 1)
    return Page(rows[:limit], str(rows[limit - 1].key) if len(rows) > limit else "")


def log_of(project: Project, *, before: int | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Events, the newest first, up to before the one with this number."""
    with project.database.reading() as connection:
        return explore.log(connection, before=before, limit=limit)


def _rows(connection: Any, key: int, view: str, after: str, begin: str, limit: int) -> list[explore.Listed]:
    if begin or view == "id":
        return explore.named(connection, key, begin=begin, after=after, limit=limit)
    if view == "unanswered":
        return explore.unanswered(connection, key, after=_number(after), limit=limit)
    if view == "gold":
        return explore.known(connection, key, after=_number(after), limit=limit)
    return explore.arrived(connection, key, after=_number(after), limit=limit, newest=view == "newest")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
