"""Alpaca, LLaMA-Factory's usual format: instruction and input, output; system, history and tools beside them.

    {"instruction": "…", "input": "…", "output": "…", "system": "…", "history": [["…", "…"]]}     what is taught
    {"instruction": "…", "input": "…", "chosen": "…", "rejected": "…"}                              a preference
    {"text": "…"}                                                                                   pre-training

Read, instruction and input on two lines are the `prompt` and the output is the `completion`; with a system or a history it is
`messages`. chosen and rejected are `responses` with a judgment of "preferred". Where the input began, and other columns, are kept
under `metadata["alpaca"]`. Written from elsewhere, each row has all five fields. LLaMA-Factory learns the answers in a history
too (unless trained with mask_history), so a conversation with an answer of weight 0 is refused, and so are calls of tools and turns
that don't alternate. A record with a boolean `kto_tag` is of the format kto. Canonical: one JSON array; one record
a line in a file called .jsonl.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.json_records import glance
from preceptor.formats.source import Source
from preceptor.formats.training.alpaca_records import asked_in, record_of
from preceptor.formats.training.fields import besides, identity, noted, others, text
from preceptor.formats.training.ours import read_rows, theirs
from preceptor.formats.training.preferences import answered, content_of, preference
from preceptor.formats.training.records import write_as_named
from preceptor.formats.training.taught import input_of, is_answered, lesson, prompt_of
from preceptor.formats.training.turns import plain_text, said
from preceptor.formats.training.verdicts import pairs

NAME = "alpaca"
_FIELDS = frozenset(("instruction", "input", "output", "system", "history", "chosen", "rejected"))


@theirs
def _sniff(opening: bytes) -> bool:
    seen = glance(opening)
    if seen.has("kto_tag") or isinstance(seen.fields.get("label"), bool):
        return False
    return seen.has("instruction", "output") or seen.has("instruction", "chosen", "rejected")


def _read(source: Source) -> Iterator[Row]:
    return read_rows(source, _to_row)


def _to_row(record: Row) -> Row:
    if "text" in record and "instruction" not in record:
        kept = others(record, frozenset(("text",)))
        return {**identity(record), "text": text(record, "text"), **({"metadata": {NAME: kept}} if kept else {})}
    turns, optional = asked_in(record)
    ranking = "chosen" in record or "rejected" in record
    notes = {"optional": optional, **others(record, _FIELDS if ranking else _FIELDS - {"chosen", "rejected"})}
    if ranking:
        if "output" in record:
            notes["columns"] = {**notes.get("columns", {}), "output": record["output"]}
        content = {**content_of(turns), **preference(text(record, "chosen"), text(record, "rejected"))}
    else:
        output = text(record, "output", "LLaMA-Factory leaves out a row whose output is no text, and doesn't say so")
        content = answered([*turns, said("assistant", output)])
    return {**identity(record), **content, "metadata": {NAME: notes}}


def _write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    return write_as_named(rows, target, _records, usual=".json")


def _records(row: Mapping[str, Any]) -> Iterator[Row]:
    notes = noted(row, NAME)
    if "text" in row and not is_answered(row):
        yield {"text": prompt_of(row), **besides(notes)}
    elif "responses" in row:
        asked = input_of(row)
        for better, worse in pairs(row):
            yield record_of(row, asked, {"chosen": better, "rejected": worse}, notes)
    else:
        learnt = lesson(row)
        if learnt.leaves_out:
            message = "an answer in the conversation weighs nothing, and LLaMA-Factory learns all answers of a history"
            raise UserError(message, "write openai_chat or trl, which can leave it out")
        yield record_of(row, learnt.before, {"output": plain_text(learnt.last, "the answer")}, notes)


formats.register(NAME)(Format(NAME, (), _sniff, _read, _write, by_shape=True))
