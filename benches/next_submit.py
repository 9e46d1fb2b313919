"""next + submit through the library from several processes on one SQLite file: judgments a second, and nobody over-assigned."""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from preceptor import Project
from preceptor.storage import slots

SECONDS = 8.0
PROCESSES = 4


def measure(items: int) -> dict[str, Any]:
    """Judgments a second by PROCESSES processes for SECONDS, over a project of so many items."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project.create(Path(folder) / "project", redundancy={"min_judgments": 3, "max_judgments": 3})
        project.add_question("q", "choice", ["no", "yes"])
        project.add_items({"id": f"i-{n}", "text": f"text {n}"} for n in range(items))
        context = multiprocessing.get_context("spawn")
        counts = context.Queue()
        start = context.Barrier(PROCESSES)
        workers = [context.Process(target=work, args=(str(project.folder), f"ann-{n}", start, counts)) for n in range(PROCESSES)]
        for worker in workers:
            worker.start()
        done = [counts.get() for _ in workers]
        for worker in workers:
            worker.join()
        with project.database.reading() as connection:
            found = slots.counts_by_item(connection, 1)
        project.close()
    return {
        "items": items,
        "processes": PROCESSES,
        "judgments_per_second": round(sum(count / seconds for count, seconds in done)),
        "over_assigned": sum(each.judgment_count > each.target_count for each in found.values()),
        "lost": sum(count for count, _ in done) - sum(each.judgment_count for each in found.values()),
    }


def work(folder: str, annotator: str, start: Any, counts: Any) -> None:
    project = Project.open(folder)
    start.wait()
    began, count = time.perf_counter(), 0
    project.add_annotator(annotator)
    while time.perf_counter() - began < SECONDS and (slot := project.next(annotator)) is not None:
        project.submit(slot.slot, annotator, "yes", key=f"{annotator}/{slot.slot}")
        count += 1
    counts.put((count, time.perf_counter() - began))


def run() -> list[dict[str, Any]]:
    """The bench's table."""
    return [measure(items) for items in (20_000, 200_000)]


if __name__ == "__main__":
    import json

    sys.stdout.write(json.dumps(run(), indent=2) + "\n")
