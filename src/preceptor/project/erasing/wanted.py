"""What is to be erased, with all that was made of it: rewritings, what runs and comparisons showed people, answers that were served."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.errors import NotFound
from preceptor.project.documents.relevance import PURPOSE as RELEVANCE
from preceptor.project.erasing.texts import looked_for, own, spelled, strings
from preceptor.project.lineage.back import passages_in
from preceptor.registry import did_you_mean
from preceptor.retrieval.sentences import sentence_spans
from preceptor.snapshots import Snapshot
from preceptor.store import documents, erasing, erasures, items, provenance, records

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

PASSAGE = 40  # characters that a sentence of a document has at least, to be looked for
PASSAGES = 2000  # that are looked for, at most
WRITTEN = 16  # characters of an answer from which it is somebody's own text, and looked for
Rows = Mapping[int, Mapping[Any, Any]]  # of items, by key


@dataclass(frozen=True)
class Wanted:
    """What goes. named: as asked for. items: ids, by key, with what was made of them. judgments: numbers about them, by person.

    served: ids of answers. documents: keys and digests of a document's versions. texts: what is looked for, see `looked_for`. alike: ids
    of ordinary items that hold the same texts and stay. resting: digest of a snapshot -> ids of its rows that go.
    """

    kind: str
    named: tuple[str, ...]
    items: Mapping[int, str]
    judgments: Mapping[int, str]
    served: tuple[str, ...]
    documents: Mapping[int, str]
    texts: tuple[str, ...]
    alike: tuple[str, ...]
    resting: Mapping[str, frozenset[str]]

    @property
    def ids(self) -> frozenset[str]:
        """Ids of the items."""
        return frozenset(self.items.values())

    def to_dict(self) -> dict[str, Any]:
        """What is told of it, and kept: names and counts, no content."""
        return {
            "kind": self.kind,
            "named": list(self.named),
            "items": sorted(self.ids),
            "judgments": dict(sorted(Counter(self.judgments.values()).items())),
            "answers": len(self.served),
            "alike": list(self.alike),
        }


def wanted_items(project: Project, ids: Sequence[str]) -> Wanted:
    """Items by id, with all that was made of them; NotFound for an id that isn't there, or was erased before."""
    with project.database.reading() as connection:
        asked = {row["pk"]: row for row in erasing.about(connection, ids)}
        missing = [id_ for id_ in dict.fromkeys(ids) if id_ not in {row["id"] for row in asked.values()}]
        if missing:
            known = [id_ for _, id_ in items.all_keys(connection)][:10_000]
            raise NotFound(
                f"there is no item {missing[0]!r}{did_you_mean(missing[0], known)}", "nothing was erased; see: preceptor export items"
            )
        rows, served = _with_made(connection, asked, set())
        texts = _texts(connection, rows, served)
        return _wanted(project, connection, erasures.ITEM, ids, rows, served, texts)


def wanted_document(project: Project, name: str) -> Wanted:
    """All versions of a document, what people were asked about its passages, and the answers that it was shown to, or that quote it;
    NotFound when there is none."""
    with project.database.reading() as connection:
        versions = [row for row in documents.versions(connection, name) if row["erased"] is None]
        if not versions:
            raise NotFound(f"there is no document {name!r}", "see: preceptor documents list")
        texts = looked_for(_passages(project, {row["digest"] for row in versions}))
        likely = provenance.answers_with(connection, json.dumps(name))
        citing = {row["id"] for row in likely if any(each["document"] == name for each in passages_in(json.loads(row["document"])))}
        quoting = erasing.answers_holding(connection, spelled(texts))
        rows, served = _with_made(connection, _pooled(connection, name), citing | quoting)
        keys = {row["pk"]: row["digest"] for row in versions}
        return _wanted(project, connection, erasures.DOCUMENT, [name], rows, served, texts, keys)


def _wanted(
    project: Project,
    connection: Connection,
    kind: str,
    named: Iterable[str],
    rows: Rows,
    served: set[str],
    texts: tuple[str, ...],
    versions: Mapping[int, str] = {},
) -> Wanted:
    """With what else holds the texts: what was made to ask people about goes too, an ordinary item stays, and is told of."""
    holding = {row["pk"]: row for row in erasing.holding(connection, spelled(texts)) if row["purpose"] != items.ERASED}
    made = {key: row for key, row in holding.items() if row["purpose"]}
    rows, served = _with_made(connection, {**rows, **made}, served)
    said = {row["pk"]: row["annotator"] for row in erasing.said_about(connection, list(rows))}
    alike = tuple(str(row["id"]) for key, row in holding.items() if key not in rows)
    ids = {key: str(row["id"]) for key, row in rows.items()}
    resting = _resting(project, {row["digest"] for row in records.snapshots(connection)}, frozenset(ids.values()))
    return Wanted(kind, tuple(dict.fromkeys(named)), ids, said, tuple(sorted(served)), versions, texts, alike, resting)


