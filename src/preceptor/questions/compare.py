"""Define the kind `compare`: which of two or more responses is best, shown blind and in an order that is recorded."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from preceptor.errors import UserError
from preceptor.questions.field_validation import (
    boolean_setting,
    check_distinct_texts,
    check_setting_names,
    integer_setting,
    item_responses,
    parse_order,
    parse_table,
    parse_text,
    single_value,
)
from preceptor.questions.kind import QuestionKind, kinds
from preceptor.types import Question

TIE = "tie"


class CompareKind(QuestionKind):
    """A question whose answer is the best of the item's responses.

    The answer is {"winner": index into the item's responses or "tie", "order": the indices as shown or null, "reasons": text}. The winner
    is the response's own index, wherever it was shown. Settings: `responses` (2), `ties` (true), and `reasons` (false: whether the page
    asks for them). Options may name the places of the page, for example ["left", "right"].
    """

    level = "nominal"
    aggregator = "auto"
    needs_item = True

    def define(self, question: Question) -> Question:
        check_setting_names(question, "responses", "ties", "reasons")
        count = integer_setting(question, "responses", 2, least=2, most=10)
        if question.options:
            check_distinct_texts(question.options, "a compare", least=count)
            if len(question.options) > count:
                raise UserError(f"options name the {count} places of the page, not {len(question.options)}", 'options = ["left", "right"]')
        settings = {
            "responses": count,
            "ties": boolean_setting(question, "ties", True),
            "reasons": boolean_setting(question, "reasons", False),
        }
        return replace(question, settings=settings)

    def parse(self, question: Question, answer: Any) -> dict[str, Any]:
        if not isinstance(answer, Mapping):
            answer = {"winner": answer}  # a winner alone is accepted too
        given = parse_table(answer, f"an answer to {question.name!r}", "winner", "order", "reasons")
        winner = self._winner(question, given.get("winner"))
        order = parse_order(given.get("order"), question.settings["responses"], "order")
        return {"winner": winner, "order": order, "reasons": parse_text(given.get("reasons") or "", "reasons").strip()}

    def read_form(self, question: Question, fields: Mapping[str, Sequence[str]]) -> Any:
        return {name: single_value(fields, name) for name in ("winner", "order", "reasons")}

    def check(self, question: Question, answer: Any, content: Mapping[str, Any]) -> None:
        item_responses(content, question.settings["responses"])

    def vote(self, question: Question, answer: Any) -> Hashable:
        winner: Hashable = answer["winner"] if isinstance(answer, Mapping) else answer
        return winner

    def to_consensus_answer(self, question: Question, answer: Any) -> Any:
        return answer

    def possible_votes(self, question: Question) -> tuple[Any, ...]:
        return self.answers(question)

    def answers(self, question: Question) -> tuple[Any, ...]:
        return (*range(question.settings["responses"]), *[TIE] * question.settings["ties"])

    def parse_consensus(self, question: Question, answer: Any) -> Any:
        return self.parse(question, answer)["winner"]

    def aggregator_options(self, question: Question) -> dict[str, Any]:
        return {}

    def _winner(self, question: Question, given: Any) -> Any:
        known = self.answers(question)
        for winner in known:
            if isinstance(given, str | int) and not isinstance(given, bool) and str(given) == str(winner):
                return winner
        message = "choose a winner" if given in (None, "") else f"{given!r:.60} is no winner of {question.name!r}"
        raise UserError(message, f"one of {', '.join(map(str, known))}")


kinds.register("compare")(CompareKind())
