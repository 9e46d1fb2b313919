"""Read and write crowd-kit's frames as CSV: one judgment a row, recognised by exactly their columns.

    task,worker,label             a choice; several labels as a JSON list in the cell
    worker,left,right,label       which of two is better; the label is one of them
    task,worker,text              a text that the worker wrote
    task,true_label               known answers

The worker's column may be called `performer`, as in crowd-kit's own data sets. Frames hold judgments, not the items, which are known by
their ids; a pair has no task, so it is an item of its two texts. Rows with an empty label are no judgments: they are left out, and counted
in a warning.

The canonical form has `worker` and commas. From other tools a column `preceptor` is added where it is needed, with what the frame has no
place for (the question, the time); crowd-kit ignores it. A pair is written with the item's id before each of the two, so that scores don't
mix across items. A frame holds one question and no ties, drafts or skips: such rows are refused.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import csv_format
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.interchange import RowSpool, convert_rows, get_judgments, make_judgment, map_records, require_item_id, row_location
from preceptor.formats.json_format import STRICT_DECODER, to_json
from preceptor.formats.tools.round_trip import CARRIED_FIELD, RecordShape, record_from_row, row_from_record

FrameColumns = tuple[str, ...]
LABELS_FRAME: FrameColumns = ("task", "worker", "label")
PAIRS_FRAME: FrameColumns = ("worker", "left", "right", "label")
TEXTS_FRAME: FrameColumns = ("task", "worker", "text")
GOLD_FRAME: FrameColumns = ("task", "true_label")
_FRAMES_BY_COLUMNS = {frozenset(frame): frame for frame in (LABELS_FRAME, PAIRS_FRAME, TEXTS_FRAME, GOLD_FRAME)}
_ADDED_COLUMNS = {"task", CARRIED_FIELD}
_QUESTION_BY_FRAME = {LABELS_FRAME: "label", PAIRS_FRAME: "label", TEXTS_FRAME: "text", GOLD_FRAME: "label"}


def _sniff(opening: bytes) -> bool:
    return _detect_frame(_read_header(opening)) is not None


def _read_header(opening: bytes) -> list[str]:
    line = opening.decode("utf-8-sig", errors="replace").partition("\n")[0]
    try:
        return next(csv.reader(io.StringIO(line.rstrip("\r")), delimiter=csv_format.detect_delimiter(opening)), [])
    except csv.Error:
        return []


def _detect_frame(header: list[str]) -> FrameColumns | None:
    """Return the frame whose columns these are, alone or with those that Preceptor adds."""
    names = {"worker" if name == "performer" else name for name in header}
    if len(names) < len(header):
        return None
    if CARRIED_FIELD in names:
        return next((frame for known, frame in _FRAMES_BY_COLUMNS.items() if known <= names <= known | _ADDED_COLUMNS), None)
    return _FRAMES_BY_COLUMNS.get(frozenset(names)) or (PAIRS_FRAME if names == {*PAIRS_FRAME, "task"} else None)


def _read(source: FormatSource) -> Iterator[FileRow]:
    frame = _detect_frame(_read_header(source.opening))
    if frame is None:
        hint = "a frame has the columns " + ", or ".join(",".join(frame) for frame in _FRAMES_BY_COLUMNS.values())
        raise UserError("these are not the columns of a frame of crowd-kit", hint, where=source.path.name)
    left_out = 0
    for row in map_records(source, csv_format.read_delimited(source), partial(_row_from_cells, frame)):
        if row:
            yield row
        else:
            left_out += 1
    if left_out:
        source.warnings.append(f"{left_out:,} rows without a label are left out")


def _row_from_cells(frame: FrameColumns, cells: FileRow) -> FileRow:
    """Return a line as a row; empty where it holds no label."""
    record = {"worker" if name == "performer" else name: cell for name, cell in cells.items()}
    carried = record.pop(CARRIED_FIELD, "")
    if not record.get(frame[-1]) and not carried:
        return {}
    if carried:
        try:
            record[CARRIED_FIELD] = STRICT_DECODER.decode(carried)
        except (ValueError, RecursionError):
            raise UserError(f"the column {CARRIED_FIELD!r} doesn't hold JSON", "write the frame again, or take the column out") from None
    return row_from_record(_shape(frame), record)


def _shape(frame: FrameColumns) -> RecordShape:
    return RecordShape("crowdkit", partial(_to_row, frame), partial(_to_record, frame), by_person=True)


def _to_row(frame: FrameColumns, record: Mapping[str, Any]) -> FileRow:
    if frame == PAIRS_FRAME:
        return _pair_row(record)
    task, cell = record.get("task"), str(record.get(frame[-1], ""))
    if not task:
        raise UserError("the task is missing", "each row names the item that it judges")
    return {"id": task, "judgments": [_judgment_of_cell(frame, cell, record.get("worker") or None)]}


def _judgment_of_cell(frame: FrameColumns, cell: str, worker: Any) -> FileRow:
    question = _QUESTION_BY_FRAME[frame]
    if frame == TEXTS_FRAME:
        return make_judgment(question, "write", {"text": cell, "from": None}, annotator=worker)
    several = _parse_labels(cell)
    kind, answer = ("multilabel", several) if several is not None else ("choice", cell)
    return make_judgment(question, kind, answer, annotator=worker, gold=True if frame == GOLD_FRAME else None)


def _parse_labels(cell: str) -> list[str] | None:
    """Return the texts of a JSON list; None where the cell holds none."""
    if not cell.startswith("["):
        return None
    try:
        value = STRICT_DECODER.decode(cell)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) and all(isinstance(label, str) for label in value) else None


def _pair_row(record: Mapping[str, Any]) -> FileRow:
    left, right, label = (str(record.get(name, "")) for name in PAIRS_FRAME[1:])
    if left == right or label not in (left, right):
        raise UserError(f"the label {label!r:.60} is not one of two sides", "crowd-kit leaves such a row out without a word")
    task, sides = record.get("task"), [left, right]
    row: FileRow = {"id": task} if task else {"responses": sides}
    places = [1, 0] if task and [left, right] == [_side_id(task, 1), _side_id(task, 0)] else [0, 1]
    answer = {"winner": places[sides.index(label)], "order": None, "reasons": ""}
    return {**row, "judgments": [make_judgment(_QUESTION_BY_FRAME[PAIRS_FRAME], "compare", answer, annotator=record.get("worker") or None)]}


def _side_id(task: str, place: int) -> str:
    return f"{task}:{place}"


def _to_record(frame: FrameColumns, row: Mapping[str, Any]) -> FileRow:
    given = get_judgments(row)[0]
    answer, person = given.get("answer"), {"worker": given.get("annotator") or ""}
    if frame == PAIRS_FRAME:
        return {**person, **_pair_sides(row, answer)}
    cell = answer.get("text") if isinstance(answer, dict) else answer
    if isinstance(cell, list) and all(isinstance(label, str) for label in cell):
        cell = to_json(cell, "", "label")
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        cell = str(cell)
    if not isinstance(cell, str) or not cell:
        raise UserError(f"{answer!r:.60} is no label of a frame", "frames hold choices, ratings, lists of labels, texts and pairs")
    return {"task": require_item_id(row), **({} if frame == GOLD_FRAME else person), frame[-1]: cell}


def _pair_sides(row: Mapping[str, Any], answer: Any) -> FileRow:
    winner, order = (answer.get("winner"), answer.get("order")) if isinstance(answer, dict) else (None, None)
    if type(winner) is not int or winner not in (0, 1):
        raise UserError(f"the winner is {winner!r:.60}; a frame of pairs holds the better of two, and no ties", "leave such judgments out")
    responses, places = row.get("responses"), [1, 0] if order == [1, 0] else [0, 1]
    if "id" not in row and isinstance(responses, list) and len(responses) == 2:
        sides = dict(enumerate(responses))
        return {"left": sides[0], "right": sides[1], "label": sides[winner]}
    task = require_item_id(row)
    return {"left": _side_id(task, places[0]), "right": _side_id(task, places[1]), "label": _side_id(task, winner), "task": task}


def _write(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    """Write the frame after all rows have been seen, since the header names the columns that any of them needs."""
    columns: dict[str, None] = {}
    kept: list[Any] = []  # the frame and the question of the first row
    count = 0
    with RowSpool() as spool:
        for number, records in convert_rows(rows, lambda row: _records(row, kept), target):
            count += 1
            for record in records:
                columns |= dict.fromkeys(record)
                spool.add(number, record)
        if count:
            lines = ({name: record.get(name) for name in columns} for _, record in spool)
            with row_location(count):
                formats.get("csv").write(iter(lines), target)
    return count


def _records(row: Mapping[str, Any], kept: list[Any]) -> list[FileRow]:
    given = get_judgments(row)
    if not given:
        raise UserError("there is no judgment", "a frame holds judgments: export items that were judged")
    made = []
    for each in given:
        if each.get("status", "submitted") != "submitted":
            raise UserError(f"a {each['status']} answer is no judgment, and a frame holds nothing else", "leave drafts and skips out")
        frame = _frame_of_judgment(each)
        if not kept:
            kept += [frame, each.get("question")]
        if [frame, each.get("question")] != kept:
            raise UserError(f"a frame holds one question; this one is {each.get('question')!r:.60}", "export one question at a time")
        if frame != GOLD_FRAME and not each.get("annotator"):
            raise UserError("nobody is named for a judgment", "a frame names the worker of each")
        item = {"id": row["id"]} if "id" in row else {name: row[name] for name in ("responses",) if name in row}
        made.append(record_from_row(_shape(frame), {**item, "judgments": [each]}))
    return made


def _frame_of_judgment(given: Mapping[str, Any]) -> FrameColumns:
    kind = given.get("kind")
    if kind in ("choice", "rating", "multilabel"):
        return GOLD_FRAME if given.get("gold") and not given.get("annotator") else LABELS_FRAME
    if kind in ("compare", "write"):
        return PAIRS_FRAME if kind == "compare" else TEXTS_FRAME
    raise UserError(f"a frame of crowd-kit has no form for answers of the kind {kind!r:.40}", "export to jsonl or label_studio")


formats.register("crowdkit")(FileFormat("crowdkit", (), _sniff, _read, _write, by_shape=True, grouped=True))
