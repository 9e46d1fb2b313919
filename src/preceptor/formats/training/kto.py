"""KTO in LLaMA-Factory: what is taught as `messages`, ShareGPT or Alpaca, and whether it is desirable, true or false.

    {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}], "label": false}

The boolean stands in `kto_tag` or `label`; "true", 1 and null are refused, since LLaMA-Factory takes such a row for an ordinary one.
Read, the last answer is the `completion` of its `prompt`, or the end of `messages`; the boolean is a judgment of the question
"thumbs", a choice of "up" and "down". Which shape it was, and other columns, are kept under `metadata["kto"]`. Written from
elsewhere: `messages` and `label`, from what people said of a completion (up or good, down or bad). Of responses that were compared
the best is up, the others are down; a tie can't be held, since it doesn't say which of both they are. Canonical: one record a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.json_records import glance
from preceptor.formats.source import Source
from preceptor.formats.training import alpaca_records, sharegpt
from preceptor.formats.training.conversations import check_order
from preceptor.formats.training.fields import besides, identity, noted, others, text, true_or_false
from preceptor.formats.training.ours import read_rows, theirs
from preceptor.formats.training.preferences import answered, liked
from preceptor.formats.training.records import write_as_named
from preceptor.formats.training.taught import exchange, input_of
from preceptor.formats.training.turns import Turn, plain_text, said, tools_of, turns_from
from preceptor.formats.training.verdicts import pairs, thumb

NAME = "kto"
_TAGS = ("kto_tag", "label")
_SHAPES = {
    "messages": frozenset(("messages",)),
    "conversations": frozenset(("conversations", "system")),
    "instruction": frozenset(("instruction", "input", "output", "system", "history")),
}


@theirs
def _sniff(opening: bytes) -> bool:
    seen = glance(opening)
    tagged = seen.has("kto_tag") or (seen.whole and isinstance(seen.fields.get("label"), bool))
    return tagged and any(seen.has(shape) for shape in _SHAPES)


def _read(source: Source) -> Iterator[Row]:
    return read_rows(source, _to_row)


def _to_row(record: Row) -> Row:
    shape = next((name for name in _SHAPES if name in record), None)
    if shape is None:
        raise UserError("there is nothing that could be desirable", f"a record has {', '.join(_SHAPES)}")
    tag = next((name for name in _TAGS if name in record), _TAGS[0])
    good = true_or_false(record, tag)
    turns, notes = _turns(record, shape)
    _check_answer(turns[-1])
    kept = {"shape": shape, "tag": tag, **notes, **others(record, _SHAPES[shape] | {tag})}
    return {**identity(record), **answered(turns), **liked(good), "metadata": {NAME: kept}}


def _turns(record: Row, shape: str) -> tuple[list[Turn], dict[str, Any]]:
    if shape == "instruction":
        asked, optional = alpaca_records.asked_in(record)
        return [*asked, said("assistant", text(record, "output"))], {"optional": optional}
    notes: dict[str, Any] = {}
    if shape == "messages":
        turns = turns_from(record, "messages")
        for number, turn in enumerate(turns, start=1):
            plain_text(turn, f"turn {number}")
    else:
        turns, notes = sharegpt.conversation_in(record)
    check_order(turns, answered=True)
    return turns, notes


def _write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    return write_as_named(rows, target, _records, usual=".jsonl")


def _records(row: Mapping[str, Any]) -> Iterator[Row]:
    notes = noted(row, NAME)
    for turns, good in _exchanges(row):
        check_order(turns, answered=True)
        _check_answer(turns[-1])
        yield {**_record(row, turns, notes), (notes or {}).get("tag") or "label": good}


def _exchanges(row: Mapping[str, Any]) -> Iterator[tuple[list[Turn], bool]]:
    if "responses" in row:
        asked = input_of(row)
        for number, (better, worse) in enumerate(pairs(row)):
            if not number:
                yield [*asked, said("assistant", better)], True
            yield [*asked, said("assistant", worse)], False
        return
    good = thumb(row)
    if good is None:
        raise UserError("nobody said whether the answer is up or down", 'ask a choice of "up" and "down" about completions')
    yield exchange(row).turns, good


def _record(row: Mapping[str, Any], turns: list[Turn], notes: Mapping[str, Any] | None) -> Row:
    shape = (notes or {}).get("shape")
    if shape == "instruction":
        return alpaca_records.record_of(row, turns[:-1], {"output": plain_text(turns[-1], "the answer")}, notes)
    if shape == "conversations":
        return sharegpt.record_of(row, turns, notes)
    if notes is None and tools_of(row):
        raise UserError("the row's tools have no place here", "leave the row out, or write trl")
    plain = [said(turn["role"], plain_text(turn, f"turn {number}")) for number, turn in enumerate(turns, start=1)]
    return {"messages": plain if notes is None else turns, **besides(notes)}


def _check_answer(turn: Turn) -> None:
    words = turn.get("content") or turn.get("tool_calls")
    if not words or (isinstance(words, str) and not words.strip()):
        raise UserError("the answer is empty, by which LLaMA-Factory takes good for bad", "leave the row out")


formats.register(NAME)(Format(NAME, (), _sniff, _read, _write, by_shape=True))
