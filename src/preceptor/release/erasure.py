"""Erase items or a document from tables, snapshots and every file, and search for copies that are left; resumes after a kill.

Files that can be made again (caches, checks, unfinished runs) are deleted; the others are rewritten without the text. Files that somebody
else put into the folder are named and left alone.

A kill leaves either everything as it was except for caches, or everything erased except for files that nothing refers to any more and a
search that is still to be done; the same command, or the next erasure, completes it. What that takes is stored until then: digests in a
setting, and the texts in a file of the project's folder, since a database that is searched for them can't hold them. Nothing erased can
come back: its id stays taken.
"""

from __future__ import annotations

import json
import mmap
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.documents.library import open_index
from preceptor.errors import ConflictError, UserError
from preceptor.formats.durable_files import atomic_write, rewrite_with_checksum
from preceptor.formats.file_lock import exclusive_lock
from preceptor.release.erasure_plan import (
    RENDERED_FIELD,
    ErasurePlan,
    drop_rendered_rows,
    drop_rows,
    encode_variants,
    plan_document_erasure,
    plan_item_erasure,
    redact_texts,
    spell_variants,
)
from preceptor.release.lineage import DependentArtifacts, find_dependents, forget_row_index
from preceptor.release.retraction import rebuild_dependents
from preceptor.runs import training
from preceptor.storage import ObjectStore, artifacts, documents, erasures, events, model_settings
from preceptor.storage.snapshots import derive_snapshot
from preceptor.types import json_digest

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage import Connection


_CACHE_FOLDERS = (
    "runs",
    "checks",
    "answers",
    "scores",
    "judges",
    "hosted",
    "lineage",
)  # folders of caches, made again when needed
_REWRITTEN_FOLDERS = ("side-by-side", "migration")  # folders of records, as JSON


