"""crowd-kit's frames as CSV: one judgment a row, recognised by exactly their columns.

    task,worker,label             a choice; several labels as a JSON list in the cell
    worker,left,right,label       which of two is better; the label is one of them
    task,worker,text              a text of the worker's own
    task,true_label               known answers

The worker's column may be called `performer`, as in crowd-kit's own data sets. Frames hold what was judged, not the items, which
are known by their ids; a pair has no task, so it is an item of its two texts. Rows with an empty label are no judgments: they are
left out, and counted in a warning.

The canonical form has `worker` and commas. From other tools a column `preceptor` is added where it is needed, with what the frame
has no place for (the question, the time); crowd-kit ignores it. A pair is written with the item's id before each side, so that
scores don't mix across items. A frame holds one question and no ties, drafts or skips: such rows are refused.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import delimited
from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.interchange import at_row, judgment, mapped, numbered
from preceptor.formats.json_text import DECODER, to_json
from preceptor.formats.source import Source
from preceptor.formats.tools.lossless import FIELD, Shape, record_of, row_of
from preceptor.formats.tools.rows import id_of, judgments_of
from preceptor.formats.tools.spool import Spool

Frame = tuple[str, ...]
LABELS: Frame = ("task", "worker", "label")
PAIRS: Frame = ("worker", "left", "right", "label")
TEXTS: Frame = ("task", "worker", "text")
GOLD: Frame = ("task", "true_label")
_FRAMES = {frozenset(frame): frame for frame in (LABELS, PAIRS, TEXTS, GOLD)}
_ADDED = {"task", FIELD}
_QUESTION = {LABELS: "label", PAIRS: "label", TEXTS: "text", GOLD: "label"}


def _sniff(opening: bytes) -> bool:
    return _frame(_header(opening)) is not None


def _header(opening: bytes) -> list[str]:
    line = opening.decode("utf-8-sig", errors="replace").partition("\n")[0]
    try:
        return next(csv.reader(io.StringIO(line.rstrip("\r")), delimiter=delimited.delimiter_of(opening)), [])
    except csv.Error:
        return []


def _frame(header: list[str]) -> Frame | None:
    """The frame whose columns these are, alone or with what is added to it here."""
    names = {"worker" if name == "performer" else name for name in header}
    if len(names) < len(header):
        return None
    if FIELD in names:
        return next((frame for known, frame in _FRAMES.items() if known <= names <= known | _ADDED), None)
    return _FRAMES.get(frozenset(names)) or (PAIRS if names == {*PAIRS, "task"} else None)


def _read(source: Source) -> Iterator[Row]:
    frame = _frame(_header(source.opening))
    if frame is None:
        hint = "a frame has the columns " + ", or ".join(",".join(frame) for frame in _FRAMES.values())
        raise UserError("these are not the columns of a frame of crowd-kit", hint, where=source.path.name)
    left_out = 0
    for row in mapped(source, delimited._read(source), partial(_row_of, frame)):
        if row:
            yield row
        else:
            left_out += 1
    if left_out:
        source.warnings.append(f"{left_out:,} rows without a label are left out")


def _row_of(frame: Frame, cells: Row) -> Row:
    """A line as a row; empty where it holds no label."""
    record = {"worker" if name == "performer" else name: cell for name, cell in cells.items()}
    carried = record.pop(FIELD, "")
    if not record.get(frame[-1]) and not carried:
        return {}
    if carried:
        try:
            record[FIELD] = DECODER.decode(carried)
        except (ValueError, RecursionError):
            raise UserError(f"the column {FIELD!r} doesn't hold JSON", "write the frame again, or take the column out") from None
    return row_of(_shape(frame), record)


def _shape(frame: Frame) -> Shape:
    return Shape("crowdkit", partial(_to_row, frame), partial(_to_record, frame), by_person=True)


def _to_row(frame: Frame, record: Mapping[str, Any]) -> Row:
    if frame == PAIRS:
        return _pair(record)
    task, cell = record.get("task"), str(record.get(frame[-1], ""))
    if not task:
        raise UserError("the task is missing", "each row names the item that it judges")
    return {"id": task, "judgments": [_judged(frame, cell, record.get("worker") or None)]}


def _judged(frame: Frame, cell: str, worker: Any) -> Row:
    question = _QUESTION[frame]
    if frame == TEXTS:
        return judgment(question, "write", {"text": cell, "from": None}, annotator=worker)
    several = _labels(cell)
    kind, answer = ("multilabel", several) if several is not None else ("choice", cell)
    return judgment(question, kind, answer, annotator=worker, gold=True if frame == GOLD else None)


def _labels(cell: str) -> list[str] | None:
    """The texts of a JSON list."""
    if not cell.startswith("["):
        return None
    try:
        value = DECODER.decode(cell)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) and all(isinstance(label, str) for label in value) else None


def _pair(record: Mapping[str, Any]) -> Row:
    left, right, label = (str(record.get(name, "")) for name in PAIRS[1:])
    if left == right or label not in (left, right):
        raise UserError(f"the label {label!r:.60} is not one of two sides", "crowd-kit leaves such a row out without a word")
    task, sides = record.get("task"), [left, right]
    row: Row = {"id": task} if task else {"responses": sides}
    places = [1, 0] if task and [left, right] == [_side(task, 1), _side(task, 0)] else [0, 1]
    answer = {"winner": places[sides.index(label)], "order": None, "reasons": ""}
    return {**row, "judgments": [judgment(_QUESTION[PAIRS], "compare", answer, annotator=record.get("worker") or None)]}


def _side(task: str, place: int) -> str:
    return f"{task}:{place}"


def _to_record(frame: Frame, row: Mapping[str, Any]) -> Row:
    given = judgments_of(row)[0]
    answer, person = given.get("answer"), {"worker": given.get("annotator") or ""}
    if frame == PAIRS:
        return {**person, **_sides(row, answer)}
    cell = answer.get("text") if isinstance(answer, dict) else answer
    if isinstance(cell, list) and all(isinstance(label, str) for label in cell):
        cell = to_json(cell, "", "label")
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        cell = str(cell)
    if not isinstance(cell, str) or not cell:
        raise UserError(f"{answer!r:.60} is no label of a frame", "frames hold choices, ratings, lists of labels, texts and pairs")
    return {"task": id_of(row), **({} if frame == GOLD else person), frame[-1]: cell}


def _sides(row: Mapping[str, Any], answer: Any) -> Row:
    winner, order = (answer.get("winner"), answer.get("order")) if isinstance(answer, dict) else (None, None)
    if type(winner) is not int or winner not in (0, 1):
        raise UserError(f"the winner is {winner!r:.60}; a frame of pairs holds the better of two, and no ties", "leave such judgments out")
    responses, places = row.get("responses"), [1, 0] if order == [1, 0] else [0, 1]
    if "id" not in row and isinstance(responses, list) and len(responses) == 2:
        sides = dict(enumerate(responses))
        return {"left": sides[0], "right": sides[1], "label": sides[winner]}
    task = id_of(row)
    return {"left": _side(task, places[0]), "right": _side(task, places[1]), "label": _side(task, winner), "task": task}


def _write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    """Written when all rows are there, since the header names the columns that any of them needs."""
    columns: dict[str, None] = {}
    kept: list[Any] = []  # the frame and the question of the first row
    count = 0
    with Spool() as spool:
        for number, records in numbered(rows, lambda row: _records(row, kept), target):
            count += 1
            for record in records:
                columns |= dict.fromkeys(record)
                spool.add(number, record)
        if count:
            lines = ({name: record.get(name) for name in columns} for _, record in spool)
            with at_row(count):
                formats.get("csv").write(iter(lines), target)
    return count


def _records(row: Mapping[str, Any], kept: list[Any]) -> list[Row]:
    given = judgments_of(row)
    if not given:
        raise UserError("there is no judgment", "a frame holds judgments: export items that were judged")
    made = []
    for each in given:
        if each.get("status", "submitted") != "submitted":
            raise UserError(f"a {each['status']} answer is no judgment, and a frame holds nothing else", "leave drafts and skips out")
        frame = _frame_of(each)
        if not kept:
            kept += [frame, each.get("question")]
        if [frame, each.get("question")] != kept:
            raise UserError(f"a frame holds one question; this one is {each.get('question')!r:.60}", "export one question at a time")
        if frame != GOLD and not each.get("annotator"):
            raise UserError("nobody is named for a judgment", "a frame names the worker of each")
        item = {"id": row["id"]} if "id" in row else {name: row[name] for name in ("responses",) if name in row}
        made.append(record_of(_shape(frame), {**item, "judgments": [each]}))
    return made


def _frame_of(given: Mapping[str, Any]) -> Frame:
    kind = given.get("kind")
    if kind in ("choice", "rating", "multilabel"):
        return GOLD if given.get("gold") and not given.get("annotator") else LABELS
    if kind in ("compare", "write"):
        return PAIRS if kind == "compare" else TEXTS
    raise UserError(f"a frame of crowd-kit has no form for answers of the kind {kind!r:.40}", "export to jsonl or label_studio")


formats.register("crowdkit")(Format("crowdkit", (), _sniff, _read, _write, by_shape=True, grouped=True))
