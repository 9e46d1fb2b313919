"""Find all that an erasure request covers: items, what was derived from them, served answers, and the texts to search for.

Derived from an item are rewritten items, what runs and comparisons showed to people, and answers that were served. The texts identify
copies wherever they were made, and can be removed from any JSON value.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.documents.relevance import RELEVANCE_PURPOSE as RELEVANCE
from preceptor.errors import NotFoundError
from preceptor.registry import suggest_name
from preceptor.release.lineage import collect_passages
from preceptor.retrieval.text_analysis import find_sentence_spans
from preceptor.storage import artifacts, documents, erasures, items, provenance
from preceptor.storage.snapshots import Snapshot

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage import Connection


_MIN_SEARCHED_LENGTH = 12  # characters: shorter texts ("yes", a label) occur everywhere, and are found by their records
_SEARCHED_PREFIX_LENGTH = 64  # characters of a longer text that are searched for
_ERASED_TEXT = "(erased)"
RENDERED_FIELD = "rendered"  # the manifest field of rendered training rows
_SHARED_FIELDS = ("sources", "role", "format", "tools", "finish", "document", "heading", "model", "id", "name")


def _iterate_strings(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value, except for names of fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _iterate_strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _iterate_strings(part)


def _iterate_own_strings(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value except those that many items share: system prompts, sources, ids and formats."""
    if isinstance(value, Mapping):
        parts = {} if value.get("role") == "system" else {name: part for name, part in value.items() if name not in _SHARED_FIELDS}
        for part in parts.values():
            yield from _iterate_own_strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _iterate_own_strings(part)
    elif isinstance(value, str):
        yield value


def _select_search_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """Select the texts to search for, each once: those that are long enough; of longer ones a prefix, as copies may have been truncated."""
    whole = (text for text in map(str.strip, texts) if len(text) >= _MIN_SEARCHED_LENGTH)
    return tuple(
        dict.fromkeys(
            text[:_SEARCHED_PREFIX_LENGTH].strip() if text[_MIN_SEARCHED_LENGTH:_SEARCHED_PREFIX_LENGTH].strip() else text for text in whole
        )
    )


