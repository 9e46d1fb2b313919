"""Store training jobs that were requested through the API, and their events."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, Select, func, insert, or_, select, update

from preceptor.errors import NotFoundError
from preceptor.storage import schema
from preceptor.storage.connection import now
from preceptor.storage.statements import fetch_page

Row = Mapping[Any, Any]
UNFINISHED = ("validating_files", "queued", "running", "paused")  # states of a job that still needs its files
jobs, job_events, credentials = schema.jobs, schema.job_events, schema.credentials


def add(connection: Connection, credential: int, status: str, document: Mapping[str, Any], *, training: str, validation: str | None) -> Row:
    """Add a job that trains and validates on files with these ids; return its row, under a new id."""
    row: dict[str, Any] = {"id": f"ftjob-{secrets.token_hex(12)}", "status": status, "credential": credential, "created": now()}
    row |= {"training_file": training, "validation_file": validation}
    connection.execute(insert(jobs).values(**row, document=json.dumps(document, ensure_ascii=False)))
    return get(connection, row["id"])


def get(connection: Connection, id_: str, *, owner: int | None = None) -> Row:
    """Return the row of a job with its owner, an annotator's key.

    Raises NotFoundError when there is none, or it isn't this owner's (None: any owner's).
    """
    found = connection.execute(_jobs_of(owner).where(jobs.c.id == id_)).mappings().first()
    if found is None:
        raise NotFoundError(f"there is no fine-tuning job {id_!r}", "list what is there")
    return found


def list_jobs(connection: Connection, *, owner: int | None, after: str | None, limit: int) -> tuple[list[Row], bool]:
    """Return at most `limit` jobs of an owner (None: everybody's) after the job `after`, newest first, and whether there are more."""
    return fetch_page(connection, _jobs_of(owner), jobs, after=after, limit=limit)


def find_oldest(connection: Connection, statuses: Collection[str]) -> Row | None:
    """Return the oldest job in one of these states, None where there is none."""
    return connection.execute(_jobs_of().where(jobs.c.status.in_(statuses)).order_by(jobs.c.pk).limit(1)).mappings().first()


def counts(connection: Connection) -> dict[str, int]:
    """Return the number of jobs in each state."""
    return {
        row.status: row.number for row in connection.execute(select(jobs.c.status, func.count().label("number")).group_by(jobs.c.status))
    }


def count_before(connection: Connection, row: Row, statuses: Collection[str]) -> int:
    """Return how many older jobs are in one of these states."""
    return len(connection.execute(select(jobs.c.pk).where(jobs.c.status.in_(statuses), jobs.c.pk < row["pk"])).all())


def transition(connection: Connection, id_: str, status: str, *, of: Collection[str], finished: bool = False) -> bool:
    """Change a job's state if it is in one of the states `of`; return whether it was."""
    values: dict[str, Any] = {"status": status, **({"finished": now()} if finished else {})}
    return connection.execute(update(jobs).where(jobs.c.id == id_, jobs.c.status.in_(of)).values(values)).rowcount == 1


def update_fields(connection: Connection, id_: str, *, model: str | None = None, **fields: Any) -> None:
    """Set a job's model and add fields to its document."""
    known = json.loads(get(connection, id_)["document"]) | fields
    values = {"document": json.dumps(known, ensure_ascii=False), **({"model": model} if model else {})}
    connection.execute(update(jobs).where(jobs.c.id == id_).values(values))


def add_event(connection: Connection, id_: str, message: str, *, level: str = "info", data: Mapping[str, Any] | None = None) -> None:
    """Append an event to a job."""
    row = {"job": get(connection, id_)["pk"], "level": level, "message": message, "created": now()}
    connection.execute(insert(job_events).values(**row, data=None if data is None else json.dumps(data)))


def list_events(connection: Connection, id_: str, *, after: int | None, limit: int) -> tuple[list[Row], bool]:
    """Return at most `limit` events of a job before the event numbered `after`, newest first, and whether there are more."""
    query = select(job_events).where(job_events.c.job == get(connection, id_)["pk"])
    if after is not None:
        query = query.where(job_events.c.pk < after)
    rows: list[Row] = list(connection.execute(query.order_by(job_events.c.pk.desc()).limit(limit + 1)).mappings())
    return rows[:limit], len(rows) > limit


def list_metrics(connection: Connection, id_: str) -> list[dict[str, Any]]:
    """Return the figures of a job's events, in order."""
    query = select(job_events.c.data).where(job_events.c.job == get(connection, id_)["pk"], job_events.c.data.is_not(None))
    return [json.loads(data) for data in connection.execute(query.order_by(job_events.c.pk)).scalars()]


def list_with_models(connection: Connection) -> list[Row]:
    """Return the jobs that have made a model, in order, with their owners."""
    return list(connection.execute(_jobs_of().where(jobs.c.model.is_not(None)).order_by(jobs.c.pk)).mappings())


def is_file_in_use(connection: Connection, file: str, statuses: Collection[str]) -> bool:
    """Tell whether a job in one of these states trains or validates on a file."""
    query = select(jobs.c.pk).where(jobs.c.status.in_(statuses), or_(jobs.c.training_file == file, jobs.c.validation_file == file))
    return connection.execute(query.limit(1)).first() is not None


def _jobs_of(owner: int | None = None) -> Select[Any]:
    """Return the query of jobs with their owner: the annotator whose token requested them, whatever has become of that token."""
    query = select(jobs, credentials.c.annotator.label("owner")).join_from(jobs, credentials, jobs.c.credential == credentials.c.pk)
    return query if owner is None else query.where(credentials.c.annotator == owner)
