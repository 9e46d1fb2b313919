"""Read and write KTO files of LLaMA-Factory: `messages`, ShareGPT or Alpaca, with a boolean that says whether the answer is desirable.

    {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}], "label": false}

The boolean is in `kto_tag` or `label`; "true", 1 and null are refused, since LLaMA-Factory reads such a row as an ordinary one. Read, the
last answer is the `completion` of its `prompt`, or the end of `messages`; the boolean is a judgment of the question "thumbs", a choice of
"up" and "down". Which layout it had, and other columns, are kept under `metadata["kto"]`. Written from other sources: `messages` and
`label`, from the judgments of a completion (up or good, down or bad). Of responses that were compared the best is up, the others are down;
a tie is refused, since it doesn't say which of the two either is. Canonical: one record a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.json_format import peek_first_record
from preceptor.formats.training import alpaca, sharegpt
from preceptor.formats.training.messages import ChatMessage, get_tools, make_message, message_text, parse_messages
from preceptor.formats.training.records import (
    boolean_field,
    format_notes,
    id_and_group,
    noted_columns,
    read_training_rows,
    text_field,
    unknown_fields,
    unless_interchange,
    write_by_suffix,
)
from preceptor.formats.training.sharegpt import check_alternation
from preceptor.formats.training.training_examples import (
    completion_content,
    desirability_judgment,
    input_messages,
    is_desirable,
    preference_pairs,
    response_example,
)

NAME = "kto"
_TAGS = ("kto_tag", "label")
_SHAPES = {
    "messages": frozenset(("messages",)),
    "conversations": frozenset(("conversations", "system")),
    "instruction": frozenset(("instruction", "input", "output", "system", "history")),
}


@unless_interchange
def _sniff(opening: bytes) -> bool:
    seen = peek_first_record(opening)
    tagged = seen.has("kto_tag") or (seen.is_complete and isinstance(seen.fields.get("label"), bool))
    return tagged and any(seen.has(shape) for shape in _SHAPES)


def _read(source: FormatSource) -> Iterator[FileRow]:
    return read_training_rows(source, _to_row)


def _to_row(record: FileRow) -> FileRow:
    shape = next((name for name in _SHAPES if name in record), None)
    if shape is None:
        raise UserError("there is nothing that could be desirable", f"a record has {', '.join(_SHAPES)}")
    tag = next((name for name in _TAGS if name in record), _TAGS[0])
    good = boolean_field(record, tag)
    turns, notes = _record_messages(record, shape)
    _check_answer(turns[-1])
    kept = {"shape": shape, "tag": tag, **notes, **unknown_fields(record, _SHAPES[shape] | {tag})}
    return {**id_and_group(record), **completion_content(turns), **desirability_judgment(good), "metadata": {NAME: kept}}


def _record_messages(record: FileRow, shape: str) -> tuple[list[ChatMessage], dict[str, Any]]:
    if shape == "instruction":
        asked, optional = alpaca.read_alpaca_prompt(record)
        return [*asked, make_message("assistant", text_field(record, "output"))], {"optional": optional}
    notes: dict[str, Any] = {}
    if shape == "messages":
        turns = parse_messages(record, "messages")
        for number, turn in enumerate(turns, start=1):
            message_text(turn, f"turn {number}")
    else:
        turns, notes = sharegpt.read_conversation(record)
    check_alternation(turns, answered=True)
    return turns, notes


def _write(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    return write_by_suffix(rows, target, _records, usual=".jsonl")


def _records(row: Mapping[str, Any]) -> Iterator[FileRow]:
    notes = format_notes(row, NAME)
    for turns, good in _labelled_exchanges(row):
        check_alternation(turns, answered=True)
        _check_answer(turns[-1])
        yield {**_record(row, turns, notes), (notes or {}).get("tag") or "label": good}


def _labelled_exchanges(row: Mapping[str, Any]) -> Iterator[tuple[list[ChatMessage], bool]]:
    if "responses" in row:
        asked = input_messages(row)
        for number, (better, worse) in enumerate(preference_pairs(row)):
            if not number:
                yield [*asked, make_message("assistant", better)], True
            yield [*asked, make_message("assistant", worse)], False
        return
    good = is_desirable(row)
    if good is None:
        raise UserError("nobody said whether the answer is up or down", 'ask a choice of "up" and "down" about completions')
    yield response_example(row).turns, good


def _record(row: Mapping[str, Any], turns: list[ChatMessage], notes: Mapping[str, Any] | None) -> FileRow:
    shape = (notes or {}).get("shape")
    if shape == "instruction":
        return alpaca.make_alpaca_record(row, turns[:-1], {"output": message_text(turns[-1], "the answer")}, notes)
    if shape == "conversations":
        return sharegpt.make_sharegpt_record(row, turns, notes)
    if notes is None and get_tools(row):
        raise UserError("the row's tools have no place here", "leave the row out, or write trl")
    plain = [make_message(turn["role"], message_text(turn, f"turn {number}")) for number, turn in enumerate(turns, start=1)]
    return {"messages": plain if notes is None else turns, **noted_columns(notes)}


def _check_answer(turn: ChatMessage) -> None:
    words = turn.get("content") or turn.get("tool_calls")
    if not words or (isinstance(words, str) and not words.strip()):
        raise UserError("the answer is empty, by which LLaMA-Factory takes good for bad", "leave the row out")


formats.register(NAME)(FileFormat(NAME, (), _sniff, _read, _write, by_shape=True))
