"""Taking what somebody asked to have erased out of the tables, whatever these refuse otherwise.

An item stays as a stub under its id, and a judgment about it as a number that counts nowhere: so no number is given twice, a file
that brings the item again is refused, and each person's work is still counted. All in the caller's transaction, whole or not at all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table, Text, delete, func, insert, or_, select, update

from preceptor.store import events, live_schema, schema
from preceptor.store.connection import batched, now
from preceptor.store.items import ERASED, STUB, STUB_DIGEST
from preceptor.store.live_schema import answers, chunks, deferrals, documents, feedback
from preceptor.store.migrations.insert_only import changes_allowed
from preceptor.store.schema import items, judgments

_OPENED = (*schema.INSERT_ONLY, "aliases")
_NAMES = ("id", "name", "hash", "key", "model", "digest", "snapshot", "question", "kind", "role", "status")  # columns that others point at
_AT_ONCE = 100  # texts in one condition
_KEPT = (schema.events, items, judgments, schema.questions, documents, chunks, live_schema.erasures)  # not changed by `scrub`
Change = Callable[[Any], Any]


def about(connection: Connection, ids: Iterable[str]) -> list[Mapping[Any, Any]]:
    """Rows of the items with these ids that aren't erased yet."""
    found: list[Mapping[Any, Any]] = []
    for batch in batched(ids):
        found += connection.execute(select(items).where(items.c.id.in_(batch), items.c.purpose != ERASED)).mappings()
    return found


def holding(connection: Connection, texts: Sequence[str]) -> list[Mapping[Any, Any]]:
    """Rows of the items whose content or metadata holds one of these texts (as JSON writes them)."""
    found: dict[int, Mapping[Any, Any]] = {}
    for column in (items.c.content, items.c.metadata):
        for some in _conditions(connection, column, texts):
            found |= {row["pk"]: row for row in connection.execute(select(items).where(some)).mappings()}
    return [found[key] for key in sorted(found)]


def made_of(connection: Connection, keys: Sequence[int]) -> set[str]:
    """Ids of the items that rewriting these made, by the keys of the old ones."""
    table = schema.curations
    query = select(table.c.document).where(table.c.item.in_(keys), table.c.action == "rewrite")
    return {json.loads(document)["item"] for document in connection.execute(query).scalars()}


def said_about(connection: Connection, keys: Sequence[int]) -> list[Mapping[Any, Any]]:
    """Judgments about items, by key: pk, answer, context, annotator (name), and the kind and spec of the question."""
    columns = judgments.c.pk, judgments.c.answer, judgments.c.context, schema.annotators.c.id.label("annotator")
    query = (
        select(*columns, schema.questions.c.kind, schema.questions.c.spec)
        .join_from(judgments, schema.annotators, judgments.c.annotator == schema.annotators.c.pk)
        .join(schema.questions, judgments.c.question == schema.questions.c.pk)
        .where(judgments.c.item.in_(keys))
        .order_by(judgments.c.pk)
    )
    return list(connection.execute(query).mappings())


def numbers_about(connection: Connection, ids: Iterable[str]) -> list[int]:
    """Numbers of the judgments about items, by id, erased or not."""
    query = select(judgments.c.pk).join_from(judgments, items, judgments.c.item == items.c.pk)
    return [number for batch in batched(ids) for number in connection.execute(query.where(items.c.id.in_(batch))).scalars()]


def answers_holding(connection: Connection, texts: Sequence[str]) -> set[str]:
    """Ids of the answers that were served, as far as they are kept, which hold one of these texts (as JSON writes them)."""
    some = _conditions(connection, answers.c.document, texts)
    return {id_ for each in some for id_ in connection.execute(select(answers.c.id).where(each)).scalars()}


def answers_in(connection: Connection, ids: Iterable[str]) -> list[Mapping[Any, Any]]:
    """Rows of the answers with these ids, as far as they are kept."""
    return [row for batch in batched(ids) for row in connection.execute(select(answers).where(answers.c.id.in_(batch))).mappings()]


def erase_items(
    connection: Connection, keys: Sequence[int], served: Iterable[str], texts: Sequence[str], change: Change, *, by: str
) -> None:
    """Leave stubs of items, by key, and take the answers `served`, what was said of them, and the texts out of all other tables.

    texts: as JSON writes them. change: what a JSON value is without them. Their payloads in the audit log go too. No items: only the
    texts go.
    """
    with changes_allowed(connection, _OPENED):
        for batch in batched(keys):
            _leave_stubs(connection, batch)
            _end_rewritings(connection, batch)
        for given in batched(served):
            connection.execute(delete(feedback).where(feedback.c.answer.in_(given)))
            connection.execute(delete(deferrals).where(deferrals.c.answer.in_(given)))
            connection.execute(delete(answers).where(answers.c.id.in_(given)))
        scrub(connection, texts, change)
        events.take_out(connection, texts, actor=by)


