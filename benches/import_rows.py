"""Rows per second and peak memory of importing a million items, items with a judgment a row, and items with all their judgments.

The promise: a million rows in under 500 MB. Run: python -m benches.import_rows [--rows ROWS] [--before COMMIT]; with a commit, plain
tables are imported by its code too, and the ratio of the speeds is told.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROWS = 1_000_000
HERE = Path(__file__).resolve().parents[1]
TOLD = {"question": "sentiment", "label": "answer", "annotator": "who"}
KINDS: dict[str, dict[str, str]] = {"items": {}, "items with judgments": TOLD, "items with all their judgments": {}}
NEW = "items with all their judgments"
ANSWERS = ("negative", "neutral", "positive")


def lines(count: int) -> Iterator[str]:
    """A header and rows as an import has them: an id, a group, a sentence, who said what."""
    yield "id,group,text,answer,who\n"
    for n in range(count):
        yield f'i-{n},g-{n // 10},"Sentence {n}, with some more words to it, as reviews have them.",{ANSWERS[n % 3]},person-{n % 97}\n'


def grouped(count: int) -> Iterator[str]:
    """The same as items with their judgments: two people's, when they gave them, and a guess."""
    for n in range(count):
        said = [
            {"question": "mood", "kind": "choice", "answer": ANSWERS[(n + k) % 3], "annotator": f"person-{(n + k) % 97}", "seconds": 2.5,
             "time": "2026-01-01T00:00:00+00:00"} for k in range(2)
        ]  # fmt: skip
        guess = {"question": "mood", "kind": "choice", "answer": ANSWERS[n % 3], "model": "m1", "score": 0.8}
        text = f"Sentence {n}, with some more words to it, as reviews have them."
        yield json.dumps({"id": f"i-{n}", "group": f"g-{n // 10}", "text": text, "judgments": said, "predictions": [guess]}) + "\n"


def measure(kind: str, file: str) -> dict[str, Any]:
    """Import the file into a new project in this process, and say what it took."""
    from preceptor import Project

    with tempfile.TemporaryDirectory() as folder:
        project = Project.create(Path(folder) / "project")
        project.add_question("sentiment", "choice", list(ANSWERS))
        started = time.perf_counter()
        report = project.read(file, **KINDS[kind])
        seconds = time.perf_counter() - started
        size = (project.folder / "preceptor.db").stat().st_size
        project.close()
    return {
        "rows": kind,
        "count": report.read,
        "rows_per_second": round(report.read / seconds),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "database_mb": size // 2**20,
    }


def apart(kind: str, file: Path, source: Path) -> dict[str, Any]:
    """`measure` in a process of its own, so that its peak is its own, with the code of a folder."""
    environment = {**os.environ, "PYTHONPATH": str(source / "src")}
    done = subprocess.run(
        [sys.executable, __file__, "measure", kind, str(file)], capture_output=True, text=True, check=True, env=environment
    )
    return dict(json.loads(done.stdout))


def run(count: int = ROWS, before: str = "") -> list[dict[str, Any]]:
    """The bench's table."""
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: Path(folder) / ("rows.jsonl" if kind == NEW else "rows.csv") for kind in KINDS}
        for file, made in ((files[NEW], grouped(count)), (files["items"], lines(count))):
            with file.open("w", encoding="utf-8") as out:
                out.writelines(made)
        if before:
            archive = subprocess.run(["git", "archive", before, "src"], cwd=HERE, capture_output=True, check=True).stdout
            subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        found = []
        for kind, file in files.items():
            row = apart(kind, file, HERE)
            if before and kind != NEW:
                earlier = apart(kind, file, Path(folder))
                row |= {"speed_beside_the_commit_before": round(row["rows_per_second"] / earlier["rows_per_second"], 2)}
                row |= {"peak_mb_of_the_commit_before": earlier["peak_mb"]}
            found.append(row)
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        sys.stdout.write(json.dumps(measure(sys.argv[2], sys.argv[3])))
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--rows", type=int, default=ROWS)
        parser.add_argument("--before", default="", metavar="COMMIT")
        given = parser.parse_args()
        sys.stdout.write(json.dumps(run(given.rows, given.before), indent=2) + "\n")
