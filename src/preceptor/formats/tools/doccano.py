"""Read and write doccano: JSON Lines or an array, a zip with one file for each member of the project, and its CSV where that is named.

A record is a text with the labels of its project's type: `label` (classes, free texts, or [start, end, label]), or `entities` with `cats`
or `relations`; `filename` replaces the text of an image or a recording. Offsets are code points.

doccano doesn't say who labelled: in a zip it is the name of the file (`all.jsonl` belongs to nobody). An empty label there may mean "no
label" or "not seen": it is kept as a skip, which is no judgment. In a single file an item without labels has no judgments. Whether a list
of texts holds classes or free texts isn't stated either; the file as a whole decides, with a warning.

The canonical form is JSON Lines, or a zip of them where there are several annotators; a single entry of `Comments` is a judgment's note.
CSV joins labels with #, so a label that contains one is split; it is read when it is named, and written as JSON Lines.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from preceptor.errors import UserError
from preceptor.formats import csv_format
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.interchange import (
    RowSpool,
    content_text,
    convert_rows,
    get_list,
    make_judgment,
    map_records,
    optional_name,
    require_text,
    row_location,
    split_by_annotator,
    submitted_judgments,
)
from preceptor.formats.json_format import peek_first_record, read_json_records, to_json
from preceptor.formats.offsets import QuotedSpan, parse_offset, to_code_points
from preceptor.formats.tools.round_trip import RecordShape, json_equal, record_from_row, row_from_record

_ZIP_MAGIC = b"PK\x03\x04"
_SHARED_MEMBER = "all"  # the member file of a project that labels together
_NAME_AT, _NAME_LENGTH_AT = 30, 26  # in the header of an archive's first file
_OPENING_BYTES = 2**16
_EARLIEST_TIME = (1980, 1, 1, 0, 0, 0)  # fixed, so that the same rows give the same bytes
_MEMBER_SUFFIXES = (".jsonl", ".json", ".csv")
_DAMAGE_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError, OverflowError)


def _is_doccano_archive(opening: bytes) -> bool:
    """Return whether a zip archive's first file holds records; workbooks and others begin with other names."""
    if not opening.startswith(_ZIP_MAGIC):
        return False
    length = int.from_bytes(opening[_NAME_LENGTH_AT : _NAME_LENGTH_AT + 2], "little")
    name = opening[_NAME_AT : _NAME_AT + length].decode(errors="replace")
    return name.endswith(_MEMBER_SUFFIXES) and "/" not in name.rstrip("/")


@dataclass(frozen=True)
class _ArchiveMember:
    """A file in an archive, with as much of a path's interface as a source needs."""

    archive: zipfile.ZipFile  # one for all members: opening it for each would read the list of all of them each time
    inner: str

    @property
    def name(self) -> str:
        return f"{Path(str(self.archive.filename)).name}/{self.inner}"

    @property
    def suffix(self) -> str:
        return Path(self.inner).suffix

    def open(self, mode: str = "rb") -> IO[bytes]:
        return _MemberReader(self.archive.open(self.inner), self.name)


class _MemberReader(io.BufferedReader):
    """A file in an archive that is being read; damage raises UserError wherever it is found."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        super().__init__(_RawMember(file, name))


class _RawMember(io.RawIOBase):
    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._name = file, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except _DAMAGE_ERRORS as error:
            raise _damage_error(error, self._name) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        with suppress(*_DAMAGE_ERRORS):
            self._file.close()
        super().close()


def _iterate_members(source: FormatSource) -> Iterator[str | None]:
    """Set the source to each file of an archive in turn, and yield the member's name; once, with None, where it is no archive."""
    if not source.opening.startswith(_ZIP_MAGIC):
        yield None
        return
    archive, opening, unit = source.path, source.opening, source.unit
    unpacked = _open_archive(archive)
    try:
        for inner in _member_names(unpacked, archive.name):
            member = _ArchiveMember(unpacked, inner)
            source.path, source.number = cast(Path, member), 0
            source.opening = _member_opening(member)
            name = inner.rpartition(".")[0]
            if name == _SHARED_MEMBER:
                source.warnings.append(f"{member.name} doesn't say who labelled")
            else:
                source.warnings.append(f"{member.name}: an empty label may mean no label or not seen; it counts as skipped")
            if source.opening.strip():
                yield None if name == _SHARED_MEMBER else name
    finally:
        source.path, source.opening, source.unit = archive, opening, unit
        unpacked.close()


