"""Assign the next item to an annotator and store their answer: gold mixed in, qualification, limits, follow-up questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from preceptor.annotation.question_admin import PURPOSE_ORDER
from preceptor.annotation.row_parser import parse_seconds
from preceptor.consensus.distances import DISTANCES
from preceptor.errors import ConflictError, NotFoundError, UserError
from preceptor.planning import QualificationRule, has_required_skills, is_gold_due, qualify_annotator
from preceptor.questions import is_follow_up_asked, kinds
from preceptor.storage import SlotAssignment, deferrals, events, gold, items, judgment_log, people, questions, slots
from preceptor.types import Annotator, Question

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage import Connection


_MAX_GOLD_DISTANCE = 0.5  # distance from the known answer, of answers that can be partly right, up to which one counts as right


@dataclass(frozen=True)
class GoldFeedback:
    """What an annotator is told about their answer to an item whose answer is known."""

    is_correct: bool
    answer: Any
    explanation: str


def assign_next(project: Project, annotator: str, question: str | None, lease_seconds: float, besides: int) -> SlotAssignment | None:
    """Assign an annotator their next item, of one question or of any; return None when nothing is left for them.

    Raises NotFoundError when there is no such annotator, ConflictError when they are paused or have reached their limit for the day.
    """
    with project.database.writing() as connection:
        who = project.cache.annotator_key(connection, annotator)
        person = people.get(connection, who)
        _check_annotator_limits(connection, who, person)
        asked = (
            [questions.get(connection, question)] if question else _rank_questions(connection, project.cache.active_questions(connection))
        )
        for key, each in asked:
            if each.follows or not has_required_skills(each.skills, person.skills):
                continue
            known = _choose_gold_mode(project, connection, who, person, each)
            if known is None:
                continue
            how: dict[str, Any] = {"lease_seconds": lease_seconds, "tier": slots.TIERS[person.role], "besides": besides}
            if known and (found := slots.assign_next(connection, (key, each.name), who, known=True, **how)) is not None:
                return found
            if known == "only" and not _finish_qualification(project, connection, who, key, each):
                continue
            if (found := slots.assign_next(connection, (key, each.name), who, **how)) is not None:
                return found
    return None


def submit_answer(
    project: Project,
    slot: int,
    annotator: str,
    answer: Any,
    *,
    seconds: float | None = None,
    key: str | None = None,
    follow_ups: Mapping[str, Any] = {},
    asked: bool = False,
) -> tuple[int, bool]:
    """Store the answer to a slot and those to its follow-up questions in one transaction; return (number, whether it is new).

    The parameters are those of `Project.submit`.
    """
    with project.database.writing() as connection:
        item, question_key = slots.item_and_question(connection, slot)
        question = project.cache.question_by_key(connection, question_key)
        who = project.cache.annotator_key(connection, annotator)
        content = _load_content(connection, item, question, follow_ups)
        parsed = parse_answer(question, answer, content)
        more = _parse_follow_ups(project, connection, question, parsed, follow_ups, content) if asked or follow_ups else {}
        context = {"suggested": shown} if (shown := get_suggestion(project, connection, item, question.name, annotator)) else None
        spent = parse_seconds(seconds)
        place = item, question_key
        number, new = judgment_log.submit_answer(
            connection, slot, who, parsed, seconds=spent, key=key, context=context, asked=asked, place=place
        )
        if new:
            for follower, (name, said) in more.items():
                own = f"{key}/{name}" if key else None
                judgment_log.add_judgment(connection, item, follower, who, said, seconds=None, key=own)
            if project.config.annotators.require_qualification:
                _update_qualification(project, connection, who, question_key, question, item)
        return number, new


def parse_answer(question: Question, answer: Any, content: Mapping[str, Any] | None) -> Any:
    """Return the answer in its stored form; UserError, at the question's name, says why it isn't valid."""
    kind = kinds.get(question.kind)
    try:
        parsed = kind.parse(question, answer)
        if content is not None and kind.needs_item:
            kind.check(question, parsed, content)
    except UserError as error:
        raise UserError(error.message, error.hint, where=error.where or question.name) from None
    return parsed


def skip_slot(project: Project, slot: int, annotator: str, *, reason: str, flag: bool) -> None:
    """Return a slot unanswered; with `flag` a manager sees it and the reason."""
    with project.database.writing() as connection:
        item, key = slots.item_and_question(connection, slot)
        who = project.cache.annotator_key(connection, annotator)
        slots.skip_slot(connection, slot, who, kind="flag" if flag else "skip", reason=reason[:2000])
        if flag:
            what = {
                "item": items.by_key(connection, item).id,
                "question": project.cache.question_by_key(connection, key).name,
                "reason": reason[:2000],
            }
            events.record_event(connection, "item flagged", what, actor=annotator)


def withdraw_answer(project: Project, number: int, annotator: str, lease_seconds: float) -> SlotAssignment:
    """Withdraw an annotator's own answer and assign its item to them again; ConflictError once the right answer has been shown."""
    if get_answer_feedback(project, number, annotator) is not None:
        raise ConflictError("you have been told the answer to this item, so yours stays as it is", "go on with the next item")
    with project.database.writing() as connection:
        who = project.cache.annotator_key(connection, annotator)
        slot = judgment_log.withdraw_judgment(connection, number, who)
        slots.lease_slot(connection, slot, who, lease_seconds=lease_seconds)
        return slots.get_assignment(connection, slot, who)


