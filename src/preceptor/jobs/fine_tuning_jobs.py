"""Queue the fine-tuning jobs of programs and the files that they upload: create, pause, resume, cancel, list.

The bytes of each uploaded file are stored once in objects/files/, its name in a table. Jobs are only recorded here;
`preceptor.jobs.fine_tuning_runner` carries them out, one at a time.
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
from preceptor.jobs.queue import JobQueue
from preceptor.storage import ObjectStore, events, jobs, uploads

if TYPE_CHECKING:
    from preceptor.project import Project


_ABANDONED_SECONDS = 86400.0  # seconds without progress after which an upload counts as interrupted
_CHUNK_BYTES = 1 << 20


class UploadStore:
    """The uploaded files of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.objects = ObjectStore(project.folder / "objects" / "files")

    def temporary_file(self) -> AbstractContextManager[Path]:
        """Return a context manager that gives a path to write an upload to before `add`."""
        return self.objects.incoming()

    def add(
        self, path: Path, *, digest: str, size: int, filename: str, purpose: str, seconds: float | None = None, by: str, owner: int | None
    ) -> Mapping[Any, Any]:
        """Store a complete file under a new id and return its row; equal content is stored once.

        digest: its SHA-256. size: in bytes. seconds: after which it expires; None: never. owner: the key of the annotator (a person or
        program) that owns it; None: the project itself.
        """
        with self.project.database.writing() as connection:
            # First, since it makes writers of both databases wait for each other: nobody discards these bytes meanwhile.
            events.record_event(connection, "file uploaded", {"filename": filename, "digest": digest, "bytes": size}, actor=by)
            self.objects.commit(path, digest)
            return uploads.add(connection, owner=owner, digest=digest, size=size, filename=filename, purpose=purpose, seconds=seconds)

    def get(self, id_: str, visitor: AuthenticatedVisitor | None = None) -> Mapping[Any, Any]:
        """Return the row of a file.

        visitor: who asks; None: the project itself. Raises NotFoundError where the file doesn't exist (any more) or belongs to somebody
        else.
        """
        with self.project.database.reading() as connection:
            return uploads.get(connection, id_, owner=visible_owner(visitor))

    def path(self, id_: str, visitor: AuthenticatedVisitor | None = None) -> Path:
        """Return the path of the bytes of a file."""
        return self.objects.check(self.get(id_, visitor)["digest"])

    def open(self, id_: str, visitor: AuthenticatedVisitor | None = None) -> tuple[int, Iterator[bytes]]:
        """Return the size of a file in bytes and an iterator over its bytes.

        The iterator gives all bytes even where the file is deleted meanwhile. Raises NotFoundError as `get` does.
        """
        try:
            file = self.path(id_, visitor).open("rb")
        except FileNotFoundError:  # it has just been deleted
            raise uploads.file_not_found(id_) from None
        return os.fstat(file.fileno()).st_size, _iterate_chunks(file)

    def list_page(
        self, visitor: AuthenticatedVisitor | None = None, *, purpose: str | None, after: str | None, limit: int, ascending: bool
    ) -> tuple[list[Mapping[Any, Any]], bool]:
        """Return a page of the visitor's files (None: of all files), and whether there are more."""
        with self.project.database.reading() as connection:
            owner = visible_owner(visitor)
            return uploads.list_files(connection, owner=owner, purpose=purpose, after=after, limit=limit, ascending=ascending)

    def delete(self, id_: str, visitor: AuthenticatedVisitor | None = None, *, by: str) -> None:
        """Delete a file, and its bytes where no other file has the same.

        Raises UserError while an unfinished job needs it.
        """
        with self.project.database.writing() as connection:
            events.lock_log(connection)  # no job may begin to need it meanwhile
            uploads.get(connection, id_, owner=visible_owner(visitor))
            if jobs.is_file_in_use(connection, id_, jobs.UNFINISHED):
                raise UserError(f"{id_} is needed by a fine-tuning job that hasn't ended", "cancel the job first, or wait", where="file_id")
            events.record_event(connection, "file deleted", {"file": id_}, actor=by)
            if digest := uploads.remove(connection, id_):
                self.objects.discard(digest)

    def delete_expired(self) -> None:
        """Delete expired files, and what interrupted uploads have left."""
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


