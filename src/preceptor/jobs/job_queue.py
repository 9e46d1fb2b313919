"""Queue fine-tuning jobs of programs with the files that they upload: create, pause, resume, cancel, list.

Files that programs upload: their bytes once in objects/files/, their names in a table.

Trainings that programs ask for: kept, queued, paused, cancelled; carried out elsewhere, one at a time (`running`).
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from preceptor.annotation.access_control import AuthenticatedVisitor, visible_owner
from preceptor.errors import ConflictError, NotFoundError, UserError
from preceptor.storage import ObjectStore, events, jobs, uploads

if TYPE_CHECKING:
    from preceptor.project import Project


_ABANDONED_SECONDS = 86400.0  # seconds after which an upload that no longer goes on is one that a kill has ended
_CHUNK_BYTES = 1 << 20


class UploadStore:
    """The uploaded files of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.objects = ObjectStore(project.folder / "objects" / "files")

    def temporary_file(self) -> AbstractContextManager[Path]:
        """A name to write an upload to before `keep`."""
        return self.objects.incoming()

    def add(
        self, path: Path, *, digest: str, size: int, filename: str, purpose: str, seconds: float | None = None, by: str, owner: int | None
    ) -> Mapping[Any, Any]:
        """Keep a complete file (its sha256, bytes) under a new id; the same content is kept once. Its row.

        owner: the key of the annotator (a person or program) whose it is; None: the project's own.
        """
        with self.project.database.writing() as connection:
            # First, since it makes writers of both databases wait for each other: nobody discards these bytes meanwhile.
            events.record_event(connection, "file uploaded", {"filename": filename, "digest": digest, "bytes": size}, actor=by)
            self.objects.commit(path, digest)
            return uploads.add(connection, owner=owner, digest=digest, size=size, filename=filename, purpose=purpose, seconds=seconds)

    def get(self, id_: str, visitor: AuthenticatedVisitor | None = None) -> Mapping[Any, Any]:
        """The row of a file; NotFound when it is gone, or isn't the visitor's. visitor: who asks, None: the project itself."""
        with self.project.database.reading() as connection:
            return uploads.get(connection, id_, owner=visible_owner(visitor))

    def path(self, id_: str, visitor: AuthenticatedVisitor | None = None) -> Path:
        """Where the bytes of a file lie."""
        return self.objects.check(self.get(id_, visitor)["digest"])

    def open(self, id_: str, visitor: AuthenticatedVisitor | None = None) -> tuple[int, Iterator[bytes]]:
        """How many bytes a file has, and the bytes, piece by piece: all of them, also where the file is deleted while they are read."""
        try:
            file = self.path(id_, visitor).open("rb")
        except FileNotFoundError:  # it has just been deleted
            raise uploads.file_not_found(id_) from None
        return os.fstat(file.fileno()).st_size, _iterate_chunks(file)

    def list_page(
        self, visitor: AuthenticatedVisitor | None = None, *, purpose: str | None, after: str | None, limit: int, ascending: bool
    ) -> tuple[list[Mapping[Any, Any]], bool]:
        """A page of the visitor's files (None: of all), and whether there are more."""
        with self.project.database.reading() as connection:
            owner = visible_owner(visitor)
            return uploads.list_files(connection, owner=owner, purpose=purpose, after=after, limit=limit, ascending=ascending)

    def delete(self, id_: str, visitor: AuthenticatedVisitor | None = None, *, by: str) -> None:
        """Forget a file, and its bytes when no other has the same; refused while a job needs it."""
        with self.project.database.writing() as connection:
            events.lock_log(connection)  # no job may begin to need it meanwhile
            uploads.get(connection, id_, owner=visible_owner(visitor))
            if jobs.is_file_in_use(connection, id_, jobs.UNFINISHED):
                raise UserError(f"{id_} is needed by a fine-tuning job that hasn't ended", "cancel the job first, or wait", where="file_id")
            events.record_event(connection, "file deleted", {"file": id_}, actor=by)
            if digest := uploads.remove(connection, id_):
                self.objects.discard(digest)

    def delete_expired(self) -> None:
        """Remove expired files, and what a kill has left of uploads."""
        self.objects.sweep(_ABANDONED_SECONDS)
        with self.project.database.reading() as connection:
            if not uploads.has_expired(connection):
                return
        with self.project.database.writing() as connection:
            events.record_event(connection, "expired files deleted", {})
            for digest in uploads.delete_expired(connection):
                self.objects.discard(digest)


def _iterate_chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_CHUNK_BYTES):
            yield piece


