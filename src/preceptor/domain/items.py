"""What people look at, what they are asked, and what they answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Item:
    """What people or models look at.

    content: {"text": …}, or {"prompt": …, "completion": …}, or {"prompt": …, "responses": [texts]}, or
    {"messages": [{"role", "content"}, …]}, also with responses; beside it "sources" (texts, or {"title", "text", "golden"}), "claims"
    (texts) and "format" ("text" or "markdown") where there are any. A turn that only calls tools has null for its content.
    group: what must stay on one side of a split (a document, a customer); the item's own id when not given.
    purpose: only questions of the same purpose are asked about it. Ordinary items have none; a model's answers that people
    verify or compare have one.
    """

    id: str
    content: Mapping[str, Any]
    group: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    purpose: str = ""

    @property
    def text(self) -> str:
        """The content as one plain text, as a classifier reads it."""
        return text_of(self.content)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about an item: immutable, versioned.

    options: what may be answered (labels of a choice, points of a rating scale).
    settings: what one kind needs besides (see the kind's own module).
    follows: asked in one form with another question, {"question": its name, "answers": [those after which it is asked]};
    without answers it is always asked with it. skills: what a person must have to be asked. purpose: it is asked about items of
    this purpose; an ordinary question has none.
    """

    name: str
    kind: str
    options: tuple[Any, ...] = ()
    instructions: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    follows: Mapping[str, Any] | None = None
    skills: tuple[str, ...] = ()
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Annotator:
    """A person, or a model acting as one (`kind` says which), with a role in the project.

    daily_limit: judgments a day, as many as they like when None. paused: asked nothing until a manager says so.
    """

    id: str
    role: str = "annotator"
    kind: str = "person"
    skills: tuple[str, ...] = ()
    daily_limit: int | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Judgment:
    """One annotator's answer to one question about one item; `seconds` is the time taken, `created` a Unix time."""

    id: int
    item: str
    question: str
    annotator: str
    answer: Any
    seconds: float | None
    created: float


@dataclass(frozen=True, slots=True)
class Gold:
    """An item's known answer, with the explanation shown to who answers otherwise."""

    item: str
    question: str
    answer: Any
    explanation: str = ""


def source_text(source: Any) -> str:
    """A source as one text: itself, or its title over its text."""
    if isinstance(source, Mapping):
        return "\n".join(str(source[part]) for part in ("title", "text") if source.get(part))
    return str(source)


def sources_of(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The sources beside a content, each as one text."""
    return tuple(map(source_text, content.get("sources") or ()))


def text_of(content: Mapping[str, Any]) -> str:
    """A content as one plain text: the text, or prompt and completion or responses, or the conversation's turns and responses."""
    if "text" in content:
        return str(content["text"])
    if "messages" in content:
        parts = [f"{turn['role']}: {turn_text(turn)}" for turn in content["messages"]]
    else:
        parts = [str(content[part]) for part in ("prompt", "completion") if part in content]
    return "\n".join([*parts, *map(str, content.get("responses", ()))])


def turn_text(turn: Mapping[str, Any]) -> str:
    """What a turn says: its content, its parts one below the other; or, without any, the tools that it calls, `name(arguments)`."""
    said = turn.get("content")
    if isinstance(said, list):
        said = "\n".join(str(part["text"]) for part in said)
    if said:
        return str(said)
    calls = [call.get("function") or call for call in [*(turn.get("tool_calls") or ()), *filter(None, [turn.get("function_call")])]]
    return "\n".join(f"{call.get('name', 'tool')}({_arguments(call.get('arguments', ''))})" for call in calls)


def _arguments(given: Any) -> str:
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
