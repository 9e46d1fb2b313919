"""Real texts to search: PubMedQA's abstracts, the contexts of TAT-QA, each with questions whose own text is the one that answers."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TASKS = Path(os.environ.get("PRECEPTOR_SHARED", Path(__file__).parents[2] / "shared")) / "data" / "tasks"


@dataclass(frozen=True)
class Corpus:
    """texts by name; questions as (id, question, name of the text that answers it)."""

    name: str
    texts: dict[str, str]
    questions: list[tuple[str, str, str]]

    def some(self, count: int) -> list[tuple[str, str, str]]:
        """So many of the questions, drawn once for all."""
        return random.Random(0).sample(self.questions, min(count, len(self.questions)))


def corpora() -> Iterator[Corpus]:
    """Both; the bench ends with a word where the shared data is missing."""
    rows = _rows("pubmedqa")
    texts = {f"{row['id']}.txt": "\n\n".join(row["contexts"]) for row in rows}
    yield Corpus("pubmedqa", texts, [(row["id"], row["question"], f"{row['id']}.txt") for row in rows])
    rows = _rows("tatqa_finance")
    texts = {f"{row['id']}.txt": f"{row['table']}\n\n{row['paragraphs']}" for row in rows}
    asked = [
        (f"{row['id']}-{number}", each["question"], f"{row['id']}.txt") for row in rows for number, each in enumerate(row["questions"])
    ]
    yield Corpus("tatqa_finance", texts, asked)


def _rows(task: str) -> list[dict]:
    path = TASKS / task / "items.jsonl"
    if not path.exists():
        sys.exit(f"{path} is missing: this bench reads real texts that lie beside the repository")
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
