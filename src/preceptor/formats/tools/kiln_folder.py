"""The folder of a Kiln project: `project.kiln`, `tasks/<task>/task.kiln`, `tasks/<task>/runs/<run>/task_run.kiln`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, cast

from preceptor.errors import UserError
from preceptor.formats.format import Row
from preceptor.formats.interchange import mapped
from preceptor.formats.source import Source
from preceptor.formats.tools.kiln_run import EPOCH, FILE, PROJECT, TASK, requirement_names

RUN_FILE, TASK_FILE, PROJECT_FILE = "task_run.kiln", "task.kiln", "project.kiln"
_DEPTHS = (PROJECT_FILE, TASK_FILE, RUN_FILE, f"*/{RUN_FILE}", f"runs/*/{RUN_FILE}", f"tasks/*/runs/*/{RUN_FILE}")
_MADE = {"v": 1, "created_at": EPOCH, "created_by": "preceptor"}


@dataclass(frozen=True)
class _Named:
    """A place in a folder, as much of a path as messages need."""

    name: str


def is_folder(path: Path) -> bool:
    """Whether a folder holds a Kiln project, a task of one, or runs."""
    return any(next(path.glob(depth), None) for depth in _DEPTHS)


def read(source: Source, loaded: Callable[[Path, Source], Row], row_of: Callable[[Mapping[str, str], Row], Row]) -> Iterator[Row]:
    """The runs below a folder in the order of their paths; the task's first carries the files of the task and the project."""
    folder = source.path
    source.number, source.unit = 0, "run"
    project, tasks = _beside(folder / PROJECT_FILE, folder, loaded, source), dict[Path, Row | None]()
    try:
        for path in sorted(folder.rglob(RUN_FILE)):
            above = path.parent.parent.parent
            carried: Row = {FILE: path.relative_to(folder).as_posix()}
            if above not in tasks:
                tasks[above] = _beside(above / TASK_FILE, folder, loaded, source) if above.is_relative_to(folder) else None
                carried |= {TASK: tasks[above], PROJECT: project}
                project = None
            source.path = cast(Path, _Named(f"{folder.name}/{carried[FILE]}"))
            names = requirement_names(tasks[above])
            yield from mapped(source, _run(path, carried, loaded, source), partial(row_of, names))
    finally:
        source.path = folder


def _run(path: Path, carried: Row, loaded: Callable[[Path, Source], Row], source: Source) -> Iterator[Row]:
    try:
        run = loaded(path, source)
    except UserError as error:
        source.fault(error)
        return
    yield {**run, **{name: value for name, value in carried.items() if value is not None}}


def _beside(path: Path, folder: Path, loaded: Callable[[Path, Source], Row], source: Source) -> Row | None:
    """The file of a task or the project, if it is there; the runs can be read without it."""
    if not path.is_file():
        return None
    source.path = cast(Path, _Named(f"{folder.name}/{path.relative_to(folder).as_posix()}"))
    try:
        found = loaded(path, source)
        return None if found == _named(None, path.stem) else found
    except UserError as error:
        source.fault(error)
        return None
    finally:
        source.path = folder


def put(folder: Path, record: Row) -> None:
    """Write a run at its place, with the files of its task and the project where these aren't there yet."""
    run = {name: value for name, value in record.items() if name not in (FILE, TASK, PROJECT)}
    path = folder / _inside(record.get(FILE))
    if path.exists():
        raise UserError(f"a run is at {record[FILE]} already", "each item is one run: give every row an id of its own")
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, run)
    above = path.parent.parent.parent
    if above.is_relative_to(folder) and not (above / TASK_FILE).exists():
        _write(above / TASK_FILE, _named(record.get(TASK), "task"))
    if not (folder / PROJECT_FILE).exists():
        _write(folder / PROJECT_FILE, _named(record.get(PROJECT), "project"))


def _named(given: Any, kind: str) -> Row:
    """The file of a task or a project as it was, or one for what has none."""
    if isinstance(given, dict):
        return given
    asked = {"instruction": "The task of the items exported here."} if kind == "task" else {}
    return {**_MADE, "id": "1", "name": "Preceptor export", **asked, "model_type": kind}


def _inside(place: Any) -> PurePosixPath:
    """The place of a run, which must lie in the folder."""
    path = PurePosixPath(place) if isinstance(place, str) and "\0" not in place else PurePosixPath()
    if path.is_absolute() or ".." in path.parts or path.name != RUN_FILE or max(map(len, path.parts)) > 200:
        raise UserError(f"{place!r:.80} is no place for a run", f"tasks/<task>/runs/<run>/{RUN_FILE}")
    return path


def _write(path: Path, value: Row) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")
