"""Rows per second and peak memory of importing a CSV file of a million items, and of items with a judgment a row.

The promise: a million rows in under 500 MB. Run: python -m benches.import_rows [ROWS]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preceptor import Project

ROWS = 1_000_000
KINDS = {"items": {}, "items with judgments": {"question": "sentiment", "label": "answer", "annotator": "who"}}


def lines(count: int) -> Iterator[str]:
    """A header and rows as an import has them: an id, a group, a sentence, who said what."""
    yield "id,group,text,answer,who\n"
    for n in range(count):
        answer = ("negative", "neutral", "positive")[n % 3]
        yield f'i-{n},g-{n // 10},"Sentence {n}, with some more words to it, as reviews have them.",{answer},person-{n % 97}\n'


def measure(kind: str, file: str) -> dict[str, Any]:
    """Import the file into a new project in this process, and say what it took."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project.create(Path(folder) / "project")
        project.add_question("sentiment", "choice", ["negative", "neutral", "positive"])
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


def run(count: int = ROWS) -> list[dict[str, Any]]:
    """The bench's table; each import in a process of its own, so that its peak is its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.csv"
        with file.open("w", encoding="utf-8") as out:
            out.writelines(lines(count))
        done = [subprocess.run([sys.executable, __file__, kind, str(file)], capture_output=True, text=True, check=True) for kind in KINDS]
    return [json.loads(each.stdout) for each in done]


if __name__ == "__main__":
    if len(sys.argv) == 3:
        sys.stdout.write(json.dumps(measure(sys.argv[1], sys.argv[2])))
    else:
        sys.stdout.write(json.dumps(run(*map(int, sys.argv[1:])), indent=2) + "\n")