_WAITING_STATUSES = ("validating_files", "queued")
_FINAL_STATUSES = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class FineTuningJob:
    """One of them. document: what was asked for, and what became of it, see `FineTuningQueue.create`. owner: key of who asked for it."""

    id: str
    status: str
    training_file: str
    validation_file: str | None
    document: Mapping[str, Any]
    created: float
    finished: float | None
    model: str | None
    owner: int

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> FineTuningJob:
        """From its row."""
        fields = {name: row[name] for name in ("id", "status", "training_file", "validation_file", "created", "finished", "model", "owner")}
        return cls(document=json.loads(row["document"]), **fields)


@dataclass(frozen=True, slots=True)
class FineTuningEvent:
    """What a job said: an id, its time, how grave it is, words, and figures where it holds any."""

    id: str
    created: float
    level: str
    message: str
    data: Mapping[str, Any] | None


class FineTuningQueue:
    """The jobs of one project. visitor: who asks, who sees their own; None: the project itself, which sees all."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.uploads = UploadStore(project)

    def create(
        self,
        visitor: AuthenticatedVisitor,
        *,
        base: str,
        training_file: str,
        validation_file: str | None = None,
        method: str = "supervised",
        hyperparameters: Mapping[str, Any],
        suffix: str | None = None,
        seed: int,
        metadata: Mapping[str, str] | None = None,
    ) -> FineTuningJob:
        """Ask for a training of a base on an uploaded file; NotFound for a file that isn't there, or isn't the visitor's.

        method: supervised or dpo. hyperparameters: n_epochs, batch_size, learning_rate_multiplier, of dpo also beta, each a number or
        "auto".
        """
        document: dict[str, Any] = {
            "base": base, "method": method, "hyperparameters": dict(hyperparameters), "suffix": suffix, "seed": seed, "metadata": metadata,
            "fine_tuned_model": None, "error": None, "trained_tokens": None, "estimated_finish": None, "result_files": [],
        }  # fmt: skip
        with self.project.database.writing() as connection:
            events.lock_log(connection)  # nobody may delete the files meanwhile
            for name, file in (("training_file", training_file), ("validation_file", validation_file)):
                if file is not None:
                    _check_uploaded_file(connection, name, file, visitor)
            row = jobs.add(connection, visitor.credential, "validating_files", document, training=training_file, validation=validation_file)
            events.record_event(connection, "job created", {"job": row["id"], "base": base, "file": training_file}, actor=visitor.name)
            jobs.add_event(connection, row["id"], f"Created fine-tuning job: {row['id']}")
            jobs.add_event(connection, row["id"], f"Validating training file: {training_file}")
        return FineTuningJob.from_row(row)

    def get(self, id_: str, visitor: AuthenticatedVisitor | None = None) -> FineTuningJob:
        """A job; NotFound when there is none, or it is another's."""
        with self.project.database.reading() as connection:
            return FineTuningJob.from_row(jobs.get(connection, id_, owner=visible_owner(visitor)))

    def list_page(
        self, visitor: AuthenticatedVisitor | None = None, *, after: str | None, limit: int, metadata: Mapping[str, str] = {}
    ) -> tuple[list[FineTuningJob], bool]:
        """A page of jobs, newest first, and whether there are more. metadata: only those that bear all of these."""
        found: list[FineTuningJob] = []
        with self.project.database.reading() as connection:
            while True:
                rows, more = jobs.list_jobs(connection, owner=visible_owner(visitor), after=after, limit=limit)
                fitting = [job for job in map(FineTuningJob.from_row, rows) if metadata.items() <= (job.document["metadata"] or {}).items()]
                found += fitting
                if len(found) > limit or not more:
                    return found[:limit], more or len(found) > limit
                if len(found) == limit and not metadata:
                    return found, more
                after = rows[-1]["id"]

    def list_events(
        self, id_: str, visitor: AuthenticatedVisitor | None = None, *, after: str | None, limit: int
    ) -> tuple[list[FineTuningEvent], bool]:
        """A page of what a job said, newest first, and whether there is more."""
        number = None
        if after is not None:
            number = int(text) if re.fullmatch(r"[0-9]{1,18}", text := after.removeprefix("ftevent-")) else None
            if number is None:
                raise NotFoundError(f"{after!r:.80} isn't the id of an event", "begin without `after`", where="after")
        with self.project.database.reading() as connection:
            jobs.get(connection, id_, owner=visible_owner(visitor))
            rows, more = jobs.list_events(connection, id_, after=number, limit=limit)
        said = [(row, None if row["data"] is None else json.loads(row["data"])) for row in rows]
        return [FineTuningEvent(f"ftevent-{row['pk']}", row["created"], row["level"], row["message"], data) for row, data in said], more

    def cancel(self, id_: str, visitor: AuthenticatedVisitor | None = None, *, by: str) -> FineTuningJob:
        """End a job for good; Conflict when it has ended already."""
        return self._change_status_by_request(id_, visitor, "cancelled", jobs.UNFINISHED, "The job was cancelled", by)

    def pause(self, id_: str, visitor: AuthenticatedVisitor | None = None, *, by: str) -> FineTuningJob:
        """Stop a job until it is resumed; what it has learnt is kept."""
        return self._change_status_by_request(id_, visitor, "paused", ("queued", "running"), "The job was paused", by)

    def resume(self, id_: str, visitor: AuthenticatedVisitor | None = None, *, by: str) -> FineTuningJob:
        """Queue a paused job again; it goes on where it stopped."""
        return self._change_status_by_request(id_, visitor, "queued", ("paused",), "The job was resumed", by)

    def add_event(self, id_: str, message: str, *, level: str = "info", data: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Tell what a job does, and keep what is known of it by now."""
        with self.project.database.writing() as connection:
            jobs.add_event(connection, id_, message, level=level, data=_finite_metrics(data))
            if fields:
                jobs.update_fields(connection, id_, **fields)

    def change_status(self, id_: str, status: str, *, of: tuple[str, ...], message: str, level: str = "info", **fields: Any) -> bool:
        """Bring a job to its next state and tell so, unless it was cancelled or paused meanwhile; whether it was brought there."""
        with self.project.database.writing() as connection:
            if not jobs.transition(connection, id_, status, of=of, finished=status in _FINAL_STATUSES):
                return False
            jobs.add_event(connection, id_, message, level=level)
            jobs.update_fields(connection, id_, **fields)
            if status in _FINAL_STATUSES:
                events.record_event(connection, f"job {status}", {"job": id_})
        return True

    def fail(self, id_: str, message: str, *, code: str, param: str | None = None) -> None:
        """End a job with an error."""
        error = {"code": code, "message": message, "param": param}
        self.change_status(id_, "failed", of=jobs.UNFINISHED, message=message, level="error", error=error, estimated_finish=None)

    def first_with_status(self, *statuses: str) -> FineTuningJob | None:
        """The oldest job in one of these states."""
        with self.project.database.reading() as connection:
            row = jobs.find_oldest(connection, statuses)
        return None if row is None else FineTuningJob.from_row(row)

    def count_before(self, id_: str) -> int:
        """How many older jobs wait or run."""
        with self.project.database.reading() as connection:
            return jobs.count_before(connection, jobs.get(connection, id_), (*_WAITING_STATUSES, "running"))

    def list_metrics(self, id_: str) -> list[dict[str, Any]]:
        """The figures that a job told, in order."""
        with self.project.database.reading() as connection:
            return jobs.list_metrics(connection, id_)

    def _change_status_by_request(
        self, id_: str, visitor: AuthenticatedVisitor | None, status: str, of: tuple[str, ...], message: str, by: str
    ) -> FineTuningJob:
        with self.project.database.writing() as connection:
            before = jobs.get(connection, id_, owner=visible_owner(visitor))["status"]
            if not jobs.transition(connection, id_, status, of=of, finished=status in _FINAL_STATUSES):
                raise ConflictError(f"{id_} is {before}, and can't become {status}", "retrieve it to see where it stands", where="status")
            events.record_event(connection, f"job {status}", {"job": id_}, actor=by)
            jobs.add_event(connection, id_, message)
            jobs.update_fields(connection, id_, estimated_finish=None)
            return FineTuningJob.from_row(jobs.get(connection, id_))


def _check_uploaded_file(connection: Any, name: str, file: str, visitor: AuthenticatedVisitor) -> None:
    try:
        row = uploads.get(connection, file, owner=visible_owner(visitor))
    except NotFoundError as fault:
        raise NotFoundError(fault.message, "upload it with purpose fine-tune", where=name) from None
    if row["purpose"] != "fine-tune":
        raise NotFoundError(f"{file} was uploaded for {row['purpose']}", "upload it with purpose fine-tune", where=name)


def _finite_metrics(data: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Figures without those that JSON has no form for."""
    if data is None:
        return None
    return {name: value for name, value in data.items() if not isinstance(value, float) or math.isfinite(value)}
