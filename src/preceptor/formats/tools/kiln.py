"""Read and write Kiln: a project's folder with a task_run.kiln for every run, a single such file, and the CSV that Kiln imports.

The CSV is read where the format is named. A project's folder holds `project.kiln`, `tasks/<task>/task.kiln` and
`tasks/<task>/runs/<run>/task_run.kiln`.

A run is an item: its `input` is the prompt, its output the completion. An output that a person wrote is their answer to the question
`output`; one that a model wrote is a prediction of that model. Ratings answer the questions `five_star`, `pass_fail` and
`pass_fail_critical`, or those of the task's requirements; Kiln keeps one rating per output, and not whose. A repaired output is a person's
correction, its instructions their note.

The canonical form is the folder, with each run at the place where it was. What else a run holds (usage, trace, reasoning) is restored from
the item's metadata; the files of the project and of each task from that of the task's first run. Splits, evals and other files of a project
are not read. The judgments of several raters are carried beside the one rating that Kiln has a place for.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, cast

from preceptor.errors import UserError
from preceptor.formats import csv_format
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, check_row, formats
from preceptor.formats.interchange import (
    content_text,
    get_list,
    get_table,
    make_judgment,
    make_prediction,
    map_records,
    optional_name,
    require_text,
    row_location,
    submitted_judgments,
)
from preceptor.formats.json_format import STRICT_DECODER, check_json_row, json_error, peek_first_record
from preceptor.formats.tools.round_trip import RecordShape, record_from_row, row_from_record

_FILE_KEY, _TASK_KEY, _PROJECT_KEY = "file", "task", "project"  # where a run was, and the files above it; carried with the run
_UNKNOWN_TIME = "1970-01-01T00:00:00+00:00"  # means that the time isn't known: Kiln requires one
_OUTPUT_QUESTION, _REPAIR_QUESTION = "output", "repaired_output"
_FIVE_STAR, _PASS_FAIL, _PASS_FAIL_CRITICAL, _CUSTOM_RATING = "five_star", "pass_fail", "pass_fail_critical", "custom"
_NAMED_PREFIX = "named::"
_VERDICT_NAMES = {1.0: "pass", 0.0: "fail", -1.0: "critical"}
_CREATOR = "preceptor"
_RUN_RATINGS = (_FIVE_STAR, _PASS_FAIL, _PASS_FAIL_CRITICAL, _CUSTOM_RATING)


def _requirement_names(task: Any) -> dict[str, str]:
    """Return the names of a task's requirements by their ids."""
    given = task.get("requirements") if isinstance(task, dict) else None
    known = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    return {each["id"]: each["name"] for each in known if isinstance(each.get("id"), str) and isinstance(each.get("name"), str)}


def _row_from_run(names: Mapping[str, str], run: Mapping[str, Any]) -> FileRow:
    """Return the item of a run, with its ratings, its repair, and who or what wrote the output."""
    output = _require_table(run, "output")
    prompt, completion = require_text(run, "input"), require_text(output, "output")
    said: list[FileRow] = []
    row: FileRow = {"id": id_} if (id_ := optional_name(run, "id")) else {}
    row |= {"prompt": prompt, "completion": completion}
    source = get_table(output, "source")
    wrote = get_table(source, "properties")
    whole = {"text": completion, "from": None}
    if source.get("type") == "human":
        said.append(make_judgment(_OUTPUT_QUESTION, "write", whole, annotator=optional_name(wrote, "created_by"), time=_known_time(output)))
    elif source.get("type") == "synthetic":
        row["predictions"] = [make_prediction(_OUTPUT_QUESTION, "write", whole, model=optional_name(wrote, "model_name"))]
    said += _rating_judgments(get_table(output, "rating"), names)
    if repaired := get_table(run, _REPAIR_QUESTION):
        mended = {"text": require_text(repaired, "output"), "from": completion}
        person = optional_name(get_table(get_table(repaired, "source"), "properties"), "created_by")
        note = run.get("repair_instructions")
        note = note if isinstance(note, str) and note else None
        said.append(make_judgment(_REPAIR_QUESTION, "write", mended, annotator=person, time=_known_time(repaired), note=note))
    if said:
        row["judgments"] = said
    if tags := get_list(run, "tags"):
        row["metadata"] = {"tags": tags}
    return row


