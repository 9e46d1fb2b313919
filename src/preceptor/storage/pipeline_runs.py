"""Store pipeline runs and which steps each has done, so that an interrupted one is resumed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from preceptor.storage import schema
from preceptor.storage.connection import now
from preceptor.storage.schema import erasures, pipeline_runs

Row = Mapping[Any, Any]
RUNNING, DONE, FAILED = "running", "done", "failed"


def add(connection: Connection, document: Mapping[str, Any]) -> Row:
    """Begin a pipeline run; return its row, under a new id."""
    id_ = f"pipeline-{secrets.token_hex(6)}"
    connection.execute(insert(pipeline_runs).values(id=id_, status=RUNNING, document=_dump(document), created=now()))
    return _parsed(connection.execute(select(pipeline_runs).where(pipeline_runs.c.id == id_)).mappings().one())


def save_progress(connection: Connection, id_: str, document: Mapping[str, Any]) -> None:
    """Store the current document of a run."""
    connection.execute(update(pipeline_runs).where(pipeline_runs.c.id == id_).values(document=_dump(document)))


def finish(connection: Connection, id_: str, status: str, document: Mapping[str, Any]) -> None:
    """End a run as done or failed."""
    connection.execute(
        update(pipeline_runs).where(pipeline_runs.c.id == id_).values(status=status, document=_dump(document), finished=now())
    )


def find_unfinished(connection: Connection) -> Row | None:
    """Return the run that has begun and not ended; None where there is none."""
    row = (
        connection.execute(select(pipeline_runs).where(pipeline_runs.c.status == RUNNING).order_by(pipeline_runs.c.pk.desc()).limit(1))
        .mappings()
        .first()
    )
    return None if row is None else _parsed(row)


def list_done(connection: Connection, limit: int | None = None) -> list[Row]:
    """Return the runs that were done, the newest first."""
    query = select(pipeline_runs).where(pipeline_runs.c.status == DONE).order_by(pipeline_runs.c.pk.desc()).limit(limit)
    return [_parsed(row) for row in connection.execute(query).mappings()]


def count(connection: Connection) -> int:
    """Return how many runs were ever begun."""
    return connection.execute(select(func.count()).select_from(pipeline_runs)).scalar_one()


def data_version(connection: Connection, questions: list[int]) -> dict[str, int]:
    """Return figures that change whenever a snapshot made now would change; questions by their keys.

    judgments, withdrawals: how many there ever were; retractions, curations, erasures: the number of the newest.
    """
    judgments, curations = schema.judgments, schema.curations
    about = select(func.count()).where(judgments.c.question.in_(questions))
    return {
        "judgments": int(connection.execute(about).scalar_one()),
        "retractions": int(connection.execute(select(func.max(schema.retractions.c.pk))).scalar() or 0),
        "withdrawals": int(connection.execute(select(func.count()).select_from(schema.withdrawals)).scalar_one()),
        "curations": int(connection.execute(select(func.max(curations.c.pk)).where(curations.c.question.in_(questions))).scalar() or 0),
        "erasures": int(connection.execute(select(func.max(erasures.c.pk))).scalar() or 0),
    }


def _parsed(row: Row) -> Row:
    return {**row, "document": json.loads(row["document"])}


def _dump(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)
