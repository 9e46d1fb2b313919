"""Read and write Potato: annotations.jsonl as `potato export` writes it, its CSV and TSV, and the folder of a server.

A record is what one annotator said about one item: `{"instance_id", "user_id", "labels": {question: {label: value}}, "spans": {question:
[passages]}, "links"}`. All values are texts ("true", "3"). A file of records doesn't hold the items' texts; a folder (`config.yaml`, or
`<person>/user_state.json` under its output folder) is read together with its data files, and so is a file with a config beside or above it;
the items' texts stay in memory meanwhile. Passages count characters of the page, where runs of spaces are one; their places in the stored
text are restored where it is known.

The canonical form is annotations.jsonl, one line per annotator and item. In a table, empty cells are no labels. Answers to surveys before
and after the items, and what the page recorded of how people typed, are not read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from preceptor.errors import UserError
from preceptor.formats import csv_format
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.interchange import (
    RowSpool,
    convert_rows,
    get_judgments,
    get_list,
    get_table,
    iso_from_unix,
    map_records,
    optional_name,
    require_item_id,
    require_text,
    row_location,
    split_by_annotator,
)
from preceptor.formats.json_format import STRICT_DECODER, json_error, peek_first_record, read_json_records, to_json
from preceptor.formats.reader import read as read_file
from preceptor.formats.tools.potato_config import PotatoProject, find_potato_config, read_potato_project
from preceptor.formats.tools.potato_labels import (
    UNSUPPORTED_KIND,
    is_unreadable,
    judgment_from_spans,
    judgments_from_labels,
    labels_from_judgment,
    spans_from_judgment,
)
from preceptor.formats.tools.round_trip import RecordShape, record_from_row, row_from_record
from preceptor.types import render_content

_STATE_EXTRAS_KEY = "\0beside"  # what a state holds of an answer and an exported record doesn't; never a field of a file
_STATE_FILE = "user_state.json"
_STATE_PATTERNS = (_STATE_FILE, f"*/{_STATE_FILE}", f"annotation_output/*/{_STATE_FILE}", f"annotation_output/*/*/{_STATE_FILE}")


@dataclass(frozen=True)
class _PotatoContext:
    """What is known of the records of a file.

    kinds: of their questions, by name. contents: of the items, by id. text_key: the name of an item's text field.
    """

    kinds: Mapping[str, str] = field(default_factory=dict)
    contents: Mapping[str, FileRow] = field(default_factory=dict)
    text_key: str = "text"


_ToPotatoRow = Callable[[_PotatoContext, FileRow], FileRow]


@dataclass(frozen=True)
class _PotatoPath:
    """A place in a folder, with as much of a path's interface as messages need."""

    name: str


def _is_potato_folder(path: Path) -> bool:
    """Return whether a folder holds a Potato project, or the states of its annotators."""
    return any(next(path.glob(depth), None) for depth in _STATE_PATTERNS) or find_potato_config(path) is not None


def _read_potato_folder(source: FormatSource, to_row: _ToPotatoRow) -> Iterator[FileRow]:
    """Yield what each annotator said of each item, with the item's content where the config says where it is; then the other items."""
    folder = source.path
    project = _find_project(folder, *folder.resolve().parents[:2])
    known = _project_context(project, source)
    labelled: set[str] = set()
    try:
        for state in _state_files(folder, project):
            source.path = cast(
                Path, _PotatoPath(f"{folder.name}/{state.relative_to(folder) if state.is_relative_to(folder) else state.name}")
            )
            source.unit = "instance"
            records = _records_or_fault(source, state)
            labelled |= yield from _yield_and_collect_ids(map_records(source, records, partial(to_row, known)))
        source.path, source.unit = cast(Path, _PotatoPath(f"{folder.name}/data files")), "item"
        for source.number, (id_, content) in enumerate(known.contents.items(), start=1):
            if id_ not in labelled:
                yield {"id": id_, **content}
    finally:
        source.path = folder


def _yield_and_collect_ids(rows: Iterator[FileRow]) -> Generator[FileRow, None, set[str]]:
    """Yield the rows, and return the ids of their items."""
    seen = set()
    for row in rows:
        seen.add(row["id"])
        yield row
    return seen


def _context_near(source: FormatSource) -> _PotatoContext:
    """Return what a config in the file's folder, or in the one above, says of its records."""
    folder = source.path.resolve().parent
    try:
        return _project_context(_find_project(folder, folder.parent), source)
    except UserError as error:
        source.warnings.append(f"the config near {source.path.name} isn't used: {error}")
        return _PotatoContext()


