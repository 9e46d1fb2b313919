"""Putting what a run asks before people, and reading what they have answered by now."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain import Item, Question, digest_of
from preceptor.errors import UserError
from preceptor.formats.atomic import atomic_write
from preceptor.formats.checksums import read_json
from preceptor.project import purposes
from preceptor.project.consulting.answers import Counted, answers_to, counted
from preceptor.project.consulting.prompts import Prompts
from preceptor.project.consulting.questions import question_for
from preceptor.recipes.consulting import Answer, Asked, Kind
from preceptor.snapshots import Snapshot
from preceptor.store import events, items, questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project

FILE = "people.json"  # in a run's folder: the items that it has had people asked about, by question
LEVELS = 10  # of priority: few, so that finding the next item stays cheap
RESPONSES = {"compare": 2, "correct": 1, "good": 1}
SHOWN = ("prompt", "messages", "sources", "format")  # beside what the model said
PEOPLE = {"correct": 1}  # who answer about each item; of other kinds as many as guidance begins with


@dataclass
class People:
    """`Run.ask`: the project's people, who find what it asks among their work, before anything else.

    origin: what an item tells of where it came from. most: items that the run may have them asked about in all. beyond: items
    that weren't put before people at the last call, since they are more than that.
    """

    project: Project
    snapshot: Snapshot
    folder: Path
    prompts: Prompts
    origin: Mapping[str, str]
    most: int | None = None
    beyond: int = 0
    _asked: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (path := self.folder / FILE).is_file():
            self._asked = read_json(path)

    def __call__(self, kind: Kind, asked: Sequence[Asked]) -> Mapping[str, Answer]:
        _check_priorities(asked)
        question = question_for(self.project, kind, self.snapshot)
        item_of = {each.id: self._item(kind, question.name, each) for each in asked}
        self._put(kind, question, sorted(asked, key=lambda each: -each.priority), item_of)
        said = answers_to(self.project, question, {item.id for item in item_of.values()})
        return {each.id: _answer(said[item_of[each.id].id], kind, each, item_of[each.id]) for each in asked if item_of[each.id].id in said}

    def counts(self) -> dict[str, Counted]:
        """By question, how far people are with what this run had them asked."""
        return {name: counted(self.project, name, asked) for name, asked in self._asked.items()}

    def _put(self, kind: Kind, question: Question, ranked: Sequence[Asked], item_of: Mapping[str, Item]) -> None:
        allowed = self._allowed(question.name, [item_of[each.id].id for each in ranked])
        levels = defaultdict[int, list[Item]](list)
        for each, level in zip(ranked, _levels([each.priority for each in ranked]), strict=True):
            if item_of[each.id].id in allowed:
                levels[level].append(item_of[each.id])
        for level, group in levels.items():
            if question.purpose:
                purposes.put(self.project, question, group, wanted=PEOPLE.get(kind), priority=level)
            else:
                _put_first(self.project, question, [item.id for item in group], level, self.origin)

    def _allowed(self, question: str, ranked: Iterable[str]) -> set[str]:
        """The items that people may be asked about; noted before they are, so that a kill can't make it more."""
        known = dict.fromkeys(self._asked.get(question, ()))
        new = [item for item in dict.fromkeys(ranked) if item not in known]
        left = len(new) if self.most is None else max(self.most - sum(map(len, self._asked.values())), 0)
        self.beyond = len(new[left:])
        if new[:left]:
            self._asked[question] = [*known, *new[:left]]
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.folder / FILE, "w") as file:
                json.dump(self._asked, file)
        return set(self._asked.get(question, ()))

    def _item(self, kind: Kind, question: str, asked: Asked) -> Item:
        """What people look at: an item that is there, or one made of a prompt and what a model said to it.

        Known by what it shows, so that what was answered in one run isn't asked again in another.
        """
        if self.prompts.is_held_out(asked.id, asked.content):
            raise UserError("a run can't have people asked about validation and test rows", "ask about others", where=asked.id)
        if kind == "label":
            return Item(asked.id, asked.content, "")
        content = _content(kind, asked)
        origin = {**self.origin, "asked": asked.id}
        return Item(f"asked-{digest_of([question, content])[:16]}", content, self.prompts.group(content), origin)


def _content(kind: Kind, asked: Asked) -> dict[str, Any]:
    """As it is stored and shown: a draft to correct is a completion, and NUL characters, which models may write, are replaced."""
    content, said = asked.content, [str(text).replace("\0", "\ufffd") for text in asked.content.get("responses", ())]
    if ("prompt" in content) == ("messages" in content) or len(said) != RESPONSES[kind]:
        form = f'"prompt" or "messages", and "responses", as many as {RESPONSES[kind]}'
        raise UserError(f"{kind!r} can't be asked about this content", f"it must have {form}", where=asked.id)
    shown = {part: value for part, value in content.items() if part in SHOWN}
    return {**shown, "completion": said[0]} if kind == "correct" else {**shown, "responses": said}


def _answer(said: Answer, kind: Kind, asked: Asked, item: Item) -> Answer:
    """As the run takes it: what was left as it was is the draft itself, however lines end in forms."""
    if kind == "correct" and str(said).splitlines() == str(item.content["completion"]).splitlines():
        return str(asked.content["responses"][0])
    return said


def _put_first(project: Project, question: Question, ids: Sequence[str], level: int, origin: Mapping[str, str]) -> None:
    """Have ordinary items come first among those of their question. UserError for one that isn't there."""
    with project.database.writing() as connection:
        key, _ = questions.get(connection, question.name)
        known = items.keys(connection, ids)
        if unknown := next((id_ for id_ in ids if id_ not in known), None):
            raise UserError(f"there is no item {unknown!r} to label", "ask about items that run.unlabelled gives")
        slots.open_for(connection, key, ((pk, id_) for id_, pk in known.items()), wanted=project.config.guidance.least)
        slots.prioritise(connection, key, dict.fromkeys(ids, level))
        events.record(connection, "items put first", {**origin, "question": question.name, "items": len(ids)})


def _check_priorities(asked: Sequence[Asked]) -> None:
    if bad := next((each for each in asked if not math.isfinite(each.priority)), None):
        raise UserError(f"a priority must be a finite number, not {bad.priority}", "0.0 where nothing is known", where=bad.id)


def _levels(priorities: Sequence[float]) -> list[int]:
    """1 to LEVELS, the highest for the highest priority, equal ones alike."""
    distinct = sorted(set(priorities))
    level = {value: 1 + place * LEVELS // len(distinct) for place, value in enumerate(distinct)}
    return [level[value] for value in priorities]
