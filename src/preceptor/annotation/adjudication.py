"""Show reviewers and experts the items that wait for a decision, with their history, and record what they decide.

A reviewer of an item answers it blind first; only then are the others' answers shown, and the item can be decided.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.errors import ConflictError, NotFoundError, UserError
from preceptor.questions import kinds
from preceptor.storage import Connection, access, items, judgment_log, people, queries, questions, slots
from preceptor.types import Item, Question

if TYPE_CHECKING:
    from preceptor.project import Project


@dataclass(frozen=True)
class ItemHistory:
    """All that is known of one item.

    skips: who skipped or flagged it. gold_answers: gold answer and explanation by question. slots: by question, as in
    `storage.queries.slots_by_question`.
    """

    item: Item
    judgments: Sequence[queries.JudgmentView]
    skips: Sequence[Mapping[str, Any]]
    gold_answers: Mapping[str, tuple[Any, str]]
    slots: Mapping[str, Mapping[str, Any]]


def load_item_history(project: Project, item: str) -> ItemHistory:
    """Load the history of an item by its id; raises NotFoundError when there is none."""
    with project.database.reading() as connection:
        found = queries.find_item(connection, item)
        if found is None:
            raise NotFoundError(f"there is no item {item!r}", "look for it by the beginning of its id")
        key, what = found
        return ItemHistory(
            what,
            queries.judgment_history(connection, key),
            queries.list_skips_and_flags(connection, key),
            queries.gold_by_question(connection, key),
            queries.slots_by_question(connection, key),
        )


def list_item_questions(project: Project, item: ItemHistory) -> list[Question]:
    """Return the active questions that concern an item: it has a slot, a judgment or a known answer for them."""
    names = {told.question for told in item.judgments} | set(item.slots) | set(item.gold_answers)
    return [question for question in project.questions() if question.name in names]


BLIND_ROLES = ("reviewer", "expert")  # who must answer before they see others' answers


@dataclass(frozen=True)
class ReviewCase:
    """An item to decide. own_judgment: the reviewer's valid answer, None while they haven't given one."""

    slot: int
    item: Item
    question: Question
    own_judgment: queries.JudgmentView | None
    history: ItemHistory

    @property
    def other_judgments(self) -> list[queries.JudgmentView]:
        """The valid judgments of others; none before the reviewer's own is given."""
        if self.own_judgment is None:
            return []
        return [
            told for told in queries.filter_valid(self.history.judgments, self.question) if told.annotator != self.own_judgment.annotator
        ]


def list_escalated_items(project: Project, question: str, *, after: str = "", limit: int = 50) -> list[queries.ItemView]:
    """Return escalated items that nobody has decided, in order of their slots."""
    start = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0
    with project.database.reading() as connection:
        key, _ = questions.get(connection, question)
        return queries.list_unresolved(connection, key, after=start, limit=limit)


def load_review_case(project: Project, slot: int, reviewer: str) -> ReviewCase:
    """Load the item and question of a slot, as this reviewer may see it."""
    with project.database.reading() as connection:
        item_key, question_key = slots.item_and_question(connection, slot)
        item, question = items.by_key(connection, item_key), project.cache.question_by_key(connection, question_key)
    history = load_item_history(project, item.id)
    own = next((told for told in reversed(queries.filter_valid(history.judgments, question)) if told.annotator == reviewer), None)
    return ReviewCase(slot, item, question, own, history)


def can_see_answers(history: ItemHistory, question: str, reviewer: str, role: str) -> bool:
    """Tell whether somebody may see others' answers about an item: managers may, reviewers once they have answered."""
    if role not in BLIND_ROLES:
        return True
    return any(told.annotator == reviewer and told.question == question and told.removal is None for told in history.judgments)


def check_can_adjudicate(connection: Connection, by: str, item: int, question: int) -> None:
    """Raise ConflictError where somebody must answer an item themselves before they decide it, whichever way they come.

    Reviewers and experts must, and programs that may not read everything anyway; an unknown name decides as the project itself.
    """
    key = people.find_key(connection, by)
    if key is None:
        return
    person = people.get(connection, key)
    if person.kind == "application":
        blind = not any("read" in scopes.split() for scopes, _ in access.list_tokens(connection, key))
    else:
        blind = person.role in BLIND_ROLES
    if blind and not judgment_log.has_answered(connection, item, question, key):
        raise ConflictError("answer it yourself first", "then you see what the others said, and can settle it")


def adjudicate_slot(project: Project, slot: int, reviewer: str, answer: Any, explanation: str) -> None:
    """Decide a slot's item; raises ConflictError before the reviewer has answered it themselves."""
    case = load_review_case(project, slot, reviewer)
    project.adjudicate(case.item.id, case.question.name, answer, by=reviewer, explanation=explanation)


def list_adjudication_choices(question: Question, given: Sequence[Any]) -> list[tuple[str, Any, int]]:
    """Return (key, answer, how many gave it) of the answers that an item can be decided as.

    All answers of the kind where they can be listed; else those that were given, the most frequent first. The key stands for
    the answer in a form.
    """
    kind = kinds.get(question.kind)
    votes = Counter(json.dumps(kind.vote(question, answer), sort_keys=True, default=list) for answer in given)
    named = kind.possible_votes(question)
    if named is None:
        first: dict[str, Any] = {}
        for answer in given:
            first.setdefault(json.dumps(kind.vote(question, answer), sort_keys=True, default=list), answer)
        return [(json.dumps(first[key], sort_keys=True), first[key], count) for key, count in votes.most_common()]
    known = kind.answers(question)
    if set(known) != set(named):  # a rating with classes: what is decided is a class
        return [(json.dumps(answer), answer, 0) for answer in known]
    return [(json.dumps(answer), answer, votes.get(json.dumps(answer), 0)) for answer in known]


def parse_adjudication_choice(text: str) -> Any:
    """Return the answer that a key of `list_adjudication_choices` stands for."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UserError("choose an answer", "one of those shown") from None