def _require_table(run: Mapping[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(run.get(name), dict):
        raise UserError(f"{name} must hold named values, not {run.get(name)!r:.60}", "is this a task_run.kiln?")
    return get_table(run, name)


def _known_time(part: Mapping[str, Any]) -> str | None:
    given = part.get("created_at")
    return given if isinstance(given, str) and given not in (_UNKNOWN_TIME, _UNKNOWN_TIME.replace("+00:00", "Z")) else None


def _rating_judgments(rating: Mapping[str, Any], names: Mapping[str, str]) -> list[FileRow]:
    time = _known_time(rating)
    said = [_rating_judgment(str(rating.get("type")), rating, time)] if rating.get("value") is not None else []
    for key, given in get_table(rating, "requirement_ratings").items():
        if not isinstance(given, dict):
            raise UserError(f"the rating of {key!r} must hold a value and a type, not {given!r:.60}")
        if given.get("value") is not None:
            said.append(_rating_judgment(names.get(key, key.removeprefix(_NAMED_PREFIX)), given, time))
    return said


def _rating_judgment(question: str, rating: Mapping[str, Any], time: str | None) -> FileRow:
    value, kind = rating["value"], rating.get("type")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"a rating's value must be a number, not {value!r:.60}")
    if kind == _FIVE_STAR and float(value) in range(1, 6):
        return make_judgment(question, "rating", int(value), time=time)
    if kind == _PASS_FAIL and float(value) in (0, 1):
        return make_judgment(question, "choice", _VERDICT_NAMES[float(value)], time=time)
    if kind == _PASS_FAIL_CRITICAL and float(value) in _VERDICT_NAMES:
        return make_judgment(question, "choice", _VERDICT_NAMES[float(value)], time=time)
    if kind == _CUSTOM_RATING:
        return make_judgment(question, "rating", value, time=time)
    raise UserError(f"{value!r:.40} is no rating of Kiln's kind {kind!r:.40}")


def _run_from_row(names: Mapping[str, str], row: Mapping[str, Any]) -> FileRow:
    """Return a row as a run; a judgment's answer is its output where the item has no completion."""
    counted = submitted_judgments(row)
    prompt, output, writer = _input_and_output(row, counted)
    metadata = row.get("metadata")
    repair = _repair_fields(counted, output)
    said = next((each for each in counted if each.get("time")), {})
    run: FileRow = {"v": 1, "id": optional_name(row, "id") or "1", "created_at": said.get("time") or _UNKNOWN_TIME, "created_by": _CREATOR}
    run |= {"input": prompt, _OUTPUT_QUESTION: {**_output_fields(output, row, writer), "rating": _output_rating(counted, names)}}
    run |= {"repair_instructions": None, _REPAIR_QUESTION: None} | repair
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    run["tags"] = tags if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags) else []
    return {**run, "model_type": "task_run", _FILE_KEY: f"tasks/1 - Preceptor export/runs/{_folder_name(run['id'])}/task_run.kiln"}


