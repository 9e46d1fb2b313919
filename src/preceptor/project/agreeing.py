"""What people agree on: consensus of a question, who is asked more, and where the project stands."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from preceptor.aggregation import Judgments, aggregate, agreement
from preceptor.domain import Consensus, Question
from preceptor.errors import UserError
from preceptor.questions import kinds
from preceptor.store import gold, items, journal, people, questions, records, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

Decide = Callable[[Consensus, Mapping[str, int]], Mapping[str, int]]


def consensus(project: Project, question: str, method: str | None, options: Mapping[str, Any]) -> Consensus:
    """Fit the judgments that stand, keep the result and note what it rests on."""
    with project.database.reading() as connection:
        key, asked = questions.get(connection, question)
        known = gold.answers(connection, key)
        until = journal.last(connection)
        columns = journal.columns(connection, key)
    fitted = fit(asked, columns, method, options, known)
    digest = project.objects.put(_document(asked, fitted))
    with project.database.writing() as connection:
        records.add_consensus(connection, key, method=fitted.method, until=until, digest=digest)
    return fitted


def fit(
    question: Question,
    columns: tuple[Sequence[str], Sequence[str], Sequence[Any], Sequence[int]],
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
    known: Mapping[str, Any] | None = None,
) -> Consensus:
    """Consensus of one question from columns of items, annotators, answers (and numbers) of its judgments."""
    what, who, said, _ = columns
    if not what:
        raise UserError(f"nobody has judged {question.name!r} yet", "answer some: preceptor serve, or preceptor import")
    kind = kinds.get(question.kind)
    judgments = Judgments.from_columns(item=what, annotator=who, answer=said, answers=question.options)
    chosen = method or kind.aggregator
    own = kind.aggregator_options(question) if chosen == kind.aggregator else {}
    return aggregate(judgments, chosen, gold=dict(known) if known else None, **{**own, **(options or {})})


def guide(project: Project, question: str, decide: Decide) -> int | None:
    """Ask again about items whose answer isn't certain; how many judgments that adds, None while slots are unfilled."""
    with project.database.reading() as connection:
        key, asked = questions.get(connection, question)
        progress = slots.progress(connection, key)
        if progress["unfinished"] or not progress["given"]:
            return None
        columns = journal.columns(connection, key)
        counts = slots.counts(connection, key)
        known = gold.answers(connection, key)
    given = {item: given for item, (_, given) in counts.items()}
    wants = decide(fit(asked, columns, known=known), given)
    more = {item: count for item, count in wants.items() if count > counts[item][0]}
    with project.database.writing() as connection:
        slots.want(connection, key, more)
    return sum(count - given[item] for item, count in more.items())


def numbers_by_item(connection: Connection, question: str) -> dict[str, list[int]]:
    """The numbers of the judgments of each item."""
    key, _ = questions.get(connection, question)
    what, _, _, numbers = journal.columns(connection, key)
    found: dict[str, list[int]] = defaultdict(list)
    for item, number in zip(what, numbers, strict=True):
        found[item].append(number)
    return found


def people_table(project: Project, question: str) -> list[dict[str, Any]]:
    """One dict a person: role, kind, judgments about the question, agreement with its consensus."""
    quality = consensus(project, question, None, {}).annotators
    with project.database.reading() as connection:
        everyone = people.everyone(connection)
    found = [(person, quality.get(person.id)) for person in everyone]
    return [
        {
            "annotator": person.id,
            "role": person.role,
            "kind": person.kind,
            "judgments": their.judgments if their else 0,
            "accuracy": their.accuracy.to_dict() if their and their.accuracy else None,
        }
        for person, their in found
    ]


def status(project: Project) -> dict[str, Any]:
    """Where the project stands, as a document."""
    with project.database.reading() as connection:
        active = questions.active(connection)
        parts = [_question_status(connection, key, asked) for key, asked in active]
        count = items.count(connection)
        models = len(records.models(connection))
        snapshots = len(records.snapshots(connection))
        seconds = sum(seconds for _, _, _, seconds in journal.counts(connection))
    judged = sum(part["given"] for part in parts)
    cost = project.config.cost
    return {
        "project": project.config.name,
        "items": count,
        "questions": parts,
        "judgments": judged,
        "seconds": seconds,
        "cost": {"judgments": round(judged * cost.judgment, 2), "currency": cost.currency},
        "snapshots": snapshots,
        "models": models,
        "next": _advice(count, parts, snapshots, models),
    }


def _question_status(connection: Connection, key: int, asked: Question) -> dict[str, Any]:
    what, who, said, _ = journal.columns(connection, key)
    part: dict[str, Any] = {"name": asked.name, "kind": asked.kind, "version": asked.version, **slots.progress(connection, key)}
    part |= {"given": len(what), "annotators": len(set(who)), "agreement": None}
    if what and len(set(what)) < len(what):
        judgments = Judgments.from_columns(item=what, annotator=who, answer=said)
        alpha = agreement(judgments, level=kinds.get(asked.kind).level)
        part["agreement"] = alpha.to_dict() if alpha.value == alpha.value else None
    return part


def _advice(count: int, parts: list[dict[str, Any]], snapshots: int, models: int) -> str:
    if not count:
        return "import some items: preceptor import FILE"
    if not parts:
        return "add a question: preceptor question add FILE"
    if waiting := next((part for part in parts if part["unfinished"]), None):
        return f"{waiting['unfinished']} of {waiting['slots']} items wait for answers to {waiting['name']!r}"
    if not snapshots:
        return f"freeze what is known: preceptor snapshot create {parts[0]['name']}"
    return "train: preceptor train classify --snapshot S --base minilm" if not models else "evaluate a model, then release it"


def _document(question: Question, fitted: Consensus) -> bytes:
    """What is kept of a consensus: enough to see what was believed of each item, and by which method."""
    rows = zip(fitted.items, fitted.posterior.round(6).tolist(), fitted.judgment_counts.tolist(), strict=True)
    document = {
        "question": question.name,
        "version": question.version,
        "method": fitted.method,
        "answers": list(fitted.answers),
        "items": {item: {"posterior": posterior, "judgments": count} for item, posterior, count in rows},
    }
    return json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
