"""The yardstick: two bare Starlette routes on SQLite, one SELECT and UPDATE, one INSERT and UPDATE; no users, no checks.

The same write-ahead log, synchronous setting, server and workers as ours; each worker has one connection and no threads.
"""

from __future__ import annotations

import os
import sqlite3

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TABLES = """
CREATE TABLE slots (pk INTEGER PRIMARY KEY, content TEXT NOT NULL, given INTEGER NOT NULL, leased INTEGER NOT NULL, open BOOLEAN NOT NULL);
CREATE INDEX slots_open ON slots (pk) WHERE open = 1;
CREATE TABLE judgments (pk INTEGER PRIMARY KEY, slot INTEGER NOT NULL, answer TEXT NOT NULL);
"""


def connect() -> sqlite3.Connection:
    connection = sqlite3.connect(os.environ["BARE_DATABASE"], timeout=60, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def fill(items: int) -> None:
    """Make the tables with so many open slots."""
    with connect() as connection:
        connection.executescript(TABLES)
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO slots VALUES (?, ?, 0, 0, 1)", ((n, f'{{"text": "text {n}"}}') for n in range(1, items + 1)))
        connection.execute("COMMIT")


def app() -> Starlette:
    connection = connect()

    async def next_slot(_: Request) -> Response:
        connection.execute("BEGIN IMMEDIATE")
        row = connection.execute("SELECT pk, content FROM slots WHERE open = 1 ORDER BY pk LIMIT 1").fetchone()
        if row is not None:
            connection.execute("UPDATE slots SET leased = leased + 1, open = 0 WHERE pk = ?", (row[0],))
        connection.execute("COMMIT")
        return Response(status_code=204) if row is None else JSONResponse({"slot": row[0], "content": row[1]})

    async def submit(request: Request) -> Response:
        given = await request.json()
        connection.execute("BEGIN IMMEDIATE")
        number = connection.execute("INSERT INTO judgments (slot, answer) VALUES (?, ?)", (given["slot"], given["answer"])).lastrowid
        connection.execute("UPDATE slots SET given = given + 1, leased = leased - 1 WHERE pk = ?", (given["slot"],))
        connection.execute("COMMIT")
        return JSONResponse({"judgment": number}, status_code=201)

    return Starlette(routes=[Route("/api/v1/next", next_slot), Route("/api/v1/judgments", submit, methods=["POST"])])
