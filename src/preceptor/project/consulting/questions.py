"""The questions that people are asked for a run's sake: one of each kind for a snapshot's question, which all its runs share.

What several runs ask adds up there: annotators are known by all that they answered, and a snapshot of it holds all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.project.purposes import TRAINING
from preceptor.project.told import COMPLETION, PREFERENCE
from preceptor.questions import define
from preceptor.recipes.consulting import Kind
from preceptor.snapshots import Snapshot
from preceptor.store import questions

if TYPE_CHECKING:
    from preceptor.project.project import Project

GOOD = ("good", "bad")
_WORDS = {
    "compare": "Which answer is better?\n\nBoth answer the same prompt. An answer isn't better for being longer.",
    "correct": "What should have been answered?\n\nCorrect the response, or leave it as it is where nothing is wrong with it.",
    "good": "Is this answer good?\n\nA good answer could be sent as it is.",
}
_FIELDS: Mapping[str, dict[str, Any]] = {
    "compare": {"kind": "compare", "settings": {"responses": 2}},
    "correct": {"kind": "write", "settings": {"correct": True}},
    "good": {"kind": "choice", "options": list(GOOD)},
}
_SAME = {"compare": "compare", "write": "correct"}  # a snapshot's own question of such a kind asks the very same


def question_for(project: Project, kind: Kind, snapshot: Snapshot) -> Question:
    """What people are asked, in the words in which it was asked before. UserError where that can't be asked.

    label: the snapshot's own question, which must be as it was then, and have answers to choose from.
    """
    own = snapshot.question
    with project.database.reading() as connection:
        known = {each.name: each for _, each in questions.active(connection)}
    if kind == "label":
        return _own(known, own)
    root = _root(known, own)
    name = f"{root['name']}-{kind}"
    made = define({"name": name, "instructions": _instructions(kind, root), **_FIELDS[kind]})
    asked = replace(made, purpose=f"{TRAINING}{name}")
    before = known.get(name)
    return before if before is not None and before.purpose == asked.purpose else asked


def _root(known: Mapping[str, Question], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """The question for whose sake people are asked: the snapshot's own; where an earlier run asked that, the one before it."""
    asked = known.get(own["name"])
    if asked is None or not asked.purpose.startswith(TRAINING):
        return own
    name = asked.name.rpartition("-")[0]
    first = known.get(name)
    return {"name": name, "kind": first.kind if first else "", "instructions": first.instructions if first else ""}


def _own(known: Mapping[str, Question], own: Mapping[str, Any]) -> Question:
    asked = known.get(own["name"])
    if asked is None or asked.version != own["version"]:
        now = "isn't asked any more" if asked is None else f"has version {asked.version} now, and version {own['version']} there"
        raise UserError(f"the snapshot's question {own['name']!r} {now}", "take a new snapshot, and train on that")
    if not own["answers"] or asked.follows:
        raise UserError(f"people can't be asked to label by {own['name']!r}", "label by a question with answers to choose from")
    return asked


def _instructions(kind: Kind, own: Mapping[str, Any]) -> str:
    """The snapshot's own words where it asks the same; else ours, and below them what the answers were asked for."""
    told = "" if own["name"] in (COMPLETION.name, PREFERENCE.name) else str(own["instructions"]).strip()
    if told and _SAME.get(own["kind"]) == kind:
        return told
    return f"{_WORDS[kind]}\n\nWhat people were asked before: {told}" if told else _WORDS[kind]
