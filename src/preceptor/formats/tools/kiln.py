"""Kiln: a project's folder with a task_run.kiln for every run, one such file, and the CSV that Kiln imports (where it is named).

A run is an item: its `input` is the prompt, its output the completion. An output that a person wrote is their answer to the
question `output`; one that a model wrote is a guess of that model. Ratings answer the questions `five_star`, `pass_fail` and
`pass_fail_critical`, or those of the task's requirements; Kiln keeps one rating an output, and not whose. A repaired output is
what a person corrected, its instructions their note.

The canonical form is the folder, with each run at the place where it was. What else a run holds (usage, trace, reasoning)
comes back from the item's metadata; the files of the project and of each task from that of the task's first run. Splits, evals and
other files of a project are not read. Several raters travel beside the rating that Kiln has a place for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import delimited
from preceptor.formats.cells import check_row
from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.interchange import at_row, mapped
from preceptor.formats.json_records import glance
from preceptor.formats.json_text import DECODER, as_row, not_json
from preceptor.formats.source import Source
from preceptor.formats.tools import kiln_folder
from preceptor.formats.tools.kiln_run import TASK, requirement_names, to_record, to_row
from preceptor.formats.tools.lossless import Shape, record_of, row_of
from preceptor.formats.tools.rows import table_at, text_at

_RUN = "task_run"


def _sniff(opening: bytes) -> bool:
    first = glance(opening)
    return first.fields.get("model_type") == _RUN or (first.has("v", "created_at", "input", "output"))


def _read(source: Source) -> Iterator[Row]:
    if source.path.is_dir():
        yield from kiln_folder.read(source, _loaded, _row_of)
    elif _is_table(source):
        yield from mapped(source, delimited._read(source), partial(_imported, source))
    else:
        source.unit = "run"
        yield from mapped(source, _one(source), partial(_row_of, {}))


def _one(source: Source) -> Iterator[Row]:
    try:
        run = _loaded(source.path, source)
    except UserError as error:
        source.fault(error)
        return
    source.number = 1
    yield run


def _is_table(source: Source) -> bool:
    header = source.opening.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0]
    return b"input" in header and b"output" in header and not header.lstrip().startswith(b"{")


def _loaded(path: Path, source: Source) -> Row:
    """The named values in a .kiln file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return as_row(DECODER.decode(text), text, source)
    except OSError as error:
        raise UserError(f"can't be read: {os.strerror(error.errno or 0)}", "check its permissions", where=source.where) from None
    except (ValueError, RecursionError) as error:
        raise not_json(error, source.where) from None


def _row_of(names: Mapping[str, str], run: Row) -> Row:
    return row_of(_shape(names), run)


def _shape(names: Mapping[str, str]) -> Shape:
    return Shape("kiln", partial(to_row, names), partial(to_record, names))


def _imported(source: Source, row: Row) -> Row:
    """A row of the CSV: input and output, optionally tags with commas between them, reasoning and chain_of_thought."""
    thoughts = {name: row[name] for name in ("reasoning", "chain_of_thought") if row.get(name)}
    tags = [tag.strip() for tag in str(row.get("tags") or "").split(",") if tag.strip()]
    metadata = {"file_name": source.path.name, **({"tags": tags} if tags else {}), **thoughts}
    return {"prompt": text_at(row, "input"), "completion": text_at(row, "output"), "metadata": metadata}


def _write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    """Each run in its folder, as soon as it is made; the project's and the task's files with the first."""
    if target.folder is None:
        raise UserError("Kiln's runs are a folder of files", "name a new folder")
    names: dict[str, str] = {}
    folder, count = target.folder, 0
    for number, row in enumerate(rows, start=1):
        try:
            with at_row(number):
                kept = row.get("metadata")
                names.update(requirement_names(table_at(kept, "kiln").get(TASK) if isinstance(kept, dict) else None))
                record = record_of(_shape(names), {**row, "id": row.get("id") or f"row-{number}"})
                check_row(record, f"row {number}")
                kiln_folder.put(folder, record)
        except UserError as error:
            target.fault(error)
            continue
        count += 1
    return count


formats.register("kiln")(
    Format(
        "kiln",
        (".kiln",),
        _sniff,
        _read,
        _write,
        unit="run",
        by_shape=True,
        grouped=True,
        is_folder=kiln_folder.is_folder,
        writes_folder=True,
    )
)
