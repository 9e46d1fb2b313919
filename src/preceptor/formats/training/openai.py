"""Read and write the files of OpenAI's fine-tuning: chats (`openai_chat`), and preferences for DPO (`openai_preference`).

A chat file has {"messages": […]} on each line, with `tools` and `parallel_tool_calls` beside it. Read, the messages become the item's,
unchanged: tool calls, names and weights stay in them. What else the record holds is kept under `metadata["openai_chat"]`. Written, an
answer that isn't trained on has weight 0, calls have their arguments as JSON text, and results name their calls; tools are a list, which
other programs write as JSON text. Such a file can't hold who judged, and how certain the consensus is.

A preference file, which Together and Fireworks accept too, has

    {"input": {"messages": […]}, "preferred_output": [one answer], "non_preferred_output": [one answer]}

Read, the input is a `prompt` where it is one turn of the user, else `messages`; the outputs are `responses`, the preferred first, with a
judgment of the question "preferred". The older names `preferred_completion` and `non_preferred_completion` are read too. Written, the best
response is preferred to each of the others, one record for each; a correction is preferred to what it corrects. A tie can't be held.

Canonical: one record a line, the newer names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.json_format import peek_first_record
from preceptor.formats.training.messages import (
    ROLES,
    ChatMessage,
    convert_arguments,
    drop_weight,
    get_tools,
    link_tool_calls,
    make_message,
    parse_messages,
)
from preceptor.formats.training.records import (
    COLUMNS_NOTE,
    boolean_field,
    field_error,
    format_notes,
    id_and_group,
    noted_columns,
    object_list_field,
    read_training_rows,
    unknown_fields,
    unless_interchange,
    write_record_lines,
)
from preceptor.formats.training.training_examples import (
    TrainingExample,
    input_messages,
    make_training_example,
    preference_content,
    preference_pairs,
    prompt_content,
)

_CHAT_FORMAT = "openai_chat"
_CHAT_FIELDS = frozenset(("messages",))
_EXTRA_CHAT_FIELDS = frozenset(("tools", "parallel_tool_calls", "functions", "function_call"))


@unless_interchange
def _sniff_chat(opening: bytes) -> bool:
    seen = peek_first_record(opening)
    if not seen.has("messages") or not seen.fields.keys() <= _CHAT_FIELDS | _EXTRA_CHAT_FIELDS:
        return False
    turns = seen.fields["messages"]
    if not seen.is_complete:
        return True
    return isinstance(turns, list) and bool(turns) and all(isinstance(turn, dict) and turn.get("role") in ROLES for turn in turns)


def _read_chat(source: FormatSource) -> Iterator[FileRow]:
    return read_training_rows(source, _chat_row)


def _chat_row(record: FileRow) -> FileRow:
    turns = parse_messages(record, "messages")
    for field in ("tools", "functions"):
        if record.get(field) and not isinstance(record[field], str):
            object_list_field(record, field)
    if record.get("parallel_tool_calls") is not None:
        boolean_field(record, "parallel_tool_calls")
    kept = unknown_fields(record, _CHAT_FIELDS)
    return {**id_and_group(record), "messages": turns, **({"metadata": {_CHAT_FORMAT: kept}} if kept else {})}


def _write_chat(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    return write_record_lines(rows, target, lambda row: [_chat_record(row)])


def _chat_record(row: Mapping[str, Any]) -> FileRow:
    taught = make_training_example(row)
    beside = noted_columns(format_notes(row, _CHAT_FORMAT))
    tools = get_tools(row) if not isinstance(beside.get("tools"), list) else None
    return {"messages": _openai_messages(taught), **beside, **({"tools": tools} if tools else {})}


def _openai_messages(taught: TrainingExample) -> list[ChatMessage]:
    """Return the messages as OpenAI takes them: it trains on answers unless they have weight 0."""
    return [
        convert_arguments(
            {**turn, "weight": 0} if turn["role"] == "assistant" and place not in taught.trained_turns else turn, as_text=True
        )
        for place, turn in enumerate(link_tool_calls(taught.turns))
    ]


formats.register(_CHAT_FORMAT)(FileFormat(_CHAT_FORMAT, (), _sniff_chat, _read_chat, _write_chat, by_shape=True))

_PREFERENCE_FORMAT = "openai_preference"
_OUTPUT_FIELDS = ("preferred_output", "non_preferred_output")
_OLD_OUTPUT_FIELDS = ("preferred_completion", "non_preferred_completion")


@unless_interchange
def _sniff_preference(opening: bytes) -> bool:
    seen = peek_first_record(opening)
    return seen.has("input", *_OUTPUT_FIELDS) or seen.has("input", *_OLD_OUTPUT_FIELDS)


def _read_preference(source: FormatSource) -> Iterator[FileRow]:
    return read_training_rows(source, _preference_row)


def _preference_row(record: FileRow) -> FileRow:
    names = _OLD_OUTPUT_FIELDS if _OLD_OUTPUT_FIELDS[0] in record else _OUTPUT_FIELDS
    asked = record.get("input")
    if not isinstance(asked, dict):
        raise field_error("input", 'an object, {"messages": […]}', asked)
    turns = parse_messages(asked, "messages")
    if asked.get("tools"):
        object_list_field(asked, "tools")
    if asked.get("parallel_tool_calls") is not None:
        boolean_field(asked, "parallel_tool_calls")
    outputs = [parse_messages(record, name) for name in names]
    answers = [_single_answer(output, name) for output, name in zip(outputs, names, strict=True)]
    kept = {
        "input": {name: value for name, value in asked.items() if name != "messages"},
        COLUMNS_NOTE: {name: value for name, value in record.items() if name not in ("input", *names)},
        "outputs": outputs if any(output[0].keys() != {"role", "content"} for output in outputs) else [],
    }
    notes = {name: value for name, value in kept.items() if value}
    return {
        **id_and_group(record),
        **prompt_content(turns),
        **preference_content(*answers),
        **({"metadata": {_PREFERENCE_FORMAT: notes}} if notes else {}),
    }


def _single_answer(output: list[dict[str, Any]], name: str) -> str:
    if len(output) != 1 or output[0]["role"] != "assistant":
        raise UserError(f"{name} must be one message of the assistant", "a preference is between two last answers")
    if not isinstance(output[0].get("content"), str):
        raise field_error(f"{name}[0].content", "a text", output[0].get("content"))
    return str(output[0]["content"])


def _write_preference(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    return write_record_lines(rows, target, _preference_records)


def _preference_records(row: Mapping[str, Any]) -> Iterator[FileRow]:
    notes = format_notes(row, _PREFERENCE_FORMAT)
    turns = [convert_arguments(drop_weight(turn), as_text=True) for turn in link_tool_calls(input_messages(row))]
    tools = get_tools(row) if notes is None else None
    beside = {**_noted_object(notes, "input"), **({"tools": tools} if tools else {})}
    for better, worse in preference_pairs(row):
        outputs = [_output_message(text, notes) for text in (better, worse)]
        yield {
            "input": {"messages": turns, **beside},
            _OUTPUT_FIELDS[0]: [outputs[0]],
            _OUTPUT_FIELDS[1]: [outputs[1]],
            **noted_columns(notes),
        }


def _output_message(text: str, notes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return an answer, as it was where it came from such a file."""
    for output in (notes or {}).get("outputs") or []:
        if output[0].get("content") == text:
            return dict(output[0])
    if not text.strip():
        raise UserError("a response is empty", "leave the row out")
    return make_message("assistant", text)


def _noted_object(notes: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    value = (notes or {}).get(name)
    return dict(value) if isinstance(value, Mapping) else {}


formats.register(_PREFERENCE_FORMAT)(
    FileFormat(_PREFERENCE_FORMAT, (), _sniff_preference, _read_preference, _write_preference, by_shape=True)
)
