"""Edit a question's options and carry its judgments over, and queue items for questions that have a purpose of their own.

A purpose is what a model's answers to verify, or pairs of answers to compare, are asked for. It keeps them apart: ordinary questions
aren't asked about such items, and theirs about no other items.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.questions import check_follow_up, kinds
from preceptor.questions.label_spelling import group_spellings
from preceptor.registry import suggest_name
from preceptor.storage import Connection, events, items, questions, slots
from preceptor.types import Item, Question

if TYPE_CHECKING:
    from preceptor.project import Project


TRAINING_PURPOSE_PREFIX = "training/"  # begins the purposes of questions that a training run asks
LIVE_PURPOSE_PREFIX = "live/"  # begins the purposes of questions about served answers
PURPOSE_ORDER = (
    f"{LIVE_PURPOSE_PREFIX}answers",
    LIVE_PURPOSE_PREFIX,
    TRAINING_PURPOSE_PREFIX,
)  # the order in which they are asked, before all else


def enqueue_items(project: Project, question: Question, new: Sequence[Item], *, target_count: int | None = None, priority: int = 0) -> int:
    """Queue items for a question, both of the question's purpose, and return how many items were new; the same again adds nothing.

    target_count: judgments of each item, by default the stop rule's initial number; it adds none to existing items. Raises UserError when
    the question's name is that of one with another purpose.
    """
    with project.database.writing() as connection:
        _check_question_name(connection, question)
        kept = questions.add(connection, question)
        key, _ = questions.get(connection, kept.name)
        added = items.add(connection, [replace(item, purpose=question.purpose) for item in new])
        keys = items.keys(connection, [item.id for item in new])
        opened = ((pk, id_) for id_, pk in keys.items())
        slots.open_slots(
            connection, key, opened, target_count=target_count or project.config.redundancy.initial_judgments, priority=priority
        )
        if added:
            events.record_event(connection, "items put before people", {"question": kept.name, "purpose": kept.purpose, "items": added})
    project.cache.forget_questions()
    return added


def close_question(project: Project, question: str) -> int:
    """Stop asking about a question's items and return how many waited for answers; answers to items that people hold are still accepted."""
    with project.database.writing() as connection:
        key, asked = questions.get(connection, question)
        counts = slots.counts_by_item(connection, key)
        waiting = {item: each.judgment_count for item, each in counts.items() if each.judgment_count < each.target_count}
        slots.set_target_counts(connection, key, waiting)
        if waiting:
            events.record_event(connection, "asking ended", {"question": asked.name, "items": len(waiting)})
    return len(waiting)


def _check_question_name(connection: Connection, question: Question) -> None:
    taken = next((each for _, each in questions.list_active(connection) if each.name == question.name), None)
    if taken is not None and taken.purpose != question.purpose:
        raise UserError(f"there is another question called {question.name!r}", "rename it in its file, and add it anew")


_EDITABLE_KINDS = ("choice", "multilabel")


def edit_options(
    project: Project,
    name: str,
    *,
    rename: Mapping[str, str] = {},
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    fold: bool = False,
) -> tuple[Question, int]:
    """Make the next version of a question, and carry its answers over; return the version, and how many judgments were carried over.

    rename: option -> its new name; two with one name are merged. remove: options that nobody chose. fold: options that differ only
    in capitals or spaces become the one that was chosen most. Raises UserError for an option that doesn't exist or is still needed; all
    of it is done or nothing.
    """
    with project.database.writing() as connection:
        key, question = questions.get(connection, name)
        if question.kind not in _EDITABLE_KINDS:
            raise UserError(
                f"the options of a {question.kind} can't be renamed", f"of {' and '.join(_EDITABLE_KINDS)} they can", where=name
            )
        given = questions.count_answers(connection, key)
        chosen = Counter[str]()
        for answer, count in given.items():
            chosen.update(dict.fromkeys(_answer_labels(json.loads(answer)), count))
        names = {**(_spelling_renames(question, chosen) if fold else {}), **rename}
        made = _edit_question(question, names, add, remove, chosen)
        if made.options == question.options:
            return question, 0
        made = questions.add(connection, kinds.get(made.kind).define(made))
        new, _ = questions.get(connection, name)
        for _, other in questions.list_active(connection):
            if other.follows and other.follows["question"] == name:
                check_follow_up(other, {made.name: made})
        if not made.follows and not made.purpose:
            slots.open_slots(connection, new, items.all_keys(connection), target_count=project.config.redundancy.initial_judgments)
        moved = questions.carry_over(connection, key, new, lambda answer: _rename_answer(made, names, answer))
        about = {"name": name, "version": made.version, "renamed": names, "added": list(add), "removed": list(remove), "judgments": moved}
        events.record_event(connection, "question options edited", about)
    project.cache.forget_questions()
    return made, moved


def _edit_question(
    question: Question, names: Mapping[str, str], add: Sequence[str], remove: Sequence[str], chosen: Mapping[str, int]
) -> Question:
    options = question.options
    for option in (*names, *remove):
        if option not in options:
            hint = f"options: {', '.join(map(str, options))}"
            raise UserError(f"{option!r} is not an option of {question.name!r}{suggest_name(option, options)}", hint)
    for option in remove:
        if chosen.get(option):
            hint = f"--rename {option}=OTHER gives its answers to another option"
            raise UserError(f"{chosen[option]:,} judgments chose {option!r}, so it can't be removed", hint)
    for option in add:
        if option in options:
            raise UserError(f"{option!r} is an option of {question.name!r} already", "leave it out")
    kept = (names.get(option, option) for option in options if option not in remove)
    made, most = tuple(dict.fromkeys([*kept, *add])), question.settings.get("maximum")
    if most is None:
        return replace(question, options=made)
    most = len(made) if most == len(options) else min(most, len(made))
    return replace(question, options=made, settings={**question.settings, "maximum": most})


def _spelling_renames(question: Question, chosen: Mapping[str, int]) -> dict[str, str]:
    groups = group_spellings({option: chosen.get(option, 0) for option in question.options})
    return {option: name for name, group in groups.items() for option in group if option != name}


def _rename_answer(question: Question, names: Mapping[str, str], answer: Any) -> Any:
    labels = [names.get(label, label) for label in _answer_labels(answer)]
    return labels[0] if isinstance(answer, str) else [option for option in question.options if option in labels]


def _answer_labels(answer: Any) -> list[str]:
    return [answer] if isinstance(answer, str) else list(answer)
