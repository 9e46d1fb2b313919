"""Rows per second and peak memory of reading and writing each format, beside the plain library that each stands on.

The promise: a million CSV rows are read in under 500 MB. Run: python benches/formats.py [ROWS]
"""

from __future__ import annotations

import csv
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from preceptor.formats import read, write

NAMES = ("a.csv", "a.jsonl", "a.json", "a.parquet")


def rows(count: int) -> Iterable[dict[str, object]]:
    """Rows as an import has them: an id, a sentence, a label, a score."""
    return (
        {"id": f"i-{n}", "text": f'Sentence {n}, "said" with some more words to it. é', "label": "good", "score": n % 9}
        for n in range(count)
    )


def plain_csv(path: Path) -> int:
    with path.open(newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.DictReader(file))


def plain_jsonl(path: Path) -> int:
    with path.open(encoding="utf-8") as file:
        return sum(1 for line in file if json.loads(line))


def plain_json(path: Path) -> int:
    return len(json.loads(path.read_text(encoding="utf-8")))


def plain_parquet(path: Path) -> int:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return sum(len(batch.to_pylist()) for batch in file.iter_batches(1024))


def ours(path: Path) -> int:
    return sum(1 for _ in read(path))


PLAIN: dict[str, Callable[[Path], int]] = {"a.csv": plain_csv, "a.jsonl": plain_jsonl, "a.json": plain_json, "a.parquet": plain_parquet}


def measure(path: Path, how: str) -> None:
    """Count the file's rows in this process and print what it took."""
    started = time.perf_counter()
    count = (ours if how == "ours" else PLAIN[path.name])(path)
    seconds = time.perf_counter() - started
    print(json.dumps({"rows_per_second": round(count / seconds), "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


def apart(path: Path, how: str) -> dict[str, int]:
    """`measure` in a process of its own, so that its peak is its own."""
    done = subprocess.run([sys.executable, __file__, "measure", str(path), how], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main(count: int) -> None:
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            path = Path(folder) / name
            started = time.perf_counter()
            write(rows(count), path)
            written = round(count / (time.perf_counter() - started))
            mine, peer = apart(path, "ours"), apart(path, "plain")
            ratio = round(mine["rows_per_second"] / peer["rows_per_second"], 2)
            results.append(
                {"format": name[2:], "write_rows_per_second": written, "read": mine, "plain_library": peer, "read_speed_ratio": ratio}
            )
    print(json.dumps({"rows": results, "count": count, "machine": f"{platform.machine()}, {os.cpu_count()} cores"}, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(Path(sys.argv[2]), sys.argv[3])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
