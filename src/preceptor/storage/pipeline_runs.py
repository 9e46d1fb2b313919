"""Turns of the loop: which steps each has done, so that one which was stopped is taken up again."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from preceptor.storage import schema
from preceptor.storage.connection import now
from preceptor.storage.schema import cycles, erasures

Row = Mapping[Any, Any]
RUNNING, DONE, FAILED = "running", "done", "failed"


def add(connection: Connection, document: Mapping[str, Any]) -> Row:
    """Begin a turn; its row, under a new id."""
    id_ = f"turn-{secrets.token_hex(6)}"
    connection.execute(insert(cycles).values(id=id_, status=RUNNING, document=_dump(document), created=now()))
    return _parsed(connection.execute(select(cycles).where(cycles.c.id == id_)).mappings().one())


def save_progress(connection: Connection, id_: str, document: Mapping[str, Any]) -> None:
    """Keep what is known of a turn by now."""
    connection.execute(update(cycles).where(cycles.c.id == id_).values(document=_dump(document)))


def finish(connection: Connection, id_: str, status: str, document: Mapping[str, Any]) -> None:
    """End a turn: done or failed."""
    connection.execute(update(cycles).where(cycles.c.id == id_).values(status=status, document=_dump(document), finished=now()))


def find_unfinished(connection: Connection) -> Row | None:
    """The turn that was begun and hasn't ended; None where there is none."""
    row = connection.execute(select(cycles).where(cycles.c.status == RUNNING).order_by(cycles.c.pk.desc()).limit(1)).mappings().first()
    return None if row is None else _parsed(row)


def list_done(connection: Connection, limit: int | None = None) -> list[Row]:
    """The turns that have ended well, the newest first."""
    query = select(cycles).where(cycles.c.status == DONE).order_by(cycles.c.pk.desc()).limit(limit)
    return [_parsed(row) for row in connection.execute(query).mappings()]


def count(connection: Connection) -> int:
    """How many turns were ever begun."""
    return connection.execute(select(func.count()).select_from(cycles)).scalar_one()


def data_version(connection: Connection, questions: list[int]) -> dict[str, int]:
    """What a set that is frozen now would rest on, in figures that change when it does; questions by their keys.

    judgments: how many were ever given; the others: the newest of what takes out or decides.
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
