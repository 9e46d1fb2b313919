"""A question's own form on a managers' page: as annotators see it, over an item or an example of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.project.guiding.desk import Handed
from preceptor.store import Assignment
from preceptor.web import forms

TEXT = "The parcel came two days late, but the lamp inside was just what I had hoped for."
EXAMPLES: dict[str, dict[str, Any]] = {
    "compare": {"prompt": "How do I descale a kettle?"},
    "rank": {"prompt": "How do I descale a kettle?"},
    "write": {"prompt": "How do I descale a kettle?", "completion": "Boil water with vinegar in it, then rinse twice."},
    "claims": {
        "text": TEXT,
        "claims": ["The parcel came late.", "The lamp was broken."],
        "sources": [{"title": "The order", "text": "Due on Monday, delivered on Wednesday."}],
    },
}


def example_of(question: Question) -> dict[str, Any]:
    """An item's content that a question of this kind can be asked about."""
    content = EXAMPLES.get(question.kind, {"text": TEXT})
    count = question.settings.get("responses")
    if isinstance(count, int):
        content = {**content, "responses": [f"Answer number {place + 1}: boil it with vinegar and water." for place in range(count)]}
    return content


def question_form(
    question: Question,
    content: Mapping[str, Any],
    item: str,
    person: str,
    *,
    slot: int = 0,
    posted: Mapping[str, Sequence[str]] = {},
    fault: UserError | None = None,
) -> dict[str, Any]:
    """What the fragment of a question needs: the question as asked, and the parts of the item beside it."""
    handed = Handed(Assignment(slot, item, content, question.name, 0, 0.0), [question], None, False)
    asked = forms.form_of_item(handed, person, posted, fault)
    return {
        "handed": handed, "slot": slot, "content": content, "parts": forms.parts_of_item(handed), "asked": asked,
        "fault": fault if fault is not None and not any(each.fault for each in asked) else None,
        "markable": forms.markable, "letter": forms.letter, "verdicts": forms.verdict_words(), "in_words": forms.in_words,
    }  # fmt: skip