def scrub(connection: Connection, texts: Sequence[str], change: Change) -> None:
    """Change every other value that holds one of these texts; items and judgments of their own stay as they are."""
    for table, column in _columns():
        key = list(table.primary_key.columns)
        if table in _KEPT or column.name in _NAMES or not key:
            continue
        for some in _conditions(connection, column, texts):
            for *place, value in connection.execute(select(*key, column).where(some)).all():
                here = [each == part for each, part in zip(key, place, strict=True)]
                connection.execute(update(table).where(*here).values({column: _changed(value, change)}))


def places(connection: Connection, texts: Sequence[str]) -> dict[str, int]:
    """How many values of each table and column hold one of these texts; only what holds any."""
    found: Counter[str] = Counter()
    for table, column in _columns():
        for some in _conditions(connection, column, texts):
            found[f"{table.name}.{column.name}"] += connection.execute(select(func.count()).select_from(table).where(some)).scalar_one()
    return {place: count for place, count in found.items() if count}


def replace_snapshot(connection: Connection, before: str, after: str | None) -> None:
    """Let a snapshot's names stand for what is left of it; None: for nothing any more. Openings of its test rows stay counted."""
    table, reports = schema.snapshots, schema.reports
    if after is None:
        connection.execute(delete(table).where(table.c.digest == before))
        return
    connection.execute(update(table).where(table.c.digest == before).values(digest=after))
    connection.execute(update(reports).where(reports.c.snapshot == before).values(snapshot=after))


def replace_objects(connection: Connection, new: Mapping[str, str]) -> None:
    """Let all that names objects by these digests name what they became."""
    for before, after in new.items():
        for table, column in ((schema.consensus, "digest"), (schema.files, "digest")):
            connection.execute(update(table).where(table.c[column] == before).values({column: after}))
        connection.execute(update(schema.reports).where(schema.reports.c.digest == before).values(digest=after))
        decided = schema.releases
        for row in connection.execute(select(decided).where(decided.c.document.contains(before))).mappings():
            document = row["document"].replace(before, after)
            connection.execute(update(decided).where(decided.c.pk == row["pk"]).values(document=document))


def change_manifests(connection: Connection, models: Sequence[str], change: Change) -> None:
    """Write what is noted of these models anew, as `change` says of the JSON value."""
    table = schema.models
    for row in connection.execute(select(table.c.id, table.c.manifest).where(table.c.id.in_(models))).all():
        manifest = json.dumps(change(json.loads(row.manifest)), sort_keys=True, ensure_ascii=False)
        connection.execute(update(table).where(table.c.id == row.id).values(manifest=manifest))


def object_digests(connection: Connection) -> dict[str, list[str]]:
    """Digests of what lies in objects/ as one file: consensus and report, and of uploads as file."""
    return {
        "consensus": list(connection.execute(select(schema.consensus.c.digest).distinct()).scalars()),
        "report": list(connection.execute(select(schema.reports.c.digest)).scalars()),
        "file": list(connection.execute(select(schema.files.c.digest).distinct()).scalars()),
    }


def _leave_stubs(connection: Connection, keys: Sequence[int]) -> None:
    gone = select(schema.slots.c.pk).where(schema.slots.c.item.in_(keys))
    for table in (schema.leases, schema.passes):
        connection.execute(delete(table).where(table.c.slot.in_(gone)))
    for table in (schema.slots, schema.gold, schema.asides, schema.suspects, schema.curations, feedback, deferrals):
        connection.execute(delete(table).where(table.c.item.in_(keys)))
    numbers = list(connection.execute(select(judgments.c.pk).where(judgments.c.item.in_(keys))).scalars())
    taken = set(connection.execute(select(schema.withdrawals.c.judgment).where(schema.withdrawals.c.judgment.in_(numbers))).scalars())
    if new := [{"judgment": number, "created": now()} for number in numbers if number not in taken]:
        connection.execute(insert(schema.withdrawals), new)
    connection.execute(update(judgments).where(judgments.c.item.in_(keys)).values(answer="null", context=None, key=None))
    stub = {"content": STUB, "digest": STUB_DIGEST, "group": "", "metadata": "{}", "purpose": ERASED}
    connection.execute(update(items).where(items.c.pk.in_(keys)).values(stub))


def _end_rewritings(connection: Connection, keys: Sequence[int]) -> None:
    """What these items were written anew of stays left out, though nothing stands in its place any more."""
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


def _conditions(connection: Connection, column: Any, texts: Sequence[str]) -> Iterator[Any]:
    """Conditions that are true of a value which holds one of these texts, letter by letter; some texts each."""
    place = func.instr if connection.dialect.name == "sqlite" else func.strpos
    for some in batched(texts, _AT_ONCE):
        yield or_(*(place(column, text) > 0 for text in some))


def _changed(value: str, change: Change) -> str:
    try:
        parsed = json.loads(value)
    except ValueError:
        return str(change(value))
    return json.dumps(change(parsed), sort_keys=True, ensure_ascii=False, allow_nan=False)