def _open_archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except _DAMAGE_ERRORS as error:
        raise _damage_error(error, path.name) from error


def _member_names(archive: zipfile.ZipFile, where: str) -> list[str]:
    """Return the members that hold records, in their order."""
    names = [name for name in archive.namelist() if name.endswith(_MEMBER_SUFFIXES)]
    if not names:
        raise UserError("there are no records in this archive", "export as JSONL, in a zip or by itself", where=where)
    return names


def _member_opening(member: _ArchiveMember) -> bytes:
    try:
        with member.open() as file:
            return file.read(_OPENING_BYTES)
    except _DAMAGE_ERRORS as error:
        raise _damage_error(error, member.name) from error


def _damage_error(error: Exception, name: str) -> UserError:
    return UserError(f"the archive can't be unpacked: {str(error).partition(chr(10))[0]}", "copy or export it again", where=name)


def _write_members(
    rows: Iterator[tuple[int, list[tuple[str | None, FileRow]]]],
    record: Callable[[str | None, Mapping[str, Any]], FileRow],
    target: FormatTarget,
) -> int:
    """Write rows, split by annotator, as JSON Lines; as an archive of them where there is more than one."""
    count, people = 0, dict[str | None, str]()
    with RowSpool() as spool:
        for count, parts in rows:
            for person, row in parts:
                if person not in people:
                    people[person] = _member_name(person, count)
                spool.add(count, [person, row])
        if len(people) <= 1:
            _write_lines(((number, row) for number, (_, row) in spool), None, record, target.file)
        else:
            _write_archive(spool, people, record, target.file)
    return count


def _write_archive(spool: RowSpool, people: dict[str | None, str], record: Callable[..., FileRow], file: IO[bytes]) -> None:
    """Write one member at a time: the spool is read once for each, so that only one line is in memory."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for person, name in people.items():
            entry = zipfile.ZipInfo(name, _EARLIEST_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as inner:
                said = ((number, row) for number, (whose, row) in spool if whose == person)
                _write_lines(said, person, record, inner)


def _write_lines(parts: Iterator[tuple[int, FileRow]], member: str | None, record: Callable[..., FileRow], file: IO[bytes]) -> None:
    for number, row in parts:
        with row_location(number):
            file.write(to_json(record(member, row), f"row {number}").encode() + b"\n")


def _member_name(person: str | None, number: int) -> str:
    if person is not None and (person == _SHARED_MEMBER or not person or "/" in person or "\\" in person or person.startswith(".")):
        raise UserError(f"{person!r:.60} can't be the name of a file in doccano's archive", "rename the annotator", where=f"row {number}")
    return f"{_SHARED_MEMBER if person is None else person}.jsonl"


_LABEL, _ENTITIES, _CATS = "label", "entities", "cats"
_MAX_CLASSES = 1_000  # with more different labels they are no classes
_SENTENCE_WORDS = 4  # words that a free text has on average, and a class hasn't


def _sniff(opening: bytes) -> bool:
    if _is_doccano_archive(opening):
        return True
    first = peek_first_record(opening)
    if not first.has("text") and not first.has("filename"):
        return False
    if first.has_typed("Comments", list):
        return True
    return any(_are_spans(first.fields.get(name)) for name in (_LABEL, _ENTITIES))


def _are_spans(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_span, value))


def _is_span(value: Any) -> bool:
    if isinstance(value, dict):
        return {"start_offset", "end_offset", "label"} <= value.keys()
    return isinstance(value, list) and len(value) == 3 and isinstance(value[2], str) and not isinstance(value[0], str)


def _read(source: FormatSource) -> Iterator[FileRow]:
    kind = _detect_label_kind(source)
    for member in _iterate_members(source):
        yield from map_records(source, _read_records(source), partial(row_from_record, _shape(kind, member)))


def _read_records(source: FormatSource) -> Iterator[FileRow]:
    if not _is_table(source):
        return read_json_records(source)
    return map(_record_from_cells, csv_format.read_delimited(source))


def _is_table(source: FormatSource) -> bool:
    header = source.opening.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0]
    return b"text" in header and not header.startswith((b"{", b"["))


def _record_from_cells(row: FileRow) -> FileRow:
    """Return a record of the CSV, whose labels are joined with #."""
    joined = {name: row[name].split("#") if row[name] else [] for name in (_LABEL, "Comments") if name in row}
    return {**row, **joined, **({"id": int(row["id"])} if str(row.get("id")).isdecimal() and len(row["id"]) < 20 else {})}


