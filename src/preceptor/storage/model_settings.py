"""Store the settings of served models and aliases: their confidence calibration, and the threshold below which people answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select

from preceptor.storage.connection import insert_or_update
from preceptor.storage.schema import settings


def get_setting(connection: Connection, kind: str, name: str) -> dict[str, Any] | None:
    """Return the setting of a kind (calibration, threshold) for a model or an alias; None where there is none."""
    found = connection.execute(select(settings.c.value).where(settings.c.name == f"{kind} {name}")).scalar()
    return None if found is None else dict(json.loads(found))


def list_settings(connection: Connection, kind: str) -> dict[str, dict[str, Any]]:
    """Return all settings of a kind, by the names of models and aliases."""
    begins = f"{kind} "
    rows = connection.execute(select(settings).where(settings.c.name.startswith(begins, autoescape=True)).order_by(settings.c.name))
    return {row.name.removeprefix(begins): json.loads(row.value) for row in rows}


def put_setting(connection: Connection, kind: str, name: str, value: Mapping[str, Any] | None) -> None:
    """Set a model's or alias's setting of a kind; None removes it."""
    place = f"{kind} {name}"
    if value is None:
        connection.execute(delete(settings).where(settings.c.name == place))
        return
    row = {"name": place, "value": json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)}
    always = settings.c.name == place
    connection.execute(insert_or_update(connection.dialect.name, settings, row, unique=("name",), where=always))
