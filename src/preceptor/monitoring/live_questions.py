"""What people are asked about what was served: to answer in a model's place, to correct it, and whether it was good.

Two purposes: items that end with a model's draft, which people write over, and items that show an answer, which people rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from preceptor.annotation.question_admin import LIVE_PURPOSE_PREFIX
from preceptor.errors import UserError
from preceptor.quality.duplicates import exact_key
from preceptor.questions import define_question, kinds
from preceptor.release.model_catalog import detect_served_kind
from preceptor.storage import Connection, items, questions, slots
from preceptor.types import Item, Question, render_content, strip_answer

if TYPE_CHECKING:
    from preceptor.project import Project


ANSWERS_PURPOSE, RATINGS_PURPOSE = f"{LIVE_PURPOSE_PREFIX}answers", f"{LIVE_PURPOSE_PREFIX}rated"
GOOD_RATING, BAD_RATING = "good", "bad"
_CHOICE_INSTRUCTIONS = "Which is it?\n\nSomebody may be waiting for your answer, and receives it."
MAX_PRIORITY = 10  # the highest priority: few levels, so that finding the next item stays cheap
LIVE_QUESTION_FIELDS: Mapping[str, tuple[str, dict[str, Any]]] = {  # of each question: its purpose, and how it is asked
    "live-answer": (
        ANSWERS_PURPOSE,
        {
            "kind": "write",
            "settings": {"correct": True},
            "instructions": "What should be answered?\n\nCorrect the response, or leave it as it is where nothing is wrong with it. "
            "Somebody may be waiting for your answer, and receives it as you write it.",
        },
    ),
    "live-good": (
        RATINGS_PURPOSE,
        {
            "kind": "choice",
            "options": [GOOD_RATING, BAD_RATING],
            "instructions": "Is this answer good?\n\nA good answer could be sent as it is.",
        },
    ),
    "live-stars": (
        RATINGS_PURPOSE,
        {"kind": "rating", "options": [1, 2, 3, 4, 5], "instructions": "How good is this answer?\n\n1 is useless, 5 could not be better."},
    ),
}


def get_live_question(connection: Connection, project: Project, name: str) -> tuple[int, Question]:
    """(key, question) of one of these, which is asked from now on; UserError where the project calls another question so."""
    purpose, fields = LIVE_QUESTION_FIELDS[name]
    for key, each in questions.list_active(connection):
        if each.name == name:
            if each.purpose != purpose:
                raise UserError(f"there is another question called {name!r}", "rename it in its file, and add it anew")
            return key, each
    questions.add(connection, replace(define_question({"name": name, **fields}), purpose=purpose))
    project.forget_questions()
    return questions.get(connection, name)


class ClassifierTask(NamedTuple):
    """What a classification model was trained to do: the question's name, and the answers that it chooses among."""

    question: str
    answers: tuple[str, ...]


def find_classifier_task(project: Project, model: str) -> ClassifierTask | None:
    """What a model chooses among; None of one that writes, or isn't there."""
    try:
        found = project.model(model)
    except UserError:
        return None
    if found.id != model or detect_served_kind(found.path) != "classify":
        return None
    snapshot = project.load_snapshot(found.manifest["snapshot"])
    return ClassifierTask(str(snapshot.question["name"]), tuple(map(str, snapshot.answers)))


def get_choice_question(connection: Connection, project: Project, learnt: str, model: str, choices: Sequence[str]) -> tuple[int, Question]:
    """(key, question) by which people choose in a classification model's place, asked from now on.

    learnt: the question that it was trained on, which it is as long as that one is asked with the same answers (choices): then what
    people choose trains the next model. Else one of the model's own.
    """
    for key, each in questions.list_active(connection):
        one = each.kind in ("choice", "rating") and not each.purpose and not each.follows
        if each.name == learnt and one and {str(answer) for answer in kinds.get(each.kind).answers(each)} == set(choices):
            return key, each
    asked = {"name": f"live-{model}", "kind": "choice", "options": sorted(choices), "instructions": _CHOICE_INSTRUCTIONS}
    question = questions.add(connection, replace(define_question(asked), purpose=f"{ANSWERS_PURPOSE}/{model}"))
    project.forget_questions()
    return questions.get(connection, question.name)


def open_item_slot(connection: Connection, question: int, item: Item, *, wanted: int, priority: int) -> int:
    """Have people asked about an item, of whom so many beyond those who have judged it; its key. The same again asks nothing new."""
    items.add(connection, [item])
    key = items.keys(connection, [item.id])[item.id]
    slots.open_slots(connection, question, [(key, item.id)], wanted=wanted, priority=priority)
    return key


def make_write_item(id_: str, turns: Sequence[Mapping[str, str]], draft: str, more: Mapping[str, Any], metadata: Mapping[str, Any]) -> Item:
    """A conversation with a model's draft of its answer. more: what is shown beside it ("sources")."""
    return _make_item(id_, {**_as_prompt(turns), "completion": strip_nul(draft), **more}, metadata, ANSWERS_PURPOSE)


def make_choice_item(id_: str, text: str, purpose: str, metadata: Mapping[str, Any]) -> Item:
    """A text, as a classification model reads it."""
    return Item(id_, {"text": text}, prompt_group([{"role": "user", "content": text}]), dict(metadata), purpose)


def make_rating_item(
    id_: str, turns: Sequence[Mapping[str, str]], answer: str, more: Mapping[str, Any], metadata: Mapping[str, Any]
) -> Item:
    """A conversation with an answer that a model gave to it. more: what is shown beside it ("sources")."""
    return _make_item(id_, {**_as_prompt(turns), "responses": [strip_nul(answer)], **more}, metadata, RATINGS_PURPOSE)


def strip_nul(text: str) -> str:
    """Without NUL characters, which models may write and databases can't keep."""
    return text.replace("\0", "\ufffd")


def _make_item(id_: str, content: dict[str, Any], metadata: Mapping[str, Any], purpose: str) -> Item:
    """What asks the same stays on one side of a split, whoever asked it, and when."""
    return Item(id_, content, _content_group(content), dict(metadata), purpose)


def prompt_group(turns: Sequence[Mapping[str, str]]) -> str:
    """The group of what is asked about a conversation."""
    return _content_group(_as_prompt(turns))


def _content_group(content: Mapping[str, Any]) -> str:
    return f"prompt-{exact_key(render_content(strip_answer(content)))[:16]}"


def _as_prompt(turns: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    if len(turns) == 1 and turns[0]["role"] == "user":
        return {"prompt": turns[0]["content"]}
    return {"messages": [{"role": turn["role"], "content": turn["content"]} for turn in turns]}
