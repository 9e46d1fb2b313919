"""A model's files as rows: what can be learnt here brought in as items, what can't be left out and counted, sides drawn."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain import Item
from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.formats.atomic import atomic_write
from preceptor.project.jobs.training_files import FEWEST, answer_of, lineage, take_in
from preceptor.project.migration.sources import Source
from preceptor.snapshots import Row
from preceptor.snapshots.completions import text_rows

if TYPE_CHECKING:
    from preceptor.project.project import Project

SIDES = {"train": 0.8, "validation": 0.1, "test": 0.1}  # of a training file that stands alone
HALVES = {"train": 0.5, "validation": 0.5}  # of a validation file: one chooses, the other measures
_REPEATS = "repeats another line"
PREFERRED = (
    "The hosted model was tuned by dpo. Its successor learns the same preferences, and, from a base that hasn't learnt such answers "
    "before, the preferred ones too; it is measured by these."
)
FEWEST_HELD = 10  # rows of a validation file, with which it can be parted


@dataclass(frozen=True)
class Gathered:
    """Items to learn from by id, rows with their sides, how many lines were left out by reason, and what a reader must know."""

    train: Mapping[str, Item]
    rows: tuple[Row, ...]
    about: Mapping[str, Any]
    left_out: Mapping[str, int]
    words: tuple[str, ...]

    def side(self, split: str) -> list[Row]:
        """The rows of a split."""
        return [row for row in self.rows if row.split == split]


def gather(project: Project, source: Source) -> Gathered:
    """Bring a model's files in, and draw the sides; the same files again change nothing.

    With a validation file, half of it measures and half chooses. Without one, a fifth of the training file does, which the hosted
    model has learnt and its successor hasn't.
    """
    left_out: Counter[str] = Counter()
    source.folder.mkdir(parents=True, exist_ok=True)
    train = _taken(project, source, "train", left_out)
    held = _taken(project, source, "validation", left_out) if "validation" in source.roles() else {}
    if len(train) < FEWEST:
        reasons = "; ".join(f"{number} × {why}" for why, number in left_out.most_common(3) if number)
        raise UserError(f"{source.name}: {len(train)} rows can be learnt here, and at least {FEWEST} are needed ({reasons})", "add rows")
    words = [PREFERRED] if source.method == "dpo" else []
    words += [f"{repeats:,} lines repeat others, and are learnt once."] if (repeats := left_out.pop(_REPEATS, 0)) else []
    if shared := train.keys() & held.keys():
        words.append(f"{len(shared):,} rows of the validation file stand in the training file too, and measure nothing.")
        held = {id_: item for id_, item in held.items() if id_ not in shared}
    if 0 < len(held) < FEWEST_HELD:
        words.append(f"The validation file has {len(held)} rows, too few to be parted: they are learnt, like the others.")
        train, held = {**train, **held}, {}
    if held:
        rows, about = rows_of(project, train, {"train": 1.0})
        drawn, more = rows_of(project, held, HALVES)
        sides = {"train": "validation", "validation": "test"}
        rows += [replace(row, split=sides[row.split]) for row in drawn]
        about = {**about, "seed": more["seed"]}
    else:
        rows, about = rows_of(project, train, SIDES)
        words.append(
            "There was no validation file: a fifth of the training file is held out."
            + (
                f" {source.hosted} has learnt those rows, and its successor hasn't: a comparison favours the former."
                if source.job.get("id")
                else ""
            )
        )
    return Gathered(train, tuple(rows), about, dict(left_out), tuple(words))


def rows_of(project: Project, items: Mapping[str, Item], fractions: Mapping[str, float]) -> tuple[list[Row], dict[str, Any]]:
    """Rows of items that end with their answers."""
    texts = {id_: answer_of(item) for id_, item in items.items()}
    return text_rows(items.values(), texts, lineage(project, items.keys()), fractions=fractions, seed=None, all_turns=True)


def write_lines(path: Path, rows: Any) -> None:
    """A file of training rows, whole or not at all."""
    with atomic_write(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _taken(project: Project, source: Source, role: str, left_out: Counter[str]) -> dict[str, Item]:
    """A file's usable rows as items."""
    usable = source.folder / f"{role}.jsonl"
    fitting = []
    for row in read(source.path(role), "jsonl"):
        try:
            fitting.append({"messages": source.conversation(row)})
        except UserError as fault:
            left_out[_reason(fault)] += 1
    write_lines(usable, fitting)
    taken = take_in(project, usable, f"{source.name} ({role})") if fitting else {}
    if source.method == "supervised":  # a preferred answer may stand beside several others
        left_out[_REPEATS] += len(fitting) - len(taken)
    return taken


def _reason(fault: UserError) -> str:
    """Why a row can't be learnt, the same words for the same reason wherever it stands."""
    field = re.sub(r"\[\d+\]", "[…]", fault.where)
    return f"{field}: {fault.message}" if field else fault.message