def _passages(project: Project, digests: Iterable[str]) -> list[str]:
    """The sentences of a document's versions by which copies are known, each once; of very many, so many in even steps.

    A line none of whose sentences is long enough is looked for as a whole.
    """
    found: dict[str, None] = {}
    for digest in sorted(digests):
        path = project.objects.path(digest)
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else ():
            parts = [line[start:end] for start, end in sentence_spans(line) if end - start >= PASSAGE]
            found |= dict.fromkeys(parts or [line] if len(line.strip()) >= PASSAGE else [])
    return list(found)[:: max(1, -(-len(found) // PASSAGES))]


def _pooled(connection: Connection, name: str) -> Rows:
    """The items that ask people how relevant a document's passages are."""
    likely = erasing.holding(connection, [f'"document": {json.dumps(name, ensure_ascii=False)}'])
    return {row["pk"]: row for row in likely if row["purpose"] == RELEVANCE and json.loads(row["metadata"]).get("document") == name}


def _with_made(connection: Connection, rows: Rows, served: set[str]) -> tuple[Rows, set[str]]:
    """Items, and ids of answers that were served, with all that was made of either."""
    found, answers = dict(rows), served | _served(rows.values())
    while new := _made_of(connection, found, answers):
        found |= new
        answers |= _served(new.values())
    return found, answers


def _made_of(connection: Connection, rows: Rows, served: Iterable[str]) -> dict[int, Mapping[Any, Any]]:
    """Rows of the items that were made of these: rewritings, what a run asked people about, others made of the same answers."""
    ids = erasing.made_of(connection, list(rows))
    found = {row["pk"]: row for row in erasing.about(connection, ids)}
    marks = [*(("asked", str(row["id"])) for row in rows.values()), *(("answer", id_) for id_ in served)]
    texts = [f'"{name}": {json.dumps(value, ensure_ascii=False)}' for name, value in marks]
    for row in erasing.holding(connection, texts):
        metadata = json.loads(row["metadata"])
        if any(metadata.get(name) == value for name, value in marks):
            found[row["pk"]] = row
    return {key: row for key, row in found.items() if key not in rows}


def _served(rows: Iterable[Mapping[Any, Any]]) -> set[str]:
    """Ids of the answers that items were made of."""
    found = (json.loads(row["metadata"]).get("answer") for row in rows)
    return {id_ for id_ in found if isinstance(id_, str)}


def _texts(connection: Connection, rows: Rows, served: Iterable[str]) -> tuple[str, ...]:
    """What is looked for: texts of the contents, of what people wrote about them, and of the answers that were served."""
    found = [text for row in rows.values() for text in own(json.loads(row["content"]))]
    for row in erasing.said_about(connection, list(rows)):
        options = set(map(str, json.loads(row["spec"])["options"]))
        found += [text for text in strings(json.loads(row["answer"])) if len(text) >= WRITTEN and text not in options]
    for row in erasing.answers_in(connection, served):
        document = json.loads(row["document"])
        found += [text for text in own([document.get("messages"), document.get("answers")]) if len(text) >= WRITTEN]
    return looked_for(found)


def _resting(project: Project, snapshots: Iterable[str], ids: frozenset[str]) -> dict[str, frozenset[str]]:
    found = {}
    for digest in sorted(snapshots):
        path = project.objects.path(digest) / "rows.jsonl"
        if path.is_file() and (hit := _rows_of(path.read_bytes(), ids)):
            found[digest] = hit & {row.id for row in Snapshot.load(path.parent).rows()}
    return {digest: rows for digest, rows in found.items() if rows}


def _rows_of(data: bytes, ids: frozenset[str]) -> frozenset[str]:
    """Ids that a file of rows may hold; told by its bytes, so that files without them are passed over fast."""
    return frozenset(id_ for id_ in ids if f'"id": {json.dumps(id_, ensure_ascii=False)}'.encode("utf-8", "surrogatepass") in data)
