"""What a Potato server keeps: `<person>/user_state.json` under its output folder, beside the config and the data files."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from preceptor.errors import UserError
from preceptor.formats.format import Row
from preceptor.formats.interchange import mapped
from preceptor.formats.json_text import DECODER, not_json
from preceptor.formats.reading import read as read_file
from preceptor.formats.source import Source
from preceptor.formats.tools.potato_config import PotatoProject, find_config, read_config
from preceptor.formats.tools.potato_labels import NO_KIND
from preceptor.formats.tools.rows import list_at, named_by, table_at, text_at, time_of

BESIDE = "\0beside"  # what a state knows of an answer and an exported record does not; never a field of a file
STATE = "user_state.json"
_DEPTHS = (STATE, f"*/{STATE}", f"annotation_output/*/{STATE}", f"annotation_output/*/*/{STATE}")


@dataclass(frozen=True)
class Known:
    """What is known of the records of a file: the kinds of their questions, and the items' content with the name of its field."""

    kinds: Mapping[str, str] = field(default_factory=dict)
    contents: Mapping[str, Row] = field(default_factory=dict)
    text_key: str = "text"


ToRow = Callable[[Known, Row], Row]


@dataclass(frozen=True)
class _Named:
    """A place in a folder, as much of a path as messages need."""

    name: str


def is_folder(path: Path) -> bool:
    """Whether a folder holds a Potato project, or what its people said."""
    return any(next(path.glob(depth), None) for depth in _DEPTHS) or find_config(path) is not None


def read(source: Source, to_row: ToRow) -> Iterator[Row]:
    """What each person said of each item, with the items' content where the config says where it is; then the other items."""
    folder = source.path
    project = _project(folder, *folder.resolve().parents[:2])
    known = _known(project, source)
    labelled: set[str] = set()
    try:
        for state in _states(folder, project):
            source.path = cast(Path, _Named(f"{folder.name}/{state.relative_to(folder) if state.is_relative_to(folder) else state.name}"))
            source.unit = "instance"
            records = _told(source, state)
            labelled |= yield from _noted(mapped(source, records, partial(to_row, known)))
        source.path, source.unit = cast(Path, _Named(f"{folder.name}/data files")), "item"
        for source.number, (id_, content) in enumerate(known.contents.items(), start=1):
            if id_ not in labelled:
                yield {"id": id_, **content}
    finally:
        source.path = folder


def _noted(rows: Iterator[Row]) -> Generator[Row, None, set[str]]:
    """The rows, and in the end the ids of their items."""
    seen = set()
    for row in rows:
        seen.add(row["id"])
        yield row
    return seen


def known_near(source: Source) -> Known:
    """What a config in the file's folder, or in the one above, says of its records."""
    folder = source.path.resolve().parent
    try:
        return _known(_project(folder, folder.parent), source)
    except UserError as error:
        source.warnings.append(f"the config near {source.path.name} isn't used: {error}")
        return Known()


def _project(*folders: Path) -> PotatoProject | None:
    config = next(filter(None, map(find_config, folders)), None)
    return read_config(config) if config else None


def _known(project: PotatoProject | None, source: Source) -> Known:
    if project is None:
        source.warnings.append(f"there is no config.yaml near {source.path.name}: the texts of the items aren't known")
        return Known()
    kinds = {**project.kinds, **dict.fromkeys(project.left_out, NO_KIND)}
    return Known(kinds, dict(_contents(project, source)), project.text_key)


def _states(folder: Path, project: PotatoProject | None) -> list[Path]:
    found = {path for depth in _DEPTHS for path in folder.glob(depth)}
    if project and project.output.is_dir():
        found |= set(project.output.glob(f"*/{STATE}"))
    return sorted({path.resolve(): path for path in sorted(found)}.values())


def _contents(project: PotatoProject, source: Source) -> Iterator[tuple[str, Row]]:
    """Every item of the data files by its id."""
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
                id_ = named_by(row, project.id_key)
                content = content_of(row, project)
            except UserError as error:
                source.fault(UserError(error.message, error.hint, where=rows.where))
                continue
            yield id_ or f"item_{number}", content


def content_of(row: Mapping[str, Any], project: PotatoProject) -> Row:
    """An item of a data file as content with what else is known of it: two texts where people compare them."""
    given = row.get(project.text_key)
    rest = {name: value for name, value in row.items() if name not in (project.id_key, project.text_key)}
    beside = {"metadata": rest} if rest else {}
    if isinstance(given, list) and all(isinstance(text, str) for text in given):
        if project.compares and len(given) >= 2:
            return {"prompt": "", "responses": given, **beside}
        return {"text": "\n".join(given), **beside}
    if isinstance(given, dict):
        return {"text": "\n".join(f"{name}: {value}" for name, value in given.items()), **beside}
    if isinstance(given, int | float) and not isinstance(given, bool):
        return {"text": str(given), **beside}
    return {"text": text_at(row, project.text_key), **beside}


