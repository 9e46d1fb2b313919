"""Collect relevance judgments by pooling and measure retrieval against them.

People judge what each search mode finds (pooling, Spärck Jones & van Rijsbergen 1975). Passages that no mode found are judged by nobody, so
that recall refers to what is known to be relevant, and the share of unjudged results is reported beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.annotation import question_admin
from preceptor.documents.library import DocumentLibrary
from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.formats.reader import PLAIN_FORMAT
from preceptor.questions import define_question
from preceptor.retrieval import SearchHit
from preceptor.retrieval.search import ndcg_at_k, recall_at_k, unjudged_share
from preceptor.statistics import estimate_mean
from preceptor.storage import items, questions
from preceptor.types import Item

if TYPE_CHECKING:
    from preceptor.project import Project


RELEVANCE_PURPOSE = "relevance"
RELEVANCE_QUESTION = "relevance"
RELEVANCE_GRADES = ("not relevant", "partly", "relevant")
RETRIEVAL_METRICS: Mapping[str, Callable[..., float]] = {"recall": recall_at_k, "ndcg": ndcg_at_k, "unjudged": unjudged_share}
_RELEVANCE_INSTRUCTIONS = "Does this passage help to answer the question?\n\nPartly: it says something about it, but doesn't answer it."
_POOL_COMMAND = "preceptor documents judge-pool QUERIES"
_CHUNKS_PER_DOCUMENT = 5  # chunks searched per document where documents, not chunks, were judged
HitUnit = Callable[[SearchHit], Hashable]


@dataclass(frozen=True)
class RelevanceQuery:
    """A query with its known relevance: grades from 0 by unit. group: queries of one group depend on each other."""

    id: str
    text: str
    group: str
    relevance: Mapping[Hashable, float]


def pool_passages(project: Project, path: Path, question: str = RELEVANCE_QUESTION, depth: int = 10) -> dict[str, Any]:
    """Queue for annotation what each search mode ranks first for each query of a file: one item per passage, shown without its rank.

    The question is created where it doesn't exist yet. The same call again only adds passages that weren't found before.
    """
    documents, found, queries = DocumentLibrary(project), dict[str, Item](), list(_read_queries(path))
    for query in queries:
        for way in list_search_modes(project):
            for hit in documents.search(query.text, depth, way=way):
                item = _passage_item(query, hit)
                found[item.id] = item
    asked = replace(_relevance_question(project, question), purpose=RELEVANCE_PURPOSE)
    in_any_order = [found[id_] for id_ in sorted(found)]  # ids are hashes, so that the first hits aren't asked about first
    return {
        "queries": len(queries),
        "items": len(found),
        "new": question_admin.enqueue_items(project, asked, in_any_order),
        "question": question,
    }


def measure_retrieval(
    project: Project,
    *,
    question: str | None = None,
    qrels: Path | None = None,
    queries: Path | None = None,
    ks: Sequence[int] = (5, 10),
) -> dict[str, Any]:
    """Measure recall@k, nDCG@k and unjudged@k of each search mode, with intervals: means over queries, clustered by group.

    The relevance comes from people's judgments of pooled passages (question), or from two files (qrels and queries). Queries with no known
    relevant passage are left out and counted. Raises UserError where both or half of a source are given, and where nothing is known to be
    relevant.
    """
    if (qrels is None) != (queries is None) or (qrels is not None and question is not None):
        raise UserError("relevance comes from people (--question), or from two files (--qrels and --queries)", "give one of both")
    known, unit = (
        _load_judged_queries(project, question or RELEVANCE_QUESTION) if qrels is None or queries is None else _read_qrels(qrels, queries)
    )
    usable = [query for query in known if any(grade > 0 for grade in query.relevance.values())]
    if not usable:
        raise UserError("nothing is known to be relevant to any query", f"have people judge first: {_POOL_COMMAND}")
    rows = [row for way in list_search_modes(project) for row in _measure_mode(DocumentLibrary(project), usable, unit, way, ks)]
    left_out = len(known) - len(usable)
    words = f"{len(usable)} queries; {left_out} left out, to which nothing is known to be relevant. Recall is of what is known."
    lacking = _find_missing_documents(project, usable) if qrels is not None else []
    words += f" Called relevant, but no document here: {', '.join(lacking[:5])}{' …' if lacking[5:] else ''}." if lacking else ""
    return {"queries": len(usable), "left_out": left_out, "lacking": lacking, "rows": rows, "summary": words}


def _find_missing_documents(project: Project, queries: Sequence[RelevanceQuery]) -> list[str]:
    """List documents that the file calls relevant and that the project lacks, so that no search can find them: each lowers recall."""
    units = (unit for query in queries for unit, grade in query.relevance.items() if grade > 0)
    there = {row["name"] for row in DocumentLibrary(project).list()}
    return sorted({str(unit[0] if isinstance(unit, tuple) else unit) for unit in units} - there)


def list_search_modes(project: Project) -> tuple[str, ...]:
    """List the search modes that this project supports."""
    return ("lexical", "dense", "fused") if project.config.retrieval.encoder else ("lexical",)


def _measure_mode(
    documents: DocumentLibrary, queries: Sequence[RelevanceQuery], unit: HitUnit, way: str, ks: Sequence[int]
) -> Iterator[dict[str, Any]]:
    depth = min(max(ks) * (_CHUNKS_PER_DOCUMENT if unit is _document_unit else 1), 1000)
    rankings = [list(dict.fromkeys(map(unit, documents.search(query.text, depth, way=way)))) for query in queries]
    groups = [query.group for query in queries]
    clusters = groups if len(set(groups)) < len(groups) else None
    for k in ks:
        row: dict[str, Any] = {"way": way, "k": k}
        for name, function in RETRIEVAL_METRICS.items():
            values = [function(ranking, query.relevance, k) for ranking, query in zip(rankings, queries, strict=True)]
            found = estimate_mean(values, clusters=clusters)
            row[name] = replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0)).to_dict()
        yield row


def _load_judged_queries(project: Project, question: str) -> tuple[list[RelevanceQuery], HitUnit]:
    with project.database.reading() as connection:
        asked = questions.get(connection, question)[1]
    if asked.kind != "choice" or asked.purpose != RELEVANCE_PURPOSE:
        raise UserError(f"{question!r} doesn't ask what is relevant", _POOL_COMMAND, where="question")
    said = project.consensus(question)
    with project.database.reading() as connection:
        about = items.metadata(connection, said.items)
        texts = items.contents(connection, said.items)
        groups = items.groups(connection, said.items)
    gathered: dict[tuple[str, str], RelevanceQuery] = {}  # the same id with another text, from a later file, is another query
    for item, grade in zip(said.items, np.argmax(said.posterior, axis=1), strict=True):
        id_ = about[item]["query"]
        place = id_, texts[item]["prompt"]
        query = gathered.setdefault(place, RelevanceQuery(*place, groups[item], {}))
        passage = _text_digest(texts[item]["sources"][0]["text"])
        gathered[place] = replace(query, relevance={**query.relevance, passage: float(asked.options.index(said.answers[grade]))})
    return list(gathered.values()), lambda hit: _text_digest(hit.text)


def _read_qrels(qrels: Path, queries: Path) -> tuple[list[RelevanceQuery], HitUnit]:
    relevance: dict[str, dict[Hashable, float]] = {}
    by_chunk = set[bool]()
    rows = read(qrels, PLAIN_FORMAT)
    for row in rows:
        grade = _parse_number(row.get("relevance"), "relevance", rows.where)
        name, chunk = _parse_text(row, ("document",), rows.where), row.get("chunk")
        by_chunk.add(chunk not in (None, ""))
        unit = (name, int(_parse_number(chunk, "chunk", rows.where))) if chunk not in (None, "") else name
        relevance.setdefault(_parse_text(row, ("query",), rows.where), {})[unit] = grade
    if len(by_chunk) > 1:
        raise UserError("some rows name a chunk, and some don't", "give a chunk in every row, or in none", where=qrels.name)
    known = [replace(query, relevance=relevance.pop(query.id, {})) for query in _read_queries(queries)]
    if relevance:
        raise UserError(f"there is no query {next(iter(relevance))!r:.80}", "its id must stand in the file of queries", where=qrels.name)
    return known, _chunk_unit if by_chunk == {True} else _document_unit


def _document_unit(hit: SearchHit) -> Hashable:
    return hit.document


def _chunk_unit(hit: SearchHit) -> Hashable:
    return hit.document, hit.chunk


def _text_digest(text: str) -> str:
    """Return the digest of a passage's text: a judgment holds for the text, whatever document and version it appears in."""
    return hashlib.sha256(text.encode()).hexdigest()


