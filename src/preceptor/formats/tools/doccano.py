"""doccano: JSON Lines or an array, a zip with one file for each member of the project, and its CSV where that is named.

A record is a text with the labels of its project's type: `label` (classes, texts of one's own, or [start, end, label]), or
`entities` with `cats` or `relations`; `filename` stands in for the text of an image or a recording. Offsets are code points.

doccano doesn't say who labelled: in a zip it is the name of the file (`all.jsonl` is nobody's). An empty label there may mean "no
label" or "not seen": it is kept as a skip, which is no judgment. In a file of its own an item without labels has no judgments.
Whether a list of texts holds classes or answers in one's own words isn't said either; the file as a whole decides, with a warning.

The canonical form is JSON Lines, or the zip of them where there are several annotators; `Comments` of one is a judgment's
note. CSV joins labels with #, so a label that holds one comes apart; it is read when it is named, and written as JSON Lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import delimited
from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.interchange import judgment, mapped, numbered
from preceptor.formats.json_records import glance, records
from preceptor.formats.offsets import Passage, offset_from, to_code_points
from preceptor.formats.source import Source
from preceptor.formats.tools import doccano_zip
from preceptor.formats.tools.lossless import Shape, alike, record_of, row_of
from preceptor.formats.tools.rows import by_person, list_at, named_by, shown_text, submitted, text_at

LABEL, ENTITIES, CATS = "label", "entities", "cats"
_DISTINCT = 1_000  # different labels after which they are no classes
_SENTENCE = 4  # words that an answer has on average, and a class has not


def _sniff(opening: bytes) -> bool:
    if doccano_zip.is_archive(opening):
        return True
    first = glance(opening)
    if not first.has("text") and not first.has("filename"):
        return False
    if first.holds("Comments", list):
        return True
    return any(_are_spans(first.fields.get(name)) for name in (LABEL, ENTITIES))


def _are_spans(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_span, value))


def _is_span(value: Any) -> bool:
    if isinstance(value, dict):
        return {"start_offset", "end_offset", "label"} <= value.keys()
    return isinstance(value, list) and len(value) == 3 and isinstance(value[2], str) and not isinstance(value[0], str)


def _read(source: Source) -> Iterator[Row]:
    kind = _kind_of_labels(source)
    for member in doccano_zip.members(source):
        yield from mapped(source, _records(source), partial(row_of, _shape(kind, member)))


def _records(source: Source) -> Iterator[Row]:
    if not _is_table(source):
        return records(source)
    return map(_from_cells, delimited._read(source))


def _is_table(source: Source) -> bool:
    header = source.opening.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0]
    return b"text" in header and not header.startswith((b"{", b"["))


def _from_cells(row: Row) -> Row:
    """A record of the CSV, whose labels are joined with #."""
    joined = {name: row[name].split("#") if row[name] else [] for name in (LABEL, "Comments") if name in row}
    return {**row, **joined, **({"id": int(row["id"])} if str(row.get("id")).isdecimal() and len(row["id"]) < 20 else {})}


