"""What is left to do once an erasing is in the tables: remove files, search, and note what was found.

What that takes is kept until it is done, so that a kill leaves nothing unsearched: digests in a setting, and the texts in a file of the
project's folder, since a database that is searched for them can't hold them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.errors import Conflict
from preceptor.formats.atomic import atomic_write
from preceptor.formats.locking import locked
from preceptor.project.documents.indexing import index_of
from preceptor.project.erasing.places import discard, holding
from preceptor.project.erasing.texts import encoded, spelled
from preceptor.project.lineage.rows_index import forget
from preceptor.store import documents, erasing, erasures, live_settings

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

BEYOND = (
    "backups of the project, and files that were exported from it, are beyond this command",
    "a model that learnt from it may remember it until it is made again, and what was exported or handed out stays so",
)
LOG = "PostgreSQL's own log keeps what was written as long as it keeps the log"
"""What no command here can take back."""
TEXTS = "erasing.json"  # in the project's folder, with the texts that are looked for: only while an erasing isn't ended
_LOCK = "erasing.lock"
_PENDING = ("erasing", "pending")


@contextmanager
def alone(project: Project) -> Iterator[None]:
    """Hold the project's erasing; Conflict where another process does."""
    with locked(project.folder / _LOCK, Conflict("another process erases in this project", "wait for it to end, and call this again")):
        yield


def keep_texts(project: Project, texts: tuple[str, ...]) -> None:
    """Note what will be looked for, before anything is erased."""
    with atomic_write(project.folder / TEXTS, private=True) as file:
        file.write(json.dumps(texts).encode())


def begin(connection: Connection, pending: Mapping[str, Any]) -> None:
    """Note what is left to do, within the transaction that erases. pending: kind, named, by, reason, and digests of objects, keys of
    documents, and files that stay (left, with the reason)."""
    live_settings.put(connection, *_PENDING, pending)


def end(project: Project) -> None:
    """Do what is left to do of an erasing, this one or one that was killed; nothing where there is none.

    It stays to be done where others read the database just then, whose file keeps what was freed.
    """
    with project.database.reading() as connection:
        pending = live_settings.get(connection, *_PENDING)
    if pending is not None:
        with project.database.writing() as connection:  # which a document waits for that comes with the very same text
            discard(project, documents.unneeded(connection, pending["objects"]))
        for digest in pending["objects"]:
            forget(project, digest)
        if keys := pending.get("documents"):
            index_of(project).forget(np.array(keys, dtype=np.int64))
        search = {**_search(project), "left": pending.get("left", {})}
        with project.database.writing() as connection:
            erasures.add(connection, pending["kind"], pending["named"], {"search": search}, by=pending["by"], reason=pending["reason"])
            if search["compact"]:
                live_settings.put(connection, *_PENDING, None)
        if not search["compact"]:
            return
    (project.folder / TEXTS).unlink(missing_ok=True)


def _search(project: Project) -> dict[str, Any]:
    """Where the texts still stand: in values of the tables, and in files of the project. whole: nothing kept it from looking everywhere."""
    compact = project.database.compact()
    path = project.folder / TEXTS
    texts = json.loads(path.read_bytes()) if path.is_file() else None
    found = [file for file in holding(project.folder, encoded(texts or ())) if file != path]
    files = [str(file.relative_to(project.folder)) for file in found]
    with project.database.reading() as connection:
        tables = erasing.places(connection, spelled(texts)) if texts else {}
        named = {file: documents.with_digest(connection, file.name) for file in found}
    notes = [f"{file.name[:12]}… is the text of document {row['name']!r}" for file, rows in named.items() for row in rows]
    if not texts:
        short = "its texts are too short to be looked for: they were removed by where they belong"
        notes = [short if texts is not None else f"{TEXTS} is gone, which held what was to be looked for: nothing was searched"]
    return {
        "texts": len(texts or ()),
        "tables": tables,
        "files": files,
        "found": sum(tables.values()) + len(files),
        "compact": compact,
        "whole": compact and texts is not None,
        "beyond": [*BEYOND, *([] if project.database.one_writer else [LOG])],
        "notes": notes,
    }
