"""Read and write ShareGPT as LLaMA-Factory reads it: {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}.

Beside it are `system` and `tools` (JSON text); with `chosen` and `rejected`, each one answer, it is a preference. Read, a conversation is
`messages`, its calls as `tool_calls`; a preference's answers are `responses` with a judgment of "preferred". How calls were written, where
the system's text was, and other columns are kept under `metadata["sharegpt"]`.

A tool call is JSON text in the value of `function_call`, its result the value of `observation`. Questions and results are at odd places,
answers and calls at even ones: of a conversation that breaks this, LLaMA-Factory makes an empty row and goes on, so it is refused here. A
conversation with an answer of weight 0 is refused too, since LLaMA-Factory trains on all answers (unless run with mask_history). Written
from other sources, each row has system and tools, if empty ones. A record with a boolean `kto_tag` or `label` is in the format kto.
Canonical: one record a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.json_format import peek_first_record
from preceptor.formats.training.messages import ChatMessage, get_tools, make_message, message_text, parse_arguments, split_system_messages
from preceptor.formats.training.records import (
    field_error,
    format_notes,
    id_and_group,
    noted_columns,
    object_list_field,
    optional_text_field,
    read_training_rows,
    text_field,
    unknown_fields,
    unless_interchange,
    write_by_suffix,
)
from preceptor.formats.training.training_examples import input_messages, make_training_example, preference_content, preference_pairs

_SHAREGPT_ROLES = {"system": "system", "human": "user", "gpt": "assistant", "observation": "tool", "function_call": "assistant"}
_SHAREGPT_NAMES = {"user": "human", "assistant": "gpt", "tool": "observation", "function": "observation"}
_PROMPT_ROLES, _ANSWER_ROLES = ("user", "tool", "function"), ("assistant",)
_EMPTIES_HINT = "LLaMA-Factory would empty such a row without an error"


def _messages_from_conversation(record: Mapping[str, Any], field: str) -> tuple[list[ChatMessage], dict[str, str]]:
    """Return the messages of a conversation, and, by their places, the values of calls that were written differently than here."""
    turns: list[ChatMessage] = []
    otherwise: dict[str, str] = {}
    for number, each in enumerate(object_list_field(record, field)):
        turn = _message_from_turn(each, f"{field}[{number}]", number)
        if turn["role"] == "tool" and (call := _preceding_call_id(turns)):
            turn["tool_call_id"] = call
        if "tool_calls" in turn and _message_value(turn, number) != each["value"]:
            otherwise[str(number)] = each["value"]
        turns.append(turn)
    return turns, otherwise


def _message_from_turn(each: Mapping[str, Any], place: str, number: int = 0) -> ChatMessage:
    """Return one {"from", "value"} as a message."""
    who, value = each.get("from"), each.get("value")
    if not isinstance(who, str) or who not in _SHAREGPT_ROLES:
        raise field_error(f"{place}.from", f"one of {', '.join(_SHAREGPT_ROLES)}", who, _EMPTIES_HINT)
    if not isinstance(value, str):
        raise field_error(f"{place}.value", "a text", value)
    if who != "function_call":
        return make_message(_SHAREGPT_ROLES[who], value)
    return {"role": "assistant", "content": None, "tool_calls": _parse_calls(value, place, number)}


def check_alternation(turns: Sequence[Mapping[str, Any]], *, answered: bool) -> None:
    """Raise UserError unless the turns after the system's alternate, and end with an answer (`answered`) or with a question."""
    first = next((number for number, turn in enumerate(turns) if turn["role"] not in ("system", "developer")), len(turns))
    for number, turn in enumerate(turns[first:]):
        if turn["role"] not in (_ANSWER_ROLES if number % 2 else _PROMPT_ROLES):
            wanted = "an answer or a call" if number % 2 else "a question or a result"
            raise UserError(
                f"turn {first + number + 1} is of the {turn['role']}, where {wanted} must stand; {_EMPTIES_HINT}", "mend its turns"
            )
    if (len(turns) - first) % 2 == answered or len(turns) == first:
        wanted = "an answer" if answered else "a question"
        raise UserError(f"the conversation doesn't end with {wanted}; {_EMPTIES_HINT}", "take the last turn out, or complete it")