def _folder_name(id_: str) -> str:
    """Return an id as a folder name that is valid on any system."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", id_)[:80]
    return safe if safe == id_ else f"{safe}-{hashlib.sha256(id_.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _input_and_output(row: Mapping[str, Any], counted: list[FileRow]) -> tuple[str, str, FileRow | None]:
    """Return the input, the output, and the judgment whose answer is the output, if it is one."""
    completion, responses, messages = row.get("completion"), row.get("responses"), row.get("messages")
    written = next((each for each in counted if each.get("kind") == "write" and not _answer_fields(each).get("from")), None)
    if isinstance(completion, str) and isinstance(row.get("prompt"), str):
        return row["prompt"], completion, written if written and _answer_fields(written).get("text") == completion else None
    if isinstance(messages, list) and len(messages) > 1 and not responses:
        last = messages[-1] if isinstance(messages[-1], dict) else {}
        if last.get("role") == "assistant" and isinstance(last.get("content"), str):
            return content_text({"messages": messages[:-1]}), last["content"], None
    if isinstance(responses, list) and responses and all(isinstance(text, str) for text in responses):
        compared = next((_answer_fields(each).get("winner") for each in counted if each.get("kind") == "compare"), 0)
        best = compared if isinstance(compared, int) and not isinstance(compared, bool) and 0 <= compared < len(responses) else 0
        return content_text({name: row[name] for name in ("prompt", "messages") if name in row} or {"text": ""}), responses[best], None
    label = written or next((each for each in counted if each.get("kind") in ("choice", "multilabel")), None)
    if label is None:
        raise UserError("there is no output for a run", "a run of Kiln needs a completion, a written text or a label")
    answer = label.get("answer")
    if label.get("kind") == "write":
        answer = _answer_fields(label).get("text")
    text = ", ".join(map(str, answer)) if isinstance(answer, list) else answer
    return content_text(row), str(text), label


def _answer_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    answer = given.get("answer")
    return answer if isinstance(answer, dict) else {}


def _output_fields(text: str, row: Mapping[str, Any], writer: FileRow | None) -> FileRow:
    """Return an output with who or what wrote it."""
    created = (writer or {}).get("time") or _UNKNOWN_TIME
    made: FileRow = {"v": 1, "created_at": created, "created_by": _CREATOR, "output": text}
    guesses = [each for each in get_list(row, "predictions") if isinstance(each, dict) and _answer_fields(each).get("text") == text]
    if writer is not None:
        source: FileRow | None = _human_source(writer.get("annotator"))
    elif guesses:
        model = guesses[0].get("model")
        properties = {"model_name": model if isinstance(model, str) else "unknown", "model_provider": "unknown", "adapter_name": _CREATOR}
        source = {"type": "synthetic", "properties": properties}
    else:
        source = {"type": "file_import", "properties": {"file_name": _CREATOR}}
    return {**made, "source": source, "model_type": "task_output"}


def _human_source(person: Any) -> FileRow:
    return {"type": "human", "properties": {"created_by": person if isinstance(person, str) and person else "unknown"}}


def _repair_fields(counted: list[FileRow], output: str) -> FileRow:
    """Return the first text that corrects the output, with its note as the repair instructions."""
    for each in counted:
        answer = _answer_fields(each)
        if each.get("kind") == "write" and answer.get("from") == output and isinstance(answer.get("text"), str):
            made = {"v": 1, "created_at": each.get("time") or _UNKNOWN_TIME, "created_by": _CREATOR, "output": answer["text"]}
            repaired = {**made, "source": _human_source(each.get("annotator")), "rating": None, "model_type": "task_output"}
            return {"repair_instructions": each.get("note") or "Corrected.", _REPAIR_QUESTION: repaired}
    return {}


def _output_rating(counted: list[FileRow], names: Mapping[str, str]) -> FileRow | None:
    """Return the rating of the output: a single one as that of the run; where there are more, those of named questions."""
    keys = {name: id_ for id_, name in names.items()}
    found: dict[str, FileRow] = {}
    for each in counted:
        question, rating = each.get("question") or _FIVE_STAR, _rating_of_judgment(each)
        if rating and question not in found:
            found[question] = rating
    if not found:
        return None
    whole = [name for name in found if name in _RUN_RATINGS] or (list(found) if len(found) == 1 and found.keys().isdisjoint(keys) else [])
    first = found.pop(whole[0]) if whole else {"type": _FIVE_STAR, "value": None}
    time = next((each["time"] for each in counted if each.get("time") and _rating_of_judgment(each)), _UNKNOWN_TIME)
    rest = {keys.get(name, f"{_NAMED_PREFIX}{name}"): rating for name, rating in found.items()}
    return {"v": 1, "created_at": time, "created_by": _CREATOR, **first, "requirement_ratings": rest, "model_type": "task_output_rating"}


def _rating_of_judgment(given: Mapping[str, Any]) -> FileRow | None:
    answer = given.get("answer")
    if given.get("kind") == "rating" and isinstance(answer, int | float) and not isinstance(answer, bool):
        stars = isinstance(answer, int) and 1 <= answer <= 5
        return {"type": _FIVE_STAR, "value": float(answer)} if stars else {"type": _CUSTOM_RATING, "value": answer}
    if given.get("kind") == "choice" and answer in _VERDICT_NAMES.values():
        kind = _PASS_FAIL_CRITICAL if answer == "critical" or given.get("question") == _PASS_FAIL_CRITICAL else _PASS_FAIL
        return {"type": kind, "value": next(value for value, verdict in _VERDICT_NAMES.items() if verdict == answer)}
    return None


_RUN_FILE, _TASK_FILE, _PROJECT_FILE = "task_run.kiln", "task.kiln", "project.kiln"
_KILN_PATTERNS = (_PROJECT_FILE, _TASK_FILE, _RUN_FILE, f"*/{_RUN_FILE}", f"runs/*/{_RUN_FILE}", f"tasks/*/runs/*/{_RUN_FILE}")
_CREATED_FIELDS = {"v": 1, "created_at": _UNKNOWN_TIME, "created_by": "preceptor"}


@dataclass(frozen=True)
class _KilnPath:
    """A place in a folder, with as much of a path's interface as messages need."""

    name: str