def get_answer_feedback(project: Project, number: int, annotator: str) -> GoldFeedback | None:
    """Return what an annotator is told about their own answer, where it is known and feedback is on; None while they are being tested."""
    if not project.config.annotators.feedback:
        return None
    with project.database.reading() as connection:
        judgment = judgment_log.find_judgment(connection, number)
        if judgment is None or judgment.annotator != annotator:
            raise NotFoundError(f"there is no judgment {number} of yours", "only of your own answers")
        key, question = questions.get(connection, judgment.question)
        who = project.cache.annotator_key(connection, annotator)
        if project.config.annotators.require_qualification and people.find_qualification(connection, who, question.name) is None:
            return None
        known = gold.find_answer(connection, key, items.keys(connection, [judgment.item])[judgment.item])
    if known is None:
        return None
    return GoldFeedback(is_correct(question, judgment.answer, known[0]), known[0], known[1])


def is_correct(question: Question, answer: Any, known: Any) -> bool:
    """Tell whether an answer agrees with the known one: the same or its class.

    Of sets, orders, texts, passages and claims at least half must agree.
    """
    kind = kinds.get(question.kind)
    if (distances := DISTANCES.get(kind.level)) is not None:
        return bool(distances([kind.vote(question, answer), kind.vote(question, known)])[0, 1] <= _MAX_GOLD_DISTANCE)
    return bool(kind.vote(question, kind.to_consensus_answer(question, answer)) == kind.vote(question, known))


def get_suggestion(project: Project, connection: Connection, item: int, question: str, annotator: str) -> Any:
    """Return the model's suggestion that this annotator is shown about an item, None where there is none or they answer blind.

    Suggestions lie in an item's metadata as {"suggestions": {question: answer}}. They bias, so that a share of (annotator, item) pairs,
    chosen by a hash, is answered blind, and what was shown is kept with the judgment.
    """
    rule = project.config.annotators
    if not rule.suggestions or is_gold_due(f"blind/{annotator}", item, rule.blind_share, secret=project.cache.load_secret(connection)):
        return None
    guesses = items.by_key(connection, item).metadata.get("suggestions")
    return guesses.get(question) if isinstance(guesses, Mapping) else None


def load_suggestion(project: Project, found: SlotAssignment, annotator: str) -> Any:
    """Return the model's suggestion for an assigned item, None where there is none to show."""
    if not project.config.annotators.suggestions:
        return None
    with project.database.writing() as connection:  # the project's secret is made when it is first needed
        return get_suggestion(project, connection, items.keys(connection, [found.item])[found.item], found.question, annotator)


