"""Read and write RAGTruth, spans of unfaithful words in models' answers: response.jsonl, and source_info.jsonl beside it.

    {"id": "…", "source_id": "…", "model": "…", "temperature": 0.7, "labels": [{"start": 9, "end": 13, "text": "…", "label_type": "…",
     "meta": "…", "implicit_true": false, "due_to_null": false}], "split": "test", "quality": "good", "response": "…"}

Read, the response is the item's `text`, so that offsets are valid in it, and what it was made from is in its `sources`; rows of one source
are one group. The labels are one judgment of the question "hallucinations", of kind spans: no labels means that somebody looked and found
none. Offsets that were counted in another way are corrected by one hypothesis an item. Model, temperature, quality (good,
incorrect_refusal, truncated: leave the last two out of a rate) and the source's record are kept under `metadata["ragtruth"]`, what else a
label holds in the judgment's `extra`.

Written, a row without a judgment is refused: it would count as clean. Source records aren't written; they are in a file of their own. What
such a file has no field for is in two more: `sources`, and `judgments` where it is known who judged, or where people judged separately; the
labels are then the answer of the majority. Canonical: one record a line, offsets in code points.

Only the positions of the source records in their file are in memory, some hundred bytes a source. A record is read when a response asks for
it, and the last one is kept, since responses to one source are adjacent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.interchange import make_judgment, map_records
from preceptor.formats.json_format import STRICT_DECODER, peek_first_record
from preceptor.formats.offsets import QuotedSpan, parse_offset, to_code_points
from preceptor.formats.training.records import (
    field_error,
    format_notes,
    noted_columns,
    object_list_field,
    read_records,
    text_field,
    unknown_fields,
    write_record_lines,
)
from preceptor.formats.training.training_examples import counted_judgments, majority_answer

_SOURCES_FILE = "source_info.jsonl"


@dataclass
class _RagTruthSources:
    """The file of sources, and where in it each begins.

    path: the file. places: source id -> (byte, line). last: the id and the record that was read last.
    """

    path: Path
    places: dict[str, tuple[int, int]] = field(default_factory=dict)  # id -> (byte, line)
    last: tuple[str, dict[str, Any]] = ("", {})

    @classmethod
    def open_beside(cls, responses: FormatSource) -> _RagTruthSources:
        """Return the sources that lie beside a file of responses; none where there is no such file. Raises UserError for a broken one."""
        found = cls(responses.path.parent / _SOURCES_FILE)
        if responses.path.name != _SOURCES_FILE and found.path.is_file():
            found._index(responses.record_limit)
        return found

    def get_record(self, source_id: str) -> dict[str, Any] | None:
        """Return the record of a source; None where there is none."""
        if source_id not in self.places:
            return None
        if self.last[0] != source_id:
            byte, line = self.places[source_id]
            with self.path.open("rb") as file:
                file.seek(byte)
                self.last = (source_id, _parse_source(file.readline(), f"{_SOURCES_FILE}:{line}"))
        return self.last[1]

    def source_texts(self, record: Mapping[str, Any] | None) -> list[Any]:
        """Return what an annotator needs to see of a source: its text; of a question, the passages that belong to it."""
        info = (record or {}).get("source_info")
        if isinstance(info, Mapping) and isinstance(info.get("passages"), str):
            return [{"title": str(info.get("question", "")), "text": info["passages"]}]
        if info is None:
            return []
        return [info if isinstance(info, str) else json.dumps(info, ensure_ascii=False)]

    def _index(self, limit: int) -> None:
        with self.path.open("rb") as file:
            byte = 0
            for line, raw in enumerate(iter(lambda: file.readline(limit), b""), start=1):
                if len(raw) == limit:
                    raise UserError(
                        f"this line is longer than {limit:,} bytes", "is this JSON Lines at all?", where=f"{_SOURCES_FILE}:{line}"
                    )
                if raw.strip():
                    where = f"{_SOURCES_FILE}:{line}"
                    source_id = _parse_source(raw, where).get("source_id")
                    if not isinstance(source_id, str | int) or isinstance(source_id, bool):
                        raise UserError("there is no source_id", "each record of a source has one", where=where)
                    self.places[str(source_id)] = (byte, line)
                byte += len(raw)


def _parse_source(raw: bytes, where: str) -> dict[str, Any]:
    try:
        value = STRICT_DECODER.decode(raw.decode("utf-8-sig").strip())
    except (ValueError, RecursionError):
        raise UserError("not valid JSON", "mend or remove the file of sources beside the responses", where=where) from None
    if not isinstance(value, dict):
        raise UserError("this is not an object", "mend or remove the file of sources beside the responses", where=where)
    return value


NAME = "ragtruth"
_HALLUCINATIONS_QUESTION = "hallucinations"
_FIELDS = frozenset(("id", "labels", "response", "source_id", "sources", "judgments"))
_PLAIN_FIELDS = frozenset(("question", "kind", "answer", "extra"))
_LABEL_DEFAULTS = {"meta": "", "implicit_true": False, "due_to_null": False}


def _sniff(opening: bytes) -> bool:
    return peek_first_record(opening).has("source_id", "labels", "response")


def _read(source: FormatSource) -> Iterator[FileRow]:
    info = _RagTruthSources.open_beside(source)
    return map_records(source, read_records(source), lambda record: _to_row(record, info))


def _to_row(record: FileRow, info: _RagTruthSources) -> FileRow:
    response, id_, group = text_field(record, "response"), _name_field(record, "id"), _name_field(record, "source_id")
    labels = record.get("labels")
    if not isinstance(labels, list):
        raise field_error("labels", "a list (an empty one where nothing was found)", labels)
    spans = _spans_from_labels(response, labels)
    came = [{**label, "start": span["start"], "end": span["end"]} for label, span in zip(labels, spans, strict=True)]
    said = make_judgment(_HALLUCINATIONS_QUESTION, "spans", spans, extra={"labels": came} if came else {})
    about = info.get_record(group)
    kept = {**unknown_fields(record, _FIELDS), **({"source": about} if about else {})}
    sources = record.get("sources") if "sources" in record else info.source_texts(about)
    return {
        "id": id_, "text": response, **({"sources": sources} if sources else {}), "group": group,
        "judgments": _carried_judgments(record, response) or [said],
        "metadata": {NAME: {"id": record["id"], "source_id": record["source_id"], **kept}},
    }  # fmt: skip


def _spans_from_labels(response: str, labels: list[Any]) -> list[dict[str, Any]]:
    passages = []
    for number, label in enumerate(labels):
        if not isinstance(label, dict):
            raise field_error(f"labels[{number}]", "an object", label)
        if not isinstance(label.get("label_type"), str) or not label["label_type"].strip():
            raise field_error(f"labels[{number}].label_type", "a text", label.get("label_type"))
        quote = label.get("text")
        if quote is not None and not isinstance(quote, str):
            raise field_error(f"labels[{number}].text", "a text", quote)
        start, end = (parse_offset(label.get(edge), f"labels[{number}].{edge}") for edge in ("start", "end"))
        passages.append(QuotedSpan(start, end, quote))
    edges, _ = to_code_points(response, passages)
    return [{"start": start, "end": end, "label": label["label_type"]} for (start, end), label in zip(edges, labels, strict=True)]


def _name_field(record: FileRow, field: str) -> str:
    value = record.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise field_error(field, "a name", value)
    return value


def _write(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    return write_record_lines(rows, target, lambda row: [_record(row)])


def _record(row: Mapping[str, Any]) -> FileRow:
    response, judgments = row.get("text"), counted_judgments(row, "spans")
    if not isinstance(response, str):
        raise UserError("the row has no text in which spans could be", "a row has a text, and spans of it")
    if not judgments:
        raise UserError("nobody marked spans in the text, and without labels it would count as clean", "judge it, or leave the row out")
    spans = _check_spans(majority_answer(judgments), response, "answer")
    extras = [each.get("extra") for each in judgments]
    came = [label for extra in extras if isinstance(extra, dict) for label in extra.get("labels") or [] if isinstance(label, dict)]
    labels = [_label_from_span(span, response, came) for span in spans]
    return {**_response_fields(row), "labels": labels, "response": response, **_extra_judgments(row["judgments"])}


def _response_fields(row: Mapping[str, Any]) -> FileRow:
    """Return the fields of a record that describe its response."""
    notes, sources = format_notes(row, NAME), row.get("sources")
    if notes is not None:
        beside = {"sources": sources} if sources and "source" not in notes else {}
        return {"id": notes.get("id"), "source_id": notes.get("source_id"), **noted_columns(notes), **beside}
    if not row.get("id"):
        raise UserError("the row has no id", "responses are told apart by theirs")
    return {
        "id": row["id"], "source_id": row.get("group") or row["id"], "model": "", "temperature": None,
        "split": row.get("split") or "train", "quality": "good", **({"sources": sources} if sources else {}),
    }  # fmt: skip


def _label_from_span(span: Mapping[str, Any], response: str, came: list[dict[str, Any]]) -> FileRow:
    """Return a span as a label, with everything that its own file said of it."""
    start, end, label = span["start"], span["end"], span["label"]
    own = next((each for each in came if (each.get("start"), each.get("end"), each.get("label_type")) == (start, end, label)), None)
    return own or {"start": start, "end": end, "text": response[start:end], "label_type": label, **_LABEL_DEFAULTS}


def _extra_judgments(judgments: list[Any]) -> FileRow:
    """Return the judgments, where the labels don't express all of them."""
    told = len(judgments) == 1 and judgments[0].keys() <= _PLAIN_FIELDS and judgments[0].get("question") == _HALLUCINATIONS_QUESTION
    return {} if told else {"judgments": judgments}


def _carried_judgments(record: FileRow, response: str) -> list[dict[str, Any]]:
    """Return the judgments of a file that Preceptor wrote."""
    if "judgments" not in record:
        return []
    return [
        {**each, "answer": _check_spans(each["answer"], response, f"judgments[{number}].answer")}
        if each.get("kind") == "spans" and "answer" in each
        else each
        for number, each in enumerate(object_list_field(record, "judgments"))
    ]


def _check_spans(spans: Any, response: str, place: str) -> list[dict[str, Any]]:
    """Return spans in code points of the response."""
    if not isinstance(spans, list) or not all(isinstance(span, dict) and isinstance(span.get("label"), str) for span in spans):
        raise field_error(place, "a list of spans, each with a label", spans)
    passages = [QuotedSpan(parse_offset(span.get("start"), f"{place}: a start"), parse_offset(span.get("end"), place)) for span in spans]
    edges, _ = to_code_points(response, passages)
    return [{"start": start, "end": end, "label": span["label"]} for (start, end), span in zip(edges, spans, strict=True)]


formats.register(NAME)(FileFormat(NAME, (), _sniff, _read, _write, by_shape=True, grouped=True))
