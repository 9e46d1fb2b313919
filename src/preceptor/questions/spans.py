"""Define the kind `spans`: passages of the text, each with a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from preceptor.errors import UserError
from preceptor.questions.field_validation import (
    boolean_setting,
    check_distinct_texts,
    check_setting_names,
    parse_json_field,
    parse_table,
    parse_whole_number,
)
from preceptor.questions.kind import QuestionKind, kinds
from preceptor.registry import suggest_name
from preceptor.types import ComposedConsensus, Question, render_content

MAX_SPANS = 10_000  # spans in one answer


class SpansKind(QuestionKind):
    """A question whose answer is a list of labelled passages of the item's text.

    The answer is a sorted list of {"start", "end", "label"}: Unicode code points of the text, the end exclusive; labels are the options.
    Settings: `overlap` (false: no two spans may overlap).
    """

    level = "spans"
    aggregator = "spans"
    needs_item = True

    def define(self, question: Question) -> Question:
        check_distinct_texts(question.options, "a spans question", least=1)
        check_setting_names(question, "overlap")
        return replace(question, settings={"overlap": boolean_setting(question, "overlap", False)})

    def parse(self, question: Question, answer: Any) -> list[dict[str, Any]]:
        if not isinstance(answer, list | tuple) or len(answer) > MAX_SPANS:
            raise UserError(
                f"an answer to {question.name!r} is a list of at most {MAX_SPANS:,} spans, not {answer!r:.60}", _example(question)
            )
        spans = sorted(self._span(question, each, f"span {number}") for number, each in enumerate(answer, start=1))
        for before, after in pairwise(spans):
            if before == after:
                raise UserError(f"the span from {before[0]} to {before[1]} stands twice with {before[2]!r}", "take one out")
            if not question.settings["overlap"] and after[0] < before[1]:
                raise UserError(f"the spans {before[0]}–{before[1]} and {after[0]}–{after[1]} overlap", "shorten one of them")
        return [{"start": start, "end": end, "label": label} for start, end, label in spans]

    def read_form(self, question: Question, fields: Mapping[str, Sequence[str]]) -> Any:
        found = parse_json_field(fields, "spans")
        return [] if found is None else found

    def check(self, question: Question, answer: Any, content: Mapping[str, Any]) -> None:
        length = len(render_content(content))
        for span in answer:
            if span["end"] > length:
                raise UserError(f"the span from {span['start']} to {span['end']} goes beyond the text, which has {length} characters")

    def vote(self, question: Question, answer: Any) -> tuple[tuple[int, int, str], ...]:
        return tuple((span["start"], span["end"], span["label"]) for span in answer)

    def to_consensus_answer(self, question: Question, answer: Any) -> Any:
        return answer

    def possible_votes(self, question: Question) -> None:
        return None

    def answers(self, question: Question) -> tuple[Any, ...]:
        return ComposedConsensus.ANSWERS

    def parse_consensus(self, question: Question, answer: Any) -> list[dict[str, Any]]:
        return self.parse(question, answer)

    def aggregator_options(self, question: Question) -> dict[str, Any]:
        return {"labels": question.options, "overlap": question.settings["overlap"]}

    def _span(self, question: Question, given: Any, what: str) -> tuple[int, int, str]:
        table = parse_table(given, what, "start", "end", "label")
        start, end = parse_span_bounds(table, what)
        label = table.get("label")
        if not isinstance(label, str) or label not in question.options:
            hint = suggest_name(label, question.options) if isinstance(label, str) else ""
            raise UserError(f"{what}: {label!r:.60} is not a label of {question.name!r}{hint}", f"labels: {', '.join(question.options)}")
        return start, end, label


def parse_span_bounds(table: Mapping[str, Any], what: str) -> tuple[int, int]:
    """Return the start and end of a passage; raises UserError, naming it by `what`, unless it holds at least one character."""
    start, end = (parse_whole_number(table.get(edge), f"the {edge} of {what}") for edge in ("start", "end"))
    if start >= end:
        raise UserError(f"{what} ends at {end}, before it has begun at {start}", "the end is the place after the last character")
    return start, end


def _example(question: Question) -> str:
    return f'[{{"start": 0, "end": 5, "label": "{question.options[0]}"}}]'


kinds.register("spans")(SpansKind())
