"""People's verdicts on the claims of a model's responses: asked for a sample only, and read when all of a response are there."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from preceptor.domain import Composed, Item, Question
from preceptor.errors import NotFound
from preceptor.evaluation.answers import Answers
from preceptor.evaluation.splitting import SPLITTER
from preceptor.project import purposes
from preceptor.project.agreeing import Standing
from preceptor.questions import define
from preceptor.store import events, people, questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project

NAME = "faithfulness"
INSTRUCTIONS = "Do the sources alone bear out each claim? Contradicted: they say otherwise. Not found: they don't say, even if it is true."

Verdicts = Mapping[int, str]


def question() -> Question:
    """What people are asked: the verdict on each claim of a response."""
    return replace(define({"name": NAME, "kind": "claims", "instructions": INSTRUCTIONS}), purpose=NAME)


def item_ids(answers: Answers) -> list[str]:
    """The id of each response as an item: another one when the answers, or the rules that split them, are others."""
    mark = hashlib.sha256(f"{answers.digest}/{SPLITTER}".encode()).hexdigest()[:12]
    return [f"{each.id}@{mark}" for each in answers.asked]


def ask(project: Project, answers: Answers, claims: Sequence[Sequence[str]], rows: Sequence[int], look: int) -> int:
    """Put responses (row numbers) before people, those without claims left out; how many are new."""
    ids = item_ids(answers)
    new = [
        Item(
            ids[row],
            {
                "prompt": answers.asked[row].prompt,
                "completion": answers.texts[row],
                "sources": list(answers.asked[row].sources),
                "claims": list(claims[row]),
            },
            answers.asked[row].group,
            {"look": look},
        )
        for row in rows
        if claims[row]
    ]
    if not new:
        return 0
    added = purposes.put(project, _as_asked(project), new)
    policy = project.config.guidance
    _want(project, {item.id for item in new}, lambda count: max(count.wanted, min(policy.minimum, policy.maximum)), "asking resumed")
    return added


def stop(project: Project, answers: Answers) -> None:
    """Ask nobody else about these responses; what people hold in hand is still taken."""
    _want(project, set(item_ids(answers)), lambda count: min(count.given, count.wanted), "asking ended")


def _as_asked(project: Project) -> Question:
    """The question as it was asked first: in other words it would be another one, and what people answered would be lost."""
    return next((each for each in project.questions() if each.name == NAME and each.purpose == NAME), question())


def _want(project: Project, of: Collection[str], wanted: Callable[[slots.Count], int], what: str) -> None:
    """Set how many judgments items shall have, where that is another number than before."""
    with project.database.writing() as connection:
        key, _ = questions.get(connection, NAME)
        found = {item: (count, wanted(count)) for item, count in slots.counts(connection, key).items() if item in of}
        changed = {item: number for item, (count, number) in found.items() if number != count.wanted}
        if changed:
            slots.want(connection, key, changed)
            events.record(connection, what, {"question": NAME, "items": len(changed)})


def ask_where_tied(project: Project, answers: Answers) -> int:
    """Ask one more where people are tied about a claim: as many as guidance lets be asked, then a reviewer, then an expert; how many."""
    with project.database.reading() as connection:
        try:
            key, _ = questions.get(connection, NAME)
        except NotFound:
            return 0
        counts, standing = slots.counts(connection, key), Standing.of(connection, NAME)
        top = max((slots.TIERS[person.role] for person in people.everyone(connection)), default=0)
    most = project.config.guidance.maximum
    tied = _tied(standing) & _complete(counts, set(item_ids(answers))) - set(standing.gold)
    more = {item: counts[item].given + 1 for item in tied if counts[item].given < most}
    higher = {item: counts[item].tier + 1 for item in tied if item not in more and counts[item].tier < top}
    with project.database.writing() as connection:
        slots.want(connection, key, more)
        slots.climb(connection, key, higher)
    return len(more) + len(higher)


def _complete(counts: Mapping[str, slots.Count], of: Collection[str]) -> set[str]:
    """The items that have all the judgments that they shall have."""
    return {item for item, count in counts.items() if item in of and count.given and count.given >= count.wanted}


def _tied(standing: Standing) -> set[str]:
    """The items with a claim on which no verdict has more than half of the votes."""
    votes: dict[tuple[str, int], Counter[str]] = {}
    for item, marks in zip(standing.columns[0], standing.columns[2], strict=True):
        for number, verdict in _by_number(marks).items():
            votes.setdefault((item, number), Counter())[verdict] += 1
    return {item for (item, _), told in votes.items() if not _has_majority(told)}


def _has_majority(told: Counter[str]) -> bool:
    return 2 * max(told.values()) > told.total()


def asked_and_answered(project: Project, answers: Answers) -> tuple[set[int], dict[int, Verdicts], int]:
    """Rows that people are asked about; their verdicts on those that have all the judgments they shall have, or were decided by
    hand; and how many judgments these rest on.

    Where people are tied about a claim there is no verdict yet, unless nobody is left to ask: then the claim counts as contradicted.
    """
    with project.database.reading() as connection:
        try:
            key, _ = questions.get(connection, NAME)
        except NotFound:
            return set(), {}, 0
        counts, standing = slots.counts(connection, key), Standing.of(connection, NAME)
        top = max((slots.TIERS[person.role] for person in people.everyone(connection)), default=0)
    row_of = {id_: row for row, id_ in enumerate(item_ids(answers))}
    tied, most = _tied(standing), project.config.guidance.maximum
    done = _complete(counts, row_of) - {item for item in tied if counts[item].given < most or counts[item].tier < top}
    told = {item: _by_number(answer) for item, answer in standing.gold.items() if item in row_of}
    if done - set(told):
        fitted = standing.fit()
        assert isinstance(fitted, Composed)
        new = {item: _by_number(marks) for item, marks in zip(fitted.items, fitted.composed, strict=True) if item in done - set(told)}
        told |= {item: _against(standing, item, verdicts) if item in tied else verdicts for item, verdicts in new.items()}
    judgments = sum(item in told for item in standing.columns[0])
    return {row_of[item] for item in counts if item in row_of}, {row_of[item]: verdicts for item, verdicts in told.items()}, judgments


def _against(standing: Standing, item: str, verdicts: Verdicts) -> Verdicts:
    """Verdicts on an item's claims where a tie that nobody is left to break goes against the model."""
    votes: dict[int, Counter[str]] = {}
    for what, marks in zip(standing.columns[0], standing.columns[2], strict=True):
        if what == item:
            for number, verdict in _by_number(marks).items():
                votes.setdefault(number, Counter())[verdict] += 1
    open_ = {number for number, told in votes.items() if not _has_majority(told)}
    return {number: "contradicted" if number in open_ else verdict for number, verdict in verdicts.items()}


def _by_number(marks: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    return {mark["claim"]: mark["verdict"] for mark in marks if isinstance(mark.get("claim"), int)}