def _conversation_from_messages(turns: Sequence[ChatMessage], otherwise: Mapping[str, str]) -> list[FileRow]:
    """Return messages as {"from", "value"}. otherwise: values of calls as they were, by their places."""
    found = []
    for number, turn in enumerate(turns):
        came = otherwise.get(str(number))
        value = _message_value(turn, number)
        if isinstance(came, str) and _same_calls(came, value):
            value = came
        who = "function_call" if turn.get("tool_calls") else _SHAREGPT_NAMES.get(turn["role"], "system")
        found.append({"from": who, "value": value})
    return found


def _split_system_text(turns: Sequence[ChatMessage], inside: bool) -> tuple[str, Sequence[ChatMessage]]:
    """Return the system's text for a field of its own, and the turns that stay in the conversation."""
    return ("", turns) if inside else split_system_messages(turns)


def _message_value(turn: ChatMessage, number: int) -> str:
    """Return the text of a message; of a call, the JSON text of its functions."""
    if not turn.get("tool_calls"):
        return message_text(turn, f"turn {number + 1}")
    if turn.get("content"):
        raise UserError(f"turn {number + 1} speaks and calls tools, and here a turn does one of both", "write openai_chat or trl")
    functions = [_function(call["function"]) for call in turn["tool_calls"]]
    return json.dumps(functions[0] if len(functions) == 1 else functions, ensure_ascii=False)


def _function(function: Mapping[str, Any]) -> dict[str, Any]:
    arguments = function.get("arguments", "")
    return {"name": function["name"], "arguments": parse_arguments(arguments) if isinstance(arguments, str) else arguments}


def _parse_calls(value: str, place: str, number: int) -> list[dict[str, Any]]:
    calls = _parse_json(value)
    calls = calls if isinstance(calls, list) else [calls]
    if not calls or not all(isinstance(each, dict) and isinstance(each.get("name"), str) and _are_arguments(each) for each in calls):
        raise field_error(
            f"{place}.value", "the JSON text of calls, each with name and arguments", value, "LLaMA-Factory stops at such a call"
        )
    return [
        {"id": f"call_{number}_{at}", "type": "function", "function": {"name": each["name"], "arguments": _dump_json(each["arguments"])}}
        for at, each in enumerate(calls)
    ]


def _are_arguments(call: Mapping[str, Any]) -> bool:
    return isinstance(call.get("arguments"), dict)


