"""Seconds from a classifier's probabilities of 100,000 test rows to the report's page: figures, slices, the last release, the page.

Run: python -m benches.report [ROWS]
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from preceptor.evaluation import classification_estimates, confusion_matrix, reliability_points
from preceptor.evaluation.release_bounds import check_slices
from preceptor.evaluation.slices import RowScores, compare_slices, compare_with_previous, slice_properties
from preceptor.reporting.report import Report

ANSWERS = ("negative", "neutral", "positive")
PROMISED = 10.0  # seconds for 100,000 examples
GROUP = 5  # rows of a document
SHOWN = 12  # examples on the page, as project/evaluating/evaluating.py keeps them


def made(rows: int) -> tuple[Any, ...]:
    """Probabilities (rows, 3), truths, groups, metadata and texts of so many rows."""
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=rows)
    scores = rng.normal(size=(rows, 3)) + 2.0 * np.eye(3)[truth]
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    groups = np.array([f"document-{number // GROUP}" for number in range(rows)])
    languages, topics = ("en", "de", "fr", "es"), [f"topic {number}" for number in range(15)]
    metadata = [{"language": languages[number % 4], "topic": topics[number % 15], "id": number} for number in range(rows)]
    texts = ["word " * (number % 40 + 1) for number in range(rows)]
    return chances, truth, groups, metadata, texts


def run(rows: int) -> dict[str, Any]:
    """Each stage's seconds, and the whole."""
    chances, truth, groups, metadata, texts = made(rows)
    right = (chances.argmax(axis=1) == truth).astype(float)
    seconds: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        found = work()
        seconds[stage] = time.perf_counter() - started
        return found

    figures = timed("figures", lambda: classification_estimates(chances, truth, groups, answers=ANSWERS))
    tables = {"confusion": confusion_matrix(chances, truth, ANSWERS), "reliability": reliability_points(chances, truth)}
    names = timed("names of slices", lambda: slice_properties(metadata, texts))
    sliced = timed("slices", lambda: compare_slices(right, groups, names, figure="accuracy"))
    now = RowScores([f"{number:024x}" for number in range(rows)], ["t"] * rows, {"accuracy": right})
    data = timed("rows kept", now.to_bytes)
    before = RowScores(now.keys[::-1], now.truths, {"accuracy": np.roll(right[::-1], 1)})
    previous = timed("last release", lambda: compare_with_previous(now, before, groups, names))
    wrong = np.flatnonzero(right == 0)[:SHOWN].tolist()
    document = {
        "title": "bench", "models": {"tuned": {**figures, **tables}}, "slices": sliced, "previous": {"model": "m-1", **previous},
        "examples": [{"id": row, "text": texts[row], "model": dict(zip(ANSWERS, chances[row], strict=True))} for row in wrong],
    }  # fmt: skip
    report = timed("document", lambda: Report.from_document(document))
    timed("gate", lambda: check_slices(0.05, report.document["slices"]))
    page = timed("page", report.to_html)
    card = timed("model card", report.to_markdown)
    whole = sum(seconds.values())
    return {
        "rows": [{"stage": stage, "seconds": round(took, 3)} for stage, took in seconds.items()],
        "examples": rows,
        "seconds": round(whole, 2),
        "promised_seconds": PROMISED,
        "kept": whole <= PROMISED,
        "slices_tested": len(sliced["found"]),
        "page_kilobytes": len(page) // 1024,
        "card_kilobytes": len(card) // 1024,
        "rows_kept_megabytes": round(len(data) / 1e6, 1),
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000), indent=2) + "\n")
