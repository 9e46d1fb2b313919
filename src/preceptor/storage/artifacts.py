"""Store what is made from judgments: consensus, snapshots, runs, models, reports, releases, and the openings of test rows.

An opening is a row for each held-out content that a model was measured on, by a digest of the content's text, whatever snapshot it
is in. For a check of a whole project: whether the database is sound, and the digests of all that must lie in objects/.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Table, func, insert, or_, select, text, update

from preceptor.errors import NotFoundError, UserError
from preceptor.registry import suggest_name
from preceptor.storage import erasures, schema
from preceptor.storage.connection import batched, insert_if_new, insert_or_update, now
from preceptor.storage.schema import documents
from preceptor.types import Model, Release, Run

Row = Mapping[Any, Any]
MAX_SNAPSHOT_NAME_LENGTH = 200  # characters of a snapshot's name


def add_consensus(connection: Connection, question: int, *, method: str, until: int, digest: str) -> None:
    """Record a consensus over the judgments up to number `until`, unless the newest is the same."""
    newest = latest_consensus(connection, question)
    if newest is None or (newest["digest"], newest["until"]) != (digest, until):
        row = {"question": question, "method": method, "until": until, "digest": digest, "created": now()}
        connection.execute(insert(schema.consensus).values(row))


def latest_consensus(connection: Connection, question: int) -> Row | None:
    """Return the newest consensus of a question, None where there is none."""
    query = select(schema.consensus).where(schema.consensus.c.question == question).order_by(schema.consensus.c.pk.desc()).limit(1)
    return connection.execute(query).mappings().first()


def consensus_at(connection: Connection, question: int, moment: float) -> Row | None:
    """Return the newest consensus of a question that was recorded by a moment (Unix time)."""
    query = select(schema.consensus).where(schema.consensus.c.question == question, schema.consensus.c.created <= moment)
    return connection.execute(query.order_by(schema.consensus.c.pk.desc()).limit(1)).mappings().first()


def add_snapshot(connection: Connection, *, digest: str, name: str | None, question: str) -> None:
    """Record a snapshot under a name; raises an error for a name of another snapshot, or one by which it couldn't be called."""
    if name is not None:
        _check_name(name)
    if name is None and connection.execute(select(schema.snapshots.c.pk).where(schema.snapshots.c.digest == digest)).first():
        return
    row = {"digest": digest, "name": name, "question": question, "created": now()}
    connection.execute(insert_if_new(connection, schema.snapshots).values(row))
    if name is not None and snapshot_digest(connection, name) != digest:
        raise UserError(f"a snapshot called {name!r} is there already, with other content", "choose another name; snapshots never change")


def _check_name(name: str) -> None:
    """Raise UserError for a name that is blank, too long, or looks like a path: names stand in URLs and beside files' names."""
    if (
        not name.strip()
        or len(name) > MAX_SNAPSHOT_NAME_LENGTH
        or name.startswith(".")
        or not name.isprintable()
        or any(sign in name for sign in "/\\")
    ):
        raise UserError(
            f"{name[:40]!r}{'…' if len(name) > 40 else ''} can't be a snapshot's name",
            f"up to {MAX_SNAPSHOT_NAME_LENGTH} letters, digits, spaces and signs other than / and \\, not beginning with a dot",
            where="name",
        )


def snapshot_digest(connection: Connection, name: str) -> str:
    """Return the digest that a name, a digest or an unambiguous beginning of one stands for.

    For a snapshot that something was erased from, it is the digest of what is left of it.
    """
    named = schema.snapshots.c.name == name
    begins = schema.snapshots.c.digest.startswith(name, autoescape=True)
    for match in (named, begins) if name else (named,):  # a name comes before the beginning of another's digest
        found = connection.execute(select(schema.snapshots.c.digest).where(match).distinct()).scalars().all()
        if len(found) == 1:
            return str(found[0])
    if not found and (after := erasures.snapshot_successor(connection, name)) is not None:
        return snapshot_digest(connection, after)
    if found:
        raise UserError(f"{name!r} begins the digests of {len(found)} snapshots", "give more of it")
    known = [row["name"] or row["digest"][:12] for row in list_snapshots(connection)]
    listed = ", ".join(known) or "none yet: preceptor snapshot create"
    raise UserError(f"no snapshot is called {name!r}{suggest_name(name, known)}", f"known: {listed}")