def _find_project(*folders: Path) -> PotatoProject | None:
    config = next(filter(None, map(find_potato_config, folders)), None)
    return read_potato_project(config) if config else None


def _project_context(project: PotatoProject | None, source: FormatSource) -> _PotatoContext:
    if project is None:
        source.warnings.append(f"there is no config.yaml near {source.path.name}: the texts of the items aren't known")
        return _PotatoContext()
    kinds = {**project.kinds, **dict.fromkeys(project.unsupported, UNSUPPORTED_KIND)}
    return _PotatoContext(kinds, dict(_read_contents(project, source)), project.text_key)


def _state_files(folder: Path, project: PotatoProject | None) -> list[Path]:
    found = {path for depth in _STATE_PATTERNS for path in folder.glob(depth)}
    if project and project.output.is_dir():
        found |= set(project.output.glob(f"*/{_STATE_FILE}"))
    return sorted({path.resolve(): path for path in sorted(found)}.values())


def _read_contents(project: PotatoProject, source: FormatSource) -> Iterator[tuple[str, FileRow]]:
    """Yield every item of the data files with its id."""
    for number, data in enumerate(project.data_files, start=1):
        if not data.path.is_file():
            source.warnings.append(f"{data.path.name} is named by the config and isn't there: its items have no text here")
            continue
        if data.encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig", "ascii"):
            source.warnings.append(f"{data.path.name} is {data.encoding}; save it as UTF-8, and its items can be read")
            continue
        rows = read_file(data.path, on_fault=source.on_fault)
        for row in rows:
            try:
                id_ = optional_name(row, project.id_key)
                content = _content_of_item(row, project)
            except UserError as error:
                source.report_fault(UserError(error.message, error.hint, where=rows.where))
                continue
            yield id_ or f"item_{number}", content


def _content_of_item(row: Mapping[str, Any], project: PotatoProject) -> FileRow:
    """Return an item of a data file as content and metadata: two texts where annotators compare them."""
    given = row.get(project.text_key)
    rest = {name: value for name, value in row.items() if name not in (project.id_key, project.text_key)}
    beside = {"metadata": rest} if rest else {}
    if isinstance(given, list) and all(isinstance(text, str) for text in given):
        if project.has_comparisons and len(given) >= 2:
            return {"prompt": "", "responses": given, **beside}
        return {"text": "\n".join(given), **beside}
    if isinstance(given, dict):
        return {"text": "\n".join(f"{name}: {value}" for name, value in given.items()), **beside}
    if isinstance(given, int | float) and not isinstance(given, bool):
        return {"text": str(given), **beside}
    return {"text": require_text(row, project.text_key), **beside}


def _records_of_state_file(source: FormatSource) -> Iterator[FileRow]:
    """Yield the records of one user_state.json that is read by itself."""
    source.unit = "instance"
    return _records_or_fault(source, source.path)


def _records_or_fault(source: FormatSource, state: Path) -> Iterator[FileRow]:
    """Yield the records of an annotator's state; a state that can't be read is one fault."""
    source.number = 0
    try:
        found = list(_records_of_state(_load_state(state)))
    except UserError as error:
        source.report_fault(UserError(error.message, error.hint, where=source.where))
        return
    for source.number, record in enumerate(found, start=1):
        yield record


def _load_state(state: Path) -> dict[str, Any]:
    try:
        value = STRICT_DECODER.decode(state.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"can't be read: {os.strerror(error.errno or 0)}", "check its permissions") from None
    except (ValueError, RecursionError) as error:
        raise json_error(error, "") from None
    if not isinstance(value, dict):
        raise UserError("this is not one person's state, with named values", "copy the folder again")
    return value


def _records_of_state(state: dict[str, Any]) -> Iterator[FileRow]:
    person = optional_name(state, "user_id")
    labels = get_table(state, "instance_id_to_label_to_value")
    spans = get_table(state, "instance_id_to_span_to_value")
    links = get_table(state, "instance_id_to_link_to_value")
    shown = get_table(state, "instance_id_to_presentation_order")
    seen = get_table(state, "instance_id_to_behavioral_data")
    order = [id_ for id_ in get_list(state, "instance_id_ordering") if isinstance(id_, str)]
    for id_ in dict.fromkeys([*(id_ for id_ in order if id_ in labels or id_ in spans), *labels, *spans]):
        changes = get_list(get_table(seen, id_), "annotation_changes")
        chosen = {
            question: _last_choice_last(question, given, changes) for question, given in _labels_by_question(labels.get(id_, [])).items()
        }
        yield {
            "instance_id": id_,
            "user_id": person or "",
            "labels": chosen,
            "spans": _spans_by_question(spans.get(id_, [])),
            "links": links.get(id_) or {},
            _STATE_EXTRAS_KEY: {"shown": get_table(shown, id_), **_timing(get_table(seen, id_))},
        }


