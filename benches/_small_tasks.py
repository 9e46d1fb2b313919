"""Many small tasks from real sets: a bank's clients, each with five intents of its own, and the tasks of LegalBench."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benches._given import Given

from preceptor.errors import UserError
from preceptor.storage.snapshot_rows import SnapshotRow

TASKS = Path(__file__).parents[2] / "shared" / "data" / "tasks"
GENERAL = TASKS.parent / "general" / "replay_general"
INTENTS, OF_CLIENT, MESSAGES = 50, 5, 12  # intents to learn from; intents of a client, and messages of each
CLIENTS, HELD_OUT = 30, 5
WORDS = 30  # of a legal text that are shown, and of what is asked about it: the rest is cut
FOLDS, FEWEST = 3, 4  # of the legal tasks, each held out once; rows of a legal task at least


def items(folder: Path, name: str = "items.jsonl") -> list[dict[str, Any]]:
    if not (folder / name).is_file():
        raise UserError(f"there is no {folder / name}", "this bench needs the shared data")
    with (folder / name).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def clients(seed: int, *, codes: bool = False) -> Given:
    """Clients of a bank. The held-out ones have 25 intents, five each, that no client to learn from has; the others' are drawn.

    codes: a client's answers are not the intents' names but its own codes, 1 to 5, which mean something else for each client.
    """
    by_intent = defaultdict[str, list[str]](list)
    for row in items(TASKS / "banking77"):
        by_intent[row["label"]].append(" ".join(row["text"].split()))
    draws = np.random.default_rng(seed)
    intents = draws.permutation(sorted(by_intent)).tolist()
    known, new = intents[:INTENTS], intents[-HELD_OUT * OF_CLIENT :]
    sides = {
        "train": [draws.choice(known, OF_CLIENT, replace=False).tolist() for _ in range(CLIENTS)],
        "validation": [new[first : first + OF_CLIENT] for first in range(0, len(new), OF_CLIENT)],
    }
    made: dict[str, list[SnapshotRow]] = {side: [] for side in sides}
    for side, of_clients in sides.items():
        for number, wanted in enumerate(of_clients):
            for code, intent in enumerate(wanted, start=1):
                answer = str(code) if codes else intent.replace("_", " ")
                for at in draws.permutation(len(by_intent[intent]))[:MESSAGES]:
                    asked = by_intent[intent][at] if codes else f"What does this customer of a bank want?\n{by_intent[intent][at]}"
                    made[side].append(_row(side, f"{side}-{number}", f"{intent}-{at}", asked, answer))
    if codes:
        return Given(made["train"], made["validation"], tuple(str(code + 1) for code in range(OF_CLIENT)), "nominal")
    return Given(made["train"], made["validation"])


def legal(fold: int) -> Given:
    """The tasks of at least four rows; a third of them, by name, is held out."""
    asked = {task["task"]: task["base_prompt"].strip().partition("\n")[0] for task in items(TASKS / "legalbench_fewshot", "tasks.jsonl")}
    rows = defaultdict[str, list[dict[str, Any]]](list)
    for row in items(TASKS / "legalbench_fewshot"):
        rows[row["task"]].append(row)
    names = np.random.default_rng(0).permutation(sorted(name for name, found in rows.items() if len(found) >= FEWEST)).tolist()
    made: dict[str, list[SnapshotRow]] = {"train": [], "validation": []}
    for number, name in enumerate(names):
        side = "validation" if number % FOLDS == fold else "train"
        for row in rows[name]:
            text = " ".join(str(value) for field, value in row["fields"].items() if field != "document_name")
            made[side].append(_row(side, name, row["id"], f"{_cut(asked[name])}\n{_cut(text)}", str(row["label"]).replace("_", " ")))
    return Given(made["train"], made["validation"])


def general_texts() -> list[Sequence[dict[str, str]]]:
    """Instructions with their answers, of no domain: what the small model is taught from."""
    return [
        [{"role": "user", "content": f"{row['instruction']}\n{row['input']}".strip()}, {"role": "assistant", "content": row["output"]}]
        for row in items(GENERAL)
        if row["output"]
    ]


def _cut(text: str) -> str:
    return " ".join(text.split()[:WORDS])


def _row(side: str, task: str, id_: str, asked: str, answer: str) -> SnapshotRow:
    return SnapshotRow(f"{task}/{id_}", {"prompt": asked}, {answer: 1.0}, 1.0, side, task)