def spell_variants(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the spellings of texts in files and tables: as they are, and as JSON with or without escapes."""
    ways = (text for each in texts for text in (json.dumps(each, ensure_ascii=False)[1:-1], each, json.dumps(each)[1:-1]))
    return tuple(dict.fromkeys(ways))


def encode_variants(texts: Iterable[str]) -> tuple[bytes, ...]:
    """Return the spellings of texts as bytes of a file."""
    return tuple(text.encode("utf-8", "surrogatepass") for text in spell_variants(texts))


def redact_texts(value: Any, texts: tuple[str, ...]) -> Any:
    """Replace each string of a JSON value that contains one of these texts, names of fields included."""
    if isinstance(value, str):
        return _ERASED_TEXT if any(text in value for text in texts) else value
    if isinstance(value, Mapping):
        return {
            (_ERASED_TEXT if any(text in str(name) for text in texts) else name): redact_texts(part, texts) for name, part in value.items()
        }
    return [redact_texts(part, texts) for part in value] if isinstance(value, list | tuple) else value


def drop_rows(value: Any, ids: frozenset[str]) -> Any:
    """Remove from the lists of a JSON value the objects about one of these items, by `id` or `item`."""
    if isinstance(value, Mapping):
        return {name: drop_rows(part, ids) for name, part in value.items()}
    if not isinstance(value, list):
        return value
    return [drop_rows(part, ids) for part in value if not _is_about_items(part, ids)]


def drop_rendered_rows(value: Any) -> Any:
    """Remove from a JSON value the rows that a model's manifest shows token by token, in which no text can be found."""
    if isinstance(value, Mapping):
        return {name: drop_rendered_rows(part) for name, part in value.items() if name != RENDERED_FIELD}
    return [drop_rendered_rows(part) for part in value] if isinstance(value, list | tuple) else value


def _is_about_items(value: Any, ids: frozenset[str]) -> bool:
    named = (value.get("id"), value.get("item")) if isinstance(value, Mapping) else ()
    return any(isinstance(name, str) and name in ids for name in named)


_MIN_PASSAGE_LENGTH = 40  # characters of a document's sentence from which on it is searched for
_MAX_PASSAGES = 2000  # sentences that are searched for, at most
_MIN_ANSWER_LENGTH = 16  # characters of an answer from which on it counts as somebody's own text, and is searched for
_ItemRows = Mapping[int, Mapping[Any, Any]]  # of items, by key


@dataclass(frozen=True)
class ErasurePlan:
    """What an erasure removes.

    kind, requested: as requested. items: ids by key, with derived items. judgments: about them, number -> annotator. served_answers: ids of
    answers. documents: key -> digest of a document's versions. search_texts: see `_select_search_texts`. kept_duplicates: ids of ordinary
    items that hold the same texts and stay. snapshot_rows: digest of a snapshot -> ids of its rows that are removed.
    """

    kind: str
    requested: tuple[str, ...]
    items: Mapping[int, str]
    judgments: Mapping[int, str]
    served_answers: tuple[str, ...]
    documents: Mapping[int, str]
    search_texts: tuple[str, ...]
    kept_duplicates: tuple[str, ...]
    snapshot_rows: Mapping[str, frozenset[str]]

    @property
    def item_ids(self) -> frozenset[str]:
        """The ids of the items."""
        return frozenset(self.items.values())

    def to_dict(self) -> dict[str, Any]:
        """Return what is reported and recorded: names and counts, no content."""
        return {
            "kind": self.kind,
            "named": list(self.requested),
            "items": sorted(self.item_ids),
            "judgments": dict(sorted(Counter(self.judgments.values()).items())),
            "answers": len(self.served_answers),
            "alike": list(self.kept_duplicates),
        }


def plan_item_erasure(project: Project, ids: Sequence[str]) -> ErasurePlan:
    """Plan the erasure of items by id, with all that was derived from them. Raises NotFoundError for an unknown or erased id."""
    with project.database.reading() as connection:
        asked = {row["pk"]: row for row in erasures.list_items(connection, ids)}
        missing = [id_ for id_ in dict.fromkeys(ids) if id_ not in {row["id"] for row in asked.values()}]
        if missing:
            known = [id_ for _, id_ in items.all_keys(connection)][:10_000]
            raise NotFoundError(
                f"there is no item {missing[0]!r}{suggest_name(missing[0], known)}", "nothing was erased; see: preceptor export items"
            )
        rows, served = _expand_derived(connection, asked, set())
        texts = _collect_search_texts(connection, rows, served)
        return _build_plan(project, connection, erasures.ITEM, ids, rows, served, texts)


def plan_document_erasure(project: Project, name: str) -> ErasurePlan:
    """Plan the erasure of all versions of a document, items about its passages, and answers that were shown it or quote it.

    Raises NotFoundError where there is no such document.
    """
    with project.database.reading() as connection:
        versions = [row for row in documents.list_versions(connection, name) if row["erased"] is None]
        if not versions:
            raise NotFoundError(f"there is no document {name!r}", "see: preceptor documents list")
        texts = _select_search_texts(_document_passages(project, {row["digest"] for row in versions}))
        likely = provenance.list_answers_containing(connection, json.dumps(name))
        citing = {row["id"] for row in likely if any(each["document"] == name for each in collect_passages(json.loads(row["document"])))}
        quoting = erasures.list_answer_ids_containing(connection, spell_variants(texts))
        rows, served = _expand_derived(connection, _relevance_items(connection, name), citing | quoting)
        keys = {row["pk"]: row["digest"] for row in versions}
        return _build_plan(project, connection, erasures.DOCUMENT, [name], rows, served, texts, keys)


def _build_plan(
    project: Project,
    connection: Connection,
    kind: str,
    named: Iterable[str],
    rows: _ItemRows,
    served: set[str],
    texts: tuple[str, ...],
    versions: Mapping[int, str] = {},
) -> ErasurePlan:
    """Complete the plan with other items that hold the texts.

    Items made for questions about them are removed; ordinary items stay and are named.
    """
    holding = {
        row["pk"]: row for row in erasures.list_items_containing(connection, spell_variants(texts)) if row["purpose"] != items.ERASED
    }
    made = {key: row for key, row in holding.items() if row["purpose"]}
    rows, served = _expand_derived(connection, {**rows, **made}, served)
    said = {row["pk"]: row["annotator"] for row in erasures.list_judgments(connection, list(rows))}
    alike = tuple(str(row["id"]) for key, row in holding.items() if key not in rows)
    ids = {key: str(row["id"]) for key, row in rows.items()}
    resting = _snapshot_rows_to_erase(project, {row["digest"] for row in artifacts.list_snapshots(connection)}, frozenset(ids.values()))
    return ErasurePlan(kind, tuple(dict.fromkeys(named)), ids, said, tuple(sorted(served)), versions, texts, alike, resting)


def _document_passages(project: Project, digests: Iterable[str]) -> list[str]:
    """Return the sentences by which copies of a document's versions are recognized, each once; an even sample where there are very many.

    A line without any sentence that is long enough is searched for as a whole.
    """
    found: dict[str, None] = {}
    for digest in sorted(digests):
        path = project.objects.path(digest)
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else ():
            parts = [line[start:end] for start, end in find_sentence_spans(line) if end - start >= _MIN_PASSAGE_LENGTH]
            found |= dict.fromkeys(parts or [line] if len(line.strip()) >= _MIN_PASSAGE_LENGTH else [])
    return list(found)[:: max(1, -(-len(found) // _MAX_PASSAGES))]


def _relevance_items(connection: Connection, name: str) -> _ItemRows:
    """Return the items that ask about the relevance of a document's passages."""
    likely = erasures.list_items_containing(connection, [f'"document": {json.dumps(name, ensure_ascii=False)}'])
    return {row["pk"]: row for row in likely if row["purpose"] == RELEVANCE and json.loads(row["metadata"]).get("document") == name}


def _expand_derived(connection: Connection, rows: _ItemRows, served: set[str]) -> tuple[_ItemRows, set[str]]:
    """Return items, and ids of served answers, with all that was derived from either."""
    found, answers = dict(rows), served | _served_answer_ids(rows.values())
    while new := _derived_items(connection, found, answers):
        found |= new
        answers |= _served_answer_ids(new.values())
    return found, answers


def _derived_items(connection: Connection, rows: _ItemRows, served: Iterable[str]) -> dict[int, Mapping[Any, Any]]:
    """Return the rows of items derived from these: rewritten items, what a run asked people about, others made of the same answers."""
    ids = erasures.rewritten_item_ids(connection, list(rows))
    found = {row["pk"]: row for row in erasures.list_items(connection, ids)}
    marks = [*(("asked", str(row["id"])) for row in rows.values()), *(("answer", id_) for id_ in served)]
    texts = [f'"{name}": {json.dumps(value, ensure_ascii=False)}' for name, value in marks]
    for row in erasures.list_items_containing(connection, texts):
        metadata = json.loads(row["metadata"])
        if any(metadata.get(name) == value for name, value in marks):
            found[row["pk"]] = row
    return {key: row for key, row in found.items() if key not in rows}


def _served_answer_ids(rows: Iterable[Mapping[Any, Any]]) -> set[str]:
    """Return the ids of the answers that items were made of."""
    found = (json.loads(row["metadata"]).get("answer") for row in rows)
    return {id_ for id_ in found if isinstance(id_, str)}


def _collect_search_texts(connection: Connection, rows: _ItemRows, served: Iterable[str]) -> tuple[str, ...]:
    """Collect the texts to search for: of contents, of what people wrote about them, and of the answers that were served."""
    found = [text for row in rows.values() for text in _iterate_own_strings(json.loads(row["content"]))]
    for row in erasures.list_judgments(connection, list(rows)):
        options = set(map(str, json.loads(row["spec"])["options"]))
        found += [text for text in _iterate_strings(json.loads(row["answer"])) if len(text) >= _MIN_ANSWER_LENGTH and text not in options]
    for row in erasures.list_answers(connection, served):
        document = json.loads(row["document"])
        found += [
            text for text in _iterate_own_strings([document.get("messages"), document.get("answers")]) if len(text) >= _MIN_ANSWER_LENGTH
        ]
    return _select_search_texts(found)


def _snapshot_rows_to_erase(project: Project, snapshots: Iterable[str], ids: frozenset[str]) -> dict[str, frozenset[str]]:
    found = {}
    for digest in sorted(snapshots):
        path = project.objects.path(digest) / "rows.jsonl"
        if path.is_file() and (hit := _candidate_row_ids(path.read_bytes(), ids)):
            found[digest] = hit & {row.id for row in Snapshot.load(path.parent).rows()}
    return {digest: rows for digest, rows in found.items() if rows}


def _candidate_row_ids(data: bytes, ids: frozenset[str]) -> frozenset[str]:
    """Return the ids that a file of rows may contain, judged by its bytes, so that files without them are skipped fast."""
    return frozenset(id_ for id_ in ids if f'"id": {json.dumps(id_, ensure_ascii=False)}'.encode("utf-8", "surrogatepass") in data)