def _labels_by_question(given: Any) -> dict[str, dict[str, Any]]:
    """Return labels by question; they are stored as pairs of a label and its value, or nested."""
    if isinstance(given, dict):
        if not all(isinstance(labels, dict) for labels in given.values()):
            raise UserError(f"labels must be held by question, not {given!r:.80}")
        return given
    found: dict[str, dict[str, Any]] = {}
    for pair in get_list({"labels": given}, "labels"):
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], dict):
            raise UserError(f"a stored label must be a pair of {{schema, name}} and a value, not {pair!r:.80}")
        question, name = pair[0].get("schema"), pair[0].get("name")
        if not isinstance(question, str) or not isinstance(name, str):
            raise UserError(f"a stored label has no schema or name: {pair!r:.80}")
        found.setdefault(question, {})[name] = pair[1]
    return found


def _last_choice_last(question: str, labels: dict[str, Any], changes: list[Any]) -> dict[str, Any]:
    """Return the labels with the one chosen last at the end, as the page recorded it: old servers kept those that were deselected."""
    last = [change.get("label_name") for change in changes if isinstance(change, dict) and change.get("schema_name") == question]
    final = next((name for name in reversed(last) if isinstance(name, str) and name in labels), None)
    if final is None:
        return labels
    return {**{name: value for name, value in labels.items() if name != final}, final: labels[final]}


def _spans_by_question(given: Any) -> dict[str, list[Any]]:
    """Return spans by question; they are stored as pairs of a span and its value, or by question."""
    if isinstance(given, dict):
        return {
            question: list(spans.values()) if isinstance(spans, dict) else get_list({question: spans}, question)
            for question, spans in given.items()
        }
    found: dict[str, list[Any]] = {}
    for pair in get_list({"spans": given}, "spans"):
        span = pair[0] if isinstance(pair, list) and pair else pair
        if not isinstance(span, dict) or not isinstance(span.get("schema"), str):
            raise UserError(f"a stored span has no schema: {pair!r:.80}")
        found.setdefault(span["schema"], []).append(span)
    return found


def _timing(seen: Mapping[str, Any]) -> FileRow:
    spent = seen.get("total_time_ms")
    ended = iso_from_unix(seen.get("session_end") or seen.get("session_start"))
    seconds = spent / 1000 if isinstance(spent, int | float) and not isinstance(spent, bool) and 0 < spent < 1e12 else None
    return {name: value for name, value in (("time", ended), ("seconds", seconds)) if value is not None}


def _state_extras(record: Mapping[str, Any]) -> FileRow:
    """Return what a state holds of a record besides its fields."""
    known = record.get(_STATE_EXTRAS_KEY)
    return known if isinstance(known, dict) else {}


def _parse_json_cell(text: str, what: str) -> Any:
    """Return the value of a cell that holds JSON."""
    try:
        return STRICT_DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        fault = json_error(error, "")
        raise UserError(f"{what}: {fault.message}", fault.hint) from None


_STATE_FIELD = "instance_id_to_label_to_value"
_TABLE_HEADERS = (b"instance_id,user_id", b"instance_id\tuser_id")


def _sniff(opening: bytes) -> bool:
    if _is_table(opening):
        return True
    first = peek_first_record(opening)
    return (first.has("instance_id", "user_id") and first.has_typed("labels", dict)) or (
        first.has("user_id") and first.has_typed(_STATE_FIELD, dict)
    )


def _is_table(opening: bytes) -> bool:
    return opening.removeprefix(b"\xef\xbb\xbf").startswith(_TABLE_HEADERS)


def _read(source: FormatSource) -> Iterator[FileRow]:
    if source.path.is_dir():
        yield from _read_potato_folder(source, _row_from_record)
        return
    known = _context_near(source)
    if peek_first_record(source.opening).has(_STATE_FIELD):
        found = _records_of_state_file(source)
    else:
        found = _read_records(source)
        if not known.kinds and (several := _find_multilabels(source)):
            source.warnings.append(f"several labels are chosen together for {', '.join(sorted(several))}; they are taken for multilabels")
            known = _PotatoContext(dict.fromkeys(several, "multilabel"))
    yield from map_records(source, found, partial(_row_from_record, known))


def _read_records(source: FormatSource) -> Iterator[FileRow]:
    if not _is_table(source.opening):
        return read_json_records(source)
    return map_records(source, csv_format.read_delimited(source), _record_from_cells)


