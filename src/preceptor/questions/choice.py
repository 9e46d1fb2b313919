"""`choice`: exactly one of the options."""

from __future__ import annotations

from typing import Any

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.questions.kind import kinds
from preceptor.registry import did_you_mean


class Choice:
    """One of the options, named by its text. Settings: none."""

    level = "nominal"
    aggregator = "auto"

    def define(self, question: Question) -> Question:
        if len(question.options) < 2:
            raise UserError("a choice needs at least two options", 'options = ["yes", "no"]')
        if not all(isinstance(option, str) and option.strip() for option in question.options):
            raise UserError(f"each option must be a text that isn't empty, not {list(question.options)!r}")
        if len(set(question.options)) < len(question.options):
            raise UserError(f"an option stands twice in {list(question.options)!r}")
        if question.settings:
            raise UserError(f"a choice has no setting {next(iter(question.settings))!r}")
        return question

    def parse(self, question: Question, answer: Any) -> str:
        text = str(answer) if isinstance(answer, int | float) else answer  # 1 in a file stands for the option "1"
        if isinstance(text, str) and text in question.options:
            return text
        hint = did_you_mean(answer, question.options) if isinstance(answer, str) else ""
        raise UserError(f"{answer!r} is not an option of {question.name!r}{hint}", f"options: {', '.join(question.options)}")

    def answers(self, question: Question) -> tuple[Any, ...]:
        return question.options

    def parse_consensus(self, question: Question, answer: Any) -> str:
        return self.parse(question, answer)

    def aggregator_options(self, question: Question) -> dict[str, Any]:
        return {}


kinds.register("choice")(Choice())
