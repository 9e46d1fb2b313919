"""Check and convert messages, the turns of a conversation as chat trainers have them: {"role", "content", …}."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.training.records import field_error, object_list_field

ChatMessage = dict[str, Any]
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
SYSTEM_ROLES = ("system", "developer")


def parse_messages(record: Mapping[str, Any], field: str) -> list[ChatMessage]:
    """Return the messages in a field, unchanged.

    Raises UserError unless each has a known role and a content that this role may have.
    """
    turns = object_list_field(record, field)
    for number, turn in enumerate(turns):
        _check_message(turn, f"{field}[{number}]")
    return turns


def is_plain_message(turn: Mapping[str, Any], role: str) -> bool:
    """Return whether a message has this role and one text, and nothing else."""
    return turn.keys() == {"role", "content"} and turn["role"] == role and isinstance(turn["content"], str)


def make_message(role: str, content: str) -> ChatMessage:
    """Return a plain message."""
    return {"role": role, "content": content}


def drop_weight(turn: Mapping[str, Any]) -> ChatMessage:
    """Return a message without its weight, for formats that have none."""
    return {name: value for name, value in turn.items() if name != "weight"}


def convert_arguments(turn: Mapping[str, Any], *, as_text: bool) -> ChatMessage:
    """Return a message whose tool calls have their arguments as JSON text, for services, or as values, for chat templates."""
    calls = turn.get("tool_calls")
    if not isinstance(calls, list):
        return dict(turn)
    return {**turn, "tool_calls": [_convert_call(call, as_text) for call in calls]}


def link_tool_calls(turns: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Return messages whose tool calls and results name each other, as services require: in order, where they don't do so already.

    Raises UserError for a result without a call.
    """
    found, unanswered = [], list[Any]()
    for number, turn in enumerate(turns):
        if calls := turn.get("tool_calls"):
            turn = {**turn, "tool_calls": [{"id": f"call_{number}_{at}", "type": "function", **call} for at, call in enumerate(calls)]}
            unanswered = [call["id"] for call in turn["tool_calls"]]
        elif turn["role"] == "tool" and turn.get("tool_call_id") is None:
            if not unanswered:
                raise UserError(f"turn {number + 1} is the result of no call", "put the call before it")
            turn = {**turn, "tool_call_id": unanswered[0]}
        unanswered = [call for call in unanswered if call != turn.get("tool_call_id")]
        found.append(turn)
    return found


def get_tools(row: Mapping[str, Any]) -> list[Any] | None:
    """Return the tools that a row's conversation may call, whichever format it is from; None without any."""
    for holder in (row, *_noted_tables(row)):
        tools = holder.get("tools")
        if isinstance(tools, str) and tools.strip():
            try:
                tools = json.loads(tools)
            except (ValueError, RecursionError):
                raise field_error("tools", "JSON", tools) from None
        if isinstance(tools, list) and tools:
            return [_normalize_tool(tool) for tool in tools]
    return None


def message_text(turn: Mapping[str, Any], what: str) -> str:
    """Return the text of a message, for formats whose messages hold nothing else; raises UserError that names it by `what`."""
    content = turn.get("content")
    if turn.get("tool_calls") or turn.get("function_call"):
        raise UserError(f"{what} calls a tool, which this format has no place for", "write openai_chat, trl or sharegpt")
    if not isinstance(content, str):
        raise UserError(f"{what} holds {'no text' if content is None else 'more than a text'}", "this format takes texts only")
    return content


def split_system_messages(turns: Sequence[ChatMessage]) -> tuple[str, Sequence[ChatMessage]]:
    """Split off the system's text before a conversation (of several messages, joined by blank lines); return it and the rest."""
    count = next((number for number, turn in enumerate(turns) if turn.get("role") not in SYSTEM_ROLES), len(turns))
    words = [message_text(turn, f"turn {number}") for number, turn in enumerate(turns[:count], start=1)]
    return "\n\n".join(words), turns[count:]


def _check_message(turn: ChatMessage, place: str) -> None:
    role = turn.get("role")
    if role not in ROLES:
        raise field_error(f"{place}.role", f"one of {', '.join(ROLES)}", role)
    calls = bool(turn.get("tool_calls") or turn.get("function_call"))
    _check_content(turn.get("content"), role == "assistant" and calls, f"{place}.content")
    if "weight" in turn and (role != "assistant" or isinstance(turn["weight"], bool) or turn["weight"] not in (0, 1)):
        raise UserError(f"{place}.weight: {turn['weight']!r:.60} of the {role}", "only turns of the assistant have one, 0 or 1")
    if turn.get("tool_calls"):
        for number, call in enumerate(object_list_field(turn, "tool_calls")):
            _check_call(call.get("function"), f"{place}.tool_calls[{number}].function")
    if turn.get("function_call"):
        _check_call(turn["function_call"], f"{place}.function_call")


def _check_content(content: Any, may_lack: bool, place: str) -> None:
    if isinstance(content, str) or (content is None and may_lack):
        return
    if isinstance(content, list) and content and all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content):
        return
    raise field_error(place, "a text, or parts that each have a type", content)


def _check_call(function: Any, place: str) -> None:
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise field_error(place, "an object with a name", function)
    if not isinstance(function.get("arguments", ""), str | dict):
        raise field_error(f"{place}.arguments", "JSON text, or an object", function["arguments"])


def _convert_call(call: Mapping[str, Any], as_text: bool) -> dict[str, Any]:
    function = dict(call["function"])
    arguments = function.get("arguments")
    if as_text and isinstance(arguments, dict):
        function["arguments"] = json.dumps(arguments, ensure_ascii=False)
    if not as_text and isinstance(arguments, str):
        function["arguments"] = parse_arguments(arguments)
    return {**call, "function": function}


def parse_arguments(text: str) -> dict[str, Any]:
    """Return the arguments of a tool call from their JSON text; raises UserError where it isn't that of an object."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise field_error("the arguments of a call", "the JSON text of an object", text)
    return value


def _normalize_tool(tool: Any) -> Any:
    """Return a tool as services and templates have it; LLaMA-Factory's are the functions alone."""
    bare = isinstance(tool, dict) and "name" in tool and "function" not in tool
    return {"type": "function", "function": tool} if bare else tool


def _noted_tables(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return all places where a format may have kept tools."""
    metadata = row.get("metadata")
    noted = [value for value in metadata.values() if isinstance(value, Mapping)] if isinstance(metadata, Mapping) else []
    inner = [value for note in noted for value in (note.get("columns"), note.get("input")) if isinstance(value, Mapping)]
    return [*([metadata] if isinstance(metadata, Mapping) else []), *inner]
