"""The answers by which live quality is measured: drawn by chance, put before people, and their verdicts read.

What customers say is no such measure: who complains isn't like who doesn't. So feedback changes nothing about these items: all wait
at the same level, in an order that is a hash, and no customer's word takes a person's place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.project.live.kept import AnswersKept, Kept
from preceptor.project.live.questions import GOOD, live_question, put_item, to_rate
from preceptor.statistics import token_features
from preceptor.store import Connection, items, journal, live_settings, people, questions

if TYPE_CHECKING:
    from preceptor.project.project import Project

QUESTION = "live-good"
LEVEL = 5  # of priority, of all that was drawn
CUSTOMER = "customer"  # the kind of annotator that speaks for who uses a program
NO_PERSON = ("application", CUSTOMER, "model")
OVERLAP = 300.0  # seconds before the last look that are looked at again: an answer may take so long to be kept


@dataclass(frozen=True, slots=True)
class Verdict:
    """What people found of a served answer. good: the share of them who call it good.

    group: whose answers depend on each other. inclusion: the probability with which it was drawn; 0 where it wasn't, but was judged
    because of what was said of it. features: see `token_features`; empty where its tokens weren't kept. created, judged: Unix times.
    temperature: at which it was drawn, where that is known.
    """

    item: str
    answer: str
    model: str
    alias: str
    group: str
    good: float
    inclusion: float
    confidence: float | None
    features: tuple[float, ...]
    created: float
    judged: float
    temperature: float | None = None


def rated_item(connection: Connection, project: Project, kept: Kept) -> tuple[int, str]:
    """(key, id) of the item that shows a kept answer to who rates it; people are asked whether it is good if it was drawn."""
    item = to_rate(f"rated-{kept.id}", kept.turns, kept.text, {}, _about(kept))
    question, _ = live_question(connection, project, QUESTION)
    if kept.inclusion > 0:
        return put_item(connection, question, item, wanted=1, priority=LEVEL), item.id
    items.add(connection, [item])
    return items.keys(connection, [item.id])[item.id], item.id


def ask_about_drawn(project: Project) -> int:
    """Put before people what was drawn since this was done last; how many answers. Safe at any time, and twice at once."""
    with project.database.reading() as connection:
        last = live_settings.get(connection, "stream", "asked") or {"until": 0.0}
    drawn = AnswersKept(project).since(last["until"] - OVERLAP, measured=True)
    with project.database.reading() as connection:
        there = items.keys(connection, [f"rated-{kept.id}" for kept in drawn])
    new = [kept for kept in drawn if f"rated-{kept.id}" not in there]
    if new:
        with project.database.writing() as connection:
            for kept in new:
                rated_item(connection, project, kept)
            live_settings.put(connection, "stream", "asked", {"until": max(kept.created for kept in drawn)})
    return len(new)


def verdicts(project: Project) -> list[Verdict]:
    """What people found of served answers, in the order in which they were judged; customers' words and models' left out."""
    with project.database.reading() as connection:
        known = {each.name: key for key, each in questions.active(connection)}
        if QUESTION not in known:
            return []
        what, who, said, numbers = journal.columns(connection, known[QUESTION])
        persons = {each.id for each in people.everyone(connection) if each.kind not in NO_PERSON}
        times = {each.id: each.created for each in journal.stream(connection, numbers=numbers)}
        about = items.metadata(connection, dict.fromkeys(what))
        groups = items.groups(connection, dict.fromkeys(what))
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for item, person, answer, number in zip(what, who, said, numbers, strict=True):
        if person in persons:
            found[item].append((float(answer == GOOD), times[number]))
    made = [_verdict(item, groups[item], about[item], votes) for item, votes in found.items()]
    return sorted(made, key=lambda each: (each.judged, each.item))


def _about(kept: Kept) -> dict[str, Any]:
    """What an item tells of its answer, when that is no longer kept."""
    said = kept.document.get("log_probabilities") or ()
    features = token_features(said).round(6).tolist() if said else []
    named = {"answer": kept.id, "model": kept.model, "alias": kept.alias, "confidence": kept.confidence}
    drawn = {"temperature": kept.document.get("sampling", {}).get("temperature")}
    return {**named, **drawn, "inclusion": kept.inclusion, "created": kept.created, "features": features}


def _verdict(item: str, group: str, about: Mapping[str, Any], votes: list[tuple[float, float]]) -> Verdict:
    good = sum(vote for vote, _ in votes) / len(votes)
    numbers = about["inclusion"], about["confidence"], tuple(about["features"]), about["created"], votes[0][1], about.get("temperature")
    return Verdict(item, about["answer"], about["model"], about["alias"], group, good, *numbers)
