"""Define the kind `write`: an ideal answer in the annotator's own words, or a corrected answer of a model; the edit is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any

from preceptor.errors import UserError
from preceptor.questions.field_validation import (
    boolean_setting,
    check_no_options,
    check_setting_names,
    parse_table,
    parse_text,
    single_value,
)
from preceptor.questions.kind import QuestionKind, kinds
from preceptor.types import ComposedConsensus, Question

LONG_TEXT_WORDS = 5_000  # beyond this many words, frequent ones no longer anchor a difference: it would take minutes


class WriteKind(QuestionKind):
    """A question whose answer is a text that the annotator writes or corrects.

    The answer is {"text": what they wrote, "from": the model's answer that they corrected, or null}; the text alone is accepted too.
    Settings: `correct` (false: written from scratch; true: begins with the item's completion).
    """

    level = "texts"
    aggregator = "similar"
    needs_item = True

    def define(self, question: Question) -> Question:
        check_setting_names(question, "correct")
        check_no_options(question)
        return replace(question, settings={"correct": boolean_setting(question, "correct", False)})

    def parse(self, question: Question, answer: Any) -> dict[str, Any]:
        if isinstance(answer, str):
            answer = {"text": answer}
        given = parse_table(answer, f"an answer to {question.name!r}", "text", "from")
        text = parse_text(given.get("text", ""), "the text")
        if not text.strip():
            raise UserError("the text is empty", "write an answer, or skip the item")
        before = given.get("from")
        return {"text": text, "from": None if before is None else parse_text(before, "the text before correction")}

    def read_form(self, question: Question, fields: Mapping[str, Sequence[str]]) -> Any:
        return {"text": single_value(fields, "text") or "", "from": single_value(fields, "from")}

    def check(self, question: Question, answer: Any, content: Mapping[str, Any]) -> None:
        """Raise UserError unless the text before correction, where it is given, is the item's completion."""
        completion = content.get("completion")
        if question.settings["correct"] and completion is None:
            raise UserError("the item has no completion to correct", 'give items {"prompt", "completion"}, or set correct = false')
        if answer["from"] is not None and _normalize_newlines(answer["from"]) != _normalize_newlines(str(completion or "")):
            raise UserError("the answer corrects another text than the item's completion", "load the page anew")

    def vote(self, question: Question, answer: Any) -> str:
        return str(answer["text"])

    def to_consensus_answer(self, question: Question, answer: Any) -> Any:
        return answer

    def possible_votes(self, question: Question) -> None:
        return None

    def answers(self, question: Question) -> tuple[Any, ...]:
        return ComposedConsensus.ANSWERS

    def parse_consensus(self, question: Question, answer: Any) -> dict[str, Any]:
        return self.parse(question, answer)

    def aggregator_options(self, question: Question) -> dict[str, Any]:
        return {}


def word_diff(before: str, after: str) -> list[tuple[str, str]]:
    """Return what was kept, taken out and put in, word by word: ("same" | "out" | "in", text), in reading order.

    The pieces that aren't "in" make up `before`, those that aren't "out" make up `after`.
    """
    old, new = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (before, after))
    pieces: list[tuple[str, str]] = []
    for operation, i, j, k, m in SequenceMatcher(None, old, new, autojunk=len(old) + len(new) > LONG_TEXT_WORDS).get_opcodes():
        if operation == "equal":
            pieces.append(("same", "".join(old[i:j])))
            continue
        pieces += [(name, part) for name, part in (("out", "".join(old[i:j])), ("in", "".join(new[k:m]))) if part]
    return pieces


def _normalize_newlines(text: str) -> str:
    return text.replace("\r\n", "\n")


kinds.register("write")(WriteKind())
