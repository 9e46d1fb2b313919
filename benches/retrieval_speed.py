"""Hybrid search over 100,000 chunks: milliseconds a question beside SQLite's FTS5, recall against exact search, memory, indexing and
changing a document; and how well PubMedQA's abstracts and TAT-QA's contexts are found by words, by meaning, and by both.

The chunks are sentences of real texts (PubMedQA, TAT-QA) put together anew, 200 a document. Questions are PubMedQA's, encoded by minilm
while they are timed. minilm encodes a part of the chunks (`encoded`); the vectors of the others are means of two of those with noise, since
encoding all would take hours here and the time of a search doesn't depend on what they say. Wall-clock seconds depend on what else the
machine does (`load`), processor seconds hardly. Recall against exact search: the same ten chunks as a plain matrix product and sort in
float64, and as BM25 of scores that FTS5 doesn't know. Quality: one text is known to answer each question, so recall@k is whether it is
among the first k documents; a t or Wilson interval over questions, clustered by text.

Run: python -m benches.retrieval_speed [quality]
"""

from __future__ import annotations

import json
import os
import random
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benches._corpora import Corpus, corpora

from preceptor import Project
from preceptor.documents.library import DocumentLibrary, open_index
from preceptor.documents.relevance import measure_retrieval
from preceptor.models.base_models import find_base_folder
from preceptor.models.embeddings import TextEncoder
from preceptor.retrieval.index import normalize_vectors
from preceptor.retrieval.text_analysis import extract_terms, split_sentences
from preceptor.storage import documents as rows_of

CHUNKS, PER_DOCUMENT, ENCODED, QUESTIONS, K = 100_000, 200, 1500, 300, 10
ASKED = 300  # questions of each corpus, for quality


class Planted:
    """An encoder that is minilm for questions and some chunks, and for the others mixes vectors of those."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.real = TextEncoder(find_base_folder("minilm"))
        begun = time.process_time()
        self.known = normalize_vectors(self.real.embed(texts[:ENCODED]))
        self.rate = ENCODED / (time.process_time() - begun)
        self.rng, self.counted = np.random.default_rng(0), 0

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.counted += len(texts)
        if len(texts) == 1:
            return self.real.embed(texts)
        pairs = self.rng.integers(0, len(self.known), (2, len(texts)))
        return self.known[pairs].mean(axis=0) + 0.02 * self.rng.standard_normal((len(texts), self.known.shape[1]))


def paragraphs(count: int) -> list[str]:
    """Chunks of 600 to 900 characters, of sentences of real texts."""
    pool = [each for corpus in corpora() for text in corpus.texts.values() for each in split_sentences(text) if 40 < len(each) < 400]
    rng, made = random.Random(0), []
    for _ in range(count):
        words = ""
        while len(words) < 600:
            words += rng.choice(pool) + " "
        made.append(words[:900].strip())
    return made


def timed(ask: Callable[[str], Any], questions: Sequence[str]) -> dict[str, Any]:
    """Milliseconds a question."""
    wall, processor = [], []
    for question in questions:
        begun, used = time.perf_counter(), time.process_time()
        ask(question)
        wall.append(1000 * (time.perf_counter() - begun))
        processor.append(1000 * (time.process_time() - used))
    return {
        "p50_ms": round(float(np.percentile(wall, 50)), 1),
        "p95_ms": round(float(np.percentile(wall, 95)), 1),
        "p50_cpu_ms": round(float(np.percentile(processor, 50)), 1),
        "p95_cpu_ms": round(float(np.percentile(processor, 95)), 1),
        "questions": len(questions),
    }


def speed(folder: Path) -> dict[str, Any]:
    """The large collection."""
    texts = paragraphs(CHUNKS)
    questions = [question for _, question, _ in next(corpora()).some(QUESTIONS)]
    project = Project.create(folder / "large")
    documents, index = DocumentLibrary(project), open_index(project)
    planted = Planted(texts)
    index.encode = planted
    begun = time.process_time()
    for at in range(0, CHUNKS, PER_DOCUMENT):
        part = {"part": at // PER_DOCUMENT % 10}
        documents.add("\n\n".join(texts[at : at + PER_DOCUMENT]).encode(), name=f"{at:06}.txt", metadata=part, index=False)
    kept = time.process_time()
    documents.index_documents()
    indexed = time.process_time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    documents.search(questions[0], K)
    rows = [
        {"search": f"preceptor, {way}", **timed(lambda q, way=way: documents.search(q, K, way=way), questions)}
        for way in ("fused", "lexical", "dense")
    ]
    tenth = partial(documents.search, k=K, filters={"part": "3"})
    rows.append({"search": "preceptor, fused, in one document of ten", **timed(tenth, questions)})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows += fts5(texts, questions)
    encoding = timed(lambda q: planted([q]), questions)
    size = index.size()
    about = {
        "chunks": size["chunks"],
        "encoded": ENCODED,
        "index_megabytes": round(size["bytes"] / 1e6),
        "peak_megabytes": round(peak / 1024),
        "peak_megabytes_before_searching": round(before / 1024),
        "of_which_encoding_p50_cpu_ms": encoding["p50_cpu_ms"],
        "chunks_kept_a_cpu_second": round(CHUNKS / (kept - begun)),
        "chunks_indexed_a_cpu_second_without_encoding": round(CHUNKS / (indexed - kept)),
        "chunks_encoded_a_cpu_second": round(planted.rate, 1),
        "load": round(os.getloadavg()[0], 1),
    }
    found = {"speed": rows, "exactness": exactness(project, questions[:50]), **about, "change": changed(documents, planted, texts)}
    project.close()
    return found


def fts5(texts: Sequence[str], questions: Sequence[str]) -> list[dict[str, Any]]:
    """The same chunks in SQLite's own index, by its own ranking: any of a question's words, as ours."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE found USING fts5(text, tokenize='porter unicode61')")
    connection.executemany("INSERT INTO found(text) VALUES (?)", ((text,) for text in texts))
    connection.execute("INSERT INTO found(found) VALUES ('optimize')")

    def ask(question: str) -> Any:
        words = " OR ".join(f'"{word}"' for word in dict.fromkeys(extract_terms(question)))
        return connection.execute("SELECT rowid FROM found WHERE found MATCH ? ORDER BY rank LIMIT ?", (words, K)).fetchall()

    return [{"search": "SQLite FTS5, lexical", **timed(ask, questions[:100])}]


