"""Customers' messages and their intents as answers to write: banking77's rows, a small model that has read such messages, who answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benches._small_model import small_decoder

from preceptor.errors import UserError
from preceptor.models.adapters import unwrap_model
from preceptor.models.causal_lm import ChatModel
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.training.drafts import generate_drafts

BANKING = Path(__file__).parents[2] / "shared" / "data" / "tasks" / "banking77"
KEPT = Path(__file__).parents[1] / "bench-results"
INTENTS = 20  # of the 77, those with most messages: with some hundred labels in all, a small model learns no more
VALIDATION, TEST, LONGEST = 80, 300, 12  # rows of each side; tokens of an answer
TAUGHT = 400  # steps of reading


def rows(split: str, *, every: bool = False) -> list[SnapshotRow]:
    """The set's own rows, an intent written as words; of the `INTENTS` most frequent intents, or of every one."""
    path = BANKING / "items.jsonl"
    if not path.is_file():
        raise UserError(f"there is no {path}", "this bench needs the shared data")
    read = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    counts = Counter(each["label"] for each in read if each["split"] == "train")
    taken = {label for label, _ in counts.most_common(None if every else INTENTS)}
    return [
        SnapshotRow(each["id"], {"prompt": each["text"]}, {each["label"].replace("_", " "): 1.0}, 1.0, split, each["id"])
        for each in read
        if each["split"] == split and each["label"] in taken
    ]


def sides(seed: int) -> tuple[list[SnapshotRow], list[SnapshotRow], list[SnapshotRow]]:
    """Rows to label or ask about in the seed's order, validation rows, and the test rows, which are the same for all seeds."""
    draw, test = np.random.default_rng(seed), rows("test")
    train = rows("train")
    train = [train[at] for at in draw.permutation(len(train))]
    return train[VALIDATION:], train[:VALIDATION], [test[at] for at in np.random.default_rng(0).permutation(len(test))[:TEST]]


def small(width: int = 128) -> Path:
    """A model that has read all training messages, as text alone; it knows no intent."""
    return small_decoder(
        [row.content["prompt"] for row in rows("train", every=True)], KEPT / f"banking-small-{width}", steps=TAUGHT, width=width
    )


def right(model: Any, folder: Path, asked: Sequence[SnapshotRow]) -> list[int]:
    """1 where the model's answer is the row's intent, word for word, else 0. folder: whose tokenizer it has."""
    chat = ChatModel(folder, unwrap_model(model).eval())
    said = generate_drafts(chat, asked, max_tokens=LONGEST, samples=0, seed=0)
    found = {draft.id: draft.text for draft in said}
    return [int(found.get(row.id) == next(iter(row.target))) for row in asked]
