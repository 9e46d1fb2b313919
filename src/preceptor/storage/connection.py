"""Open the SQLite or PostgreSQL database, run its transactions, and parse its URL.

SQLite runs in write-ahead mode. The layers above don't know which database it is. URLs are shown without their passwords.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from sqlalchemy import URL, ColumnElement, Connection, Engine, Table, create_engine, event, insert, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from preceptor.errors import ConflictError, MissingPackage, UnavailableError, UserError
from preceptor.storage.file_permissions import FILE_MODE, make_private_file
from preceptor.storage.migrations.runner import has_schema, migrate

_URL_FORMS = "sqlite:///PATH, or postgresql+psycopg://USER@HOST/DATABASE"
_URL_ENCODING_HINT = "in a user's name or password write @ as %40, / as %2F, : as %3A, ? as %3F, % as %25"
_HIDDEN = "***"
_SECRET = ("password", "passfile", "sslpassword")


def parse_database_url(url: str) -> URL:
    """Parse a database's URL; raises UserError, without quoting a secret, where no usable database has such a URL."""
    scheme = url.partition("://")[0] if "://" in url else ""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # whose message may hold the password
        shown = f"{scheme}://…" if scheme.replace("+", "").isalnum() else "an address without a scheme"
        raise UserError(f"{shown} can't be read, and names no database that can be used", f"{_URL_FORMS}; {_URL_ENCODING_HINT}") from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise unknown_database(parsed)
    if "@" in (parsed.host or ""):  # what follows the first @ of the password was taken for the host
        raise UserError("the password in the database's address holds an @ of its own", _URL_ENCODING_HINT)
    return parsed


def unknown_database(url: URL) -> UserError:
    """Return the error for a URL of an unknown database, or of an unknown driver for one."""
    return UserError(f"{redact_database_url(url)!r} names no database that can be used", _URL_FORMS)


def redact_database_url(url: URL) -> str:
    """Return a URL as it may be printed, without a password in any of its parts."""
    host = url.host.rpartition("@")[2] if url.host else url.host
    query = {name: _HIDDEN if name in _SECRET else value for name, value in url.query.items()}
    return url.set(host=host, query=query).render_as_string(hide_password=True).replace("%2A%2A%2A", _HIDDEN)


T = TypeVar("T")
BUSY_SECONDS = 60
POSTGRES_TIMEOUTS = {"connect_timeout": 5, "tcp_user_timeout": 10_000}  # seconds and milliseconds after which PostgreSQL is away, not slow
_STORABLE = "leave out NUL, halves of characters, and numbers of more than 18 digits"
_ENGINES: WeakSet[Engine] = WeakSet()
BATCH = 500  # below SQLite's bound on variables in one statement


