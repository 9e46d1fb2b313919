"""Real tasks of classification for learning curves: texts with answers, as vectors of MiniLM that are made once and kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.models.base_models import VADER_ASSET, fetch_asset, find_base_folder
from preceptor.pipeline.demo import VADER_FILES, read_recorded_judgments
from preceptor.types import FloatArray, IntArray

SHARED = Path(__file__).parents[2] / "shared" / "data"
HOME = Path(__file__).parents[1] / "bench-results" / "forecasts"
MOST = 2400  # texts of a task
BANKING_GROUPS = 4  # of ten intents each
HELD, FRESH = 0.15, 0.45  # shares of the groups

Labelled = tuple[str, str, str]  # text, answer, group


@dataclass(frozen=True, eq=False)
class Task:
    """vectors (n, d), answer codes (n,), group codes (n,): what may not stand on two sides."""

    name: str
    vectors: FloatArray
    answers: IntArray
    groups: IntArray


def tasks() -> Iterator[Task]:
    """Every task whose data is there."""
    HOME.mkdir(parents=True, exist_ok=True)
    for name in _sources():
        if rows := texts_of(name):
            texts, answers, groups = zip(*rows, strict=True)
            yield Task(name, _vectors(HOME / f"{name}.npy", texts), _codes(answers), _codes(groups))


def texts_of(name: str) -> list[Labelled]:
    """A task's rows, at most MOST of them, in random order; none where its data is missing."""
    rows = _sources()[name]()
    return [rows[at] for at in np.random.default_rng(0).permutation(len(rows))[:MOST]]


def sides(groups: IntArray, seed: int = 1) -> tuple[IntArray, IntArray, IntArray]:
    """Rows to measure the curve on, fresh rows to judge a forecast by, and rows to train on; no group stands on two sides."""
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    place = np.empty(len(order))
    place[order] = np.arange(len(order)) / len(order)
    at = place[groups]
    return tuple(np.flatnonzero((at >= low) & (at < high)) for low, high in ((0, HELD), (HELD, FRESH), (FRESH, 1)))  # type: ignore[return-value]


def _sources() -> dict[str, Callable[[], list[Labelled]]]:
    return {**_recorded(), **_shared()}


def _vectors(path: Path, texts: Sequence[str]) -> FloatArray:
    if not path.exists():
        from preceptor.models.embeddings import embed_texts

        np.save(path, embed_texts(find_base_folder("minilm"), [text[:600] for text in texts]))
    return np.asarray(np.load(path), dtype=np.float64)


def _codes(values: Sequence[str]) -> IntArray:
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


def _recorded() -> dict[str, Callable[[], list[Labelled]]]:
    def rows(name: str) -> list[Labelled]:
        recorded = read_recorded_judgments(fetch_asset(VADER_ASSET), name)
        truth = recorded.true_answers()
        return [(row["text"], truth[row["id"]], row["group"]) for row in recorded.rows]

    return {f"feeling, {name}": lambda name=name: rows(name) for name in VADER_FILES}  # type: ignore[misc]


def _shared() -> dict[str, Callable[[], list[Labelled]]]:
    def simple(path: str, text: Callable[[Any], str], answer: str, group: str = "id") -> Callable[[], list[Labelled]]:
        return lambda: [(text(row), str(row[answer]), str(row[group])) for row in _lines(path)]

    def banking(group: int) -> list[Labelled]:
        rows = _lines("tasks/banking77")
        intents = sorted({row["label"] for row in rows})[group::BANKING_GROUPS][:10]
        return [(row["text"], row["label"], row["id"]) for row in rows if row["label"] in intents]

    refchecker = "claims/refchecker_claims"
    return {
        "finance": simple("tasks/fin_tweets", lambda row: row["text"], "label"),
        "medicine": simple("tasks/pubmedqa", lambda row: f"{row['question']} {row['long_answer']}", "label"),
        "made up or not": simple("claims/halueval_general", lambda row: f"{row['user_query']} {row['chatgpt_response']}", "hallucination"),
        "claims": simple(refchecker, lambda row: " ".join(row["claim"]), "human_label", "example_id"),
        "claims' source": simple(refchecker, lambda row: " ".join(row["claim"]), "dataset", "example_id"),
        "summaries": simple("claims/summedits", lambda row: row["summary"], "label", "doc_id"),
        "summaries' field": simple("claims/summedits", lambda row: row["summary"], "domain", "doc_id"),
        "instructions": simple("general/replay_general", lambda row: f"{row['instruction']} {row['output']}", "source"),
        **{f"bank, part {part + 1}": lambda part=part: banking(part) for part in range(BANKING_GROUPS)},  # type: ignore[misc]
    }


def _lines(folder: str) -> list[dict[str, Any]]:
    path = SHARED / folder / "items.jsonl"
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