def _find_files_containing(folder: Path, texts: Sequence[bytes]) -> Iterator[Path]:
    """Yield the files in a folder, including the database's own, that contain any of these texts."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and _file_contains(path, texts):
            yield path


def _file_contains(path: Path, texts: Sequence[bytes]) -> bool:
    """Return whether a file contains any of these texts."""
    if not texts or path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(text) >= 0 for text in texts)


def _discard_objects(project: Project, digests: Collection[str]) -> None:
    """Remove objects, files or folders, that nothing refers to any more."""
    for root in (project.objects, ObjectStore(project.folder / "objects" / "files")):
        for digest in digests:
            path = root.path(digest)
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@dataclass
class _FileCopies:
    """The copies in files, and what was done about them.

    replaced: object -> its replacement. unchanged: files that stay, with the reason.
    """

    project: Project
    texts: tuple[str, ...]
    encoded_texts: tuple[bytes, ...]
    ids: frozenset[str]
    replaced: dict[str, str] = field(default_factory=dict)
    unchanged: dict[str, str] = field(default_factory=dict)

    def replace_objects(self, digests: Mapping[str, Sequence[str]], models: Sequence[str]) -> None:
        """Store consensus, reports and uploads without the texts; the old objects still exist. models: those that were trained on them."""
        for digest in digests["consensus"]:
            self._replace_consensus(digest)
        for digest in digests["report"]:
            path = self.project.objects.path(digest)
            shows = (
                path.is_file()
                and _file_contains(path, [RENDERED_FIELD.encode()])
                and _file_contains(path, [model.encode() for model in models])
            )
            if shows or self._contains_texts(path):
                document = json.loads(self.project.objects.get(digest))
                self._put_document(digest, redact_texts(drop_rows(drop_rendered_rows(document), self.ids), self.texts))
        uploads = ObjectStore(self.project.folder / "objects" / "files")
        for digest in digests["file"]:
            if self._contains_texts(uploads.path(digest)):
                kept = [
                    line for line in uploads.get(digest).splitlines(keepends=True) if not any(text in line for text in self.encoded_texts)
                ]
                self._record_replacement(digest, uploads.put(b"".join(kept)))

    def clear_caches(self) -> None:
        """Delete what can be made again, and rewrite records without the texts."""
        for name in _CACHE_FOLDERS:
            root = self.project.folder / name
            for top in sorted(root.iterdir()) if root.is_dir() else ():
                if top.is_dir() and next(_find_files_containing(top, self.encoded_texts), None) is not None:
                    shutil.rmtree(top)
                elif top.is_file() and _file_contains(top, self.encoded_texts):
                    top.unlink()
        for name in _REWRITTEN_FOLDERS:
            for path in list(_find_files_containing(self.project.folder / name, self.encoded_texts)):
                self._rewrite_file(path)

    def remove_runs(self, runs: Collection[str], snapshots: Collection[str]) -> None:
        """Delete unfinished runs and checks of snapshots that held the rows: not all that they store is searchable text."""
        for path in [*(self.project.folder / "runs" / run for run in runs), *(self.project.folder / "checks" / each for each in snapshots)]:
            shutil.rmtree(path, ignore_errors=True)

    def redact_models(self, models: Sequence[str]) -> None:
        """Remove the texts from the files beside a model's weights: parity probes, and rendered training rows."""
        for model in models:
            folder = self.project.objects.path(json_digest(model))
            probes = folder / "parity.json"
            if probes.is_file() and (known := json.loads(probes.read_text(encoding="utf-8")))["rows"].keys() & self.ids:
                rows = {id_: row for id_, row in known["rows"].items() if id_ not in self.ids}
                _rewrite_text(probes, json.dumps({**known, "rows": rows}, indent=2, ensure_ascii=False))
            if (manifest := folder / "manifest.json").is_file():
                _rewrite_text(
                    manifest, json.dumps(drop_rendered_rows(json.loads(manifest.read_text(encoding="utf-8"))), indent=2, ensure_ascii=False)
                )
        for path in list(_find_files_containing(self.project.folder / "objects", self.encoded_texts)):
            if path.parent.name in self._model_digests(models):
                self._rewrite_file(path)

    def _replace_consensus(self, digest: str) -> None:
        path = self.project.objects.path(digest)
        spelled = tuple(json.dumps(id_, ensure_ascii=False).encode("utf-8", "surrogatepass") for id_ in self.ids)
        if not path.is_file() or not _file_contains(path, (*spelled, *self.encoded_texts)):
            return
        document = json.loads(self.project.objects.get(digest))
        items = {id_: found for id_, found in document.get("items", {}).items() if id_ not in self.ids}
        if len(items) < len(document.get("items", {})) or self._contains_texts(path):
            self._put_document(digest, redact_texts({**document, "items": items}, self.texts))

    def _put_document(self, before: str, document: object) -> None:
        self._record_replacement(before, self.project.objects.put(json.dumps(document, sort_keys=True, ensure_ascii=False).encode()))

    def _record_replacement(self, before: str, after: str) -> None:
        if after != before:
            self.replaced[before] = after

    def _rewrite_file(self, path: Path) -> None:
        """Rewrite a JSON or JSON-lines file without the texts; any other file is named and left."""
        try:
            _rewrite_text(path, _redact_file_text(path.read_text(encoding="utf-8"), path.suffix, self.texts))
        except (UnicodeDecodeError, ValueError):
            self.unchanged[str(path.relative_to(self.project.folder))] = "it is no text that can be written anew"

    def _model_digests(self, models: Sequence[str]) -> set[str]:
        return {json_digest(model) for model in models}

    def _contains_texts(self, path: Path) -> bool:
        return path.is_file() and _file_contains(path, self.encoded_texts)


def _redact_file_text(text: str, suffix: str, texts: tuple[str, ...]) -> str:
    if suffix == ".jsonl":
        lines = [json.dumps(redact_texts(json.loads(line), texts), ensure_ascii=False) for line in text.splitlines() if line.strip()]
        return "".join(f"{line}\n" for line in lines)
    return json.dumps(redact_texts(json.loads(text), texts), indent=2, ensure_ascii=False)


