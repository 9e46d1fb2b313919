"""Label Studio's JSON: a list of tasks, each with its data, people's annotations and models' predictions.

Read: the full JSON export, a list of tasks to import, one task alone, tasks one a line, files from before 1.0 (`completions`), and
JSON_MIN, which needs its labelling config. A config that lies beside the file is used where it has the file's name, or is the only one
and has all controls that were answered; it says which choices are single and which fields are shown. Written: the full JSON, which
Label Studio imports.

Its canonical form: lists of relations inside a result are part of the result; predictions that an export tells only by their numbers
are left out, as Label Studio refuses to import them and they mean nothing elsewhere. An annotator whose name is neither a number nor an
e-mail address is named under "preceptor", as importing there ends at unknown people; so is what no control can tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import json_records
from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.interchange import mapped
from preceptor.formats.json_records import glance
from preceptor.formats.json_text import as_row, parse, to_json
from preceptor.formats.source import Source
from preceptor.formats.tools.label_studio_config import Config, config_beside
from preceptor.formats.tools.label_studio_known import known_by_scan, known_from, what_lacks
from preceptor.formats.tools.label_studio_min import is_min, task_from_min
from preceptor.formats.tools.label_studio_rows import ANNOTATIONS, row_from
from preceptor.formats.tools.label_studio_spans import way_proven
from preceptor.formats.tools.label_studio_tasks import task_from


def _sniff(opening: bytes) -> bool:
    seen = glance(opening)
    told = any(seen.holds(name, list, type(None)) for name in (*ANNOTATIONS, "predictions"))
    return (told and seen.holds("data", dict)) or is_min(seen.fields)


def _read(source: Source) -> Iterator[Row]:
    told = set(source.warnings)

    def warn(sentence: str) -> None:
        if sentence not in told:
            told.add(sentence)
            source.warnings.append(sentence)

    config = _config(source, warn)
    known = known_from(config) if config is not None else known_by_scan(_tasks_of(source))
    counted = cache(lambda: way_proven(_whole(record, config) for record in _tasks_of(source)))  # the file is looked through if need be
    return mapped(source, _tasks(source), lambda record: row_from(_whole(record, config), known, warn, counted))


def _config(source: Source, warn: Callable[[str], None]) -> Config | None:
    """The config beside the file, where it is about what the file holds: of its name, or with all the controls that were answered."""
    try:
        beside = config_beside(source.path)
    except UserError as error:
        if error.where == source.path.with_suffix(".xml").name:
            raise
        warn(f"{error.where} isn't used: {error.message}")
        return None
    if beside is None:
        return None
    if not beside.own and (lacks := what_lacks(beside.config, _tasks_of(source))):
        name = source.path.with_suffix(".xml").name
        warn(f"{beside.name} isn't used, as it {lacks}; if it is the labelling config of this file, name it {name}")
        return None
    warn(f"what was asked is taken from {beside.name}")
    return beside.config


def _tasks_of(source: Source) -> Iterator[Row]:
    """The tasks, to be looked through once before they are read."""
    return _tasks(replace(source, on_fault=lambda error: None, warnings=[]))


def _whole(record: Row, config: Config | None) -> Row:
    """The task of a record, of whichever export."""
    if "data" in record or not is_min(record):
        return record
    if config is None:
        hint = "put the labelling config beside it (an .xml file), or export as JSON"
        raise UserError("JSON_MIN doesn't say which of its fields are answers", hint)
    return task_from_min(record, config)


def _tasks(source: Source) -> Iterator[Row]:
    """The tasks of a list, of lines, or the one that is laid out over the whole file."""
    if not re.match(rb"(?:\xef\xbb\xbf)?\s*\{", source.opening) or _is_one_a_line(source.opening):
        yield from json_records.records(source)
        return
    source.unit, source.number = "task", 1
    text = "".join(source.chunks())
    yield as_row(parse(text, source), text, source)


def _is_one_a_line(opening: bytes) -> bool:
    """Whether the first line holds a whole object, or ends beyond what is seen."""
    line = opening.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
    return line[0].rstrip().endswith(b"}") or not line[1]


def _write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    number = 0
    for number, row in enumerate(rows, start=1):
        target.file.write((b",\n" if number > 1 else b"[\n") + to_json(_at(number, task_from, row), f"row {number}").encode())
    target.file.write(b"\n]\n")
    return number


def _at(number: int, write: Callable[[Mapping[str, Any]], dict[str, Any]], row: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return write(row)
    except UserError as error:
        raise UserError(error.message, error.hint, where=error.where or f"row {number}") from None
    except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:  # what we left in a row was changed by others
        message = "what is kept in the row of its Label Studio task was changed, so that no task can be made of it"
        raise UserError(message, "take label_studio out of its metadata and of its judgments' extra", where=f"row {number}") from error


formats.register("label_studio")(Format("label_studio", (), _sniff, _read, _write, unit="element", by_shape=True, grouped=True))
