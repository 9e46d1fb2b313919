"""Chat files as OpenAI's fine-tuning takes them: {"messages": […]} on each line, beside it `tools` and `parallel_tool_calls`.

Read, the messages are the item's, as they are: calls of tools, names and weights stay in them. What else the record holds is kept
under `metadata["openai_chat"]`. Written, an answer that isn't taught has weight 0, calls have their arguments as JSON text, and name
their results; tools are a list, which other programs write as JSON text.
Who judged, and how sure the consensus is, such a file can't hold. Canonical: one record a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.json_records import glance
from preceptor.formats.source import Source
from preceptor.formats.training.fields import besides, identity, noted, objects, others, true_or_false
from preceptor.formats.training.ours import read_rows, theirs
from preceptor.formats.training.records import write_lines
from preceptor.formats.training.taught import Lesson, lesson
from preceptor.formats.training.turns import ROLES, Turn, tools_of, turns_from, with_arguments, with_ids

NAME = "openai_chat"
_OWN = frozenset(("messages",))
_BESIDE = frozenset(("tools", "parallel_tool_calls", "functions", "function_call"))


@theirs
def _sniff(opening: bytes) -> bool:
    seen = glance(opening)
    if not seen.has("messages") or not seen.fields.keys() <= _OWN | _BESIDE:
        return False
    turns = seen.fields["messages"]
    if not seen.whole:
        return True
    return isinstance(turns, list) and bool(turns) and all(isinstance(turn, dict) and turn.get("role") in ROLES for turn in turns)


def _read(source: Source) -> Iterator[Row]:
    return read_rows(source, _to_row)


def _to_row(record: Row) -> Row:
    turns = turns_from(record, "messages")
    for field in ("tools", "functions"):
        if record.get(field) and not isinstance(record[field], str):
            objects(record, field)
    if record.get("parallel_tool_calls") is not None:
        true_or_false(record, "parallel_tool_calls")
    kept = others(record, _OWN)
    return {**identity(record), "messages": turns, **({"metadata": {NAME: kept}} if kept else {})}


def _write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    return write_lines(rows, target, lambda row: [_record(row)])


def _record(row: Mapping[str, Any]) -> Row:
    taught = lesson(row)
    beside = besides(noted(row, NAME))
    tools = tools_of(row) if not isinstance(beside.get("tools"), list) else None
    return {"messages": turns_for_service(taught), **beside, **({"tools": tools} if tools else {})}


def turns_for_service(taught: Lesson) -> list[Turn]:
    """The turns as OpenAI takes them: answers count unless they weigh nothing."""
    return [
        with_arguments({**turn, "weight": 0} if turn["role"] == "assistant" and place not in taught.taught else turn, as_text=True)
        for place, turn in enumerate(with_ids(taught.turns))
    ]


formats.register(NAME)(Format(NAME, (), _sniff, _read, _write, by_shape=True))