def _read_queries(path: Path) -> Iterator[RelevanceQuery]:
    rows, seen = read(path, PLAIN_FORMAT), set[str]()
    for row in rows:
        text = _parse_text(row, ("query", "question", "prompt", "text"), rows.where)
        id_ = str(row.get("id") or f"q-{_text_digest(text)[:12]}")
        if id_ in seen:
            raise UserError(f"query {id_!r:.80} stands there twice", "give each query an id of its own, once", where=rows.where)
        seen.add(id_)
        yield RelevanceQuery(id_, text, str(row.get("group") or id_), {})


def _passage_item(query: RelevanceQuery, hit: SearchHit) -> Item:
    source = {"title": " > ".join(filter(None, (hit.document, hit.heading))), "text": hit.text}
    about = {"query": query.id, "document": hit.document, "version": hit.version, "start": hit.start, "end": hit.end}
    id_ = f"relevance-{_text_digest(f'{query.id} {query.text} {_text_digest(hit.text)}')[:20]}"
    return Item(id_, {"prompt": query.text, "sources": [source]}, query.group, about)


def _relevance_question(project: Project, name: str) -> Any:
    with project.database.reading() as connection:
        asked = next((each for _, each in questions.list_active(connection) if each.name == name), None)
    return asked or define_question(
        {"name": name, "kind": "choice", "options": list(RELEVANCE_GRADES), "instructions": _RELEVANCE_INSTRUCTIONS}
    )


def _parse_text(row: Mapping[str, Any], names: Sequence[str], where: str) -> str:
    found = next((str(row[name]) for name in names if row.get(name) not in (None, "")), "")
    if not found:
        raise UserError(f"the row has no {names[0]}", f"it needs a column {' or '.join(names)}", where=where)
    return found


def _parse_number(value: Any, name: str, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number < 100:
        raise UserError(f"{name} isn't a number from 0: {value!r:.40}", "0: not relevant; more: the more relevant", where=where)
    return number
