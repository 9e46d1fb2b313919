"""What people agree on: consensus of a question, who is asked more, and where the project stands."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Self

from preceptor.aggregation import Judgments, aggregate, agreement
from preceptor.domain import Consensus, Question
from preceptor.errors import UserError
from preceptor.guidance import StopRule
from preceptor.project.guiding.auditing import audit_status
from preceptor.project.guiding.settled import with_known
from preceptor.questions import kinds
from preceptor.store import curations, gold, items, jobs, journal, people, questions, records, slots, tallies

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection


@dataclass(frozen=True)
class Standing:
    """What stands of a question at one moment: columns of items, annotators, answers and numbers of its judgments, and gold.

    until: the number of the newest judgment of the project then. decided: items about whose answer somebody decided at any time:
    they were chosen for being wrong or in dispute, so that what they say of the people who judged them would say too much.
    """

    key: int
    question: Question
    columns: tuple[Sequence[str], Sequence[str], Sequence[Any], Sequence[int]]
    gold: Mapping[str, Any]
    until: int
    decided: frozenset[str] = frozenset()

    @classmethod
    def of(cls, connection: Connection, name: str) -> Self:
        """As the transaction sees it; UserError when there is no such question."""
        return cls.of_key(connection, *questions.get(connection, name))

    @classmethod
    def of_key(cls, connection: Connection, key: int, question: Question) -> Self:
        """The same of any version of a question, by its key."""
        known, decided = gold.answers(connection, key), curations.relabelled(connection, key)
        return cls(key, question, journal.columns(connection, key), known, journal.last(connection), decided)

    def up_to(self, number: int) -> Self:
        """What stands of the judgments up to a number."""
        kept = [row for row, each in enumerate(self.columns[3]) if each <= number]
        what, who, said, numbers = self.columns
        columns = ([what[row] for row in kept], [who[row] for row in kept], [said[row] for row in kept], [numbers[row] for row in kept])
        return replace(self, columns=columns, until=number)

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
        known = {item: kind.vote(self.question, answer) for item, answer in self.sampled.items()}
        fitted = aggregate(self.votes(), chosen, gold=known or None, **{**own, **(options or {})})
        return with_known(fitted, self.question, {item: self.gold[item] for item in self.decided & self.gold.keys()})

    @property
    def sampled(self) -> dict[str, Any]:
        """Known answers that say something of the people: of items that weren't chosen for being wrong or in dispute."""
        return {item: answer for item, answer in self.gold.items() if item not in self.decided}

    def votes(self) -> Judgments:
        """The judgments as aggregators and agreement take them."""
        what, who, said, _ = self.columns
        kind = kinds.get(self.question.kind)
        votes = [kind.vote(self.question, answer) for answer in said]
        return Judgments.from_columns(item=what, annotator=who, answer=votes, answers=kind.ballot(self.question))

    def numbers(self) -> dict[str, list[int]]:
        """The numbers of the judgments of each item."""
        what, _, _, numbers = self.columns
        found: dict[str, list[int]] = defaultdict(list)
        for item, number in zip(what, numbers, strict=True):
            found[item].append(number)
        return found


def consensus(project: Project, standing: Standing, method: str | None, options: Mapping[str, Any]) -> Consensus:
    """Fit the judgments that stand, keep the result and note what it rests on."""
    fitted = standing.fit(method, options)
    digest = project.objects.put(_document(standing.question, fitted))
    with project.database.writing() as connection:
        records.add_consensus(connection, standing.key, method=fitted.method, until=standing.until, digest=digest)
    return fitted


