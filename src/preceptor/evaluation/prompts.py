"""Read a suite's prompts, and hold a model's answers to them.

A suite's prompts are the rows of any file that `preceptor.formats` reads, each a prompt or a conversation up to the answer:

id          its name; the row's number when missing
prompt      the question; or messages: turns of role and content, of which a last one by the assistant is the reference
reference   a right answer (completion is a synonym)
sources     texts that may support the answer, or tables of title and text
metadata    a table; all other columns are added to it
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.types import render_source

ChatTurn = Mapping[str, str]


@dataclass(frozen=True)
class SuitePrompt:
    """One prompt of a suite.

    turns: the conversation up to the answer (dicts of role and content). sources: texts that may support the answer. reference: a right
    answer, if known. group: the cluster of answers that depend on each other (a document, a customer). metadata: slices, such as {"topic":
    "returns"}.
    """

    id: str
    group: str
    turns: tuple[ChatTurn, ...]
    sources: tuple[str, ...] = ()
    reference: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """The conversation as one text: its only turn, or all with their roles."""
        if len(self.turns) == 1:
            return self.turns[0]["content"]
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in self.turns)


@dataclass(frozen=True)
class ModelAnswers:
    """The answers of a model, or of a file of recorded answers, to prompts: a text for each, in their order.

    subject: the name of the model or file. sampling: the parameters with which the texts were generated, so that they can be generated
    again. digest: of prompts, texts and sampling.
    """

    subject: str
    prompts: Sequence[SuitePrompt]
    texts: Sequence[str]
    sampling: Mapping[str, Any]
    digest: str


_MAX_ERRORS = 10
_KNOWN_COLUMNS = {"id", "prompt", "messages", "reference", "completion", "sources", "metadata"}
_STRUCTURED = ("messages", "sources", "metadata")
_ROLES = ("system", "user", "assistant")
_HINT = '{"id": "q1", "prompt": "May I return it?", "reference": "Within 30 days.", "topic": "returns"}'


def read_prompts(path: str | Path, *, group: str = "group") -> list[SuitePrompt]:
    """Read all prompts of a file.

    group: the column that says which rows belong together; a row without it is its own group. Raises UserError with the position of every
    faulty row, up to ten at once.
    """
    found: list[SuitePrompt] = []
    faults: list[UserError] = []
    places: dict[str, str] = {}
    for number, (row, where) in enumerate(_iter_rows(path), start=1):
        try:
            asked = _parse_prompt(row, number, group, where)
            if asked.id in places:
                raise UserError(f"the id {asked.id!r} stands at {places[asked.id]} too", "give each prompt an id of its own", where=where)
        except UserError as fault:
            faults.append(fault)
            if len(faults) == _MAX_ERRORS:
                break
            continue
        places[asked.id] = where
        found.append(asked)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise UserError(f"{len(faults)} rows or more are no prompts:\n" + "\n".join(map(str, faults)), _HINT, where=str(path))
    return found


def _iter_rows(path: str | Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    rows = read(path, "plain")
    for row in rows:
        yield {name: _parse_cell(value) if name in _STRUCTURED else value for name, value in row.items()}, rows.where


def _parse_cell(value: Any) -> Any:
    """Parse a table cell as JSON; None where it is empty, the value itself where it isn't JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else None
    except (ValueError, RecursionError):
        return value


def _parse_prompt(row: Mapping[str, Any], number: int, group: str, where: str) -> SuitePrompt:
    turns, said = _parse_turns(row, where)
    references = [text for text in (row.get("reference"), row.get("completion"), said) if text not in (None, "")]
    if len(references) > 1:
        raise UserError("the row has more than one reference answer", "keep one of reference, completion and the last turn", where=where)
    reference = _checked_text(references[0], "the reference", where) if references else None
    beside = row.get("metadata") or {}
    if not isinstance(beside, Mapping):
        raise UserError(f"metadata must be a table, not {beside!r:.60}", '"metadata": {"topic": "returns"}', where=where)
    name = str(row["id"]) if row.get("id") not in (None, "") else str(number)
    metadata = {**{key: value for key, value in row.items() if key not in _KNOWN_COLUMNS}, **beside}
    belongs = metadata.get(group)
    return SuitePrompt(name, str(belongs) if belongs not in (None, "") else name, turns, _parse_sources(row, where), reference, metadata)


def _parse_turns(row: Mapping[str, Any], where: str) -> tuple[tuple[ChatTurn, ...], str | None]:
    """Return the conversation up to the answer, and the answer that follows it in the row, if there is one."""
    if (row.get("prompt") is None) == (row.get("messages") is None):
        raise UserError("a row has either a prompt or messages", _HINT, where=where)
    if row.get("prompt") is not None:
        return ({"role": "user", "content": _checked_text(row["prompt"], "the prompt", where)},), None
    given = row["messages"]
    fits = isinstance(given, list) and given and all(isinstance(turn, Mapping) and turn.get("role") in _ROLES for turn in given)
    if not fits:
        raise UserError(
            f"messages must be a list of turns whose role is {', '.join(_ROLES)}, not {given!r:.60}",
            '"messages": [{"role": "user", "content": "…"}]',
            where=where,
        )
    turns = tuple({"role": turn["role"], "content": _checked_text(turn.get("content"), "a turn's content", where)} for turn in given)
    said = turns[-1]["content"] if turns[-1]["role"] == "assistant" else None
    turns = turns if said is None else turns[:-1]
    if not turns or turns[-1]["role"] != "user":
        raise UserError("a conversation must end with a turn of the user, before the answer", "add what was asked", where=where)
    return turns, said


def _parse_sources(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    given = row.get("sources")
    if given is None:
        return ()
    hint = '"sources": ["a text", {"title": "Annual report", "text": "…"}]'
    if not isinstance(given, list):
        raise UserError(f"sources must be a list of texts, not {given!r:.60}", hint, where=where)
    found = []
    for source in given:
        if isinstance(source, Mapping) and isinstance(source.get("text"), str):
            found.append(render_source(source))
        else:
            found.append(_checked_text(source, "a source", where))
    return tuple(found)


def _checked_text(value: Any, what: str, where: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise UserError(f"{what} must be a text, not {value!r:.60}", _HINT, where=where)
    if not value.strip():
        raise UserError(f"{what} is empty", "fill it, or leave the row out", where=where)
    return value