@dataclass(frozen=True, slots=True)
class FineTuningJob:
    """A fine-tuning job. document: the request and its results, see `FineTuningQueue.create`. owner: the key of the annotator who created
    it. error: code, message and param of what ended it. estimated_finish: of a running one, in Unix time.
    """

    id: str
    status: str
    training_file: str
    validation_file: str | None
    document: Mapping[str, Any]
    created: float
    finished: float | None
    model: str | None
    owner: int
    error: Mapping[str, Any] | None
    estimated_finish: int | None

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> FineTuningJob:
        """Build a job from its row."""
        fields = {name: row[name] for name in ("id", "status", "training_file", "validation_file", "created", "finished", "model", "owner")}
        fields["error"] = None if row["error"] is None else json.loads(row["error"])
        progress = {} if row["progress"] is None else json.loads(row["progress"])
        return cls(document=json.loads(row["document"]), estimated_finish=progress.get("estimated_finish"), **fields)


@dataclass(frozen=True, slots=True)
class FineTuningEvent:
    """An event of a job: its id, Unix time, level (info, warn, error), message, and metrics where it has any."""

    id: str
    created: float
    level: str
    message: str
    data: Mapping[str, Any] | None


class FineTuningQueue:
    """The fine-tuning jobs of one project. visitor: who asks, and sees their own jobs; None: the project itself, which sees all."""

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
        """Create a job that fine-tunes a base model on an uploaded file.

        method: supervised or dpo. hyperparameters: n_epochs, batch_size, learning_rate_multiplier, for dpo also beta, each a number or
        "auto". Raises NotFoundError for a file that doesn't exist, isn't the visitor's, or was uploaded for another purpose.
        """
        document: dict[str, Any] = {
            "base": base, "method": method, "hyperparameters": dict(hyperparameters), "suffix": suffix, "seed": seed, "metadata": metadata,
            "fine_tuned_model": None, "trained_tokens": None, "result_files": [],
        }  # fmt: skip
        with self.project.database.writing() as connection:
            events.lock_log(connection)  # nobody may delete the files meanwhile
            for name, file in (("training_file", training_file), ("validation_file", validation_file)):
                if file is not None:
                    _check_uploaded_file(connection, name, file, visitor)
            row = jobs.add(
                connection, jobs.FINE_TUNING, "validating_files", document,
                prefix="ftjob", credential=visitor.credential, training_file=training_file, validation_file=validation_file,
            )  # fmt: skip
            events.record_event(connection, "job created", {"job": row["id"], "base": base, "file": training_file}, actor=visitor.name)
            jobs.add_event(connection, row["id"], f"Created fine-tuning job: {row['id']}")
            jobs.add_event(connection, row["id"], f"Validating training file: {training_file}")
        return FineTuningJob.from_row(row)

    def get(self, id_: str, visitor: AuthenticatedVisitor | None = None) -> FineTuningJob:
        """Return a job. Raises NotFoundError where it doesn't exist or belongs to somebody else."""
        with self.project.database.reading() as connection:
            return FineTuningJob.from_row(_get_row(connection, id_, visitor))

    def list_page(
        self, visitor: AuthenticatedVisitor | None = None, *, after: str | None, limit: int, metadata: Mapping[str, str] = {}
    ) -> tuple[list[FineTuningJob], bool]:
        """Return a page of jobs, newest first, and whether there are more. metadata: only jobs that have all of these entries."""
        found: list[FineTuningJob] = []
        with self.project.database.reading() as connection:
            while True:
                rows, more = jobs.list_jobs(connection, jobs.FINE_TUNING, owner=visible_owner(visitor), after=after, limit=limit)
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
        """Return a page of the events of a job, newest first, and whether there are more."""
        number = None
        if after is not None:
            number = int(text) if re.fullmatch(r"[0-9]{1,18}", text := after.removeprefix("ftevent-")) else None
            if number is None:
                raise NotFoundError(f"{after!r:.80} isn't the id of an event", "begin without `after`", where="after")
        with self.project.database.reading() as connection:
            _get_row(connection, id_, visitor)
            rows, more = jobs.list_events(connection, id_, after=number, limit=limit)
        said = [(row, None if row["data"] is None else json.loads(row["data"])) for row in rows]
        return [FineTuningEvent(f"ftevent-{row['pk']}", row["created"], row["level"], row["message"], data) for row, data in said], more

    def cancel(self, id_: str, visitor: AuthenticatedVisitor | None = None, *, by: str) -> FineTuningJob:
        """End a job for good. Raises ConflictError where it has ended already."""
        return self._change_status_by_request(id_, visitor, "cancelled", jobs.UNFINISHED, "The job was cancelled", by)

    def pause(self, id_: str, visitor: AuthenticatedVisitor | None = None, *, by: str) -> FineTuningJob:
        """Stop a job until it is resumed; what it has learned so far is kept."""
        return self._change_status_by_request(id_, visitor, "paused", ("queued", "running"), "The job was paused", by)

    def resume(self, id_: str, visitor: AuthenticatedVisitor | None = None, *, by: str) -> FineTuningJob:
        """Queue a paused job again; it continues where it stopped."""
        return self._change_status_by_request(id_, visitor, "queued", ("paused",), "The job was resumed", by)

    def add_event(self, id_: str, message: str, *, level: str = "info", data: Mapping[str, Any] | None = None, **progress: Any) -> None:
        """Record an event of a job, and replace its progress where any is given."""
        with self.project.database.writing() as connection:
            jobs.add_event(connection, id_, message, level=level, data=_finite_metrics(data))
            if progress:
                jobs.set_progress(connection, id_, progress)

    def change_status(self, id_: str, status: str, *, of: tuple[str, ...], message: str) -> bool:
        """Move a job from one of the states `of` to a new one, and record an event.

        Returns False where it is in none of these states, since it was cancelled or paused meanwhile.
        """
        return JobQueue(self.project).change_status(id_, status, of=of, message=message)

    def fail(self, id_: str, message: str, *, code: str, param: str | None = None) -> None:
        """End a job with an error."""
        JobQueue(self.project).fail(id_, message, code=code, param=param)

    def count_before(self, id_: str) -> int:
        """Count the older jobs that wait or run."""
        with self.project.database.reading() as connection:
            return jobs.count_before(connection, jobs.get(connection, id_), (*_WAITING_STATUSES, "running"))

    def list_metrics(self, id_: str) -> list[dict[str, Any]]:
        """List the metrics that the events of a job hold, in order."""
        with self.project.database.reading() as connection:
            return jobs.list_metrics(connection, id_)

    def _change_status_by_request(
        self, id_: str, visitor: AuthenticatedVisitor | None, status: str, of: tuple[str, ...], message: str, by: str
    ) -> FineTuningJob:
        with self.project.database.writing() as connection:
            before = _get_row(connection, id_, visitor)["status"]
            if not jobs.transition(connection, id_, status, of=of):
                raise ConflictError(f"{id_} is {before}, and can't become {status}", "retrieve it to see where it stands", where="status")
            events.record_event(connection, f"job {status}", {"job": id_}, actor=by)
            jobs.add_event(connection, id_, message)
            return FineTuningJob.from_row(jobs.get(connection, id_))


def _get_row(connection: Any, id_: str, visitor: AuthenticatedVisitor | None) -> Mapping[Any, Any]:
    return jobs.get(connection, id_, owner=visible_owner(visitor), kind=jobs.FINE_TUNING)


def _check_uploaded_file(connection: Any, name: str, file: str, visitor: AuthenticatedVisitor) -> None:
    try:
        row = uploads.get(connection, file, owner=visible_owner(visitor))
    except NotFoundError as fault:
        raise NotFoundError(fault.message, "upload it with purpose fine-tune", where=name) from None
    if row["purpose"] != "fine-tune":
        raise NotFoundError(f"{file} was uploaded for {row['purpose']}", "upload it with purpose fine-tune", where=name)


def _finite_metrics(data: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the metrics without NaN and infinities, for which JSON has no form."""
    if data is None:
        return None
    return {name: value for name, value in data.items() if not isinstance(value, float) or math.isfinite(value)}
