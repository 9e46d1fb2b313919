"""What judgments, documents and items went on into: snapshots, models, and what these have answered and are called by."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.project.lineage.rows_index import rows_resting_on
from preceptor.store import aliases, erasures, provenance, records

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

_MODEL = re.compile(r"m-[0-9a-zA-Z]+")


@dataclass(frozen=True)
class Went:
    """What rests on something. snapshots: name, digest, and how many rows do. models: ids, in order of creation, the earlier ones first.

    aliases: name -> model, of those that name one of the models now. answers: how many kept answers the models gave.
    decided: models about whose release somebody decided.
    """

    snapshots: Sequence[Mapping[str, Any]]
    models: Sequence[str]
    aliases: Mapping[str, str]
    answers: int
    decided: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """A JSON document."""
        return {
            "snapshots": [dict(each) for each in self.snapshots],
            "models": list(self.models),
            "aliases": dict(self.aliases),
            "answers": self.answers,
            "decided_about": list(self.decided),
        }


def went(project: Project, numbers: Collection[int], *, snapshots: Collection[str] = (), documents: Collection[str] = ()) -> Went:
    """Where judgments (by number) went; or what was made of these snapshots, or learnt from documents, all by digests."""
    with project.database.reading() as connection:
        rows, models, left = records.snapshots(connection), records.models(connection), erasures.left(connection)
    counted = {digest: rows_resting_on(project, digest, numbers) for digest in dict.fromkeys(row["digest"] for row in rows)}
    resting = [
        {"name": row["name"], "digest": row["digest"], "rows": counted[row["digest"]]}
        for row in rows if counted[row["digest"]] or row["digest"] in snapshots
    ]  # fmt: skip
    digests = {each["digest"] for each in resting}
    direct = {
        row["id"] for row in models
        if left.get(row["snapshot"], row["snapshot"]) in digests or any(digest in row["manifest"] for digest in documents)
    }  # fmt: skip
    parents = {row["id"]: parents_of(row) for row in models}
    learnt = [row["id"] for row in models if row["id"] in direct or direct & set(line_of(parents, row["id"]))]
    with project.database.reading() as connection:
        named = {alias: model for alias, model in aliases.models(connection).items() if model in learnt}
        answers = sum(provenance.answers_by(connection, learnt).values())
        decided = [release.model for release in records.releases(connection) if release.model in learnt]
    return Went(resting, learnt, named, answers, decided)


def parents_of(model: Mapping[Any, Any]) -> tuple[str, ...]:
    """The models that a model was made with: its base, and those that its options name (a teacher, a reward, an encoder)."""
    manifest = json.loads(model["manifest"])
    return tuple(dict.fromkeys([manifest["base"], *models_in(manifest.get("options", {}))]))


def models_in(options: Mapping[str, Any]) -> list[str]:
    """What looks like the id of a model trained here among options: a teacher, a reward, an encoder."""
    return _MODEL.findall(json.dumps(options))


def line_of(parents: Mapping[str, Sequence[str]], model: str) -> Iterator[str]:
    """All models of the project that a model was made with, and those that these were made with."""
    seen, left = {model}, list(parents[model])
    while left:
        if (parent := left.pop(0)) in parents and parent not in seen:
            seen.add(parent)
            left += parents[parent]
            yield parent


def bases(connection: Connection) -> dict[str, str]:
    """What each model was trained from, by its id."""
    return {row["id"]: json.loads(row["manifest"])["base"] for row in records.models(connection)}