def people_table(project: Project, question: str) -> list[dict[str, Any]]:
    """One dict a person: role, kind, judgments about the question, agreement with its consensus."""
    with project.database.reading() as connection:
        everyone = people.everyone(connection)
        standing = Standing.of(connection, question)
    quality = standing.fit().annotators if standing.columns[0] else {}
    found = [(person, quality.get(person.id)) for person in everyone]
    return [
        {
            "annotator": person.id,
            "role": person.role,
            "kind": person.kind,
            "judgments": their.judgments if their else 0,
            # nobody's accuracy where a file didn't say who answered: many people may stand behind the name
            "accuracy": their.accuracy.to_dict() if their and their.accuracy and person.kind != "import" else None,
        }
        for person, their in found
    ]


def counts(project: Project) -> dict[str, int]:
    """Totals of the whole project."""
    with project.database.reading() as connection:
        return {"items": items.count(connection), "judgments": journal.last(connection), "people": people.count(connection)}


def status(project: Project) -> dict[str, Any]:
    """Where the project stands, as a document: `totals`, and what `certainty_of` says of each question."""
    with project.database.reading() as connection:
        found = _totals(connection, project)
        for part in found["questions"]:
            part |= _certainty(Standing.of(connection, part["name"]), project.config.guidance)
    return found


def totals(project: Project) -> dict[str, Any]:
    """What `status` can count without a fit, by a few queries: items, judgments, people, slots, costs, and what to do next."""
    with project.database.reading() as connection:
        return _totals(connection, project)


def certainty_of(project: Project, question: str) -> dict[str, Any]:
    """The agreement about a question, None where no item has two judgments, and the live audit of the stop rule, None before it began."""
    with project.database.reading() as connection:
        return _certainty(Standing.of(connection, question), project.config.guidance)


def _totals(connection: Connection, project: Project) -> dict[str, Any]:
    active, given = questions.active(connection), tallies.given(connection)
    parts = [
        {"name": asked.name, "kind": asked.kind, "version": asked.version, **slots.progress(connection, key)}
        | dict(zip(("given", "annotators"), given.get(key, (0, 0)), strict=True))
        for key, asked in active
    ]
    count = items.count(connection)
    models = len(records.models(connection))
    snapshots = len(records.snapshots(connection))
    counted = journal.counts(connection)
    training = {state: number for state, number in jobs.counts(connection).items() if state in jobs.UNFINISHED}
    cost, kind = project.config.cost, {asked.name: asked.kind for _, asked in active}
    spent = sum(count * cost.price(annotator, kind.get(name, "")) for name, annotator, count, _ in counted)
    return {
        "project": project.config.name,
        "items": count,
        "questions": parts,
        "judgments": sum(part["given"] for part in parts),
        "seconds": sum(seconds for _, _, _, seconds in counted),
        "cost": {"judgments": round(spent, 2), "currency": cost.currency},
        "snapshots": snapshots,
        "models": models,
        **({"jobs": training} if training else {}),
        "next": _advice(count, parts, snapshots, models),
    }


def _certainty(standing: Standing, rule: StopRule) -> dict[str, Any]:
    found: dict[str, Any] = {"agreement": None, "audit": audit_status(standing, rule)}
    what, kind = standing.columns[0], kinds.get(standing.question.kind)
    if what and len(set(what)) < len(what):
        alpha = agreement(standing.votes(), level=kind.level)
        found["agreement"] = alpha.to_dict() if isfinite(alpha.value) else None
    return found


def _advice(count: int, parts: list[dict[str, Any]], snapshots: int, models: int) -> str:
    if waiting := next((part for part in parts if part["unfinished"]), None):
        return f"{waiting['unfinished']} of {waiting['slots']} items wait for answers to {waiting['name']!r}"
    if not count:
        checked = "what was asked for is answered: run what asked for it again, such as preceptor evaluate or compare"
        return checked if parts and any(part["slots"] for part in parts) else "import some items: preceptor import FILE"
    if not parts:
        return "add a question: preceptor question add FILE"
    if not snapshots:
        return f"freeze what is known: preceptor snapshot create {parts[0]['name']}"
    return "train: preceptor train classify --snapshot S --base minilm" if not models else "evaluate a model, then release it"


def _document(question: Question, fitted: Consensus) -> bytes:
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
