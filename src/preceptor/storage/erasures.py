"""Erase items and texts from every table, and keep the record of what was erased.

An item stays as a stub under its id, and a judgment about it as a number that counts nowhere: so no number is given twice, a file
that brings the item again is refused, and each person's work is still counted. All in the caller's transaction, whole or not at all.

The record holds of the thing itself only that it existed, and what its erasure changed. It is insert-only: what is known later
(whether a search found anything left) is one more row of the same name.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table, Text, delete, func, insert, or_, select, update

from preceptor.storage import events, schema
from preceptor.storage.connection import batched, now
from preceptor.storage.items import ERASED, STUB, STUB_DIGEST
from preceptor.storage.migrations.insert_only import changes_allowed
from preceptor.storage.schema import answers, chunks, deferrals, documents, erasures, feedback, items, judgments

_UNLOCKED_TABLES = tuple(table for table in schema.INSERT_ONLY if table != "erasures")
_REFERENCE_COLUMNS = (
    "id",
    "name",
    "hash",
    "key",
    "model",
    "digest",
    "snapshot",
    "question",
    "kind",
    "role",
    "status",
)  # columns that others refer to
_TEXTS_PER_CONDITION = 100  # texts in one condition
_KEPT = (schema.events, items, judgments, schema.questions, documents, chunks, schema.erasures)  # not changed by `remove_texts`
JsonChange = Callable[[Any], Any]


def list_items(connection: Connection, ids: Iterable[str]) -> list[Mapping[Any, Any]]:
    """Return rows of the items with these ids that aren't erased yet."""
    found: list[Mapping[Any, Any]] = []
    for batch in batched(ids):
        found += connection.execute(select(items).where(items.c.id.in_(batch), items.c.purpose != ERASED)).mappings()
    return found


def list_items_containing(connection: Connection, texts: Sequence[str]) -> list[Mapping[Any, Any]]:
    """Return rows of the items whose content or metadata contains one of these texts (as JSON writes them)."""
    found: dict[int, Mapping[Any, Any]] = {}
    for column in (items.c.content, items.c.metadata):
        for some in _contains_conditions(connection, column, texts):
            found |= {row["pk"]: row for row in connection.execute(select(items).where(some)).mappings()}
    return [found[key] for key in sorted(found)]


def rewritten_item_ids(connection: Connection, keys: Sequence[int]) -> set[str]:
    """Return the ids of the items that were made by rewriting these, by the keys of the old ones."""
    table = schema.curations
    query = select(table.c.document).where(table.c.item.in_(keys), table.c.action == "rewrite")
    return {json.loads(document)["item"] for document in connection.execute(query).scalars()}


def list_judgments(connection: Connection, keys: Sequence[int]) -> list[Mapping[Any, Any]]:
    """Return the judgments about items, by key: pk, answer, context, annotator (name), and the kind and spec of the question."""
    columns = judgments.c.pk, judgments.c.answer, judgments.c.context, schema.annotators.c.id.label("annotator")
    query = (
        select(*columns, schema.questions.c.kind, schema.questions.c.spec)
        .join_from(judgments, schema.annotators, judgments.c.annotator == schema.annotators.c.pk)
        .join(schema.questions, judgments.c.question == schema.questions.c.pk)
        .where(judgments.c.item.in_(keys))
        .order_by(judgments.c.pk)
    )
    return list(connection.execute(query).mappings())


def list_judgment_numbers(connection: Connection, ids: Iterable[str]) -> list[int]:
    """Return the numbers of the judgments about items, by id, erased or not."""
    query = select(judgments.c.pk).join_from(judgments, items, judgments.c.item == items.c.pk)
    return [number for batch in batched(ids) for number in connection.execute(query.where(items.c.id.in_(batch))).scalars()]


def list_answer_ids_containing(connection: Connection, texts: Sequence[str]) -> set[str]:
    """Return the ids of the kept answers that contain one of these texts (as JSON writes them)."""
    some = _contains_conditions(connection, answers.c.document, texts)
    return {id_ for each in some for id_ in connection.execute(select(answers.c.id).where(each)).scalars()}


def list_answers(connection: Connection, ids: Iterable[str]) -> list[Mapping[Any, Any]]:
    """Return rows of the kept answers with these ids."""
    return [row for batch in batched(ids) for row in connection.execute(select(answers).where(answers.c.id.in_(batch))).mappings()]


