"""Training the successor: on the rows, on the hosted model's answers, or on both; the best is the one that validation likes most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain import Estimate, Model, digest_of
from preceptor.evaluation.texts import labels_of, same, word_f1
from preceptor.project.migration.gathering import Gathered, rows_of
from preceptor.project.migration.preferring import BY_PAIRS, freeze_pairs
from preceptor.project.migration.sources import Source
from preceptor.project.migration.teaching import Taught, longest, turns
from preceptor.project.told import COMPLETION
from preceptor.providers import LocalProvider
from preceptor.recipes import Progress
from preceptor.snapshots import Row, Snapshot, check_rows, write_snapshot
from preceptor.statistics import mean
from preceptor.store import events, records

if TYPE_CHECKING:
    from preceptor.project.project import Project


@dataclass(frozen=True)
class Variant:
    """A model, what it was trained on, and how good its answers to validation rows are (exact match of labels, else word F1)."""

    train_on: str
    model: Model
    snapshot: Snapshot
    score: Estimate


def wanted(train_on: str, taught: Taught | None) -> list[str]:
    """What is trained: of `best` each of the three, without a teacher the rows alone."""
    if taught is None or not taught.items:
        return ["rows"]
    return ["rows", "teacher", "both"] if train_on == "best" else [train_on]


def train(
    project: Project, source: Source, gathered: Gathered, taught: Taught | None, train_on: str, base: str, *,
    seed: int, options: Mapping[str, Any], tell: Callable[[Progress], None],
) -> list[Variant]:  # fmt: skip
    """Each variant, the best first; what an earlier start has trained is there at once."""
    if source.method == "dpo":
        snapshot = freeze_pairs(project, source, gathered)
        model = project.train("dpo", snapshot=snapshot, base=base, seed=seed, progress=tell, **{**BY_PAIRS, **options})
        return [Variant("rows", model, snapshot, score(model, gathered, source.folder))]
    found = []
    for name in wanted(train_on, taught):
        snapshot = freeze(project, gathered, taught, name)
        model = project.train("sft", snapshot=snapshot, base=base, seed=seed, progress=tell, **options)
        found.append(Variant(name, model, snapshot, score(model, gathered, source.folder)))
    return sorted(found, key=lambda variant: -variant.score.value)


def freeze(project: Project, gathered: Gathered, taught: Taught | None, train_on: str) -> Snapshot:
    """A snapshot whose training rows are those of the variant; the others are the same for all."""
    rows = [row for row in gathered.rows if train_on != "teacher" or row.split != "train"]
    about = dict(gathered.about)
    if train_on != "rows" and taught is not None:
        known = {row.id for row in rows}
        fresh = {id_: item for id_, item in taught.items.items() if id_ not in known}
        rows += rows_of(project, fresh, {"train": 1.0})[0] if fresh else []
        about |= {"checks": check_rows(rows)}
    rows = sorted(rows, key=lambda row: (row.split, row.text, row.id))
    made = write_snapshot(project.objects, COMPLETION, (), rows, {**about, "method": f"migration: {train_on}"})
    with project.database.writing() as connection:
        records.add_snapshot(connection, digest=made.digest, name=None, question=COMPLETION.name)
        events.record(connection, "snapshot created", {"digest": made.digest, "migration": train_on})
    return made


def score(model: Model, gathered: Gathered, folder: Path) -> Estimate:
    """How good a model's answers to the validation rows are; the answers are kept in the folder."""
    from preceptor.recipes.folder import remembered

    rows, most = gathered.side("validation"), longest(gathered.rows)
    place = folder / f"validated-{model.id}-{digest_of([[row.id for row in rows], most])[:12]}.json"
    texts = remembered(place, lambda: written(LocalProvider(model.path), rows, most))
    labelled = bool(labels_of([row.answer for row in gathered.side("train")]))
    each = (lambda text, ref: float(same(text) == same(ref))) if labelled else word_f1
    values = np.array([each(text, row.answer) for text, row in zip(texts, rows, strict=True)])
    return mean(values, clusters=np.array([row.group for row in rows]))


def written(provider: LocalProvider, rows: Sequence[Row], max_tokens: int) -> list[str]:
    """A local model's answers; an empty one to a question that doesn't fit into what it reads."""
    fitting = [row for row in rows if provider.fits(turns(row))]
    given = provider.write([turns(row) for row in fitting], max_tokens=max_tokens)
    by_id = {row.id: text for row, text in zip(fitting, given, strict=True)}
    return [by_id.get(row.id, "") for row in rows]