def _record_from_cells(row: FileRow) -> FileRow:
    """Return a record of the table: columns `<question>.<label>`, and `<question>._spans` with JSON."""
    record: FileRow = {"instance_id": row.get("instance_id"), "user_id": row.get("user_id"), "labels": {}, "spans": {}, "links": {}}
    for column, cell in row.items():
        question, _, label = column.partition(".")
        if not cell or column in ("instance_id", "user_id"):
            continue
        if label == "_spans":
            record["spans"][question] = _parse_json_cell(cell, f"column {column!r}")
        elif label in ("_room", "_room_id") or column.startswith(("annotator_origin", "engine_")):
            record[column] = cell
        else:
            record["labels"].setdefault(question, {})[label] = cell
    return record


def _find_multilabels(source: FormatSource) -> set[str]:
    """Return the questions for which several labels are chosen together anywhere in the file: a file alone doesn't say their kind."""
    found: set[str] = set()
    probe = replace(source, warnings=[], on_fault=lambda fault: None)
    with suppress(UserError):  # it is reported when the rows are read
        for record in _read_records(probe):
            found |= _chosen_together(record)
    return found


def _chosen_together(record: Mapping[str, Any]) -> set[str]:
    labels = record.get("labels")
    known = {question: chosen for question, chosen in labels.items() if isinstance(chosen, dict)} if isinstance(labels, dict) else {}
    return {q for q, chosen in known.items() if any(each.get("kind") == "multilabel" for each in judgments_from_labels(q, chosen, None))}


def _row_from_record(known: _PotatoContext, record: FileRow) -> FileRow:
    content = known.contents.get(str(record.get("instance_id")))
    text = render_content(content) if content else None
    to_row = partial(_to_row, known.kinds, text, known.text_key, _state_extras(record))
    shape = RecordShape("potato", to_row, _to_record, by_person=True)
    row = row_from_record(shape, {name: value for name, value in record.items() if name != _STATE_EXTRAS_KEY})
    if not content:
        return row
    metadata = {**content.get("metadata", {}), **row.get("metadata", {})}
    return {**row, **content, **({"metadata": metadata} if metadata else {})}


def _to_row(kinds: Mapping[str, str], text: str | None, text_key: str, beside: FileRow, record: Mapping[str, Any]) -> FileRow:
    id_ = optional_name(record, "instance_id")
    if id_ is None:
        raise UserError("instance_id is missing")
    said: list[FileRow] = []
    for question, labels in get_table(record, "labels").items():
        shown = get_table(beside, "shown").get(question)
        said += judgments_from_labels(question, labels if isinstance(labels, dict) else {"": labels}, kinds.get(question), shown)
        if said and isinstance(shown, list) and said[-1].get("kind") != "compare":
            said[-1]["shown"] = shown
    for question, spans in get_table(record, "spans").items():
        if passages := get_list({question: spans}, question):
            found = judgment_from_spans(question, passages, text, text_key)
            said += [found] if found else []
    person = {"annotator": optional_name(record, "user_id"), **{name: beside.get(name) for name in ("time", "seconds")}}
    known = {name: value for name, value in person.items() if value is not None}
    row: FileRow = {"id": id_}
    if said:
        row["judgments"] = [{**each, **known} for each in said]
    return row


def _to_record(row: Mapping[str, Any]) -> FileRow:
    labels: FileRow = {}
    spans: FileRow = {}
    given = get_judgments(row)
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
            continue  # it is carried in the field `preceptor`
        if each.get("kind") == "spans":
            spans[question] = spans_from_judgment(each)
        elif chosen := labels_from_judgment(each):
            labels[question] = chosen
    return {"instance_id": require_item_id(row), "user_id": (people or [None])[0] or "", "labels": labels, "spans": spans, "links": {}}


def _write(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    """Write the records after all rows have been seen, since a reader infers the kinds of questions from the whole file."""
    several: set[str] = set()
    count = 0
    with RowSpool() as spool:
        for number, parts in convert_rows(rows, _split_row, target):
            count += 1
            for part in parts:
                several |= _chosen_together(_to_record(part))
                spool.add(number, part)
        shape = RecordShape("potato", partial(_to_row, dict.fromkeys(several, "multilabel"), None, "text", {}), _to_record, by_person=True)
        for number, part in spool:
            with row_location(number):
                target.file.write(to_json(record_from_row(shape, part), f"row {number}").encode() + b"\n")
    return count


def _split_row(row: Mapping[str, Any]) -> list[FileRow]:
    require_item_id(row)
    return split_by_annotator(row) or [dict(row)]


formats.register("potato")(FileFormat("potato", (), _sniff, _read, _write, by_shape=True, grouped=True, is_folder=_is_potato_folder))
