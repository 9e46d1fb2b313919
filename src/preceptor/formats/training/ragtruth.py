"""Spans of unfaithful words in models' answers, as RAGTruth has them: response.jsonl, and source_info.jsonl beside it.

    {"id": "…", "source_id": "…", "model": "…", "temperature": 0.7, "labels": [{"start": 9, "end": 13, "text": "…", "label_type": "…",
     "meta": "…", "implicit_true": false, "due_to_null": false}], "split": "test", "quality": "good", "response": "…"}

Read, the response is the item's `text`, so that offsets hold in it, and what it was made from stands in its `sources`; rows of one
source are one group. The labels are one judgment of the question "hallucinations", of kind spans: no labels means that somebody looked
and found none. Offsets that were counted in another way are mended by one hypothesis an item. Model, temperature, quality (good,
incorrect_refusal, truncated: leave these out of a rate) and the source's record are kept under `metadata["ragtruth"]`, what a label
says besides in the judgment's `extra`. Written, a row without a judgment is refused: it would count as clean. Source records aren't
written, they stand in a file of their own. What such a file has no field for stands in two more: `sources`, and `judgments` where it is
known who judged, or where people judged apart; the labels are then what most say. Canonical: one record a line, offsets in
code points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.interchange import judgment, mapped
from preceptor.formats.json_records import glance
from preceptor.formats.offsets import Passage, offset_from, to_code_points
from preceptor.formats.source import Source
from preceptor.formats.training.fields import besides, noted, objects, others, text, wrong
from preceptor.formats.training.ragtruth_sources import SourceInfo
from preceptor.formats.training.records import records, write_lines
from preceptor.formats.training.verdicts import decided, submitted

NAME = "ragtruth"
QUESTION = "hallucinations"
_FIELDS = frozenset(("id", "labels", "response", "source_id", "sources", "judgments"))
_TOLD = frozenset(("question", "kind", "answer", "extra"))
_LABEL = {"meta": "", "implicit_true": False, "due_to_null": False}


def _sniff(opening: bytes) -> bool:
    return glance(opening).has("source_id", "labels", "response")


def _read(source: Source) -> Iterator[Row]:
    info = SourceInfo.beside(source)
    return mapped(source, records(source), lambda record: _to_row(record, info))


def _to_row(record: Row, info: SourceInfo) -> Row:
    response, id_, group = text(record, "response"), _name(record, "id"), _name(record, "source_id")
    labels = record.get("labels")
    if not isinstance(labels, list):
        raise wrong("labels", "a list (an empty one where nothing was found)", labels)
    spans = _spans(response, labels)
    came = [{**label, "start": span["start"], "end": span["end"]} for label, span in zip(labels, spans, strict=True)]
    said = judgment(QUESTION, "spans", spans, extra={"labels": came} if came else {})
    about = info.of(group)
    kept = {**others(record, _FIELDS), **({"source": about} if about else {})}
    sources = record.get("sources") if "sources" in record else info.sources(about)
    return {
        "id": id_, "text": response, **({"sources": sources} if sources else {}), "group": group,
        "judgments": _judgments(record, response) or [said],
        "metadata": {NAME: {"id": record["id"], "source_id": record["source_id"], **kept}},
    }  # fmt: skip


def _spans(response: str, labels: list[Any]) -> list[dict[str, Any]]:
    passages = []
    for number, label in enumerate(labels):
        if not isinstance(label, dict):
            raise wrong(f"labels[{number}]", "an object", label)
        if not isinstance(label.get("label_type"), str) or not label["label_type"].strip():
            raise wrong(f"labels[{number}].label_type", "a text", label.get("label_type"))
        quote = label.get("text")
        if quote is not None and not isinstance(quote, str):
            raise wrong(f"labels[{number}].text", "a text", quote)
        start, end = (offset_from(label.get(edge), f"labels[{number}].{edge}") for edge in ("start", "end"))
        passages.append(Passage(start, end, quote))
    edges, _ = to_code_points(response, passages)
    return [{"start": start, "end": end, "label": label["label_type"]} for (start, end), label in zip(edges, labels, strict=True)]


def _name(record: Row, field: str) -> str:
    value = record.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise wrong(field, "a name", value)
    return value


def _write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    return write_lines(rows, target, lambda row: [_record(row)])


def _record(row: Mapping[str, Any]) -> Row:
    response, judgments = row.get("text"), submitted(row, "spans")
    if not isinstance(response, str):
        raise UserError("the row has no text in which spans could be", "a row has a text, and spans of it")
    if not judgments:
        raise UserError("nobody marked spans in the text, and without labels it would count as clean", "judge it, or leave the row out")
    spans = _checked(decided(judgments), response, "answer")
    extras = [each.get("extra") for each in judgments]
    came = [label for extra in extras if isinstance(extra, dict) for label in extra.get("labels") or [] if isinstance(label, dict)]
    labels = [_label(span, response, came) for span in spans]
    return {**_about(row), "labels": labels, "response": response, **_more(row["judgments"])}


def _about(row: Mapping[str, Any]) -> Row:
    """What a record says of its response."""
    notes, sources = noted(row, NAME), row.get("sources")
    if notes is not None:
        beside = {"sources": sources} if sources and "source" not in notes else {}
        return {"id": notes.get("id"), "source_id": notes.get("source_id"), **besides(notes), **beside}
    if not row.get("id"):
        raise UserError("the row has no id", "responses are told apart by theirs")
    return {
        "id": row["id"], "source_id": row.get("group") or row["id"], "model": "", "temperature": None,
        "split": row.get("split") or "train", "quality": "good", **({"sources": sources} if sources else {}),
    }  # fmt: skip


def _label(span: Mapping[str, Any], response: str, came: list[dict[str, Any]]) -> Row:
    """A span as a label, with all that its own file said of it."""
    start, end, label = span["start"], span["end"], span["label"]
    own = next((each for each in came if (each.get("start"), each.get("end"), each.get("label_type")) == (start, end, label)), None)
    return own or {"start": start, "end": end, "text": response[start:end], "label_type": label, **_LABEL}


def _more(judgments: list[Any]) -> Row:
    """The judgments, where the labels don't say all of them."""
    told = len(judgments) == 1 and judgments[0].keys() <= _TOLD and judgments[0].get("question") == QUESTION
    return {} if told else {"judgments": judgments}


def _judgments(record: Row, response: str) -> list[dict[str, Any]]:
    """Judgments as we wrote them."""
    if "judgments" not in record:
        return []
    return [
        {**each, "answer": _checked(each["answer"], response, f"judgments[{number}].answer")}
        if each.get("kind") == "spans" and "answer" in each
        else each
        for number, each in enumerate(objects(record, "judgments"))
    ]


def _checked(spans: Any, response: str, place: str) -> list[dict[str, Any]]:
    """Spans in code points of the response."""
    if not isinstance(spans, list) or not all(isinstance(span, dict) and isinstance(span.get("label"), str) for span in spans):
        raise wrong(place, "a list of spans, each with a label", spans)
    passages = [Passage(offset_from(span.get("start"), f"{place}: a start"), offset_from(span.get("end"), place)) for span in spans]
    edges, _ = to_code_points(response, passages)
    return [{"start": start, "end": end, "label": span["label"]} for (start, end), span in zip(edges, spans, strict=True)]


formats.register(NAME)(Format(NAME, (), _sniff, _read, _write, by_shape=True, grouped=True))
