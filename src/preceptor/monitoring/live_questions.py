"""Define the questions about served answers: to answer in a model's place, to correct an answer, and whether it was good.

They have two purposes: items that end with a model's draft, which people edit, and items that show an answer, which people rate.
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
LIVE_QUESTION_FIELDS: Mapping[str, tuple[str, dict[str, Any]]] = {  # by question: its purpose, and its fields
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
    """Return (key, question) of one of the `LIVE_QUESTION_FIELDS`, creating it where needed.

    Raises UserError where the project has another question of that name.
    """
    purpose, fields = LIVE_QUESTION_FIELDS[name]
    for key, each in questions.list_active(connection):
        if each.name == name:
            if each.purpose != purpose:
                raise UserError(f"there is another question called {name!r}", "rename it in its file, and add it anew")
            return key, each
    questions.add(connection, replace(define_question({"name": name, **fields}), purpose=purpose))
    project.cache.forget_questions()
    return questions.get(connection, name)


class ClassifierTask(NamedTuple):
    """The task of a classification model: the name of its question, and the answers that it chooses among."""

    question: str
    answers: tuple[str, ...]


def find_classifier_task(project: Project, model: str) -> ClassifierTask | None:
    """Return the task of a classification model; None for a generative model, or one that doesn't exist."""
    try:
        found = project.model(model)
    except UserError:
        return None
    if found.id != model or detect_served_kind(found.path) != "classify":
        return None
    snapshot = project.load_snapshot(found.manifest["snapshot"])
    return ClassifierTask(str(snapshot.question["name"]), tuple(map(str, snapshot.answers)))


def get_choice_question(connection: Connection, project: Project, learnt: str, model: str, choices: Sequence[str]) -> tuple[int, Question]:
    """Return (key, question) by which people choose in a classification model's place, creating it where needed.

    learnt: the question that the model was trained on. It is used as long as it is active with the same answers (choices): then people's
    choices train the next model. Otherwise a question of the model's own is used.
    """
    for key, each in questions.list_active(connection):
        one = each.kind in ("choice", "rating") and not each.purpose and not each.follows
        if each.name == learnt and one and {str(answer) for answer in kinds.get(each.kind).answers(each)} == set(choices):
            return key, each
    asked = {"name": f"live-{model}", "kind": "choice", "options": sorted(choices), "instructions": _CHOICE_INSTRUCTIONS}
    question = questions.add(connection, replace(define_question(asked), purpose=f"{ANSWERS_PURPOSE}/{model}"))
    project.cache.forget_questions()
    return questions.get(connection, question.name)


def open_item_slot(connection: Connection, question: int, item: Item, *, target_count: int, priority: int) -> int:
    """Add an item and open its slot with a question; return the item's key. The same call again asks nothing new.

    target_count: how many more people are asked, beyond those who have judged it.
    """
    items.add(connection, [item])
    key = items.keys(connection, [item.id])[item.id]
    slots.open_slots(connection, question, [(key, item.id)], target_count=target_count, priority=priority)
    return key


def make_write_item(id_: str, turns: Sequence[Mapping[str, str]], draft: str, more: Mapping[str, Any], metadata: Mapping[str, Any]) -> Item:
    """Make an item of a conversation with a model's draft of its answer. more: further content, shown beside it ("sources")."""
    return _make_item(id_, {**_as_prompt(turns), "completion": strip_nul(draft), **more}, metadata, ANSWERS_PURPOSE)


def make_choice_item(id_: str, text: str, purpose: str, metadata: Mapping[str, Any]) -> Item:
    """Make an item of a text, as a classification model reads it."""
    return Item(id_, {"text": text}, prompt_group([{"role": "user", "content": text}]), dict(metadata), purpose)


def make_rating_item(
    id_: str, turns: Sequence[Mapping[str, str]], answer: str, more: Mapping[str, Any], metadata: Mapping[str, Any]
) -> Item:
    """Make an item of a conversation with an answer that a model gave. more: further content, shown beside it ("sources")."""
    return _make_item(id_, {**_as_prompt(turns), "responses": [strip_nul(answer)], **more}, metadata, RATINGS_PURPOSE)


def strip_nul(text: str) -> str:
    """Replace NUL characters, which models may generate and databases can't store."""
    return text.replace("\0", "\ufffd")


def _make_item(id_: str, content: dict[str, Any], metadata: Mapping[str, Any], purpose: str) -> Item:
    """Make an item whose group is its prompt: the same prompt stays in one split, whoever sent it, and when."""
    return Item(id_, content, _content_group(content), dict(metadata), purpose)


def prompt_group(turns: Sequence[Mapping[str, str]]) -> str:
    """Return the group of items about a conversation."""
    return _content_group(_as_prompt(turns))


def _content_group(content: Mapping[str, Any]) -> str:
    return f"prompt-{exact_key(render_content(strip_answer(content)))[:16]}"


def _as_prompt(turns: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    if len(turns) == 1 and turns[0]["role"] == "user":
        return {"prompt": turns[0]["content"]}
    return {"messages": [{"role": turn["role"], "content": turn["content"]} for turn in turns]}
