"""Define the kind `choice`: exactly one of the options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.errors import UserError
from preceptor.questions.field_validation import check_distinct_texts, check_setting_names, single_value
from preceptor.questions.kind import QuestionKind, kinds
from preceptor.registry import suggest_name
from preceptor.types import Question


class ChoiceKind(QuestionKind):
    """A question whose answer is one of the options, given by its text. Settings: none."""

    level = "nominal"
    aggregator = "auto"
    needs_item = False

    def define(self, question: Question) -> Question:
        check_distinct_texts(question.options, "a choice", least=2)
        check_setting_names(question)
        return question

    def parse(self, question: Question, answer: Any) -> str:
        text = str(answer) if isinstance(answer, int | float) else answer  # 1 in a file stands for the option "1"
        if isinstance(text, str) and text in question.options:
            return text
        hint = suggest_name(answer, question.options) if isinstance(answer, str) else ""
        raise UserError(f"{answer!r} is not an option of {question.name!r}{hint}", f"options: {', '.join(question.options)}")

    def read_form(self, question: Question, fields: Mapping[str, Sequence[str]]) -> Any:
        return single_value(fields, "answer")

    def check(self, question: Question, answer: Any, content: Mapping[str, Any]) -> None:
        pass

    def vote(self, question: Question, answer: Any) -> str:
        return str(answer)

    def to_consensus_answer(self, question: Question, answer: Any) -> Any:
        return answer

    def possible_votes(self, question: Question) -> tuple[Any, ...]:
        return question.options

    def answers(self, question: Question) -> tuple[Any, ...]:
        return question.options

    def parse_consensus(self, question: Question, answer: Any) -> str:
        return self.parse(question, answer)

    def aggregator_options(self, question: Question) -> dict[str, Any]:
        return {}


kinds.register("choice")(ChoiceKind())
