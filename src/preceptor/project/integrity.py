"""Whether a project still holds what was kept in it: all of its database, its log, and the files that can't be made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from preceptor.domain import digest_of
from preceptor.errors import UserError
from preceptor.formats.checksums import check_folder
from preceptor.project.config import Config
from preceptor.store import Database, Objects, digests, events

Check = Callable[[], str]


def examine_project(folder: Path) -> list[dict[str, Any]]:
    """Read everything: findings with what, here (bool: it is as it was kept), words. UserError where the database doesn't open at all.

    Every file that is kept under a digest is hashed, so the time goes with their size: about a second for half a gigabyte.
    """
    database = Database(Config.load(folder).url(folder.resolve()), must_exist=True)
    try:
        checks = {"database": lambda: _database(database), "audit log": lambda: _log(database), **_files(database, folder.resolve())}
        return [_finding(what, check) for what, check in checks.items()]
    finally:
        database.close()


def _finding(what: str, check: Check) -> dict[str, Any]:
    try:
        return {"what": what, "here": True, "words": check()}
    except UserError as error:
        return {"what": what, "here": False, "words": str(error)}


def _database(database: Database) -> str:
    """SQLite's own check of all pages, indexes and references; PostgreSQL checks its pages itself."""
    if not database.one_writer:
        return "kept by PostgreSQL, which checks its own files"
    with database.reading() as connection:
        found = digests.damage(connection)
    if found:
        raise UserError(f"the database is damaged: {found}", "restore it from a backup")
    return "whole"


def _log(database: Database) -> str:
    with database.reading() as connection:
        count = sum(1 for _ in events.read(connection))
    return f"{count:,} events, each following from the one before it"


def _files(database: Database, folder: Path) -> dict[str, Check]:
    """One check for each thing that is kept under a digest."""
    objects, files = Objects(folder / "objects"), Objects(folder / "objects" / "files")
    with database.reading() as connection:
        kept = digests.object_digests(connection)
    checks: dict[str, Check] = {f"snapshot {digest[:12]}": _folder(objects.path(digest)) for digest in kept["snapshot"]}
    checks |= {f"model {id_}": _folder(objects.path(digest_of(id_))) for id_ in kept["model"]}
    single = {digest: name for name in ("consensus", "report", "document") for digest in kept[name]}
    there = {path.name: "object" for path in objects.root.glob("??/*") if path.is_file()}  # which no table names: scores of a report's rows
    checks |= {f"{name} {digest[:12]}": _object(objects, digest) for digest, name in (there | single).items()}
    return checks | {f"uploaded file {digest[:12]}": _object(files, digest) for digest in kept["uploaded file"]}


def _folder(path: Path) -> Check:
    def check() -> str:
        if not path.is_dir():
            raise UserError("the folder is missing", "restore objects/ from a backup", where=str(path))
        check_folder(path)
        return "whole"

    return check


def _object(objects: Objects, digest: str) -> Check:
    def check() -> str:
        objects.check(digest)
        return "whole"

    return check
