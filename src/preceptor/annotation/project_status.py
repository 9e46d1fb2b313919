"""Summarise a project: its items, judgments, costs, agreement and audit, and the next step."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from preceptor.annotation.judgment_set import JudgmentSet
from preceptor.annotation.redundancy import summarize_audit
from preceptor.consensus import agreement
from preceptor.planning import StopRule
from preceptor.questions import kinds
from preceptor.storage import annotation_stats, artifacts, items, jobs, judgment_log, people, questions, slots

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage import Connection


def list_annotator_agreement(project: Project, question: str) -> list[dict[str, Any]]:
    """Return one dict for each annotator: role, kind, judgments about the question, agreement with its consensus."""
    with project.database.reading() as connection:
        everyone = people.list_annotators(connection)
        standing = JudgmentSet.load(connection, question)
    quality = standing.fit().annotators if standing.columns[0] else {}
    found = [(person, quality.get(person.id)) for person in everyone]
    return [
        {
            "annotator": person.id,
            "role": person.role,
            "kind": person.kind,
            "judgments": their.judgments if their else 0,
            # no accuracy where a file didn't name its annotators: many people may stand behind one name
            "accuracy": their.accuracy.to_dict() if their and their.accuracy and person.kind != "import" else None,
        }
        for person, their in found
    ]


def count_totals(project: Project) -> dict[str, int]:
    """Return the numbers of items, judgments and people of the whole project."""
    with project.database.reading() as connection:
        return {"items": items.count(connection), "judgments": judgment_log.last_number(connection), "people": people.count(connection)}


def summarize_project(project: Project) -> dict[str, Any]:
    """Return the project's status as a document: `summarize_totals`, and `measure_certainty` of each question."""
    with project.database.reading() as connection:
        found = _summarize_totals(connection, project)
        for part in found["questions"]:
            part |= _measure_certainty(JudgmentSet.load(connection, part["name"]), project.config.redundancy)
    return found


def summarize_totals(project: Project) -> dict[str, Any]:
    """Return the part of `summarize_project` that needs no fit, by a few queries.

    It holds items, judgments, people, slots, costs, and what to do next.
    """
    with project.database.reading() as connection:
        return _summarize_totals(connection, project)


def measure_certainty(project: Project, question: str) -> dict[str, Any]:
    """Return the agreement about a question and the live audit of its stop rule.

    agreement is None where no item has two judgments, audit before it began.
    """
    with project.database.reading() as connection:
        return _measure_certainty(JudgmentSet.load(connection, question), project.config.redundancy)


def _summarize_totals(connection: Connection, project: Project) -> dict[str, Any]:
    active, given = questions.list_active(connection), annotation_stats.count_by_question(connection)
    parts = [
        {"name": asked.name, "kind": asked.kind, "version": asked.version, **slots.question_progress(connection, key)}
        | dict(zip(("judgment_count", "annotators"), given.get(key, (0, 0)), strict=True))
        for key, asked in active
    ]
    count = items.count(connection)
    models = len(artifacts.list_models(connection))
    snapshots = len(artifacts.list_snapshots(connection))
    counted = judgment_log.count_by_annotator(connection)
    training = {state: number for state, number in jobs.counts(connection, jobs.FINE_TUNING).items() if state in jobs.UNFINISHED}
    cost, kind = project.config.cost, {asked.name: asked.kind for _, asked in active}
    spent = sum(count * cost.judgment_price(annotator, kind.get(name, "")) for name, annotator, count, _ in counted)
    return {
        "project": project.config.name,
        "items": count,
        "questions": parts,
        "judgments": sum(part["judgment_count"] for part in parts),
        "seconds": sum(seconds for _, _, _, seconds in counted),
        "cost": {"judgments": round(spent, 2), "currency": cost.currency},
        "snapshots": snapshots,
        "models": models,
        **({"jobs": training} if training else {}),
        "next": _suggest_next_step(count, parts, snapshots, models),
    }


def _measure_certainty(standing: JudgmentSet, rule: StopRule) -> dict[str, Any]:
    found: dict[str, Any] = {"agreement": None, "audit": summarize_audit(standing, rule)}
    what, kind = standing.columns[0], kinds.get(standing.question.kind)
    if what and len(set(what)) < len(what):
        alpha = agreement(standing.to_votes(), level=kind.level)
        found["agreement"] = alpha.to_dict() if isfinite(alpha.value) else None
    return found


def _suggest_next_step(count: int, parts: list[dict[str, Any]], snapshots: int, models: int) -> str:
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
