"""Answer implicit questions from files that need no judging.

A completion in a file is its author's answer to the implicit question `completion`; of two answers in a training file for preferences
one is `preferred in files`. Such a question follows itself, so that nobody is ever asked it. `completion` exists in projects that ask
nothing else when such a file comes: elsewhere a completion is what people are asked about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.storage import batched, items, judgment_log, people, questions
from preceptor.types import Annotator, Item, Question

if TYPE_CHECKING:
    from preceptor.project import Project


COMPLETION = Question(
    "completion", "write", (), "What should be answered? Told by imported files; nobody is asked.", {"correct": False},
    follows={"question": "completion"},
)  # fmt: skip
PREFERENCE = Question(
    "preferred in files", "compare", (), "Which answer is preferred? Told by training files; nobody is asked.",
    {"responses": 2, "ties": True, "reasons": False}, follows={"question": "preferred in files"},
)  # fmt: skip


def is_implicit(question: Question) -> bool:
    """Tell whether a question is only answered by files and never asked."""
    return any((question.name, question.follows) == (told.name, told.follows) for told in (COMPLETION, PREFERENCE))


def get_completion(content: Mapping[str, Any]) -> str | None:
    """Return the answer in a content: its completion, or the assistant's last message; None where there is none."""
    if "messages" in content:
        last = content["messages"][-1]
        told = last["role"] == "assistant" and last.get("weight") != 0 and isinstance(last.get("content"), str)
        return last["content"] if told else None  # a tool call is no text to train on
    return None if content.get("completion") is None else str(content["completion"])


def parse_completion_judgment(content: Mapping[str, Any], where: str) -> dict[str, Any] | None:
    """Return the judgment that a content's completion is; None without one. Raises UserError where it is empty."""
    if (text := get_completion(content)) is None:
        return None
    if not text.strip():
        raise UserError("the completion is empty", "write one, or leave the row out (--max-bad N leaves out and reports)", where=where)
    return {"answer": {"text": text, "from": None}, "annotator": "", "seconds": None}


def import_labelled(project: Project, question: Question, annotator: Annotator, told: Iterable[tuple[Item, Any, str]]) -> dict[str, Item]:
    """Store items with a file's answers, as its judgments of a question that nobody is asked; return the items by id.

    told: item, answer in its stored form, and the key by which it counts once however often it comes. They are stored a thousand at a
    time, so that people who work meanwhile don't wait; the same file again changes nothing.
    """
    found = dict[str, Item]()
    with project.database.writing() as connection:
        questions.add(connection, question)
        people.add(connection, [annotator])
        asked, _ = questions.get(connection, question.name)
        who = people.get_key(connection, annotator.id)
    for batch in batched(told, 1000):
        with project.database.writing() as connection:
            items.add(connection, [item for item, _, _ in batch])
            keys = items.keys(connection, {item.id for item, _, _ in batch})
            rows = {_idempotency_key(annotator.id, what): (keys[item.id], who, answer, None) for item, answer, what in batch}
            judgment_log.add_question_judgments(connection, asked, [(*row, key) for key, row in rows.items()])
        found |= {item.id: item for item, _, _ in batch if item.id not in found}
    return found


def read_implicit_answers(project: Project, question: Question, wanted: Collection[str]) -> dict[str, list[tuple[str, Any, int]]]:
    """Return the answers to an implicit question by item: (author, answer, judgment's number) each, in order of arrival."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, question.name)
        columns = judgment_log.judgment_columns(connection, key)
    found: dict[str, list[tuple[str, Any, int]]] = {}
    for item, who, said, number in zip(*columns, strict=True):
        if item in wanted:
            found.setdefault(item, []).append((who, said, number))
    return found


def choose_snapshot_question(project: Project, question: str | None) -> str:
    """Return the question to take a snapshot of: the one named, else the only one that is asked, else an implicit one."""
    if question is None and not any(not each.purpose for each in project.questions()):
        with project.database.reading() as connection:
            if told := [each.name for _, each in questions.list_active(connection) if is_implicit(each)]:
                return told[0]
            if items.count(connection):
                message = "there is nothing to learn from: no item holds a completion, or a conversation that ends with an answer"
                raise UserError(message, "import completions, or ask people: preceptor question add FILE")
    return project.only_question(question)


def _idempotency_key(annotator: str, what: str) -> str:
    return f"import:{hashlib.blake2b(f'{annotator} {what}'.encode(), digest_size=12).hexdigest()}"
