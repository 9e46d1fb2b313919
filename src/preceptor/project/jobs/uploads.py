"""Files that programs upload: their bytes once in objects/files/, their names in a table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.project.access import Visitor, owner_seen
from preceptor.store import Objects, events, jobs, uploads

if TYPE_CHECKING:
    from preceptor.project.project import Project

LEFT_BEHIND = 86400.0  # seconds after which an upload that no longer goes on is one that a kill has ended
_CHUNK = 1 << 20


class Uploads:
    """The uploaded files of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.objects = Objects(project.folder / "objects" / "files")

    def incoming(self) -> AbstractContextManager[Path]:
        """A name to write an upload to before `keep`."""
        return self.objects.incoming()

    def keep(
        self, path: Path, *, digest: str, size: int, filename: str, purpose: str, seconds: float | None = None, by: str, owner: int | None
    ) -> Mapping[Any, Any]:
        """Keep a complete file (its sha256, bytes) under a new id; the same content is kept once. Its row.

        owner: the key of the annotator (a person or program) whose it is; None: the project's own.
        """
        with self.project.database.writing() as connection:
            # First, since it makes writers of both databases wait for each other: nobody discards these bytes meanwhile.
            events.record(connection, "file uploaded", {"filename": filename, "digest": digest, "bytes": size}, actor=by)
            self.objects.settle(path, digest)
            return uploads.add(connection, owner=owner, digest=digest, size=size, filename=filename, purpose=purpose, seconds=seconds)

    def get(self, id_: str, visitor: Visitor | None = None) -> Mapping[Any, Any]:
        """The row of a file; NotFound when it is gone, or isn't the visitor's. visitor: who asks, None: the project itself."""
        with self.project.database.reading() as connection:
            return uploads.get(connection, id_, owner=owner_seen(visitor))

    def path(self, id_: str, visitor: Visitor | None = None) -> Path:
        """Where the bytes of a file lie."""
        return self.objects.check(self.get(id_, visitor)["digest"])

    def open(self, id_: str, visitor: Visitor | None = None) -> tuple[int, Iterator[bytes]]:
        """How many bytes a file has, and the bytes, piece by piece: all of them, also where the file is deleted while they are read."""
        try:
            file = self.path(id_, visitor).open("rb")
        except FileNotFoundError:  # it has just been deleted
            raise uploads.unknown(id_) from None
        return os.fstat(file.fileno()).st_size, _pieces(file)

    def page(
        self, visitor: Visitor | None = None, *, purpose: str | None, after: str | None, limit: int, ascending: bool
    ) -> tuple[list[Mapping[Any, Any]], bool]:
        """A page of the visitor's files (None: of all), and whether there are more."""
        with self.project.database.reading() as connection:
            owner = owner_seen(visitor)
            return uploads.listed(connection, owner=owner, purpose=purpose, after=after, limit=limit, ascending=ascending)

    def delete(self, id_: str, visitor: Visitor | None = None, *, by: str) -> None:
        """Forget a file, and its bytes when no other has the same; refused while a job needs it."""
        with self.project.database.writing() as connection:
            events.await_turn(connection)  # no job may begin to need it meanwhile
            uploads.get(connection, id_, owner=owner_seen(visitor))
            if jobs.uses(connection, id_, jobs.UNFINISHED):
                raise UserError(f"{id_} is needed by a fine-tuning job that hasn't ended", "cancel the job first, or wait", where="file_id")
            events.record(connection, "file deleted", {"file": id_}, actor=by)
            if digest := uploads.remove(connection, id_):
                self.objects.discard(digest)

    def tidy(self) -> None:
        """Remove expired files, and what a kill has left of uploads."""
        self.objects.sweep(LEFT_BEHIND)
        with self.project.database.reading() as connection:
            if not uploads.any_expired(connection):
                return
        with self.project.database.writing() as connection:
            events.record(connection, "expired files deleted", {})
            for digest in uploads.expired(connection):
                self.objects.discard(digest)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_CHUNK):
            yield piece
