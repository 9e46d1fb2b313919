"""Potato: annotations.jsonl as `potato export` writes it, its CSV and TSV, and what a server keeps of its people, a folder.

A record is what one person said about one item: `{"instance_id", "user_id", "labels": {question: {label: value}}, "spans":
{question: [passages]}, "links"}`. All values are texts ("true", "3"). A file of records doesn't hold the items' texts; a
folder (`config.yaml`, or `<person>/user_state.json`) is read together with its data files, and so is a file where a config
stands beside it or above it; the items' texts stay in memory meanwhile.
Passages count characters of the page, where runs of spaces are one; they are put back in place where the text is known.

The canonical form is annotations.jsonl, one line a person and item. In a table, cells that are empty are no labels. Answers
to surveys before and after the items, and what the page recorded of how people typed, are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from preceptor.domain.items import text_of
from preceptor.errors import UserError
from preceptor.formats import delimited
from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.interchange import at_row, mapped, numbered
from preceptor.formats.json_records import glance, records
from preceptor.formats.json_text import to_json
from preceptor.formats.source import Source
from preceptor.formats.tools import potato_folder
from preceptor.formats.tools.lossless import Shape, record_of, row_of
from preceptor.formats.tools.potato_labels import (
    is_unreadable,
    judgment_of_spans,
    judgments_of_labels,
    labels_of_judgment,
    spans_of_judgment,
)
from preceptor.formats.tools.rows import by_person, id_of, judgments_of, list_at, named_by, table_at
from preceptor.formats.tools.spool import Spool

_STATE = "instance_id_to_label_to_value"
_HEADER = (b"instance_id,user_id", b"instance_id\tuser_id")


def _sniff(opening: bytes) -> bool:
    if _is_table(opening):
        return True
    first = glance(opening)
    return (first.has("instance_id", "user_id") and first.holds("labels", dict)) or (first.has("user_id") and first.holds(_STATE, dict))


def _is_table(opening: bytes) -> bool:
    return opening.removeprefix(b"\xef\xbb\xbf").startswith(_HEADER)


def _read(source: Source) -> Iterator[Row]:
    if source.path.is_dir():
        yield from potato_folder.read(source, _row_of)
        return
    known = potato_folder.known_near(source)
    if glance(source.opening).has(_STATE):
        found = potato_folder.records_of_state(source)
    else:
        found = _records(source)
        if not known.kinds and (several := _several(source)):
            source.warnings.append(f"several labels are chosen together for {', '.join(sorted(several))}; they are taken for multilabels")
            known = potato_folder.Known(dict.fromkeys(several, "multilabel"))
    yield from mapped(source, found, partial(_row_of, known))


def _records(source: Source) -> Iterator[Row]:
    if not _is_table(source.opening):
        return records(source)
    return mapped(source, delimited._read(source), _from_cells)


def _from_cells(row: Row) -> Row:
    """A record of the table: columns `<question>.<label>`, and `<question>._spans` with JSON."""
    record: Row = {"instance_id": row.get("instance_id"), "user_id": row.get("user_id"), "labels": {}, "spans": {}, "links": {}}
    for column, cell in row.items():
        question, _, label = column.partition(".")
        if not cell or column in ("instance_id", "user_id"):
            continue
        if label == "_spans":
            record["spans"][question] = potato_folder.parsed(cell, f"column {column!r}")
        elif label in ("_room", "_room_id") or column.startswith(("annotator_origin", "engine_")):
            record[column] = cell
        else:
            record["labels"].setdefault(question, {})[label] = cell
    return record


def _several(source: Source) -> set[str]:
    """Questions of which several labels are chosen together anywhere in the file: a file alone doesn't say their kind."""
    found: set[str] = set()
    probe = replace(source, warnings=[], on_fault=lambda fault: None)
    with suppress(UserError):  # it is told when the rows are read
        for record in _records(probe):
            found |= _chosen_together(record)
    return found


def _chosen_together(record: Mapping[str, Any]) -> set[str]:
    labels = record.get("labels")
    known = {question: chosen for question, chosen in labels.items() if isinstance(chosen, dict)} if isinstance(labels, dict) else {}
    return {q for q, chosen in known.items() if any(each.get("kind") == "multilabel" for each in judgments_of_labels(q, chosen, None))}


def _row_of(known: potato_folder.Known, record: Row) -> Row:
    content = known.contents.get(str(record.get("instance_id")))
    text = text_of(content) if content else None
    to_row = partial(_to_row, known.kinds, text, known.text_key, potato_folder.beside(record))
    shape = Shape("potato", to_row, _to_record, by_person=True)
    row = row_of(shape, {name: value for name, value in record.items() if name != potato_folder.BESIDE})
    if not content:
        return row
    metadata = {**content.get("metadata", {}), **row.get("metadata", {})}
    return {**row, **content, **({"metadata": metadata} if metadata else {})}


def _to_row(kinds: Mapping[str, str], text: str | None, text_key: str, beside: Row, record: Mapping[str, Any]) -> Row:
    id_ = named_by(record, "instance_id")
    if id_ is None:
        raise UserError("instance_id is missing")
    said: list[Row] = []
    for question, labels in table_at(record, "labels").items():
        shown = table_at(beside, "shown").get(question)
        said += judgments_of_labels(question, labels if isinstance(labels, dict) else {"": labels}, kinds.get(question), shown)
        if said and isinstance(shown, list) and said[-1].get("kind") != "compare":
            said[-1]["shown"] = shown
    for question, spans in table_at(record, "spans").items():
        if passages := list_at({question: spans}, question):
            found = judgment_of_spans(question, passages, text, text_key)
            said += [found] if found else []
    person = {"annotator": named_by(record, "user_id"), **{name: beside.get(name) for name in ("time", "seconds")}}
    known = {name: value for name, value in person.items() if value is not None}
    row: Row = {"id": id_}
    if said:
        row["judgments"] = [{**each, **known} for each in said]
    return row


def _to_record(row: Mapping[str, Any]) -> Row:
    labels: Row = {}
    spans: Row = {}
    given = judgments_of(row)
    people = list(dict.fromkeys(each.get("annotator") for each in given))
    for each in given:
        question, submitted = each.get("question"), each.get("status", "submitted") == "submitted"
        if (
            not (submitted or is_unreadable(each))
            or not question
            or question in labels
            or question in spans
            or each.get("annotator") != people[0]
        ):
            continue  # it travels beside
        if each.get("kind") == "spans":
            spans[question] = spans_of_judgment(each)
        elif chosen := labels_of_judgment(each):
            labels[question] = chosen
    return {"instance_id": id_of(row), "user_id": (people or [None])[0] or "", "labels": labels, "spans": spans, "links": {}}


def _write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    """Written when all rows are there, since a reader will take the kinds of questions from the file as a whole."""
    several: set[str] = set()
    count = 0
    with Spool() as spool:
        for number, parts in numbered(rows, _by_person, target):
            count += 1
            for part in parts:
                several |= _chosen_together(_to_record(part))
                spool.add(number, part)
        shape = Shape("potato", partial(_to_row, dict.fromkeys(several, "multilabel"), None, "text", {}), _to_record, by_person=True)
        for number, part in spool:
            with at_row(number):
                target.file.write(to_json(record_of(shape, part), f"row {number}").encode() + b"\n")
    return count


def _by_person(row: Mapping[str, Any]) -> list[Row]:
    id_of(row)
    return by_person(row) or [dict(row)]


formats.register("potato")(Format("potato", (), _sniff, _read, _write, by_shape=True, grouped=True, is_folder=potato_folder.is_folder))