def erase_items(
    connection: Connection, keys: Sequence[int], served: Iterable[str], texts: Sequence[str], change: JsonChange, *, by: str
) -> None:
    """Replace items, by key, with stubs, and remove the answers `served`, their feedback, and the texts from all other tables.

    texts: as JSON writes them. change: returns a JSON value without them. Their payloads in the audit log are removed too. Without items
    only the texts are removed.
    """
    with changes_allowed(connection, _UNLOCKED_TABLES):
        for batch in batched(keys):
            _leave_stubs(connection, batch)
            _end_rewritings(connection, batch)
        for given in batched(served):
            connection.execute(delete(feedback).where(feedback.c.answer.in_(given)))
            connection.execute(delete(deferrals).where(deferrals.c.answer.in_(given)))
            connection.execute(delete(answers).where(answers.c.id.in_(given)))
        remove_texts(connection, texts, change)
        events.redact_payloads(connection, texts, actor=by)


def remove_texts(connection: Connection, texts: Sequence[str], change: JsonChange) -> None:
    """Change every other value that contains one of these texts; the items' and judgments' own rows stay as they are."""
    for table, column in _columns():
        key = list(table.primary_key.columns)
        if table in _KEPT or column.name in _REFERENCE_COLUMNS or not key:
            continue
        for some in _contains_conditions(connection, column, texts):
            for *place, value in connection.execute(select(*key, column).where(some)).all():
                here = [each == part for each, part in zip(key, place, strict=True)]
                connection.execute(update(table).where(*here).values({column: _apply_change(value, change)}))


def count_occurrences(connection: Connection, texts: Sequence[str]) -> dict[str, int]:
    """Return how many values of each table and column contain one of these texts; only columns that have any."""
    found: Counter[str] = Counter()
    for table, column in _columns():
        for some in _contains_conditions(connection, column, texts):
            found[f"{table.name}.{column.name}"] += connection.execute(select(func.count()).select_from(table).where(some)).scalar_one()
    return {place: count for place, count in found.items() if count}


def replace_snapshot(connection: Connection, before: str, after: str | None) -> None:
    """Let a snapshot's names refer to what is left of it; None: to nothing any more. Openings of its test rows stay counted."""
    table, reports = schema.snapshots, schema.reports
    if after is None:
        connection.execute(delete(table).where(table.c.digest == before))
        return
    connection.execute(update(table).where(table.c.digest == before).values(digest=after))
    connection.execute(update(reports).where(reports.c.snapshot == before).values(snapshot=after))


def replace_objects(connection: Connection, new: Mapping[str, str]) -> None:
    """Replace these object digests by their successors, wherever they are referred to."""
    for before, after in new.items():
        for table, column in ((schema.consensus, "digest"), (schema.files, "digest")):
            connection.execute(update(table).where(table.c[column] == before).values({column: after}))
        connection.execute(update(schema.reports).where(schema.reports.c.digest == before).values(digest=after))
        decided = schema.releases
        for row in connection.execute(select(decided).where(decided.c.document.contains(before))).mappings():
            document = row["document"].replace(before, after)
            connection.execute(update(decided).where(decided.c.pk == row["pk"]).values(document=document))


def change_manifests(connection: Connection, models: Sequence[str], change: JsonChange) -> None:
    """Rewrite the stored records of these models by `change`, a function of the JSON value."""
    table = schema.models
    for row in connection.execute(select(table.c.id, table.c.manifest).where(table.c.id.in_(models))).all():
        manifest = json.dumps(change(json.loads(row.manifest)), sort_keys=True, ensure_ascii=False)
        connection.execute(update(table).where(table.c.id == row.id).values(manifest=manifest))


def list_file_digests(connection: Connection) -> dict[str, list[str]]:
    """Return the digests of what lies in objects/ as one file: consensus and report, and of uploads as file."""
    return {
        "consensus": list(connection.execute(select(schema.consensus.c.digest).distinct()).scalars()),
        "report": list(connection.execute(select(schema.reports.c.digest)).scalars()),
        "file": list(connection.execute(select(schema.files.c.digest).distinct()).scalars()),
    }


def _leave_stubs(connection: Connection, keys: Sequence[int]) -> None:
    gone = select(schema.slots.c.pk).where(schema.slots.c.item.in_(keys))
    for table in (schema.leases, schema.passes):
        connection.execute(delete(table).where(table.c.slot.in_(gone)))
    for table in (schema.slots, schema.gold, schema.external_annotations, schema.suspects, schema.curations, feedback, deferrals):
        connection.execute(delete(table).where(table.c.item.in_(keys)))
    numbers = list(connection.execute(select(judgments.c.pk).where(judgments.c.item.in_(keys))).scalars())
    taken = set(connection.execute(select(schema.withdrawals.c.judgment).where(schema.withdrawals.c.judgment.in_(numbers))).scalars())
    if new := [{"judgment": number, "created": now()} for number in numbers if number not in taken]:
        connection.execute(insert(schema.withdrawals), new)
    connection.execute(update(judgments).where(judgments.c.item.in_(keys)).values(answer="null", context=None, key=None))
    stub = {"content": STUB, "digest": STUB_DIGEST, "group": "", "metadata": "{}", "purpose": ERASED}
    connection.execute(update(items).where(items.c.pk.in_(keys)).values(stub))