def _rewrite_text(path: Path, text: str) -> None:
    rewrite_with_checksum(path, text.encode())


_OUT_OF_REACH = (
    "backups of the project, and files that were exported from it, are beyond this command",
    "a model that learnt from it may remember it until it is made again, and what was exported or handed out stays so",
)
_POSTGRES_LOG_NOTE = "PostgreSQL's own log keeps what was written as long as it keeps the log"
"""What no command here can take back."""
_SEARCH_TEXTS_FILE = "erasing.json"  # in the project's folder, with the texts to search for: only while an erasure is pending
_ERASURE_LOCK = "erasing.lock"
_PENDING_SETTING = ("erasing", "pending")


@contextmanager
def _erasure_lock(project: Project) -> Iterator[None]:
    """Hold the project's erasure lock. Raises ConflictError where another process holds it."""
    with exclusive_lock(
        project.folder / _ERASURE_LOCK, ConflictError("another process erases in this project", "wait for it to end, and call this again")
    ):
        yield


def _store_search_texts(project: Project, texts: tuple[str, ...]) -> None:
    """Store the texts to search for, before anything is erased."""
    with atomic_write(project.folder / _SEARCH_TEXTS_FILE, private=True) as file:
        file.write(json.dumps(texts).encode())


def _record_pending(connection: Connection, pending: Mapping[str, Any]) -> None:
    """Record what is left to do, within the transaction that erases.

    pending: kind, named, by, reason, digests of objects, keys of documents, and files that stay (`left`, with the reason).
    """
    model_settings.put_setting(connection, *_PENDING_SETTING, pending)


def _finish_pending(project: Project) -> None:
    """Complete an erasure, this one or one that was killed; do nothing where there is none.

    It stays pending while others read the database, whose file then keeps the freed pages.
    """
    with project.database.reading() as connection:
        pending = model_settings.get_setting(connection, *_PENDING_SETTING)
    if pending is not None:
        with project.database.writing() as connection:  # a document that is added with the same text waits for this transaction
            _discard_objects(project, documents.filter_unreferenced(connection, pending["objects"]))
        for digest in pending["objects"]:
            forget_row_index(project, digest)
        if keys := pending.get("documents"):
            open_index(project).remove_documents(np.array(keys, dtype=np.int64))
        search = {**_search_remaining(project), "left": pending.get("left", {})}
        with project.database.writing() as connection:
            erasures.record_erasures(
                connection, pending["kind"], pending["named"], {"search": search}, by=pending["by"], reason=pending["reason"]
            )
            if search["compact"]:
                model_settings.put_setting(connection, *_PENDING_SETTING, None)
        if not search["compact"]:
            return
    (project.folder / _SEARCH_TEXTS_FILE).unlink(missing_ok=True)


def _search_remaining(project: Project) -> dict[str, Any]:
    """Search for the texts in the values of the tables and in the project's files. whole: whether everything could be searched."""
    compact = project.database.compact()
    path = project.folder / _SEARCH_TEXTS_FILE
    texts = json.loads(path.read_bytes()) if path.is_file() else None
    found = [file for file in _find_files_containing(project.folder, encode_variants(texts or ())) if file != path]
    files = [str(file.relative_to(project.folder)) for file in found]
    with project.database.reading() as connection:
        tables = erasures.count_occurrences(connection, spell_variants(texts)) if texts else {}
        named = {file: documents.list_by_digest(connection, file.name) for file in found}
    notes = [f"{file.name[:12]}… is the text of document {row['name']!r}" for file, rows in named.items() for row in rows]
    if not texts:
        short = "its texts are too short to be looked for: they were removed by where they belong"
        notes = [
            short if texts is not None else f"{_SEARCH_TEXTS_FILE} is gone, which held what was to be looked for: nothing was searched"
        ]
    return {
        "texts": len(texts or ()),
        "tables": tables,
        "files": files,
        "found": sum(tables.values()) + len(files),
        "compact": compact,
        "whole": compact and texts is not None,
        "beyond": [*_OUT_OF_REACH, *([] if project.database.is_single_writer else [_POSTGRES_LOG_NOTE])],
        "notes": notes,
    }


