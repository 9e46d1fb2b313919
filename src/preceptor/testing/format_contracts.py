"""Check the contract of file formats, for plug-in authors as for the built-in ones.

    @pytest.mark.parametrize("check", FORMAT_CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check("my_format", Path("example.my"))

The example is a small file of the format, or a folder, in its canonical form: what reading and writing it again produces. A check raises
AssertionError with what went wrong.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import read, write
from preceptor.formats.csv_format import detect_delimiter
from preceptor.formats.format_registry import FileRow, FormatTarget, formats
from preceptor.testing.broken_files import FileParts, break_parts, make_archive, parse_records, read_archive, read_parts, write_parts

FormatCheck = Callable[[str, Path], None]

CONTENT = ("text", "prompt", "completion", "responses", "messages")
HARD_TEXTS = (
    "💩 Ada paid 5€",
    "👩‍👩‍👧‍👦 family",
    "e\u0301 and é",
    "two\r\nlines",
    "and \u2028 and \x85 and \n",
    "",
    " spaces around ",
    '"quoted", she said; #with\ttab | bar',
    "=SUM(A1)",
    "NA",
    "[1, 2]",
    "long 🙂 " * 150_000,
)
_LONGEST = 10_000_000


def format_is_recognized(name: str, example: Path) -> None:
    """Check that the example is recognised as its format."""
    found = read(example).format
    assert found == name, f"{example.name} is taken for {found}"


def rows_have_places(name: str, example: Path) -> None:
    """Check that there is at least one row, and that each has a place in the file."""
    found = read(example, name)
    places = [found.where for _ in found]
    assert places, "there is no row in it"
    assert all(place.startswith(example.name) for place in places), f"a row's place doesn't name the file: {places}"
    assert len(set(places)) == len(places), f"two rows have one place: {places}"


def round_trip_is_canonical(name: str, example: Path) -> None:
    """Check that the example, read and written again, equals itself value by value."""
    with _scratch() as folder:
        again = _rewrite_file(name, example, folder / example.name)
        difference = _difference(_content(read_parts(example)), _content(read_parts(again)))
        assert not difference, f"written again, it differs at {difference}"


def round_trip_is_idempotent(name: str, example: Path) -> None:
    """Check that what was written is read and written again to the same bytes."""
    with _scratch() as folder:
        once = _rewrite_file(name, example, folder / "once" / example.name)
        twice = _rewrite_file(name, once, folder / "twice" / example.name)
        assert read_parts(once) == read_parts(twice), "read and written a second time, bytes differ"


def plain_rows_are_written(name: str, example: Path) -> None:
    """Check that rows from no tool are written and come back the same, whatever the text, or are refused by their number.

    Of a training format, what comes back is the training example, which must be written to the same bytes.
    """
    accepted = [row for row in _plain_rows("An ordinary text.") if _check_round_trip(name, row, example.suffix)]
    assert accepted, "no ordinary row can be written"
    for text in HARD_TEXTS:
        for row in _plain_rows(text):
            _check_round_trip(name, row, example.suffix)


def every_state_is_kept(name: str, example: Path) -> None:
    """Check that submitted, draft and skipped judgments, of one person or two, on one question or two, are kept apart or refused."""
    for judgments in _states():
        _check_round_trip(name, {"id": "s-1", "text": "Ada paid.", "judgments": judgments}, example.suffix)


def spans_survive_emoji(name: str, example: Path) -> None:
    """Check that the offsets of a passage after an emoji are those of the stored text."""
    spans = [{"start": 2, "end": 5, "label": "PER"}, {"start": 11, "end": 13, "label": "SUM"}]
    judgments = [{"question": "names", "kind": "spans", "answer": spans, "annotator": "ada"}]
    _check_round_trip(name, {"id": "r-1", "text": HARD_TEXTS[0], "judgments": judgments}, example.suffix)


def broken_files_are_refused(name: str, example: Path) -> None:
    """Check that a file that is cut, changed, or holds wrong values gives rows, or UserErrors with a place; never another error."""
    with _scratch() as folder:
        path = folder / example.name
        for parts in break_parts(read_parts(example)):
            if any(parts.values()):
                shutil.rmtree(path, ignore_errors=True)  # a folder whose files may now be fewer; a file is written over
                write_parts(parts, path)
                _check_survives(name, path)


def every_bad_row_is_reported(name: str, example: Path) -> None:
    """Check that two bad rows among good ones are both reported with their places, and that the good ones are all read."""
    with _scratch() as folder:
        path = folder / example.name
        write_parts(_with_two_bad_rows(read_parts(example)), path)
        faults: list[UserError] = []
        rows = list(read(path, name, on_fault=faults.append))
        assert len(faults) == 2, f"two bad rows gave {len(faults)} faults: {[str(fault) for fault in faults]}"
        assert len({fault.where for fault in faults}) == 2, f"both faults are told at {faults[0].where}"
        assert all(fault.where.startswith(example.name) for fault in faults), f"a fault has no place: {faults[0].where!r}"
        assert _equal_as_json(rows, list(read(example, name))), "the good rows aren't what they are without the bad ones"


EXAMPLE_CHECKS: tuple[FormatCheck, ...] = (
    format_is_recognized,
    rows_have_places,
    round_trip_is_canonical,
    round_trip_is_idempotent,
    broken_files_are_refused,
    every_bad_row_is_reported,
)
WRITER_CHECKS: tuple[FormatCheck, ...] = (plain_rows_are_written, every_state_is_kept, spans_survive_emoji)
"""Of the example they need the extension alone: one run of them a format is enough."""
FORMAT_CHECKS: tuple[FormatCheck, ...] = (*EXAMPLE_CHECKS, *WRITER_CHECKS)


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _rewrite_file(name: str, path: Path, again: Path) -> Path:
    again.parent.mkdir(parents=True, exist_ok=True)
    write(read(path, name), again, name)
    return again


def _content(parts: FileParts) -> Any:
    """Return what files hold, without their layout: JSON as values, tables as cells."""
    return {name: _values(content) for name, content in parts.items()}


def _values(content: bytes) -> Any:
    if members := read_archive(content):
        return _content(members)
    if content.startswith(b"PAR1"):
        import pyarrow.parquet

        return pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    if found := parse_records(content):
        return found[0]
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=detect_delimiter(content)))


def _equal_as_json(one: Any, other: Any) -> bool:
    """Return whether two values are equal as JSON, where 1, 1.0 and true are three values."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _difference(one: Any, other: Any, place: str = "$") -> str:
    """Return the first place at which two values differ, with both; empty when they don't."""
    if _equal_as_json(one, other):
        return ""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return next(found for key in one if (found := _difference(one[key], other[key], f"{place}.{key}")))
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next(found for n, (a, b) in enumerate(zip(one, other, strict=True)) if (found := _difference(a, b, f"{place}[{n}]")))
    return f"{place}: {one!r:.500} became {other!r:.500}"


