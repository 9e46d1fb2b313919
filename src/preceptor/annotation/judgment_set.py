"""Load the valid judgments of a question as one set, and fit their consensus.

Adjudicated answers are put into the consensus after it was fitted without them: they are no evidence about other items.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from preceptor.consensus import Judgments, aggregate
from preceptor.consensus.multilabel import MultilabelConsensus
from preceptor.errors import UserError
from preceptor.questions import kinds
from preceptor.storage import artifacts, curations, gold, judgment_log, questions
from preceptor.types import ComposedConsensus, Consensus, Question

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage import Connection


def _apply_adjudications(fitted: Consensus, question: Question, known: Mapping[str, Any]) -> Consensus:
    """Return the consensus with these answers (in their stored form, by item id) for certain, and all else as it is."""
    rows = {row: known[item] for row, item in enumerate(fitted.items) if item in known}
    if not rows:
        return fitted
    if isinstance(fitted, ComposedConsensus):
        return _apply_composed(fitted, rows)
    vote = kinds.get(question.kind).vote
    voted = {row: vote(question, answer) for row, answer in rows.items()}
    return _apply_label_sets(fitted, voted) if isinstance(fitted, MultilabelConsensus) else _apply_choices(fitted, voted)


def _apply_choices(fitted: Consensus, known: Mapping[int, Any]) -> Consensus:
    """Return the consensus with one answer certain for each of these items; a numeric answer is the mean, too."""
    place = {answer: column for column, answer in enumerate(fitted.answers)}
    posterior, change = fitted.posterior.copy(), dict[str, Any]()
    for row, answer in known.items():
        if answer in place:
            posterior[row] = 0.0
            posterior[row, place[answer]] = 1.0
    if fitted.value is not None and fitted.spread is not None:
        value, spread = fitted.value.copy(), fitted.spread.copy()
        for row, answer in known.items():
            if isinstance(answer, int | float):
                value[row], spread[row] = answer, 0.0
        change = {"value": value, "spread": spread}
    return replace(fitted, posterior=posterior, **change)


def _apply_label_sets(fitted: MultilabelConsensus, known: Mapping[int, Any]) -> MultilabelConsensus:
    """Return the consensus with each label certain for these items; a label set that nobody gave joins the answers."""
    place = {frozenset(answer): column for column, answer in enumerate(fitted.answers)}
    new = list(dict.fromkeys(frozenset(answer) for answer in known.values() if frozenset(answer) not in place))
    place |= {answer: len(fitted.answers) + number for number, answer in enumerate(new)}
    answers = (*fitted.answers, *(tuple(label for label in fitted.labels if label in answer) for answer in new))
    posterior, applies = np.pad(fitted.posterior, ((0, 0), (0, len(new)))), fitted.applies.copy()
    for row, answer in known.items():
        posterior[row] = 0.0
        posterior[row, place[frozenset(answer)]] = 1.0
        applies[row] = [float(label in answer) for label in fitted.labels]
    return replace(fitted, answers=answers, posterior=posterior, applies=applies)


def _apply_composed(fitted: ComposedConsensus, known: Mapping[int, Any]) -> ComposedConsensus:
    """Return the consensus with the known answers as the composed ones."""
    posterior, composed = fitted.posterior.copy(), list(fitted.composed)
    for row, answer in known.items():
        posterior[row], composed[row] = (1.0, 0.0), answer
    return replace(fitted, posterior=posterior, composed=tuple(composed))


@dataclass(frozen=True)
class JudgmentSet:
    """The valid judgments of a question at one moment, in columns of items, annotators, answers and numbers, and its gold answers.

    key: of the question's version. last_number: the number of the newest judgment of the project then. adjudicated_items: items whose
    answer somebody decided at any time: they were chosen for being wrong or in dispute, so that they would tell too much of the people
    who judged them.
    """

    key: int
    question: Question
    columns: tuple[Sequence[str], Sequence[str], Sequence[Any], Sequence[int]]
    gold: Mapping[str, Any]
    last_number: int
    adjudicated_items: frozenset[str] = frozenset()

    @classmethod
    def load(cls, connection: Connection, name: str) -> Self:
        """Load the judgments of a question's active version; raises UserError when there is no such question."""
        return cls.load_version(connection, *questions.get(connection, name))

    @classmethod
    def load_version(cls, connection: Connection, key: int, question: Question) -> Self:
        """Load the judgments of any version of a question, by its key."""
        known, decided = gold.list_answers(connection, key), curations.relabeled_items(connection, key)
        return cls(key, question, judgment_log.judgment_columns(connection, key), known, judgment_log.last_number(connection), decided)

    def truncate(self, number: int) -> Self:
        """Return the set without the judgments after a number."""
        kept = [row for row, each in enumerate(self.columns[3]) if each <= number]
        what, who, said, numbers = self.columns
        columns = ([what[row] for row in kept], [who[row] for row in kept], [said[row] for row in kept], [numbers[row] for row in kept])
        return replace(self, columns=columns, last_number=number)

    def fit(self, method: str | None = None, options: Mapping[str, Any] | None = None) -> Consensus:
        """Fit the consensus, by the kind's own method unless one is named; raises UserError when there are no judgments."""
        if not self.columns[0]:
            raise UserError(
                f"nobody has judged {self.question.name!r} yet",
                "bring judgments in: preceptor import FILE --question NAME; or ask with project.next and project.submit",
            )
        kind = kinds.get(self.question.kind)
        chosen = method or kind.aggregator
        own = kind.aggregator_options(self.question) if chosen == kind.aggregator else {}
        known = {item: kind.vote(self.question, answer) for item, answer in self.sampled_gold.items()}
        fitted = aggregate(self.to_votes(), chosen, gold=known or None, **{**own, **(options or {})})
        return _apply_adjudications(fitted, self.question, {item: self.gold[item] for item in self.adjudicated_items & self.gold.keys()})

    @property
    def sampled_gold(self) -> dict[str, Any]:
        """Known answers that measure annotators: of items that weren't chosen for being wrong or in dispute."""
        return {item: answer for item, answer in self.gold.items() if item not in self.adjudicated_items}

    def to_votes(self) -> Judgments:
        """Return the judgments in the form that aggregators and agreement take."""
        what, who, said, _ = self.columns
        kind = kinds.get(self.question.kind)
        votes = [kind.vote(self.question, answer) for answer in said]
        return Judgments.from_columns(item=what, annotator=who, answer=votes, answers=kind.possible_votes(self.question))

    def list_judgment_numbers(self) -> dict[str, list[int]]:
        """Return the numbers of the judgments of each item."""
        what, _, _, numbers = self.columns
        found: dict[str, list[int]] = defaultdict(list)
        for item, number in zip(what, numbers, strict=True):
            found[item].append(number)
        return found


def fit_consensus(project: Project, standing: JudgmentSet, method: str | None, options: Mapping[str, Any]) -> Consensus:
    """Fit the consensus of a judgment set, store it and record what it rests on."""
    fitted = standing.fit(method, options)
    digest = project.objects.put(_consensus_document(standing.question, fitted))
    with project.database.writing() as connection:
        artifacts.add_consensus(connection, standing.key, method=fitted.method, until=standing.last_number, digest=digest)
    return fitted


def _consensus_document(question: Question, fitted: Consensus) -> bytes:
    """Return the stored form of a consensus: the belief about each item, and the method."""
    rows = zip(fitted.items, fitted.top, fitted.posterior.round(6).tolist(), fitted.judgment_counts.tolist(), strict=True)
    document = {
        "question": question.name,
        "version": question.version,
        "method": fitted.method,
        "answers": list(fitted.answers),
        "items": {item: {"answer": top, "posterior": posterior, "judgments": count} for item, top, posterior, count in rows},
    }
    return json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