def erase_items(
    project: Project,
    ids: Sequence[str],
    *,
    by: str,
    reason: str,
    again: bool = False,
    dry_run: bool = False,
    progress: training.TrainingListener | None = None,
) -> dict[str, Any]:
    """Erase items by id, and all that was derived from them; return what was affected, removed and searched, as a JSON object.

    again: rebuild consensus, snapshots and models from what is left. dry_run: only return what would be erased. Raises NotFoundError for an
    unknown id; for items that were erased before, returns the record of that erasure, after completing it where it was killed.
    """  # fmt: skip
    _check_reason(by, reason)
    with _erasure_lock(project):
        if (before := _resume_earlier(project, erasures.ITEM, ids, by, reason, again, progress)) is not None:
            return before
        return _carry_out(project, plan_item_erasure(project, ids), by, reason, again, dry_run, progress)


def erase_document(
    project: Project,
    name: str,
    *,
    by: str,
    reason: str,
    dry_run: bool = False,
    again: bool = False,
    progress: training.TrainingListener | None = None,
) -> dict[str, Any]:
    """Erase all versions of a document, and the answers that cite it; return and options as of `erase_items`."""
    _check_reason(by, reason)
    with _erasure_lock(project):
        if (before := _resume_earlier(project, erasures.DOCUMENT, [name], by, reason, again, progress)) is not None:
            return before
        return _carry_out(project, plan_document_erasure(project, name), by, reason, again, dry_run, progress)


def _carry_out(
    project: Project, wanted: ErasurePlan, by: str, reason: str, again: bool, dry_run: bool, progress: training.TrainingListener | None
) -> dict[str, Any]:
    rested = find_dependents(project, wanted.judgments, snapshots=wanted.snapshot_rows, documents=[*wanted.documents.values()])
    document = {**wanted.to_dict(), "affected": rested.to_dict()}
    if dry_run:
        return {**document, "dry_run": True}
    _finish_pending(project)  # an earlier erasure that was killed
    runs = _find_affected_runs(project, wanted)
    copies = _FileCopies(project, wanted.search_texts, encode_variants(wanted.search_texts), wanted.item_ids)
    copies.remove_runs(runs, list(wanted.snapshot_rows))
    copies.clear_caches()
    copies.redact_models(rested.models)
    left = _reduce_snapshots(project, wanted, by, reason)
    with project.database.reading() as connection:
        copies.replace_objects(erasures.list_file_digests(connection), rested.models)
    document |= {"left": left, "objects": [{"before": before, "after": after} for before, after in copies.replaced.items()]}
    _store_search_texts(project, wanted.search_texts)
    _commit_erasure(project, wanted, copies, document, by, reason)
    _finish_pending(project)
    made = _rebuild(project, wanted.judgments, rested, left, by, reason, progress) if again else {}
    with project.database.writing() as connection:
        document["search"] = erasures.find_erasure(connection, wanted.kind, wanted.requested[0])["search"]
        if made:
            erasures.record_erasures(connection, wanted.kind, wanted.requested, made, by=by, reason=reason)
    return document | made


def _rebuild(
    project: Project,
    numbers: Iterable[int],
    rested: DependentArtifacts,
    left: Sequence[dict[str, Any]],
    by: str,
    reason: str,
    progress: training.TrainingListener | None,
) -> dict[str, Any]:
    """Rebuild the dependent artifacts from what is left."""
    after = {each["before"]: each["after"] for each in left}
    now = [{**each, "digest": after.get(each["digest"], each["digest"])} for each in rested.snapshots]
    rested = replace(rested, snapshots=[each for each in now if each["digest"]])
    return rebuild_dependents(project, rested, set(numbers), by=by, reason=reason, progress=progress, left=after)