def list_snapshots(connection: Connection) -> list[Row]:
    """Return rows of the snapshots, in order of creation."""
    return list(connection.execute(select(schema.snapshots).order_by(schema.snapshots.c.pk)).mappings())


def save_run(connection: Connection, run: Run, metrics: Mapping[str, Any]) -> None:
    """Record a run, or update its status and metrics."""
    document = {"base": run.base, "options": dict(run.options), "seed": run.seed, "status": run.status, "metrics": dict(metrics)}
    row = {"id": run.id, "recipe": run.recipe, "snapshot": run.snapshot, "document": json.dumps(document, sort_keys=True), "created": now()}
    connection.execute(insert_if_new(connection, schema.runs).values(row))
    connection.execute(update(schema.runs).where(schema.runs.c.id == run.id).values(document=row["document"]))


def get_run(connection: Connection, id_: str) -> Run:
    """Return a run by its id."""
    row = _find_by_prefix(connection, schema.runs, id_, "run")
    document = json.loads(row["document"])
    return Run(row["id"], row["recipe"], row["snapshot"], document["base"], document["options"], document["seed"], document["status"])


def list_run_ids(connection: Connection, snapshot: str) -> list[str]:
    """Return the ids of the runs on a snapshot, by its digest."""
    return list(connection.execute(select(schema.runs.c.id).where(schema.runs.c.snapshot == snapshot)).scalars())


def run_metrics(connection: Connection, run: str) -> Mapping[str, Any]:
    """Return the metrics of a run, as given to `save_run`; empty where there is no such run."""
    document = connection.execute(select(schema.runs.c.document).where(schema.runs.c.id == run)).scalar()
    return dict(json.loads(document)["metrics"]) if document else {}


def add_model(connection: Connection, model: Model, *, run: str, snapshot: str) -> None:
    """Record a model; the same again changes nothing."""
    manifest = json.dumps(model.manifest, sort_keys=True, ensure_ascii=False)
    row = {"id": model.id, "run": run, "snapshot": snapshot, "manifest": manifest, "created": now()}
    connection.execute(insert_if_new(connection, schema.models).values(row))


def model_row(connection: Connection, id_: str) -> Row:
    """Return the row of a model by its id or an unambiguous beginning of it."""
    return _find_by_prefix(connection, schema.models, id_, "model")


def list_models(connection: Connection) -> list[Row]:
    """Return rows of the models, in order of creation."""
    return list(connection.execute(select(schema.models).order_by(schema.models.c.created, schema.models.c.id)).mappings())


def add_report(connection: Connection, *, digest: str, model: str, snapshot: str, split: str) -> None:
    """Record a report; an identical one becomes the newest again: the gate reads what was measured last."""
    row = {"digest": digest, "model": model, "snapshot": snapshot, "split": split, "created": now()}
    later = schema.reports.c.created < row["created"]
    connection.execute(insert_or_update(connection.dialect.name, schema.reports, row, unique=["digest"], where=later))


def latest_report(connection: Connection, model: str, split: str) -> str | None:
    """Return the digest of the newest report about a model on a split, None where there is none."""
    about = (schema.reports.c.model == model) & (schema.reports.c.split == split)
    return connection.execute(select(schema.reports.c.digest).where(about).order_by(schema.reports.c.created.desc()).limit(1)).scalar()


def find_report(connection: Connection, model: str, snapshot: str, split: str, since: float = 0.0) -> str | None:
    """Return the digest of the newest report about a model on a split of one snapshot, made since a moment; None where there is none."""
    table = schema.reports
    about = table.c.model == model, table.c.snapshot == snapshot, table.c.split == split, table.c.created >= since
    return connection.execute(select(table.c.digest).where(*about).order_by(table.c.created.desc()).limit(1)).scalar()


