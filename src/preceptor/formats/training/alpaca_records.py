"""The question of an Alpaca record, as turns and back: system, history, instruction and input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format import Row
from preceptor.formats.training.fields import besides, optional_text, text, wrong
from preceptor.formats.training.turns import Turn, begins_with, plain_text, said, tools_of

_FROM_ELSEWHERE = {"input": "", "system": "", "history": []}


def asked_in(record: Row) -> tuple[list[Turn], dict[str, Any]]:
    """The turns up to the user's last, and what must be noted of the optional fields to write them again."""
    instruction, more = text(record, "instruction"), optional_text(record, "input")
    system, history = optional_text(record, "system"), _history(record.get("history"))
    turns = [said("system", system)] if system else []
    for question, answer in history:
        turns += [said("user", question), said("assistant", answer)]
    filled = {"system": bool(system), "history": bool(history)}
    optional = {name: record[name] for name in _FROM_ELSEWHERE if name in record and not filled.get(name)}
    return [*turns, said("user", "\n".join(part for part in (instruction, more) if part))], optional


def record_of(row: Mapping[str, Any], asked: Sequence[Turn], answer: Mapping[str, str], notes: Mapping[str, Any] | None) -> Row:
    """The record of a question and its answer; UserError for a conversation that Alpaca can't hold."""
    system, turns = begins_with(asked)
    texts = [plain_text(turn, f"turn {number}") for number, turn in enumerate(turns, start=1)]
    for number, turn in enumerate(turns):
        if turn["role"] != ("assistant" if number % 2 else "user"):
            message = f"turn {number + 1} is of the {turn['role']}: questions and answers must take turns, the question first"
            raise UserError(message, "write openai_chat or trl")
    if len(texts) % 2 == 0:
        raise UserError("nothing is asked before the answer", "put the question before it")
    if not all(each.strip() for each in answer.values()):
        raise UserError("an answer is empty", "leave the row out")
    optional = _FROM_ELSEWHERE if notes is None else dict(notes.get("optional") or {})
    filled = {"system": system, "history": [texts[at : at + 2] for at in range(0, len(texts) - 1, 2)]}
    instruction, more = _split(texts[-1], optional.get("input"))
    tools = tools_of(row) if notes is None else None
    if tools:
        raise UserError("the row's tools have no place here: its conversations hold no calls", "write openai_chat, trl or sharegpt")
    return {
        "instruction": instruction,
        **({"input": more} if "input" in optional else {}),
        **answer,
        **{name: value for name, value in optional.items() if name != "input"},
        **{name: value for name, value in filled.items() if value},
        **besides(notes),
    }


def _split(prompt: str, more: Any) -> tuple[str, Any]:
    """Instruction and input of a prompt. It has changed where it doesn't end with the input that was noted, and is all instruction."""
    if not isinstance(more, str) or not more:
        return prompt, more
    if prompt == more:
        return "", more
    return (prompt[: -len(more) - 1], more) if prompt.endswith(f"\n{more}") else (prompt, "")


def _history(value: Any) -> list[list[str]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong("history", "a list of [question, answer]", value)
    for number, pair in enumerate(value):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise wrong(f"history[{number}]", "a question and its answer, two texts", pair)
    return value
