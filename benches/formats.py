"""Rows per second and peak memory of writing and reading each format, also at a tenth of the rows; tables beside their plain library.

The promise: a million rows of any format are read and written in memory that doesn't grow with them, CSV in under 500 MB.
Run: python -m benches.formats [--rows ROWS] [FORMAT…]. A format that is a folder of files has a hundredth of the rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from preceptor.formats import read, write
from preceptor.formats.format_registry import formats

ROWS = 1_000_000
TABLES = ("csv", "json", "jsonl", "parquet", "tsv")
TAUGHT = ("openai_chat", "trl", "alpaca", "sharegpt")


def rows(name: str, count: int) -> Iterator[dict[str, Any]]:
    """Rows as the format's users have them: a sentence and what somebody said of it, a question and its answer, a plain table."""
    make = _table if name in TABLES else _taught if name in TAUGHT else _OTHERS.get(name, _judged)
    return (make(n) for n in range(count))


def _table(n: int) -> dict[str, Any]:
    return {"id": f"i-{n}", "text": f'Sentence {n}, "said" with some more words to it. é', "label": "good", "score": n % 9}


def _judged(n: int) -> dict[str, Any]:
    said = {"question": "quality", "kind": "choice", "answer": ("good", "bad")[n % 2], "annotator": f"p{n % 97}"}
    text = f'Sentence {n}, "said" with some more words to it. é'
    return {"id": f"i-{n}", "text": text, "judgments": [{**said, "time": "2026-01-01T00:00:00+00:00"}]}


def _taught(n: int) -> dict[str, Any]:
    return {"prompt": f"What of sentence {n}?", "completion": f"It is sentence {n}, with some more words to it. é"}


def _liked(n: int) -> dict[str, Any]:
    return {**_taught(n), "judgments": [{"question": "thumbs", "kind": "choice", "answer": ("up", "down")[n % 2]}]}


def _preferred(n: int) -> dict[str, Any]:
    said = {"question": "preferred", "kind": "compare", "answer": {"winner": 0, "order": None, "reasons": ""}}
    return {"prompt": f"What of sentence {n}?", "responses": [f"It is sentence {n}, with some more words.", "No."], "judgments": [said]}


def _marked(n: int) -> dict[str, Any]:
    spans = [{"start": 0, "end": 5, "label": "Evident Conflict"}]
    text = f"Built in {n}, with some more words to it. é"
    return {"id": f"i-{n}", "text": text, "judgments": [{"question": "hallucinations", "kind": "spans", "answer": spans}]}


_OTHERS: dict[str, Callable[[int], dict[str, Any]]] = {"kto": _liked, "openai_preference": _preferred, "ragtruth": _marked}


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


PLAIN: dict[str, Callable[[Path], int]] = {"csv": plain_csv, "jsonl": plain_jsonl, "json": plain_json, "parquet": plain_parquet}


def measure(name: str, path: Path, how: str, count: int) -> None:
    """Write or read a file in this process and print what it took."""
    started = time.perf_counter()
    if how == "write":
        done = write(rows(name, count), path, name)
    else:
        done = sum(1 for _ in read(path, name)) if how == "read" else PLAIN[name](path)
    seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"rows_per_second": round(done / seconds), "peak_mb": peak // 1024}))


def apart(name: str, path: Path, how: str, count: int) -> dict[str, int]:
    """`measure` in a process of its own, so that its peak is its own."""
    command = [sys.executable, __file__, "measure", name, str(path), how, str(count)]
    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def of_format(name: str, count: int) -> dict[str, Any]:
    """The bench's row for a format: at so many rows, and the peaks at a tenth of them."""
    chosen = formats.get(name)
    count = max(10, count // 100) if chosen.writes_folder else count
    with tempfile.TemporaryDirectory() as folder:
        few, path = Path(folder) / "few", Path(folder) / "all"
        small = {how: apart(name, few, how, count // 10)["peak_mb"] for how in ("write", "read")}
        found = {how: apart(name, path, how, count) for how in ("write", "read")}
        plain = apart(name, path, "plain", count) if name in PLAIN else None
    row: dict[str, Any] = {"format": name, "rows": count}
    for how in ("write", "read"):
        row |= {f"{how}_rows_per_second": found[how]["rows_per_second"], f"{how}_peak_mb": found[how]["peak_mb"]}
        row[f"{how}_peak_mb_at_a_tenth"] = small[how]
    return row | (
        {"read_speed_beside_the_plain_library": round(found["read"]["rows_per_second"] / plain["rows_per_second"], 2)} if plain else {}
    )


def main() -> None:
    """Measure all formats, or those that are named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("formats", nargs="*", default=list(formats.names()))
    given = parser.parse_args()
    found = []
    for name in given.formats:
        found.append(of_format(name, given.rows))
        print(found[-1], file=sys.stderr)
    print(json.dumps({"rows": found, "machine": f"{platform.machine()}, {os.cpu_count()} cores"}, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], Path(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
    else:
        main()
