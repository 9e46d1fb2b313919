"""Making again what rested on judgments that are gone: consensus, snapshots and models, with digests before and after.

Nothing takes another's place by itself: aliases stay where they are, and a person releases a model that was made again. The same
call goes on where a kill stopped it, since a snapshot of the same judgments has the same digest, and a run its own folder.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.project.curating.freezing import freeze_again
from preceptor.project.lineage.going_on import Went, models_in
from preceptor.project.lineage.rows_index import forget
from preceptor.project.told import is_told
from preceptor.project.training import training
from preceptor.snapshots import Snapshot
from preceptor.snapshots.deriving import derive
from preceptor.snapshots.manifest import forget_judgments
from preceptor.snapshots.pooling import end_of
from preceptor.store import erasures, events, questions, records

if TYPE_CHECKING:
    from preceptor.domain import Model
    from preceptor.project.project import Project

AGAIN = "remade"  # what the name of a snapshot that was made again ends with


def remake(
    project: Project,
    rested: Went,
    gone: Collection[int],
    *,
    by: str,
    reason: str,
    progress: training.Listener | None = None,
    left: Mapping[str, str | None] = {},
) -> dict[str, Any]:
    """Make consensus, snapshots and models again without the judgments `gone`, by number; a JSON document of digests before and after.

    rested: what rested on them. left: digests of snapshots that rows were erased from, each with that of what is left, which is made
    again in its place. What can't be made again says why, and the rest is made. Nothing of it is released.
    """
    with project.database.reading() as connection:
        done = erasures.replaced(connection)
        every = records.snapshots(connection), records.models(connection)
    digests = {each["digest"] for each in rested.snapshots}
    snapshots = [row for row in every[0] if row["digest"] in digests]
    models = [row for row in every[1] if row["id"] in rested.models]
    rest = [row for row in every[0] if row["digest"] not in digests], [row for row in every[1] if row["id"] not in rested.models]
    maker = _Maker(project, set(gone), {"by": by, "reason": reason}, progress, left, dict(done), dict(done))
    consensus = [maker.consensus(name) for name in dict.fromkeys(row["question"] for row in snapshots)]
    frozen = [_before(row["digest"], done) or maker.snapshot(row) for row in _first_of_each(snapshots, "digest")]
    trained = [_before(row["id"], done) or maker.model(row) for row in models]
    return {"consensus": consensus, "snapshots": frozen, "models": trained, "untouched": _untouched(project, *rest)}


@dataclass
class _Maker:
    """snapshots, models: by digest or id, what was made in its place; failed: what couldn't be."""

    project: Project
    gone: set[int]
    why: Mapping[str, str]
    progress: training.Listener | None
    left: Mapping[str, str | None]
    snapshots: dict[str, str]
    models: dict[str, str]
    failed: set[str] = field(default_factory=set)

    def consensus(self, question: str) -> dict[str, Any]:
        """The newest consensus of a question, before and after."""
        before = self._newest(question)
        try:
            self.project.consensus(question)
        except UserError as fault:
            return {"question": question, "before": before, "after": None, "why": str(fault)}
        return {"question": question, "before": before, "after": self._newest(question)}

    def snapshot(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        """A snapshot made again, and noted under a name that tells so."""
        before = self.project.load_snapshot(row["digest"])
        told = {"name": row["name"], "before": row["digest"], "rows": len(list(before.rows()))}
        try:
            made = self._frozen(before, row)
        except UserError as fault:
            self.failed |= {row["digest"], before.digest}
            return {**told, "after": None, "why": str(fault)}
        self.snapshots[row["digest"]] = self.snapshots[before.digest] = made.digest
        if made.digest == before.digest:  # what a digest covers is the same; which judgments it rests on isn't
            forget_judgments(self.project.objects, made.digest, self.gone)
            forget(self.project, made.digest)
            made = self.project.load_snapshot(made.digest)
        name = self._note(made, row) if made.digest != before.digest else row["name"]
        rows = list(made.rows())
        left = len({number for each in rows for number in each.lineage} & self.gone)
        return {**told, "after": made.digest, "new_name": name, "rows_after": len(rows), "judgments_left": left}

    def model(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        """A model trained again: the same recipe, options, seed and base, on the snapshot that was made again."""
        told = {"before": row["id"], "snapshot": end_of(self.left.get(row["snapshot"]) or row["snapshot"], self.snapshots)}
        try:
            made = self._trained(row)
        except UserError as fault:
            self.failed.add(row["id"])
            return {**told, "after": None, "why": str(fault)}
        self.models[row["id"]] = made.id
        was = self.project.model(row["id"]).manifest
        return {**told, "after": made.id, "weights_before": was.get("weights"), "weights_after": made.manifest.get("weights")}

    def _frozen(self, before: Snapshot, row: Mapping[Any, Any]) -> Snapshot:
        asked = before.question
        with self.project.database.reading() as connection:
            key, question = questions.version(connection, asked["name"], asked["version"])
            noted = records.consensus_at(connection, key, row["created"])
        numbers = [number for each in before.rows() for number in each.lineage]
        if (
            is_told(question) or noted is None or "together" in before.manifest
        ):  # each row tells what its own file said, whatever others say
            rows = [
                replace(each, lineage=tuple(number for number in each.lineage if number not in self.gone))
                for each in before.rows() if not each.lineage or set(each.lineage) - self.gone
            ]  # fmt: skip
            if not rows:
                raise UserError("nothing is left of it", "there is nothing to make again")
            return derive(self.project.objects, before, rows, {"action": AGAIN, **self.why})
        return freeze_again(self.project, before, max([*numbers, noted["until"]]), self.why)

    def _note(self, made: Snapshot, row: Mapping[Any, Any]) -> str | None:
        with self.project.database.writing() as connection:
            known = {each["name"]: each["digest"] for each in records.snapshots(connection)}
            name = None if row["name"] is None else _free(str(row["name"])[: records.LONGEST_NAME - 20], known, made.digest)
            records.add_snapshot(connection, digest=made.digest, name=name, question=row["question"])
            what = {"digest": made.digest, "before": row["digest"], "name": name, "reason": self.why["reason"]}
            events.record(connection, "snapshot made again", what, actor=self.why["by"])
        return name

    def _trained(self, row: Mapping[Any, Any]) -> Model:
        with self.project.database.reading() as connection:
            run = records.run(connection, row["run"])
        held = self.left.get(run.snapshot, run.snapshot)
        if held is None or held in self.failed:
            raise UserError("its snapshot can't be made again", "train another on a snapshot that is there")
        if lost := sorted(self.failed.intersection({run.base, *models_in(run.options)})):
            raise UserError(f"{lost[0]} can't be made again, which it was made with", "train that anew first")
        digest = end_of(held, self.snapshots)  # its own may have had nothing of it, where its base or teacher had
        placed = self.project.objects.path(run.base)
        base = placed if len(run.base) == 64 and placed.is_dir() else end_of(run.base, self.models)
        options = {name: _renamed(value, self.models) for name, value in run.options.items()}
        snapshot = self.project.load_snapshot(digest)
        return training.train(self.project, run.recipe, snapshot, base, seed=run.seed, progress=self.progress, options=options)

    def _newest(self, question: str) -> str | None:
        with self.project.database.reading() as connection:
            row = records.latest_consensus(connection, questions.get(connection, question)[0])
        return None if row is None else str(row["digest"])


def _untouched(project: Project, snapshots: Iterable[Mapping[Any, Any]], models: Iterable[Mapping[Any, Any]]) -> dict[str, Any]:
    """What had nothing of it, with its digests as its files have them now."""
    return {
        "snapshots": [{"name": row["name"], "digest": project.load_snapshot(row["digest"]).digest} for row in snapshots],
        "models": [{"model": row["id"], "weights": project.model(row["id"]).manifest.get("weights")} for row in models],
    }


def _free(name: str, known: Mapping[str, str], digest: str) -> str:
    """The first of NAME-remade, NAME-remade-2, … that is free, or stands for this digest already."""
    numbered = (f"{name}-{AGAIN}" + (f"-{number}" if number > 1 else "") for number in range(1, len(known) + 2))
    return next(each for each in numbered if known.get(each, digest) == digest)


def _renamed(value: Any, models: Mapping[str, str]) -> Any:
    """An option's value, in which models are named that were made again."""
    if not isinstance(value, str) or not models:
        return value
    return re.sub("|".join(map(re.escape, models)), lambda found: end_of(found.group(), models), value)


def _before(name: str, done: Mapping[str, str]) -> dict[str, Any] | None:
    """What is told of a snapshot or model that was made again earlier; None of others."""
    return {"before": name, "after": end_of(name, done), "made_before": True} if name in done else None


def _first_of_each(rows: Iterable[Mapping[Any, Any]], column: str) -> list[Mapping[Any, Any]]:
    return list({row[column]: row for row in reversed(list(rows))}.values())[::-1]
