"""Define the kind `rank`: all responses from best to worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from preceptor.errors import UserError
from preceptor.questions.field_validation import (
    check_no_options,
    check_setting_names,
    integer_setting,
    item_responses,
    numbered_values,
    parse_order,
    parse_table,
    parse_whole_number,
    single_value,
)
from preceptor.questions.kind import QuestionKind, kinds
from preceptor.types import ComposedConsensus, Question


class RankKind(QuestionKind):
    """A question whose answer is an order of the item's responses.

    The answer is {"order": indices into the item's responses, best first, "shown": the indices as shown or null}. Also accepted: the order
    alone, and {"places": the place from 1 of each response}. Settings: `responses` (3).
    """

    level = "ranks"
    aggregator = "rank"
    needs_item = True

    def define(self, question: Question) -> Question:
        check_setting_names(question, "responses")
        check_no_options(question)
        return replace(question, settings={"responses": integer_setting(question, "responses", 3, least=2, most=10)})

    def parse(self, question: Question, answer: Any) -> dict[str, Any]:
        if isinstance(answer, list | tuple):
            answer = {"order": answer}
        given = parse_table(answer, f"an answer to {question.name!r}", "order", "shown", "places")
        count = question.settings["responses"]
        order = (
            _order_from_places(given["places"], count)
            if given.get("places") is not None
            else parse_order(given.get("order"), count, "order")
        )
        if order is None:
            raise UserError("there is no order", f'{{"order": {list(range(count))}}}, best first')
        return {"order": order, "shown": parse_order(given.get("shown"), count, "shown")}

    def read_form(self, question: Question, fields: Mapping[str, Sequence[str]]) -> Any:
        places = numbered_values(fields, "place")
        return {"places": [places.get(k, "") for k in range(question.settings["responses"])], "shown": single_value(fields, "shown")}

    def check(self, question: Question, answer: Any, content: Mapping[str, Any]) -> None:
        item_responses(content, question.settings["responses"])

    def vote(self, question: Question, answer: Any) -> tuple[int, ...]:
        return tuple(answer["order"])

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


def _order_from_places(places: Any, count: int) -> list[int]:
    """Return the order that the places (of each response, from 1) give; raises UserError for a place that is missing or given twice."""
    if not isinstance(places, list | tuple) or len(places) != count:
        raise UserError(f"places must be a list of {count} places, one a response, not {places!r:.60}")
    holders: dict[int, int] = {}
    for response, given in enumerate(places):
        if given is None or given == "":
            raise UserError(f"response {response + 1} has no place", f"give each response a place from 1 to {count}")
        place = parse_whole_number(given, f"the place of response {response + 1}")
        if not 1 <= place <= count:
            raise UserError(f"response {response + 1} has place {place}", f"places go from 1 to {count}")
        if place in holders:
            raise UserError(
                f"place {place} is given twice, to responses {holders[place] + 1} and {response + 1}",
                "give each response a place of its own",
            )
        holders[place] = response
    return [holders[place] for place in range(1, count + 1)]


kinds.register("rank")(RankKind())
