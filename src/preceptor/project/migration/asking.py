"""The answers that matter, put before people: old and new side by side, blind, where they differ most."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from preceptor.domain import Estimate, Item, digest_of
from preceptor.evaluation.texts import same, word_f1
from preceptor.project import purposes
from preceptor.project.migration.weighing import Weighed, shown
from preceptor.questions import define
from preceptor.snapshots import Row
from preceptor.statistics import mean
from preceptor.store import items, journal

if TYPE_CHECKING:
    from preceptor.project.project import Project

INSTRUCTIONS = "Which answer is better? They come from two models, in no particular order."
TIE = "tie"
PREFIX = "pair-"


def name_of(source: str) -> str:
    """The question about the answers of a source's successor."""
    return f"successor-{source}"[:200]


def put(project: Project, source: str, weighed: Weighed, most: int) -> int:
    """Ask people about at most so many pairs of answers; how many there are. The same again asks nothing new.

    Which of two answers is the new one is drawn for each item, and the page shows them in an order of its own.
    """
    pairs = _pairs(source, weighed)[:most]
    if not pairs:
        return 0
    question = define({"name": name_of(source), "kind": "compare", "instructions": INSTRUCTIONS, "settings": {"responses": 2}})
    purposes.put(project, replace(question, purpose=question.name), pairs)
    return len(pairs)


def preferred(project: Project, source: str) -> Estimate | None:
    """How often people prefer the new answer, a tie being half; None when nobody has answered."""
    with project.database.reading() as connection:
        if not any(question == name_of(source) for question, *_ in journal.counts(connection)):
            return None
    found = project.consensus(name_of(source))
    judged = [at for at, count in enumerate(found.judgment_counts) if count and str(found.items[at]).startswith(PREFIX)]
    if not judged:
        return None
    with project.database.reading() as connection:
        keys = items.keys(connection, [found.items[at] for at in judged])
        groups = [items.by_key(connection, keys[found.items[at]]).group for at in judged]
    column = {answer: at for at, answer in enumerate(found.answers)}
    values = [found.posterior[at, column[_new_side(found.items[at])]] + found.posterior[at, column[TIE]] / 2 for at in judged]
    return mean(np.array(values), clusters=np.array(groups))


def _pairs(source: str, weighed: Weighed) -> list[Item]:
    """Pairs that differ, those with the least in common first."""
    found = []
    for row, old, new in zip(weighed.rows, weighed.texts.get("hosted", ()), weighed.texts["tuned"], strict=False):
        if same(old) != same(new) and old.strip() and new.strip():
            found.append((word_f1(new, old), row.id, _pair(source, row, old, new)))
    return [item for _, _, item in sorted(found, key=lambda each: each[:2])]


def _pair(source: str, row: Row, old: str, new: str) -> Item:
    id_ = PREFIX + digest_of([source, row.id, old, new])[:16]
    return Item(id_, {"prompt": shown(row), "responses": [old, new] if _new_side(id_) else [new, old]}, row.group)


def _new_side(item: str) -> int:
    """Where the new answer stands among an item's responses: nothing that the page shows tells it."""
    return hashlib.sha256(item.encode()).digest()[0] % 2