class Database:
    """One database of one project, safe to use from threads and, after a fork, from other processes.

    `url` is an SQLAlchemy URL: `sqlite:///…/preceptor.db` or `postgresql+psycopg://…`.
    """

    def __init__(self, url: str, *, must_exist: bool = False) -> None:
        """Open the database, create its tables where it has none, and migrate older ones.

        must_exist: raise UserError where there is no file, or no tables in it, rather than start an empty project over what was lost.
        """
        self.url = url
        if must_exist:
            _check_file(url)
        self._engine = _create_engine(url)
        self._queue = f"{self._engine.url.database}-queue" if url.startswith("sqlite") else None
        self._writer = self._engine.execution_options(preceptor_writes=True)
        # SQLite's transactions see one state anyway; PostgreSQL's see a new one with each statement unless told otherwise.
        self._reader = self._engine if self._queue else self._engine.execution_options(isolation_level="REPEATABLE READ")
        _ENGINES.add(self._engine)
        if self._queue is not None:
            self._make_file()
        try:
            with self.writing() as connection:
                if must_exist and not has_schema(connection):
                    raise _missing_database("is empty", database_location(self._engine))
                migrate(connection)
        except BaseException:
            self.close()
            raise

    def _make_file(self) -> None:
        """Make SQLite's file private from the start; the files beside it are created with its mode."""
        path = str(self._engine.url.database)
        try:
            make_private_file(path)
        except OSError as error:
            raise UserError(f"the database can't be used: {error.strerror}", _error_hint(str(error)), where=path) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a read transaction that sees one consistent state."""
        with _translate_database_errors(self._engine), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a write transaction that commits as a whole or not at all."""
        faults = _translate_database_errors(self._engine)
        with faults, self._writer.connect() as connection, self._write_lock(), connection.begin():  # locked as briefly as possible
            yield connection

    def compact(self) -> bool:
        """Remove deleted data from the database's files; return False where other readers keep that from completing now.

        SQLite's file is rewritten, and its log emptied. PostgreSQL frees the rows' space; its log keeps them as long as it is kept.
        """
        faults = _translate_database_errors(self._engine)
        if self._queue is None:
            with faults, self._engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.exec_driver_sql("VACUUM")
            return True
        with faults, self._write_lock(), self._engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            driver.execute("VACUUM")
            busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    @property
    def is_single_writer(self) -> bool:
        """Whether writers wait for each other (SQLite)."""
        return self._queue is not None

    @contextmanager
    def _write_lock(self) -> Iterator[None]:
        """Let one SQLite writer in at a time, woken by the kernel as soon as the one before is done.

        SQLite's own waiting sleeps up to a tenth of a second between tries, which starves busy writers.
        """
        if self._queue is None:
            yield
            return
        try:
            ticket = os.open(self._queue, os.O_RDWR | os.O_CREAT, FILE_MODE)
        except OSError as error:
            raise UserError(f"the project can't be written to: {error.strerror}", _error_hint(str(error)), where=self._queue) from error
        try:
            fcntl.flock(ticket, fcntl.LOCK_EX)
            yield
        finally:
            os.close(ticket)  # which gives up the lock; a kill does too

    def close(self) -> None:
        """Close the database's connections."""
        self._engine.dispose()


def database_location(engine: Engine) -> str:
    """Name the database for messages: SQLite's file, or the server's address without its password."""
    return str(engine.url.database) if engine.url.drivername.startswith("sqlite") else redact_database_url(engine.url)


def is_empty_database(url: str) -> bool:
    """Tell whether there are no project's tables at this URL; nothing is created or changed there."""
    path = _sqlite_path(url)
    if path is not None and not (path.is_file() and path.stat().st_size):
        return True
    engine = _create_engine(url)
    try:
        with _translate_database_errors(engine), engine.connect() as connection:
            return not has_schema(connection)
    finally:
        engine.dispose()


def _check_file(url: str) -> None:
    """Raise UserError where the URL is that of an SQLite file that is missing or empty."""
    path = _sqlite_path(url)
    if path is not None and path.parent.is_dir() and not path.exists():
        raise _missing_database("is missing", str(path))
    if path is not None and path.is_file() and not path.stat().st_size:
        raise _missing_database("is empty", str(path))


def _sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite URL, None for other databases."""
    name = parse_database_url(url).database if url.startswith("sqlite") else None
    return Path(name) if name else None


def _missing_database(how: str, where: str) -> UserError:
    hint = "restore it from a backup; only to begin anew without what was judged: preceptor init DIR"
    return UserError(f"the project's database {how}", hint, where=where)


def insert_if_new(connection: Connection, table: Table) -> Any:
    """Return `INSERT … ON CONFLICT DO NOTHING` into a table, in the connection's dialect."""
    return _insert(connection.dialect.name, table).on_conflict_do_nothing()


def insert_row_if_new(dialect: str, table: Table, row: Mapping[str, Any]) -> Any:
    """Return `INSERT … ON CONFLICT DO NOTHING` of one row, for a dialect by its name."""
    return _insert(dialect, table).values(row).on_conflict_do_nothing()


