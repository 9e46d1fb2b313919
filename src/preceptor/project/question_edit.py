"""Options of a question renamed, merged, added or removed: its next version, to which everything that was answered is carried over."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.questions import check_follows, kinds
from preceptor.questions.label_spelling import spelling_groups
from preceptor.registry import did_you_mean
from preceptor.store import events, items, question_versions, questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project

KINDS = ("choice", "multilabel")


def edit_options(
    project: Project,
    name: str,
    *,
    rename: Mapping[str, str] = {},
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    fold: bool = False,
) -> tuple[Question, int]:
    """Make the next version of a question, and carry over what was answered; the version, and how many judgments were carried over.

    rename: option -> its new name; two with one name are merged. remove: options that nobody chose. fold: options that differ only
    in capitals or spaces become the one that was chosen most. UserError for an option that isn't there or is still needed; all of it
    is done or nothing.
    """
    with project.database.writing() as connection:
        key, question = questions.get(connection, name)
        if question.kind not in KINDS:
            raise UserError(f"the options of a {question.kind} can't be renamed", f"of {' and '.join(KINDS)} they can", where=name)
        given = question_versions.answers_given(connection, key)
        chosen = Counter[str]()
        for answer, count in given.items():
            chosen.update(dict.fromkeys(_labels(json.loads(answer)), count))
        names = {**(_folding(question, chosen) if fold else {}), **rename}
        made = _edited(question, names, add, remove, chosen)
        if made.options == question.options:
            return question, 0
        made = questions.add(connection, kinds.get(made.kind).define(made))
        new, _ = questions.get(connection, name)
        for _, other in questions.active(connection):
            if other.follows and other.follows["question"] == name:
                check_follows(other, {made.name: made})
        if not made.follows and not made.purpose:
            slots.open_for(connection, new, items.all_keys(connection), wanted=project.config.guidance.least)
        moved = question_versions.carry_over(connection, key, new, lambda answer: _renamed(made, names, answer))
        about = {"name": name, "version": made.version, "renamed": names, "added": list(add), "removed": list(remove), "judgments": moved}
        events.record(connection, "question options edited", about)
    project.forget_questions()
    return made, moved


def _edited(question: Question, names: Mapping[str, str], add: Sequence[str], remove: Sequence[str], chosen: Mapping[str, int]) -> Question:
    options = question.options
    for option in (*names, *remove):
        if option not in options:
            hint = f"options: {', '.join(map(str, options))}"
            raise UserError(f"{option!r} is not an option of {question.name!r}{did_you_mean(option, options)}", hint)
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


def _folding(question: Question, chosen: Mapping[str, int]) -> dict[str, str]:
    groups = spelling_groups({option: chosen.get(option, 0) for option in question.options})
    return {option: name for name, group in groups.items() for option in group if option != name}


def _renamed(question: Question, names: Mapping[str, str], answer: Any) -> Any:
    labels = [names.get(label, label) for label in _labels(answer)]
    return labels[0] if isinstance(answer, str) else [option for option in question.options if option in labels]


def _labels(answer: Any) -> list[str]:
    return [answer] if isinstance(answer, str) else list(answer)
