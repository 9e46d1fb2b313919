"""ShareGPT as LLaMA-Factory reads it: {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}.

Beside it stand `system` and `tools` (JSON text); with `chosen` and `rejected`, each one answer, it is a preference. Read, a
conversation is `messages`, its calls as `tool_calls`; a preference's answers are `responses` with a judgment of "preferred". How
calls were written, where the system stood, and other columns are kept under `metadata["sharegpt"]`. Turns must alternate, see
`conversations`; a conversation with an answer of weight 0 is refused, since LLaMA-Factory learns all answers (unless trained with
mask_history). Written from elsewhere, each row has system and tools, if empty ones. A record with a boolean `kto_tag` or `label` is of the
format kto. Canonical: one record a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.json_records import glance
from preceptor.formats.source import Source
from preceptor.formats.training.conversations import check_order, conversation_of, split_system, text_field, turns_in
from preceptor.formats.training.fields import besides, identity, noted, optional_text, others
from preceptor.formats.training.ours import read_rows, theirs
from preceptor.formats.training.preferences import preference
from preceptor.formats.training.records import write_as_named
from preceptor.formats.training.taught import input_of, lesson
from preceptor.formats.training.turns import Turn, said, tools_of
from preceptor.formats.training.verdicts import pairs

NAME = "sharegpt"
_FIELDS = frozenset(("conversations", "system"))
_RANKED = ("chosen", "rejected")
_FROM_ELSEWHERE = {"system": "", "tools": ""}  # a column that begins far down in a file stops the loader


@theirs
def _sniff(opening: bytes) -> bool:
    seen = glance(opening)
    if not seen.has("conversations") or seen.has("kto_tag") or isinstance(seen.fields.get("label"), bool):
        return False
    turns = seen.fields["conversations"]
    return not seen.whole or (isinstance(turns, list) and bool(turns) and isinstance(turns[0], dict) and "from" in turns[0])


def _read(source: Source) -> Iterator[Row]:
    return read_rows(source, _to_row)


def _to_row(record: Row) -> Row:
    ranking = any(field in record for field in _RANKED)
    turns, notes = conversation_in(record)
    check_order(turns, answered=not ranking)
    notes |= others(record, _FIELDS | set(_RANKED) if ranking else _FIELDS)
    content: Row = {"messages": turns}
    if ranking:
        content |= preference(*(text_field(record, field) for field in _RANKED))
        if any(record[field] != {"from": "gpt", "value": record[field]["value"]} for field in _RANKED):
            notes["outputs"] = [record[field] for field in _RANKED]
    return {**identity(record), **content, "metadata": {NAME: notes}}


def conversation_in(record: Row) -> tuple[list[Turn], dict[str, Any]]:
    """The turns of a record, the system's first, and what must be noted to write it again."""
    turns, otherwise = turns_in(record, "conversations")
    system = optional_text(record, "system")
    notes: dict[str, Any] = {"system": "inside"} if turns[0]["role"] == "system" else {}
    if "system" in record and not (system and not notes):
        notes["optional"] = {"system": record["system"]}  # LLaMA-Factory passes it over, or it says nothing
    if system and not notes:
        turns = [said("system", system), *turns]
        notes["system"] = "beside"
    return turns, {**notes, **({"calls": otherwise} if otherwise else {})}


def record_of(row: Mapping[str, Any], turns: list[Turn], notes: Mapping[str, Any] | None) -> Row:
    """The conversation, the system's words, and the tools of a row."""
    system, kept = split_system(turns, (notes or {}).get("system") == "inside")
    calls = (notes or {}).get("calls")
    conversation = conversation_of(kept, calls if isinstance(calls, dict) else {})
    tools = tools_of(row) if notes is None else None
    return {
        "conversations": conversation,
        **(_FROM_ELSEWHERE if notes is None else dict(notes.get("optional") or {})),
        **({"system": system} if system else {}),
        **({"tools": json.dumps(_functions(tools), ensure_ascii=False)} if tools else {}),
        **besides(notes),
    }


def _write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    return write_as_named(rows, target, _records, usual=".jsonl")


def _records(row: Mapping[str, Any]) -> Iterator[Row]:
    notes = noted(row, NAME)
    if "responses" in row:
        asked = input_of(row)
        check_order(asked, answered=False)
        for better, worse in pairs(row):
            outputs = [_output(text, notes) for text in (better, worse)]
            yield {**record_of(row, asked, notes), **dict(zip(_RANKED, outputs, strict=True))}
        return
    learnt = lesson(row)
    if learnt.leaves_out:
        message = "an answer in the conversation weighs nothing, and LLaMA-Factory learns all answers"
        raise UserError(message, "write openai_chat or trl, which can leave it out")
    check_order(learnt.turns, answered=True)
    yield record_of(row, learnt.turns, notes)


def _output(text: str, notes: Mapping[str, Any] | None) -> Row:
    for output in (notes or {}).get("outputs") or []:
        if output.get("value") == text:
            return dict(output)
    if not text.strip():
        raise UserError("a response is empty", "leave the row out")
    return {"from": "gpt", "value": text}


def _functions(tools: list[Any]) -> list[Any]:
    """Tools as LLaMA-Factory has them: the functions themselves."""
    return [tool["function"] if isinstance(tool, dict) and isinstance(tool.get("function"), dict) else tool for tool in tools]


formats.register(NAME)(Format(NAME, (), _sniff, _read, _write, by_shape=True))
