"""Preferences as OpenAI's fine-tuning (DPO) takes them, also at Together and Fireworks.

    {"input": {"messages": […]}, "preferred_output": [one answer], "non_preferred_output": [one answer]}

Read, the input is a `prompt` where it is one turn of the user, else `messages`; the outputs are `responses`, the preferred first,
with a judgment of the question "preferred". The older names `preferred_completion` and `non_preferred_completion` are read too.
Written, the responses' winner is preferred to each of the others, a record for each; a correction is preferred to what it corrects.
A tie can't be held. Canonical: one record a line, the newer names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.json_records import glance
from preceptor.formats.source import Source
from preceptor.formats.training.fields import NOTES, besides, identity, noted, objects, true_or_false, wrong
from preceptor.formats.training.ours import read_rows, theirs
from preceptor.formats.training.preferences import content_of, preference
from preceptor.formats.training.records import write_lines
from preceptor.formats.training.taught import input_of
from preceptor.formats.training.turns import said, tools_of, turns_from, with_arguments, with_ids, without_weight
from preceptor.formats.training.verdicts import pairs

NAME = "openai_preference"
_NEW = ("preferred_output", "non_preferred_output")
_OLD = ("preferred_completion", "non_preferred_completion")


@theirs
def _sniff(opening: bytes) -> bool:
    seen = glance(opening)
    return seen.has("input", *_NEW) or seen.has("input", *_OLD)


def _read(source: Source) -> Iterator[Row]:
    return read_rows(source, _to_row)


def _to_row(record: Row) -> Row:
    names = _OLD if _OLD[0] in record else _NEW
    asked = record.get("input")
    if not isinstance(asked, dict):
        raise wrong("input", 'an object, {"messages": […]}', asked)
    turns = turns_from(asked, "messages")
    if asked.get("tools"):
        objects(asked, "tools")
    if asked.get("parallel_tool_calls") is not None:
        true_or_false(asked, "parallel_tool_calls")
    outputs = [turns_from(record, name) for name in names]
    answers = [_answer(output, name) for output, name in zip(outputs, names, strict=True)]
    kept = {
        "input": {name: value for name, value in asked.items() if name != "messages"},
        NOTES: {name: value for name, value in record.items() if name not in ("input", *names)},
        "outputs": outputs if any(output[0].keys() != {"role", "content"} for output in outputs) else [],
    }
    notes = {name: value for name, value in kept.items() if value}
    return {**identity(record), **content_of(turns), **preference(*answers), **({"metadata": {NAME: notes}} if notes else {})}


def _answer(output: list[dict[str, Any]], name: str) -> str:
    if len(output) != 1 or output[0]["role"] != "assistant":
        raise UserError(f"{name} must be one message of the assistant", "a preference is between two last answers")
    if not isinstance(output[0].get("content"), str):
        raise wrong(f"{name}[0].content", "a text", output[0].get("content"))
    return str(output[0]["content"])


def _write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    return write_lines(rows, target, _records)


def _records(row: Mapping[str, Any]) -> Iterator[Row]:
    notes = noted(row, NAME)
    turns = [with_arguments(without_weight(turn), as_text=True) for turn in with_ids(input_of(row))]
    tools = tools_of(row) if notes is None else None
    beside = {**_object(notes, "input"), **({"tools": tools} if tools else {})}
    for better, worse in pairs(row):
        outputs = [_output(text, notes) for text in (better, worse)]
        yield {"input": {"messages": turns, **beside}, _NEW[0]: [outputs[0]], _NEW[1]: [outputs[1]], **besides(notes)}


def _output(text: str, notes: Mapping[str, Any] | None) -> dict[str, Any]:
    """An answer, as it came where it came from such a file."""
    for output in (notes or {}).get("outputs") or []:
        if output[0].get("content") == text:
            return dict(output[0])
    if not text.strip():
        raise UserError("a response is empty", "leave the row out")
    return said("assistant", text)


def _object(notes: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    value = (notes or {}).get(name)
    return dict(value) if isinstance(value, Mapping) else {}


formats.register(NAME)(Format(NAME, (), _sniff, _read, _write, by_shape=True))
