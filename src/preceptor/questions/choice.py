"""`choice`: exactly one of the options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.questions.fields import only
from preceptor.questions.kind import kinds
from preceptor.questions.settings import distinct_texts, known_settings
from preceptor.registry import did_you_mean


class Choice:
    """One of the options, named by its text. Settings: none."""

    level = "nominal"
    aggregator = "auto"
    needs_item = False

    def define(self, question: Question) -> Question:
        distinct_texts(question.options, "a choice", least=2)
        known_settings(question)
        return question

    def parse(self, question: Question, answer: Any) -> str:
        text = str(answer) if isinstance(answer, int | float) else answer  # 1 in a file stands for the option "1"
        if isinstance(text, str) and text in question.options:
            return text
        hint = did_you_mean(answer, question.options) if isinstance(answer, str) else ""
        raise UserError(f"{answer!r} is not an option of {question.name!r}{hint}", f"options: {', '.join(question.options)}")

    def read_form(self, question: Question, fields: Mapping[str, Sequence[str]]) -> Any:
        return only(fields, "answer")

    def check(self, question: Question, answer: Any, content: Mapping[str, Any]) -> None:
        pass

    def vote(self, question: Question, answer: Any) -> str:
        return str(answer)

    def stands_for(self, question: Question, answer: Any) -> Any:
        return answer

    def ballot(self, question: Question) -> tuple[Any, ...]:
        return question.options

    def answers(self, question: Question) -> tuple[Any, ...]:
        return question.options

    def parse_consensus(self, question: Question, answer: Any) -> str:
        return self.parse(question, answer)

    def aggregator_options(self, question: Question) -> dict[str, Any]:
        return {}


kinds.register("choice")(Choice())
