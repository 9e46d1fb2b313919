"""What travels: work handed out, as JSON."""

from __future__ import annotations

from typing import Any

from preceptor.domain import Question
from preceptor.store import Assignment


def work(assignment: Assignment, form: list[Question], suggestion: Any = None) -> dict[str, Any]:
    """A slot with its item and the questions of its form; the first is asked, the others follow it.

    Nothing says how many judgments the item has, or whether its answer is known: that would bias who answers.
    """
    first, *following = form
    document: dict[str, Any] = {
        "slot": assignment.slot,
        "item": {"id": assignment.item, "content": dict(assignment.content)},
        "question": asked(first),
        "expires": assignment.expires,
    }
    if following:
        document["follow_ups"] = [{**asked(each), "follows": dict(each.follows or {})} for each in following]
    if suggestion is not None:
        document["suggestion"] = suggestion
    return document


def asked(question: Question) -> dict[str, Any]:
    """A question as whoever answers it must know it."""
    return {
        "name": question.name,
        "kind": question.kind,
        "version": question.version,
        "instructions": question.instructions,
        "options": list(question.options),
        "settings": dict(question.settings),
    }
