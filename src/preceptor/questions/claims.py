"""Define the kind `claims`: a response's claims, each supported, contradicted or not found in the sources shown."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from preceptor.errors import UserError
from preceptor.questions.field_validation import (
    check_no_options,
    check_setting_names,
    numbered_values,
    parse_json_field,
    parse_table,
    parse_text,
    parse_whole_number,
)
from preceptor.questions.kind import QuestionKind, kinds
from preceptor.questions.spans import parse_span_bounds
from preceptor.types import ComposedConsensus, Question

VERDICTS = ("supported", "contradicted", "not_found")
MAX_CLAIMS = 1_000  # claims in one answer


class ClaimsKind(QuestionKind):
    """A question whose answer is a list of claims, each with a verdict on it.

    A claim has "verdict" (supported, contradicted or not_found), "source" (an index into the sources, or null), and either {"claim": its
    number from 0}, where the item names its claims, each of which needs a verdict; or, where the annotators split the response into claims,
    {"start", "end"} (code points of the response, the end exclusive) or {"claim": a text}. Settings: none.
    """

    level = "claims"
    aggregator = "claims"
    needs_item = True

    def define(self, question: Question) -> Question:
        check_setting_names(question)
        check_no_options(question)
        return question

    def parse(self, question: Question, answer: Any) -> list[dict[str, Any]]:
        if not isinstance(answer, list | tuple) or len(answer) > MAX_CLAIMS:
            raise UserError(
                f"an answer to {question.name!r} is a list of at most {MAX_CLAIMS:,} claims, not {answer!r:.60}",
                '[{"claim": 0, "verdict": "supported", "source": 1}]',
            )
        claims = [_parse_claim(each, f"claim {number}") for number, each in enumerate(answer, start=1)]
        names = [_claim_key(claim) for claim in claims]
        if len(set(map(type, names))) > 1:
            raise UserError("claims are all numbers, all passages or all texts", "name them in one way")
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"claim {twice[0]!r:.60} stands twice", "take one out")
        return claims if any(isinstance(name, str) for name in names) else sorted(claims, key=_claim_key)

    def read_form(self, question: Question, fields: Mapping[str, Sequence[str]]) -> Any:
        if (split := parse_json_field(fields, "claims")) is not None:
            return split
        verdicts, sources = numbered_values(fields, "verdict"), numbered_values(fields, "source")
        return [{"claim": number, "verdict": verdict, "source": sources.get(number)} for number, verdict in verdicts.items() if verdict]

    def check(self, question: Question, answer: Any, content: Mapping[str, Any]) -> None:
        named = content.get("claims")
        if named is not None:
            _check_all_marked([_claim_key(claim) for claim in answer], len(named))
        else:
            _check_inside(answer, response_text(content))
        sources = len(content.get("sources") or ())
        for claim in answer:
            if claim["source"] is not None and claim["source"] >= sources:
                raise UserError(f"there is no source {claim['source']}: the item has {sources}", "sources count from 0")

    def vote(self, question: Question, answer: Any) -> tuple[tuple[Hashable, str], ...]:
        return tuple((_claim_key(claim), claim["verdict"]) for claim in answer)

    def to_consensus_answer(self, question: Question, answer: Any) -> Any:
        return answer

    def possible_votes(self, question: Question) -> None:
        return None

    def answers(self, question: Question) -> tuple[Any, ...]:
        return ComposedConsensus.ANSWERS

    def parse_consensus(self, question: Question, answer: Any) -> list[dict[str, Any]]:
        return self.parse(question, answer)

    def aggregator_options(self, question: Question) -> dict[str, Any]:
        return {"verdicts": VERDICTS}


def response_text(content: Mapping[str, Any]) -> str:
    """Return the text whose claims are checked: the completion, else the text."""
    return str(content.get("completion", content.get("text", "")))


def _parse_claim(given: Any, what: str) -> dict[str, Any]:
    table = parse_table(given, what, "claim", "start", "end", "verdict", "source")
    verdict, source = table.get("verdict"), table.get("source")
    if not isinstance(verdict, str) or verdict not in VERDICTS:
        message = f"{what} has no verdict" if verdict in (None, "") else f"{what}: {verdict!r:.60} is no verdict"
        raise UserError(message, f"one of {', '.join(VERDICTS)}")
    found = {"verdict": verdict, "source": None if source in (None, "") else parse_whole_number(source, f"the source of {what}")}
    claim = table.get("claim")
    if claim is None:
        start, end = parse_span_bounds(table, what)
        return {"start": start, "end": end, **found}
    if "start" in table or "end" in table:
        raise UserError(f"{what} is named twice", "give a claim, or start and end")
    if not isinstance(claim, str):
        return {"claim": parse_whole_number(claim, f"the number of {what}"), **found}
    if not parse_text(claim, what).strip():
        raise UserError(f"{what} is empty", "take it out")
    return {"claim": claim.strip(), **found}


def _claim_key(claim: Mapping[str, Any]) -> Any:
    """Return what identifies a claim among the others of an answer: its number, its text, or (start, end)."""
    return claim["claim"] if "claim" in claim else (claim["start"], claim["end"])


def _check_all_marked(names: Sequence[Any], count: int) -> None:
    if names and not isinstance(names[0], int):
        raise UserError("the item names its claims, which aren't split anew", '{"claim": 0, "verdict": …} for each of them')
    if beyond := [name for name in names if name >= count]:
        raise UserError(f"there is no claim {beyond[0]}: the item has {count}", "claims count from 0")
    if missing := sorted(set(range(count)) - set(names)):
        raise UserError(f"claim {missing[0] + 1} of {count} has no verdict", f"one of {', '.join(VERDICTS)}")


def _check_inside(answer: Sequence[Mapping[str, Any]], response: str) -> None:
    for claim in answer:
        if isinstance(claim.get("claim"), int):
            raise UserError(
                f"there is no claim {claim['claim']}: the item doesn't name its claims", "give start and end, or the claim's text"
            )
        if claim.get("end", 0) > len(response):
            message = f"the claim from {claim['start']} to {claim['end']} goes beyond the response, which has {len(response)} characters"
            raise UserError(message)


kinds.register("claims")(ClaimsKind())
