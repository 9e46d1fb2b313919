"""What travels: work, questions and feedback, as JSON."""

from __future__ import annotations

from typing import Any

from preceptor.domain import Question
from preceptor.project.guiding.handing import Feedback
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


def question(asked_now: Question) -> dict[str, Any]:
    """A question as whoever manages it must know it."""
    follows = dict(asked_now.follows) if asked_now.follows else None
    return {**asked(asked_now), "follows": follows, "skills": list(asked_now.skills)}


def feedback(found: Feedback) -> dict[str, Any]:
    """What a person learns of their own answer."""
    return {"right": found.right, "answer": found.answer, "explanation": found.explanation}
