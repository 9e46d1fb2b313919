"""Estimate accuracy against experts by prediction-powered inference on a random part of the test rows.

A consensus is only more or less probable, and a model that repeats people's errors counts as right. Experts' answers on a random part, with
the people's probabilities of the model's answers on all rows, give the accuracy that experts would find on all (prediction-powered; see
`preceptor.statistics.ppi_mean`). Nothing is assumed about the people: they only narrow the interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.annotation.judgment_set import JudgmentSet
from preceptor.errors import UserError
from preceptor.evaluation.faithfulness import AuditLook, plan_looks, shuffle_by_hash
from preceptor.questions import kinds
from preceptor.statistics import estimate_at_interim, ppi_mean
from preceptor.storage import events, people, slots
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.storage.snapshots import Snapshot
from preceptor.types import Estimate, FloatArray

if TYPE_CHECKING:
    from preceptor.project import Project


EXPERT_ROLES = ("expert", "owner")


@dataclass(frozen=True)
class ExpertSample:
    """The test rows in the order in which experts are asked about them.

    expert_answers: what experts decided, by item. tied_items: those on which experts are tied. judgment_set: what all people answered.
    experts: the names of the experts among them.
    """

    rows: Sequence[SnapshotRow]
    expert_answers: Mapping[str, Any]
    tied_items: frozenset[str]
    judgment_set: JudgmentSet
    experts: Set[str]

    @property
    def last_complete_look(self) -> AuditLook | None:
        """The last planned look all of whose rows are decided, or None.

        Further decisions don't count: they are a selection of easy rows, or of rows that somebody chose.
        """
        whole = next((at for at, row in enumerate(self.rows) if row.id not in self.expert_answers), len(self.rows))
        return next((look for look in reversed(self.planned_looks) if look.size <= whole), None)

    @property
    def planned_looks(self) -> tuple[AuditLook, ...]:
        return plan_looks(len(self.rows))

    @property
    def wanted_rows(self) -> Sequence[SnapshotRow]:
        """The rows of the look after the last complete one; the whole sample when all looks are complete."""
        following = next(
            (look for look in self.planned_looks if self.last_complete_look is None or look.number > self.last_complete_look.number),
            self.planned_looks[-1],
        )
        return self.rows[: following.size]


def queue_expert_sample(project: Project, snapshot: Snapshot, *, split: str = "test") -> int:
    """Queue the next planned part of the sample for experts (50 rows, 100, 200, 400); return how many rows wait for them.

    The sample is the same for every model. Raises UserError where there is no expert, or the question is no longer asked.
    """
    with project.database.writing() as connection:
        sample = _load_sample(connection, snapshot, split)
        if not sample.experts:
            raise UserError("there is no expert to decide", "preceptor people invite NAME --role expert")
        key = sample.judgment_set.key
        waiting = [row.id for row in sample.wanted_rows if row.id not in sample.expert_answers]
        slots.escalate(connection, key, dict.fromkeys(waiting, slots.TIERS["expert"]))
        given = slots.counts_by_item(connection, key)
        slots.set_target_counts(connection, key, {item: given[item].judgment_count + 1 for item in waiting if item in sample.tied_items})
        if waiting:
            events.record_event(connection, "test rows put before experts", {"snapshot": snapshot.digest, "items": len(waiting)})
    return len(waiting)


def measure_against_experts(
    project: Project, snapshot: Snapshot, rows: Sequence[SnapshotRow], probabilities: FloatArray, split: str
) -> tuple[Estimate, dict[str, Any]] | None:
    """Estimate the accuracy that experts would find on all rows, with its basis; None until they have decided the first part.

    probabilities: the model's, (rows, answers).
    """
    with project.database.reading() as connection:
        sample = _load_sample(connection, snapshot, split)
    done = sample.last_complete_look
    if done is None:
        return None
    said = {row.id: snapshot.answers[at] for row, at in zip(rows, probabilities.argmax(axis=1), strict=True)}
    chance = _answer_probabilities(_exclude_experts(sample.judgment_set, sample.experts, {row.id for row in rows}), said)
    here, rest = sample.rows[: done.size], sample.rows[done.size :]
    right = [float(str(sample.expert_answers[row.id]) == said[row.id]) for row in here]
    found = estimate_at_interim(
        lambda confidence: ppi_mean(
            right,
            [chance[row.id] for row in here],
            [chance[row.id] for row in rest],
            confidence,
            clusters_on_human=[row.group for row in here],
            clusters_on_rest=[row.group for row in rest],
        ),
        done.total_looks,
    )
    agreed = np.mean([str(sample.expert_answers[row.id]) == row.answer for row in here])
    return found, {"decided": done.size, "rows": len(rows), "consensus_agrees": float(agreed)}


def _load_sample(connection: Any, snapshot: Snapshot, split: str) -> ExpertSample:
    """Load the sample: gold decides, else the majority of the experts who answered; where they are tied, one more is asked."""
    found = list(snapshot.rows(split))
    rows = [found[at] for at in shuffle_by_hash([row.id for row in found], snapshot.digest)]
    standing = JudgmentSet.load(connection, snapshot.question["name"])
    experts = {person.id for person in people.list_annotators(connection) if person.role in EXPERT_ROLES}
    kind, wanted = kinds.get(standing.question.kind), {row.id for row in rows}
    told: dict[str, Counter[Any]] = {}
    for item, who, said, _ in zip(*standing.columns, strict=True):
        if who in experts and item in wanted:
            told.setdefault(item, Counter())[kind.to_consensus_answer(standing.question, said)] += 1
    first = {item: answers.most_common(2) for item, answers in told.items()}
    tied = {item for item, most in first.items() if len(most) == 2 and most[0][1] == most[1][1]}
    known = {item: answer for item, answer in standing.gold.items() if item in wanted}
    decided = {item: most[0][0] for item, most in first.items() if item not in tied}
    return ExpertSample(rows, {**decided, **known}, frozenset(tied - set(known)), standing, experts)


def _exclude_experts(standing: JudgmentSet, experts: Set[str], test: set[str]) -> JudgmentSet:
    """Return the judgments without those of experts and without gold of test rows: a row's prediction must not rest on its own truth."""
    kept = [row for row, who in enumerate(standing.columns[1]) if who not in experts]
    what, who, said, numbers = standing.columns
    known = {item: answer for item, answer in standing.gold.items() if item not in test}
    columns = ([what[row] for row in kept], [who[row] for row in kept], [said[row] for row in kept], [numbers[row] for row in kept])
    return replace(standing, columns=columns, gold=known)


def _answer_probabilities(crowd: JudgmentSet, said: Mapping[str, str]) -> dict[str, float]:
    """Return how probable people make each of the model's answers; their mean for a row that only experts have judged."""
    if not crowd.columns[0]:
        return dict.fromkeys(said, 0.5)
    fitted = crowd.fit()
    place, row = {str(answer): at for at, answer in enumerate(fitted.answers)}, {item: at for at, item in enumerate(fitted.items)}
    known = {item: float(fitted.posterior[row[item], place[answer]]) for item, answer in said.items() if item in row and answer in place}
    usual = float(np.mean(list(known.values()))) if known else 0.5
    return {item: known.get(item, usual) for item in said}
