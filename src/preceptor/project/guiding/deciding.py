"""Reviewers and experts: which items wait for them, what they may see, and what an item's answer may be settled as.

Who reviews an item answers it blind first; only then are the others' answers shown, and the item can be settled.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.domain import Item, Question
from preceptor.errors import Conflict, UserError
from preceptor.project.guiding.history import History, history_of
from preceptor.questions import kinds
from preceptor.store import Connection, access, explore, items, journal, people, questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project

BLIND = ("reviewer", "expert")  # who answers before they see


@dataclass(frozen=True)
class Case:
    """An item to decide. own: the reviewer's answer that stands, None while they haven't given one."""

    slot: int
    item: Item
    question: Question
    own: explore.Told | None
    history: History

    @property
    def others(self) -> list[explore.Told]:
        """The judgments of others that stand; nothing before one's own is given."""
        if self.own is None:
            return []
        return [told for told in explore.standing(self.history.told, self.question) if told.annotator != self.own.annotator]


def waiting(project: Project, question: str, *, after: str = "", limit: int = 50) -> list[explore.Listed]:
    """Items that have climbed and that nobody has decided, in order of their slots."""
    start = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0
    with project.database.reading() as connection:
        key, _ = questions.get(connection, question)
        return explore.in_doubt(connection, key, after=start, limit=limit)


def case_of(project: Project, slot: int, reviewer: str) -> Case:
    """The item and question of a slot, as this reviewer may see it."""
    with project.database.reading() as connection:
        item_key, question_key = slots.item_and_question(connection, slot)
        item, question = items.by_key(connection, item_key), project.asked(connection, question_key)
    history = history_of(project, item.id)
    own = next((told for told in reversed(explore.standing(history.told, question)) if told.annotator == reviewer), None)
    return Case(slot, item, question, own, history)


def may_see(history: History, question: str, reviewer: str, role: str) -> bool:
    """Whether somebody may see others' answers about an item: managers may, reviewers once they have answered."""
    if role not in BLIND:
        return True
    return any(told.annotator == reviewer and told.question == question and told.gone is None for told in history.told)


def check_may_decide(connection: Connection, by: str, item: int, question: int) -> None:
    """Raise Conflict where somebody must answer an item themselves before they decide it, whichever way they come.

    Reviewers and experts must, and programs that may not read everything anyway; who isn't known here decides as the project itself.
    """
    key = people.key(connection, by)
    if key is None:
        return
    person = people.get(connection, key)
    if person.kind == "application":
        blind = not any("read" in scopes.split() for scopes, _ in access.tokens(connection, key))
    else:
        blind = person.role in BLIND
    if blind and not journal.has_answered(connection, item, question, key):
        raise Conflict("answer it yourself first", "then you see what the others said, and can settle it")


def settle(project: Project, slot: int, reviewer: str, answer: Any, explanation: str) -> None:
    """Decide a slot's item; Conflict before the reviewer has answered it themselves."""
    case = case_of(project, slot, reviewer)
    project.adjudicate(case.item.id, case.question.name, answer, by=reviewer, explanation=explanation)


def choices(question: Question, given: Sequence[Any]) -> list[tuple[str, Any, int]]:
    """(key, answer, how many gave it) of what an item's answer may be settled as.

    All answers of the kind where they can be named; else those that were given, the most frequent first. The key stands for
    the answer in a form.
    """
    kind = kinds.get(question.kind)
    votes = Counter(json.dumps(kind.vote(question, answer), sort_keys=True, default=list) for answer in given)
    named = kind.ballot(question)
    if named is None:
        first: dict[str, Any] = {}
        for answer in given:
            first.setdefault(json.dumps(kind.vote(question, answer), sort_keys=True, default=list), answer)
        return [(json.dumps(first[key], sort_keys=True), first[key], count) for key, count in votes.most_common()]
    known = kind.answers(question)
    if set(known) != set(named):  # a rating with classes: what is settled is a class
        return [(json.dumps(answer), answer, 0) for answer in known]
    return [(json.dumps(answer), answer, votes.get(json.dumps(answer), 0)) for answer in known]


def answer_from(text: str) -> Any:
    """The answer that a key of `choices` stands for."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UserError("choose an answer", "one of those shown") from None