class _Labels:
    """What the lists of texts in a file are: a choice, a multilabel, or answers in one's own words."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.count = self.words = self.most = 0

    def add(self, record: Mapping[str, Any]) -> None:
        given: list[Any] = next((record[name] for name in (LABEL, CATS) if isinstance(record.get(name), list)), [])
        labels = [label for label in given if isinstance(label, str)]
        self.most = max(self.most, len(labels))
        self.count += len(labels)
        self.words += sum(len(label.split()) for label in labels)
        if len(self.seen) <= _DISTINCT:
            self.seen.update(labels)

    @property
    def kind(self) -> str:
        if self.count and self.words >= _SENTENCE * self.count and len(self.seen) > min(self.count // 2, _DISTINCT):
            return "write"
        return "multilabel" if self.most > 1 else "choice"


def _kind_of_labels(source: Source) -> str:
    labels = _Labels()
    probe = replace(source, warnings=[], on_fault=lambda fault: None)
    with suppress(UserError):  # it is told when the rows are read
        for _ in doccano_zip.members(probe):
            for record in _records(probe):
                labels.add(record)
    if labels.count:
        meant = {"write": "answers in one's own words", "choice": "one class each", "multilabel": "classes"}[labels.kind]
        source.warnings.append(f"doccano doesn't say what kind of labels these are; they are taken for {meant}")
    return labels.kind


def _shape(kind: str, member: str | None) -> Shape:
    return Shape("doccano", partial(_to_row, kind, member), _to_record)


def _to_row(kind: str, member: str | None, record: Mapping[str, Any]) -> Row:
    text = text_at(record, "text" if "text" in record or "filename" not in record else "filename")
    said = [*_labels(record, LABEL, kind, text), *_labels(record, ENTITIES, kind, text), *_labels(record, CATS, kind, text)]
    if not said and member and any(isinstance(record.get(name), list) for name in (LABEL, ENTITIES, CATS)):
        said = [judgment(LABEL, None, None, status="skipped")]
    comments = list_at(record, "Comments")
    note = comments[0] if len(comments) == 1 and len(said) == 1 and isinstance(comments[0], str) else None
    row: Row = {} if (id_ := named_by(record, "id")) is None else {"id": id_}
    row["text"] = text
    if said:
        row["judgments"] = [{**each, **_filled(annotator=member, note=note)} for each in said]
    return row


def _filled(**fields: str | None) -> Row:
    return {name: value for name, value in fields.items() if value}


def _labels(record: Mapping[str, Any], name: str, kind: str, text: str) -> list[Row]:
    """The judgments that one field holds, of nobody yet."""
    given = record.get(name)
    labels = [given] if isinstance(given, str) else list_at(record, name)
    if not labels:
        return []
    if all(isinstance(label, str) for label in labels):
        if kind == "write":
            return [judgment(name, kind, {"text": label, "from": None}) for label in labels]
        return [judgment(name, "choice", labels[0]) if kind == "choice" and len(labels) == 1 else judgment(name, "multilabel", labels)]
    if not all(map(_is_span, labels)):
        raise UserError(f"{name} must hold texts, or [start, end, label] each, not {labels!r:.80}")
    parts = [_parts(each) for each in labels]
    if not all(isinstance(word, str) for _, _, word in parts):
        raise UserError(f"a label in {name} must be a text, not {parts!r:.80}")
    passages = [Passage(offset_from(start, f"a start in {name}"), offset_from(end, f"an end in {name}")) for start, end, _ in parts]
    places, _ = to_code_points(text, passages)
    words = [word for _, _, word in parts]
    spans = [{"start": start, "end": end, "label": label} for (start, end), label in zip(places, words, strict=True)]
    return [judgment(name, "spans", spans)]


def _parts(span: Any) -> tuple[Any, Any, Any]:
    if isinstance(span, dict):
        return span["start_offset"], span["end_offset"], span["label"]
    start, end, label = span
    return start, end, label


def _to_record(row: Mapping[str, Any]) -> Row:
    id_ = named_by(row, "id")
    record: Row = {} if id_ is None else {"id": int(id_) if id_.isascii() and id_.isdecimal() and str(int(id_[:4000])) == id_ else id_}
    record["text"] = shown_text(row)
    counted = submitted(row)
    spans = [each for each in counted if each.get("kind") == "spans"]
    others = [each for each in counted if each.get("kind") in ("choice", "multilabel", "write")]
    if spans and others:
        record |= {ENTITIES: _triples(spans[0]), CATS: _texts(others)}
    elif spans and spans[0].get("question") == ENTITIES:
        names = ("start_offset", "end_offset", "label")
        entities = [{"id": n, **dict(zip(names, span, strict=True))} for n, span in enumerate(_triples(spans[0]), start=1)]
        record |= {ENTITIES: entities, "relations": []}
    else:
        record[LABEL] = _triples(spans[0]) if spans else _texts(others)
    notes = [each["note"] for each in counted if each.get("note")]
    return {**record, "Comments": notes}


def _triples(given: Row) -> list[list[Any]]:
    answer = given.get("answer")
    if not isinstance(answer, list) or not all(isinstance(span, dict) for span in answer):
        raise UserError(f"spans must be a list of start, end and label, not {answer!r:.80}")
    return [[span.get("start"), span.get("end"), span.get("label")] for span in answer]


def _texts(given: list[Row]) -> list[str]:
    """The labels of the first question, or all texts that were written for it."""
    if not given:
        return []
    first = given[0]
    answers = [each.get("answer") for each in given if alike(each.get("question"), first.get("question"))]
    if first.get("kind") == "multilabel":
        answers = answers[0] if isinstance(answers[0], list) else []
    texts = [answer.get("text") if isinstance(answer, dict) else answer for answer in answers]
    labels = [text for text in texts if isinstance(text, str)]
    if len(labels) < len(texts):
        raise UserError(f"doccano's labels are texts, not {texts!r:.80}")
    return labels[:1] if first.get("kind") == "choice" else labels


def _write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    labels = _Labels()

    def parted(row: Mapping[str, Any]) -> list[tuple[str | None, Row]]:
        parts = _by_annotator(row)
        for _, said in parts:
            labels.add(_to_record(said))
        return parts

    def record(member: str | None, row: Mapping[str, Any]) -> Row:
        return record_of(_shape(labels.kind, member), row)  # asked when all rows are there, as a reader will see them

    return doccano_zip.write(numbered(rows, parted, target), record, target)


def _by_annotator(row: Mapping[str, Any]) -> list[tuple[str | None, Row]]:
    """The row once for each person who said something, with what they said."""
    shown_text(row)
    return [(part["judgments"][0].get("annotator"), part) for part in by_person(row)] or [(None, dict(row))]


formats.register("doccano")(Format("doccano", (), _sniff, _read, _write, by_shape=True, grouped=True))
