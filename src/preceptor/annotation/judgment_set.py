"""Load the active judgments of a question as one set, fit their consensus and put adjudicated answers into it.

Answers that somebody decided, put into a consensus that was fitted without them: of all else they say nothing.

What people agree on: consensus of a question, who is asked more, and where the project stands.
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
    """The consensus with these answers (in their stored form, by item id) for certain, and all else as it is."""
    rows = {row: known[item] for row, item in enumerate(fitted.items) if item in known}
    if not rows:
        return fitted
    if isinstance(fitted, ComposedConsensus):
        return _apply_composed(fitted, rows)
    vote = kinds.get(question.kind).vote
    voted = {row: vote(question, answer) for row, answer in rows.items()}
    return _apply_label_sets(fitted, voted) if isinstance(fitted, MultilabelConsensus) else _apply_choices(fitted, voted)


def _apply_choices(fitted: Consensus, known: Mapping[int, Any]) -> Consensus:
    """One of the answers is right; a number is what the mean is, too."""
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
    """Each label applies or doesn't; a set that nobody gave joins the answers."""
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
    """What was composed is what is known."""
    posterior, composed = fitted.posterior.copy(), list(fitted.composed)
    for row, answer in known.items():
        posterior[row], composed[row] = (1.0, 0.0), answer
    return replace(fitted, posterior=posterior, composed=tuple(composed))


@dataclass(frozen=True)
class JudgmentSet:
    """What stands of a question at one moment: columns of items, annotators, answers and numbers of its judgments, and gold.

    until: the number of the newest judgment of the project then. decided: items about whose answer somebody decided at any time:
    they were chosen for being wrong or in dispute, so that what they say of the people who judged them would say too much.
    """

    key: int
    question: Question
    columns: tuple[Sequence[str], Sequence[str], Sequence[Any], Sequence[int]]
    gold: Mapping[str, Any]
    last_number: int
    adjudicated_items: frozenset[str] = frozenset()

    @classmethod
    def load(cls, connection: Connection, name: str) -> Self:
        """As the transaction sees it; UserError when there is no such question."""
        return cls.load_version(connection, *questions.get(connection, name))

    @classmethod
    def load_version(cls, connection: Connection, key: int, question: Question) -> Self:
        """The same of any version of a question, by its key."""
        known, decided = gold.list_answers(connection, key), curations.relabeled_items(connection, key)
        return cls(key, question, judgment_log.judgment_columns(connection, key), known, judgment_log.last_number(connection), decided)

    def truncate(self, number: int) -> Self:
        """What stands of the judgments up to a number."""
        kept = [row for row, each in enumerate(self.columns[3]) if each <= number]
        what, who, said, numbers = self.columns
        columns = ([what[row] for row in kept], [who[row] for row in kept], [said[row] for row in kept], [numbers[row] for row in kept])
        return replace(self, columns=columns, last_number=number)

    def fit(self, method: str | None = None, options: Mapping[str, Any] | None = None) -> Consensus:
        """The consensus, by the kind's own method unless one is named; UserError when there are no judgments."""
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
        """Known answers that say something of the people: of items that weren't chosen for being wrong or in dispute."""
        return {item: answer for item, answer in self.gold.items() if item not in self.adjudicated_items}

    def to_votes(self) -> Judgments:
        """The judgments as aggregators and agreement take them."""
        what, who, said, _ = self.columns
        kind = kinds.get(self.question.kind)
        votes = [kind.vote(self.question, answer) for answer in said]
        return Judgments.from_columns(item=what, annotator=who, answer=votes, answers=kind.possible_votes(self.question))

    def list_judgment_numbers(self) -> dict[str, list[int]]:
        """The numbers of the judgments of each item."""
        what, _, _, numbers = self.columns
        found: dict[str, list[int]] = defaultdict(list)
        for item, number in zip(what, numbers, strict=True):
            found[item].append(number)
        return found


def fit_consensus(project: Project, standing: JudgmentSet, method: str | None, options: Mapping[str, Any]) -> Consensus:
    """Fit the judgments that stand, keep the result and note what it rests on."""
    fitted = standing.fit(method, options)
    digest = project.objects.put(_consensus_document(standing.question, fitted))
    with project.database.writing() as connection:
        artifacts.add_consensus(connection, standing.key, method=fitted.method, until=standing.last_number, digest=digest)
    return fitted


def _consensus_document(question: Question, fitted: Consensus) -> bytes:
    """What is kept of a consensus: enough to see what was believed of each item, and by which method."""
    rows = zip(fitted.items, fitted.top, fitted.posterior.round(6).tolist(), fitted.judgment_counts.tolist(), strict=True)
    document = {
        "question": question.name,
        "version": question.version,
        "method": fitted.method,
        "answers": list(fitted.answers),
        "items": {item: {"answer": top, "posterior": posterior, "judgments": count} for item, top, posterior, count in rows},
    }
    return json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
