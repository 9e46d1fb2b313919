"""Read and write cleanlab's labels_multiannotator as CSV: a row per example, a column per annotator, class numbers from 0, empty for none.

    example,ann,bob
    i-7,1,0

It is recognised by its first column, `example`, with numbers in all others; under another name it is read when the format cleanlab is
named. Classes are the options "0", "1", … of the question `label`; 1.0 and nan, as pandas writes them, are 1 and empty.

The canonical form has plain numbers. Labels that are texts are numbered in order, and the question with its classes follows the name of the
first column, `example {"question": …}`, which pandas takes for the index's name and cleanlab ignores. A matrix holds one judgment per
annotator and example, and neither times nor texts: what else a row holds is not written, and drafts, skips, other kinds and a second
judgment are refused. A model's probabilities are a separate table for cleanlab.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import csv_format
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.interchange import RowSpool, convert_rows, get_judgments, make_judgment, map_records, require_item_id
from preceptor.formats.json_format import STRICT_DECODER, to_json

INDEX_COLUMN, DEFAULT_QUESTION = "example", "label"
_CLASS_PATTERN = re.compile(r"(\d{1,6})(?:\.0+)?")
_EMPTY_CELLS = ("", "nan", "NaN", "<NA>")


def _sniff(opening: bytes) -> bool:
    if not opening.removeprefix(b"\xef\xbb\xbf").lstrip(b'"').startswith(INDEX_COLUMN.encode()):
        return False
    lines = opening.decode("utf-8-sig", errors="replace").split("\n")
    try:
        header, *records = islice(csv.reader([f"{line}\n" for line in lines[:-1]], delimiter=csv_format.detect_delimiter(opening)), 50)
    except (csv.Error, ValueError):
        return False
    least = 3 if header[0] == INDEX_COLUMN else 2  # one column of numbers beside one called example could be any table
    return (
        len(header) >= least
        and _is_index(header[0])
        and bool(records)
        and all(_is_label_row(cells, len(header)) for cells in records if cells)
    )


def _is_label_row(cells: list[str], width: int) -> bool:
    return len(cells) == width and all(cell in _EMPTY_CELLS or _CLASS_PATTERN.fullmatch(cell) for cell in cells[1:])


def _is_index(name: str) -> bool:
    return name == INDEX_COLUMN or name.startswith(f"{INDEX_COLUMN} {{")


def _read(source: FormatSource) -> Iterator[FileRow]:
    index, told = "", dict[str, Any]()

    def row_of(cells: FileRow) -> FileRow:
        nonlocal index, told
        if not index:
            index = next(iter(cells))
            told = _parse_header(index)
        return _to_row(cells, index, told)

    yield from map_records(source, csv_format.read_delimited(source), row_of)


def _parse_header(index: str) -> dict[str, Any]:
    """Return the question and its classes, as the first column's name gives them."""
    if not index.startswith(f"{INDEX_COLUMN} {{"):
        return {}
    try:
        value = STRICT_DECODER.decode(index.removeprefix(f"{INDEX_COLUMN} "))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict) or not isinstance(value.get("question", ""), str) or not isinstance(value.get("classes", []), list):
        return {}
    return value


def _to_row(cells: FileRow, index: str, told: Mapping[str, Any]) -> FileRow:
    if not cells[index]:
        raise UserError("the example has no name", "the first column names each example")
    question, kind, classes = (
        told.get("question", DEFAULT_QUESTION),
        "rating" if told.get("kind") == "rating" else "choice",
        told.get("classes"),
    )
    said = []
    for person, cell in cells.items():
        if person == index or cell in _EMPTY_CELLS:
            continue
        found = _CLASS_PATTERN.fullmatch(cell)
        if not found or not person:
            raise UserError(
                f"column {person!r:.60} holds {cell!r:.60}, which is no class", "classes are whole numbers from 0, none is empty"
            )
        number = int(found[1])
        if classes is not None and number >= len(classes):
            raise UserError(f"column {person!r:.60} holds {number}, and there are {len(classes)} classes")
        said.append(make_judgment(question, kind, str(number) if classes is None else classes[number], annotator=person))
    return {"id": cells[index], **({"judgments": said} if said else {})}


def _write(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    """Write the matrix after all rows have been seen: only then the annotators and the classes are known."""
    people: dict[str, None] = {}
    answers: dict[Any, None] = {}
    asked: list[Any] = []  # the question and the kind of the first judgment
    count = 0
    with RowSpool() as spool:
        for number, (id_, said) in convert_rows(rows, lambda row: _row_labels(row, asked), target):
            count += 1
            people |= dict.fromkeys(said)
            answers |= dict.fromkeys(said.values())
            spool.add(number, [id_, said])
        index, classes = _numbered_classes(asked, list(answers))
        lines = ({index: id_, **{person: classes.get(said.get(person)) for person in people}} for _, (id_, said) in spool)
        return formats.get("csv").write(lines, target) if count else 0


def _row_labels(row: Mapping[str, Any], asked: list[Any]) -> tuple[str, dict[str, Any]]:
    """Return the row's id, and the label that each annotator gave."""
    said: dict[str, Any] = {}
    for each in get_judgments(row):
        kind, answer, person = each.get("kind"), each.get("answer"), each.get("annotator")
        if each.get("status", "submitted") != "submitted":
            raise UserError(f"a {each['status']} answer is no label", "leave drafts and skips out: cleanlab takes an empty cell for them")
        if kind not in ("choice", "rating") or isinstance(answer, bool) or not isinstance(answer, str if kind == "choice" else int | float):
            raise UserError(f"cleanlab has no class for {answer!r:.60} of the kind {kind!r:.40}", "it takes choices and ratings")
        if not asked:
            asked += [each.get("question"), kind]
        if asked != [each.get("question"), kind]:
            raise UserError(f"a matrix holds one question; this one is {each.get('question')!r:.60}", "export one question at a time")
        if not person or _is_index(person) or person in said:
            problem = f"{person} judged it twice" if person in said else f"{person!r} can't name a column"
            raise UserError(problem, "a matrix holds one label a person and example")
        said[person] = answer
    return require_item_id(row), said


def _numbered_classes(asked: list[Any], answers: list[Any]) -> tuple[str, dict[Any, int]]:
    """Return the name of the first column, and the number of each answer."""
    plain = all(isinstance(answer, str) and _CLASS_PATTERN.fullmatch(answer) and str(int(answer)) == answer for answer in answers)
    if not asked or (plain and asked == [DEFAULT_QUESTION, "choice"]):
        return INDEX_COLUMN, {answer: int(answer) for answer in answers}
    classes = sorted(answers)
    told = {"question": asked[0] or DEFAULT_QUESTION, **({"kind": asked[1]} if asked[1] != "choice" else {}), "classes": classes}
    return f"{INDEX_COLUMN} {to_json(told, 'the header', INDEX_COLUMN)}", {answer: number for number, answer in enumerate(classes)}


formats.register("cleanlab")(FileFormat("cleanlab", (), _sniff, _read, _write, by_shape=True, grouped=True))
