"""How many of 5 % planted label errors stand at the head of the review queue, and how long it takes to make.

Run: python -m benches.label_errors [RUNS]. Errors are uniform, or class-dependent: each in one of the three answers whose texts are
nearest. Head: 500 rows of banking77, else as many as were planted. PRECEPTOR_CLEANLAB names a Python that has cleanlab (AGPL, so never a
dependency); it is then run on the same probabilities, in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.models.base_models import find_base_folder
from preceptor.quality.label_errors import find_label_errors
from preceptor.statistics import estimate_mean
from preceptor.training.logistic_regression import cached_text_vectors, predict_out_of_fold

SHARED = Path(__file__).parents[2] / "shared" / "data" / "tasks"
SHARE, HEAD, NEAREST = 0.05, 500, 3
PEER = """
import json, sys, time
import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
given = np.load(sys.argv[1])
started = time.process_time()
find_label_issues(given["said"], given["model"], return_indices_ranked_by=sys.argv[2], n_jobs=1)
seconds = time.process_time() - started
ranked = np.argsort(get_label_quality_scores(given["said"], given["model"], method=sys.argv[2]), kind="stable")
print(json.dumps({"seconds": seconds, "rows": ranked.tolist()}))
"""


def main(runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "vectors"
        parts = [_measured(name, cache, runs) for name in ("banking77", "fin_tweets", "pubmedqa")]
    found = [row for rows, _ in parts for row in rows]
    print(json.dumps({"rows": found, "seconds": [row for _, row in parts]}))


def _measured(name: str, cache: Path, runs: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    texts, answers, truth = _set(name)
    base = find_base_folder("minilm")
    started = time.perf_counter()
    vectors = cached_text_vectors(base, texts, cache)
    made = time.perf_counter()
    cached_text_vectors(base, texts, cache)
    read = time.perf_counter()
    rows, fits = [], []
    for kind in ("uniform", "confusable"):
        shares, wholes, counted, peers = [], [], [], []
        for seed in range(runs):
            said, wrong = _planted(vectors, truth, len(answers), kind, seed)
            began = time.process_time()
            model = predict_out_of_fold(vectors, said, answers=len(answers), seed=seed)
            found = find_label_errors(said, model.probabilities, answers, known=model.known, folds=model.fold)
            fits.append(time.process_time() - began)
            head = HEAD if name == "banking77" else int(wrong.sum())
            shares.append(wrong[found.order[:head]].sum() / wrong.sum())
            wholes.append(wrong[[doubt.row for doubt in found.suspects]].sum() / wrong.sum())
            counted.append(found.error_rate.value)
            peers.append(_peer(said, model.probabilities, wrong, head))
            print(f"{name}, {kind}, seed {seed}: {shares[-1]:.3f}", file=sys.stderr)
        told = {"set": name, "rows": len(texts), "answers": len(answers), "errors": kind, "planted": int(wrong.sum()), "head": head}
        told |= {
            "in the head": estimate_mean(shares).to_dict(),
            "among the suspects": float(np.mean(wholes)),
            "said to be wrong": float(np.mean(counted)),
        }
        if known := [peer for peer in peers if peer]:
            told |= {f"cleanlab, {rank}": float(np.mean([peer[rank] for peer in known])) for rank in known[0]}
        rows.append(told)
    seconds = {"vectors": made - started, "vectors again": read - made, "folds and ranking, processor": float(np.median(fits))}
    return rows, {"set": name, "rows": len(texts), **seconds}


def _set(name: str) -> tuple[list[str], list[str], Any]:
    with (SHARED / name / "items.jsonl").open(encoding="utf-8") as file:
        items = [json.loads(line) for line in file]
    items = [item for item in items if name != "banking77" or item["split"] == "train"]
    texts = [item.get("text") or f"{item['question']}\n{item['long_answer']}" for item in items]  # what answers without reasoning rest on
    answers, truth = np.unique([item["label"] for item in items], return_inverse=True)
    return texts, answers.tolist(), truth


def _planted(vectors: Any, truth: Any, answers: int, kind: str, seed: int) -> tuple[Any, Any]:
    """Answers as said, and which are wrong by our doing."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(truth), int(SHARE * len(truth)), replace=False)
    said = truth.copy()
    if kind == "uniform":
        said[chosen] = (truth[chosen] + rng.integers(1, answers, len(chosen))) % answers
    else:
        centres = np.stack([vectors[truth == answer].mean(axis=0) for answer in range(answers)])
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        near = centres @ centres.T - 3 * np.eye(answers)
        nearest = np.argsort(-near, axis=1)[:, : min(NEAREST, answers - 1)]
        said[chosen] = nearest[truth[chosen], rng.integers(nearest.shape[1], size=len(chosen))]
    return said, said != truth


def _peer(said: Any, model: Any, wrong: Any, head: int) -> dict[str, float] | None:
    """The share of planted errors among the first `head` rows of cleanlab's ranking of all rows."""
    python = os.environ.get("PRECEPTOR_CLEANLAB")
    if not python:
        return None
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given.npz"
        np.savez(given, said=said, model=model)
        for rank in ("self_confidence", "normalized_margin"):
            done = subprocess.run([python, "-c", PEER, str(given), rank], capture_output=True, text=True, check=True)
            rows = json.loads(done.stdout)["rows"][:head]
            found[rank] = float(wrong[rows].sum() / wrong.sum())
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