def records_of_state(source: Source) -> Iterator[Row]:
    """The records of one user_state.json that is read by itself."""
    source.unit = "instance"
    return _told(source, source.path)


def _told(source: Source, state: Path) -> Iterator[Row]:
    """The records of a person's state; a state that can't be read is one fault."""
    source.number = 0
    try:
        found = list(_records(_loaded(state)))
    except UserError as error:
        source.fault(UserError(error.message, error.hint, where=source.where))
        return
    for source.number, record in enumerate(found, start=1):
        yield record


def _loaded(state: Path) -> dict[str, Any]:
    try:
        value = DECODER.decode(state.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"can't be read: {os.strerror(error.errno or 0)}", "check its permissions") from None
    except (ValueError, RecursionError) as error:
        raise not_json(error, "") from None
    if not isinstance(value, dict):
        raise UserError("this is not one person's state, with named values", "copy the folder again")
    return value


def _records(state: dict[str, Any]) -> Iterator[Row]:
    person = named_by(state, "user_id")
    labels = table_at(state, "instance_id_to_label_to_value")
    spans = table_at(state, "instance_id_to_span_to_value")
    links = table_at(state, "instance_id_to_link_to_value")
    shown = table_at(state, "instance_id_to_presentation_order")
    seen = table_at(state, "instance_id_to_behavioral_data")
    order = [id_ for id_ in list_at(state, "instance_id_ordering") if isinstance(id_, str)]
    for id_ in dict.fromkeys([*(id_ for id_ in order if id_ in labels or id_ in spans), *labels, *spans]):
        changes = list_at(table_at(seen, id_), "annotation_changes")
        chosen = {question: _settled(question, given, changes) for question, given in _by_question(labels.get(id_, [])).items()}
        yield {
            "instance_id": id_,
            "user_id": person or "",
            "labels": chosen,
            "spans": _passages(spans.get(id_, [])),
            "links": links.get(id_) or {},
            BESIDE: {"shown": table_at(shown, id_), **_timing(table_at(seen, id_))},
        }


def _by_question(given: Any) -> dict[str, dict[str, Any]]:
    """Labels by question, stored as pairs of a label and its value, or nested."""
    if isinstance(given, dict):
        if not all(isinstance(labels, dict) for labels in given.values()):
            raise UserError(f"labels must be held by question, not {given!r:.80}")
        return given
    found: dict[str, dict[str, Any]] = {}
    for pair in list_at({"labels": given}, "labels"):
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], dict):
            raise UserError(f"a stored label must be a pair of {{schema, name}} and a value, not {pair!r:.80}")
        question, name = pair[0].get("schema"), pair[0].get("name")
        if not isinstance(question, str) or not isinstance(name, str):
            raise UserError(f"a stored label has no schema or name: {pair!r:.80}")
        found.setdefault(question, {})[name] = pair[1]
    return found


def _settled(question: str, labels: dict[str, Any], changes: list[Any]) -> dict[str, Any]:
    """The labels with the one last chosen at the end, as the page recorded it: old servers kept those that were given up."""
    last = [change.get("label_name") for change in changes if isinstance(change, dict) and change.get("schema_name") == question]
    final = next((name for name in reversed(last) if isinstance(name, str) and name in labels), None)
    if final is None:
        return labels
    return {**{name: value for name, value in labels.items() if name != final}, final: labels[final]}


def _passages(given: Any) -> dict[str, list[Any]]:
    """Spans by question, stored as pairs of a span and its value, or by question."""
    if isinstance(given, dict):
        return {
            question: list(spans.values()) if isinstance(spans, dict) else list_at({question: spans}, question)
            for question, spans in given.items()
        }
    found: dict[str, list[Any]] = {}
    for pair in list_at({"spans": given}, "spans"):
        span = pair[0] if isinstance(pair, list) and pair else pair
        if not isinstance(span, dict) or not isinstance(span.get("schema"), str):
            raise UserError(f"a stored span has no schema: {pair!r:.80}")
        found.setdefault(span["schema"], []).append(span)
    return found


def _timing(seen: Mapping[str, Any]) -> Row:
    spent = seen.get("total_time_ms")
    ended = time_of(seen.get("session_end") or seen.get("session_start"))
    seconds = spent / 1000 if isinstance(spent, int | float) and not isinstance(spent, bool) and 0 < spent < 1e12 else None
    return {name: value for name, value in (("time", ended), ("seconds", seconds)) if value is not None}


def beside(record: Mapping[str, Any]) -> Row:
    """What a state knows of a record besides."""
    known = record.get(BESIDE)
    return known if isinstance(known, dict) else {}


def parsed(text: str, what: str) -> Any:
    """A cell that holds JSON."""
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        fault = not_json(error, "")
        raise UserError(f"{what}: {fault.message}", fault.hint) from None