def _end_rewritings(connection: Connection, keys: Sequence[int]) -> None:
    """Keep the originals of these rewritten items excluded, though nothing replaces them any more."""
    table = schema.curations
    made = set(connection.execute(select(items.c.id).where(items.c.pk.in_(keys))).scalars())
    for row in connection.execute(select(table.c.pk, table.c.document).where(table.c.action == "rewrite")).all():
        document = json.loads(row.document)
        if document["item"] in made:
            kept = {name: document[name] for name in ("check", "snapshot") if name in document}
            values = {"action": "reject", "document": json.dumps(kept, sort_keys=True), "reason": "its rewriting was erased"}
            connection.execute(update(table).where(table.c.pk == row.pk).values(values))


def _columns() -> Iterator[tuple[Table, Column[Any]]]:
    for table in schema.metadata.sorted_tables:
        yield from ((table, column) for column in table.columns if isinstance(column.type, Text))


def _contains_conditions(connection: Connection, column: Any, texts: Sequence[str]) -> Iterator[Any]:
    """Yield conditions that a value contains one of these texts, literally; each condition covers some of the texts."""
    place = func.instr if connection.dialect.name == "sqlite" else func.strpos
    for some in batched(texts, _TEXTS_PER_CONDITION):
        yield or_(*(place(column, text) > 0 for text in some))


def _apply_change(value: str, change: JsonChange) -> str:
    try:
        parsed = json.loads(value)
    except ValueError:
        return str(change(value))
    return json.dumps(change(parsed), sort_keys=True, ensure_ascii=False, allow_nan=False)


ERASURE_KINDS = ("item", "document", "person")
ITEM, DOCUMENT, PERSON = ERASURE_KINDS


def record_erasures(connection: Connection, kind: str, names: Iterable[str], document: Mapping[str, Any], *, by: str, reason: str) -> None:
    """Record that these were erased; document: what was affected, with digests before and after."""
    kept = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)
    rows = [{"kind": kind, "name": name, "by": by, "reason": reason, "document": kept, "created": now()} for name in names]
    connection.execute(insert(erasures), rows)


def find_erasure(connection: Connection, kind: str, name: str) -> dict[str, Any]:
    """Return all that is recorded of an erasure under a name, the newest value of each field; empty where there was none."""
    query = select(erasures).where(erasures.c.kind == kind, erasures.c.name == name).order_by(erasures.c.pk)
    found: dict[str, Any] = {}
    for row in connection.execute(query).mappings():
        found |= {"by": row["by"], "reason": row["reason"], "created": row["created"], **json.loads(row["document"])}
    return found


def filter_erased(connection: Connection, kind: str, names: Iterable[str]) -> set[str]:
    """Return those of these names that were erased."""
    found: set[str] = set()
    for batch in batched(names):
        query = select(erasures.c.name).where(erasures.c.kind == kind, erasures.c.name.in_(batch))
        found.update(connection.execute(query).scalars())
    return found


def snapshot_successor(connection: Connection, name: str) -> str | None:
    """Return the digest of what is left of a snapshot, given by its digest or the beginning of it.

    None where nothing was erased from it.
    """
    if len(name) < 6:
        return None
    return next((after for before, after in snapshot_successors(connection).items() if before.startswith(name) and after), None)


def snapshot_successors(connection: Connection) -> dict[str, str | None]:
    """Return the digest of what is left, by the digest of each snapshot that was affected; None where nothing is left."""
    after = {each["before"]: each["after"] for document in list_erasure_documents(connection) for each in document.get("left", ())}

    def end(digest: str | None) -> str | None:
        while digest in after:
            digest = after[digest]
        return digest

    return {before: end(before) for before in after}


def artifact_replacements(connection: Connection) -> dict[str, str]:
    """Return the snapshot or model that was made again in its place, by the digest or id of the old one."""
    remade = (
        each for document in list_erasure_documents(connection) for part in ("snapshots", "models") for each in document.get(part, ())
    )
    return {each["before"]: each["after"] for each in remade if each.get("after") and each["after"] != each["before"]}


def list_erasure_documents(connection: Connection) -> list[dict[str, Any]]:
    """Return the records of all erasures, in order."""
    return [json.loads(document) for document in connection.execute(select(erasures.c.document).order_by(erasures.c.pk)).scalars()]