def _is_kiln_folder(path: Path) -> bool:
    """Return whether a folder holds a Kiln project, a task of one, or runs."""
    return any(next(path.glob(depth), None) for depth in _KILN_PATTERNS)


def _read_kiln_folder(
    source: FormatSource, loaded: Callable[[Path, FormatSource], FileRow], row_of: Callable[[Mapping[str, str], FileRow], FileRow]
) -> Iterator[FileRow]:
    """Yield the runs below a folder in the order of their paths; a task's first run carries the files of the task and the project."""
    folder = source.path
    source.number, source.unit = 0, "run"
    project, tasks = _read_parent_file(folder / _PROJECT_FILE, folder, loaded, source), dict[Path, FileRow | None]()
    try:
        for path in sorted(folder.rglob(_RUN_FILE)):
            above = path.parent.parent.parent
            carried: FileRow = {_FILE_KEY: path.relative_to(folder).as_posix()}
            if above not in tasks:
                tasks[above] = _read_parent_file(above / _TASK_FILE, folder, loaded, source) if above.is_relative_to(folder) else None
                carried |= {_TASK_KEY: tasks[above], _PROJECT_KEY: project}
                project = None
            source.path = cast(Path, _KilnPath(f"{folder.name}/{carried[_FILE_KEY]}"))
            names = _requirement_names(tasks[above])
            yield from map_records(source, _read_run(path, carried, loaded, source), partial(row_of, names))
    finally:
        source.path = folder


def _read_run(path: Path, carried: FileRow, loaded: Callable[[Path, FormatSource], FileRow], source: FormatSource) -> Iterator[FileRow]:
    try:
        run = loaded(path, source)
    except UserError as error:
        source.report_fault(error)
        return
    yield {**run, **{name: value for name, value in carried.items() if value is not None}}


def _read_parent_file(path: Path, folder: Path, loaded: Callable[[Path, FormatSource], FileRow], source: FormatSource) -> FileRow | None:
    """Return the file of a task or the project, if it exists; the runs can be read without it."""
    if not path.is_file():
        return None
    source.path = cast(Path, _KilnPath(f"{folder.name}/{path.relative_to(folder).as_posix()}"))
    try:
        found = loaded(path, source)
        return None if found == _parent_file(None, path.stem) else found
    except UserError as error:
        source.report_fault(error)
        return None
    finally:
        source.path = folder


def _write_run(folder: Path, record: FileRow) -> None:
    """Write a run at its place, with the files of its task and the project where they don't exist yet."""
    run = {name: value for name, value in record.items() if name not in (_FILE_KEY, _TASK_KEY, _PROJECT_KEY)}
    path = folder / _run_path(record.get(_FILE_KEY))
    if path.exists():
        raise UserError(f"a run is at {record[_FILE_KEY]} already", "each item is one run: give every row an id of its own")
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_json(path, run)
    above = path.parent.parent.parent
    if above.is_relative_to(folder) and not (above / _TASK_FILE).exists():
        _write_json(above / _TASK_FILE, _parent_file(record.get(_TASK_KEY), "task"))
    if not (folder / _PROJECT_FILE).exists():
        _write_json(folder / _PROJECT_FILE, _parent_file(record.get(_PROJECT_KEY), "project"))


