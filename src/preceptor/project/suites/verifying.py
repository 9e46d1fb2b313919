"""People's verdicts on the claims of a model's responses: asked for a sample only, and read when all of a response are there."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from preceptor.domain import Composed, Item, Question
from preceptor.domain.items import sources_of
from preceptor.errors import NotFound
from preceptor.evaluation.answers import Answers
from preceptor.evaluation.splitting import SPLITTER
from preceptor.project import purposes
from preceptor.project.guiding.agreeing import Standing
from preceptor.project.judges.pairs import Pair, merged
from preceptor.questions import define
from preceptor.store import events, items, people, questions, slots

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
    _want(project, {item.id for item in new}, lambda count: max(count.wanted, project.config.guidance.least), "asking resumed")
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
    seen = _seen(project)
    if seen is None:
        return 0
    tied = seen.tied & seen.complete(item_ids(answers)) - set(seen.standing.gold)
    more = {item: seen.counts[item].given + 1 for item in tied if seen.counts[item].given < seen.most}
    higher = {item: seen.counts[item].tier + 1 for item in tied - set(more) if seen.can_be_asked(item)}
    with project.database.writing() as connection:
        slots.want(connection, seen.standing.key, more)
        slots.climb(connection, seen.standing.key, higher)
    return len(more) + len(higher)


def asked_and_answered(project: Project, answers: Answers) -> tuple[set[int], dict[int, Verdicts], int]:
    """Rows that people are asked about; their verdicts on those that have all the judgments they shall have, or were decided by
    hand; and how many judgments these rest on.

    Where people are tied about a claim there is no verdict yet, unless nobody is left to ask: then the claim counts as contradicted.
    """
    seen = _seen(project)
    if seen is None:
        return set(), {}, 0
    row_of = {id_: row for row, id_ in enumerate(item_ids(answers))}
    done = seen.complete(row_of) - {item for item in seen.tied if seen.can_be_asked(item)}
    told = {item: _by_number(answer) for item, answer in seen.standing.gold.items() if item in row_of}
    if new := done - set(told):
        fitted = seen.standing.fit()
        assert isinstance(fitted, Composed)
        found = {item: _by_number(marks) for item, marks in zip(fitted.items, fitted.composed, strict=True) if item in new}
        told |= {item: verdicts | dict.fromkeys(seen.ties.get(item, ()), "contradicted") for item, verdicts in found.items()}
    judgments = sum(item in told for item in seen.standing.columns[0])
    return {row_of[item] for item in seen.counts if item in row_of}, {row_of[item]: verdicts for item, verdicts in told.items()}, judgments


def verdicts_of(project: Project) -> list[Pair]:
    """People's verdicts on claims of models' responses in a project, each claim with the probability that it is supported."""
    with project.database.reading() as connection:
        try:
            standing = Standing.of(connection, NAME)
        except NotFound:
            return []
        known = {item.id: item for item in items.stream(connection, NAME)}
    if not standing.columns[0]:
        return []
    fitted = standing.fit()
    assert isinstance(fitted, Composed)
    found = []
    for id_, marks, parts in zip(fitted.items, fitted.composed, fitted.parts, strict=True):
        item = known[id_]
        for mark, chances in zip(marks, parts["verdicts"], strict=False):
            if isinstance(mark.get("claim"), int) and mark["claim"] < len(item.content["claims"]):
                claim = item.content["claims"][mark["claim"]]
                found.append(Pair(claim, sources_of(item.content), float(chances.get("supported", 0.0)), item.group))
    return merged(found)


@dataclass(frozen=True)
class _Seen:
    """What stands of the question. ties: by item, the claims on which no verdict has more than half of the votes. most: judgments of an
    item that guidance lets be asked; top: the highest tier of people there are."""

    standing: Standing
    counts: Mapping[str, slots.Count]
    ties: Mapping[str, Sequence[int]]
    most: int
    top: int

    @property
    def tied(self) -> set[str]:
        return set(self.ties)

    def complete(self, of: Collection[str]) -> set[str]:
        """The items that have all the judgments that they shall have."""
        return {item for item in of if (count := self.counts.get(item)) and count.given and count.given >= count.wanted}

    def can_be_asked(self, item: str) -> bool:
        """Whether somebody is left to decide an item."""
        return item in self.counts and (self.counts[item].given < self.most or self.counts[item].tier < self.top)


def _seen(project: Project) -> _Seen | None:
    """None while the question was never asked."""
    with project.database.reading() as connection:
        try:
            key, _ = questions.get(connection, NAME)
        except NotFound:
            return None
        counts, standing = slots.counts(connection, key), Standing.of(connection, NAME)
        top = slots.highest_tier(people.everyone(connection))
    return _Seen(standing, counts, _ties(standing), project.config.guidance.maximum, top)


def _ties(standing: Standing) -> dict[str, list[int]]:
    votes: dict[tuple[str, int], Counter[str]] = {}
    for item, marks in zip(standing.columns[0], standing.columns[2], strict=True):
        for number, verdict in _by_number(marks).items():
            votes.setdefault((item, number), Counter())[verdict] += 1
    found: dict[str, list[int]] = {}
    for (item, number), told in votes.items():
        if 2 * max(told.values()) <= told.total():
            found.setdefault(item, []).append(number)
    return found


def _by_number(marks: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    return {mark["claim"]: mark["verdict"] for mark in marks if isinstance(mark.get("claim"), int)}
