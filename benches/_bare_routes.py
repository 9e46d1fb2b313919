"""The yardstick: two bare Starlette routes on SQLite, one SELECT and UPDATE, one INSERT and UPDATE; no users, no checks.

The same write-ahead log, synchronous setting, server and workers as ours. In threads, as Starlette runs calls that block;
or on the event loop itself, which is faster still, and holds up everybody whenever the database is busy.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TABLES = """
CREATE TABLE slots (pk INTEGER PRIMARY KEY, content TEXT NOT NULL, given INTEGER NOT NULL, leased INTEGER NOT NULL, open BOOLEAN NOT NULL);
CREATE INDEX slots_open ON slots (pk) WHERE open = 1;
CREATE TABLE judgments (pk INTEGER PRIMARY KEY, slot INTEGER NOT NULL, answer TEXT NOT NULL);
"""
HERE = threading.local()
Run = Callable[..., Coroutine[Any, Any, Any]]


def connection() -> sqlite3.Connection:
    """This thread's own."""
    if not hasattr(HERE, "connection"):
        HERE.connection = sqlite3.connect(os.environ["BARE_DATABASE"], timeout=60, isolation_level=None)
        HERE.connection.execute("PRAGMA journal_mode = WAL")
        HERE.connection.execute("PRAGMA synchronous = NORMAL")
    return HERE.connection


def fill(items: int) -> None:
    """Make the tables with so many open slots."""
    connection().executescript(TABLES)
    connection().execute("BEGIN")
    rows = ((n, f'{{"text": "text {n}"}}') for n in range(1, items + 1))
    connection().executemany("INSERT INTO slots VALUES (?, ?, 0, 0, 1)", rows)
    connection().execute("COMMIT")


def take() -> tuple[int, str] | None:
    """One SELECT and UPDATE."""
    connection().execute("BEGIN IMMEDIATE")
    row = connection().execute("SELECT pk, content FROM slots WHERE open = 1 ORDER BY pk LIMIT 1").fetchone()
    if row is not None:
        connection().execute("UPDATE slots SET leased = leased + 1, open = 0 WHERE pk = ?", (row[0],))
    connection().execute("COMMIT")
    return row


def keep(slot: int, answer: str) -> int | None:
    """One INSERT and UPDATE."""
    connection().execute("BEGIN IMMEDIATE")
    number = connection().execute("INSERT INTO judgments (slot, answer) VALUES (?, ?)", (slot, answer)).lastrowid
    connection().execute("UPDATE slots SET given = given + 1, leased = leased - 1 WHERE pk = ?", (slot,))
    connection().execute("COMMIT")
    return number


def routes(run: Run) -> Starlette:
    """The two routes, with what runs their calls."""

    async def next_slot(_: Request) -> Response:
        row = await run(take)
        return Response(status_code=204) if row is None else JSONResponse({"slot": row[0], "content": row[1]})

    async def submit(request: Request) -> Response:
        given = await request.json()
        return JSONResponse({"judgment": await run(keep, given["slot"], given["answer"])}, status_code=201)

    return Starlette(routes=[Route("/api/v1/next", next_slot), Route("/api/v1/judgments", submit, methods=["POST"])])


def in_threads() -> Starlette:
    return routes(run_in_threadpool)


def on_the_loop() -> Starlette:
    async def at_once(call: Callable[..., Any], *values: Any) -> Any:
        return call(*values)

    return routes(at_once)
