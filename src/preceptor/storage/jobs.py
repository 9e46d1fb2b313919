"""Store the jobs that run beside the server: their status, lease, progress and events.

A worker claims a job for a time, the lease, and renews it while it works. When the worker is killed, the lease expires, and the next one
takes the job over. A change of status is also the request to stop: whoever works on the job ends when it no longer has the status that
their task needs.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, insert, or_, select, text, update

from preceptor.errors import NotFoundError
from preceptor.storage import schema
from preceptor.storage.connection import now
from preceptor.storage.statements import fetch_page

Row = Mapping[Any, Any]
FINE_TUNING = "fine-tuning"
UNFINISHED = ("validating_files", "queued", "running", "paused")  # states of a job that still needs its files
FINAL = ("succeeded", "failed", "cancelled")
_LOCK = 727277
_NO_LEASE = {"task": None, "worker": None, "lease_until": None}
jobs, job_events, credentials = schema.jobs, schema.job_events, schema.credentials


def add(connection: Connection, kind: str, status: str, document: Mapping[str, Any], *, prefix: str = "job", **columns: Any) -> Row:
    """Add a job; return its row, under a new id that begins with the prefix. columns: values of further columns."""
    row: dict[str, Any] = {"id": f"{prefix}-{secrets.token_hex(12)}", "kind": kind, "status": status, "created": now(), "crashes": 0}
    connection.execute(insert(jobs).values(**row, **columns, document=json.dumps(document, ensure_ascii=False)))
    return get(connection, row["id"])


def enqueue(connection: Connection, kind: str, subject: str, document: Mapping[str, Any]) -> Row:
    """Queue a job about a subject, unless one of this kind is unfinished; return the row of the unfinished one."""
    _lock(connection)
    latest = find_latest(connection, kind, subject)
    if latest is not None and latest["status"] in UNFINISHED:
        return latest
    return add(connection, kind, "queued", document, subject=subject)


def get(connection: Connection, id_: str, *, owner: int | None = None, kind: str | None = None) -> Row:
    """Return the row of a job with its owner, an annotator's key.

    Raises NotFoundError when there is none, or it isn't this owner's (None: any owner's) or of this kind (None: any kind).
    """
    query = _jobs_of(owner).where(jobs.c.id == id_)
    found = connection.execute(query if kind is None else query.where(jobs.c.kind == kind)).mappings().first()
    if found is None:
        raise NotFoundError(f"there is no {f'{kind} ' if kind else ''}job {id_!r}", "list what is there")
    return found


def find_latest(connection: Connection, kind: str, subject: str) -> Row | None:
    """Return the newest job of a kind about a subject, None where there is none."""
    query = _jobs_of().where(jobs.c.kind == kind, jobs.c.subject == subject)
    return connection.execute(query.order_by(jobs.c.pk.desc()).limit(1)).mappings().first()


def list_jobs(connection: Connection, kind: str, *, owner: int | None, after: str | None, limit: int) -> tuple[list[Row], bool]:
    """Return at most `limit` jobs of a kind, newest first, and whether there are more.

    owner: whose jobs, None for everybody's. after: the job after which the list begins.
    """
    return fetch_page(connection, _jobs_of(owner).where(jobs.c.kind == kind), jobs, after=after, limit=limit)


def find_claimable(connection: Connection, kind: str, task: str, waiting: str, active: str) -> Row | None:
    """Return the job that a task may claim now: one whose worker is gone, else the oldest that waits.

    None where there is none, and where a job of this kind is leased for the task: one is done at a time. A job that was stopped stays
    leased until its process has ended.
    """
    live, mine = jobs.c.lease_until > now(), jobs.c.kind == kind
    if connection.execute(select(jobs.c.pk).where(mine, jobs.c.task == task, live).limit(1)).first() is not None:
        return None
    for status in (active, waiting):
        query = _jobs_of().where(mine, jobs.c.status == status, or_(jobs.c.lease_until.is_(None), ~live))
        if (found := connection.execute(query.order_by(jobs.c.pk).limit(1)).mappings().first()) is not None:
            return found
    return None


def claim(
    connection: Connection, kind: str, task: str, waiting: str, active: str, *, worker: str, seconds: float
) -> tuple[Row, bool] | None:
    """Lease the next job of a kind for a task; return its row and whether it has just left the queue, None where there is none."""
    _lock(connection)
    found = find_claimable(connection, kind, task, waiting, active)
    if found is None:
        return None
    lease = {"task": task, "worker": worker, "lease_until": now() + seconds}
    begins = {"status": active, "started": now()} if found["status"] == waiting != active else {}
    unchanged = and_(jobs.c.pk == found["pk"], jobs.c.status == found["status"], _same_lease(found))
    if connection.execute(update(jobs).where(unchanged).values(**lease, **begins)).rowcount != 1:
        return None
    return get(connection, found["id"]), bool(begins)


def renew(connection: Connection, ids: Collection[str], worker: str, seconds: float) -> None:
    """Extend a worker's leases of these jobs."""
    held = and_(jobs.c.id.in_(ids), jobs.c.worker == worker)
    connection.execute(update(jobs).where(held).values(lease_until=now() + seconds))


def release(connection: Connection, id_: str, worker: str, *, pause: float = 0.0, crashed: bool = False) -> None:
    """End a worker's lease of a job. pause: seconds after which the job may be claimed again. crashed: its process was killed."""
    values: dict[str, Any] = {**_NO_LEASE, **({"lease_until": now() + pause} if pause else {})}
    values |= {"crashes": jobs.c.crashes + 1} if crashed else {}
    connection.execute(update(jobs).where(jobs.c.id == id_, jobs.c.worker == worker).values(values))


def counts(connection: Connection, kind: str) -> dict[str, int]:
    """Return the number of jobs of a kind in each state."""
    query = select(jobs.c.status, func.count().label("number")).where(jobs.c.kind == kind).group_by(jobs.c.status)
    return {row.status: row.number for row in connection.execute(query)}


def count_before(connection: Connection, row: Row, statuses: Collection[str]) -> int:
    """Return how many older jobs of the same kind are in one of these states."""
    older = and_(jobs.c.kind == row["kind"], jobs.c.status.in_(statuses), jobs.c.pk < row["pk"])
    return int(connection.execute(select(func.count()).select_from(jobs).where(older)).scalar_one())


def transition(
    connection: Connection, id_: str, status: str, *, of: Collection[str], worker: str | None = None, error: Mapping[str, Any] | None = None
) -> bool:
    """Change a job's state if it is in one of the states `of`; return whether it was. worker: only if they hold its lease."""
    values: dict[str, Any] = {"status": status, "progress": None, **({"finished": now()} if status in FINAL else {})}
    values |= {"error": None if error is None else json.dumps(error, ensure_ascii=False)}
    where = [jobs.c.id == id_, jobs.c.status.in_(of), *([] if worker is None else [jobs.c.worker == worker])]
    return connection.execute(update(jobs).where(*where).values(values)).rowcount == 1


def set_progress(connection: Connection, id_: str, progress: Mapping[str, Any]) -> None:
    """Replace the progress of a running job."""
    running = and_(jobs.c.id == id_, jobs.c.status == "running")
    connection.execute(update(jobs).where(running).values(progress=json.dumps(progress, ensure_ascii=False)))


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


def _same_lease(row: Row) -> ColumnElement[bool]:
    return jobs.c.lease_until.is_(None) if row["lease_until"] is None else jobs.c.lease_until == row["lease_until"]


def _jobs_of(owner: int | None = None) -> Select[Any]:
    """Return the query of jobs with their owner: the annotator whose token requested them, whatever has become of that token."""
    join = jobs.outerjoin(credentials, jobs.c.credential == credentials.c.pk)
    query = select(jobs, credentials.c.annotator.label("owner")).select_from(join)
    return query if owner is None else query.where(credentials.c.annotator == owner)


def _lock(connection: Connection) -> None:
    """Hold up others that enqueue or claim until this transaction ends; SQLite's writers take turns anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
