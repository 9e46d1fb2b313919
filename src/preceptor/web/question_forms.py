"""Show the questions of a form and read their answers.

Each question has the fields q.NAME.…, which its kind reads. Managers' pages show a question's form as annotators see it, over an item or
an example of one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from starlette.datastructures import FormData

from preceptor.annotation import AssignedWork
from preceptor.errors import UserError
from preceptor.questions import is_follow_up_asked, kinds
from preceptor.questions.claims import VERDICTS, response_text
from preceptor.storage import SlotAssignment
from preceptor.types import Question, render_content

FormFields = Mapping[str, Sequence[str]]
NO_FIELDS: FormFields = MappingProxyType({})
_PARTS_OF_QUESTION = {"compare": {"responses"}, "rank": {"responses"}, "spans": {"text", "prompt", "completion", "messages", "responses"}}
"""Parts of an item that the question itself shows, since they are what is chosen or marked."""


@dataclass(frozen=True)
class FormQuestion:
    """A question as its template shows it.

    prefix: what its fields' names begin with. heading: the first line of the instructions; has_more: whether they have others. order: the
    responses in the order in which they are shown, by their indices. values: what was posted before; fault: the error in it. suggestion:
    the model's guess. after_answers: the answers to the first question after which this one is asked, None for always.
    """

    question: Question
    prefix: str
    heading: str
    has_more: bool
    order: list[int]
    values: FormFields = field(default_factory=dict)
    fault: UserError | None = None
    suggestion: Any = None
    after_answers: list[Any] | None = None

    def value(self, name: str, default: str = "") -> str:
        """Return what was posted in a field."""
        return next(iter(self.values.get(name, ())), default)


def build_form(handed: AssignedWork, annotator: str, posted: FormFields = NO_FIELDS, fault: UserError | None = None) -> list[FormQuestion]:
    """Build the questions about an item as this annotator sees them."""
    shown = []
    for number, question in enumerate(handed.form_questions):
        lines = [line.strip("# ") for line in question.instructions.strip().splitlines() if line.strip("# ")]
        follows = question.follows if number else None
        shown.append(
            FormQuestion(
                question,
                field_prefix(question),
                heading=lines[0] if lines else question.name,
                has_more=len(lines) > 1,
                order=response_order(annotator, handed.assignment.item, question, len(handed.assignment.content.get("responses", ()))),
                values=question_fields(question, posted),
                fault=fault if fault is not None and fault.where == question.name else None,
                suggestion=handed.suggestion if number == 0 else None,
                after_answers=list(follows["answers"]) if follows and follows.get("answers") else None,
            )
        )
    return shown


def parse_answers(form: Sequence[Question], posted: FormFields) -> tuple[Any, dict[str, Any]]:
    """Return the answer to the first question, and the answers to those asked after it; raise UserError at the question's name."""
    first, *following = form
    answer = _parse_answer(first, posted)
    if not following:
        return answer, {}
    try:
        stored = kinds.get(first.kind).parse(first, answer)
    except UserError as error:
        raise UserError(error.message, error.hint, where=first.name) from None
    return answer, {each.name: _parse_answer(each, posted) for each in following if is_follow_up_asked(each, stored)}


def posted_fields(form: FormData) -> dict[str, list[str]]:
    """Return the texts of a posted form by field; files, which no question asks for, are left out."""
    return {name: [value for value in form.getlist(name) if isinstance(value, str)] for name in form}


def question_fields(question: Question, posted: FormFields) -> dict[str, Sequence[str]]:
    """Return the posted fields of one question, by the names that its kind uses."""
    begin = field_prefix(question)
    return {name.removeprefix(begin): values for name, values in posted.items() if name.startswith(begin)}


def field_prefix(question: Question) -> str:
    """Return the prefix of the names of a question's fields."""
    return f"q.{question.name}."


def response_order(annotator: str, item: str, question: Question, count: int) -> list[int]:
    """Return the order in which this annotator sees the responses of this item: random, and the same every time."""
    wanted = question.settings.get("responses")
    if not isinstance(wanted, int) or wanted != count:
        return []

    def place(response: int) -> bytes:
        return hashlib.sha256(f"{annotator}\0{item}\0{question.name}\0{response}".encode()).digest()

    return sorted(range(count), key=place)


