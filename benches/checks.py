"""Seconds that each check of a set takes on 100,000 rows, without making vectors, and beside cleanlab where it is at hand.

Run: python -m benches.checks [ROWS]. PRECEPTOR_CLEANLAB names a Python that has cleanlab (AGPL, so never a dependency).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benches.label_errors import PEER

from preceptor.consensus.judgments import Judgments
from preceptor.quality.annotator_bias import find_rating_biases
from preceptor.quality.annotator_disagreement import find_confusions
from preceptor.quality.balance import check_balance
from preceptor.quality.covariate_shift import detect_covariate_shift
from preceptor.quality.drift import batches_by_time, detect_drift
from preceptor.quality.label_errors import find_label_errors

ANSWERS, WIDTH, PEOPLE, LIVE, GROUPS = 10, 384, 40, 2_000, 20_000


def main(rows: int) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(ANSWERS, size=rows)
    said = np.where(rng.random(rows) < 0.05, rng.integers(ANSWERS, size=rows), truth)
    logits = rng.normal(size=(rows, ANSWERS)) + 5 * np.eye(ANSWERS)[truth]
    model = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    groups = rng.integers(GROUPS, size=rows)
    names = [f"answer {number}" for number in range(ANSWERS)]
    who, item = rng.integers(PEOPLE, size=3 * rows), np.repeat(np.arange(rows), 3)
    answer = np.where(rng.random(3 * rows) < 0.85, truth[item], rng.integers(ANSWERS, size=3 * rows))
    lengths = rng.lognormal(3, 0.5, rows).round()
    vectors, live = rng.normal(size=(rows, WIDTH)), rng.normal(size=(LIVE, WIDTH))
    slices = {"language": rng.choice(["en", "de", "fr"], rows).tolist(), "channel": rng.choice(5, rows).tolist()}
    checks: dict[str, Callable[[], Any]] = {
        "label errors": lambda: find_label_errors(said, model, names, groups=groups).suspects,
        "people's confusions, 3 judgments a row": lambda: find_confusions(Judgments.from_columns(item=item, annotator=who, answer=answer)),
        "people's biases, 3 ratings a row": lambda: find_rating_biases(who, item, answer.astype(float)),
        "drift of 10 batches, answers and lengths": lambda: detect_drift(
            batches_by_time(np.arange(rows), 10), labels=said, lengths=lengths, groups=groups
        ),
        f"{LIVE:,} live texts against the set": lambda: detect_covariate_shift(vectors, live, groups=groups),
        "balance, two fields of metadata": lambda: check_balance([names[number] for number in said], groups=groups, slices=slices),
    }
    found = []
    for name, check in checks.items():
        started, worked = time.perf_counter(), time.process_time()
        check()
        times = {"seconds": time.perf_counter() - started, "processor seconds": time.process_time() - worked}
        found.append({"check": name, "rows": rows, **{unit: round(taken, 2) for unit, taken in times.items()}})
        print(found[-1], file=sys.stderr)
    found.append({"check": "all", "rows": rows, **{unit: round(sum(each[unit] for each in found), 2) for unit in times}})
    peer = _peer(said, model)
    ratio = found[0]["processor seconds"] / peer if peer else 0.0
    beside = {"cleanlab find_label_issues, processor seconds": peer, "ratio, our label errors to cleanlab": ratio} if peer else {}
    print(json.dumps({"rows": found, **beside}))


def _peer(said: Any, model: Any) -> float | None:
    python = os.environ.get("PRECEPTOR_CLEANLAB")
    if not python:
        return None
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given.npz"
        np.savez(given, said=said, model=model)
        done = subprocess.run([python, "-c", PEER, str(given), "self_confidence"], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["seconds"])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
