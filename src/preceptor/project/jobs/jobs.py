"""Trainings that programs ask for: kept, queued, paused, cancelled; carried out elsewhere, one at a time (`running`)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.errors import Conflict, NotFound
from preceptor.project.access import Visitor, owner_seen
from preceptor.project.jobs.uploads import Uploads
from preceptor.store import events, jobs, uploads

if TYPE_CHECKING:
    from preceptor.project.project import Project

WAITING = ("validating_files", "queued")
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Job:
    """One of them. document: what was asked for, and what became of it, see `Jobs.create`. owner: key of who asked for it."""

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
    def of(cls, row: Mapping[Any, Any]) -> Job:
        """From its row."""
        fields = {name: row[name] for name in ("id", "status", "training_file", "validation_file", "created", "finished", "model", "owner")}
        return cls(document=json.loads(row["document"]), **fields)


@dataclass(frozen=True, slots=True)
class Event:
    """What a job said: an id, its time, how grave it is, words, and figures where it holds any."""

    id: str
    created: float
    level: str
    message: str
    data: Mapping[str, Any] | None


class Jobs:
    """The jobs of one project. visitor: who asks, who sees their own; None: the project itself, which sees all."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.uploads = Uploads(project)

    def create(
        self,
        visitor: Visitor,
        *,
        base: str,
        training_file: str,
        validation_file: str | None = None,
        method: str = "supervised",
        hyperparameters: Mapping[str, Any],
        suffix: str | None = None,
        seed: int,
        metadata: Mapping[str, str] | None = None,
    ) -> Job:
        """Ask for a training of a base on an uploaded file; NotFound for a file that isn't there, or isn't the visitor's.

        method: supervised or dpo. hyperparameters: n_epochs, batch_size, learning_rate_multiplier, of dpo also beta, each a number or
        "auto".
        """
        document: dict[str, Any] = {
            "base": base, "method": method, "hyperparameters": dict(hyperparameters), "suffix": suffix, "seed": seed, "metadata": metadata,
            "fine_tuned_model": None, "error": None, "trained_tokens": None, "estimated_finish": None, "result_files": [],
        }  # fmt: skip
        with self.project.database.writing() as connection:
            events.await_turn(connection)  # nobody may delete the files meanwhile
            for name, file in (("training_file", training_file), ("validation_file", validation_file)):
                if file is not None:
                    _check_file(connection, name, file, visitor)
            row = jobs.add(connection, visitor.credential, "validating_files", document, training=training_file, validation=validation_file)
            events.record(connection, "job created", {"job": row["id"], "base": base, "file": training_file}, actor=visitor.name)
            jobs.say(connection, row["id"], f"Created fine-tuning job: {row['id']}")
            jobs.say(connection, row["id"], f"Validating training file: {training_file}")
        return Job.of(row)

    def get(self, id_: str, visitor: Visitor | None = None) -> Job:
        """A job; NotFound when there is none, or it is another's."""
        with self.project.database.reading() as connection:
            return Job.of(jobs.get(connection, id_, owner=owner_seen(visitor)))

    def page(
        self, visitor: Visitor | None = None, *, after: str | None, limit: int, metadata: Mapping[str, str] = {}
    ) -> tuple[list[Job], bool]:
        """A page of jobs, newest first, and whether there are more. metadata: only those that bear all of these."""
        found: list[Job] = []
        with self.project.database.reading() as connection:
            while True:
                rows, more = jobs.listed(connection, owner=owner_seen(visitor), after=after, limit=limit)
                fitting = [job for job in map(Job.of, rows) if metadata.items() <= (job.document["metadata"] or {}).items()]
                found += fitting
                if len(found) > limit or not more:
                    return found[:limit], more or len(found) > limit
                if len(found) == limit and not metadata:
                    return found, more
                after = rows[-1]["id"]

    def events(self, id_: str, visitor: Visitor | None = None, *, after: str | None, limit: int) -> tuple[list[Event], bool]:
        """A page of what a job said, newest first, and whether there is more."""
        number = None
        if after is not None:
            number = int(text) if re.fullmatch(r"[0-9]{1,18}", text := after.removeprefix("ftevent-")) else None
            if number is None:
                raise NotFound(f"{after!r:.80} isn't the id of an event", "begin without `after`", where="after")
        with self.project.database.reading() as connection:
            jobs.get(connection, id_, owner=owner_seen(visitor))
            rows, more = jobs.events(connection, id_, after=number, limit=limit)
        said = [(row, None if row["data"] is None else json.loads(row["data"])) for row in rows]
        return [Event(f"ftevent-{row['pk']}", row["created"], row["level"], row["message"], data) for row, data in said], more

    def cancel(self, id_: str, visitor: Visitor | None = None, *, by: str) -> Job:
        """End a job for good; Conflict when it has ended already."""
        return self._move(id_, visitor, "cancelled", jobs.UNFINISHED, "The job was cancelled", by)

    def pause(self, id_: str, visitor: Visitor | None = None, *, by: str) -> Job:
        """Stop a job until it is resumed; what it has learnt is kept."""
        return self._move(id_, visitor, "paused", ("queued", "running"), "The job was paused", by)

    def resume(self, id_: str, visitor: Visitor | None = None, *, by: str) -> Job:
        """Queue a paused job again; it goes on where it stopped."""
        return self._move(id_, visitor, "queued", ("paused",), "The job was resumed", by)

    def say(self, id_: str, message: str, *, level: str = "info", data: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Tell what a job does, and keep what is known of it by now."""
        with self.project.database.writing() as connection:
            jobs.say(connection, id_, message, level=level, data=_finite(data))
            if fields:
                jobs.note(connection, id_, **fields)

    def advance(self, id_: str, status: str, *, of: tuple[str, ...], message: str, level: str = "info", **fields: Any) -> bool:
        """Bring a job to its next state and tell so, unless it was cancelled or paused meanwhile; whether it was brought there."""
        with self.project.database.writing() as connection:
            if not jobs.move(connection, id_, status, of=of, finished=status in ENDED):
                return False
            jobs.say(connection, id_, message, level=level)
            jobs.note(connection, id_, **fields)
            if status in ENDED:
                events.record(connection, f"job {status}", {"job": id_})
        return True

    def fail(self, id_: str, message: str, *, code: str, param: str | None = None) -> None:
        """End a job with an error."""
        error = {"code": code, "message": message, "param": param}
        self.advance(id_, "failed", of=jobs.UNFINISHED, message=message, level="error", error=error, estimated_finish=None)

    def first(self, *statuses: str) -> Job | None:
        """The oldest job in one of these states."""
        with self.project.database.reading() as connection:
            row = jobs.first(connection, statuses)
        return None if row is None else Job.of(row)

    def before(self, id_: str) -> int:
        """How many older jobs wait or run."""
        with self.project.database.reading() as connection:
            return jobs.count_before(connection, jobs.get(connection, id_), (*WAITING, "running"))

    def figures(self, id_: str) -> list[dict[str, Any]]:
        """The figures that a job told, in order."""
        with self.project.database.reading() as connection:
            return jobs.figures(connection, id_)

    def _move(self, id_: str, visitor: Visitor | None, status: str, of: tuple[str, ...], message: str, by: str) -> Job:
        with self.project.database.writing() as connection:
            before = jobs.get(connection, id_, owner=owner_seen(visitor))["status"]
            if not jobs.move(connection, id_, status, of=of, finished=status in ENDED):
                raise Conflict(f"{id_} is {before}, and can't become {status}", "retrieve it to see where it stands", where="status")
            events.record(connection, f"job {status}", {"job": id_}, actor=by)
            jobs.say(connection, id_, message)
            jobs.note(connection, id_, estimated_finish=None)
            return Job.of(jobs.get(connection, id_))


def _check_file(connection: Any, name: str, file: str, visitor: Visitor) -> None:
    try:
        row = uploads.get(connection, file, owner=owner_seen(visitor))
    except NotFound as fault:
        raise NotFound(fault.message, "upload it with purpose fine-tune", where=name) from None
    if row["purpose"] != "fine-tune":
        raise NotFound(f"{file} was uploaded for {row['purpose']}", "upload it with purpose fine-tune", where=name)


def _finite(data: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Figures without those that JSON has no form for."""
    if data is None:
        return None
    return {name: value for name, value in data.items() if not isinstance(value, float) or math.isfinite(value)}