def visible_content(handed: AssignedWork) -> dict[str, Any]:
    """Return the parts of the item's content that are shown beside the questions."""
    content = handed.assignment.content
    hidden: set[str] = {"format", "claims"}
    for question in handed.form_questions:
        hidden |= _PARTS_OF_QUESTION.get(question.kind, set())
        if question.kind == "claims" and "claims" not in content:
            hidden |= {"completion" if "completion" in content else "text"}
    return {name: value for name, value in content.items() if name not in hidden}


def markable_text(question: Question, content: Mapping[str, Any]) -> str:
    """Return the text in which passages are marked."""
    return response_text(content) if question.kind == "claims" else render_content(content)


def answer_summary(answer: Any) -> str:
    """Format a stored answer for people."""
    if isinstance(answer, Mapping):
        for name in ("label", "verdict"):
            if name in answer:
                claim = answer.get("claim", f"{answer.get('start')}–{answer.get('end')}")
                return f"{answer[name]} ({claim + 1 if isinstance(claim, int) else claim})".replace("_", " ")
        if "order" in answer and "shown" in answer:
            return " > ".join(str(each + 1) for each in answer["order"])
        return answer_summary(answer.get("winner", answer.get("text", "")))
    if isinstance(answer, list):
        return ", ".join(map(answer_summary, answer)) or "none"
    return str(answer)


def response_letter(place: int) -> str:
    """Return the letter of a response by the position where it is shown: A, B, C."""
    return chr(ord("A") + place)


def verdict_labels() -> list[tuple[str, str]]:
    """List the verdicts about a claim, each with its label."""
    return [(verdict, re.sub("_", " ", verdict).capitalize()) for verdict in VERDICTS]


def _parse_answer(question: Question, posted: FormFields) -> Any:
    try:
        answer = kinds.get(question.kind).read_form(question, question_fields(question, posted))
    except UserError as error:
        raise UserError(error.message, error.hint, where=error.where or question.name) from None
    if answer is None:
        raise UserError("choose an answer", "or skip the item", where=question.name)
    return answer


_EXAMPLE_TEXT = "The parcel came two days late, but the lamp inside was just what I had hoped for."
_EXAMPLE_CONTENTS: dict[str, dict[str, Any]] = {
    "compare": {"prompt": "How do I descale a kettle?"},
    "rank": {"prompt": "How do I descale a kettle?"},
    "write": {"prompt": "How do I descale a kettle?", "completion": "Boil water with vinegar in it, then rinse twice."},
    "claims": {
        "text": _EXAMPLE_TEXT,
        "claims": ["The parcel came late.", "The lamp was broken."],
        "sources": [{"title": "The order", "text": "Due on Monday, delivered on Wednesday."}],
    },
}


def example_content(question: Question) -> dict[str, Any]:
    """Return an item's content that a question of this kind can be asked about."""
    content = _EXAMPLE_CONTENTS.get(question.kind, {"text": _EXAMPLE_TEXT})
    count = question.settings.get("responses")
    if isinstance(count, int):
        content = {**content, "responses": [f"Answer number {place + 1}: boil it with vinegar and water." for place in range(count)]}
    return content


def question_form_context(
    question: Question,
    content: Mapping[str, Any],
    item: str,
    person: str,
    *,
    slot: int = 0,
    posted: Mapping[str, Sequence[str]] = {},
    fault: UserError | None = None,
) -> dict[str, Any]:
    """Return the template context of a question's form: the question as asked, and the parts of the item beside it."""
    handed = AssignedWork(SlotAssignment(slot, item, content, question.name, 0, 0.0), [question], None, False)
    asked = build_form(handed, person, posted, fault)
    return {
        "handed": handed, "slot": slot, "content": content, "parts": visible_content(handed), "asked": asked,
        "fault": fault if fault is not None and not any(each.fault for each in asked) else None,
        "markable": markable_text, "letter": response_letter, "verdicts": verdict_labels(), "in_words": answer_summary,
    }  # fmt: skip