class _LabelStatistics:
    """Counts the texts in a file's label lists, and decides what they are: a choice, a multilabel, or free texts."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.count = self.words = self.most = 0

    def add(self, record: Mapping[str, Any]) -> None:
        given: list[Any] = next((record[name] for name in (_LABEL, _CATS) if isinstance(record.get(name), list)), [])
        labels = [label for label in given if isinstance(label, str)]
        self.most = max(self.most, len(labels))
        self.count += len(labels)
        self.words += sum(len(label.split()) for label in labels)
        if len(self.seen) <= _MAX_CLASSES:
            self.seen.update(labels)

    @property
    def kind(self) -> str:
        if self.count and self.words >= _SENTENCE_WORDS * self.count and len(self.seen) > min(self.count // 2, _MAX_CLASSES):
            return "write"
        return "multilabel" if self.most > 1 else "choice"


def _detect_label_kind(source: FormatSource) -> str:
    labels = _LabelStatistics()
    probe = replace(source, warnings=[], on_fault=lambda fault: None)
    with suppress(UserError):  # it is reported when the rows are read
        for _ in _iterate_members(probe):
            for record in _read_records(probe):
                labels.add(record)
    if labels.count:
        meant = {"write": "answers in one's own words", "choice": "one class each", "multilabel": "classes"}[labels.kind]
        source.warnings.append(f"doccano doesn't say what kind of labels these are; they are taken for {meant}")
    return labels.kind


def _shape(kind: str, member: str | None) -> RecordShape:
    return RecordShape("doccano", partial(_to_row, kind, member), _to_record)


def _to_row(kind: str, member: str | None, record: Mapping[str, Any]) -> FileRow:
    text = require_text(record, "text" if "text" in record or "filename" not in record else "filename")
    said = [
        *_judgments_of_field(record, _LABEL, kind, text),
        *_judgments_of_field(record, _ENTITIES, kind, text),
        *_judgments_of_field(record, _CATS, kind, text),
    ]
    if not said and member and any(isinstance(record.get(name), list) for name in (_LABEL, _ENTITIES, _CATS)):
        said = [make_judgment(_LABEL, None, None, status="skipped")]
    comments = get_list(record, "Comments")
    note = comments[0] if len(comments) == 1 and len(said) == 1 and isinstance(comments[0], str) else None
    row: FileRow = {} if (id_ := optional_name(record, "id")) is None else {"id": id_}
    row["text"] = text
    if said:
        row["judgments"] = [{**each, **_known_fields(annotator=member, note=note)} for each in said]
    return row


def _known_fields(**fields: str | None) -> FileRow:
    return {name: value for name, value in fields.items() if value}


def _judgments_of_field(record: Mapping[str, Any], name: str, kind: str, text: str) -> list[FileRow]:
    """Return the judgments that one field holds, without an annotator yet."""
    given = record.get(name)
    labels = [given] if isinstance(given, str) else get_list(record, name)
    if not labels:
        return []
    if all(isinstance(label, str) for label in labels):
        if kind == "write":
            return [make_judgment(name, kind, {"text": label, "from": None}) for label in labels]
        return [
            make_judgment(name, "choice", labels[0]) if kind == "choice" and len(labels) == 1 else make_judgment(name, "multilabel", labels)
        ]
    if not all(map(_is_span, labels)):
        raise UserError(f"{name} must hold texts, or [start, end, label] each, not {labels!r:.80}")
    parts = [_span_parts(each) for each in labels]
    if not all(isinstance(word, str) for _, _, word in parts):
        raise UserError(f"a label in {name} must be a text, not {parts!r:.80}")
    passages = [QuotedSpan(parse_offset(start, f"a start in {name}"), parse_offset(end, f"an end in {name}")) for start, end, _ in parts]
    places, _ = to_code_points(text, passages)
    words = [word for _, _, word in parts]
    spans = [{"start": start, "end": end, "label": label} for (start, end), label in zip(places, words, strict=True)]
    return [make_judgment(name, "spans", spans)]


def _span_parts(span: Any) -> tuple[Any, Any, Any]:
    if isinstance(span, dict):
        return span["start_offset"], span["end_offset"], span["label"]
    start, end, label = span
    return start, end, label


def _to_record(row: Mapping[str, Any]) -> FileRow:
    id_ = optional_name(row, "id")
    record: FileRow = {} if id_ is None else {"id": int(id_) if id_.isascii() and id_.isdecimal() and str(int(id_[:4000])) == id_ else id_}
    record["text"] = content_text(row)
    counted = submitted_judgments(row)
    spans = [each for each in counted if each.get("kind") == "spans"]
    others = [each for each in counted if each.get("kind") in ("choice", "multilabel", "write")]
    if spans and others:
        record |= {_ENTITIES: _span_triples(spans[0]), _CATS: _label_texts(others)}
    elif spans and spans[0].get("question") == _ENTITIES:
        names = ("start_offset", "end_offset", "label")
        entities = [{"id": n, **dict(zip(names, span, strict=True))} for n, span in enumerate(_span_triples(spans[0]), start=1)]
        record |= {_ENTITIES: entities, "relations": []}
    else:
        record[_LABEL] = _span_triples(spans[0]) if spans else _label_texts(others)
    notes = [each["note"] for each in counted if each.get("note")]
    return {**record, "Comments": notes}


def _span_triples(given: FileRow) -> list[list[Any]]:
    answer = given.get("answer")
    if not isinstance(answer, list) or not all(isinstance(span, dict) for span in answer):
        raise UserError(f"spans must be a list of start, end and label, not {answer!r:.80}")
    return [[span.get("start"), span.get("end"), span.get("label")] for span in answer]


def _label_texts(given: list[FileRow]) -> list[str]:
    """Return the labels of the first question, or all texts that were written for it."""
    if not given:
        return []
    first = given[0]
    answers = [each.get("answer") for each in given if json_equal(each.get("question"), first.get("question"))]
    if first.get("kind") == "multilabel":
        answers = answers[0] if isinstance(answers[0], list) else []
    texts = [answer.get("text") if isinstance(answer, dict) else answer for answer in answers]
    labels = [text for text in texts if isinstance(text, str)]
    if len(labels) < len(texts):
        raise UserError(f"doccano's labels are texts, not {texts!r:.80}")
    return labels[:1] if first.get("kind") == "choice" else labels


def _write(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    labels = _LabelStatistics()

    def parted(row: Mapping[str, Any]) -> list[tuple[str | None, FileRow]]:
        parts = _by_annotator(row)
        for _, said in parts:
            labels.add(_to_record(said))
        return parts

    def record(member: str | None, row: Mapping[str, Any]) -> FileRow:
        return record_from_row(_shape(labels.kind, member), row)  # called when all rows have been seen, as a reader will see them

    return _write_members(convert_rows(rows, parted, target), record, target)


def _by_annotator(row: Mapping[str, Any]) -> list[tuple[str | None, FileRow]]:
    """Return a copy of the row for each annotator, with their judgments."""
    content_text(row)
    return [(part["judgments"][0].get("annotator"), part) for part in split_by_annotator(row)] or [(None, dict(row))]


formats.register("doccano")(FileFormat("doccano", (), _sniff, _read, _write, by_shape=True, grouped=True))