def _rank_questions(connection: Connection, asked: Sequence[tuple[int, Question]]) -> list[tuple[int, Question]]:
    """Return the questions in order of urgency: first those whose answer a model's caller waits for, then by PURPOSE_ORDER."""
    by_callers = deferrals.list_waiting_questions(connection)

    def rank(key: int, purpose: str) -> int:
        return (
            -1
            if key in by_callers
            else next((place for place, first in enumerate(PURPOSE_ORDER) if purpose.startswith(first)), len(PURPOSE_ORDER))
        )

    return sorted(asked, key=lambda each: rank(each[0], each[1].purpose))


def utc_midnight() -> float:
    """Return when the day began in UTC, by which daily limits count, in Unix seconds."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def _check_annotator_limits(connection: Connection, key: int, person: Annotator) -> None:
    if person.paused:
        raise ConflictError("your work is paused", "ask the manager of the project; what you have answered is kept")
    if person.daily_limit is not None and people.count_answers_since(connection, key, utc_midnight()) >= person.daily_limit:
        raise ConflictError(f"you have answered {person.daily_limit} today, which is your limit", "come back tomorrow (UTC)")


def _choose_gold_mode(project: Project, connection: Connection, key: int, person: Annotator, question: Question) -> str | None:
    """Return "only" gold while they are being tested, "first" gold at intervals, "" for any item; None when they may not answer."""
    rule = project.config.annotators
    if rule.require_qualification and person.kind == "person" and not slots.TIERS[person.role]:
        outcome = people.find_qualification(connection, key, question.name)
        if outcome != "pass":
            return None if outcome == "fail" else "only"
    turn = rule.gold_share and is_gold_due(
        person.id, judgment_log.last_number_of(connection, key), rule.gold_share, secret=project.cache.load_secret(connection)
    )
    return "first" if turn else ""


def _finish_qualification(project: Project, connection: Connection, who: int, key: int, question: Question) -> bool:
    """Decide a test whose gold has run out, by the answers there are; return whether the annotator may go on.

    They may where there are no answers.
    """
    right = [is_correct(question, said, known) for said, known in gold.answers_with_gold(connection, key, who)]
    if not right:
        return True
    rule = project.config.qualification
    return (
        _record_qualification(connection, who, question, right, rule.model_copy(update={"max_items": min(len(right), rule.max_items)}))
        == "pass"
    )


def _update_qualification(project: Project, connection: Connection, who: int, key: int, question: Question, item: int) -> None:
    """Decide after an answer to gold whether the annotator passes, fails, or goes on."""
    if people.find_qualification(connection, who, question.name) is not None or gold.find_answer(connection, key, item) is None:
        return
    right = [is_correct(question, said, known) for said, known in gold.answers_with_gold(connection, key, who)]
    _record_qualification(connection, who, question, right, project.config.qualification)


def _record_qualification(connection: Connection, who: int, question: Question, right: list[bool], rule: QualificationRule) -> str:
    """Record and return the verdict on somebody's gold answers, once there is one."""
    verdict = qualify_annotator(right, rule)
    if verdict.outcome != "more":
        evidence = {"right": verdict.right, "asked": verdict.asked, "accuracy": verdict.accuracy.to_dict()}
        people.record_qualification(connection, who, question.name, verdict.outcome, evidence, by="test")
    return verdict.outcome


