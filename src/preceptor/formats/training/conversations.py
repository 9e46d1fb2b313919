"""Conversations as ShareGPT has them, {"from", "value"}: as turns and back, by the rules of LLaMA-Factory.

A call of tools is JSON text in the value of `function_call`, its result the value of `observation`. Questions and results stand
at odd places, answers and calls at even ones: of a conversation that doesn't keep to it, LLaMA-Factory makes an empty row and goes
on, so it is refused here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format import Row
from preceptor.formats.training.fields import objects, text, wrong
from preceptor.formats.training.turns import Turn, arguments_of, begins_with, plain_text, said

ROLES = {"system": "system", "human": "user", "gpt": "assistant", "observation": "tool", "function_call": "assistant"}
_NAMES = {"user": "human", "assistant": "gpt", "tool": "observation", "function": "observation"}
_ASK, _SAY = ("user", "tool", "function"), ("assistant",)
_EMPTIES = "LLaMA-Factory would empty such a row without an error"


def turns_in(record: Mapping[str, Any], field: str) -> tuple[list[Turn], dict[str, str]]:
    """The turns of a conversation, and the values of calls that were written in another way than here, by their places."""
    turns: list[Turn] = []
    otherwise: dict[str, str] = {}
    for number, each in enumerate(objects(record, field)):
        turn = turn_from(each, f"{field}[{number}]", number)
        if turn["role"] == "tool" and (call := _call_before(turns)):
            turn["tool_call_id"] = call
        if "tool_calls" in turn and value_of(turn, number) != each["value"]:
            otherwise[str(number)] = each["value"]
        turns.append(turn)
    return turns, otherwise


def turn_from(each: Mapping[str, Any], place: str, number: int = 0) -> Turn:
    """One {"from", "value"} as a turn."""
    who, value = each.get("from"), each.get("value")
    if not isinstance(who, str) or who not in ROLES:
        raise wrong(f"{place}.from", f"one of {', '.join(ROLES)}", who, _EMPTIES)
    if not isinstance(value, str):
        raise wrong(f"{place}.value", "a text", value)
    if who != "function_call":
        return said(ROLES[who], value)
    return {"role": "assistant", "content": None, "tool_calls": _calls(value, place, number)}


def check_order(turns: Sequence[Mapping[str, Any]], *, answered: bool) -> None:
    """UserError unless turns after the system's alternate, and end with an answer, or with a question."""
    first = next((number for number, turn in enumerate(turns) if turn["role"] not in ("system", "developer")), len(turns))
    for number, turn in enumerate(turns[first:]):
        if turn["role"] not in (_SAY if number % 2 else _ASK):
            wanted = "an answer or a call" if number % 2 else "a question or a result"
            raise UserError(f"turn {first + number + 1} is of the {turn['role']}, where {wanted} must stand; {_EMPTIES}", "mend its turns")
    if (len(turns) - first) % 2 == answered or len(turns) == first:
        wanted = "an answer" if answered else "a question"
        raise UserError(f"the conversation doesn't end with {wanted}; {_EMPTIES}", "take the last turn out, or complete it")


def conversation_of(turns: Sequence[Turn], otherwise: Mapping[str, str]) -> list[Row]:
    """Turns as {"from", "value"}. otherwise: values of calls as they came, by their places."""
    found = []
    for number, turn in enumerate(turns):
        came = otherwise.get(str(number))
        value = value_of(turn, number)
        if isinstance(came, str) and _same_calls(came, value):
            value = came
        who = "function_call" if turn.get("tool_calls") else _NAMES.get(turn["role"], "system")
        found.append({"from": who, "value": value})
    return found


def split_system(turns: Sequence[Turn], inside: bool) -> tuple[str, Sequence[Turn]]:
    """The system's words for a field of their own, and the turns that stay in the conversation."""
    return ("", turns) if inside else begins_with(turns)


def value_of(turn: Turn, number: int) -> str:
    """What a turn says; of a call, the JSON text of its functions."""
    if not turn.get("tool_calls"):
        return plain_text(turn, f"turn {number + 1}")
    if turn.get("content"):
        raise UserError(f"turn {number + 1} speaks and calls tools, and here a turn does one of both", "write openai_chat or trl")
    functions = [_function(call["function"]) for call in turn["tool_calls"]]
    return json.dumps(functions[0] if len(functions) == 1 else functions, ensure_ascii=False)


def _function(function: Mapping[str, Any]) -> dict[str, Any]:
    arguments = function.get("arguments", "")
    return {"name": function["name"], "arguments": arguments_of(arguments) if isinstance(arguments, str) else arguments}


def _calls(value: str, place: str, number: int) -> list[dict[str, Any]]:
    calls = _json(value)
    calls = calls if isinstance(calls, list) else [calls]
    if not calls or not all(isinstance(each, dict) and isinstance(each.get("name"), str) and _are_arguments(each) for each in calls):
        raise wrong(f"{place}.value", "the JSON text of calls, each with name and arguments", value, "LLaMA-Factory stops at such a call")
    return [
        {"id": f"call_{number}_{at}", "type": "function", "function": {"name": each["name"], "arguments": _dumped(each["arguments"])}}
        for at, each in enumerate(calls)
    ]


def _are_arguments(call: Mapping[str, Any]) -> bool:
    return isinstance(call.get("arguments"), dict)


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _json(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _same_calls(came: str, value: str) -> bool:
    """Whether two texts of calls say the same."""
    one, other = _json(came), _json(value)
    single = one[0] if isinstance(one, list) and len(one) == 1 else one
    return single is not None and single == other


def _call_before(turns: Sequence[Turn]) -> str | None:
    """The id of the call that a result answers."""
    calls = turns[-1].get("tool_calls") if turns else None
    return str(calls[0]["id"]) if calls else None


def text_field(record: Mapping[str, Any], field: str) -> str:
    """The value of the one {"from", "value"} in a field, which must be an answer."""
    given = record.get(field)
    if not isinstance(given, dict):
        raise wrong(field, 'an answer, {"from": "gpt", "value": "…"}', given)
    if given.get("from") not in ("gpt", "function_call"):
        raise wrong(f"{field}.from", "gpt or function_call", given.get("from"), _EMPTIES)
    return text(given, "value")