def _plain_rows(text: str) -> list[FileRow]:
    """Return an item of each shape with a judgment that fits it."""

    def said(kind: str, answer: Any) -> list[dict[str, Any]]:
        return [{"question": "quality", "kind": kind, "answer": answer, "annotator": "ada"}]

    compared, ranked = {"winner": 1, "order": None, "reasons": ""}, {"order": [1, 0], "shown": None}
    turns = [{"role": "user", "content": "Who paid?"}, {"role": "assistant", "content": text}]
    return [
        {"id": "p-1", "text": text, "judgments": said("choice", "good")},
        {"id": "p-2", "text": text, "judgments": said("multilabel", ["kind", "short"])},
        {"id": "p-3", "text": text, "judgments": said("multilabel", [])},
        {"id": "p-4", "text": text, "judgments": said("rating", 4)},
        {"id": "p-5", "prompt": "Who paid?", "completion": text},
        {"id": "p-6", "prompt": text, "completion": "Ada.", "judgments": said("write", {"text": "Ada paid.", "from": "Ada."})},
        {"id": "p-7", "text": "Who paid?", "judgments": said("write", {"text": text or "Ada.", "from": None})},
        {"id": "p-8", "prompt": "Who paid?", "responses": [text, "Bob."], "judgments": said("compare", compared)},
        {"id": "p-9", "prompt": "Who paid?", "responses": [text, "Bob."], "judgments": said("compare", compared | {"winner": "tie"})},
        {"id": "p-10", "prompt": text, "responses": ["Ada.", "Bob."], "judgments": said("rank", ranked)},
        {"id": "p-11", "messages": turns},
        {"id": "p-12", "messages": turns[:1], "responses": [text, "Bob."], "judgments": said("compare", compared)},
        {"id": "p-13", "text": text, "judgments": said("spans", [{"start": 0, "end": 1, "label": "PER"}] if text else [])},
    ]


def _states() -> list[list[dict[str, Any]]]:
    """Return lists of judgments about one item that differ in annotator, in status, and in question."""
    good = {"question": "quality", "kind": "choice", "answer": "good", "annotator": "ada"}
    bad = {**good, "answer": "bad", "annotator": "bob"}
    skip = {"question": "quality", "kind": "choice", "annotator": "cy", "status": "skipped"}
    other = {"question": "tone", "kind": "choice", "answer": "calm", "annotator": "ada"}
    draft = {**bad, "status": "draft"}
    return [[good], [good, bad], [draft], [good, draft], [skip], [good, skip], [good, other], [good, bad, skip, other]]


