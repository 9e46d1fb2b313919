"""Who is asked what next, and what becomes of the answer: gold mixed in, qualification, limits, follow-up questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from preceptor.aggregation.distances import DISTANCES
from preceptor.domain import Annotator, Question
from preceptor.errors import Conflict, NotFound, UserError
from preceptor.guidance import Qualification, is_gold_turn, needs, qualify
from preceptor.project.entries import seconds_from
from preceptor.project.purposes import FIRST
from preceptor.questions import is_asked, kinds
from preceptor.store import Assignment, deferrals, events, gold, items, journal, people, questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

NEAR = 0.5  # distance from the known answer, of answers that can be partly right, up to which one counts as right


@dataclass(frozen=True)
class Feedback:
    """What a person learns of their answer to an item whose answer is known."""

    right: bool
    answer: Any
    explanation: str


def take(project: Project, annotator: int, question: str | None, lease_seconds: float, besides: int) -> Assignment | None:
    """What this annotator shall answer next, of one question or of any; None when nothing is left for them.

    UserError when they are paused or have reached their limit for the day.
    """
    with project.database.writing() as connection:
        person = people.get(connection, annotator)
        _check(connection, annotator, person)
        asked = [questions.get(connection, question)] if question else _waited_for_first(connection, project.active(connection))
        for key, each in asked:
            if each.follows or not needs(each.skills, person.skills):
                continue
            known = _wants_gold(project, connection, annotator, person, each)
            if known is None:
                continue
            how: dict[str, Any] = {"lease_seconds": lease_seconds, "tier": slots.TIERS[person.role], "besides": besides}
            if known and (found := slots.take(connection, (key, each.name), annotator, known=True, **how)) is not None:
                return found
            if known == "only" and not _decided(project, connection, annotator, key, each):
                continue
            if (found := slots.take(connection, (key, each.name), annotator, **how)) is not None:
                return found
    return None


def submit(
    project: Project,
    slot: int,
    annotator: str,
    answer: Any,
    *,
    seconds: float | None,
    key: str | None,
    follow_ups: Mapping[str, Any],
    asked: bool,
) -> tuple[int, bool]:
    """Keep the answer to a slot, and those to the questions that follow it, in one transaction; (judgment's number, whether it is new)."""
    with project.database.writing() as connection:
        item, question_key = slots.item_and_question(connection, slot)
        question = project.asked(connection, question_key)
        who = project.key_of(connection, annotator)
        content = _content(connection, item, question, follow_ups)
        parsed = parsed_answer(question, answer, content)
        more = _followed(project, connection, question, parsed, follow_ups, content) if asked or follow_ups else {}
        context = {"suggested": shown} if (shown := suggestion(project, connection, item, question.name, annotator)) else None
        spent = seconds_from(seconds)
        place = item, question_key
        number, new = journal.submit(connection, slot, who, parsed, seconds=spent, key=key, context=context, asked=asked, place=place)
        if new:
            for follower, (name, said) in more.items():
                own = f"{key}/{name}" if key else None
                journal.judge(connection, item, follower, who, said, seconds=None, key=own)
            if project.config.people.qualify:
                _examine(project, connection, who, question_key, question, item)
        return number, new


def parsed_answer(question: Question, answer: Any, content: Mapping[str, Any] | None) -> Any:
    """The answer in its stored form; UserError, at the question's name, says why it isn't one."""
    kind = kinds.get(question.kind)
    try:
        parsed = kind.parse(question, answer)
        if content is not None and kind.needs_item:
            kind.check(question, parsed, content)
    except UserError as error:
        raise UserError(error.message, error.hint, where=error.where or question.name) from None
    return parsed


def pass_on(project: Project, slot: int, annotator: str, *, reason: str, flag: bool) -> None:
    """Give a slot back unanswered; with `flag` a manager sees it and why."""
    with project.database.writing() as connection:
        item, key = slots.item_and_question(connection, slot)
        who = project.key_of(connection, annotator)
        slots.give_up(connection, slot, who, kind="flag" if flag else "skip", reason=reason[:2000])
        if flag:
            what = {"item": items.by_key(connection, item).id, "question": project.asked(connection, key).name, "reason": reason[:2000]}
            events.record(connection, "item flagged", what, actor=annotator)


def take_back(project: Project, number: int, annotator: str, lease_seconds: float) -> Assignment:
    """Take one's own answer back, and the item with it, to answer it again; Conflict once the right answer has been shown."""
    if feedback(project, number, annotator) is not None:
        raise Conflict("you have been told the answer to this item, so yours stays as it is", "go on with the next item")
    with project.database.writing() as connection:
        who = project.key_of(connection, annotator)
        slot = journal.withdraw(connection, number, who)
        slots.lease(connection, slot, who, lease_seconds=lease_seconds)
        return slots.held(connection, slot, who)


def feedback(project: Project, number: int, annotator: str) -> Feedback | None:
    """What a person learns of their own answer, where it is known and feedback is on; nothing while they are being tested."""
    if not project.config.people.feedback:
        return None
    with project.database.reading() as connection:
        judgment = journal.get(connection, number)
        if judgment is None or judgment.annotator != annotator:
            raise NotFound(f"there is no judgment {number} of yours", "only of your own answers")
        key, question = questions.get(connection, judgment.question)
        who = project.key_of(connection, annotator)
        if project.config.people.qualify and people.qualification(connection, who, question.name) is None:
            return None
        known = gold.of_item(connection, key, items.keys(connection, [judgment.item])[judgment.item])
    if known is None:
        return None
    return Feedback(is_right(question, judgment.answer, known[0]), known[0], known[1])


def is_right(question: Question, answer: Any, known: Any) -> bool:
    """Whether an answer says what is known: the same or its class; of sets, orders, texts, passages and claims at least half of it."""
    kind = kinds.get(question.kind)
    if (distances := DISTANCES.get(kind.level)) is not None:
        return bool(distances([kind.vote(question, answer), kind.vote(question, known)])[0, 1] <= NEAR)
    return bool(kind.vote(question, kind.stands_for(question, answer)) == kind.vote(question, known))


def suggestion(project: Project, connection: Connection, item: int, question: str, annotator: str) -> Any:
    """The model's guess that this person is shown about an item, None where there is none or they answer blind.

    Guesses lie in an item's metadata as {"suggestions": {question: answer}}. They bias, so that a share answers blind
    (which pairs is a hash), and what was shown is kept with the judgment.
    """
    rule = project.config.people
    if not rule.suggestions or is_gold_turn(f"blind/{annotator}", item, rule.blind, secret=project.secret(connection)):
        return None
    guesses = items.by_key(connection, item).metadata.get("suggestions")
    return guesses.get(question) if isinstance(guesses, Mapping) else None


def suggested(project: Project, found: Assignment, annotator: str) -> Any:
    """The model's guess that goes with an item handed out, None where there is none to show."""
    if not project.config.people.suggestions:
        return None
    with project.database.writing() as connection:  # the draw's secret is made when it is needed first
        return suggestion(project, connection, items.keys(connection, [found.item])[found.item], found.question, annotator)


def _waited_for_first(connection: Connection, asked: Sequence[tuple[int, Question]]) -> list[tuple[int, Question]]:
    """What somebody waits for goes before all else, and before that what a caller of a model does."""
    by_callers = deferrals.waited_for(connection)

    def rank(key: int, purpose: str) -> int:
        return -1 if key in by_callers else next((place for place, first in enumerate(FIRST) if purpose.startswith(first)), len(FIRST))

    return sorted(asked, key=lambda each: rank(each[0], each[1].purpose))


def today() -> float:
    """When the day began in UTC, by which daily limits count; Unix seconds."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def _check(connection: Connection, key: int, person: Annotator) -> None:
    if person.paused:
        raise Conflict("your work is paused", "ask the manager of the project; what you have answered is kept")
    if person.daily_limit is not None and people.answered_since(connection, key, today()) >= person.daily_limit:
        raise Conflict(f"you have answered {person.daily_limit} today, which is your limit", "come back tomorrow (UTC)")


def _wants_gold(project: Project, connection: Connection, key: int, person: Annotator, question: Question) -> str | None:
    """ "only" gold while they are being tested, "first" gold by turns, "" for any item; None when they may not answer."""
    rule = project.config.people
    if rule.qualify and person.kind == "person" and not slots.TIERS[person.role]:
        outcome = people.qualification(connection, key, question.name)
        if outcome != "pass":
            return None if outcome == "fail" else "only"
    turn = rule.gold and is_gold_turn(person.id, journal.last_of(connection, key), rule.gold, secret=project.secret(connection))
    return "first" if turn else ""


def _decided(project: Project, connection: Connection, who: int, key: int, question: Question) -> bool:
    """The gold has run out before the test was over: what there is decides. Whether they may go on; they may where there is none."""
    right = [is_right(question, said, known) for said, known in gold.given(connection, key, who)]
    if not right:
        return True
    rule = project.config.qualification
    return _judged(connection, who, question, right, rule.model_copy(update={"most": min(len(right), rule.most)})) == "pass"


def _examine(project: Project, connection: Connection, who: int, key: int, question: Question, item: int) -> None:
    """After an answer to gold: does the person pass, fail, or go on?"""
    if people.qualification(connection, who, question.name) is not None or gold.of_item(connection, key, item) is None:
        return
    right = [is_right(question, said, known) for said, known in gold.given(connection, key, who)]
    _judged(connection, who, question, right, project.config.qualification)


def _judged(connection: Connection, who: int, question: Question, right: list[bool], rule: Qualification) -> str:
    """Keep the verdict on somebody's gold answers, once there is one; what it is."""
    verdict = qualify(right, rule)
    if verdict.outcome != "more":
        evidence = {"right": verdict.right, "asked": verdict.asked, "accuracy": verdict.accuracy.to_dict()}
        people.qualified(connection, who, question.name, verdict.outcome, evidence, by="test")
    return verdict.outcome


def _content(connection: Connection, item: int, question: Question, follow_ups: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The item's content, where an answer can't be checked without it."""
    return items.by_key(connection, item).content if follow_ups or kinds.get(question.kind).needs_item else None


def _followed(
    project: Project, connection: Connection, question: Question, answer: Any, given: Mapping[str, Any], content: Mapping[str, Any] | None
) -> dict[int, tuple[str, Any]]:
    """(name, checked answer) by key of the questions that follow; UserError when one is missing, or wasn't asked."""
    found, left = {}, dict(given)
    for key, each in project.active(connection):
        if not each.follows or each.follows["question"] != question.name or not is_asked(each, answer):
            continue
        if each.name not in left:
            raise UserError(f"{each.name!r} isn't answered", "it is asked after this answer", where=each.name)
        found[key] = (each.name, parsed_answer(each, left.pop(each.name), content))
    if left:
        raise UserError(f"{next(iter(left))!r} isn't asked after this answer", "leave its answer out", where=next(iter(left)))
    return found
