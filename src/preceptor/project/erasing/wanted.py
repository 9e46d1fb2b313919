"""What is to be erased, with all that was made of it: rewritings, what runs and comparisons showed people, answers that were served."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.errors import NotFound
from preceptor.project.erasing.texts import looked_for, own, strings
from preceptor.project.lineage.back import cited_in
from preceptor.registry import did_you_mean
from preceptor.snapshots import Snapshot
from preceptor.store import erasing, items, provenance, records

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

PARAGRAPH = 40  # characters that a paragraph of a document has at least, to be looked for
PARAGRAPHS = 1000  # that are looked for, at most
WRITTEN = 16  # characters of an answer from which it is somebody's own text, and looked for


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
        rows = {row["pk"]: row for row in erasing.about(connection, ids)}
        missing = [id_ for id_ in dict.fromkeys(ids) if id_ not in {row["id"] for row in rows.values()}]
        if missing:
            known = [id_ for _, id_ in items.all_keys(connection)][:10_000]
            raise NotFound(
                f"there is no item {missing[0]!r}{did_you_mean(missing[0], known)}", "nothing was erased; see: preceptor export items"
            )
        served = _served(rows.values())
        while new := _made_of(connection, rows, served):
            rows |= new
            served |= _served(new.values())
        texts = _texts(connection, rows, served)
        others = [row for row in erasing.holding(connection, texts) if row["pk"] not in rows]
        made = {row["pk"]: row for row in others if row["purpose"] not in ("", items.ERASED)}
        rows |= made
        said = {row["pk"]: row["annotator"] for row in erasing.said_about(connection, list(rows))}
        snapshots = {row["digest"] for row in records.snapshots(connection)}
    ids_of = {key: str(row["id"]) for key, row in rows.items()}
    alike = tuple(str(row["id"]) for row in others if row["purpose"] == "")
    resting = _resting(project, snapshots, frozenset(ids_of.values()))
    return Wanted("item", tuple(dict.fromkeys(ids)), ids_of, said, tuple(sorted(served)), {}, texts, alike, resting)


def wanted_document(project: Project, name: str) -> Wanted:
    """All versions of a document, and the answers that cite it; NotFound when there is none."""
    with project.database.reading() as connection:
        versions = [row for row in provenance.versions(connection, name) if row["erased"] is None]
        likely = provenance.answers_with(connection, json.dumps(name))
        if not versions:
            raise NotFound(f"there is no document {name!r}", "see: preceptor documents list")
        texts = looked_for(_paragraphs(project, {row["digest"] for row in versions}))
        alike = [str(row["id"]) for row in erasing.holding(connection, texts)]
    served = [row["id"] for row in likely if any(each["document"] == name for each in cited_in(json.loads(row["document"])))]
    keys = {row["pk"]: row["digest"] for row in versions}
    return Wanted("document", (name,), {}, {}, tuple(served), keys, texts, tuple(alike), {})


def _paragraphs(project: Project, digests: Iterable[str]) -> list[str]:
    """The paragraphs of a document's versions by which copies are known, each once; of very many, so many in even steps."""
    here = [digest for digest in sorted(digests) if project.objects.path(digest).is_file()]
    parts = (part.strip() for digest in here for part in project.objects.get(digest).decode("utf-8", "replace").split("\n"))
    found = list(dict.fromkeys(part for part in parts if len(part) >= PARAGRAPH))
    return found[:: max(1, -(-len(found) // PARAGRAPHS))]


def _made_of(connection: Connection, rows: Mapping[int, Mapping[Any, Any]], served: Iterable[str]) -> dict[int, Mapping[Any, Any]]:
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


def _texts(connection: Connection, rows: Mapping[int, Mapping[Any, Any]], served: Iterable[str]) -> tuple[str, ...]:
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