def _check_round_trip(name: str, row: FileRow, suffix: str) -> bool:
    """Return whether a row can be written; if so, raise AssertionError unless it comes back the same."""
    with _scratch() as folder:
        path = folder / f"plain{suffix}"
        try:
            write([row], path, name)
        except UserError as error:
            if "row 1" not in str(error):
                raise AssertionError(f"refused without its row's number: {error}") from error
            return False
        rows = list(read(path, name, max_cell=_LONGEST))
        if formats.get(name).for_training:
            _check_stable(name, rows, path)  # a training file holds examples, not judgments: the row that is read is another one
            return True
    back = _merged(rows)
    shown = f"{row!r:.300} came back as {rows!r:.600}"
    if held := [field for field in CONTENT if field in back]:
        assert all(_equal_as_json(row.get(field), back.get(field)) for field in CONTENT), f"the content changed: {shown}"
    assert held or back.get("id") == row["id"], f"neither its content nor its id came back: {shown}"
    assert _judgments_by_question(row) == _judgments_by_question(back), f"the judgments changed: {shown}"
    return True


def _check_stable(name: str, rows: list[FileRow], path: Path) -> None:
    """Check that what came back is written to the same bytes."""
    again = path.with_name(f"again{path.suffix}")
    write(rows, again, name)
    assert again.read_bytes() == path.read_bytes(), f"what was read of {path.read_text()!r:.300} is written as {again.read_text()!r:.300}"


def _merged(rows: Iterable[FileRow]) -> FileRow:
    """Return one item's rows as one; the cells of a table are JSON where they aren't texts."""
    merged: FileRow = {}
    said: list[Any] = []
    for row in rows:
        merged |= {name: _from_cell(value) if name in ("responses", "messages") else value for name, value in row.items()}
        said += _from_cell(row.get("judgments")) or []
    return {**merged, "judgments": said}


def _from_cell(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value else value


def _judgments_by_question(row: Mapping[str, Any]) -> list[list[str]]:
    """Return who answered what to each question; names of questions may change, but one to one."""
    asked: defaultdict[Any, list[str]] = defaultdict(list)
    for given in row.get("judgments", []):
        answer = None if given.get("status") == "skipped" else given.get("answer")
        told = [given.get("kind") if answer is not None else None, answer, given.get("annotator"), given.get("status", "submitted")]
        asked[given.get("question")].append(json.dumps(told, sort_keys=True))
    return sorted(sorted(given) for given in asked.values())


def _check_survives(name: str, path: Path) -> None:
    faults: list[UserError] = []
    try:
        with suppress(UserError):
            read(path)
        rows = list(read(path, name, on_fault=faults.append))
        with _scratch() as folder:
            formats.get(name).write(iter(rows), FormatTarget(io.BytesIO(), folder=folder))
    except UserError as error:
        faults.append(error)
    except Exception as error:
        shown = min(read_parts(path).values(), key=len)
        raise AssertionError(f"{type(error).__name__}: {error}; from {shown!r:.3000}") from error
    assert all(fault.where for fault in faults), f"a fault without a place: {next(fault for fault in faults if not fault.where)}"


def _with_two_bad_rows(parts: FileParts) -> FileParts:
    """Return the same files with two more records, neither of which can be read as a row."""
    if len(parts) > 1:
        name = max(parts, key=lambda name: (name.count("/"), name))
        folder, _, file = name.rpartition("/")
        extra = {f"{folder} {number}/{file}": b"{" for number in (1, 2)}
        return {**parts, **extra}
    ((name, content),) = parts.items()
    return {name: _with_two_more(content)}


def _with_two_more(content: bytes) -> bytes:
    if members := read_archive(content):
        first = next(iter(members))
        return make_archive({**members, first: _with_two_more(members[first])})
    if content.startswith(b"PAR1"):
        return _parquet_with_two_more(content)
    if found := parse_records(content):
        records, write_all = found
        return write_all([*records[:1], 5, *records[1:], 5])
    lines = content.split(b"\r\n")
    return b"\r\n".join([*lines[:2], b"x", *lines[2:-1], b"x", b""])


def _parquet_with_two_more(content: bytes) -> bytes:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(io.BytesIO(content))
    text = next(field.name for field in table.schema if str(field.type) == "string")
    bad = pyarrow.Table.from_pylist([{text: "a\0"}], schema=table.schema)
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.concat_tables([bad, table, bad]), file)
    return file.getvalue()
