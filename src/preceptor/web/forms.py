"""The questions of a form, to be shown and read: each has the fields q.NAME.…, which its kind reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from starlette.datastructures import FormData

from preceptor.domain import Question
from preceptor.domain.items import text_of
from preceptor.errors import UserError
from preceptor.project.guiding.desk import Handed
from preceptor.questions import is_asked, kinds
from preceptor.questions.claims import VERDICTS, response_of

Fields = Mapping[str, Sequence[str]]
NOTHING: Fields = MappingProxyType({})
SHOWS = {"compare": {"responses"}, "rank": {"responses"}, "spans": {"text", "prompt", "completion", "messages", "responses"}}
"""Parts of an item that the question itself shows, since they are what is chosen or marked."""


@dataclass(frozen=True)
class Asked:
    """A question as its fragment shows it.

    heading: the first line of the instructions, `more` whether they have others. order: of the responses, by their indices.
    values: what was posted before. after: the answers to the first question after which this one is asked, None for always.
    """

    question: Question
    prefix: str
    heading: str
    more: bool
    order: list[int]
    values: Fields = field(default_factory=dict)
    fault: UserError | None = None
    suggestion: Any = None
    after: list[Any] | None = None

    def value(self, name: str, default: str = "") -> str:
        """What was posted in a field."""
        return next(iter(self.values.get(name, ())), default)


def form_of_item(handed: Handed, annotator: str, posted: Fields = NOTHING, fault: UserError | None = None) -> list[Asked]:
    """The questions about an item as this person sees them."""
    shown = []
    for number, question in enumerate(handed.form):
        lines = [line.strip("# ") for line in question.instructions.strip().splitlines() if line.strip("# ")]
        follows = question.follows if number else None
        shown.append(
            Asked(
                question,
                prefix(question),
                heading=lines[0] if lines else question.name,
                more=len(lines) > 1,
                order=order_shown(annotator, handed.assignment.item, question, len(handed.assignment.content.get("responses", ()))),
                values=own_fields(question, posted),
                fault=fault if fault is not None and fault.where == question.name else None,
                suggestion=handed.suggestion if number == 0 else None,
                after=list(follows["answers"]) if follows and follows.get("answers") else None,
            )
        )
    return shown


def read_answers(form: Sequence[Question], posted: Fields) -> tuple[Any, dict[str, Any]]:
    """The answer to the first question, and those to the others that are asked after it; UserError at the question's name."""
    first, *following = form
    answer = _read(first, posted)
    if not following:
        return answer, {}
    try:
        stored = kinds.get(first.kind).parse(first, answer)
    except UserError as error:
        raise UserError(error.message, error.hint, where=first.name) from None
    return answer, {each.name: _read(each, posted) for each in following if is_asked(each, stored)}


def fields_of(form: FormData) -> dict[str, list[str]]:
    """The texts of a posted form by their fields; files aren't asked for, and are left out."""
    return {name: [value for value in form.getlist(name) if isinstance(value, str)] for name in form}


def own_fields(question: Question, posted: Fields) -> dict[str, Sequence[str]]:
    """The fields of one question, as its kind names them."""
    begin = prefix(question)
    return {name.removeprefix(begin): values for name, values in posted.items() if name.startswith(begin)}


def prefix(question: Question) -> str:
    """What the fields of a question begin with."""
    return f"q.{question.name}."


def order_shown(annotator: str, item: str, question: Question, count: int) -> list[int]:
    """The order in which this person sees the responses of this item: random, and the same whenever they look."""
    wanted = question.settings.get("responses")
    if not isinstance(wanted, int) or wanted != count:
        return []

    def place(response: int) -> bytes:
        return hashlib.sha256(f"{annotator}\0{item}\0{question.name}\0{response}".encode()).digest()

    return sorted(range(count), key=place)


def parts_of_item(handed: Handed) -> dict[str, Any]:
    """The parts of the item's content that are shown beside the questions."""
    content = handed.assignment.content
    hidden: set[str] = {"format", "claims"}
    for question in handed.form:
        hidden |= SHOWS.get(question.kind, set())
        if question.kind == "claims" and "claims" not in content:
            hidden |= {"completion" if "completion" in content else "text"}
    return {name: value for name, value in content.items() if name not in hidden}


def markable(question: Question, content: Mapping[str, Any]) -> str:
    """The text in which passages are marked."""
    return response_of(content) if question.kind == "claims" else text_of(content)


def in_words(answer: Any) -> str:
    """A stored answer as a person reads it."""
    if isinstance(answer, Mapping):
        for name in ("label", "verdict"):
            if name in answer:
                claim = answer.get("claim", f"{answer.get('start')}–{answer.get('end')}")
                return f"{answer[name]} ({claim + 1 if isinstance(claim, int) else claim})".replace("_", " ")
        if "order" in answer and "shown" in answer:
            return " > ".join(str(each + 1) for each in answer["order"])
        return in_words(answer.get("winner", answer.get("text", "")))
    if isinstance(answer, list):
        return ", ".join(map(in_words, answer)) or "none"
    return str(answer)


def letter(place: int) -> str:
    """The name of a response by the place where it is shown: A, B, C."""
    return chr(ord("A") + place)


def verdict_words() -> list[tuple[str, str]]:
    """The verdicts about a claim, each with its words."""
    return [(verdict, re.sub("_", " ", verdict).capitalize()) for verdict in VERDICTS]


def _read(question: Question, posted: Fields) -> Any:
    try:
        answer = kinds.get(question.kind).read_form(question, own_fields(question, posted))
    except UserError as error:
        raise UserError(error.message, error.hint, where=error.where or question.name) from None
    if answer is None:
        raise UserError("choose an answer", "or skip the item", where=question.name)
    return answer