def _dump_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _parse_json(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _same_calls(came: str, value: str) -> bool:
    """Return whether two texts of calls mean the same."""
    one, other = _parse_json(came), _parse_json(value)
    single = one[0] if isinstance(one, list) and len(one) == 1 else one
    return single is not None and single == other


def _preceding_call_id(turns: Sequence[ChatMessage]) -> str | None:
    """Return the id of the call that a result answers."""
    calls = turns[-1].get("tool_calls") if turns else None
    return str(calls[0]["id"]) if calls else None


def _answer_value(record: Mapping[str, Any], field: str) -> str:
    """Return the value of the one {"from", "value"} in a field, which must be an answer."""
    given = record.get(field)
    if not isinstance(given, dict):
        raise field_error(field, 'an answer, {"from": "gpt", "value": "…"}', given)
    if given.get("from") not in ("gpt", "function_call"):
        raise field_error(f"{field}.from", "gpt or function_call", given.get("from"), _EMPTIES_HINT)
    return text_field(given, "value")


NAME = "sharegpt"
_FIELDS = frozenset(("conversations", "system"))
_RANKED = ("chosen", "rejected")
_DEFAULT_FIELDS = {"system": "", "tools": ""}  # a column that begins far down in a file stops the loader


@unless_interchange
def _sniff(opening: bytes) -> bool:
    seen = peek_first_record(opening)
    if not seen.has("conversations") or seen.has("kto_tag") or isinstance(seen.fields.get("label"), bool):
        return False
    turns = seen.fields["conversations"]
    return not seen.is_complete or (isinstance(turns, list) and bool(turns) and isinstance(turns[0], dict) and "from" in turns[0])


def _read(source: FormatSource) -> Iterator[FileRow]:
    return read_training_rows(source, _to_row)


def _to_row(record: FileRow) -> FileRow:
    ranking = any(field in record for field in _RANKED)
    turns, notes = read_conversation(record)
    check_alternation(turns, answered=not ranking)
    notes |= unknown_fields(record, _FIELDS | set(_RANKED) if ranking else _FIELDS)
    content: FileRow = {"messages": turns}
    if ranking:
        content |= preference_content(*(_answer_value(record, field) for field in _RANKED))
        if any(record[field] != {"from": "gpt", "value": record[field]["value"]} for field in _RANKED):
            notes["outputs"] = [record[field] for field in _RANKED]
    return {**id_and_group(record), **content, "metadata": {NAME: notes}}


def read_conversation(record: FileRow) -> tuple[list[ChatMessage], dict[str, Any]]:
    """Return the messages of a record, the system's first, and what must be noted to write it again."""
    turns, otherwise = _messages_from_conversation(record, "conversations")
    system = optional_text_field(record, "system")
    notes: dict[str, Any] = {"system": "inside"} if turns[0]["role"] == "system" else {}
    if "system" in record and not (system and not notes):
        notes["optional"] = {"system": record["system"]}  # LLaMA-Factory ignores it, or it is empty
    if system and not notes:
        turns = [make_message("system", system), *turns]
        notes["system"] = "beside"
    return turns, {**notes, **({"calls": otherwise} if otherwise else {})}


def make_sharegpt_record(row: Mapping[str, Any], turns: list[ChatMessage], notes: Mapping[str, Any] | None) -> FileRow:
    """Return a record with the conversation, the system's text, and the tools of a row.

    turns: the messages of the conversation. notes: those that ShareGPT made when the row was read, None for rows from other sources.
    """
    system, kept = _split_system_text(turns, (notes or {}).get("system") == "inside")
    calls = (notes or {}).get("calls")
    conversation = _conversation_from_messages(kept, calls if isinstance(calls, dict) else {})
    tools = get_tools(row) if notes is None else None
    return {
        "conversations": conversation,
        **(_DEFAULT_FIELDS if notes is None else dict(notes.get("optional") or {})),
        **({"system": system} if system else {}),
        **({"tools": json.dumps(_bare_functions(tools), ensure_ascii=False)} if tools else {}),
        **noted_columns(notes),
    }


def _write(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    return write_by_suffix(rows, target, _records, usual=".jsonl")


def _records(row: Mapping[str, Any]) -> Iterator[FileRow]:
    notes = format_notes(row, NAME)
    if "responses" in row:
        asked = input_messages(row)
        check_alternation(asked, answered=False)
        for better, worse in preference_pairs(row):
            outputs = [_answer_turn(text, notes) for text in (better, worse)]
            yield {**make_sharegpt_record(row, asked, notes), **dict(zip(_RANKED, outputs, strict=True))}
        return
    learnt = make_training_example(row)
    if learnt.has_untrained_answer:
        message = "an answer in the conversation weighs nothing, and LLaMA-Factory learns all answers"
        raise UserError(message, "write openai_chat or trl, which can leave it out")
    check_alternation(learnt.turns, answered=True)
    yield make_sharegpt_record(row, learnt.turns, notes)


def _answer_turn(text: str, notes: Mapping[str, Any] | None) -> FileRow:
    for output in (notes or {}).get("outputs") or []:
        if output.get("value") == text:
            return dict(output)
    if not text.strip():
        raise UserError("a response is empty", "leave the row out")
    return {"from": "gpt", "value": text}


def _bare_functions(tools: list[Any]) -> list[Any]:
    """Return tools as LLaMA-Factory has them: the functions themselves."""
    return [tool["function"] if isinstance(tool, dict) and isinstance(tool.get("function"), dict) else tool for tool in tools]


formats.register(NAME)(FileFormat(NAME, (), _sniff, _read, _write, by_shape=True))