def add_release(connection: Connection, release: Release) -> None:
    """Record a decision about a model."""
    document = {"report": release.report, "note": release.note, "bounds": [dict(bound) for bound in release.bounds]}
    row = {"model": release.model, "by": release.by, "decision": release.decision, "document": json.dumps(document), "created": now()}
    connection.execute(insert(schema.releases).values(row))


def list_releases(connection: Connection) -> list[Release]:
    """Return all decisions, in order."""
    return [release for _, release in list_dated_releases(connection)]


def list_dated_releases(connection: Connection, model: str | None = None) -> list[tuple[float, Release]]:
    """Return (when, decision) of a model, or of all, in order."""
    query = select(schema.releases).order_by(schema.releases.c.pk)
    found = []
    for row in connection.execute(query if model is None else query.where(schema.releases.c.model == model)).mappings():
        document = json.loads(row["document"])
        made = Release(row["model"], row["by"], row["decision"], document["report"], document["note"], tuple(document["bounds"]))
        found.append((row["created"], made))
    return found


def latest_reports(connection: Connection, split: str) -> dict[str, Row]:
    """Return the newest report (digest, created) on a split of each model, by its id."""
    rows = connection.execute(select(schema.reports).where(schema.reports.c.split == split).order_by(schema.reports.c.created)).mappings()
    return {row["model"]: row for row in rows}


def _find_by_prefix(connection: Connection, table: Table, id_: str, noun: str) -> Row:
    found = connection.execute(select(table).where(table.c.id.startswith(id_, autoescape=True))).mappings().all()
    if len(found) == 1:
        return found[0]
    known = list(connection.execute(select(table.c.id)).scalars())
    if found:
        raise UserError(f"{id_!r} begins the ids of {len(found)} {noun}s", f"known: {', '.join(known)}")
    raise NotFoundError(f"no {noun} is called {id_!r}{suggest_name(id_, known)}", f"known: {', '.join(known) or 'none yet'}")


def record_test_openings(connection: Connection, model: str, contents: Iterable[str]) -> None:
    """Record that a model was measured on these contents; those recorded already keep their place."""
    created = now()
    for batch in batched(sorted(set(contents))):
        rows = [{"content": content, "model": model, "created": created} for content in batch]
        connection.execute(insert_if_new(connection, schema.openings), rows)


def count_earlier_openings(connection: Connection, model: str, contents: Iterable[str]) -> dict[str, int]:
    """Return how many other models had been measured on each content before this one; contents without any are left out."""
    table, mine = schema.openings, schema.openings.alias("mine")
    earlier = or_(mine.c.pk.is_(None), table.c.pk < mine.c.pk)
    both = table.outerjoin(mine, (mine.c.content == table.c.content) & (mine.c.model == model))
    query = select(table.c.content, func.count()).select_from(both).where(table.c.model != model, earlier).group_by(table.c.content)
    found: dict[str, int] = {}
    for batch in batched(sorted(set(contents))):
        found |= {row[0]: row[1] for row in connection.execute(query.where(table.c.content.in_(batch)))}
    return found


def find_database_damage(connection: Connection) -> str:
    """Return the first fault that SQLite's own check of pages, indexes and references finds; empty where all is sound."""
    found = [*connection.execute(text("PRAGMA integrity_check(1)")).scalars(), *connection.execute(text("PRAGMA foreign_key_check"))]
    return next((str(each) for each in found if each != "ok"), "")


def list_object_digests(connection: Connection) -> dict[str, list[str]]:
    """List the digests of consensus, reports, documents and uploads, and of snapshots; and the ids of the models stored here."""
    queries = {
        "consensus": select(schema.consensus.c.digest),
        "report": select(schema.reports.c.digest),
        "document": select(documents.c.digest).where(documents.c.erased.is_(None)),
        "uploaded file": select(schema.files.c.digest),
    }
    found = {name: sorted(set(connection.execute(query).scalars())) for name, query in queries.items()}
    found["snapshot"] = sorted({row["digest"] for row in list_snapshots(connection)})
    return found | {"model": [row["id"] for row in list_models(connection) if "hosted" not in json.loads(row["manifest"])]}
