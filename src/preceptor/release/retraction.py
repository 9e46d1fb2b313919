"""Preview and carry out the retraction of a person's judgments, and rebuild consensus, snapshots and models without them.

Nothing is replaced automatically: aliases stay where they are, and a person releases a rebuilt model. The same call continues where a kill
stopped it, since a snapshot of the same judgments has the same digest, and a run its own folder. A preview fits the same consensus that
would follow, and compares it with the present one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from preceptor.annotation.implicit_questions import is_implicit
from preceptor.annotation.judgment_set import JudgmentSet
from preceptor.errors import NotFoundError, UserError
from preceptor.release.lineage import DependentArtifacts, find_dependents, find_model_ids, forget_row_index
from preceptor.runs import training
from preceptor.snapshots.builder import rebuild_snapshot
from preceptor.storage import annotation_stats, artifacts, erasures, events, judgment_log, people, questions
from preceptor.storage.snapshot_rows import resolve_merge
from preceptor.storage.snapshots import Snapshot, derive_snapshot, remove_judgments
from preceptor.types import Consensus

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.types import Model


REBUILT_SUFFIX = "remade"  # the suffix of a rebuilt snapshot's name


def rebuild_dependents(
    project: Project,
    rested: DependentArtifacts,
    gone: Collection[int],
    *,
    by: str,
    reason: str,
    progress: training.TrainingListener | None = None,
    left: Mapping[str, str | None] = {},
) -> dict[str, Any]:
    """Rebuild consensus, snapshots and models without the judgments `gone`, by number; return digests before and after as a JSON object.

    rested: what depended on them. left: snapshots that rows were erased from, each with the digest of its remainder, which is rebuilt in
    its place. What can't be rebuilt has a reason, and the rest is rebuilt. None of it is released.
    """
    with project.database.reading() as connection:
        done = erasures.artifact_replacements(connection)
        every = artifacts.list_snapshots(connection), artifacts.list_models(connection)
    digests = {each["digest"] for each in rested.snapshots}
    snapshots = [row for row in every[0] if row["digest"] in digests]
    models = [row for row in every[1] if row["id"] in rested.models]
    rest = [row for row in every[0] if row["digest"] not in digests], [row for row in every[1] if row["id"] not in rested.models]
    maker = _DependentRebuilder(project, set(gone), {"by": by, "reason": reason}, progress, left, dict(done), dict(done))
    consensus = [maker.rebuild_consensus(name) for name in dict.fromkeys(row["question"] for row in snapshots)]
    frozen = [_rebuilt_before(row["digest"], done) or maker.rebuild_snapshot(row) for row in _first_by_column(snapshots, "digest")]
    trained = [_rebuilt_before(row["id"], done) or maker.rebuild_model(row) for row in models]
    return {"consensus": consensus, "snapshots": frozen, "models": trained, "untouched": _list_untouched(project, *rest)}


@dataclass
class _DependentRebuilder:
    """Rebuild artifacts one by one. snapshots, models: digest or id -> its replacement. failed: those that couldn't be rebuilt."""

    project: Project
    removed_judgments: set[int]
    reasons: Mapping[str, str]
    progress: training.TrainingListener | None
    reduced_snapshots: Mapping[str, str | None]
    snapshots: dict[str, str]
    models: dict[str, str]
    failed: set[str] = field(default_factory=set)

    def rebuild_consensus(self, question: str) -> dict[str, Any]:
        """Fit the consensus of a question again; return its digests before and after."""
        before = self._newest_consensus(question)
        try:
            self.project.consensus(question)
        except UserError as fault:
            return {"question": question, "before": before, "after": None, "why": str(fault)}
        return {"question": question, "before": before, "after": self._newest_consensus(question)}

    def rebuild_snapshot(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        """Rebuild a snapshot, and record it under a name that shows so."""
        before = self.project.load_snapshot(row["digest"])
        told = {"name": row["name"], "before": row["digest"], "rows": len(list(before.rows()))}
        try:
            made = self._build_snapshot(before, row)
        except UserError as fault:
            self.failed |= {row["digest"], before.digest}
            return {**told, "after": None, "why": str(fault)}
        self.snapshots[row["digest"]] = self.snapshots[before.digest] = made.digest
        if made.digest == before.digest:  # the content is the same, but the judgments that it rests on aren't
            remove_judgments(self.project.objects, made.digest, self.removed_judgments)
            forget_row_index(self.project, made.digest)
            made = self.project.load_snapshot(made.digest)
        name = self._record_snapshot(made, row) if made.digest != before.digest else row["name"]
        rows = list(made.rows())
        left = len({number for each in rows for number in each.lineage} & self.removed_judgments)
        return {**told, "after": made.digest, "new_name": name, "rows_after": len(rows), "judgments_left": left}

    def rebuild_model(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        """Train a model again: the same recipe, options, seed and base, on the rebuilt snapshot."""
        told = {
            "before": row["id"],
            "snapshot": resolve_merge(self.reduced_snapshots.get(row["snapshot"]) or row["snapshot"], self.snapshots),
        }
        try:
            made = self._train_model(row)
        except UserError as fault:
            self.failed.add(row["id"])
            return {**told, "after": None, "why": str(fault)}
        self.models[row["id"]] = made.id
        was = self.project.model(row["id"]).manifest
        return {**told, "after": made.id, "weights_before": was.get("weights"), "weights_after": made.manifest.get("weights")}

    def _build_snapshot(self, before: Snapshot, row: Mapping[Any, Any]) -> Snapshot:
        asked = before.question
        with self.project.database.reading() as connection:
            key, question = questions.get_version(connection, asked["name"], asked["version"])
            noted = artifacts.consensus_at(connection, key, row["created"])
        numbers = [number for each in before.rows() for number in each.lineage]
        if (
            is_implicit(question) or noted is None or "together" in before.manifest
        ):  # each row has the answer of its own file, whatever other judgments say
            rows = [
                replace(each, lineage=tuple(number for number in each.lineage if number not in self.removed_judgments))
                for each in before.rows() if not each.lineage or set(each.lineage) - self.removed_judgments
            ]  # fmt: skip
            if not rows:
                raise UserError("nothing is left of it", "there is nothing to make again")
            return derive_snapshot(self.project.objects, before, rows, {"action": REBUILT_SUFFIX, **self.reasons})
        return rebuild_snapshot(self.project, before, max([*numbers, noted["until"]]), self.reasons)

    def _record_snapshot(self, made: Snapshot, row: Mapping[Any, Any]) -> str | None:
        with self.project.database.writing() as connection:
            known = {each["name"]: each["digest"] for each in artifacts.list_snapshots(connection)}
            name = (
                None
                if row["name"] is None
                else _free_snapshot_name(str(row["name"])[: artifacts.MAX_SNAPSHOT_NAME_LENGTH - 20], known, made.digest)
            )
            artifacts.add_snapshot(connection, digest=made.digest, name=name, question=row["question"])
            what = {"digest": made.digest, "before": row["digest"], "name": name, "reason": self.reasons["reason"]}
            events.record_event(connection, "snapshot made again", what, actor=self.reasons["by"])
        return name

    def _train_model(self, row: Mapping[Any, Any]) -> Model:
        with self.project.database.reading() as connection:
            run = artifacts.get_run(connection, row["run"])
        held = self.reduced_snapshots.get(run.snapshot, run.snapshot)
        if held is None or held in self.failed:
            raise UserError("its snapshot can't be made again", "train another on a snapshot that is there")
        if lost := sorted(self.failed.intersection({run.base, *find_model_ids(run.options)})):
            raise UserError(f"{lost[0]} can't be made again, which it was made with", "train that anew first")
        digest = resolve_merge(held, self.snapshots)  # its own snapshot may be unaffected where its base or teacher is affected
        placed = self.project.objects.path(run.base)
        base = placed if len(run.base) == 64 and placed.is_dir() else resolve_merge(run.base, self.models)
        options = {name: _replace_model_ids(value, self.models) for name, value in run.options.items()}
        snapshot = self.project.load_snapshot(digest)
        return training.train_model(self.project, run.recipe, snapshot, base, seed=run.seed, progress=self.progress, options=options)

    def _newest_consensus(self, question: str) -> str | None:
        with self.project.database.reading() as connection:
            row = artifacts.latest_consensus(connection, questions.get(connection, question)[0])
        return None if row is None else str(row["digest"])


def _list_untouched(project: Project, snapshots: Iterable[Mapping[Any, Any]], models: Iterable[Mapping[Any, Any]]) -> dict[str, Any]:
    """List the artifacts that weren't affected, with the digests that their files have now."""
    return {
        "snapshots": [{"name": row["name"], "digest": project.load_snapshot(row["digest"]).digest} for row in snapshots],
        "models": [{"model": row["id"], "weights": project.model(row["id"]).manifest.get("weights")} for row in models],
    }


def _free_snapshot_name(name: str, known: Mapping[str, str], digest: str) -> str:
    """Return the first of NAME-remade, NAME-remade-2, … that is free, or names this digest already."""
    numbered = (f"{name}-{REBUILT_SUFFIX}" + (f"-{number}" if number > 1 else "") for number in range(1, len(known) + 2))
    return next(each for each in numbered if known.get(each, digest) == digest)


def _replace_model_ids(value: Any, models: Mapping[str, str]) -> Any:
    """Replace the ids of rebuilt models in an option's value."""
    if not isinstance(value, str) or not models:
        return value
    return re.sub("|".join(map(re.escape, models)), lambda found: resolve_merge(found.group(), models), value)


def _rebuilt_before(name: str, done: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the record of a snapshot or model that was rebuilt earlier; None for others."""
    return {"before": name, "after": resolve_merge(name, done), "made_before": True} if name in done else None


def _first_by_column(rows: Iterable[Mapping[Any, Any]], column: str) -> list[Mapping[Any, Any]]:
    return list({row[column]: row for row in reversed(list(rows))}.values())[::-1]


@dataclass(frozen=True)
class AnswerChange:
    """An item whose most probable answer would change; `after` is None where nobody else has judged it."""

    item: str
    before: Any
    after: Any


@dataclass(frozen=True)
class RetractionEffect:
    """The effect of a retraction on one question: judgments removed, items they are about, and items whose top answer changes."""

    question: str
    judgments: int
    items: int
    changes: Sequence[AnswerChange]

    @property
    def unanswered(self) -> int:
        """The number of items that would be left without any judgment."""
        return sum(change.after is None for change in self.changes)


@dataclass(frozen=True)
class RetractionPreview:
    """The effect of retracting an annotator, question by question; `judgments` in all, including those about retired questions."""

    annotator: str
    judgments: int
    effects: Sequence[RetractionEffect]

    @property
    def changes(self) -> int:
        """The number of items and questions whose top answer would change."""
        return sum(len(effect.changes) for effect in self.effects)


def preview_retraction(project: Project, annotator: str) -> RetractionPreview:
    """Preview what `project.retract` would change now, without writing anything. Raises UserError where there is no such annotator."""
    with project.database.reading() as connection:
        counts = annotation_stats.count_valid_by_question(connection, people.get_key(connection, annotator))
        asked = [question.name for _, question in questions.list_active(connection)]
        standings = [JudgmentSet.load(connection, name) for name in asked if name in counts]
    effects = [effect for standing in standings if (effect := _question_effect(standing, annotator)).judgments]
    return RetractionPreview(annotator, sum(counts.values()), effects)


def _question_effect(standing: JudgmentSet, annotator: str) -> RetractionEffect:
    kept = [row for row, who in enumerate(standing.columns[1]) if who != annotator]
    theirs = {what for what, who in zip(standing.columns[0], standing.columns[1], strict=True) if who == annotator}
    gone = len(standing.columns[0]) - len(kept)
    what, who, said, numbers = standing.columns
    others = ([what[row] for row in kept], [who[row] for row in kept], [said[row] for row in kept], [numbers[row] for row in kept])
    before = _top_answers(standing.fit()) if gone else {}
    after = _top_answers(replace(standing, columns=others).fit()) if kept else {}
    changes = [AnswerChange(item, top, after.get(item)) for item, top in before.items() if after.get(item) != top]
    return RetractionEffect(
        standing.question.name, gone, len(theirs), sorted(changes, key=lambda change: (change.after is None, change.item))
    )


def _top_answers(fitted: Consensus) -> dict[str, Any]:
    return dict(zip(fitted.items, fitted.top, strict=True))


def retract_annotator(
    project: Project, name: str, *, by: str, reason: str, again: bool = False, progress: training.TrainingListener | None = None
) -> dict[str, Any]:
    """Retract all that a person has answered and decided; return what depends on it as a JSON object.

    again: rebuild consensus, snapshots and models without it. The same call again continues where it was stopped.
    """
    count = project.retract(name, by=by, reason=reason)
    if again:
        return {**rebuild_without_annotator(project, name, by=by, reason=reason, progress=progress), "judgments": count}
    return {**find_retraction_dependents(project, name), "judgments": count}


def find_retraction_dependents(project: Project, name: str) -> dict[str, Any]:
    """Find what depends on all that a person has ever answered, retracted or not."""
    return _retraction_document(project, name, _judgment_numbers(project, name))


def was_retracted(project: Project, name: str) -> bool:
    """Return whether a person was ever retracted."""
    return _last_retraction(project, name) is not None


def describe_retraction(project: Project, name: str) -> dict[str, Any]:
    """Describe a retraction: by whom and why, what depends on it, and what was rebuilt since. Raises NotFoundError where there was none."""
    if (last := _last_retraction(project, name)) is None:
        raise NotFoundError(f"{name!r} was never retracted", "see: preceptor people retract --help")
    with project.database.reading() as connection:
        made = erasures.find_erasure(connection, erasures.PERSON, name)
    made = made if made.get("created", 0) >= last["created"] else {}  # not that of an earlier retraction
    return {
        **_retraction_document(project, name, _judgment_numbers(project, name, last["until"])),
        **made,
        "by": last["by"],
        "reason": last["reason"],
    }


def rebuild_without_annotator(
    project: Project, name: str, *, by: str, reason: str, progress: training.TrainingListener | None = None
) -> dict[str, Any]:
    """Rebuild consensus, snapshots and models without what a person had answered when they were retracted.

    Returns digests before and after.
    """
    last = _last_retraction(project, name)
    numbers = _judgment_numbers(project, name, last["until"] if last else 0)
    document, rested = {"annotator": name, "judgments": len(numbers)}, find_dependents(project, numbers)
    made = rebuild_dependents(project, rested, numbers, by=by, reason=reason, progress=progress)
    with project.database.writing() as connection:
        erasures.record_erasures(connection, erasures.PERSON, [name], made, by=by, reason=reason)
    return {**document, "affected": rested.to_dict(), **made}


def _retraction_document(project: Project, name: str, numbers: Sequence[int]) -> dict[str, Any]:
    return {"annotator": name, "judgments": len(numbers), "affected": find_dependents(project, numbers).to_dict()}


def _last_retraction(project: Project, name: str) -> Mapping[Any, Any] | None:
    with project.database.reading() as connection:
        return judgment_log.find_retraction(connection, people.get_key(connection, name))


def _judgment_numbers(project: Project, name: str, until: int | None = None) -> list[int]:
    """List the numbers of a person's judgments, up to `until`."""
    with project.database.reading() as connection:
        given = judgment_log.list_by_annotator(connection, people.get_key(connection, name))
        return [judgment.id for judgment in given if until is None or judgment.id <= until]