def _reduce_snapshots(project: Project, wanted: ErasurePlan, by: str, reason: str) -> list[dict[str, Any]]:
    """Write each snapshot that holds any of the rows without them; it isn't recorded in the tables yet."""
    found = []
    for digest, ids in wanted.snapshot_rows.items():
        before = project.load_snapshot(digest)
        rows = [
            replace(row, lineage=tuple(number for number in row.lineage if number not in wanted.judgments))
            for row in before.rows() if row.id not in ids
        ]  # fmt: skip
        made = derive_snapshot(project.objects, before, rows, {"action": "erase", "by": by, "reason": reason}).digest if rows else None
        found.append({"before": digest, "after": made, "rows": len(list(before.rows())), "rows_after": len(rows)})
    return found


def _commit_erasure(project: Project, wanted: ErasurePlan, copies: _FileCopies, document: dict[str, Any], by: str, reason: str) -> None:
    """Erase from the tables, in one transaction; from here on it is erased."""
    texts, change = spell_variants(wanted.search_texts), partial(redact_texts, texts=wanted.search_texts)
    gone = [*copies.replaced, *wanted.snapshot_rows]
    with project.database.writing() as connection:
        for each in document["left"]:
            erasures.replace_snapshot(connection, each["before"], each["after"])
        erasures.replace_objects(connection, copies.replaced)
        erasures.change_manifests(connection, document["affected"]["models"], drop_rendered_rows)
        if wanted.documents:
            documents.erase(connection, wanted.requested[0])
            gone += documents.filter_unreferenced(connection, wanted.documents.values())
        erasures.erase_items(connection, list(wanted.items), wanted.served_answers, texts, change, by=by)
        asked = {"kind": wanted.kind, "named": list(wanted.requested), "by": by, "reason": reason}
        _record_pending(connection, {**asked, "objects": gone, "documents": [*wanted.documents], "left": copies.unchanged})
        erasures.record_erasures(connection, wanted.kind, wanted.requested, document, by=by, reason=reason)
        told = {
            "what": wanted.kind,
            "named": list(wanted.requested),
            "judgments": len(wanted.judgments),
            "snapshots": len(wanted.snapshot_rows),
        }
        events.record_event(connection, "erased", {**told, "reason": reason}, actor=by)


def _resume_earlier(
    project: Project, kind: str, names: Sequence[str], by: str, reason: str, again: bool, progress: training.TrainingListener | None
) -> dict[str, Any] | None:
    """Return the record of names that were all erased before, after completing that erasure; None where one of them wasn't."""
    with project.database.reading() as connection:
        known = erasures.filter_erased(connection, kind, names)
        here = [
            row for name in names if kind == erasures.DOCUMENT for row in documents.list_versions(connection, name) if row["erased"] is None
        ]
        if not names or known != set(names) or here:
            return None
    _finish_pending(project)
    with project.database.reading() as connection:
        found = {**erasures.find_erasure(connection, kind, names[0]), "erased_before": True}
        numbers = erasures.list_judgment_numbers(connection, found["items"])
    if again and "models" not in found:
        told = found["affected"]
        rested = DependentArtifacts(told["snapshots"], told["models"], told["aliases"], told["answers"], told["decided_about"])
        made = _rebuild(project, numbers, rested, found["left"], by, reason, progress)
        with project.database.writing() as connection:
            erasures.record_erasures(connection, kind, names, made, by=by, reason=reason)
        found |= made
    return found


def _find_affected_runs(project: Project, wanted: ErasurePlan) -> list[str]:
    """List the runs on the affected snapshots. Raises UserError while one of them is running."""
    with project.database.reading() as connection:
        runs = [run for digest in wanted.snapshot_rows for run in artifacts.list_run_ids(connection, digest)]
    for run in runs:
        lock = project.folder / "runs" / run / "lock"
        refusal = UserError(f"run {run} trains on what shall be erased", "wait for it to end, or stop it; nothing was erased")
        if lock.exists():
            with exclusive_lock(lock, refusal):
                pass
    return runs


def _check_reason(by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise UserError("erasing needs the name of who decides it, and why", "--by NAME --reason WHY; both stay on record")