def _parent_file(given: Any, kind: str) -> FileRow:
    """Return the file of a task or a project as it was, or a new one where there was none."""
    if isinstance(given, dict):
        return given
    asked = {"instruction": "The task of the items exported here."} if kind == "task" else {}
    return {**_CREATED_FIELDS, "id": "1", "name": "Preceptor export", **asked, "model_type": kind}


def _run_path(place: Any) -> PurePosixPath:
    """Return the path of a run, which must be inside the folder."""
    path = PurePosixPath(place) if isinstance(place, str) and "\0" not in place else PurePosixPath()
    if path.is_absolute() or ".." in path.parts or path.name != _RUN_FILE or max(map(len, path.parts)) > 200:
        raise UserError(f"{place!r:.80} is no place for a run", f"tasks/<task>/runs/<run>/{_RUN_FILE}")
    return path


def _write_json(path: Path, value: FileRow) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")


_RUN_TYPE = "task_run"


def _sniff(opening: bytes) -> bool:
    first = peek_first_record(opening)
    return first.fields.get("model_type") == _RUN_TYPE or (first.has("v", "created_at", "input", "output"))


def _read(source: FormatSource) -> Iterator[FileRow]:
    if source.path.is_dir():
        yield from _read_kiln_folder(source, _load_run, _to_row)
    elif _is_table(source):
        yield from map_records(source, csv_format.read_delimited(source), partial(_row_from_cells, source))
    else:
        source.unit = "run"
        yield from map_records(source, _read_single_run(source), partial(_to_row, {}))


def _read_single_run(source: FormatSource) -> Iterator[FileRow]:
    try:
        run = _load_run(source.path, source)
    except UserError as error:
        source.report_fault(error)
        return
    source.number = 1
    yield run


def _is_table(source: FormatSource) -> bool:
    header = source.opening.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0]
    return b"input" in header and b"output" in header and not header.lstrip().startswith(b"{")


def _load_run(path: Path, source: FormatSource) -> FileRow:
    """Return the named values in a .kiln file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return check_json_row(STRICT_DECODER.decode(text), text, source)
    except OSError as error:
        raise UserError(f"can't be read: {os.strerror(error.errno or 0)}", "check its permissions", where=source.where) from None
    except (ValueError, RecursionError) as error:
        raise json_error(error, source.where) from None


def _to_row(names: Mapping[str, str], run: FileRow) -> FileRow:
    return row_from_record(_shape(names), run)


def _shape(names: Mapping[str, str]) -> RecordShape:
    return RecordShape("kiln", partial(_row_from_run, names), partial(_run_from_row, names))


def _row_from_cells(source: FormatSource, row: FileRow) -> FileRow:
    """Return a row of the CSV: input and output, optionally tags separated by commas, reasoning and chain_of_thought."""
    thoughts = {name: row[name] for name in ("reasoning", "chain_of_thought") if row.get(name)}
    tags = [tag.strip() for tag in str(row.get("tags") or "").split(",") if tag.strip()]
    metadata = {"file_name": source.path.name, **({"tags": tags} if tags else {}), **thoughts}
    return {"prompt": require_text(row, "input"), "completion": require_text(row, "output"), "metadata": metadata}


def _write(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    """Write each run to its folder as soon as it is made, and the project's and the task's files with the first."""
    if target.folder is None:
        raise UserError("Kiln's runs are a folder of files", "name a new folder")
    names: dict[str, str] = {}
    folder, count = target.folder, 0
    for number, row in enumerate(rows, start=1):
        try:
            with row_location(number):
                kept = row.get("metadata")
                names.update(_requirement_names(get_table(kept, "kiln").get(_TASK_KEY) if isinstance(kept, dict) else None))
                record = record_from_row(_shape(names), {**row, "id": row.get("id") or f"row-{number}"})
                check_row(record, f"row {number}")
                _write_run(folder, record)
        except UserError as error:
            target.report_fault(error)
            continue
        count += 1
    return count


formats.register("kiln")(
    FileFormat(
        "kiln",
        (".kiln",),
        _sniff,
        _read,
        _write,
        unit="run",
        by_shape=True,
        grouped=True,
        is_folder=_is_kiln_folder,
        writes_folder=True,
    )
)