def exactness(project: Project, questions: Sequence[str]) -> list[dict[str, Any]]:
    """How many of the ten best of a plain matrix product in float64 a search by meaning gives."""
    index = open_index(project)
    with project.database.reading() as connection:
        keys = np.array([row["pk"] for row in rows_of.list_active(connection)])
    segments = list(index._load_segments().values())
    vectors = np.concatenate([np.asarray(each.vectors, dtype=np.float64) for each in segments])
    chunks = np.concatenate([each.chunks for each in segments])
    shares = []
    for question in questions:
        scores = vectors @ normalize_vectors(index.encode([question]))[0].astype(np.float64)  # type: ignore[misc]
        best = set(chunks[np.argsort(-scores)[:K]].tolist())
        shares.append(len(best & {key for key, _ in index.search(question, keys, K, way="dense")}) / K)
    return [{"recall_at_10_against_exact": float(np.mean(shares)), "least": min(shares), "questions": len(questions)}]


def changed(documents: DocumentLibrary, planted: Planted, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Another version of a document of 200 chunks, of which one says something else."""
    planted.counted = 0
    changed = ["The new paragraph says what no other one of them says. " * 12, *texts[1:PER_DOCUMENT]]
    begun, used = time.perf_counter(), time.process_time()
    documents.add("\n\n".join(changed).encode(), name="000000.txt")
    row = {"chunks": PER_DOCUMENT, "encoded": planted.counted, "seconds": round(time.perf_counter() - begun, 2)}
    return [{**row, "cpu_seconds": round(time.process_time() - used, 2)}]


def quality(folder: Path) -> dict[str, Any]:
    """Recall and nDCG on real questions, all encoded by minilm."""
    return {"quality": [row for corpus in corpora() for row in found_in(folder, corpus)]}


def found_in(folder: Path, corpus: Corpus) -> list[dict[str, Any]]:
    project = Project.create(folder / corpus.name)
    documents = DocumentLibrary(project)
    for name, text in corpus.texts.items():
        documents.add(text.encode(), name=name, index=False)
    documents.index_documents(lambda done, total: print(f"{corpus.name}: {done} of {total}", file=sys.stderr))
    asked = corpus.some(ASKED)
    queries = [{"id": id_, "query": text, "group": name} for id_, text, name in asked]
    qrels = [{"query": id_, "document": name, "relevance": 1} for id_, _, name in asked]
    for name, lines in (("queries", queries), ("qrels", qrels)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    rows = measure_retrieval(project, qrels=folder / "qrels.jsonl", queries=folder / "queries.jsonl", ks=(1, 5, 10))["rows"]
    chunks = open_index(project).size()["chunks"]
    project.close()
    wanted = ("way", "k", "recall", "ndcg")
    about = {"corpus": corpus.name, "documents": len(corpus.texts), "chunks": chunks, "questions": len(asked)}
    return [{**about, **{name: row[name] for name in wanted}} for row in rows]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        only = sys.argv[1:]
        found = {} if only == ["quality"] else speed(Path(name))
        found |= {} if only == ["speed"] else quality(Path(name))
    print(json.dumps(found))
