"""`write`: an ideal answer in one's own words, or a model's answer corrected; the edit is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any

from preceptor.domain import Composed, Question
from preceptor.errors import UserError
from preceptor.questions.fields import only, table_from, text_from
from preceptor.questions.kind import kinds
from preceptor.questions.settings import flag, known_settings, no_options

LONG = 5_000  # words from which on the frequent ones no longer anchor a difference: it would take minutes


class Write:
    """{"text": what they wrote, "from": the model's answer that they corrected, or null}; the text alone is taken too.

    Settings: `correct` (false: written from nothing; true: begins with the item's completion).
    """

    level = "texts"
    aggregator = "similar"
    needs_item = True

    def define(self, question: Question) -> Question:
        known_settings(question, "correct")
        no_options(question)
        return replace(question, settings={"correct": flag(question, "correct", False)})

    def parse(self, question: Question, answer: Any) -> dict[str, Any]:
        if isinstance(answer, str):
            answer = {"text": answer}
        given = table_from(answer, f"an answer to {question.name!r}", "text", "from")
        text = text_from(given.get("text", ""), "the text")
        if not text.strip():
            raise UserError("the text is empty", "write an answer, or skip the item")
        before = given.get("from")
        return {"text": text, "from": None if before is None else text_from(before, "the text before correction")}

    def read_form(self, question: Question, fields: Mapping[str, Sequence[str]]) -> Any:
        return {"text": only(fields, "text") or "", "from": only(fields, "from")}

    def check(self, question: Question, answer: Any, content: Mapping[str, Any]) -> None:
        """The text before correction, where it is given, must be the item's completion."""
        completion = content.get("completion")
        if question.settings["correct"] and completion is None:
            raise UserError("the item has no completion to correct", 'give items {"prompt", "completion"}, or set correct = false')
        if answer["from"] is not None and _lines(answer["from"]) != _lines(str(completion or "")):
            raise UserError("the answer corrects another text than the item's completion", "load the page anew")

    def vote(self, question: Question, answer: Any) -> str:
        return str(answer["text"])

    def stands_for(self, question: Question, answer: Any) -> Any:
        return answer

    def ballot(self, question: Question) -> None:
        return None

    def answers(self, question: Question) -> tuple[Any, ...]:
        return Composed.ANSWERS

    def parse_consensus(self, question: Question, answer: Any) -> dict[str, Any]:
        return self.parse(question, answer)

    def aggregator_options(self, question: Question) -> dict[str, Any]:
        return {}


def difference(before: str, after: str) -> list[tuple[str, str]]:
    """What was kept, taken out and put in, word by word: ("same" | "out" | "in", text), in reading order.

    The pieces that aren't "in" make up `before`, those that aren't "out" make up `after`.
    """
    old, new = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (before, after))
    pieces: list[tuple[str, str]] = []
    for operation, i, j, k, m in SequenceMatcher(None, old, new, autojunk=len(old) + len(new) > LONG).get_opcodes():
        if operation == "equal":
            pieces.append(("same", "".join(old[i:j])))
            continue
        pieces += [(name, part) for name, part in (("out", "".join(old[i:j])), ("in", "".join(new[k:m]))) if part]
    return pieces


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")


kinds.register("write")(Write())