def insert_or_update(dialect: str, table: Table, row: Mapping[str, Any], *, unique: Sequence[str], where: ColumnElement[bool]) -> Any:
    """Return `INSERT … ON CONFLICT DO UPDATE … WHERE`: a row with the same `unique` columns becomes this one where `where` is true."""
    statement = _insert(dialect, table).values(row)
    rest = {name: statement.excluded[name] for name in row if name not in unique}
    return statement.on_conflict_do_update(index_elements=unique, set_=rest, where=where)


def _insert(dialect: str, table: Table) -> Any:
    return {"sqlite": sqlite, "postgresql": postgresql}[dialect].insert(table)


def insert_many(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows in one round; nothing when there are none."""
    if rows:
        connection.execute(insert(table), rows)


def batched(values: Iterable[T], size: int = BATCH) -> Iterator[tuple[T, ...]]:
    """Yield the values in tuples of `size` (itertools.batched comes with Python 3.12)."""
    rest = iter(values)
    while batch := tuple(islice(rest, size)):
        yield batch


def now() -> float:
    """Return the time in Unix seconds."""
    return time.time()


def _create_engine(url: str) -> Engine:
    parsed = parse_database_url(url)
    # Parameters stay out of errors and logs: they are what people wrote, and hashes of their credentials.
    if url.startswith("sqlite"):
        engine = create_engine(
            parsed, hide_parameters=True, poolclass=QueuePool, pool_size=8, max_overflow=64, connect_args={"timeout": BUSY_SECONDS}
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(parsed, hide_parameters=True, pool_size=8, max_overflow=64, pool_pre_ping=True, connect_args=POSTGRES_TIMEOUTS)
    except NoSuchModuleError:
        raise unknown_database(parsed) from None
    except ModuleNotFoundError:
        raise MissingPackage("PostgreSQL", "postgresql") from None


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # so that our own BEGIN is the only one
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "cache_size = -65536", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once: upgrading from a read lock half-way would fail instead of wait.
    writes = connection.get_execution_options().get("preceptor_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _translate_database_errors(engine: Engine) -> Iterator[None]:
    """Raise errors of the database or its driver as errors that say what to do."""
    driver: Any = engine.dialect.loaded_dbapi
    try:
        yield
    except PoolTimeout as error:
        raise UnavailableError("the database is busy", "wait a moment, then send the same again") from error
    except (DBAPIError, driver.Error) as error:
        known = _translate_error(error.orig if isinstance(error, DBAPIError) else error, driver, database_location(engine))
        if known is None:
            raise
        raise known from error
    except (UnicodeEncodeError, OverflowError) as error:
        raise UserError(f"a value can't be stored: {error}", _STORABLE) from error


def _translate_error(fault: BaseException | None, driver: Any, place: str) -> UserError | None:
    words = str(fault)
    if "not a database" in words or "malformed" in words:
        return UserError(f"the database can't be used: {words}", "restore it from a backup", where=place)
    if isinstance(fault, driver.OperationalError) or "connection is closed" in words:
        return UnavailableError(f"the database can't be used: {words}", _error_hint(words))
    if "unique" in words.lower():
        return ConflictError("another process wrote the same at the same moment", "run the same command again")
    if "insert-only" in words:
        return UserError(words.splitlines()[0], "retract, or add a new row; nothing here is ever changed")
    if isinstance(fault, driver.DataError):
        return UserError(f"a value can't be stored: {words.splitlines()[0]}", _STORABLE)
    return None


def _error_hint(fault: str) -> str:
    if "full" in fault or "No space" in fault or "I/O" in fault:
        return "the disk is full or fails: free some space, then run the same command again"
    if "locked" in fault:
        return "another process holds the database for long; look for a stuck one"
    return "check that the address is right, and that the database is there and may be written"


def _forget_connections() -> None:
    """Drop the parent's connections in a forked child, which must not use them."""
    for engine in _ENGINES:
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_connections)
