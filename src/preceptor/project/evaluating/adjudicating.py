"""Accuracy against experts rather than against a consensus that errs: they decide a random part of the test rows.

A consensus holds each answer for more or less probable, and a model that is wrong where people are wrong passes for right. Experts'
answers on a random part, with the people's own view of the model's answers on all rows, give the accuracy that experts would find
on all (prediction-powered; see `preceptor.statistics.ppi_mean`). Nothing need be true of the people: they only narrow the interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain import Estimate
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.audits import Look, drawn, planned
from preceptor.project.guiding.agreeing import Standing
from preceptor.questions import kinds
from preceptor.snapshots import Row, Snapshot
from preceptor.statistics import at_look, ppi_mean
from preceptor.store import events, people, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project

EXPERTS = ("expert", "owner")


@dataclass(frozen=True)
class Sample:
    """The test rows in the order in which experts are asked about them, what they decided, by item, and on which they are tied.

    standing, experts: what all people answered, and who of them is an expert.
    """

    rows: Sequence[Row]
    decided: Mapping[str, Any]
    tied: frozenset[str]
    standing: Standing
    experts: Set[str]

    @property
    def done(self) -> Look | None:
        """The last planned look all of whose rows are decided. What is decided beyond it counts for nothing: it is what came easily, or
        what somebody chose."""
        whole = next((at for at, row in enumerate(self.rows) if row.id not in self.decided), len(self.rows))
        return next((look for look in reversed(self.looks) if look.size <= whole), None)

    @property
    def looks(self) -> tuple[Look, ...]:
        return planned(len(self.rows))

    @property
    def wanted(self) -> Sequence[Row]:
        """The rows of the look after that; all of the sample when it is done."""
        following = next((look for look in self.looks if self.done is None or look.number > self.done.number), self.looks[-1])
        return self.rows[: following.size]


def ask(project: Project, snapshot: Snapshot, *, split: str = "test") -> int:
    """Hand experts the next planned part of the sample (50 rows, 100, 200, 400), the same for every model; how many rows wait for them.

    UserError when there is no expert, or the question isn't asked any more.
    """
    with project.database.writing() as connection:
        sample = _sample(connection, snapshot, split)
        if not sample.experts:
            raise UserError("there is no expert to decide", "preceptor people invite NAME --role expert")
        key = sample.standing.key
        waiting = [row.id for row in sample.wanted if row.id not in sample.decided]
        slots.climb(connection, key, dict.fromkeys(waiting, slots.TIERS["expert"]))
        given = slots.counts(connection, key)
        slots.want(connection, key, {item: given[item].given + 1 for item in waiting if item in sample.tied})
        if waiting:
            events.record(connection, "test rows put before experts", {"snapshot": snapshot.digest, "items": len(waiting)})
    return len(waiting)


def against_experts(
    project: Project, snapshot: Snapshot, rows: Sequence[Row], probabilities: FloatArray, split: str
) -> tuple[Estimate, dict[str, Any]] | None:
    """The accuracy that experts would find on all rows, and what it rests on; None while they haven't decided the first part.

    probabilities: the model's, (rows, answers).
    """
    with project.database.reading() as connection:
        sample = _sample(connection, snapshot, split)
    done = sample.done
    if done is None:
        return None
    said = {row.id: snapshot.answers[at] for row, at in zip(rows, probabilities.argmax(axis=1), strict=True)}
    chance = _chances(_crowd(sample.standing, sample.experts, {row.id for row in rows}), said)
    here, rest = sample.rows[: done.size], sample.rows[done.size :]
    right = [float(str(sample.decided[row.id]) == said[row.id]) for row in here]
    found = at_look(
        lambda confidence: ppi_mean(
            right,
            [chance[row.id] for row in here],
            [chance[row.id] for row in rest],
            confidence,
            clusters_on_human=[row.group for row in here],
            clusters_on_rest=[row.group for row in rest],
        ),
        done.of,
    )
    agreed = np.mean([str(sample.decided[row.id]) == row.answer for row in here])
    return found, {"decided": done.size, "rows": len(rows), "consensus_agrees": float(agreed)}


def _sample(connection: Any, snapshot: Snapshot, split: str) -> Sample:
    """Gold decides, else what most of the experts who answered say; where they are tied, one more is asked."""
    found = list(snapshot.rows(split))
    rows = [found[at] for at in drawn([row.id for row in found], snapshot.digest)]
    standing = Standing.of(connection, snapshot.question["name"])
    experts = {person.id for person in people.everyone(connection) if person.role in EXPERTS}
    kind, wanted = kinds.get(standing.question.kind), {row.id for row in rows}
    told: dict[str, Counter[Any]] = {}
    for item, who, said, _ in zip(*standing.columns, strict=True):
        if who in experts and item in wanted:
            told.setdefault(item, Counter())[kind.stands_for(standing.question, said)] += 1
    first = {item: answers.most_common(2) for item, answers in told.items()}
    tied = {item for item, most in first.items() if len(most) == 2 and most[0][1] == most[1][1]}
    known = {item: answer for item, answer in standing.gold.items() if item in wanted}
    decided = {item: most[0][0] for item, most in first.items() if item not in tied}
    return Sample(rows, {**decided, **known}, frozenset(tied - set(known)), standing, experts)


def _crowd(standing: Standing, experts: Set[str], test: set[str]) -> Standing:
    """What stands without the experts, and without known answers of test rows: what it makes of a row mustn't rest on its own truth."""
    kept = [row for row, who in enumerate(standing.columns[1]) if who not in experts]
    what, who, said, numbers = standing.columns
    known = {item: answer for item, answer in standing.gold.items() if item not in test}
    columns = ([what[row] for row in kept], [who[row] for row in kept], [said[row] for row in kept], [numbers[row] for row in kept])
    return replace(standing, columns=columns, gold=known)


def _chances(crowd: Standing, said: Mapping[str, str]) -> dict[str, float]:
    """How probable people hold each of the model's answers; the mean of these where nobody but experts has judged."""
    if not crowd.columns[0]:
        return dict.fromkeys(said, 0.5)
    fitted = crowd.fit()
    place, row = {str(answer): at for at, answer in enumerate(fitted.answers)}, {item: at for at, item in enumerate(fitted.items)}
    known = {item: float(fitted.posterior[row[item], place[answer]]) for item, answer in said.items() if item in row and answer in place}
    usual = float(np.mean(list(known.values()))) if known else 0.5
    return {item: known.get(item, usual) for item in said}