def _load_content(connection: Connection, item: int, question: Question, follow_ups: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the item's content, where an answer can't be checked without it."""
    return items.by_key(connection, item).content if follow_ups or kinds.get(question.kind).needs_item else None


def _parse_follow_ups(
    project: Project, connection: Connection, question: Question, answer: Any, given: Mapping[str, Any], content: Mapping[str, Any] | None
) -> dict[int, tuple[str, Any]]:
    """Return (name, checked answer) by key of the follow-up questions; UserError when one is missing, or wasn't asked."""
    found, left = {}, dict(given)
    for key, each in project.cache.active_questions(connection):
        if not each.follows or each.follows["question"] != question.name or not is_follow_up_asked(each, answer):
            continue
        if each.name not in left:
            raise UserError(f"{each.name!r} isn't answered", "it is asked after this answer", where=each.name)
        found[key] = (each.name, parse_answer(each, left.pop(each.name), content))
    if left:
        raise UserError(f"{next(iter(left))!r} isn't asked after this answer", "leave its answer out", where=next(iter(left)))
    return found


@dataclass(frozen=True)
class AssignedWork:
    """An item assigned to an annotator, with the questions of its form.

    form_questions: the question asked, in the version that the slot is for, and those that follow it. suggestion: the model's suggestion
    where they are shown it. has_newer_version: whether the question has a newer version by now.
    """

    assignment: SlotAssignment
    form_questions: list[Question]
    suggestion: Any
    has_newer_version: bool


@dataclass(frozen=True)
class AnnotatorStats:
    """What an annotator has done: judgments today (UTC) and in total, withdrawn ones included; answers to gold items, and the right ones.

    gold_count and correct_count are None where such feedback is off. failed_questions: questions whose test they didn't pass.
    """

    today_count: int
    total_count: int
    daily_limit: int | None
    paused: bool
    gold_count: int | None
    correct_count: int | None
    failed_questions: tuple[str, ...]


def load_assigned_work(project: Project, assignment: SlotAssignment, annotator: str) -> AssignedWork:
    """Load the form questions and the suggestion that go with an assigned item."""
    with project.database.reading() as connection:
        return _build_assigned_work(project, connection, assignment, annotator)


def load_held_work(project: Project, slot: int, annotator: str) -> AssignedWork:
    """Load an item that an annotator holds already, also when its lease has expired; raises UserError when they don't hold it."""
    with project.database.reading() as connection:
        return _build_assigned_work(
            project, connection, slots.get_assignment(connection, slot, project.cache.annotator_key(connection, annotator)), annotator
        )


def list_slot_questions(project: Project, slot: int) -> list[Question]:
    """Return the questions of a slot's form, whoever holds it; raises UserError when there is no such slot."""
    with project.database.reading() as connection:
        return _list_form_questions(
            project, connection, project.cache.question_by_key(connection, slots.item_and_question(connection, slot)[1])
        )


def load_annotator_stats(project: Project, annotator: str) -> AnnotatorStats:
    """Load what an annotator has done so far."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    with project.database.reading() as connection:
        who = project.cache.annotator_key(connection, annotator)
        person = people.get(connection, who)
        asked = [(key, each) for key, each in project.cache.active_questions(connection) if not each.follows]
        tested = (
            {each.name: people.find_qualification(connection, who, each.name) for _, each in asked}
            if project.config.annotators.require_qualification
            else {}
        )
        shown = [(key, each) for key, each in asked if not project.config.annotators.require_qualification or tested[each.name] is not None]
        marks = [is_correct(each, said, known) for key, each in shown for said, known in gold.answers_with_gold(connection, key, who)]
        told = project.config.annotators.feedback
        return AnnotatorStats(
            today_count=people.count_answers_since(connection, who, midnight),
            total_count=people.count_answers_since(connection, who, 0),
            daily_limit=person.daily_limit,
            paused=person.paused,
            gold_count=len(marks) if told else None,
            correct_count=sum(marks) if told else None,
            failed_questions=tuple(name for name, outcome in tested.items() if outcome == "fail"),
        )


def _build_assigned_work(project: Project, connection: Connection, assignment: SlotAssignment, annotator: str) -> AssignedWork:
    item, key = slots.item_and_question(connection, assignment.slot)
    first = project.cache.question_by_key(connection, key)
    revised = key not in [newest for newest, _ in project.cache.active_questions(connection)]
    return AssignedWork(
        assignment,
        _list_form_questions(project, connection, first),
        get_suggestion(project, connection, item, first.name, annotator),
        revised,
    )


def _list_form_questions(project: Project, connection: Connection, first: Question) -> list[Question]:
    following = [each for _, each in project.cache.active_questions(connection) if each.follows and each.follows["question"] == first.name]
    return [first, *following]
