"""Define the kind `multilabel`: any number of the options, including none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from preceptor.errors import UserError
from preceptor.questions.field_validation import check_distinct_texts, check_setting_names, integer_setting
from preceptor.questions.kind import QuestionKind, kinds
from preceptor.registry import suggest_name
from preceptor.types import Question


class MultilabelKind(QuestionKind):
    """A question whose answer is a list of options, in the question's order.

    Settings: `minimum` and `maximum`, how many may be chosen (any number).
    """

    level = "sets"
    aggregator = "multilabel"
    needs_item = False

    def define(self, question: Question) -> Question:
        check_distinct_texts(question.options, "a multilabel", least=1)
        check_setting_names(question, "minimum", "maximum")
        count = len(question.options)
        least = integer_setting(question, "minimum", 0, least=0, most=count)
        most = integer_setting(question, "maximum", count, least=max(least, 1), most=count)
        return replace(question, settings={"minimum": least, "maximum": most})

    def parse(self, question: Question, answer: Any) -> list[str]:
        if isinstance(answer, str):
            answer = [answer]  # a label alone is accepted too
        if not isinstance(answer, list | tuple | set | frozenset):
            raise UserError(f"an answer to {question.name!r} is a list of labels, not {answer!r:.60}", _labels(question))
        for label in answer:
            if not isinstance(label, str) or label not in question.options:
                hint = suggest_name(label, question.options) if isinstance(label, str) else ""
                raise UserError(f"{label!r} is not a label of {question.name!r}{hint}", _labels(question))
        chosen = [option for option in question.options if option in answer]
        least, most = question.settings["minimum"], question.settings["maximum"]
        if len(chosen) < least:
            raise UserError(f"{len(chosen)} chosen; {question.name!r} needs at least {least}", _labels(question))
        if len(chosen) > most:
            raise UserError(f"{len(chosen)} chosen; {question.name!r} takes at most {most}", "take some out")
        return chosen

    def read_form(self, question: Question, fields: Mapping[str, Sequence[str]]) -> Any:
        return list(fields.get("answer") or ())

    def check(self, question: Question, answer: Any, content: Mapping[str, Any]) -> None:
        pass

    def vote(self, question: Question, answer: Any) -> tuple[str, ...]:
        return tuple(answer)

    def to_consensus_answer(self, question: Question, answer: Any) -> Any:
        return answer

    def possible_votes(self, question: Question) -> None:
        return None

    def answers(self, question: Question) -> tuple[Any, ...]:
        return question.options

    def parse_consensus(self, question: Question, answer: Any) -> list[str]:
        return self.parse(question, answer)

    def aggregator_options(self, question: Question) -> dict[str, Any]:
        return {"labels": question.options}


def _labels(question: Question) -> str:
    return f"labels: {', '.join(question.options)}"


kinds.register("multilabel")(MultilabelKind())
